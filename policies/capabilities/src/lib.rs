//! Rejects containers that add capabilities that are not allowed, or do not drop the required ones.
//!
//! A capability is one of root's privileges, and a container starts with fourteen of them. `SYS_ADMIN` alone is
//! nearly all of root, `NET_RAW` can forge packets, `DAC_OVERRIDE` ignores file permissions. A container that drops
//! all of them and adds back what it needs cannot be abused for the rest.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Container, Edits, List, Pod, Rule, Settings, String, Vec, Violations, quote};

podfence_core::fields! {
    ADD: StringList = Container "securityContext.capabilities.add",
        allowed "within `allowedCapabilities` (`NET_BIND_SERVICE`), not in `requiredDropCapabilities`";
    DROP: StringList = Container "securityContext.capabilities.drop",
        allowed "has `ALL`, or each of `requiredDropCapabilities`";
}

podfence_core::settings! {
    /// Capabilities that containers may add, written as they are here; `"*"` stands for any.
    ALLOWED: StringList = "allowedCapabilities", alias "allowed_capabilities", default "[\"NET_BIND_SERVICE\"]";
    /// Capabilities that every container must drop, and may not add in any spelling. A container that drops
    /// `ALL` drops each of them; nothing less than that meets `ALL` here.
    REQUIRED_DROP: StringList = "requiredDropCapabilities", alias "required_drop_capabilities", default "[\"ALL\"]";
    /// With `mutate`, capabilities that every container gets; they are allowed as well.
    DEFAULT_ADD: StringList = "defaultAddCapabilities", alias "default_add_capabilities", default "[]",
        shown_if "mutate" = ["true"];
    /// Whether to add what is missing of `requiredDropCapabilities` and `defaultAddCapabilities`, instead of
    /// rejecting.
    MUTATE: Bool = "mutate", default "false", mutates if true;
}

podfence_core::policy! { name: "capabilities", check: check, mutate: mutate, validate: validate }

static DROP_ALL: Rule = Rule {
    control: "capabilities",
    reason: "unrestricted capabilities",
    detail: "{who} must set securityContext.capabilities.drop=[\"ALL\"]",
    fix: "set securityContext.capabilities.drop to [\"ALL\"]",
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
    setting: Some(REQUIRED_DROP.path),
    ..Rule::PLAIN
};

static ADD_NOT_ALLOWED: Rule = Rule {
    control: "capabilities",
    reason: "unrestricted capabilities",
    detail: "{who} must not include {values} in securityContext.capabilities.add",
    fix: "remove it from securityContext.capabilities.add",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

/// Looks for capabilities that are added though they may not be, or not dropped though they must be.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let required = settings.strings(REQUIRED_DROP);
    // Windows knows no capabilities, so nobody can be asked to drop them there.
    if !pod.is_windows() {
        let rule = if required.strings().any(is_all) { &DROP_ALL } else { &DROP_REQUIRED };
        for container in pod.containers() {
            if missing_drops(&container, required).next().is_some() {
                found.add(rule, container.at(DROP));
            }
        }
    }
    let must_be_dropped = |name: &str| required.strings().any(|required| !is_all(required) && adds(name, required));
    let allowed = settings.strings(ALLOWED);
    let is_allowed = |name: &str| allowed.has("*") || allowed.has(name) || settings.strings(DEFAULT_ADD).has(name);
    add(pod, &ADD_REQUIRED_DROP, found, must_be_dropped);
    add(pod, &ADD_NOT_ALLOWED, found, |name| !must_be_dropped(name) && !is_allowed(name));
}

static NON_DEFAULT: Rule = Rule {
    control: "capabilities_baseline",
    reason: "non-default capabilities",
    detail: ADD_NOT_ALLOWED.detail,
    fix: ADD_NOT_ALLOWED.fix,
    ..Rule::PLAIN
};

static STANDARD_DROP_ALL: Rule = Rule { control: "capabilities_restricted", ..DROP_ALL };

static STANDARD_ADD: Rule = Rule { control: "capabilities_restricted", setting: None, ..ADD_NOT_ALLOWED };

/// The baseline control of the Pod Security Standards, which knows each name in one spelling.
pub fn check_baseline<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    add(pod, &NON_DEFAULT, found, |name| !DEFAULTS.contains(&name));
}

/// Their restricted control.
pub fn check_restricted<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    for container in pod.containers() {
        if !container.get(DROP).unwrap_or_default().has("ALL") {
            found.add(&STANDARD_DROP_ALL, container.at(DROP));
        }
    }
    add(pod, &STANDARD_ADD, found, |name| name != "NET_BIND_SERVICE");
}

/// The capabilities that a container starts with, but for `NET_RAW`.
static DEFAULTS: [&str; 13] = [
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

fn add<'v>(pod: &Pod<'v>, rule: &'static Rule, found: &mut Violations<'v>, is_wrong: impl Fn(&str) -> bool) {
    for container in pod.containers() {
        for (index, added) in container.get(ADD).unwrap_or_default().objects().enumerate() {
            if is_wrong(added.string().unwrap_or_default()) {
                found.add(rule, container.at(ADD).element(index, added));
            }
        }
    }
}

/// Adds the drops and the capabilities that are missing.
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
        extend(&mut members, "drop", dropped, missing_drops(&container, settings.strings(REQUIRED_DROP)).map(to_drop));
        edits.container(&container, "securityContext.capabilities", members);
    }
}

/// Sets a member to a list with more names behind those it has, if there are more.
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

/// What the settings' types cannot say.
///
/// # Errors
/// A capability would be added by default that must be dropped.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    let required = settings.strings(REQUIRED_DROP);
    for name in settings.strings(DEFAULT_ADD).strings() {
        if required.strings().any(|required| !is_all(required) && adds(name, required)) {
            let mut message = String::from("defaultAddCapabilities: ");
            quote(name, &mut message);
            message.push_str(" is in requiredDropCapabilities as well");
            return Err(message);
        }
    }
    Ok(())
}

/// The required capabilities that a container does not drop. Only the bare name counts, or `ALL`, in any case.
fn missing_drops<'s>(container: &Container<'_>, required: List<'s>) -> impl Iterator<Item = &'s str> {
    let dropped = container.get(DROP).unwrap_or_default();
    // Runtimes add `CAP_` to any other name, so `CAP_ALL` drops nothing.
    let drops_all = dropped.strings().any(|name| name.eq_ignore_ascii_case("ALL"));
    let asks_all = required.strings().any(is_all);
    let missing = move |name: &&str| !dropped.strings().any(|dropped| dropped.eq_ignore_ascii_case(bare(name)));
    let relevant = move |name: &&str| !asks_all || is_all(name);
    required.strings().filter(move |_| !drops_all).filter(relevant).filter(missing)
}

/// How a capability is dropped: the built-in admission knows `ALL` in no other spelling.
fn to_drop(name: &str) -> &str {
    if is_all(name) { "ALL" } else { bare(name) }
}

/// Whether adding one capability, however it is written, adds another.
fn adds(added: &str, name: &str) -> bool {
    is_all(added) || bare(added).eq_ignore_ascii_case(bare(name))
}

fn is_all(name: &str) -> bool {
    bare(name).eq_ignore_ascii_case("ALL")
}

/// The name without `CAP_`.
fn bare(name: &str) -> &str {
    match name.split_at_checked(4) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("CAP_") => rest,
        _ => name,
    }
}
