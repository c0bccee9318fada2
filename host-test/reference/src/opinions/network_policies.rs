use podfence_network_policies::POLICY;
use serde_json::{Value, json};

use crate::addresses::Block;
use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Values, Violation, get, list, text, texts, values, violation};

pub static OPINION: Opinion =
    Opinion { policy: &POLICY, values: VALUES, settings, check, message: None, mutate: None };

const VALUES: &[Values] = &[
    values("spec.podSelector", 10, &[], &[]),
    values("spec.policyTypes", 40, &["Ingress", "Egress"], &["", "ingress"]),
    values("spec.ingress[*].from", 15, &[], &[]),
    values("spec.ingress[*].from[*].ipBlock.cidr", 30, CIDRS, ODD_CIDRS),
    values("spec.ingress[*].from[*].ipBlock.except", 70, CIDRS, ODD_CIDRS),
    values("spec.ingress[*].from[*].namespaceSelector", 70, &[], &[]),
    values("spec.ingress[*].from[*].namespaceSelector.matchLabels", 70, &[], &[]),
    values("spec.ingress[*].from[*].namespaceSelector.matchExpressions", 60, &[], &[]),
    values("spec.ingress[*].from[*].namespaceSelector.matchExpressions[*].key", 5, KEYS, &[""]),
    values("spec.ingress[*].from[*].namespaceSelector.matchExpressions[*].operator", 5, OPERATORS, &["exists"]),
    values("spec.ingress[*].from[*].namespaceSelector.matchExpressions[*].values", 30, VALUES_OF_LABELS, &[""]),
    values("spec.ingress[*].from[*].podSelector", 70, &[], &[]),
    values("spec.ingress[*].from[*].podSelector.matchLabels", 60, &[], &[]),
    values("spec.ingress[*].from[*].podSelector.matchExpressions", 60, &[], &[]),
    values("spec.ingress[*].from[*].podSelector.matchExpressions[*].key", 5, KEYS, &[""]),
    values("spec.ingress[*].from[*].podSelector.matchExpressions[*].operator", 5, OPERATORS, &["exists"]),
    values("spec.ingress[*].from[*].podSelector.matchExpressions[*].values", 30, VALUES_OF_LABELS, &[""]),
    values("spec.ingress[*].ports", 60, &[], &[]),
    values("spec.ingress[*].ports[*].port", 20, PORTS, ODD_PORTS),
    values("spec.ingress[*].ports[*].endPort", 60, END_PORTS, ODD_END_PORTS),
    values("spec.ingress[*].ports[*].protocol", 30, PROTOCOLS, &["tcp", ""]),
    values("spec.egress[*].to", 15, &[], &[]),
    values("spec.egress[*].to[*].ipBlock.cidr", 30, CIDRS, ODD_CIDRS),
    values("spec.egress[*].to[*].ipBlock.except", 70, CIDRS, ODD_CIDRS),
    values("spec.egress[*].to[*].namespaceSelector", 70, &[], &[]),
    values("spec.egress[*].to[*].namespaceSelector.matchLabels", 70, &[], &[]),
    values("spec.egress[*].to[*].namespaceSelector.matchExpressions", 60, &[], &[]),
    values("spec.egress[*].to[*].namespaceSelector.matchExpressions[*].key", 5, KEYS, &[""]),
    values("spec.egress[*].to[*].namespaceSelector.matchExpressions[*].operator", 5, OPERATORS, &["exists"]),
    values("spec.egress[*].to[*].namespaceSelector.matchExpressions[*].values", 30, VALUES_OF_LABELS, &[""]),
    values("spec.egress[*].to[*].podSelector", 70, &[], &[]),
    values("spec.egress[*].to[*].podSelector.matchLabels", 60, &[], &[]),
    values("spec.egress[*].to[*].podSelector.matchExpressions", 60, &[], &[]),
    values("spec.egress[*].to[*].podSelector.matchExpressions[*].key", 5, KEYS, &[""]),
    values("spec.egress[*].to[*].podSelector.matchExpressions[*].operator", 5, OPERATORS, &["exists"]),
    values("spec.egress[*].to[*].podSelector.matchExpressions[*].values", 30, VALUES_OF_LABELS, &[""]),
    values("spec.egress[*].ports", 60, &[], &[]),
    values("spec.egress[*].ports[*].port", 20, PORTS, ODD_PORTS),
    values("spec.egress[*].ports[*].endPort", 60, END_PORTS, ODD_END_PORTS),
    values("spec.egress[*].ports[*].protocol", 30, PROTOCOLS, &["tcp", ""]),
];

const CIDRS: &[&str] =
    &["10.0.0.0/8", "0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "::/0", "2000::/4", "3000::/4", "224.0.0.0/3", "fc00::/7"];
const ODD_CIDRS: &[&str] = &[
    "",
    "0.0.0.0",
    "0.0.0.0/33",
    "0.0.0.0/00",
    "000.00.0.0/0",
    "127.0.0.1/1",
    "::ffff:0.0.0.0/96",
    "::ffff:128.0.0.0/97",
    "::ffff:0:0/97",
    "::ffff:0.0.0.0/0",
    "0:0:0:0:0:0:0:0/0",
    "00000::1/1",
    "1:2:3:4:5:6:7:8::/1",
    ":::/0",
    "::1.2.3.4.5/0",
    "all",
];
const KEYS: &[&str] = &["kubernetes.io/metadata.name", "team"];
const OPERATORS: &[&str] = &["Exists", "DoesNotExist", "In", "NotIn"];
const VALUES_OF_LABELS: &[&str] = &["a", "b"];
const PORTS: &[&str] = &["53", "443", "\"http\"", "1", "30000"];
const ODD_PORTS: &[&str] = &["0", "65535", "65536", "-1", "443.5", "\"\"", "true", "[]", "18446744073709551616"];
const END_PORTS: &[&str] = &["53", "443", "29999", "65535"];
const ODD_END_PORTS: &[&str] = &["0", "65536", "-1"];
const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    if settings.draw.percent(50) {
        let mut entries = Vec::new();
        for _ in 0..settings.draw.below(3) {
            let mut entry = Members::new(settings.draw);
            let port = entry.draw.one(&["53", "443", "1"]).parse::<u32>().expect("a number");
            entry.put("port", json!(port));
            if entry.draw.percent(50) {
                let more = entry.draw.one(&["0", "1", "29998", "60000"]).parse::<u32>().expect("a number");
                entry.put("endPort", json!(port + more));
            }
            entry.text("protocol", PROTOCOLS);
            entries.push(entry.done());
        }
        settings.put("allowedPorts", json!(entries));
    }
    settings.done()
}

fn check(policy: &Pod<'_>) -> Vec<Violation> {
    let spec = get(policy.template, "spec");
    let old_spec = policy.old.map(|old| get(old, "spec"));
    let mut found = Vec::new();
    for (name, rules, peers) in [("Ingress", "ingress", "from"), ("Egress", "egress", "to")] {
        let has_type = |spec: &Value| {
            let types = texts(spec, "policyTypes");
            types.is_empty() || types.contains(&name)
        };
        if !has_type(spec) {
            continue;
        }
        // Old rules did the same to the same pods.
        let is_same = old_spec.is_some_and(|old| has_type(old) && get(old, "podSelector") == get(spec, "podSelector"));
        let new: Vec<usize> = policy.new_elements(&format!("spec.{rules}")).iter().map(|(index, _)| *index).collect();
        for (index, rule) in list(spec, rules).iter().enumerate() {
            if is_same && !new.contains(&index) {
                continue;
            }
            let may_be_for_everybody = match name {
                "Ingress" => is_for_some_ports(rule),
                _ => is_for_allowed_ports(rule, policy.settings),
            };
            if !may_be_for_everybody {
                check_rule(rule, rules, &format!("spec.{rules}[{index}].{peers}"), peers, &mut found);
            }
        }
    }
    found
}

fn check_rule(rule: &Value, control: &str, path: &str, peers: &str, found: &mut Vec<Violation>) {
    let peers = list(rule, peers);
    if peers.is_empty() {
        found.push(violation(control, path));
    }
    let mut blocks = Vec::new();
    let mut whole = Vec::new();
    let (mut is_everybody, mut by_namespace, mut by_pod) = (false, Vec::new(), Vec::new());
    for (index, peer) in peers.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let [cidr, namespaces, pods] = ["ipBlock.cidr", "namespaceSelector", "podSelector"].map(|key| get(peer, key));
        if let Some(cidr) = cidr.as_str() {
            let mut exceptions = Vec::new();
            for (index, except) in texts(peer, "ipBlock.except").into_iter().enumerate() {
                match Block::parse_cidr(except) {
                    Some(except) => exceptions.push(except),
                    None => found.push(violation("ipBlocks", format!("{path}.ipBlock.except[{index}]"))),
                }
            }
            match Block::parse_cidr(cidr) {
                None => found.push(violation("ipBlocks", format!("{path}.ipBlock.cidr"))),
                Some(block) => {
                    let block = (block, exceptions);
                    if is_everything(std::slice::from_ref(&block), block.0.is_v4) {
                        found.push(violation(control, format!("{path}.ipBlock.cidr")));
                        whole.push(block.0.is_v4);
                    }
                    blocks.push(block);
                }
            }
        } else if namespaces.is_null() && pods.is_null() {
            found.push(violation(control, path.clone()));
        }
        if namespaces.is_null() {
            continue;
        }
        let is_of_all = |condition: &Condition<'_>| condition.key == NAME_LABEL && condition.operator == "Exists";
        let of_namespaces: Vec<_> = conditions(namespaces).into_iter().filter(|of| !is_of_all(of)).collect();
        let of_pods = conditions(pods);
        match [of_namespaces.len(), of_pods.len()] {
            [0, 0] => {
                found.push(violation(control, format!("{path}.namespaceSelector")));
                is_everybody = true;
            }
            [1, 0] => by_namespace.extend(of_namespaces),
            [0, 1] => by_pod.extend(of_pods),
            _ => {}
        }
    }
    if [true, false].iter().any(|is_v4| !whole.contains(is_v4) && is_everything(&blocks, *is_v4)) {
        found.push(violation(control, path));
    }
    if !is_everybody && (have_all_labels(&by_namespace) || have_all_labels(&by_pod)) {
        found.push(violation(control, path));
    }
}

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A condition of a selector.
struct Condition<'v> {
    key: &'v str,
    operator: &'v str,
    values: Vec<&'v str>,
}

impl Condition<'_> {
    /// Whether a label with its key meets it; `None` stands for a missing label.
    fn is_met(&self, value: Option<&str>) -> bool {
        let is_in = value.is_some_and(|value| self.values.contains(&value));
        match self.operator {
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "In" => is_in,
            "NotIn" => !is_in,
            _ => false,
        }
    }
}

/// The conditions of a selector, all of which labels must meet.
fn conditions(selector: &Value) -> Vec<Condition<'_>> {
    let labels = get(selector, "matchLabels").as_object().into_iter().flatten();
    let labels = labels.map(|(key, value)| Condition {
        key,
        operator: "In",
        values: vec![value.as_str().unwrap_or_default()],
    });
    let expressions = list(selector, "matchExpressions").iter().map(|expression| Condition {
        key: text(expression, "key"),
        operator: text(expression, "operator"),
        values: texts(expression, "values"),
    });
    labels.chain(expressions).collect()
}

/// Whether there is a key for which no label, each value that a condition names, and another one each meet a condition.
fn have_all_labels(conditions: &[Condition<'_>]) -> bool {
    conditions.iter().any(|Condition { key, .. }| {
        let of_key = || conditions.iter().filter(|condition| condition.key == *key);
        let named = of_key().flat_map(|condition| condition.values.iter().copied());
        let mut candidates = named.map(Some).chain([None, Some("no condition names this")]);
        candidates.all(|value| of_key().any(|condition| condition.is_met(value)))
    })
}

/// The private addresses of IPv6.
fn private() -> Block {
    Block::parse_cidr("fc00::/7").expect("a block")
}

/// Whether every address of a family is in one of the blocks, and not in its exceptions; apart from reserved addresses,
/// and from private ones of IPv6 unless they are among the exceptions. The first address that is not is the first one of
/// those that count, or is behind a block, or the first one of an exception.
fn is_everything(blocks: &[(Block, Vec<Block>)], is_v4: bool) -> bool {
    let v4 = |first: [u8; 4], last: [u8; 4]| Block {
        is_v4: true,
        first: u32::from_be_bytes(first).into(),
        last: u32::from_be_bytes(last).into(),
    };
    let mut counting = match is_v4 {
        true => vec![v4([1, 0, 0, 0], [126, 255, 255, 255]), v4([128, 0, 0, 0], [223, 255, 255, 255])],
        false => vec![Block::parse_cidr("2000::/3").expect("a block")],
    };
    let is_private = |except: &Block| !except.is_v4 && except.first <= private().last && private().first <= except.last;
    let of_family = blocks.iter().filter(|(block, _)| block.is_v4 == is_v4);
    if !is_v4 && of_family.flat_map(|(_, exceptions)| exceptions).any(is_private) {
        counting.push(private());
    }
    let mut candidates: Vec<u128> = counting.iter().map(|block| block.first).collect();
    for (block, exceptions) in blocks {
        candidates.extend(block.last.checked_add(1));
        candidates.extend(exceptions.iter().map(|except| except.first));
    }
    candidates.retain(|candidate| counting.iter().any(|block| block.has(is_v4, *candidate)));
    candidates.into_iter().all(|address| {
        blocks.iter().any(|(block, exceptions)| {
            block.has(is_v4, address) && !exceptions.iter().any(|except| except.has(is_v4, address))
        })
    })
}

/// The ports of an entry, or all of them; `None` if it has a name for one.
fn ports(entry: &Value) -> Option<(i64, i64)> {
    let (port, end) = (get(entry, "port"), get(entry, "endPort"));
    if port.is_string() {
        return None;
    }
    let first = port.as_i64().unwrap_or(0);
    let last = end.as_i64().unwrap_or(first);
    let is_valid = (1..=65535).contains(&first) && (first..=65535).contains(&last);
    Some(if is_valid { (first, last) } else { (1, 65535) })
}

fn protocol(entry: &Value) -> &str {
    get(entry, "protocol").as_str().unwrap_or("TCP")
}

/// Whether a rule has ports, but not every port of a protocol.
fn is_for_some_ports(rule: &Value) -> bool {
    let entries = list(rule, "ports");
    let is_every_port = |wanted: &&str| {
        let of_protocol: Vec<_> =
            entries.iter().filter(|entry| protocol(entry) == *wanted).filter_map(ports).collect();
        (1..=65535).all(|port| of_protocol.iter().any(|(first, last)| (first..=last).contains(&&port)))
    };
    let is_known = |entry: &Value| PROTOCOLS.contains(&protocol(entry));
    !entries.is_empty() && entries.iter().all(is_known) && !PROTOCOLS.iter().any(is_every_port)
}

/// Whether a rule has ports, each of which is within an entry of `allowedPorts`.
fn is_for_allowed_ports(rule: &Value, settings: &Value) -> bool {
    let dns = json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]);
    let allowed = Some(get(settings, "allowedPorts")).filter(|allowed| !allowed.is_null()).unwrap_or(&dns);
    let allowed = allowed.as_array().expect("a list");
    let is_allowed = |entry: &Value| {
        ports(entry).is_some_and(|(first, last)| {
            allowed.iter().filter(|allowed| protocol(allowed) == protocol(entry)).any(|allowed| {
                ports(allowed).is_some_and(|(least, most)| least <= first && last <= most)
            })
        })
    };
    let entries = list(rule, "ports");
    !entries.is_empty() && entries.iter().all(is_allowed)
}
