//! Rejects pods whose AppArmor profile is not allowed.
//!
//! An unconfined container may write to `/proc` and `/sys`, and mount file systems, unless something else stops it.
//! The runtime's default profile costs nothing; a profile of your own on the node can restrict more.
#![cfg_attr(not(test), no_std)]

use podfence_core::{
    Container, Edits, Field, Mend, Object, Place, Pod, Profile, Refusal, Rule, Settings, String, Vec, Violations,
    problem, sort, types,
};

podfence_core::fields! {
    PROFILE: Object = Both "securityContext.appArmorProfile";
    TYPE: String = Both "securityContext.appArmorProfile.type",
        allowed "unset, or within `allowedProfiles` (`RuntimeDefault`, `Localhost`); each container needs a profile if \
            `required` is `true`";
    FILE: String = Both "securityContext.appArmorProfile.localhostProfile",
        allowed "within `allowedLocalhostFiles` (any), and set where the type is `Localhost`";
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
    /// Sets this profile for a pod that has none, if one of its containers has none either: `RuntimeDefault`,
    /// `Unconfined` or `localhost/<file>`. It must be an allowed one. Beside exempt containers and annotations, it is
    /// set at each of the other containers. Windows pods are not changed.
    DEFAULT_PROFILE: String = "defaultProfile", mutates if set;
}

podfence_core::policy! { name: "apparmor", check: check, mutate: mutate, validate: validate }

static FORBIDDEN_TYPE: Rule = Rule {
    control: "appArmorProfile",
    reason: "forbidden AppArmor {values:profile|profiles}",
    detail: "{who} must not set AppArmor profile type to {values}",
    fix: "set securityContext.appArmorProfile.type to RuntimeDefault, and remove the annotation",
    mend: Profile::DEFAULT,
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

static FORBIDDEN_FILE: Rule = Rule {
    detail: "{who} must not set AppArmor localhost profile to {values}",
    fix: "set securityContext.appArmorProfile.localhostProfile to a file that is allowed",
    mend: Mend::NONE,
    setting: Some(FILES.path),
    ..FORBIDDEN_TYPE
};

static FORBIDDEN_FILE_OF_TYPE: Rule = Rule { setting: Some(ALLOWED.path), ..FORBIDDEN_FILE };

static MISSING_FILE: Rule = Rule {
    reason: "missing AppArmor localhost profile",
    detail: "{who} must name an AppArmor localhost profile",
    fix: "set securityContext.appArmorProfile.localhostProfile to the name of the profile",
    mend: Mend::NONE,
    setting: None,
    ..FORBIDDEN_TYPE
};

static MISSING: Rule = Rule {
    reason: "missing AppArmor profile",
    detail: "pod or {who} must set securityContext.appArmorProfile.type to {allowed}",
    fix: "set securityContext.appArmorProfile.type of the pod to RuntimeDefault",
    mend: Profile::POD_DEFAULT,
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
    let is_default_allowed = violated(Profile::RuntimeDefault, settings).is_none();
    check_profiles(pod, found, is_default_allowed, |is| violated(is, settings));
    // Windows has no AppArmor, so no profile can be required there.
    if settings.is(REQUIRED) && !pod.is_windows() {
        let missing = if Profile::are_types(settings.strings(ALLOWED)) { &MISSING } else { &MISSING_ANY };
        let annotated = annotated(pod);
        for container in pod.containers().filter(|container| lacks_profile(container, &annotated)) {
            let place = container.at(TYPE);
            // See `mutate`.
            let at_container = pod.has_exempt_containers() || !annotated.is_empty();
            let place = if at_container { place.mend(Profile::DEFAULT) } else { place };
            found.add(missing, Profile::mended(place, false, is_default_allowed));
        }
    }
}

/// Returns the keys of the annotations that set a profile, sorted.
fn annotated<'v>(pod: &Pod<'v>) -> Vec<(&'v str, &'v str)> {
    let mut annotated: Vec<_> = annotations(pod).map(|(key, _)| (key, "")).collect();
    sort(&mut annotated);
    annotated
}

/// Whether neither the container, nor the pod, nor one of these annotations sets a profile.
fn lacks_profile(container: &Container<'_>, annotated: &[(&str, &str)]) -> bool {
    let order = |key: &str| key.strip_prefix(PREFIX).unwrap_or_default().cmp(container.name);
    container.effective(PROFILE).is_none() && annotated.binary_search_by(|(key, _)| order(key)).is_err()
}

fn violated(is: Profile<'_>, settings: &Settings<'_>) -> Violated {
    Some(match is.refusal(settings.strings(ALLOWED), settings.strings(FILES))? {
        Refusal::MissingFile => (&MISSING_FILE, FILE),
        Refusal::Type => (&FORBIDDEN_TYPE, TYPE),
        Refusal::File => (&FORBIDDEN_FILE, FILE),
        Refusal::OtherFile => (&FORBIDDEN_FILE_OF_TYPE, FILE),
    })
}

/// Sets the default profile for containers that would run without a profile.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    if let Some(default) = settings.get(DEFAULT_PROFILE).filter(|_| !pod.is_windows()) {
        let annotated = annotated(pod);
        // Kubernetes refuses a pod's profile beside an annotation with another one.
        let at_containers = pod.has_exempt_containers() || !annotated.is_empty();
        let lacks = |container: &Container<'v>| lacks_profile(container, &annotated);
        Profile::of_setting(default).fill_in("appArmorProfile", pod, edits, at_containers, lacks);
    }
}

/// Reports profiles that the Pod Security Standards do not allow.
pub fn check_standard<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    check_profiles(pod, found, true, |is| match is {
        Profile::RuntimeDefault | Profile::Localhost(_) => None,
        _ => Some((&FORBIDDEN_TYPE, TYPE)),
    });
}

/// The rule that a profile violates and the field to report; `None` if it is allowed.
type Violated = Option<(&'static Rule, Field<types::String>)>;

/// Checks every profile that is set, including ones that have no effect.
fn check_profiles<'v>(
    pod: &Pod<'v>,
    found: &mut Violations<'v>,
    is_default_allowed: bool,
    violated: impl Fn(Profile<'v>) -> Violated,
) {
    let mut of_field = |profile: Option<Object<'v>>, at: &dyn Fn(Field<types::String>) -> Place<'v>| {
        let Some(profile) = profile else { return };
        if let Some((rule, field)) = violated(Profile::of_fields(profile.get(TYPE), profile.get(FILE))) {
            let place = at(field).value(profile.at(field));
            found.add(rule, Profile::mended(place, profile.at(FILE).is_some(), is_default_allowed));
        }
    };
    // Counts even if every container overrides it, since a container that is added later inherits it.
    of_field(pod.get(PROFILE), &|field| pod.at(field));
    for container in pod.containers() {
        of_field(container.get(PROFILE), &|field| container.at(field));
    }
    for (key, value) in annotations(pod) {
        if let Some((rule, _)) = violated(of_annotation(value.string().unwrap_or_default())) {
            found.add(rule, pod.at_annotation(key, value).mend(Mend::REMOVE_USUALLY));
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
/// The spelling of a profile is unknown, or the default profile names no file or is not allowed.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    if let Some(spelled) =
        settings.strings(ALLOWED).strings().find(|spelled| Profile::of_setting(spelled) == Profile::Unknown)
    {
        let expected = "expected RuntimeDefault, Localhost, Unconfined, localhost/<file> or *, found ";
        return Err(problem(ALLOWED.path, expected, spelled));
    }
    let Some(spelled) = settings.get(DEFAULT_PROFILE) else { return Ok(()) };
    match Profile::of_setting(spelled) {
        Profile::Unknown | Profile::Any | Profile::Localhost("") => Err(problem(
            DEFAULT_PROFILE.path,
            "expected RuntimeDefault, Unconfined or localhost/<file>, found ",
            spelled,
        )),
        // Otherwise, every pod that gets the default would be rejected for it.
        default if violated(default, settings).is_some() => {
            Err(problem(DEFAULT_PROFILE.path, "expected a profile that allowedProfiles allows, found ", spelled))
        }
        _ => Ok(()),
    }
}
