//! Rejects containers that run without an allowed seccomp profile.
//!
//! Without a profile, a container may make every system call of the kernel. Most containers need a fraction of
//! them, and most ways out of a container use one of the rest. The runtime's default profile blocks those; a
//! profile of your own on the node can block more.
#![cfg_attr(not(test), no_std)]

use podfence_core::{
    Container, Edits, Field, Object, Place, Pod, Profile, Refusal, Rule, Settings, String, Violations, concat, quote,
    types,
};

podfence_core::fields! {
    PROFILE: Object = Both "securityContext.seccompProfile";
    TYPE: String = Both "securityContext.seccompProfile.type",
        allowed "within `allowedProfiles` (`RuntimeDefault`, `Localhost`); set at the pod or at each container unless \
            `required` (`true`) is `false`";
    FILE: String = Both "securityContext.seccompProfile.localhostProfile",
        allowed "within `allowedLocalhostFiles` (any), and set where the type is `Localhost`";
}

podfence_core::settings! {
    /// Allows these types of profiles: `RuntimeDefault`, `Localhost`, `Unconfined`, or `"*"` for any. The spelling of
    /// the old annotations works as well: `runtime/default`, `docker/default`, `unconfined`, `localhost/<file>` (only
    /// that file), `localhost/*` (the same as `Localhost`). The Kubewarden policy's `profile_types` takes precedence
    /// over its `allowed_profiles`, which was for annotations that Kubernetes no longer reads.
    ALLOWED: StringList = "allowedProfiles", alias "profile_types", alias "allowed_profiles",
        default "[\"RuntimeDefault\",\"Localhost\"]";
    /// Allows these files for profiles of type `Localhost`. Names are compared exactly; `"*"` stands for any.
    FILES: StringList = "allowedLocalhostFiles", alias "localhost_profiles", default "[\"*\"]";
    /// Requires a profile for every container: its own or the pod's. Does not apply to Windows pods.
    REQUIRED: Bool = "required", default "true";
    /// Sets this profile for a pod that has none, if one of its containers has none either: `RuntimeDefault`,
    /// `Unconfined` or `localhost/<file>`. It must be an allowed one. Beside exempt containers, it is set at each of the
    /// other containers. Windows pods are not changed.
    DEFAULT_PROFILE: String = "defaultProfile", mutates if set;
}

podfence_core::policy! { name: "seccomp", check: check, mutate: mutate, validate: validate }

static FORBIDDEN_TYPE: Rule = Rule {
    control: "seccompProfile",
    reason: "seccompProfile",
    detail: "{who} must not set securityContext.seccompProfile.type to {values}",
    fix: "set securityContext.seccompProfile.type to RuntimeDefault",
    mend: Profile::DEFAULT,
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

static MISSING_FILE: Rule = Rule {
    control: "seccompProfile",
    reason: "seccompProfile",
    detail: "{who} must set securityContext.seccompProfile.localhostProfile",
    fix: "set securityContext.seccompProfile.localhostProfile to the file of the profile",
    ..Rule::PLAIN
};

static MISSING: Rule = Rule {
    control: "seccompProfile",
    reason: "seccompProfile",
    detail: "pod or {who} must set securityContext.seccompProfile.type to {allowed}",
    fix: "set securityContext.seccompProfile.type of the pod to RuntimeDefault",
    mend: Profile::POD_DEFAULT,
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

/// Replaces [`MISSING`] if `allowedProfiles` is not a plain list of types that the message could list.
static MISSING_ANY: Rule = Rule {
    detail: "pod or {who} must set securityContext.seccompProfile",
    fix: "set securityContext.seccompProfile of the pod to a profile that is allowed",
    ..MISSING
};

/// Reports profiles that are not allowed, and required profiles that are missing.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    // Windows has no seccomp, so no profile can be required there.
    let is_required = settings.is(REQUIRED) && !pod.is_windows();
    let missing = if Profile::are_types(settings.strings(ALLOWED)) { &MISSING } else { &MISSING_ANY };
    let is_default_allowed = violated(Profile::RuntimeDefault, settings).is_none();
    let missing = if is_required { Some(missing) } else { None };
    check_profiles(pod, |is| violated(is, settings), missing, is_default_allowed, found);
}

static BASELINE: Rule = Rule { control: "seccompProfile_baseline", setting: None, ..FORBIDDEN_TYPE };

static RESTRICTED: Rule = Rule { control: "seccompProfile_restricted", ..BASELINE };

static RESTRICTED_MISSING: Rule = Rule {
    detail: "pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
    fix: MISSING.fix,
    mend: MISSING.mend,
    ..RESTRICTED
};

/// Checks the baseline control of the Pod Security Standards, as it is since 1.19.
pub fn check_baseline<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    check_profiles(pod, |is| violated_by_standard(is, &BASELINE), None, true, found);
}

/// Checks the restricted control of the Pod Security Standards.
pub fn check_restricted<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    check_profiles(pod, |is| violated_by_standard(is, &RESTRICTED), Some(&RESTRICTED_MISSING), true, found);
}

fn violated_by_standard(is: Profile<'_>, rule: &'static Rule) -> Violated {
    match is {
        Profile::RuntimeDefault | Profile::Localhost(_) => None,
        _ => Some((rule, TYPE)),
    }
}

/// Checks every profile that is set. If all are allowed, reports containers without one as violations of `missing`, if
/// that is a rule.
fn check_profiles<'v>(
    pod: &Pod<'v>,
    violated: impl Fn(Profile<'v>) -> Violated,
    missing: Option<&'static Rule>,
    is_default_allowed: bool,
    found: &mut Violations<'v>,
) {
    let mut missing = missing;
    let mut check = |profile: Option<Object<'v>>, at: &dyn Fn(Field<types::String>) -> Place<'v>| {
        let Some(profile) = profile else { return };
        if let Some((rule, field)) = violated(Profile::of_fields(profile.get(TYPE), profile.get(FILE))) {
            let place = at(field).value(profile.at(field));
            found.add(rule, Profile::mended(place, profile.at(FILE).is_some(), is_default_allowed));
            missing = None;
        }
    };
    // Counts even if every container overrides it, since a container that is added later inherits it.
    check(pod.get(PROFILE), &|field| pod.at(field));
    for container in pod.containers() {
        check(container.get(PROFILE), &|field| container.at(field));
    }
    let Some(missing) = missing else { return };
    for container in pod.containers().filter(|container| container.effective(PROFILE).is_none()) {
        let place = container.at(TYPE);
        // The pod's would reach exempt containers.
        let place = if pod.has_exempt_containers() { place.mend(Profile::DEFAULT) } else { place };
        found.add(missing, Profile::mended(place, false, is_default_allowed));
    }
}

/// The rule that a profile violates and the field to report; `None` if it is allowed.
type Violated = Option<(&'static Rule, Field<types::String>)>;

fn violated(is: Profile<'_>, settings: &Settings<'_>) -> Violated {
    Some(match is.refusal(settings.strings(ALLOWED), settings.strings(FILES))? {
        Refusal::MissingFile => (&MISSING_FILE, FILE),
        Refusal::Type => (&FORBIDDEN_TYPE, TYPE),
        Refusal::File | Refusal::OtherFile => (&FORBIDDEN_FILE, FILE),
    })
}

/// Sets the default profile for containers that would run without a profile.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    if let Some(default) = settings.get(DEFAULT_PROFILE).filter(|_| !pod.is_windows()) {
        let lacks = |container: &Container<'v>| container.effective(PROFILE).is_none();
        Profile::of_setting(default).fill_in("seccompProfile", pod, edits, pod.has_exempt_containers(), lacks);
    }
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// The spelling of a profile is unknown, or the default profile names no file or is not allowed.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    let refuse = |setting: &str, spelled: &str, parts: [&str; 3]| {
        let mut quoted = String::new();
        quote(spelled, &mut quoted);
        Err(concat(&[setting, parts[0], &quoted, parts[1], parts[2]]))
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
        default => match violated(default, settings) {
            // Otherwise, every pod that gets the default would be rejected for it.
            Some((rule, _)) => {
                let setting = rule.setting.unwrap_or_default();
                refuse(DEFAULT_PROFILE.path, spelled, [": profile ", " is not allowed by ", setting])
            }
            None => Ok(()),
        },
    }
}
