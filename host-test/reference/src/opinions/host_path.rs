use podfence_host_path::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, get, list, text, values, violation};

const PATHS: &[&str] = &["/foo", "/foo/", "//foo/./bar", "/foo/bar/baz", "/foo//bar/", "/var/log"];
const ODD_PATHS: &[&str] = &["/", "/foobar", "/foo/../etc", "/foo/..", "/..", "/...", "foo", "./foo", "", "/é", "/foo/.."];

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("volumes[*].name", 5, &["v", "w", "data"], &["", "v\""]),
        values("volumes[*].hostPath.path", 2, PATHS, ODD_PATHS),
        values("volumeMounts[*].name", 5, &["v", "w", "data"], &["", "v\""]),
        values("volumeMounts[*].readOnly", 20, &["true"], &["false"]),
        values("hostPath.path", 10, PATHS, ODD_PATHS),
        values("local.path", 10, PATHS, ODD_PATHS),
    ],
    settings,
    check,
    message: None,
    mutate: None,
};

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    let prefixes = ["/", "/", "/foo", "/foo/", "//foo/./bar", "/foo/bar/baz", "/foobar", "/var/log", "/..."];
    let mut entries = Vec::new();
    for prefix in settings.draw.some(&prefixes, 1, 4) {
        let mut entry = json!({"pathPrefix": prefix});
        if settings.draw.percent(60) {
            entry["readOnly"] = json!(settings.draw.percent(50));
        }
        entries.push(entry);
    }
    settings.put("allowedHostPaths", json!(entries));
    settings.done()
}

/// The components of a path; `None` if it is relative or contains `..`.
fn names(path: &str) -> Option<Vec<&str>> {
    let names: Vec<&str> = path.split('/').filter(|name| !["", "."].contains(name)).collect();
    (path.starts_with('/') && !names.contains(&"..")).then_some(names)
}

#[derive(PartialEq)]
enum Access {
    None,
    Read,
    Write,
}

fn access(settings: &Value, path: &str) -> Access {
    let Some(path) = names(path) else { return Access::None };
    let mut longest = None;
    let mut deciding = Vec::new();
    for entry in list(settings, "allowedHostPaths") {
        let prefix = names(text(entry, "pathPrefix")).expect("settings are valid");
        if !path.starts_with(&prefix) || longest > Some(prefix.len()) {
            continue;
        }
        if longest < Some(prefix.len()) {
            deciding.clear();
        }
        longest = Some(prefix.len());
        deciding.push(get(entry, "readOnly") == true);
    }
    match deciding.as_slice() {
        [] => Access::None,
        are_read_only if are_read_only.contains(&true) => Access::Read,
        _ => Access::Write,
    }
}

const CONTROL: &str = "hostPathVolumes";

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut for_reading = Vec::new();
    for (index, volume) in list(pod.spec, "volumes").iter().enumerate() {
        if get(volume, "hostPath").is_null() {
            continue;
        }
        match access(pod.settings, text(volume, "hostPath.path")) {
            Access::None => found.push(violation(CONTROL, format!("spec.volumes[{index}].hostPath.path"))),
            Access::Read => for_reading.push(text(volume, "name")),
            Access::Write => {}
        }
    }
    for container in pod.containers() {
        for (index, mount) in list(container.value, "volumeMounts").iter().enumerate() {
            if for_reading.contains(&text(mount, "name")) && get(mount, "readOnly") != true {
                found.push(container.violation(CONTROL, &format!("volumeMounts[{index}].readOnly")));
            }
        }
    }
    // Only a PersistentVolume has these fields. Which containers will mount it, and how, is unknown.
    for source in ["hostPath", "local"] {
        let path = format!("{source}.path");
        if !get(pod.spec, source).is_null() && access(pod.settings, text(pod.spec, &path)) != Access::Write {
            found.push(violation(CONTROL, format!("spec.{path}")));
        }
    }
    found
}
