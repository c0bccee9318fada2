//! Rejects containers that run without an allowed seccomp profile.
//!
//! Without a profile, a container may make every system call of the kernel. Most containers need a fraction of
//! them, and most ways out of a container use one of the rest. The runtime's default profile blocks those; a
//! profile of your own on the node can block more.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Edits, Field, Object, Place, Pod, Profile, Rule, Settings, String, Violations, quote, types, vec};

podfence_core::fields! {
    PROFILE: Object = Both "securityContext.seccompProfile";
    TYPE: String = Both "securityContext.seccompProfile.type",
        allowed "set at the pod or at each container, within `allowedProfiles` (`RuntimeDefault`, `Localhost`)";
    FILE: String = Both "securityContext.seccompProfile.localhostProfile",
        allowed "within `allowedLocalhostFiles` (any)";
}

podfence_core::settings! {
    /// Types that a profile may have: `RuntimeDefault`, `Localhost`, `Unconfined`, or `"*"` for any. The
    /// spelling of the old annotations works too: `runtime/default`, `docker/default`, `unconfined`,
    /// `localhost/<file>`, `localhost/*`. The Kubewarden policy's `profile_types` stands before its
    /// `allowed_profiles`, which was for annotations that Kubernetes no longer reads.
    ALLOWED: StringList = "allowedProfiles", alias "profile_types", alias "allowed_profiles",
        default "[\"RuntimeDefault\",\"Localhost\"]";
    /// Files that a profile of type `Localhost` may name, whole; `"*"` stands for any.
    FILES: StringList = "allowedLocalhostFiles", alias "localhost_profiles", default "[\"*\"]";
    /// Whether every container must have a profile, its own or the pod's.
    REQUIRED: Bool = "required", default "true";
    /// The profile that a pod gets where it and one of its containers have none: `RuntimeDefault`,
    /// `Unconfined` or `localhost/<file>`. It must be an allowed one.
    DEFAULT_PROFILE: String = "defaultProfile", mutates if set;
}

podfence_core::policy! { name: "seccomp", check: check, mutate: mutate, validate: validate }

static FORBIDDEN_TYPE: Rule = Rule {
    control: "seccompProfile",
    reason: "seccompProfile",
    detail: "{who} must not set securityContext.seccompProfile.type to {values}",
    fix: "set securityContext.seccompProfile.type to RuntimeDefault",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

static FORBIDDEN_FILE: Rule = Rule {
    control: "seccompProfile",
    reason: "seccompProfile",
    detail: "{who} must not set securityContext.seccompProfile.localhostProfile to {values}",
    fix: "set securityContext.seccompProfile.localhostProfile to a file that is allowed",
    setting: Some(FILES.path),
    ..Rule::PLAIN
};

static MISSING: Rule = Rule {
    control: "seccompProfile",
    reason: "seccompProfile",
    detail: "pod or {who} must set securityContext.seccompProfile.type to {allowed}",
    fix: "set securityContext.seccompProfile.type of the pod to RuntimeDefault",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

/// The same where what is allowed are no types that could be told.
static MISSING_ANY: Rule = Rule {
    detail: "pod or {who} must set securityContext.seccompProfile",
    fix: "set securityContext.seccompProfile of the pod to a profile that is allowed",
    ..MISSING
};

/// Looks for profiles that are not allowed, or that are missing.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    // Windows knows no seccomp, so nobody can be asked to set it there.
    let is_required = settings.is(REQUIRED) && !pod.is_windows();
    let missing = if Profile::are_types(settings.strings(ALLOWED)) { &MISSING } else { &MISSING_ANY };
    judge(pod, |is| refusal(is, settings), if is_required { Some(missing) } else { None }, found);
}

static BASELINE: Rule = Rule { control: "seccompProfile_baseline", setting: None, ..FORBIDDEN_TYPE };

static RESTRICTED: Rule = Rule { control: "seccompProfile_restricted", ..BASELINE };

static RESTRICTED_MISSING: Rule = Rule {
    detail: "pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
    fix: MISSING.fix,
    ..RESTRICTED
};

/// The baseline control of the Pod Security Standards, since 1.19.
pub fn check_baseline<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    judge(pod, |is| refusal_by_standard(is, &BASELINE), None, found);
}

/// Their restricted control.
pub fn check_restricted<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    judge(pod, |is| refusal_by_standard(is, &RESTRICTED), Some(&RESTRICTED_MISSING), found);
}

fn refusal_by_standard(is: Profile<'_>, rule: &'static Rule) -> Refusal {
    match is {
        Profile::RuntimeDefault | Profile::Localhost(_) => None,
        _ => Some((rule, TYPE)),
    }
}

/// Looks at every profile that is set; if all are allowed, and given the rule, for containers without one.
fn judge<'v>(
    pod: &Pod<'v>,
    refusal: impl Fn(Profile<'v>) -> Refusal,
    missing: Option<&'static Rule>,
    found: &mut Violations<'v>,
) {
    let mut missing = missing;
    let mut judge = |profile: Option<Object<'v>>, at: &dyn Fn(Field<types::String>) -> Place<'v>| {
        let Some(profile) = profile else { return };
        if let Some((rule, field)) = refusal(Profile::of_fields(profile.get(TYPE), profile.get(FILE))) {
            found.add(rule, at(field).value(profile.at(field)));
            missing = None;
        }
    };
    // A later container inherits what the pod sets, so that counts even where every container overrides it.
    judge(pod.get(PROFILE), &|field| pod.at(field));
    for container in pod.containers() {
        judge(container.get(PROFILE), &|field| container.at(field));
    }
    let Some(missing) = missing else { return };
    for container in pod.containers().filter(|container| container.effective(PROFILE).is_none()) {
        found.add(missing, container.at(TYPE));
    }
}

/// Why a profile is not allowed, and the field that says so; `None` if it is.
type Refusal = Option<(&'static Rule, Field<types::String>)>;

fn refusal(is: Profile<'_>, settings: &Settings<'_>) -> Refusal {
    let files = settings.strings(FILES);
    let mut wrong = (&FORBIDDEN_TYPE, TYPE);
    for allowed in settings.strings(ALLOWED).strings().map(Profile::of_setting) {
        let is_allowed = match (allowed, is) {
            (Profile::Any | Profile::Localhost(""), Profile::Localhost(file)) => {
                files.has("*") || !file.is_empty() && files.has(file)
            }
            (Profile::Any, _) => true,
            (allowed, is) => allowed == is && is != Profile::Unknown,
        };
        if is_allowed {
            return None;
        }
        if let (Profile::Any | Profile::Localhost(_), Profile::Localhost(_)) = (allowed, is) {
            wrong = (&FORBIDDEN_FILE, FILE);
        }
    }
    Some(wrong)
}

/// Gives the default profile to a pod where something would run without one.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    let Some(default) = settings.get(DEFAULT_PROFILE) else { return };
    if pod.is_windows() || !pod.containers().any(|container| container.effective(PROFILE).is_none()) {
        return;
    }
    let json = match Profile::of_setting(default) {
        Profile::Localhost(file) => {
            let mut json = String::from("{\"type\":\"Localhost\",\"localhostProfile\":");
            quote(file, &mut json);
            json.push('}');
            json
        }
        Profile::Unconfined => String::from("{\"type\":\"Unconfined\"}"),
        _ => String::from("{\"type\":\"RuntimeDefault\"}"),
    };
    edits.pod(pod, "securityContext", vec![("seccompProfile", json)]);
}

/// What the settings' types cannot say.
///
/// # Errors
/// A profile is spelled in a way that is not known, or the default one names no file or is not allowed.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    let refuse = |setting: &str, spelled: &str, parts: [&str; 3]| {
        let mut message = [setting, parts[0]].concat();
        quote(spelled, &mut message);
        parts[1..].iter().for_each(|part| message.push_str(part));
        Err(message)
    };
    let unknown = |expected| [": unknown profile ", ", expected ", expected];
    for spelled in settings.strings(ALLOWED).strings() {
        if Profile::of_setting(spelled) == Profile::Unknown {
            return refuse(ALLOWED.path, spelled, unknown("RuntimeDefault, Localhost, Unconfined or *"));
        }
    }
    let Some(spelled) = settings.get(DEFAULT_PROFILE) else { return Ok(()) };
    match Profile::of_setting(spelled) {
        Profile::Unknown | Profile::Any | Profile::Localhost("") => {
            refuse(DEFAULT_PROFILE.path, spelled, unknown("RuntimeDefault, Unconfined or localhost/<file>"))
        }
        default => match refusal(default, settings) {
            // Every pod that gets it would be rejected for it.
            Some((rule, _)) => {
                let setting = rule.setting.unwrap_or_default();
                refuse(DEFAULT_PROFILE.path, spelled, [": profile ", " is not allowed by ", setting])
            }
            None => Ok(()),
        },
    }
}
