//! Rejects network policies with rules that let everything in or out.
//!
//! No NetworkPolicy can deny what another one allows: a rule for everybody defeats the policies that deny by default, for
//! each pod that it selects. Such a rule has no peers, or an address block that is all of IPv4 or IPv6, or blocks that
//! are all of it together, or it selects all pods of all namespaces.
//!
//! An ingress rule for everybody is accepted if it leaves out a port of each protocol: a web server needs one. An egress
//! rule for everybody is accepted only for the ports in `allowedPorts`: who breaks into a pod can send its data to port 443
//! anywhere. Rules are evaluated one by one, and only for the directions in `policyTypes`.
//!
//! On UPDATE, rules that the policy had before, word for word, are not evaluated again, unless it selects other pods now,
//! or did not apply to their direction. Whether each namespace has a policy is not evaluated; `podfence scan
//! --default-deny` reports that.
#![cfg_attr(not(test), no_std)]

use podfence_core::{
    Block, Element, Field, Kind, List, Object, Range, Resource, Rule, Settings, String, Vec, Violations, json, types,
};

podfence_core::fields! {
    POD_SELECTOR: Object = Object "spec.podSelector";
    /// Unset stands for `Ingress`, and for `Egress` if there are egress rules. Rules for other directions do nothing.
    POLICY_TYPES: StringList = Object "spec.policyTypes";
    INGRESS: ObjectList = Object "spec.ingress";
    FROM: ObjectList = Object "spec.ingress[*].from",
        allowed "peers that are not everybody together; any, also unset, if `ports` leaves out a port of each protocol";
    FROM_CIDR: String = Object "spec.ingress[*].from[*].ipBlock.cidr",
        allowed "a CIDR that is not all of IPv4 or IPv6, or has exceptions";
    FROM_EXCEPT: StringList = Object "spec.ingress[*].from[*].ipBlock.except", allowed "CIDRs";
    FROM_NAMESPACES: Object = Object "spec.ingress[*].from[*].namespaceSelector",
        allowed "one that does not select all namespaces (each has the label `kubernetes.io/metadata.name`), or a `podSelector` \
            beside it that does not select all pods";
    FROM_NAMESPACE_LABELS: Object = Object "spec.ingress[*].from[*].namespaceSelector.matchLabels";
    FROM_NAMESPACE_EXPRESSIONS: ObjectList = Object "spec.ingress[*].from[*].namespaceSelector.matchExpressions";
    FROM_NAMESPACE_KEY: String = Object "spec.ingress[*].from[*].namespaceSelector.matchExpressions[*].key";
    FROM_NAMESPACE_OPERATOR: String = Object "spec.ingress[*].from[*].namespaceSelector.matchExpressions[*].operator";
    FROM_PODS: Object = Object "spec.ingress[*].from[*].podSelector";
    FROM_POD_LABELS: Object = Object "spec.ingress[*].from[*].podSelector.matchLabels";
    FROM_POD_EXPRESSIONS: ObjectList = Object "spec.ingress[*].from[*].podSelector.matchExpressions";
    INGRESS_PORTS: ObjectList = Object "spec.ingress[*].ports";
    INGRESS_PORT: Any = Object "spec.ingress[*].ports[*].port";
    INGRESS_END_PORT: Integer = Object "spec.ingress[*].ports[*].endPort";
    INGRESS_PROTOCOL: String = Object "spec.ingress[*].ports[*].protocol";
    EGRESS: ObjectList = Object "spec.egress";
    TO: ObjectList = Object "spec.egress[*].to",
        allowed "peers that are not everybody together; any, also unset, if all `ports` are within `allowedPorts` (53)";
    TO_CIDR: String = Object "spec.egress[*].to[*].ipBlock.cidr",
        allowed "a CIDR that is not all of IPv4 or IPv6, or has exceptions";
    TO_EXCEPT: StringList = Object "spec.egress[*].to[*].ipBlock.except", allowed "CIDRs";
    TO_NAMESPACES: Object = Object "spec.egress[*].to[*].namespaceSelector",
        allowed "one that does not select all namespaces (each has the label `kubernetes.io/metadata.name`), or a `podSelector` \
            beside it that does not select all pods";
    TO_NAMESPACE_LABELS: Object = Object "spec.egress[*].to[*].namespaceSelector.matchLabels";
    TO_NAMESPACE_EXPRESSIONS: ObjectList = Object "spec.egress[*].to[*].namespaceSelector.matchExpressions";
    TO_NAMESPACE_KEY: String = Object "spec.egress[*].to[*].namespaceSelector.matchExpressions[*].key";
    TO_NAMESPACE_OPERATOR: String = Object "spec.egress[*].to[*].namespaceSelector.matchExpressions[*].operator";
    TO_PODS: Object = Object "spec.egress[*].to[*].podSelector";
    TO_POD_LABELS: Object = Object "spec.egress[*].to[*].podSelector.matchLabels";
    TO_POD_EXPRESSIONS: ObjectList = Object "spec.egress[*].to[*].podSelector.matchExpressions";
    EGRESS_PORTS: ObjectList = Object "spec.egress[*].ports";
    EGRESS_PORT: Any = Object "spec.egress[*].ports[*].port";
    EGRESS_END_PORT: Integer = Object "spec.egress[*].ports[*].endPort";
    EGRESS_PROTOCOL: String = Object "spec.egress[*].ports[*].protocol";
}

podfence_core::settings! {
    /// Allows egress rules to everybody that are only for these ports. A range must be within one entry, and a port with a
    /// name is not allowed. A given list replaces the default, which is DNS.
    ALLOWED_PORTS: ObjectList = "allowedPorts",
        default "[{\"port\":53,\"protocol\":\"UDP\"},{\"port\":53,\"protocol\":\"TCP\"}]";
    /// The port, or the first one of a range.
    ALLOWED_PORT: Integer = "allowedPorts[*].port";
    /// The last port of a range.
    ALLOWED_END_PORT: Integer = "allowedPorts[*].endPort";
    /// The protocol. Defaults to TCP.
    ALLOWED_PROTOCOL: String = "allowedPorts[*].protocol", one_of ["TCP", "UDP", "SCTP"];
}

podfence_core::policy! {
    name: "network-policies",
    on: [Kind::namespaced("networking.k8s.io", "NetworkPolicy", "networkpolicies")],
    check: check,
    validate: validate,
}

/// The texts for one direction.
struct Rules {
    no_peers: Rule,
    no_peer: Rule,
    block: Rule,
    blocks: Rule,
    namespaces: Rule,
}

const IN: Rule = Rule {
    control: "ingress",
    reason: "ingress from everywhere",
    fix: "name the peers that need the pods in from, or their ports in ports",
    ..Rule::PLAIN
};

static IN_RULES: Rules = Rules {
    no_peers: Rule { detail: "{who} must name peers in from", ..IN },
    no_peer: Rule { detail: "{who} must select peers", ..IN },
    block: Rule { detail: BLOCK, ..IN },
    blocks: Rule { detail: "the ipBlocks of {who} must not be all addresses together", ..IN },
    namespaces: Rule { detail: NAMESPACES, ..IN },
};

const OUT: Rule = Rule {
    control: "egress",
    reason: "egress to everywhere",
    fix: "name the peers that the pods need in to",
    setting: Some(ALLOWED_PORTS.path),
    ..Rule::PLAIN
};

static OUT_RULES: Rules = Rules {
    no_peers: Rule { detail: "{who} must name peers in to", ..OUT },
    no_peer: Rule { detail: "{who} must select peers", ..OUT },
    block: Rule { detail: BLOCK, ..OUT },
    blocks: Rule { detail: "the ipBlocks of {who} must not be all addresses together", ..OUT },
    namespaces: Rule { detail: NAMESPACES, ..OUT },
};

const BLOCK: &str = "{who} must not have {values:ipBlock|ipBlocks} {values}";

const NAMESPACES: &str = "{who} must not select all pods of all namespaces";

static NO_CIDR: Rule = Rule {
    control: "ipBlocks",
    reason: "no address block",
    detail: "{sorted} must have CIDRs in ipBlock, not {values}",
    fix: "write the block as an address, a slash and the number of bits that count, such as 10.0.0.0/8",
    ..Rule::PLAIN
};

/// The fields of one direction.
struct Direction {
    /// As `policyTypes` have it.
    name: &'static str,
    texts: &'static Rules,
    rules: Field<types::ObjectList>,
    peers: Field<types::ObjectList>,
    cidr: Field<types::String>,
    except: Field<types::StringList>,
    namespaces: Field<types::Object>,
    namespace_labels: Field<types::Object>,
    namespace_expressions: Field<types::ObjectList>,
    namespace_key: Field<types::String>,
    namespace_operator: Field<types::String>,
    pods: Field<types::Object>,
    pod_labels: Field<types::Object>,
    pod_expressions: Field<types::ObjectList>,
    ports: Field<types::ObjectList>,
    port: Field<types::Any>,
    end_port: Field<types::Integer>,
    protocol: Field<types::String>,
}

static DIRECTIONS: [Direction; 2] = [
    Direction {
        name: "Ingress",
        texts: &IN_RULES,
        rules: INGRESS,
        peers: FROM,
        cidr: FROM_CIDR,
        except: FROM_EXCEPT,
        namespaces: FROM_NAMESPACES,
        namespace_labels: FROM_NAMESPACE_LABELS,
        namespace_expressions: FROM_NAMESPACE_EXPRESSIONS,
        namespace_key: FROM_NAMESPACE_KEY,
        namespace_operator: FROM_NAMESPACE_OPERATOR,
        pods: FROM_PODS,
        pod_labels: FROM_POD_LABELS,
        pod_expressions: FROM_POD_EXPRESSIONS,
        ports: INGRESS_PORTS,
        port: INGRESS_PORT,
        end_port: INGRESS_END_PORT,
        protocol: INGRESS_PROTOCOL,
    },
    Direction {
        name: "Egress",
        texts: &OUT_RULES,
        rules: EGRESS,
        peers: TO,
        cidr: TO_CIDR,
        except: TO_EXCEPT,
        namespaces: TO_NAMESPACES,
        namespace_labels: TO_NAMESPACE_LABELS,
        namespace_expressions: TO_NAMESPACE_EXPRESSIONS,
        namespace_key: TO_NAMESPACE_KEY,
        namespace_operator: TO_NAMESPACE_OPERATOR,
        pods: TO_PODS,
        pod_labels: TO_POD_LABELS,
        pod_expressions: TO_POD_EXPRESSIONS,
        ports: EGRESS_PORTS,
        port: EGRESS_PORT,
        end_port: EGRESS_END_PORT,
        protocol: EGRESS_PROTOCOL,
    },
];

/// Reports rules that let everything in or out.
pub fn check<'v>(policy: &Resource<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let policy_types = policy.get(POLICY_TYPES).unwrap_or_default();
    let old_types = policy.old().unwrap_or_default().get(POLICY_TYPES).unwrap_or_default();
    let selects_others = policy.is_changed(POD_SELECTOR);
    for direction in &DIRECTIONS {
        if !direction.applies(policy_types) {
            continue;
        }
        let is_new = selects_others || !direction.applies(old_types);
        for rule in policy.elements(direction.rules) {
            if (is_new || rule.is_new()) && !direction.is_limited(&rule, settings) {
                direction.check(&rule, found);
            }
        }
    }
}

impl Direction {
    /// Whether a policy of these types has rules for it. Without types, it has if there are any.
    fn applies(&self, policy_types: List<'_>) -> bool {
        policy_types.is_empty() || policy_types.has(self.name)
    }

    /// Whether a rule may be for everybody, since it is for few ports.
    fn is_limited(&self, rule: &Element<'_>, settings: &Settings<'_>) -> bool {
        let ports: Vec<Port> = rule.elements(self.ports).iter().map(|port| self.port(port)).collect();
        if ports.is_empty() {
            return false;
        }
        if self.rules.path == EGRESS.path {
            let allowed = allowed_ports(settings);
            return ports.iter().all(|port| allowed.iter().any(|allowed| allowed.has(port)));
        }
        let is_every_port = |protocol: &&str| {
            let of_protocol = ports.iter().filter(|port| port.protocol == *protocol);
            EVERY_PORT.is_within(&mut of_protocol.filter_map(|port| port.numbers).collect::<Vec<_>>())
        };
        !PROTOCOLS.iter().any(is_every_port) && ports.iter().all(|port| PROTOCOLS.contains(&port.protocol))
    }

    /// Reads an element of `ports`. What names no port is for every port, as is what the API server would refuse.
    fn port<'v>(&self, element: &Element<'v>) -> Port<'v> {
        let protocol = element.get(self.protocol).unwrap_or(TCP);
        let numbers = match element.get(self.port).map(Object::raw) {
            None => Some(EVERY_PORT),
            Some(name) if name.starts_with('"') => None,
            Some(number) => {
                let first = json::integer(number).unwrap_or_default();
                let last = element.get(self.end_port).unwrap_or(first);
                Some(range(first, last).unwrap_or(EVERY_PORT))
            }
        };
        Port { protocol, numbers }
    }

    /// Reports how a rule is for everybody.
    fn check<'v>(&self, rule: &Element<'v>, found: &mut Violations<'v>) {
        let peers = rule.elements(self.peers);
        if peers.is_empty() {
            found.add(&self.texts.no_peers, rule.at(self.peers));
        }
        let mut families = [Family::of(false), Family::of(true)];
        for peer in &peers {
            if let Some(cidr) = peer.get(self.cidr) {
                let exceptions = self.exceptions(peer, found);
                match Block::parse(cidr) {
                    Some(block) if families[usize::from(block.is_v6)].add(block, &exceptions) => {
                        found.add(&self.texts.block, peer.at(self.cidr));
                    }
                    Some(_) => {}
                    None => found.add(&NO_CIDR, peer.at(self.cidr)),
                }
            } else if peer.get(self.namespaces).is_none() && peer.get(self.pods).is_none() {
                found.add(&self.texts.no_peer, peer.place());
            }
            if self.is_every_pod(peer) {
                found.add(&self.texts.namespaces, peer.at(self.namespaces));
            }
        }
        if families.iter_mut().any(Family::is_whole_together) {
            found.add(&self.texts.blocks, rule.at(self.peers));
        }
    }

    /// The blocks that a peer's block is without.
    fn exceptions<'v>(&self, peer: &Element<'v>, found: &mut Violations<'v>) -> Vec<Block> {
        let mut blocks = Vec::new();
        for (index, except) in peer.get(self.except).unwrap_or_default().objects().enumerate() {
            match Block::parse(except.string().unwrap_or_default()) {
                Some(block) => blocks.push(block),
                None => found.add(&NO_CIDR, peer.at(self.except).element(index, except)),
            }
        }
        blocks
    }

    /// Whether a peer is every pod of every namespace.
    fn is_every_pod(&self, peer: &Element<'_>) -> bool {
        let Some(namespaces) = peer.get(self.namespaces) else { return false };
        let is_on_all = |expression: Object<'_>| {
            expression.get(self.namespace_key) == Some(NAME_LABEL)
                && expression.get(self.namespace_operator) == Some("Exists")
        };
        let selects_all_pods = |pods: Object<'_>| {
            is_empty(pods.get(self.pod_labels)) && pods.get(self.pod_expressions).unwrap_or_default().is_empty()
        };
        is_empty(namespaces.get(self.namespace_labels))
            && namespaces.get(self.namespace_expressions).unwrap_or_default().objects().all(is_on_all)
            && peer.get(self.pods).is_none_or(selects_all_pods)
    }
}

/// A label that every namespace has: the API server sets it.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Whether there are no labels. A label has a key, which is in quotes.
fn is_empty(labels: Option<Object<'_>>) -> bool {
    labels.is_none_or(|labels| !labels.raw().bytes().any(|byte| byte == b'"'))
}

/// What the blocks of a rule have of one family of addresses.
struct Family {
    all: Range,
    ranges: Vec<Range>,
    /// A block has all of it alone.
    is_whole: bool,
}

impl Family {
    fn of(is_v6: bool) -> Self {
        Self { all: Block::all(is_v6).range, ranges: Vec::new(), is_whole: false }
    }

    /// Adds a block without exceptions; returns whether that is the whole family.
    fn add(&mut self, block: Block, exceptions: &[Block]) -> bool {
        let of_family = exceptions.iter().filter(|except| except.is_v6 == block.is_v6);
        let left = block.range.without(&mut of_family.map(|except| except.range).collect::<Vec<_>>());
        let is_whole = left.first() == Some(&self.all);
        self.is_whole |= is_whole;
        self.ranges.extend(left);
        is_whole
    }

    /// Whether no block has all of it, but all blocks together.
    fn is_whole_together(&mut self) -> bool {
        !self.is_whole && self.all.is_within(&mut self.ranges)
    }
}

const TCP: &str = "TCP";

const PROTOCOLS: [&str; 3] = [TCP, "UDP", "SCTP"];

const EVERY_PORT: Range = Range { first: 1, last: 65535 };

/// Ports of one protocol.
struct Port<'v> {
    protocol: &'v str,
    /// `None` for a port that has a name.
    numbers: Option<Range>,
}

impl Port<'_> {
    /// Whether a port, or range of ports, is within this one.
    fn has(&self, port: &Port<'_>) -> bool {
        let within = self.numbers.zip(port.numbers).is_some_and(|(own, port)| port.is_within(&mut [own]));
        within && self.protocol == port.protocol
    }
}

/// The ports from one to another; `None` if one of them does not exist.
fn range(first: i64, last: i64) -> Option<Range> {
    let is_valid = 1 <= first && first <= last && last <= 65535;
    if is_valid { Some(Range { first: first as u128, last: last as u128 }) } else { None }
}

/// The setting `allowedPorts`.
fn allowed_ports<'s>(settings: &Settings<'s>) -> Vec<Port<'s>> {
    if !settings.is_given(ALLOWED_PORTS) {
        // Of defaults, core decodes no objects.
        return ["UDP", TCP].map(|protocol| Port { protocol, numbers: range(53, 53) }).into();
    }
    settings.get(ALLOWED_PORTS).unwrap_or_default().objects().map(allowed_port).collect()
}

fn allowed_port(entry: Object<'_>) -> Port<'_> {
    let first = entry.get(ALLOWED_PORT).unwrap_or_default();
    let last = entry.get(ALLOWED_END_PORT).unwrap_or(first);
    Port { protocol: entry.get(ALLOWED_PROTOCOL).unwrap_or(TCP), numbers: range(first, last) }
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// An entry of `allowedPorts` has no port, a port that does not exist, an empty range, or an unknown protocol.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    const EXPECTED: &str =
        "expected a port from 1 to 65535, an endPort that is not below it, and protocol TCP, UDP or SCTP";
    for entry in settings.get(ALLOWED_PORTS).unwrap_or_default().objects() {
        let Port { protocol, numbers } = allowed_port(entry);
        if numbers.is_none() || !PROTOCOLS.contains(&protocol) {
            return Err([ALLOWED_PORTS.path, ": ", EXPECTED, ", in ", entry.raw()].concat());
        }
    }
    Ok(())
}
