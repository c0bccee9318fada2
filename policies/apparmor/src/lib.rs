//! Rejects pods whose AppArmor profile is not allowed.
//!
//! An unconfined container may write to `/proc` and `/sys`, and mount file systems, unless something else stops it.
//! The runtime's default profile costs nothing; a profile of your own on the node can restrict more.
#![cfg_attr(not(test), no_std)]

use podfence_core::{
    Field, Object, Place, Pod, Profile, Rule, Settings, String, Vec, Violations, problem, sort, types,
};

podfence_core::fields! {
    PROFILE: Object = Both "securityContext.appArmorProfile";
    TYPE: String = Both "securityContext.appArmorProfile.type",
        allowed "unset, or within `allowedProfiles` (`RuntimeDefault`, `Localhost`); each container needs a profile if \
            `required` is `true`";
    FILE: String = Both "securityContext.appArmorProfile.localhostProfile",
        allowed "within `allowedLocalhostFiles` (any)";
    ANNOTATION: String = Metadata "annotations[\"container.apparmor.security.beta.kubernetes.io/*\"]",
        allowed "empty, or within `allowedProfiles` (`runtime/default`, `localhost/<file>`) and \
            `allowedLocalhostFiles` (any), even if no container has that name";
}

podfence_core::settings! {
    /// Allows these types of profiles: `RuntimeDefault`, `Localhost`, `Unconfined`, or `"*"` for any. The spelling of
    /// the annotations works as well: `runtime/default`, `unconfined`, `localhost/<file>` (only that file),
    /// `localhost/*` (the same as `Localhost`).
    ALLOWED: StringList = "allowedProfiles", alias "allowed_profiles", default "[\"RuntimeDefault\",\"Localhost\"]";
    /// Allows these files (names of profiles on the node) for profiles of type `Localhost`. Names are compared
    /// exactly; `"*"` stands for any.
    FILES: StringList = "allowedLocalhostFiles", default "[\"*\"]";
    /// Requires a profile for every container: its own, one by annotation, or the pod's. Does not apply to Windows
    /// pods.
    REQUIRED: Bool = "required", default "false";
}

podfence_core::policy! { name: "apparmor", check: check, validate: validate }

static FORBIDDEN_TYPE: Rule = Rule {
    control: "appArmorProfile",
    reason: "forbidden AppArmor {values:profile|profiles}",
    detail: "{who} must not set AppArmor profile type to {values}",
    fix: "set securityContext.appArmorProfile.type to RuntimeDefault, and remove the annotation",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

static FORBIDDEN_FILE: Rule = Rule {
    detail: "{who} must not set AppArmor localhost profile to {values}",
    fix: "set securityContext.appArmorProfile.localhostProfile to a file that is allowed",
    setting: Some(FILES.path),
    ..FORBIDDEN_TYPE
};

static FORBIDDEN_FILE_OF_TYPE: Rule = Rule { setting: Some(ALLOWED.path), ..FORBIDDEN_FILE };

static MISSING: Rule = Rule {
    reason: "missing AppArmor profile",
    detail: "pod or {who} must set securityContext.appArmorProfile.type to {allowed}",
    fix: "set securityContext.appArmorProfile.type of the pod to RuntimeDefault",
    ..FORBIDDEN_TYPE
};

/// Replaces [`MISSING`] if `allowedProfiles` is not a plain list of types that the message could list.
static MISSING_ANY: Rule = Rule {
    detail: "pod or {who} must set securityContext.appArmorProfile",
    fix: "set securityContext.appArmorProfile of the pod to a profile that is allowed",
    ..MISSING
};

/// The prefix of the annotation's key; the container's name follows.
const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Reads the value of an annotation, which supports only the old spelling.
fn of_annotation(value: &str) -> Profile<'_> {
    match (value, value.strip_prefix("localhost/")) {
        (_, Some(file)) => Profile::Localhost(file),
        ("runtime/default", _) => Profile::RuntimeDefault,
        ("unconfined", _) => Profile::Unconfined,
        _ => Profile::Unknown,
    }
}

/// Reports profiles that are not allowed, and required profiles that are missing.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let (allowed, files) = (settings.strings(ALLOWED), settings.strings(FILES));
    check_profiles(pod, found, |is| {
        let mut wrong = Some((&FORBIDDEN_TYPE, TYPE));
        for allowed in allowed.strings().map(Profile::of_setting) {
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
            match (allowed, is) {
                (Profile::Any | Profile::Localhost(""), Profile::Localhost(_)) => wrong = Some((&FORBIDDEN_FILE, FILE)),
                (Profile::Localhost(_), Profile::Localhost(_)) => wrong = Some((&FORBIDDEN_FILE_OF_TYPE, FILE)),
                _ => {}
            }
        }
        wrong
    });
    // Windows has no AppArmor, so no profile can be required there.
    if settings.is(REQUIRED) && !pod.is_windows() {
        let missing = if Profile::are_types(allowed) { &MISSING } else { &MISSING_ANY };
        let mut annotated: Vec<_> = annotations(pod).map(|(key, _)| (key, "")).collect();
        sort(&mut annotated);
        for container in pod.containers().filter(|container| container.effective(PROFILE).is_none()) {
            let is_name = |key: &str| key.strip_prefix(PREFIX).unwrap_or_default().cmp(container.name);
            if annotated.binary_search_by(|(key, _)| is_name(key)).is_err() {
                found.add(missing, container.at(TYPE));
            }
        }
    }
}

/// Reports profiles that the Pod Security Standards do not allow.
pub fn check_standard<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    check_profiles(pod, found, |is| match is {
        Profile::RuntimeDefault | Profile::Localhost(_) => None,
        _ => Some((&FORBIDDEN_TYPE, TYPE)),
    });
}

/// The rule that a profile violates and the field to report; `None` if it is allowed.
type Refusal = Option<(&'static Rule, Field<types::String>)>;

/// Checks every profile that is set, including ones that have no effect.
fn check_profiles<'v>(pod: &Pod<'v>, found: &mut Violations<'v>, refusal: impl Fn(Profile<'v>) -> Refusal) {
    let mut of_field = |profile: Option<Object<'v>>, at: &dyn Fn(Field<types::String>) -> Place<'v>| {
        let Some(profile) = profile else { return };
        if let Some((rule, field)) = refusal(Profile::of_fields(profile.get(TYPE), profile.get(FILE))) {
            found.add(rule, at(field).value(profile.at(field)));
        }
    };
    // Counts even if every container overrides it, since a container that is added later inherits it.
    of_field(pod.get(PROFILE), &|field| pod.at(field));
    for container in pod.containers() {
        of_field(container.get(PROFILE), &|field| container.at(field));
    }
    for (key, value) in annotations(pod) {
        if let Some((rule, _)) = refusal(of_annotation(value.string().unwrap_or_default())) {
            found.add(rule, pod.at_annotation(key, value));
        }
    }
}

/// Returns the annotations that set a profile.
fn annotations<'v>(pod: &Pod<'v>) -> impl Iterator<Item = (&'v str, Object<'v>)> {
    pod.metadata(ANNOTATION).filter(|(_, value)| value.string() != Some(""))
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// The spelling of a profile is unknown.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    match settings.strings(ALLOWED).strings().find(|spelled| Profile::of_setting(spelled) == Profile::Unknown) {
        Some(spelled) => Err(problem(
            ALLOWED.path,
            "expected RuntimeDefault, Localhost, Unconfined, localhost/<file> or *, found ",
            spelled,
        )),
        None => Ok(()),
    }
}
