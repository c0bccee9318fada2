//! Rejects containers that do not state the resources that they need and may use, or that state too little or too much.
//!
//! The scheduler places a pod by its requests, and the node stops a container at its limits. A container without a limit
//! can take all memory of the node, so that others are killed; one that requests too little starves the pods beside it.
//! Without settings, each container needs a request for `cpu` and `memory`, and a limit for `memory`; a limit for `cpu`
//! slows containers down where nobody else needs the processor.
//!
//! Resources count as they do for Kubernetes:
//!
//! - A limit stands for a request that is not set.
//! - 0 is the same as not set: the node does not limit anything then.
//! - Init containers and sidecars are evaluated like containers, since they use the node while they run. Ephemeral
//!   containers are not, since the API server refuses resources for them: `kubectl debug` works.
//! - What the pod states for itself (`spec.resources`) counts for all of its containers: for `cpu`, `memory` and
//!   `hugepages-…`, and in the same list. These values must be within `min`, `max` and `maxRatio` as well. If the pod only
//!   has a limit, its request is the sum of what its containers request, if they do. Kubernetes before 1.34 drops the
//!   field, unless the feature is enabled there.
//! - Quantities are read exactly, and rounded up to thousandths, as the API server does. What cannot be read is rejected,
//!   and so are quantities above 9223372036854775: what does not fit into 63 bits is another number to the node, often 0.
//!
//! Of `cpu`, `memory` and `ephemeral-storage`, a resource in `max.limits` must have a limit, one in `min.requests` a
//! request, and one in `maxRatio` both: without them, a container is not within the bound. Of other resources, such as
//! `example.com/gpu`, a container has none that it does not state.
//!
//! Of an update of a Pod, the containers are evaluated whose resources it changes, or whose image was exempt; if it changes
//! the resources of the pod itself, all are. So a running pod cannot be resized beyond a maximum, but pods that are older than the policy can be updated.
//! The rules of the policy match `pods/resize` for that.
//!
//! The policy changes nothing. A LimitRange fills in requests and limits before policies evaluate the pod.
#![cfg_attr(not(test), no_std)]

mod quantity;

use podfence_core::{
    Container, Field, FieldType, LISTS, Object, Place, Pod, Role, Rule, Settings, String, Violations, problem, types,
};

pub use quantity::thousandths;

podfence_core::fields! {
    RESOURCES: Object = Both "resources";
    REQUESTS: Object = Both "resources.requests",
        allowed "the resources of `required.requests` (`cpu`, `memory`), within `min.requests` and `max.requests` (any); of \
            a pod, as far as set", except "ephemeralContainers";
    REQUESTED_CPU: Any = Both "resources.requests.cpu",
        allowed "more than 0 if required, within `min.requests` and `max.requests`", except "ephemeralContainers";
    REQUESTED_MEMORY: Any = Both "resources.requests.memory",
        allowed "as `cpu`", except "ephemeralContainers";
    REQUESTED_STORAGE: Any = Both "resources.requests.ephemeral-storage",
        allowed "as `cpu`", except "ephemeralContainers";
    REQUESTED_OTHERS: Any = Both "resources.requests.*";
    LIMITS: Object = Both "resources.limits",
        allowed "the resources of `required.limits` (`memory`), within `min.limits`, `max.limits` and `maxRatio` (any); of \
            a pod, as far as set", except "ephemeralContainers";
    CPU_LIMIT: Any = Both "resources.limits.cpu",
        allowed "more than 0 if required, within `min.limits`, `max.limits` and `maxRatio`", except "ephemeralContainers";
    MEMORY_LIMIT: Any = Both "resources.limits.memory",
        allowed "as `cpu`", except "ephemeralContainers";
    STORAGE_LIMIT: Any = Both "resources.limits.ephemeral-storage",
        allowed "as `cpu`", except "ephemeralContainers";
    OTHER_LIMITS: Any = Both "resources.limits.*";
    RESTART_POLICY: String = Container "restartPolicy";
}

podfence_core::settings! {
    /// The resources that each container must request. The list replaces the default; `[]` requires none.
    REQUIRED_REQUESTS: StringList = "required.requests", default "[\"cpu\",\"memory\"]";
    /// The resources that each container must limit. The list replaces the default; `[]` requires none.
    REQUIRED_LIMITS: StringList = "required.limits", default "[\"memory\"]";
    /// The least of each resource: `{requests: {cpu: 10m}, limits: {memory: 16Mi}}`. `{cpu: 10m}` is short for
    /// `{requests: {cpu: 10m}}`.
    MIN: Object = "min";
    /// The least request of a resource.
    MIN_REQUESTS: Any = "min.requests.*";
    /// The least limit of a resource.
    MIN_LIMITS: Any = "min.limits.*";
    /// The same as in `min.requests`.
    MIN_SHORT: Any = "min.*";
    /// The most of each resource: `{requests: {cpu: 2}, limits: {memory: 1Gi}}`. `{memory: 1Gi}` is short for
    /// `{limits: {memory: 1Gi}}`.
    MAX: Object = "max";
    /// The largest request of a resource.
    MAX_REQUESTS: Any = "max.requests.*";
    /// The largest limit of a resource.
    MAX_LIMITS: Any = "max.limits.*";
    /// The same as in `max.limits`.
    MAX_SHORT: Any = "max.*";
    /// How many times its request a limit may be: `{cpu: 4, memory: 1.5}`.
    MAX_RATIO: Object = "maxRatio";
    /// How many times its request the limit of a resource may be.
    MAX_RATIOS: Any = "maxRatio.*";
}

podfence_core::policy! { name: "resources", check: check, validate: validate, evaluates_resizes: true }

/// Resources with fields of their own, in the order of [`List::known`].
const KNOWN: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// The requests, or the limits.
struct List {
    field: Field<types::Object>,
    known: [Field<types::Any>; KNOWN.len()],
    others: Field<types::Any>,
    required: Field<types::StringList>,
    unreadable: Rule,
    missing: Rule,
    /// What is missing because of a bound, and because of the ratio.
    unbounded: [Rule; 2],
    below: Rule,
    above: Rule,
}

/// The places of the two lists in [`STATED`], and in a [`Bound`].
const OF_REQUESTS: usize = 0;
const OF_LIMITS: usize = 1;

const READABLE: &str =
    "write a number, with or without one of the suffixes m, k, M, G, T, Ki, Mi, Gi, Ti: 0.5, 500m, 1Gi";

const UNREADABLE_REQUEST: Rule = Rule {
    control: "resourceRequests",
    reason: "resource requests",
    detail: "{who} must not request {numbers}, which {numbers:is not a quantity|are not quantities} from 0 to 9223372036854775",
    fix: READABLE,
    ..Rule::PLAIN
};

const MISSING_REQUEST: Rule = Rule {
    detail: "{who} must set {numbers} in resources.requests to more than 0",
    fix: "set resources.requests of the container, or of the pod, to what it usually needs",
    setting: Some(REQUIRED_REQUESTS.path),
    ..UNREADABLE_REQUEST
};

const REQUEST_TOO_SMALL: Rule = Rule {
    detail: "{who} must not request {numbers}, which {numbers:is|are} less than allowed",
    fix: "request at least what min has",
    setting: Some(MIN.path),
    ..UNREADABLE_REQUEST
};

const UNREADABLE_LIMIT: Rule = Rule {
    control: "resourceLimits",
    reason: "resource limits",
    detail: "{who} must not set the {numbers:limit|limits} {numbers}, which {numbers:is not a quantity|are not quantities} \
             from 0 to 9223372036854775",
    fix: READABLE,
    ..Rule::PLAIN
};

const MISSING_LIMIT: Rule = Rule {
    detail: "{who} must set {numbers} in resources.limits to more than 0",
    fix: "set resources.limits of the container, or of the pod, to the most that it may use; 0 does not limit anything",
    setting: Some(REQUIRED_LIMITS.path),
    ..UNREADABLE_LIMIT
};

const LIMIT_TOO_SMALL: Rule = Rule {
    detail: "{who} must not set the {numbers:limit|limits} {numbers}, which {numbers:is|are} less than allowed",
    fix: "set the limit to at least what min has",
    setting: Some(MIN.path),
    ..UNREADABLE_LIMIT
};

static STATED: [List; 2] = [
    List {
        field: REQUESTS,
        known: [REQUESTED_CPU, REQUESTED_MEMORY, REQUESTED_STORAGE],
        others: REQUESTED_OTHERS,
        required: REQUIRED_REQUESTS,
        unreadable: UNREADABLE_REQUEST,
        missing: MISSING_REQUEST,
        unbounded: [
            Rule { setting: Some(MIN.path), ..MISSING_REQUEST },
            Rule { setting: Some(MAX_RATIO.path), ..MISSING_REQUEST },
        ],
        below: REQUEST_TOO_SMALL,
        above: Rule {
            detail: "{who} must not request {numbers}, which {numbers:is|are} more than allowed",
            fix: "request at most what max has",
            setting: Some(MAX.path),
            ..REQUEST_TOO_SMALL
        },
    },
    List {
        field: LIMITS,
        known: [CPU_LIMIT, MEMORY_LIMIT, STORAGE_LIMIT],
        others: OTHER_LIMITS,
        required: REQUIRED_LIMITS,
        unreadable: UNREADABLE_LIMIT,
        missing: MISSING_LIMIT,
        unbounded: [
            Rule { setting: Some(MAX.path), ..MISSING_LIMIT },
            Rule { setting: Some(MAX_RATIO.path), ..MISSING_LIMIT },
        ],
        below: LIMIT_TOO_SMALL,
        above: Rule {
            detail: "{who} must not set the {numbers:limit|limits} {numbers}, which {numbers:is|are} more than allowed",
            fix: "set the limit to at most what max has",
            setting: Some(MAX.path),
            ..LIMIT_TOO_SMALL
        },
    },
];

static RATIO_TOO_LARGE: Rule = Rule {
    control: "resourceRatio",
    reason: "resource ratio",
    detail: "{who} must not set the {numbers:limit|limits} {numbers}, which {numbers:is|are} too many times the request",
    fix: "lower the limit, or raise the request",
    setting: Some(MAX_RATIO.path),
    ..Rule::PLAIN
};

/// A setting with bounds of resources.
struct Bound {
    whole: Field<types::Object>,
    /// Of requests and of limits.
    lists: [Field<types::Any>; 2],
    /// Those that stand in none of the lists, and the list that they belong to.
    short: (Field<types::Any>, usize),
    /// The list that cannot be without what has a bound.
    needed: usize,
}

static LEAST: Bound =
    Bound { whole: MIN, lists: [MIN_REQUESTS, MIN_LIMITS], short: (MIN_SHORT, OF_REQUESTS), needed: OF_REQUESTS };

static MOST: Bound =
    Bound { whole: MAX, lists: [MAX_REQUESTS, MAX_LIMITS], short: (MAX_SHORT, OF_LIMITS), needed: OF_LIMITS };

impl Bound {
    /// The bounds of a list: the resource, the field of the setting, and the quantity.
    fn entries<'s>(
        &self,
        settings: &Settings<'s>,
        list: usize,
    ) -> impl Iterator<Item = (&'s str, Field<types::Any>, Object<'s>)> {
        let whole = settings.get(self.whole).unwrap_or_default();
        let (short, list_of_short) = self.short;
        let own = self.lists.get(list).copied();
        let fields = own.into_iter().chain((list == list_of_short).then_some(short));
        fields.flat_map(move |field| whole.entries(field).map(move |(name, bound)| (name, field, bound)))
    }

    fn find<'s>(&self, settings: &Settings<'s>, list: usize, name: &str) -> Option<Object<'s>> {
        self.entries(settings, list).find(|(known, ..)| *known == name).map(|(.., bound)| bound)
    }
}

/// The thousandths of a quantity in JSON: a string or a number.
fn amount(quantity: Object<'_>) -> Option<u64> {
    thousandths(text(quantity))
}

/// A quantity in JSON without its quotes. Kubernetes reads it so as well, without looking for escapes.
fn text(quantity: Object<'_>) -> &str {
    let raw = quantity.raw();
    raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(raw)
}

/// A member of an object as it stands there: `"cpu":"1"`. If its key has escapes, the value alone.
fn member<'v>(object: Object<'v>, name: &str, value: Object<'v>) -> &'v str {
    let (object, value) = (object.raw(), value.raw());
    let start = (value.as_ptr() as usize).wrapping_sub(object.as_ptr() as usize);
    let before = object.get(..start).unwrap_or_default().trim_ascii_end();
    let before = before.strip_suffix(':').unwrap_or_default().trim_ascii_end();
    let key = before.len().wrapping_sub(name.len() + 2);
    let is_plain = before.get(key.wrapping_add(1)..before.len().saturating_sub(1)) == Some(name);
    object.get(key..start.wrapping_add(value.len())).filter(|_| is_plain).unwrap_or(value)
}

/// The quantity of a resource in the requests or limits of a container, or of a pod as a whole.
fn find<'v>(resources: Option<Object<'v>>, list: &List, name: &str) -> Option<Object<'v>> {
    let stated = resources?.get(list.field)?;
    match known(list, name) {
        Some(field) => stated.get(field),
        None => stated.entries(list.others).find(|(key, _)| *key == name).map(|(_, quantity)| quantity),
    }
}

/// The field of a resource that has one of its own.
fn known(list: &List, name: &str) -> Option<Field<types::Any>> {
    KNOWN.iter().zip(list.known).find(|(known, _)| **known == name).map(|(_, field)| field)
}

/// Whether a pod as a whole can state a resource.
fn is_of_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// What the API server takes for the request of a container.
fn request(resources: Option<Object<'_>>, name: &str) -> Option<u64> {
    let [requests, limits] = &STATED;
    find(resources, requests, name).or_else(|| find(resources, limits, name)).and_then(amount)
}

/// What the containers of a pod request together, as the API server adds it up: sidecars run beside everything behind
/// them, and other init containers one after the other. `None` if none requests anything.
fn sum(pod: &Pod<'_>, name: &str) -> Option<u64> {
    let [starting, running, _] = LISTS;
    let requests = |list| {
        let containers = pod.list(list);
        containers.filter_map(|of: Object<'_>| {
            Some((of.get(RESTART_POLICY) == Some("Always"), request(of.get(RESOURCES), name)?))
        })
    };
    let (mut sidecars, mut peak, mut is_any) = (0u64, 0, false);
    for (is_sidecar, amount) in requests(starting) {
        let beside = sidecars.saturating_add(amount);
        peak = beside.max(peak);
        is_any = true;
        if is_sidecar {
            sidecars = beside;
        }
    }
    let mut all = sidecars;
    for (_, amount) in requests(running) {
        all = all.saturating_add(amount);
        is_any = true;
    }
    is_any.then_some(all.max(peak))
}

/// A container, or the pod as a whole.
struct Holder<'p, 'v> {
    pod: &'p Pod<'v>,
    container: Option<Container<'v>>,
}

impl<'v> Holder<'_, 'v> {
    fn resources(&self) -> Option<Object<'v>> {
        match &self.container {
            Some(container) => container.get(RESOURCES),
            None => self.pod.get(RESOURCES),
        }
    }

    fn at<T: FieldType>(&self, field: Field<T>) -> Place<'v> {
        match &self.container {
            Some(container) => container.at(field),
            None => self.pod.at(field),
        }
    }

    /// The place of a resource in a list, or that of the list if its places have no fields of their own.
    fn place(&self, list: &List, name: &str) -> Place<'v> {
        let stated = self.resources().and_then(|resources| resources.get(list.field));
        match known(list, name) {
            Some(field) => self.at(field).value(stated.and_then(|stated| stated.get(field))),
            None => self.at(list.field).value(stated),
        }
    }

    /// The same, shown with the resource and its quantity.
    fn place_of(&self, list: &List, name: &str, quantity: Object<'v>) -> Place<'v> {
        let stated = self.resources().and_then(|resources| resources.get(list.field)).unwrap_or_default();
        self.place(list, name).named(member(stated, name, quantity))
    }

    /// A resource in one of the lists, and the list: a limit stands for a request.
    fn stated(&self, list: usize, name: &str) -> Option<(&'static List, Object<'v>)> {
        let lists = STATED.iter().skip(list);
        lists.filter_map(|list| Some((list, find(self.resources(), list, name)?))).next()
    }

    /// Whether a container does not have something that is needed, neither itself nor from its pod. What cannot be read is
    /// there, and reported elsewhere.
    fn lacks(&self, list: usize, name: &str) -> bool {
        let is_there =
            |holder: &Self| holder.stated(list, name).is_some_and(|(_, quantity)| amount(quantity) != Some(0));
        let pod = Holder { pod: self.pod, container: None };
        self.container.is_some() && !is_there(self) && !(is_of_pods(name) && is_there(&pod))
    }

    /// Reports what is wrong with the resources.
    fn check(&self, settings: &Settings<'v>, found: &mut Violations<'v>) {
        for list in &STATED {
            self.check_readable(list, found);
        }
        for (index, list) in STATED.iter().enumerate() {
            self.check_needed(index, list, settings, found);
            for bound in [&LEAST, &MOST] {
                self.check_bound(index, bound, settings, found);
            }
        }
        for (name, ratio) in settings.get(MAX_RATIO).unwrap_or_default().entries(MAX_RATIOS) {
            self.check_ratio(name, ratio, found);
        }
    }

    fn check_readable(&self, list: &'static List, found: &mut Violations<'v>) {
        let Some(stated) = self.resources().and_then(|resources| resources.get(list.field)) else { return };
        let known = KNOWN.iter().zip(list.known).filter_map(|(name, field)| Some((*name, stated.get(field)?)));
        for (name, quantity) in known.chain(stated.entries(list.others)) {
            if amount(quantity).is_none() {
                found.add(&list.unreadable, self.place_of(list, name, quantity));
            }
        }
    }

    /// Reports resources that are needed and not there, each once.
    fn check_needed(&self, index: usize, list: &'static List, settings: &Settings<'v>, found: &mut Violations<'v>) {
        let required = settings.strings(list.required);
        for name in required.strings().filter(|name| self.lacks(index, name)) {
            found.add(&list.missing, self.place(list, name).named(name));
        }
        let bound = [&LEAST, &MOST].into_iter().find(|bound| bound.needed == index);
        let has_bound = |name: &str| bound.is_some_and(|bound| bound.find(settings, index, name).is_some());
        let bounded = bound.into_iter().flat_map(|bound| bound.entries(settings, index).map(|(name, ..)| name));
        let ratios = settings.get(MAX_RATIO).unwrap_or_default().entries(MAX_RATIOS).map(|(name, _)| name);
        let ratios = ratios.filter(|name| !has_bound(name));
        let [by_bound, by_ratio] = &list.unbounded;
        for (rule, name) in bounded.map(|name| (by_bound, name)).chain(ratios.map(|name| (by_ratio, name))) {
            // Of other resources, a container has none that it does not state.
            if KNOWN.contains(&name) && !required.has(name) && self.lacks(index, name) {
                found.add(rule, self.place(list, name).named(name));
            }
        }
    }

    /// Reports what is less or more than a bound. What is 0 is not set.
    fn check_bound(&self, index: usize, bound: &'static Bound, settings: &Settings<'v>, found: &mut Violations<'v>) {
        for (name, _, limit) in bound.entries(settings, index) {
            let Some((list, quantity)) = self.stated(index, name) else { continue };
            // Then the pod's request is what its containers request, each within the bounds.
            let is_sum = index == OF_REQUESTS && core::ptr::eq(list, &STATED[OF_LIMITS]) && self.sum(name).is_some();
            let (Some(amount), Some(limit)) = (amount(quantity), amount(limit)) else { continue };
            let is_least = core::ptr::eq(bound, &LEAST);
            let is_outside = if is_least { amount < limit } else { amount > limit };
            if is_outside && amount != 0 && !is_sum {
                let [requests, limits] = &STATED;
                let of = if index == OF_REQUESTS { requests } else { limits };
                let rule = if is_least { &of.below } else { &of.above };
                found.add(rule, self.place_of(list, name, quantity));
            }
        }
    }

    /// What the containers of the pod request, if this is the pod, which has it as its request then.
    fn sum(&self, name: &str) -> Option<u64> {
        let is_added = self.container.is_none() && matches!(name, "cpu" | "memory");
        if is_added { sum(self.pod, name) } else { None }
    }

    /// Reports a limit that is too many times the request.
    fn check_ratio(&self, name: &str, ratio: Object<'v>, found: &mut Violations<'v>) {
        let [requests, limits] = &STATED;
        let Some((quantity, (limit, ratio))) = find(self.resources(), limits, name)
            .and_then(|quantity| Some((quantity, (amount(quantity)?, amount(ratio)?))))
        else {
            return;
        };
        let request = match find(self.resources(), requests, name) {
            Some(request) => amount(request),
            None => self.sum(name).or(Some(limit)),
        };
        let Some(request) = request.filter(|request| *request != 0 || !self.lacks(OF_REQUESTS, name)) else { return };
        if u128::from(limit) * 1000 > u128::from(ratio) * u128::from(request) {
            found.add(&RATIO_TOO_LARGE, self.place_of(limits, name, quantity));
        }
    }
}

/// Reports resources that are missing, unreadable, too small or too large.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'v>, found: &mut Violations<'v>) {
    for list in &STATED {
        let [by_bound, by_ratio] = &list.unbounded;
        found.order(&[&list.unreadable, &list.missing, by_bound, by_ratio, &list.below, &list.above]);
    }
    let is_evaluated = |container: &Container<'v>| container.role != Role::Ephemeral;
    let is_new = pod.has_new(RESOURCES);
    if is_new && pod.containers().any(|container| is_evaluated(&container)) {
        Holder { pod, container: None }.check(settings, found);
    }
    let with_new = pod.containers_with_new(RESOURCES, settings).filter(|_| !is_new);
    for container in pod.containers().filter(|_| is_new).chain(with_new).filter(is_evaluated) {
        Holder { pod, container: Some(container) }.check(settings, found);
    }
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// A resource or a quantity cannot be read, is given twice, or contradicts another one.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    for list in &STATED {
        for name in settings.strings(list.required).strings() {
            expect_resource(list.required.path, name, "")?;
        }
    }
    for bound in [&LEAST, &MOST] {
        for list in [OF_REQUESTS, OF_LIMITS] {
            for (name, field, quantity) in bound.entries(settings, list) {
                let is_short = field.path == bound.short.0.path;
                expect_resource(&path(field, name), name, if is_short { "requests, limits, " } else { "" })?;
                expect_quantity(field, name, quantity)?;
                if is_short && bound.entries(settings, list).filter(|(other, ..)| *other == name).count() > 1 {
                    let own = bound.lists.get(list).map(|own| path(*own, name)).unwrap_or_default();
                    return Err(problem(&path(field, name), "the same setting as ", &own));
                }
            }
        }
    }
    // A limit is never less than its request.
    for (least, most) in [(OF_REQUESTS, OF_REQUESTS), (OF_LIMITS, OF_LIMITS), (OF_REQUESTS, OF_LIMITS)] {
        for (name, field, min) in LEAST.entries(settings, least) {
            if let Some(max) = MOST.find(settings, most, name)
                && amount(min) > amount(max)
            {
                let place = path(field, name);
                return Err(problem(&place, "expected no more than max has, which is ", text(max)));
            }
        }
    }
    for (name, ratio) in settings.get(MAX_RATIO).unwrap_or_default().entries(MAX_RATIOS) {
        expect_resource(&path(MAX_RATIOS, name), name, "")?;
        if amount(ratio) < Some(1000) {
            return Err(problem(
                &path(MAX_RATIOS, name),
                "expected a number that is not less than 1, found ",
                ratio.raw(),
            ));
        }
    }
    Ok(())
}

/// The path of a resource in a setting.
fn path(field: Field<types::Any>, name: &str) -> String {
    [field.path.strip_suffix('*').unwrap_or(field.path), name].concat()
}

/// Refuses what cannot be a resource of a container.
fn expect_resource(place: &str, name: &str, others: &str) -> Result<(), String> {
    let has_domain = name.split_once('/').is_some_and(|(domain, rest)| !domain.is_empty() && !rest.is_empty());
    if KNOWN.contains(&name) || name.starts_with("hugepages-") || has_domain {
        return Ok(());
    }
    let expected = ["expected ", others, "cpu, memory, ephemeral-storage, hugepages-2Mi, or example.com/gpu, found "];
    Err(problem(place, &expected.concat(), name))
}

fn expect_quantity(field: Field<types::Any>, name: &str, quantity: Object<'_>) -> Result<(), String> {
    match amount(quantity) {
        Some(_) => Ok(()),
        None => {
            Err(problem(&path(field, name), "expected a quantity such as 0.5, 500m or 1Gi, found ", quantity.raw()))
        }
    }
}
