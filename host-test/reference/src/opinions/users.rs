use podfence_users::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Mutable, Opinion, Pod, Violation, get, list, set, text, texts, values, violation};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("hostUsers", 80, &["true", "false"], &["false"]),
        values(NON_ROOT, 10, &["true"], &["false"]),
        values(USER, 60, &["1000", "1500"], &["0", "-1", "9223372036854775807", "2001"]),
        values(GROUP, 50, &["1000", "1500"], &["0", "2001"]),
        values(USER_NAME, 80, &["ContainerUser", "CORP\\\\bob"], &["containeradministrator", "User Manager\\\\ContainerAdministrator", "corp\\\\BOB", "bob", ""]),
        values(STRICT, 40, &["Strict"], &["Merge", "strict"]),
        values(FS_GROUP, 50, &["1000", "1500"], &["0", "2001"]),
        values(
            SUPPLEMENTAL,
            50,
            &["[1000]", "[1000, 1500]", "[]"],
            &["[0]", "[1000,2001]", "[1000,null]", "[\"1000\"]", "[1.5]", "{}", "\"1000\"", "[\"1,2\"]", "[[]]", "7"],
        ),
    ],
    settings,
    check,
    message: None,
    mutate: Some(mutate),
};

const NON_ROOT: &str = "securityContext.runAsNonRoot";
const USER: &str = "securityContext.runAsUser";
const GROUP: &str = "securityContext.runAsGroup";
const SUPPLEMENTAL: &str = "securityContext.supplementalGroups";
const FS_GROUP: &str = "securityContext.fsGroup";
const USER_NAME: &str = "securityContext.windowsOptions.runAsUserName";
const STRICT: &str = "securityContext.supplementalGroupsPolicy";

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.flag("runAsNonRoot");
    let mutate = settings.draw.percent(50);
    settings.put("mutate", json!(mutate));
    for name in ["runAsUser", "runAsGroup", "supplementalGroups", "fsGroup"] {
        let rules = ["MustRunAs", "MayRunAs", "RunAsAny", "MustRunAsNonRoot"];
        let rule = settings.draw.one(&rules[..if name == "runAsUser" { 4 } else { 3 }]);
        if settings.draw.percent(60) {
            continue;
        }
        let mut value = json!({"rule": rule});
        if ["MustRunAs", "MayRunAs"].contains(&rule) {
            let ranges = [json!({"min": 1000, "max": 2000}), json!({"min": 0, "max": 0}), json!({"min": 1500, "max": 1500})];
            value["ranges"] = (0..=settings.draw.below(2)).map(|_| ranges[settings.draw.below(3)].clone()).collect();
        }
        if name == "runAsUser" && settings.draw.percent(30) {
            let names = settings.draw.some(&["ContainerAdministrator", "CORP\\Bob", "bob"], 1, 2);
            value["forbiddenWindowsUserNames"] = json!(names);
        }
        if name == "supplementalGroups" && settings.draw.percent(40) {
            value["requireStrict"] = json!(true);
        }
        settings.put(name, value);
    }
    settings.done()
}

/// Whether a value must be in a range, and whether it must be set.
fn rules(settings: &Value, name: &str) -> (bool, bool) {
    let rule = text(settings, &format!("{name}.rule"));
    (["MustRunAs", "MayRunAs"].contains(&rule), rule == "MustRunAs")
}

fn is_in_range(settings: &Value, name: &str, id: &Value) -> bool {
    let bounds = |range: &Value| Some((get(range, "min").as_i64()?, get(range, "max").as_i64()?));
    let mut ranges = list(settings, &format!("{name}.ranges")).iter().filter_map(bounds);
    id.as_i64().is_some_and(|id| ranges.any(|(min, max)| min <= id && id <= max))
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    // In a user namespace of its own, root of a container is an ordinary user of the node.
    if get(pod.spec, "hostUsers") != false {
        found.extend(check_root(pod));
    }
    for (name, field) in [("runAsUser", USER), ("runAsGroup", GROUP)] {
        let (has_ranges, must) = rules(pod.settings, name);
        for (id, place) in pod.both(field) {
            if has_ranges && !is_in_range(pod.settings, name, id) {
                found.push(place.of(name));
            }
        }
        for container in pod.containers() {
            if must && !pod.is_windows() && pod.effective(&container, field).is_null() {
                found.push(container.violation(name, field));
            }
        }
    }
    let forbidden = texts(pod.settings, "runAsUser.forbiddenWindowsUserNames");
    for (name, place) in pod.both(USER_NAME) {
        if forbidden.iter().any(|other| is_same_user(name.as_str().unwrap_or_default(), other)) {
            found.push(place.of("runAsUser"));
        }
    }
    let is_linux = !pod.is_windows() && !pod.containers().is_empty();
    if pod.is("supplementalGroups.requireStrict") && is_linux && text(pod.spec, STRICT) != "Strict" {
        found.push(violation("supplementalGroups", format!("spec.{STRICT}")));
    }
    for (name, field) in [("supplementalGroups", SUPPLEMENTAL), ("fsGroup", FS_GROUP)] {
        let (has_ranges, must) = rules(pod.settings, name);
        let value = get(pod.spec, field);
        let ids = match value {
            Value::Null => &[],
            Value::Array(ids) => ids.as_slice(),
            id => std::slice::from_ref(id),
        };
        let is_readable = name == "fsGroup" || value.is_null() || value.is_array() && ids.iter().all(Value::is_i64);
        let is_outside = has_ranges && ids.iter().any(|id| !is_in_range(pod.settings, name, id));
        let is_missing = must && ids.is_empty() && !pod.is_windows() && !pod.containers().is_empty();
        if !is_readable || is_outside || is_missing {
            found.push(violation(name, format!("spec.{field}")));
        }
    }
    found
}

/// Whether two names are of one Windows user; one without a domain is of any.
fn is_same_user(a: &str, b: &str) -> bool {
    let split = |user: &str| {
        let user = user.to_ascii_lowercase();
        user.rsplit_once('\\').map_or((None, user.clone()), |(domain, name)| (Some(domain.to_owned()), name.to_owned()))
    };
    let ((domain_a, name_a), (domain_b, name_b)) = (split(a), split(b));
    name_a == name_b && (domain_a.is_none() || domain_b.is_none() || domain_a == domain_b)
}

fn check_root(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let asks_non_root = get(pod.settings, "runAsNonRoot") != false;
    if asks_non_root {
        let forbidden = pod.both(NON_ROOT).into_iter().filter(|(value, _)| **value == false);
        found.extend(forbidden.map(|(_, place)| place.of("runAsNonRoot")));
        if found.is_empty() {
            let containers = pod.containers().into_iter();
            let unset = containers.filter(|container| pod.effective(container, NON_ROOT).is_null());
            found.extend(unset.map(|container| container.violation("runAsNonRoot", NON_ROOT)));
        }
    }
    if !["", "MustRunAsNonRoot"].contains(&text(pod.settings, "runAsUser.rule")) {
        return found;
    }
    let zeros = pod.both(USER).into_iter().filter(|(value, _)| **value == 0);
    found.extend(zeros.map(|(_, place)| place.of("runAsUser")));
    for container in pod.containers() {
        let is_known = !pod.effective(&container, USER).is_null() || pod.effective(&container, NON_ROOT) == true;
        if !asks_non_root && !is_known {
            found.push(container.violation("runAsUser", USER));
        }
    }
    found
}

fn mutate(pod: &mut Mutable<'_>) {
    let before = pod.before();
    let before = Pod::new(&before, pod.settings);
    if !pod.is("mutate") || before.is_windows() || before.containers().is_empty() {
        return;
    }
    let settings = pod.settings;
    let first = |name: &str| {
        let range = list(settings, &format!("{name}.ranges")).first().filter(|_| rules(settings, name).1)?;
        Some(get(range, "min").clone())
    };
    let ids = [("runAsUser", USER), ("runAsGroup", GROUP)];
    let is_asked = get(before.spec, "hostUsers") != false;
    let by_setting = get(settings, "runAsNonRoot") != false;
    let by_rule = ["", "MustRunAsNonRoot"].contains(&text(settings, "runAsUser.rule"));
    pod.containers(|container| {
        let is_unset = |field: &str| get(container, field).is_null() && get(before.spec, field).is_null();
        if is_asked && is_unset(NON_ROOT) && (by_setting || by_rule && is_unset(USER)) {
            set(container, NON_ROOT, json!(true));
        }
        for (name, field) in ids {
            let is_unset = get(container, field).is_null() && get(before.spec, field).is_null();
            if let Some(first) = first(name).filter(|_| is_unset) {
                set(container, field, first);
            }
        }
    });
    if get(settings, "supplementalGroups.requireStrict") == true && get(before.spec, STRICT).is_null() {
        pod.set(STRICT, json!("Strict"));
    }
    if let Some(first) = first("fsGroup").filter(|_| get(before.spec, FS_GROUP).is_null()) {
        pod.set(FS_GROUP, first);
    }
    let groups = get(before.spec, SUPPLEMENTAL);
    if let Some(first) = first("supplementalGroups").filter(|_| groups.is_null() || *groups == json!([])) {
        pod.set(SUPPLEMENTAL, json!([first]));
    }
}
