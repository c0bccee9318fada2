//! Rejects containers that add capabilities that are not allowed, or do not drop the required ones.
//!
//! A capability is one of root's privileges, and a container starts with fourteen of them. `SYS_ADMIN` alone is
//! nearly all of root, `NET_RAW` can forge packets, `DAC_OVERRIDE` ignores file permissions. A container that drops
//! all of them and adds back what it needs cannot be abused for the rest.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Container, Edits, List, Mend, Pod, Rule, Settings, String, Vec, Violations, mend, quote};

podfence_core::fields! {
    ADD: StringList = Container "securityContext.capabilities.add",
        allowed "within `allowedCapabilities` (`NET_BIND_SERVICE`) or `defaultAddCapabilities` (none), not in \
            `requiredDropCapabilities`";
    DROP: StringList = Container "securityContext.capabilities.drop",
        allowed "contains `ALL`, or each of `requiredDropCapabilities` (`ALL`)";
    /// Does nothing there.
    MISPLACED: Any = Pod "securityContext.capabilities";
}

podfence_core::settings! {
    /// Allows containers to add these capabilities. Names are compared exactly; `"*"` stands for any.
    ALLOWED: StringList = "allowedCapabilities", alias "allowed_capabilities", default "[\"NET_BIND_SERVICE\"]";
    /// Requires every container to drop these capabilities, except in Windows pods, and forbids adding them in any
    /// spelling. A container that drops `ALL` drops each of them. If this list contains `ALL`, containers must drop
    /// `ALL`, and may still add what `allowedCapabilities` allows.
    REQUIRED_DROP: StringList = "requiredDropCapabilities", alias "required_drop_capabilities", default "[\"ALL\"]";
    /// Adds these capabilities to every container if `mutate` is `true`. Containers may add them in any case.
    DEFAULT_ADD: StringList = "defaultAddCapabilities", alias "default_add_capabilities", default "[]",
        shown_if "mutate" = ["true"];
    /// Adds the missing capabilities of `requiredDropCapabilities` and `defaultAddCapabilities` to `drop` and `add`,
    /// instead of rejecting. Windows pods are not changed.
    MUTATE: Bool = "mutate", default "false", mutates if true;
}

podfence_core::policy! { name: "capabilities", check: check, mutate: mutate, validate: validate }

static DROP_ALL: Rule = Rule {
    control: "capabilities",
    reason: "unrestricted capabilities",
    detail: "{who} must set securityContext.capabilities.drop=[\"ALL\"]",
    fix: "set securityContext.capabilities.drop to [\"ALL\"]",
    mend: &mend!(add "\"ALL\""),
    ..Rule::PLAIN
};

static DROP_REQUIRED: Rule = Rule {
    control: "capabilities",
    reason: "unrestricted capabilities",
    detail: "{who} must include each required capability in securityContext.capabilities.drop",
    fix: "add each of requiredDropCapabilities to securityContext.capabilities.drop",
    setting: Some(REQUIRED_DROP.path),
    ..Rule::PLAIN
};

static ADD_REQUIRED_DROP: Rule = Rule {
    control: "capabilities",
    reason: "unrestricted capabilities",
    detail: "{who} must not include {values} in securityContext.capabilities.add, which must be dropped",
    fix: "remove it from securityContext.capabilities.add",
    mend: Mend::REMOVE,
    setting: Some(REQUIRED_DROP.path),
    ..Rule::PLAIN
};

static ADD_NOT_ALLOWED: Rule = Rule {
    control: "capabilities",
    reason: "unrestricted capabilities",
    detail: "{who} must not include {values} in securityContext.capabilities.add",
    fix: "remove it from securityContext.capabilities.add",
    mend: Mend::REMOVE,
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

/// Reports added capabilities that are not allowed, and required drops that are missing.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let required = settings.strings(REQUIRED_DROP);
    // Windows has no capabilities, so no drop can be required there.
    if !pod.is_windows() {
        let rule = if required.strings().any(is_all) { &DROP_ALL } else { &DROP_REQUIRED };
        for container in pod.containers() {
            if missing_drops(&container, required, false).next().is_some() {
                found.add(rule, container.at(DROP).hint(pod.misplaced(MISPLACED)));
            }
        }
    }
    let must_be_dropped = |name: &str| required.strings().any(|required| !is_all(required) && adds(name, required));
    let allowed = settings.strings(ALLOWED);
    let is_allowed = |name: &str| allowed.has("*") || allowed.has(name) || settings.strings(DEFAULT_ADD).has(name);
    check_added(pod, &ADD_REQUIRED_DROP, found, must_be_dropped);
    check_added(pod, &ADD_NOT_ALLOWED, found, |name| !must_be_dropped(name) && !is_allowed(name));
}

static NON_DEFAULT: Rule = Rule {
    control: "capabilities_baseline",
    reason: "non-default capabilities",
    detail: ADD_NOT_ALLOWED.detail,
    fix: ADD_NOT_ALLOWED.fix,
    mend: ADD_NOT_ALLOWED.mend,
    ..Rule::PLAIN
};

static STANDARD_DROP_ALL: Rule = Rule { control: "capabilities_restricted", ..DROP_ALL };

static STANDARD_ADD: Rule = Rule { control: "capabilities_restricted", setting: None, ..ADD_NOT_ALLOWED };

/// Checks the baseline control of the Pod Security Standards, which compares names exactly.
pub fn check_baseline<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    check_added(pod, &NON_DEFAULT, found, |name| !DEFAULTS.contains(&name));
}

/// Checks the restricted control of the Pod Security Standards.
pub fn check_restricted<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    for container in pod.containers() {
        if !container.get(DROP).unwrap_or_default().has("ALL") {
            found.add(&STANDARD_DROP_ALL, container.at(DROP));
        }
    }
    check_added(pod, &STANDARD_ADD, found, |name| name != "NET_BIND_SERVICE");
}

/// The capabilities that a container starts with, except `NET_RAW`.
pub static DEFAULTS: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Reports each added capability that is wrong.
fn check_added<'v>(pod: &Pod<'v>, rule: &'static Rule, found: &mut Violations<'v>, is_wrong: impl Fn(&str) -> bool) {
    for container in pod.containers() {
        for (index, added) in container.get(ADD).unwrap_or_default().objects().enumerate() {
            if is_wrong(added.string().unwrap_or_default()) {
                found.add(rule, container.at(ADD).element(index, added));
            }
        }
    }
}

/// Adds the missing drops and the missing default capabilities.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    if !settings.is(MUTATE) || pod.is_windows() {
        return;
    }
    for container in pod.containers() {
        let added = container.get(ADD).unwrap_or_default();
        let missing_adds =
            settings.strings(DEFAULT_ADD).strings().filter(|name| !added.strings().any(|a| adds(a, name)));
        let mut members = Vec::new();
        extend(&mut members, "add", added, missing_adds);
        let dropped = container.get(DROP).unwrap_or_default();
        extend(
            &mut members,
            "drop",
            dropped,
            missing_drops(&container, settings.strings(REQUIRED_DROP), true).map(to_drop),
        );
        edits.container(&container, "securityContext.capabilities", members);
    }
}

/// Sets the member `key` to the list with the names appended, if there are any names.
fn extend<'n>(
    members: &mut Vec<(&'static str, String)>,
    key: &'static str,
    list: List<'_>,
    names: impl Iterator<Item = &'n str>,
) {
    let mut json = String::from(list.raw().trim_end_matches(']').trim_end());
    let mut is_empty = list.is_empty();
    let before = json.len();
    for name in names {
        json.push_str(if json.is_empty() {
            "["
        } else if is_empty {
            ""
        } else {
            ","
        });
        is_empty = false;
        quote(name, &mut json);
    }
    if json.len() > before {
        json.push(']');
        members.push((key, json));
    }
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// A capability of `defaultAddCapabilities` must be dropped according to `requiredDropCapabilities`.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    let required = settings.strings(REQUIRED_DROP);
    for name in settings.strings(DEFAULT_ADD).strings() {
        if required.strings().any(|required| !is_all(required) && adds(name, required)) {
            let mut message = String::from("defaultAddCapabilities: expected none of requiredDropCapabilities, found ");
            quote(name, &mut message);
            return Err(message);
        }
    }
    Ok(())
}

/// Returns the required capabilities that a container does not drop. A drop must be the name without `CAP_`, or `ALL`,
/// in upper or lower case; with `as_standard`, a required `ALL` only in upper case, which is all that the built-in
/// admission recognizes.
fn missing_drops<'s>(
    container: &Container<'_>,
    required: List<'s>,
    as_standard: bool,
) -> impl Iterator<Item = &'s str> {
    let dropped = container.get(DROP).unwrap_or_default();
    // Runtimes add the prefix `CAP_` to every name but `ALL`, so `CAP_ALL` drops nothing.
    let asks_all = required.strings().any(is_all);
    let is_exact = as_standard && asks_all;
    let drops_all = dropped.strings().any(|name| name == "ALL" || !is_exact && name.eq_ignore_ascii_case("ALL"));
    let missing =
        move |name: &&str| is_exact || !dropped.strings().any(|dropped| dropped.eq_ignore_ascii_case(bare(name)));
    let relevant = move |name: &&str| !asks_all || is_all(name);
    required.strings().filter(move |_| !drops_all).filter(relevant).filter(missing)
}

/// Returns the name to write into `drop`. The built-in admission recognizes `ALL` only in this spelling.
fn to_drop(name: &str) -> &str {
    if is_all(name) { "ALL" } else { bare(name) }
}

/// Whether adding the capability `added`, in any spelling, adds the capability `name`.
fn adds(added: &str, name: &str) -> bool {
    is_all(added) || bare(added).eq_ignore_ascii_case(bare(name))
}

fn is_all(name: &str) -> bool {
    bare(name).eq_ignore_ascii_case("ALL")
}

/// Returns the name without its prefix `CAP_`.
fn bare(name: &str) -> &str {
    match name.split_at_checked(4) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("CAP_") => rest,
        _ => name,
    }
}
