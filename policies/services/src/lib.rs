//! Rejects Services that take addresses, names or node ports that they must not have.
//!
//! Each node sends traffic for an address in `externalIPs` to the Service's pods. Whoever may set one can take traffic
//! that is meant for somebody else (CVE-2020-8554), and Kubernetes 1.36 deprecates the field. An `ExternalName` is an alias
//! for any name. Ingress controllers and gateways connect to it, also if it leads to themselves, to the node, or into
//! another namespace. A `NodePort` opens a port on every node, and a `LoadBalancer` one to the network outside.
//!
//! Fields that do nothing for the Service's type are not evaluated. On UPDATE, values that the Service had before are
//! not evaluated again, unless they did nothing for its old type; but a new `externalName` needs an allowed type. The status
//! is not evaluated.
#![cfg_attr(not(test), no_std)]

use podfence_core::{
    Before, Block, Kind, List, Object, Range, Resource, Rule, Settings, String, Vec, Violations, problem, quote, split,
};

podfence_core::fields! {
    TYPE: String = Object "spec.type", allowed "in `allowedTypes` (all but `ExternalName`); unset is `ClusterIP`";
    EXTERNAL_IPS: StringList = Object "spec.externalIPs", allowed "within `allowedExternalIPs` (none)";
    EXTERNAL_NAME: String = Object "spec.externalName",
        allowed "of an `ExternalName`: in `allowedExternalNames` (any); never a single label such as `localhost`, an \
            address, or a name in `clusterDomain`, `svc`, `pod` or `localdomain`";
    SOURCE_RANGES: StringList = Object "spec.loadBalancerSourceRanges",
        allowed "of a `LoadBalancer`: anything, also unset; with `allowedSourceRanges`, blocks within these";
    ANNOTATION: String = Object "metadata.annotations[\"service.beta.kubernetes.io/load-balancer-source-ranges\"]",
        allowed "the same, where `spec.loadBalancerSourceRanges` is empty";
    PORTS: ObjectList = Object "spec.ports";
    NODE_PORT: Integer = Object "spec.ports[*].nodePort",
        allowed "unset, `0`, or within `allowedNodePorts` (any)";
    HEALTH_CHECK_NODE_PORT: Integer = Object "spec.healthCheckNodePort",
        allowed "of a `LoadBalancer`: unset, `0`, or within `allowedNodePorts` (any)";
}

podfence_core::settings! {
    /// Allows addresses in these blocks as `externalIPs`. An entry is a CIDR or an address.
    ALLOWED_EXTERNAL_IPS: StringList = "allowedExternalIPs", alias "allowedIPs", default "[]";
    /// Allows these types. A given list replaces the default.
    ALLOWED_TYPES: StringList = "allowedTypes", one_of ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"],
        default "[\"ClusterIP\",\"NodePort\",\"LoadBalancer\"]";
    /// Allows only these names for the type `ExternalName`, where `allowedTypes` has it. An entry is a name, or `*.` and a
    /// name, which stands for each name below that one. If unset, any name outside of the cluster is allowed.
    ALLOWED_EXTERNAL_NAMES: StringList = "allowedExternalNames";
    /// The domain of the cluster: an `ExternalName` must not be in it.
    CLUSTER_DOMAIN: String = "clusterDomain", default "\"cluster.local\"";
    /// Requires source ranges of each `LoadBalancer`, and allows only those within these blocks. An entry is a CIDR or an
    /// address.
    ALLOWED_SOURCE_RANGES: StringList = "allowedSourceRanges";
    /// Allows only node ports in these ranges. A node port that is unset or 0 is accepted: the API server chooses it later,
    /// from the range that it is started with.
    ALLOWED_NODE_PORTS: ObjectList = "allowedNodePorts";
    /// The first port of the range.
    RANGE_MIN: Integer = "allowedNodePorts[*].min";
    /// The last port of the range.
    RANGE_MAX: Integer = "allowedNodePorts[*].max";
}

podfence_core::policy! {
    name: "services",
    on: [Kind::namespaced("", "Service", "services")],
    exempt_users: ["system:apiserver"],
    check: check,
    validate: validate,
}

static WRONG_TYPE: Rule = Rule {
    control: "types",
    reason: "type",
    detail: "spec.type must not be {values}",
    fix: "use a type that is allowed, such as ClusterIP",
    setting: Some(ALLOWED_TYPES.path),
    ..Rule::PLAIN
};

static EXTERNAL_IP: Rule = Rule {
    control: "externalIPs",
    reason: "external IP",
    detail: "spec.externalIPs must not have {values}",
    fix: "remove it, and use a LoadBalancer or the Gateway API",
    setting: Some(ALLOWED_EXTERNAL_IPS.path),
    ..Rule::PLAIN
};

static EXTERNAL: Rule = Rule {
    control: "externalNames",
    reason: "external name",
    detail: "spec.externalName must not be {values}",
    fix: "use a name that is allowed",
    setting: Some(ALLOWED_EXTERNAL_NAMES.path),
    ..Rule::PLAIN
};

static INTERNAL: Rule = Rule {
    control: "externalNames",
    reason: "external name",
    detail: "spec.externalName must be a name outside of the cluster, not {values}",
    fix: "let clients use the name itself, or select pods",
    ..Rule::PLAIN
};

static NO_SOURCE_RANGES: Rule = Rule {
    control: "sourceRanges",
    reason: "source ranges",
    detail: "a LoadBalancer must set spec.loadBalancerSourceRanges",
    fix: "set spec.loadBalancerSourceRanges to the networks of the clients",
    setting: Some(ALLOWED_SOURCE_RANGES.path),
    ..Rule::PLAIN
};

static SOURCE_RANGE: Rule = Rule {
    control: "sourceRanges",
    reason: "source ranges",
    detail: "{sorted} must not have {values}",
    fix: "set spec.loadBalancerSourceRanges to networks that are allowed",
    setting: Some(ALLOWED_SOURCE_RANGES.path),
    ..Rule::PLAIN
};

static WRONG_NODE_PORT: Rule = Rule {
    control: "nodePorts",
    reason: "node port",
    detail: "{who} must not use node {values:port|ports} {numbers}",
    fix: "remove the node port, and the API server chooses one, or use one that is allowed",
    setting: Some(ALLOWED_NODE_PORTS.path),
    ..Rule::PLAIN
};

const CLUSTER_IP: &str = "ClusterIP";
const NODE: &str = "NodePort";
const LOAD_BALANCER: &str = "LoadBalancer";
const NAMED: &str = "ExternalName";

/// A Service, and what it was before an update.
struct Service<'r, 'v> {
    resource: &'r Resource<'v>,
    service_type: &'v str,
    /// Empty without an old object, as is its type.
    old: Object<'v>,
    old_type: &'v str,
}

/// Reports what a Service must not have.
pub fn check<'v>(resource: &Resource<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let old = resource.old();
    let service = Service {
        resource,
        service_type: type_of(resource.get(TYPE)),
        old: old.unwrap_or_default(),
        old_type: old.map_or("", |old| type_of(old.get(TYPE))),
    };
    service.check_type(settings, found);
    service.check_external_ips(settings, found);
    service.check_external_name(settings, found);
    service.check_source_ranges(settings, found);
    service.check_node_ports(settings, found);
}

/// The type that a field stands for.
fn type_of(field: Option<&str>) -> &str {
    field.filter(|name| !name.is_empty()).unwrap_or(CLUSTER_IP)
}

impl<'v> Service<'_, 'v> {
    /// The old object if its type is one of these; an empty one otherwise.
    fn old_of(&self, types: &[&str]) -> Object<'v> {
        if types.contains(&self.old_type) { self.old } else { Object::default() }
    }

    fn check_type(&self, settings: &Settings<'_>, found: &mut Violations<'v>) {
        let is_same = self.service_type == self.old_type
            && (self.service_type != NAMED || self.old.get(EXTERNAL_NAME) == self.resource.get(EXTERNAL_NAME));
        if !is_same && !settings.strings(ALLOWED_TYPES).has(self.service_type) {
            found.add(&WRONG_TYPE, self.resource.at(TYPE).named(self.service_type));
        }
    }

    fn check_external_ips(&self, settings: &Settings<'_>, found: &mut Violations<'v>) {
        if self.service_type == NAMED {
            return;
        }
        let old = self.old_of(&[CLUSTER_IP, NODE, LOAD_BALANCER]);
        let before = Before::of(old.get(EXTERNAL_IPS).unwrap_or_default().strings());
        let mut allowed = Blocks::of(settings.strings(ALLOWED_EXTERNAL_IPS));
        for (index, address) in self.resource.get(EXTERNAL_IPS).unwrap_or_default().objects().enumerate() {
            let text = address.string().unwrap_or_default();
            if !before.has(text) && !allowed.have(text) {
                found.add(&EXTERNAL_IP, self.resource.at(EXTERNAL_IPS).element(index, address));
            }
        }
    }

    fn check_external_name(&self, settings: &Settings<'_>, found: &mut Violations<'v>) {
        let name = self.resource.get(EXTERNAL_NAME).unwrap_or_default();
        if self.service_type != NAMED || self.old_of(&[NAMED]).get(EXTERNAL_NAME) == Some(name) {
            return;
        }
        if is_internal(name, settings) {
            found.add(&INTERNAL, self.resource.at(EXTERNAL_NAME));
        } else if let Some(allowed) = settings.get(ALLOWED_EXTERNAL_NAMES)
            && !allowed.strings().any(|entry| is_name(name, entry))
        {
            found.add(&EXTERNAL, self.resource.at(EXTERNAL_NAME));
        }
    }

    fn check_source_ranges(&self, settings: &Settings<'_>, found: &mut Violations<'v>) {
        let Some(allowed) = settings.get(ALLOWED_SOURCE_RANGES) else { return };
        if self.service_type != LOAD_BALANCER {
            return;
        }
        let field = self.resource.get(SOURCE_RANGES).unwrap_or_default();
        let ranges = source_ranges(field, self.resource.get(ANNOTATION));
        let old = self.old_of(&[LOAD_BALANCER]);
        let old_ranges = source_ranges(old.get(SOURCE_RANGES).unwrap_or_default(), old.get(ANNOTATION));
        if ranges.is_empty() && (self.old_type != LOAD_BALANCER || !old_ranges.is_empty()) {
            found.add(&NO_SOURCE_RANGES, self.resource.at(SOURCE_RANGES));
        }
        let before = Before::of(old_ranges.into_iter());
        let mut allowed = Blocks::of(allowed);
        let mut elements = field.objects().enumerate();
        for range in ranges {
            let place = match elements.next() {
                Some((index, element)) => self.resource.at(SOURCE_RANGES).element(index, element),
                None => self.resource.at(ANNOTATION),
            };
            if !before.has(range) && !allowed.have(range) {
                found.add(&SOURCE_RANGE, place.named(range));
            }
        }
    }

    fn check_node_ports(&self, settings: &Settings<'_>, found: &mut Violations<'v>) {
        let Some(allowed) = settings.get(ALLOWED_NODE_PORTS) else { return };
        if ![NODE, LOAD_BALANCER].contains(&self.service_type) {
            return;
        }
        let old_ports = self.old_of(&[NODE, LOAD_BALANCER]).get(PORTS).unwrap_or_default();
        let mut before: Vec<i64> = old_ports.objects().filter_map(|port| port.get(NODE_PORT)).collect();
        before.extend(self.old_of(&[LOAD_BALANCER]).get(HEALTH_CHECK_NODE_PORT));
        let is_wrong = |port: Option<i64>| {
            port.is_some_and(|port| {
                port != 0 && !before.contains(&port) && !allowed.objects().any(|range| has(range, port))
            })
        };
        for port in self.resource.elements(PORTS) {
            if is_wrong(port.get(NODE_PORT)) {
                found.add(&WRONG_NODE_PORT, port.at(NODE_PORT));
            }
        }
        if self.service_type == LOAD_BALANCER && is_wrong(self.resource.get(HEALTH_CHECK_NODE_PORT)) {
            found.add(&WRONG_NODE_PORT, self.resource.at(HEALTH_CHECK_NODE_PORT));
        }
    }
}

/// Blocks of addresses, by family.
struct Blocks([Vec<Range>; 2]);

impl Blocks {
    /// The blocks of a setting.
    fn of(entries: List<'_>) -> Self {
        let mut blocks = Self([Vec::new(), Vec::new()]);
        for block in entries.strings().filter_map(Block::parse_any) {
            blocks.0[usize::from(block.is_v6)].push(block.range);
        }
        blocks
    }

    /// Whether they have all addresses of a block, or an address, together. A text that is neither is not among them.
    fn have(&mut self, text: &str) -> bool {
        Block::parse_any(text).is_some_and(|block| block.range.is_within(&mut self.0[usize::from(block.is_v6)]))
    }
}

/// The source ranges of a load balancer, as the API reads them: those of the annotation if the field has none.
fn source_ranges<'v>(field: List<'v>, annotation: Option<&'v str>) -> Vec<&'v str> {
    let mut ranges: Vec<_> = field.strings().map(str::trim_ascii).collect();
    let mut rest = annotation.unwrap_or_default().trim_ascii();
    if ranges.is_empty() && !rest.is_empty() {
        loop {
            let (range, behind) = split(rest, b',');
            ranges.push(range.trim_ascii());
            // Behind a comma at the end, there is an empty range.
            if range.len() == rest.len() {
                break;
            }
            rest = behind;
        }
    }
    ranges
}

/// Whether a range of the setting has a port.
fn has(range: Object<'_>, port: i64) -> bool {
    range.get(RANGE_MIN).is_some_and(|min| min <= port) && range.get(RANGE_MAX).is_some_and(|max| port <= max)
}

/// Whether a name leads into the cluster, or to whoever resolves it.
fn is_internal(name: &str, settings: &Settings<'_>) -> bool {
    // Search paths lead from the last two into the cluster, and from a single label to wherever they like.
    let domains = ["localhost", "localdomain", "pod", "svc", settings.get(CLUSTER_DOMAIN).unwrap_or_default()];
    let last_label = bare(name).as_bytes().rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    // Programs read such a name as an address; no domain ends so.
    let is_address = name.bytes().any(|byte| byte == b':')
        || match last_label {
            [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
            digits => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        };
    let is_single = !bare(name).is_empty() && !bare(name).contains('.');
    is_single || is_address || domains.iter().any(|domain| is_same(name, domain) || is_below(name, domain))
}

/// Whether a name is what an entry of `allowedExternalNames` stands for.
fn is_name(name: &str, entry: &str) -> bool {
    match entry.strip_prefix("*.") {
        Some(domain) => is_below(name, domain),
        None => is_same(name, entry),
    }
}

fn is_same(name: &str, other: &str) -> bool {
    bare(name).eq_ignore_ascii_case(bare(other))
}

/// Whether a name is one in a domain.
fn is_below(name: &str, domain: &str) -> bool {
    let (name, domain) = (bare(name).as_bytes(), bare(domain).as_bytes());
    let Some((labels, end)) = name.len().checked_sub(domain.len()).and_then(|at| name.split_at_checked(at)) else {
        return false;
    };
    matches!(labels, [_, .., b'.']) && end.eq_ignore_ascii_case(domain)
}

/// The name without the dot that says that it is a whole one.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether this is a name of DNS: labels of letters, digits, `-` and `_` with dots between them.
fn is_domain(name: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    bare(name).as_bytes().split(|&byte| byte == b'.').all(|label| !label.is_empty() && label.iter().all(is_letter))
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// An entry is not a block of addresses, not a name, or a name in the cluster; or a range of ports lacks a bound, is empty, or
/// exceeds the valid ports.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    for list in [ALLOWED_EXTERNAL_IPS, ALLOWED_SOURCE_RANGES] {
        for entry in settings.strings(list).objects() {
            if Block::parse_any(entry.string().unwrap_or_default()).is_none() {
                return Err(problem(list.path, "expected a CIDR or an address, found ", entry.raw()));
            }
        }
    }
    if let Some(domain) = settings.get(CLUSTER_DOMAIN)
        && !is_domain(domain)
    {
        let mut expected = String::from("expected a name such as cluster.local, found ");
        quote(domain, &mut expected);
        return Err(problem(CLUSTER_DOMAIN.path, &expected, ""));
    }
    for entry in settings.strings(ALLOWED_EXTERNAL_NAMES).objects() {
        let name = entry.string().unwrap_or_default();
        let name = name.strip_prefix("*.").unwrap_or(name);
        if !is_domain(name) || is_internal(name, settings) {
            let expected = "expected a name outside of the cluster, or one behind *., found ";
            return Err(problem(ALLOWED_EXTERNAL_NAMES.path, expected, entry.raw()));
        }
    }
    for range in settings.get(ALLOWED_NODE_PORTS).unwrap_or_default().objects() {
        let bounds = (range.get(RANGE_MIN), range.get(RANGE_MAX));
        if !matches!(bounds, (Some(min), Some(max)) if 0 <= min && min <= max && max <= LAST_PORT) {
            let expected = "expected ports from 0 to 65535, min not above max, in ";
            return Err(problem(ALLOWED_NODE_PORTS.path, expected, range.raw()));
        }
    }
    Ok(())
}

const LAST_PORT: i64 = 65535;
