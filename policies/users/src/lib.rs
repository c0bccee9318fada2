//! Rejects containers that run as a user or group that is not allowed.
//!
//! A process that is root in its container is root on the node as soon as it escapes. Before that, it can change
//! the container's files and use the kernel's vulnerabilities that need root. Groups give access to files as well,
//! mostly on volumes. In a user namespace of its own (`hostUsers: false`), root of a container has no rights on the
//! node.
#![cfg_attr(not(test), no_std)]

use podfence_core::{
    Container, Edits, Field, FieldType, Mend, Object, Place, Pod, Rule, Settings, String, Vec, Violations, concat,
    mend, problem, types,
};

podfence_core::fields! {
    HOST_USERS: Bool = Pod "hostUsers";
    RUN_AS_NON_ROOT: Bool = Both "securityContext.runAsNonRoot",
        allowed "`true` at the pod or at each container, `false` nowhere; any if the setting `runAsNonRoot` (`true`) \
            is `false`, or in a user namespace of its own";
    RUN_AS_USER: Integer = Both "securityContext.runAsUser",
        allowed "as `runAsUser` requires (unset, or not `0`; any in a user namespace of its own)";
    RUN_AS_GROUP: Integer = Both "securityContext.runAsGroup",
        allowed "as `runAsGroup` requires (any)";
    SUPPLEMENTAL_GROUPS: Any = Pod "securityContext.supplementalGroups",
        allowed "a list of integers, as `supplementalGroups` requires (any)";
    GROUPS_POLICY: String = Pod "securityContext.supplementalGroupsPolicy",
        allowed "`Strict` if `supplementalGroups.requireStrict` (`false`) is `true`";
    USER_NAME: String = Both "securityContext.windowsOptions.runAsUserName",
        allowed "none of `runAsUser.forbiddenWindowsUserNames` (none)";
    FS_GROUP: Integer = Pod "securityContext.fsGroup",
        allowed "as `fsGroup` requires (any)";
}

podfence_core::settings! {
    /// Requires `runAsNonRoot: true` at the pod or at each container, and rejects `false` everywhere. Does not apply to
    /// pods with their own user namespace.
    NON_ROOT: Bool = "runAsNonRoot", default "true";
    /// Selects which users are allowed. `MustRunAsNonRoot`: any user but 0, and each container needs a user or
    /// `runAsNonRoot: true`, its own or the pod's, unless the pod has its own user namespace. `MustRunAs`: each
    /// container needs a user in one of the ranges, its own or the pod's. `MayRunAs`: a user that is set must be in one
    /// of the ranges. `RunAsAny`: any user. Windows pods need no user for `MustRunAs`.
    USER_RULE: String = "runAsUser.rule", alias "run_as_user.rule",
        one_of ["MustRunAsNonRoot", "MustRunAs", "MayRunAs", "RunAsAny"], default "\"MustRunAsNonRoot\"";
    /// Allows users in these ranges. `MustRunAs` and `MayRunAs` need at least one range; other rules accept none.
    USER_RANGES: ObjectList = "runAsUser.ranges", alias "run_as_user.ranges",
        shown_if "runAsUser.rule" = ["MustRunAs", "MayRunAs"];
    /// The first user of the range.
    USER_MIN: Integer = "runAsUser.ranges[*].min";
    /// The last user of the range.
    USER_MAX: Integer = "runAsUser.ranges[*].max";
    /// Forbids these values of `windowsOptions.runAsUserName`, such as `ContainerAdministrator`. Upper and lower case
    /// are the same, and a name without a domain matches every domain.
    FORBIDDEN_NAMES: StringList = "runAsUser.forbiddenWindowsUserNames", default "[]";
    /// Selects which primary groups are allowed. `MustRunAs`: each container needs a group in one of the ranges, its
    /// own or the pod's. `MayRunAs`: a group that is set must be in one of the ranges. `RunAsAny`: any group.
    /// Windows pods need no group for `MustRunAs`.
    GROUP_RULE: String = "runAsGroup.rule", alias "run_as_group.rule",
        one_of ["MustRunAs", "MayRunAs", "RunAsAny"], default "\"RunAsAny\"";
    /// Allows groups in these ranges. `MustRunAs` and `MayRunAs` need at least one range; `RunAsAny` accepts none.
    GROUP_RANGES: ObjectList = "runAsGroup.ranges", alias "run_as_group.ranges",
        shown_if "runAsGroup.rule" = ["MustRunAs", "MayRunAs"];
    /// The first group of the range.
    GROUP_MIN: Integer = "runAsGroup.ranges[*].min";
    /// The last group of the range.
    GROUP_MAX: Integer = "runAsGroup.ranges[*].max";
    /// Selects which supplemental groups are allowed. `MustRunAs`: the pod needs at least one, and each must be in one
    /// of the ranges. `MayRunAs`: each group that is set must be in one of the ranges. `RunAsAny`: any groups. An empty
    /// list counts as unset. Windows pods need no group for `MustRunAs`.
    SUPPLEMENTAL_RULE: String = "supplementalGroups.rule", alias "supplemental_groups.rule",
        one_of ["MustRunAs", "MayRunAs", "RunAsAny"], default "\"RunAsAny\"";
    /// Allows groups in these ranges. `MustRunAs` and `MayRunAs` need at least one range; `RunAsAny` accepts none.
    SUPPLEMENTAL_RANGES: ObjectList = "supplementalGroups.ranges", alias "supplemental_groups.ranges",
        shown_if "supplementalGroups.rule" = ["MustRunAs", "MayRunAs"];
    /// The first group of the range.
    SUPPLEMENTAL_MIN: Integer = "supplementalGroups.ranges[*].min";
    /// The last group of the range.
    SUPPLEMENTAL_MAX: Integer = "supplementalGroups.ranges[*].max";
    /// Requires `supplementalGroupsPolicy: Strict`. Without it, the `/etc/group` of the image adds any group to the
    /// user's. Recommended with ranges. Does not apply to Windows pods.
    REQUIRE_STRICT: Bool = "supplementalGroups.requireStrict", default "false";
    /// Selects which groups of volumes are allowed. `MustRunAs`: the pod needs a group in one of the ranges.
    /// `MayRunAs`: a group that is set must be in one of the ranges. `RunAsAny`: any group. The aliases `rule` and
    /// `ranges` are the settings of Kubewarden's `allowed-fsgroups-psp`. Windows pods need no group for `MustRunAs`.
    FS_RULE: String = "fsGroup.rule", alias "rule",
        one_of ["MustRunAs", "MayRunAs", "RunAsAny"], default "\"RunAsAny\"";
    /// Allows groups in these ranges. `MustRunAs` and `MayRunAs` need at least one range; `RunAsAny` accepts none.
    FS_RANGES: ObjectList = "fsGroup.ranges", alias "ranges",
        shown_if "fsGroup.rule" = ["MustRunAs", "MayRunAs"];
    /// The first group of the range.
    FS_MIN: Integer = "fsGroup.ranges[*].min";
    /// The last group of the range.
    FS_MAX: Integer = "fsGroup.ranges[*].max";
    /// Sets missing users and groups that `MustRunAs` requires to the `min` of the first range, instead of rejecting;
    /// `runAsNonRoot: true` where `runAsNonRoot` or `MustRunAsNonRoot` requires it and neither the pod nor the container
    /// sets it; and a missing `supplementalGroupsPolicy: Strict`.
    /// Values that the pod or the container sets are never replaced. Windows pods are not changed.
    MUTATE: Bool = "mutate", default "false", mutates if true;
    /// The Kubewarden policy's setting: `true` means `mutate: false`. `false` has no effect here; set `mutate: true`
    /// instead.
    VALIDATE_ONLY: Bool = "validate_only", of "Kubewarden" for "mutate";
    /// The first user of the range, for the alias `run_as_user.ranges`.
    OLD_USER_MIN: Integer = "run_as_user.ranges[*].min", of "Kubewarden";
    /// The last user of the range, for the alias `run_as_user.ranges`.
    OLD_USER_MAX: Integer = "run_as_user.ranges[*].max", of "Kubewarden";
    /// The Kubewarden policy's setting, without effect here: a user that is set is checked and never replaced.
    OLD_USER_OVERWRITE: Bool = "run_as_user.overwrite", of "Kubewarden";
    /// The first group of the range, for the alias `run_as_group.ranges`.
    OLD_GROUP_MIN: Integer = "run_as_group.ranges[*].min", of "Kubewarden";
    /// The last group of the range, for the alias `run_as_group.ranges`.
    OLD_GROUP_MAX: Integer = "run_as_group.ranges[*].max", of "Kubewarden";
    /// The Kubewarden policy's setting, without effect here: a group that is set is checked and never replaced.
    OLD_GROUP_OVERWRITE: Bool = "run_as_group.overwrite", of "Kubewarden";
    /// The first group of the range, for the alias `supplemental_groups.ranges`.
    OLD_SUPPLEMENTAL_MIN: Integer = "supplemental_groups.ranges[*].min", of "Kubewarden";
    /// The last group of the range, for the alias `supplemental_groups.ranges`.
    OLD_SUPPLEMENTAL_MAX: Integer = "supplemental_groups.ranges[*].max", of "Kubewarden";
    /// The Kubewarden policy's setting, without effect here: groups that are set are checked and never replaced.
    OLD_SUPPLEMENTAL_OVERWRITE: Bool = "supplemental_groups.overwrite", of "Kubewarden";
    /// The first group of the range, for the alias `ranges`.
    OLD_FS_MIN: Integer = "ranges[*].min", of "Kubewarden";
    /// The last group of the range, for the alias `ranges`.
    OLD_FS_MAX: Integer = "ranges[*].max", of "Kubewarden";
}

podfence_core::policy! { name: "users", check: check, mutate: mutate, validate: validate }

/// What `runAsNonRoot` must be, as JSON.
const YES: &str = "true";

/// What `supplementalGroupsPolicy` must be, as JSON.
const STRICT: &str = "\"Strict\"";

static NON_ROOT_FALSE: Rule = Rule {
    control: "runAsNonRoot",
    reason: "runAsNonRoot != true",
    detail: "{who} must not set securityContext.runAsNonRoot=false",
    fix: "set securityContext.runAsNonRoot to true",
    ..Rule::PLAIN
};

static NON_ROOT_UNSET: Rule = Rule {
    detail: "pod or {who} must set securityContext.runAsNonRoot=true",
    fix: "set securityContext.runAsNonRoot of the pod to true",
    ..NON_ROOT_FALSE
};

static USER_ZERO: Rule = Rule {
    control: "runAsUser",
    reason: "runAsUser=0",
    detail: "{who} must not set runAsUser=0",
    fix: "set securityContext.runAsUser to a user other than 0, or remove it",
    ..Rule::PLAIN
};

static USER_UNKNOWN: Rule = Rule {
    control: "runAsUser",
    reason: "runAsUser",
    detail: "pod or {who} must set securityContext.runAsNonRoot=true or securityContext.runAsUser",
    fix: "set securityContext.runAsNonRoot of the pod to true, or securityContext.runAsUser to a user other than 0",
    setting: Some(USER_RULE.path),
    ..Rule::PLAIN
};

static USER_NAME_FORBIDDEN: Rule = Rule {
    control: "runAsUser",
    reason: "runAsUserName",
    detail: "{who} must not set securityContext.windowsOptions.runAsUserName to {values}",
    fix: "set securityContext.windowsOptions.runAsUserName to another user, such as ContainerUser",
    setting: Some(FORBIDDEN_NAMES.path),
    ..Rule::PLAIN
};

static GROUPS_NOT_STRICT: Rule = Rule {
    control: "supplementalGroups",
    reason: "supplementalGroupsPolicy",
    detail: "{who} must set securityContext.supplementalGroupsPolicy=Strict",
    fix: "set securityContext.supplementalGroupsPolicy of the pod to Strict",
    mend: &mend!(set STRICT),
    ..Rule::PLAIN
};

static GROUPS_UNREADABLE: Rule = Rule {
    control: "supplementalGroups",
    reason: "supplementalGroups",
    detail: "{who} must set securityContext.supplementalGroups to a list of integers",
    fix: "write securityContext.supplementalGroups as a list of integers",
    ..Rule::PLAIN
};

/// The settings for one field of IDs, and the rules for its violations.
struct Ids {
    rule: Field<types::String>,
    ranges: Field<types::ObjectList>,
    /// The bounds of a range, under the setting's own name and under its alias.
    min: [Field<types::Integer>; 2],
    max: [Field<types::Integer>; 2],
    forbidden: Rule,
    missing: Rule,
}

macro_rules! ids {
    ($($name:ident: $field:literal, $where:literal, $rule:ident, $ranges:ident, $min:expr, $max:expr;)*) => {$(
        static $name: Ids = Ids {
            rule: $rule,
            ranges: $ranges,
            min: $min,
            max: $max,
            forbidden: Rule {
                control: $field,
                reason: $field,
                detail: concat!("{who} must not set securityContext.", $field, " to {numbers}"),
                fix: concat!("set securityContext.", $field, " to what the ranges allow"),
                setting: Some($ranges.path),
                ..Rule::PLAIN
            },
            missing: Rule {
                control: $field,
                reason: $field,
                detail: concat!($where, " must set securityContext.", $field),
                fix: concat!("set securityContext.", $field, " to what the ranges allow"),
                setting: Some($ranges.path),
                ..Rule::PLAIN
            },
        };
    )*};
}

ids! {
    USER: "runAsUser", "pod or {who}", USER_RULE, USER_RANGES, [USER_MIN, OLD_USER_MIN], [USER_MAX, OLD_USER_MAX];
    GROUP: "runAsGroup", "pod or {who}", GROUP_RULE, GROUP_RANGES, [GROUP_MIN, OLD_GROUP_MIN], [GROUP_MAX, OLD_GROUP_MAX];
    SUPPLEMENTAL: "supplementalGroups", "{who}", SUPPLEMENTAL_RULE, SUPPLEMENTAL_RANGES,
        [SUPPLEMENTAL_MIN, OLD_SUPPLEMENTAL_MIN], [SUPPLEMENTAL_MAX, OLD_SUPPLEMENTAL_MAX];
    FS: "fsGroup", "{who}", FS_RULE, FS_RANGES, [FS_MIN, OLD_FS_MIN], [FS_MAX, OLD_FS_MAX];
}

impl Ids {
    /// Whether a value is required.
    fn must(&self, settings: &Settings<'_>) -> bool {
        settings.get(self.rule) == Some("MustRunAs")
    }

    /// Whether a value must be in one of the ranges.
    fn has_ranges(&self, settings: &Settings<'_>) -> bool {
        self.must(settings) || settings.get(self.rule) == Some("MayRunAs")
    }

    /// Whether an ID is in one of the ranges.
    fn allow(&self, id: i64, settings: &Settings<'_>) -> bool {
        let mut ranges = settings.get(self.ranges).unwrap_or_default().objects();
        ranges.any(|range| {
            let (min, max) = self.bounds(range);
            min.is_some_and(|min| min <= id) && max.is_some_and(|max| id <= max)
        })
    }

    fn bounds(&self, range: Object<'_>) -> (Option<i64>, Option<i64>) {
        let either = |names: [Field<_>; 2]| range.get(names[0]).or_else(|| range.get(names[1]));
        (either(self.min), either(self.max))
    }

    /// Returns the value to set where a required one is missing, as JSON.
    fn first<'s>(&self, settings: &'s Settings<'_>) -> Option<&'s str> {
        let range = settings.get(self.ranges)?.objects().next().filter(|_| self.must(settings))?;
        range.find_raw(self.min[0]).or_else(|| range.find_raw(self.min[1]))
    }
}

/// Reports users and groups that are not allowed, and required ones that are missing.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    if pod.get(HOST_USERS) != Some(false) {
        if settings.is(NON_ROOT) {
            check_non_root(pod, found);
        }
        if settings.get(USER_RULE) == Some("MustRunAsNonRoot") {
            check_not_zero(pod, found);
            // The setting `runAsNonRoot` requires more than this.
            if !settings.is(NON_ROOT) {
                check_known(pod, found);
            }
        }
    }
    check_containers(pod, &USER, RUN_AS_USER, settings, found);
    check_containers(pod, &GROUP, RUN_AS_GROUP, settings, found);
    let forbidden = settings.strings(FORBIDDEN_NAMES);
    forbid(pod, USER_NAME, &USER_NAME_FORBIDDEN, found, |name| {
        forbidden.strings().any(|other| is_same_user(name, other))
    });
    check_supplemental_groups(pod, settings, found);
    if needs_strict(pod, settings) && pod.get(GROUPS_POLICY) != Some("Strict") {
        found.add(&GROUPS_NOT_STRICT, pod.at(GROUPS_POLICY));
    }
    let allowed = pod.get(FS_GROUP).map(|group| FS.allow(group, settings));
    check_pod(pod, &FS, pod.at(FS_GROUP), allowed, settings, found);
}

/// Reports pods and containers that may run as root: the control runAsNonRoot of the Pod Security Standards.
pub fn check_non_root<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    // The pod's value reaches exempt containers, about which nothing is known.
    let exempt = if pod.has_exempt_containers() { User::Unknown } else { User::Other };
    let worst = pod.containers().fold(exempt, |worst, container| worst.max(User::of(&container)));
    let mut is_false = pod.get(RUN_AS_NON_ROOT) == Some(false);
    if is_false {
        found.add(&NON_ROOT_FALSE, pod.at(RUN_AS_NON_ROOT).mend(worst.mend()));
    }
    for container in pod.containers().filter(|container| container.get(RUN_AS_NON_ROOT) == Some(false)) {
        found.add(&NON_ROOT_FALSE, container.at(RUN_AS_NON_ROOT).mend(User::of(&container).mend()));
        is_false = true;
    }
    if is_false {
        return;
    }
    let at_pod = !pod.has_exempt_containers() && worst != User::Zero;
    for container in pod.containers().filter(|container| container.effective(RUN_AS_NON_ROOT).is_none()) {
        let mend = if at_pod { worst.mend_pod() } else { User::of(&container).mend() };
        found.add(&NON_ROOT_UNSET, container.at(RUN_AS_NON_ROOT).mend(mend));
    }
}

/// The user of a container, by what `runAsNonRoot: true` does to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum User {
    /// Not root: nothing.
    Other,
    /// The image's: it may stop the container.
    Unknown,
    /// Root: it stops the container.
    Zero,
}

impl User {
    fn of(container: &Container<'_>) -> Self {
        match container.effective(RUN_AS_USER) {
            None => Self::Unknown,
            Some(0) => Self::Zero,
            Some(_) => Self::Other,
        }
    }

    /// How to require it at the container.
    fn mend(self) -> &'static Mend {
        const MENDS: [&Mend; 3] = [&mend!(set YES, usual), &mend!(set YES), Mend::NONE];
        MENDS[self as usize]
    }

    /// How to require it at the pod, of which this is the worst container.
    fn mend_pod(self) -> &'static Mend {
        const MENDS: [&Mend; 3] = [&mend!(set YES, usual).of_pod(), &mend!(set YES).of_pod(), Mend::NONE];
        MENDS[self as usize]
    }
}

/// Reports the user 0: the control runAsUser of the Pod Security Standards.
pub fn check_not_zero<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    forbid(pod, RUN_AS_USER, &USER_ZERO, found, |user| user == 0);
}

/// Reports containers whose user depends on the image, which may be root.
fn check_known<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    let is_unknown = |container: &Container<'_>| {
        container.effective(RUN_AS_USER).is_none() && container.effective(RUN_AS_NON_ROOT) != Some(true)
    };
    for container in pod.containers().filter(is_unknown) {
        found.add(&USER_UNKNOWN, container.at(RUN_AS_USER));
    }
}

fn check_containers<'v>(
    pod: &Pod<'v>,
    ids: &'static Ids,
    field: Field<types::Integer>,
    settings: &Settings<'_>,
    found: &mut Violations<'v>,
) {
    if ids.has_ranges(settings) {
        forbid(pod, field, &ids.forbidden, found, |id| !ids.allow(id, settings));
    }
    // Windows has no such users and groups, so they cannot be required there.
    if ids.must(settings) && !pod.is_windows() {
        for container in pod.containers().filter(|container| container.effective(field).is_none()) {
            found.add(&ids.missing, container.at(field));
        }
    }
}

/// Reports wrong values at the pod and at its containers.
///
/// The pod's value counts even if every container overrides it, since a container that is added later inherits it.
fn forbid<'v, T: FieldType>(
    pod: &Pod<'v>,
    field: Field<T>,
    rule: &'static Rule,
    found: &mut Violations<'v>,
    is_wrong: impl Fn(T::Value<'v>) -> bool,
) {
    if pod.get(field).is_some_and(&is_wrong) {
        found.add(rule, pod.at(field));
    }
    for container in pod.containers().filter(|container| container.get(field).is_some_and(&is_wrong)) {
        found.add(rule, container.at(field));
    }
}

fn check_supplemental_groups<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let place = pod.at(SUPPLEMENTAL_GROUPS);
    let Some(groups) = supplemental_groups(pod) else { return found.add(&GROUPS_UNREADABLE, place) };
    let mut allowed = None;
    for group in groups.split(',').filter(|_| !groups.is_empty()) {
        let Ok(group) = group.trim_ascii().parse() else { return found.add(&GROUPS_UNREADABLE, place) };
        allowed = Some(allowed != Some(false) && SUPPLEMENTAL.allow(group, settings));
    }
    check_pod(pod, &SUPPLEMENTAL, place, allowed, settings, found);
}

/// Returns the content of the list of supplemental groups, without its brackets; `None` if it is not a list.
///
/// The caller splits the content at commas. An element that contains a comma splits into parts that are not integers,
/// so it is rejected like any other element that is not an integer.
fn supplemental_groups<'v>(pod: &Pod<'v>) -> Option<&'v str> {
    let groups = pod.get(SUPPLEMENTAL_GROUPS).map_or("[]", Object::raw);
    Some(groups.strip_prefix('[')?.strip_suffix(']')?.trim_ascii())
}

/// Checks a field that only pods have. `allowed` is whether its values are in the ranges; `None` if it is unset.
fn check_pod<'v>(
    pod: &Pod<'v>,
    ids: &'static Ids,
    place: Place<'v>,
    allowed: Option<bool>,
    settings: &Settings<'_>,
    found: &mut Violations<'v>,
) {
    match allowed {
        Some(false) if ids.has_ranges(settings) => found.add(&ids.forbidden, place),
        None if ids.must(settings) && can_require(pod) => found.add(&ids.missing, place),
        _ => {}
    }
}

/// Whether values can be required: a container is not exempt, and the pod is not for Windows.
fn can_require(pod: &Pod<'_>) -> bool {
    !pod.is_windows() && pod.containers().next().is_some()
}

/// Whether two names are of one Windows user: `DOMAIN\\name`, where a name without a domain is of any.
fn is_same_user(a: &str, b: &str) -> bool {
    let name = |user: &str| user.bytes().rposition(|byte| byte == b'\\').map_or(0, |at| at + 1);
    let (at_a, at_b) = (name(a), name(b));
    let is_any = at_a == 0 || at_b == 0;
    let (from_a, from_b) = if is_any { (at_a, at_b) } else { (0, 0) };
    a.get(from_a..).unwrap_or("").eq_ignore_ascii_case(b.get(from_b..).unwrap_or(""))
}

/// Whether supplemental groups must be those of the pod alone.
fn needs_strict(pod: &Pod<'_>, settings: &Settings<'_>) -> bool {
    settings.is(REQUIRE_STRICT) && can_require(pod)
}

/// Whether a container may run as root only because nothing is set. PodSecurityPolicy filled that in.
fn needs_non_root(pod: &Pod<'_>, container: &Container<'_>, settings: &Settings<'_>) -> bool {
    let by_rule = || settings.get(USER_RULE) == Some("MustRunAsNonRoot") && container.effective(RUN_AS_USER).is_none();
    pod.get(HOST_USERS) != Some(false)
        && container.effective(RUN_AS_NON_ROOT).is_none()
        && (settings.is(NON_ROOT) || by_rule())
}

/// Sets users, groups and `runAsNonRoot` where they are required and missing.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    if !settings.is(MUTATE) || !can_require(pod) {
        return;
    }
    // Sets them at the containers: from the pod, exempt containers would inherit them.
    for container in pod.containers() {
        let mut members = Vec::new();
        for (ids, field, key) in [(&USER, RUN_AS_USER, "runAsUser"), (&GROUP, RUN_AS_GROUP, "runAsGroup")] {
            if let (None, Some(first)) = (container.effective(field), ids.first(settings)) {
                members.push((key, String::from(first)));
            }
        }
        if needs_non_root(pod, &container, settings) {
            members.push(("runAsNonRoot", String::from(YES)));
        }
        edits.container(&container, "securityContext", members);
    }
    let mut members = Vec::new();
    if needs_strict(pod, settings) && pod.get(GROUPS_POLICY).is_none() {
        members.push(("supplementalGroupsPolicy", String::from(STRICT)));
    }
    if let (None, Some(first)) = (pod.get(FS_GROUP), FS.first(settings)) {
        members.push(("fsGroup", String::from(first)));
    }
    if let (Some(""), Some(first)) = (supplemental_groups(pod), SUPPLEMENTAL.first(settings)) {
        members.push(("supplementalGroups", concat(&["[", first, "]"])));
    }
    edits.pod(pod, "securityContext", members);
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// Ranges are missing, superfluous or out of order, or `mutate` is set under both names.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    if settings.is_given(MUTATE) && settings.is_given(VALIDATE_ONLY) {
        return Err(problem(VALIDATE_ONLY.path, "the same setting as ", MUTATE.path));
    }
    for ids in [&USER, &GROUP, &SUPPLEMENTAL, &FS] {
        let ranges = settings.get(ids.ranges).unwrap_or_default();
        if ids.has_ranges(settings) == ranges.is_empty() {
            // Ranges that the rule does not read would look like a restriction, but have no effect.
            let expected =
                if ranges.is_empty() { "expected a range with the rule " } else { "expected no range with the rule " };
            return Err(problem(ids.ranges.path, expected, settings.get(ids.rule).unwrap_or_default()));
        }
        let is_wrong = |range: &Object<'_>| {
            let (min, max) = ids.bounds(*range);
            min < Some(0) || max < min
        };
        if let Some(wrong) = ranges.objects().find(is_wrong) {
            return Err(problem(ids.ranges.path, "expected 0 <= min <= max in ", wrong.raw()));
        }
    }
    Ok(())
}
