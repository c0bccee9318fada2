//! Rejects pods whose SELinux options are not allowed.
//!
//! SELinux protects the node's files from containers by their labels, and a pod may ask for another label. With a
//! type, user or role of its choice, it reaches files that containers are kept from. The types that are made for
//! containers do no harm, and a level only separates containers from each other.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Field, Mend, Object, Place, Pod, Rule, Settings, String, Violations, problem, types};

podfence_core::fields! {
    OPTIONS: Object = Both "securityContext.seLinuxOptions",
        allowed "unset, or matching an entry of `allowedSELinuxOptions`";
    TYPE: String = Both "securityContext.seLinuxOptions.type",
        allowed "without `allowedSELinuxOptions`: unset, empty, `container_t`, `container_init_t`, \
            `container_kvm_t`, `container_engine_t`";
    USER: String = Both "securityContext.seLinuxOptions.user",
        allowed "without `allowedSELinuxOptions`: unset, empty";
    ROLE: String = Both "securityContext.seLinuxOptions.role",
        allowed "without `allowedSELinuxOptions`: unset, empty";
    LEVEL: String = Both "securityContext.seLinuxOptions.level";
}

podfence_core::settings! {
    /// Selects how options are restricted. `MayRunAs`: options that a pod or container sets must match an entry of
    /// `allowedSELinuxOptions`. `MustRunAs`: in addition, every container must have options (its own or the pod's)
    /// that set each field that the entry names; Windows pods need none. `RunAsAny`: any options are allowed.
    RULE: String = "rule", one_of ["MayRunAs", "MustRunAs", "RunAsAny"], default "\"MayRunAs\"";
    /// Allows these options. Without this setting, the types of the Pod Security Standards and any level are allowed,
    /// but no user and no role. An empty list allows no options.
    ALLOWED: ObjectList = "allowedSELinuxOptions";
    /// The type, or `"*"` for any. A field that an entry leaves out must not be set.
    ALLOWED_TYPE: String = "allowedSELinuxOptions[*].type";
    /// The user, or `"*"` for any.
    ALLOWED_USER: String = "allowedSELinuxOptions[*].user";
    /// The role, or `"*"` for any.
    ALLOWED_ROLE: String = "allowedSELinuxOptions[*].role";
    /// The level, or `"*"` for any.
    ALLOWED_LEVEL: String = "allowedSELinuxOptions[*].level";
    /// The Kubewarden policy's setting, instead of `allowedSELinuxOptions`: the type of its only entry.
    ONLY_TYPE: String = "type", of "Kubewarden" for "allowedSELinuxOptions";
    /// The Kubewarden policy's setting, instead of `allowedSELinuxOptions`: the user of its only entry.
    ONLY_USER: String = "user", of "Kubewarden" for "allowedSELinuxOptions";
    /// The Kubewarden policy's setting, instead of `allowedSELinuxOptions`: the role of its only entry.
    ONLY_ROLE: String = "role", of "Kubewarden" for "allowedSELinuxOptions";
    /// The Kubewarden policy's setting, instead of `allowedSELinuxOptions`: the level of its only entry.
    ONLY_LEVEL: String = "level", of "Kubewarden" for "allowedSELinuxOptions";
}

podfence_core::policy! { name: "selinux", check: check, validate: validate }

const CONTROL: Rule = Rule {
    control: "seLinuxOptions",
    reason: "seLinuxOptions",
    fix: "remove it from securityContext.seLinuxOptions",
    mend: Mend::REMOVE_USUALLY,
    ..Rule::PLAIN
};

const LEAD: &str = "{who} set forbidden securityContext.seLinuxOptions: ";

static FORBIDDEN_TYPE: Rule = Rule { lead: LEAD, detail: "{values:type|types} {values}", ..CONTROL };

static FORBIDDEN_USER: Rule = Rule { lead: LEAD, detail: "user may not be set", ..CONTROL };

static FORBIDDEN_ROLE: Rule = Rule { lead: LEAD, detail: "role may not be set", ..CONTROL };

static NOT_ALLOWED: Rule = Rule {
    detail: "{who} set forbidden securityContext.seLinuxOptions: {list}",
    fix: "set securityContext.seLinuxOptions to options that are allowed, or remove it",
    mend: Mend::NONE,
    setting: Some(ALLOWED.path),
    ..CONTROL
};

static MISSING: Rule = Rule {
    detail: "pod or {who} must set securityContext.seLinuxOptions",
    fix: "set securityContext.seLinuxOptions of the pod to options that are allowed",
    mend: Mend::NONE,
    setting: Some(ALLOWED.path),
    ..CONTROL
};

/// The types that the Pod Security Standards allow.
pub static TYPES: [&str; 4] = ["container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// Each field of the options, with the settings that allow its values: in an entry, and in the only entry.
const PARTS: [[Field<types::String>; 3]; 4] = [
    [TYPE, ALLOWED_TYPE, ONLY_TYPE],
    [USER, ALLOWED_USER, ONLY_USER],
    [ROLE, ALLOWED_ROLE, ONLY_ROLE],
    [LEVEL, ALLOWED_LEVEL, ONLY_LEVEL],
];

/// The whole `seLinuxOptions` object, reported as if it were one field.
const WHOLE: Field<types::String> = Field::new(OPTIONS.path);

/// Reports options that are not allowed, and required options that are missing.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let rule = settings.get(RULE).unwrap_or_default();
    if rule == "RunAsAny" {
        return;
    }
    // Windows has no SELinux, so no options can be required there.
    let is_required = rule == "MustRunAs" && !pod.is_windows();
    let allowed = settings.get(ALLOWED);
    if allowed.is_none() && PARTS.iter().all(|part| settings.get(part[2]).is_none()) {
        check_types(pod, &TYPES, is_required, found);
    } else {
        each(pod, |options, at| {
            let is_allowed = match allowed {
                Some(entries) => entries.objects().any(|entry| is_as(options, is_required, |part| entry.get(part[1]))),
                None => is_as(options, is_required, |part| settings.get(part[2])),
            };
            if !is_allowed {
                found.add(&NOT_ALLOWED, at(WHOLE).value(Some(options)));
            }
        });
    }
    if is_required {
        for container in pod.containers().filter(|container| container.effective(OPTIONS).is_none()) {
            found.add(&MISSING, container.at(OPTIONS));
        }
    }
}

/// Reports every user, every role, and types other than these, as the Pod Security Standards do. If options are
/// required, an unset type is reported as well.
pub fn check_types<'v>(pod: &Pod<'v>, types: &[&str], is_required: bool, found: &mut Violations<'v>) {
    found.order(&[&FORBIDDEN_TYPE, &FORBIDDEN_USER, &FORBIDDEN_ROLE]);
    each(pod, |options, at| {
        for (rule, field) in [(&FORBIDDEN_TYPE, TYPE), (&FORBIDDEN_USER, USER), (&FORBIDDEN_ROLE, ROLE)] {
            let set = options.get(field).unwrap_or_default();
            let is_allowed = match (set, field.path == TYPE.path) {
                ("", true) => !is_required,
                (set, true) => types.contains(&set),
                (set, false) => set.is_empty(),
            };
            if !is_allowed {
                let place = at(field).value(options.at(field));
                // A required type cannot be removed, and which one is right is not known.
                found.add(rule, if is_required { place.mend(Mend::NONE) } else { place });
            }
        }
    });
}

/// Visits the options of the pod and of its containers.
fn each<'v>(pod: &Pod<'v>, mut visit: impl FnMut(Object<'v>, &dyn Fn(Field<types::String>) -> Place<'v>)) {
    // Counts even if every container overrides it, since a container that is added later inherits it.
    if let Some(options) = pod.get(OPTIONS) {
        visit(options, &|field| pod.at(field));
    }
    for container in pod.containers() {
        if let Some(options) = container.get(OPTIONS) {
            visit(options, &|field| container.at(field));
        }
    }
}

/// Whether options match an entry. They may leave out fields that the entry names, unless these are required.
fn is_as<'s>(
    options: Object<'_>,
    is_required: bool,
    allowed: impl Fn(&[Field<types::String>; 3]) -> Option<&'s str>,
) -> bool {
    PARTS.iter().all(|part| {
        let set = options.get(part[0]).unwrap_or_default();
        match allowed(part).unwrap_or_default() {
            "" => set.is_empty(),
            _ if set.is_empty() => !is_required,
            allowed => allowed == "*" || allowed == set,
        }
    })
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// `allowedSELinuxOptions` is set together with a Kubewarden setting for the only entry.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    match PARTS.iter().find(|part| settings.is_given(part[2])) {
        Some(part) if settings.is_given(ALLOWED) => Err(problem(part[2].path, "the same setting as ", ALLOWED.path)),
        _ => Ok(()),
    }
}
