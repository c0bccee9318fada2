//! Rejects network policies with rules that let everything in or out.
//!
//! No NetworkPolicy can deny what another one allows: a rule for everybody defeats the policies that deny by default, for
//! each pod that it selects. Such a rule has no peers, or an address block that is all of IPv4 or IPv6, or blocks that
//! are all of it together, or it selects all pods of all namespaces, also by several selectors.
//!
//! Blocks are all of IPv4 also if they leave out reserved addresses (`0.0.0.0/8`, `127.0.0.0/8`, `224.0.0.0/4` and
//! `240.0.0.0/4`), and all of IPv6 if they have all of `2000::/3`; but an exception within `fc00::/7`, the private
//! addresses of IPv6, is one. Selectors of one rule are put together if each has a single condition and all are about one
//! label: `Exists` and `DoesNotExist`, or `In` and `NotIn` the same values. The policy knows neither the labels nor the
//! addresses that are in use: `NotIn` a value that nothing has is accepted, and so is a block without one address.
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
    Block, Element, Field, Kind, List, Object, Range, Resource, Rule, Settings, String, Vec, Violations, concat, json,
    split, types,
};

podfence_core::fields! {
    POD_SELECTOR: Object = Object "spec.podSelector";
    /// Unset stands for `Ingress`, and for `Egress` if there are egress rules. Rules for other directions do nothing.
    POLICY_TYPES: StringList = Object "spec.policyTypes";
    INGRESS: ObjectList = Object "spec.ingress";
    FROM: ObjectList = Object "spec.ingress[*].from",
        allowed "peers that are not everybody together; any, also unset, if `ports` leaves out a port of each protocol";
    FROM_CIDR: String = Object "spec.ingress[*].from[*].ipBlock.cidr",
        allowed "a CIDR that is not all of IPv4 or IPv6, or has exceptions that are not reserved addresses";
    FROM_EXCEPT: StringList = Object "spec.ingress[*].from[*].ipBlock.except", allowed "CIDRs";
    FROM_NAMESPACES: Object = Object "spec.ingress[*].from[*].namespaceSelector",
        allowed "one that does not select all namespaces (each has the label `kubernetes.io/metadata.name`), or a `podSelector` \
            beside it that does not select all pods";
    FROM_NAMESPACE_LABELS: Object = Object "spec.ingress[*].from[*].namespaceSelector.matchLabels";
    FROM_NAMESPACE_EXPRESSIONS: ObjectList = Object "spec.ingress[*].from[*].namespaceSelector.matchExpressions";
    FROM_NAMESPACE_KEY: String = Object "spec.ingress[*].from[*].namespaceSelector.matchExpressions[*].key";
    FROM_NAMESPACE_OPERATOR: String = Object "spec.ingress[*].from[*].namespaceSelector.matchExpressions[*].operator";
    FROM_NAMESPACE_VALUES: StringList = Object "spec.ingress[*].from[*].namespaceSelector.matchExpressions[*].values";
    FROM_PODS: Object = Object "spec.ingress[*].from[*].podSelector";
    FROM_POD_LABELS: Object = Object "spec.ingress[*].from[*].podSelector.matchLabels";
    FROM_POD_EXPRESSIONS: ObjectList = Object "spec.ingress[*].from[*].podSelector.matchExpressions";
    FROM_POD_KEY: String = Object "spec.ingress[*].from[*].podSelector.matchExpressions[*].key";
    FROM_POD_OPERATOR: String = Object "spec.ingress[*].from[*].podSelector.matchExpressions[*].operator";
    FROM_POD_VALUES: StringList = Object "spec.ingress[*].from[*].podSelector.matchExpressions[*].values";
    INGRESS_PORTS: ObjectList = Object "spec.ingress[*].ports";
    INGRESS_PORT: Any = Object "spec.ingress[*].ports[*].port";
    INGRESS_END_PORT: Integer = Object "spec.ingress[*].ports[*].endPort";
    INGRESS_PROTOCOL: String = Object "spec.ingress[*].ports[*].protocol";
    EGRESS: ObjectList = Object "spec.egress";
    TO: ObjectList = Object "spec.egress[*].to",
        allowed "peers that are not everybody together; any, also unset, if all `ports` are within `allowedPorts` (53)";
    TO_CIDR: String = Object "spec.egress[*].to[*].ipBlock.cidr",
        allowed "a CIDR that is not all of IPv4 or IPv6, or has exceptions that are not reserved addresses";
    TO_EXCEPT: StringList = Object "spec.egress[*].to[*].ipBlock.except", allowed "CIDRs";
    TO_NAMESPACES: Object = Object "spec.egress[*].to[*].namespaceSelector",
        allowed "one that does not select all namespaces (each has the label `kubernetes.io/metadata.name`), or a `podSelector` \
            beside it that does not select all pods";
    TO_NAMESPACE_LABELS: Object = Object "spec.egress[*].to[*].namespaceSelector.matchLabels";
    TO_NAMESPACE_EXPRESSIONS: ObjectList = Object "spec.egress[*].to[*].namespaceSelector.matchExpressions";
    TO_NAMESPACE_KEY: String = Object "spec.egress[*].to[*].namespaceSelector.matchExpressions[*].key";
    TO_NAMESPACE_OPERATOR: String = Object "spec.egress[*].to[*].namespaceSelector.matchExpressions[*].operator";
    TO_NAMESPACE_VALUES: StringList = Object "spec.egress[*].to[*].namespaceSelector.matchExpressions[*].values";
    TO_PODS: Object = Object "spec.egress[*].to[*].podSelector";
    TO_POD_LABELS: Object = Object "spec.egress[*].to[*].podSelector.matchLabels";
    TO_POD_EXPRESSIONS: ObjectList = Object "spec.egress[*].to[*].podSelector.matchExpressions";
    TO_POD_KEY: String = Object "spec.egress[*].to[*].podSelector.matchExpressions[*].key";
    TO_POD_OPERATOR: String = Object "spec.egress[*].to[*].podSelector.matchExpressions[*].operator";
    TO_POD_VALUES: StringList = Object "spec.egress[*].to[*].podSelector.matchExpressions[*].values";
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
    selectors: Rule,
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
    blocks: Rule { detail: BLOCKS, ..IN },
    namespaces: Rule { detail: NAMESPACES, ..IN },
    selectors: Rule { detail: SELECTORS, ..IN },
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
    blocks: Rule { detail: BLOCKS, ..OUT },
    namespaces: Rule { detail: NAMESPACES, ..OUT },
    selectors: Rule { detail: SELECTORS, ..OUT },
};

const BLOCK: &str = "{who} must not have {values:ipBlock|ipBlocks} {values}";

const BLOCKS: &str = "the ipBlocks of {who} must not be all addresses together";

const NAMESPACES: &str = "{who} must not select all pods of all namespaces";

const SELECTORS: &str = "the selectors of {who} must not select all pods of all namespaces together";

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
    namespaces: Selector,
    pods: Selector,
    ports: Field<types::ObjectList>,
    port: Field<types::Any>,
    end_port: Field<types::Integer>,
    protocol: Field<types::String>,
}

/// The fields of a selector of labels.
struct Selector {
    /// The key of a label that all objects have which it selects from; empty if there is none.
    always: &'static str,
    object: Field<types::Object>,
    labels: Field<types::Object>,
    expressions: Field<types::ObjectList>,
    key: Field<types::String>,
    operator: Field<types::String>,
    values: Field<types::StringList>,
}

static DIRECTIONS: [Direction; 2] = [
    Direction {
        name: "Ingress",
        texts: &IN_RULES,
        rules: INGRESS,
        peers: FROM,
        cidr: FROM_CIDR,
        except: FROM_EXCEPT,
        namespaces: Selector {
            always: NAME_LABEL,
            object: FROM_NAMESPACES,
            labels: FROM_NAMESPACE_LABELS,
            expressions: FROM_NAMESPACE_EXPRESSIONS,
            key: FROM_NAMESPACE_KEY,
            operator: FROM_NAMESPACE_OPERATOR,
            values: FROM_NAMESPACE_VALUES,
        },
        pods: Selector {
            always: "",
            object: FROM_PODS,
            labels: FROM_POD_LABELS,
            expressions: FROM_POD_EXPRESSIONS,
            key: FROM_POD_KEY,
            operator: FROM_POD_OPERATOR,
            values: FROM_POD_VALUES,
        },
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
        namespaces: Selector {
            always: NAME_LABEL,
            object: TO_NAMESPACES,
            labels: TO_NAMESPACE_LABELS,
            expressions: TO_NAMESPACE_EXPRESSIONS,
            key: TO_NAMESPACE_KEY,
            operator: TO_NAMESPACE_OPERATOR,
            values: TO_NAMESPACE_VALUES,
        },
        pods: Selector {
            always: "",
            object: TO_PODS,
            labels: TO_POD_LABELS,
            expressions: TO_POD_EXPRESSIONS,
            key: TO_POD_KEY,
            operator: TO_POD_OPERATOR,
            values: TO_POD_VALUES,
        },
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
        let (mut is_everybody, mut conditions) = (false, Vec::new());
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
            } else if peer.get(self.namespaces.object).is_none() && peer.get(self.pods.object).is_none() {
                found.add(&self.texts.no_peer, peer.place());
            }
            let Some((of_namespaces, namespace)) = self.namespaces.conditions(peer) else { continue };
            let (of_pods, pod) = self.pods.conditions(peer).unwrap_or_default();
            match [of_namespaces, of_pods] {
                [0, 0] => {
                    found.add(&self.texts.namespaces, peer.at(self.namespaces.object));
                    is_everybody = true;
                }
                [1, 0] => conditions.push(namespace),
                [0, 1] => conditions.push(pod),
                _ => {}
            }
        }
        if families.iter_mut().any(Family::is_whole_together) {
            found.add(&self.texts.blocks, rule.at(self.peers));
        }
        if !is_everybody && conditions.iter().any(|first| is_met_by_all(first, &conditions)) {
            found.add(&self.texts.selectors, rule.at(self.peers));
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
}

impl Selector {
    /// How many conditions a peer's selector has, all of which labels must meet, and the last of them; `None` if it has no
    /// such selector. What every label meets does not count.
    fn conditions<'v>(&self, peer: &Element<'v>) -> Option<(usize, Condition<'v>)> {
        let selector = peer.get(self.object)?;
        let (mut count, mut last) = (0, Condition { always: self.always, ..Condition::default() });
        let labels = selector.get(self.labels).map(Object::raw).unwrap_or_default();
        let quotes = labels.bytes().filter(|&byte| byte == b'"').count();
        if quotes != 0 {
            // A label has four: its key and its value have no characters that JSON escapes.
            count = quotes.div_ceil(4);
            let (key, behind) = split(split(labels, b'"').1, b'"');
            let (value, _) = split(split(behind, b'"').1, b'"');
            last = Condition { key, operator: IN_VALUES, value: Some(value), ..last };
        }
        for expression in selector.get(self.expressions).unwrap_or_default().objects() {
            let key = expression.get(self.key).unwrap_or_default();
            let operator = expression.get(self.operator).unwrap_or_default();
            // Without a key, which the API server refuses, it is about no label that is always there.
            if operator != EXISTS || key.is_empty() || key != self.always {
                count += 1;
                last = Condition { key, operator, values: expression.get(self.values).unwrap_or_default(), ..last };
            }
        }
        Some((count, last))
    }
}

/// A condition for the label with a key.
#[derive(Clone, Copy, Default)]
struct Condition<'v> {
    key: &'v str,
    operator: &'v str,
    values: List<'v>,
    /// The value, if it is one of `matchLabels`.
    value: Option<&'v str>,
    /// That of its selector.
    always: &'static str,
}

impl Condition<'_> {
    /// Whether it is about the same label of the same objects.
    fn is_like(&self, other: &Self) -> bool {
        self.key == other.key && self.always == other.always
    }

    /// Whether a value meets it.
    fn includes(&self, value: &str) -> bool {
        match self.operator {
            IN_VALUES => self.value == Some(value) || self.values.has(value),
            NOT_IN_VALUES => !self.values.has(value),
            _ => false,
        }
    }
}

const EXISTS: &str = "Exists";
const MISSES: &str = "DoesNotExist";
const IN_VALUES: &str = "In";
const NOT_IN_VALUES: &str = "NotIn";

/// A label that every namespace has: the API server sets it.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Whether each value of a condition's label meets it or one of the others about that label, and what has no such label
/// does as well.
fn is_met_by_all(first: &Condition<'_>, conditions: &[Condition<'_>]) -> bool {
    let others = || conditions.iter().filter(|other| other.is_like(first));
    match first.operator {
        EXISTS => others().any(|other| matches!(other.operator, MISSES | NOT_IN_VALUES)),
        // What is not in its values meets it. Of several, the first one is enough.
        NOT_IN_VALUES => {
            let is_first =
                others().find(|other| other.operator == NOT_IN_VALUES).is_some_and(|of| core::ptr::eq(of, first));
            is_first && first.values.strings().all(|value| others().any(|other| other.includes(value)))
        }
        _ => false,
    }
}

/// The addresses of IPv4 and of IPv6 that are neither reserved nor for groups, and not private ones of IPv6.
static EVERYWHERE: [&[Range]; 2] = [
    &[
        Range { first: 0x0100_0000, last: 0x7eff_ffff }, // 1.0.0.0 to 126.255.255.255
        Range { first: 0x8000_0000, last: 0xdfff_ffff }, // 128.0.0.0 to 223.255.255.255
    ],
    &[Range { first: 1 << 125, last: (1 << 126) - 1 }], // 2000::/3
];

/// The private addresses of IPv6, `fc00::/7`.
const PRIVATE: Range = Range { first: 0x7e << 121, last: (0x7f << 121) - 1 };

/// What the blocks of a rule have of one family of addresses.
struct Family {
    /// What they must have to be all of it.
    all: &'static [Range],
    /// Whether an exception takes out private addresses, so that the blocks must have these as well.
    needs_private: bool,
    ranges: Vec<Range>,
    /// A block has all of it alone.
    is_whole: bool,
}

impl Family {
    fn of(is_v6: bool) -> Self {
        Self { all: EVERYWHERE[usize::from(is_v6)], needs_private: false, ranges: Vec::new(), is_whole: false }
    }

    /// Adds a block without exceptions; returns whether that is the whole family.
    fn add(&mut self, block: Block, exceptions: &[Block]) -> bool {
        let of_family = exceptions.iter().filter(|except| except.is_v6 == block.is_v6);
        let mut exceptions: Vec<Range> = of_family.map(|except| except.range).collect();
        let is_private = |except: &Range| except.first <= PRIVATE.last && PRIVATE.first <= except.last;
        let needs_private = block.is_v6 && exceptions.iter().any(is_private);
        let mut left = block.range.without(&mut exceptions);
        let is_whole = !needs_private && are_within(self.all, &mut left);
        self.needs_private |= needs_private;
        self.is_whole |= is_whole;
        self.ranges.extend(left);
        is_whole
    }

    /// Whether no block has all of it, but all blocks together.
    fn is_whole_together(&mut self) -> bool {
        !self.is_whole
            && are_within(self.all, &mut self.ranges)
            && (!self.needs_private || PRIVATE.is_within(&mut self.ranges))
    }
}

fn are_within(all: &[Range], ranges: &mut [Range]) -> bool {
    all.iter().all(|range| range.is_within(ranges))
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
            return Err(concat(&[ALLOWED_PORTS.path, ": ", EXPECTED, ", in ", entry.raw()]));
        }
    }
    Ok(())
}
