use podfence_host_path::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, get, list, text, values, violation};

const PATHS: &[&str] = &[
    "/foo",
    "/foo/",
    "//foo/./bar",
    "/foo/bar/baz",
    "/foo//bar/",
    "/var/log",
    r"C:\foo",
    r"c:/FOO\bar",
    r"C:\\Foo\.\bar\",
];
const ODD_PATHS: &[&str] = &[
    "/",
    "/foobar",
    "/foo/../etc",
    "/foo/..",
    "/..",
    "/...",
    "foo",
    "./foo",
    "",
    "/é",
    "/foo/..",
    r"/foo/x\..\..\bar",
    r"/foo\bar",
    r"/foo/\..bar",
    "C:foo",
    "C:",
    r"\foo",
    r"\\server\x",
    r"C:\",
    "D:/foo",
    r"C:\foo\..\bar",
    r"C:\foo. \bar",
    r"C:\foo\...",
    r"C:\foo\. .\bar",
    r"C:\foo::$DATA\bar",
    r"C:\foobar",
    "/C:/foo",
    "é:/foo",
    "1:/foo",
];

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("volumes[*].name", 5, &["v", "w", "data"], &["", "v\""]),
        values("volumes[*].hostPath.path", 2, PATHS, ODD_PATHS),
        values("volumeMounts[*].name", 5, &["v", "w", "data"], &["", "v\""]),
        values("volumeMounts[*].readOnly", 20, &["true"], &["false"]),
        values("volumeMounts[*].recursiveReadOnly", 30, &["Enabled"], &["IfPossible", "Disabled", "enabled", ""]),
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
    let prefixes = [
        "/",
        "/",
        "/foo",
        "/foo/",
        "//foo/./bar",
        "/foo/bar/baz",
        "/foobar",
        "/var/log",
        "/...",
        r"C:\",
        r"C:\foo",
        r"c:\foo",
        "C:/FOO/bar",
        r"c:\foo.\bar",
        r"/foo\bar",
    ];
    let mut entries = Vec::new();
    for prefix in settings.draw.some(&prefixes, 1, 4) {
        let mut entry = json!({"pathPrefix": prefix});
        if settings.draw.percent(60) {
            let is_read_only = settings.draw.percent(50);
            entry["readOnly"] = json!(is_read_only);
            if settings.draw.percent(40) {
                entry["recursiveReadOnly"] = json!(is_read_only);
            }
        }
        entries.push(entry);
    }
    settings.put("allowedHostPaths", json!(entries));
    settings.done()
}

/// The components of a path, behind the drive, of which Linux has none; `None` if a pod may not write such a path.
fn names(path: &str) -> Option<Vec<String>> {
    let drive =
        path.get(..2).filter(|start| start.ends_with(':') && start.starts_with(|c: char| c.is_ascii_alphabetic()));
    let Some((drive, rest)) = drive.zip(path.get(2..)) else {
        let is_plain = path.starts_with('/') && !path.split(['/', '\\']).any(|name| name == "..");
        let names = path.split('/').filter(|name| !["", "."].contains(name));
        return is_plain.then(|| std::iter::once("").chain(names).map(str::to_owned).collect());
    };
    if !rest.starts_with(['/', '\\']) {
        return None;
    }
    let mut names = vec![drive.to_ascii_lowercase()];
    for name in rest.split(['/', '\\']).filter(|name| !["", "."].contains(name)) {
        // Windows ignores dots and spaces at the end, and what stands behind a colon is not the name of a file.
        let known = name.trim_end_matches(['.', ' ']);
        if known.is_empty() || name.contains(':') {
            return None;
        }
        names.push(known.to_ascii_lowercase());
    }
    Some(names)
}

/// What a pod may do with a path, the strictest last.
#[derive(PartialEq, PartialOrd)]
enum Access {
    Write,
    Read,
    ReadAllBelow,
    None,
}

fn access(settings: &Value, path: &str) -> Access {
    let Some(path) = names(path) else { return Access::None };
    let entries = list(settings, "allowedHostPaths").iter();
    let entries = entries.map(|entry| (names(text(entry, "pathPrefix")).expect("settings are valid"), entry));
    let covering: Vec<_> = entries.filter(|(prefix, _)| path.starts_with(prefix)).collect();
    let longest = covering.iter().map(|(prefix, _)| prefix.len()).max();
    let deciding = || covering.iter().filter(|(prefix, _)| Some(prefix.len()) == longest).map(|(_, entry)| entry);
    match deciding().count() {
        0 => Access::None,
        _ if deciding().any(|entry| get(entry, "recursiveReadOnly") == true) => Access::ReadAllBelow,
        _ if deciding().any(|entry| get(entry, "readOnly") == true) => Access::Read,
        _ => Access::Write,
    }
}

const CONTROL: &str = "hostPathVolumes";

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let (mut for_reading, mut for_reading_all) = (Vec::new(), Vec::new());
    for (index, volume) in list(pod.spec, "volumes").iter().enumerate() {
        if get(volume, "hostPath").is_null() {
            continue;
        }
        let access = access(pod.settings, text(volume, "hostPath.path"));
        if access == Access::None {
            found.push(violation(CONTROL, format!("spec.volumes[{index}].hostPath.path")));
            continue;
        }
        if access >= Access::Read {
            for_reading.push(text(volume, "name"));
        }
        if access >= Access::ReadAllBelow {
            for_reading_all.push(text(volume, "name"));
        }
    }
    for container in pod.containers() {
        for (index, mount) in list(container.value, "volumeMounts").iter().enumerate() {
            let name = text(mount, "name");
            let mut expect = |field: &str, is: bool| {
                if !is {
                    found.push(container.violation(CONTROL, &format!("volumeMounts[{index}].{field}")));
                }
            };
            expect("readOnly", !for_reading.contains(&name) || get(mount, "readOnly") == true);
            expect(
                "recursiveReadOnly",
                !for_reading_all.contains(&name) || text(mount, "recursiveReadOnly") == "Enabled",
            );
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
