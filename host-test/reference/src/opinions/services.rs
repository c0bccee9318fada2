use podfence_services::POLICY;
use serde_json::{Value, json};

use crate::addresses::Block;
use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Values, Violation, get, list, setting_texts, text, texts, values, violation};

pub static OPINION: Opinion =
    Opinion { policy: &POLICY, values: VALUES, settings, check, message: None, mutate: None };

const ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

const VALUES: &[Values] = &[
    values("spec.type", 20, &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"], &["", "clusterip"]),
    values(
        "spec.externalIPs",
        50,
        &["192.0.2.1", "192.0.2.200", "198.51.100.7", "2001:db8::1"],
        &["", "192.0.2", "192.000.2.01", "::ffff:192.0.2.1", "::192.0.2.1", "8.8.8.8", "192.0.2.0/25", "2001:0DB8:0::1"],
    ),
    values(
        "spec.externalName",
        30,
        &["db.example.com", "a.b.example.net", "example.net", "localhost", "a.b.svc.cluster.local", "x.local", "a.svc"],
        &["", ".", "DB.example.com.", "a.LOCALHOST", "10.0.0.1", "127.1", "0x7f", "::1", "cluster.local.", "svc", "xsvc"],
    ),
    values("spec.loadBalancerSourceRanges", 50, RANGES, ODD_RANGES),
    values(
        "metadata.annotations[\"service.beta.kubernetes.io/load-balancer-source-ranges\"]",
        50,
        &["10.0.0.0/8", "10.0.0.0/9, 10.1.0.0/16", "0.0.0.0/0"],
        &["", " ", ",", "10.0.0.0/8,", "all", " 10.0.0.0/8 ,2001:db8::/33"],
    ),
    values("spec.ports[*].nodePort", 30, &["30000", "30001", "31000"], &["0", "-1", "29999", "65536"]),
    values("spec.healthCheckNodePort", 50, &["30000", "31000"], &["0", "-1"]),
];

const RANGES: &[&str] = &["10.0.0.0/8", "10.0.0.0/9", "10.1.0.0/16", "2001:db8::/33", "0.0.0.0/0"];
const ODD_RANGES: &[&str] = &["", " 10.1.0.0/16 ", "10.0.0.0/7", "10.0.0.0/33", "::/0", "010.1.0.0/016", "10.1.2.3"];

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.texts(
        "allowedExternalIPs",
        &["192.0.2.0/25", "192.0.2.128/25", "198.51.100.7", "2001:db8::/32", "0.0.0.0/0"],
    );
    settings.texts("allowedTypes", &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "ExternalName"]);
    settings.texts("allowedExternalNames", &["db.example.com", "*.example.net", "Example.net.", "x.local", "*.local"]);
    settings.text("clusterDomain", &["cluster.local", "local", "example.org"]);
    settings.texts("allowedSourceRanges", &["10.0.0.0/9", "10.128.0.0/9", "2001:db8::/32", "10.1.2.3", "0.0.0.0/0"]);
    if settings.draw.percent(50) {
        let mut ranges = Vec::new();
        for _ in 0..settings.draw.below(3) {
            let (a, b) = (settings.draw.below(3), settings.draw.below(3));
            ranges.push(json!({"min": 29999 + a.min(b), "max": 29999 + a.max(b)}));
        }
        settings.put("allowedNodePorts", json!(ranges));
    }
    settings.done()
}

fn type_of(service: &Value) -> &str {
    match text(service, "spec.type") {
        "" => "ClusterIP",
        name => name,
    }
}

fn check(service: &Pod<'_>) -> Vec<Violation> {
    let settings = service.settings;
    let new = service.template;
    let service_type = type_of(new);
    let old_type = service.old.map_or("", type_of);
    // What was there before counts if it did something for the type that it was.
    let old_of = |types: &[&str]| service.old.filter(|_| types.contains(&old_type)).unwrap_or(&Value::Null);
    let mut found = Vec::new();
    let allowed_types = setting_texts(settings, "allowedTypes", &["ClusterIP", "NodePort", "LoadBalancer"]);
    let name = |service: &Value| text(service, "spec.externalName").to_owned();
    let is_renamed = service_type == "ExternalName" && service.old.is_some_and(|old| name(old) != name(new));
    if (service_type != old_type || is_renamed) && !allowed_types.contains(&service_type) {
        found.push(violation("types", "spec.type"));
    }
    if service_type != "ExternalName" {
        let allowed = texts(settings, "allowedExternalIPs");
        let before = texts(old_of(&["ClusterIP", "NodePort", "LoadBalancer"]), "spec.externalIPs");
        for (index, address) in texts(new, "spec.externalIPs").into_iter().enumerate() {
            if !before.contains(&address) && !is_within(address, &allowed) {
                found.push(violation("externalIPs", format!("spec.externalIPs[{index}]")));
            }
        }
    } else {
        let name = text(new, "spec.externalName");
        let before = get(old_of(&["ExternalName"]), "spec.externalName").as_str();
        if before != Some(name) && !is_allowed_name(name, settings) {
            found.push(violation("externalNames", "spec.externalName"));
        }
    }
    if service_type == "LoadBalancer" && !get(settings, "allowedSourceRanges").is_null() {
        check_source_ranges(service, old_of(&["LoadBalancer"]), old_type, &mut found);
    }
    let ranges = get(settings, "allowedNodePorts");
    if ["NodePort", "LoadBalancer"].contains(&service_type) && !ranges.is_null() {
        let ports = |service: &Value| -> Vec<Option<i64>> {
            list(service, "spec.ports").iter().map(|port| get(port, "nodePort").as_i64()).collect()
        };
        let check_of = |service: &Value| get(service, "spec.healthCheckNodePort").as_i64();
        let mut before = ports(old_of(&["NodePort", "LoadBalancer"]));
        before.push(check_of(old_of(&["LoadBalancer"])));
        let is_wrong = |port: Option<i64>| match port {
            None | Some(0) => false,
            Some(port) => {
                let is_in = |range: &Value| {
                    get(range, "min").as_i64().is_some_and(|min| min <= port)
                        && get(range, "max").as_i64().is_some_and(|max| port <= max)
                };
                !before.contains(&Some(port)) && !ranges.as_array().is_some_and(|ranges| ranges.iter().any(is_in))
            }
        };
        for (index, port) in ports(new).into_iter().enumerate() {
            if is_wrong(port) {
                found.push(violation("nodePorts", format!("spec.ports[{index}].nodePort")));
            }
        }
        if service_type == "LoadBalancer" && is_wrong(check_of(new)) {
            found.push(violation("nodePorts", "spec.healthCheckNodePort"));
        }
    }
    found
}

fn check_source_ranges(service: &Pod<'_>, old: &Value, old_type: &str, found: &mut Vec<Violation>) {
    let allowed = texts(service.settings, "allowedSourceRanges");
    let (ranges, before) = (source_ranges(service.template), source_ranges(old));
    if ranges.is_empty() && !(old_type == "LoadBalancer" && before.is_empty()) {
        found.push(violation("sourceRanges", "spec.loadBalancerSourceRanges"));
    }
    let is_field = !texts(service.template, "spec.loadBalancerSourceRanges").is_empty();
    for (index, range) in ranges.iter().enumerate() {
        if !before.contains(range) && !is_within(range, &allowed) {
            found.push(match is_field {
                true => violation("sourceRanges", format!("spec.loadBalancerSourceRanges[{index}]")),
                false => violation("sourceRanges", format!("metadata.annotations[\"{ANNOTATION}\"]")),
            });
        }
    }
}

/// The source ranges that count for a load balancer.
fn source_ranges(service: &Value) -> Vec<String> {
    let mut ranges: Vec<&str> = texts(service, "spec.loadBalancerSourceRanges");
    let annotation = get(service, "metadata.annotations").get(ANNOTATION).and_then(Value::as_str).unwrap_or_default();
    if ranges.is_empty() && !annotation.trim().is_empty() {
        ranges = annotation.split(',').collect();
    }
    ranges.into_iter().map(|range| range.trim().to_owned()).collect()
}

fn is_allowed_name(name: &str, settings: &Value) -> bool {
    let plain = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let name = plain(name);
    let domain = plain(get(settings, "clusterDomain").as_str().unwrap_or("cluster.local"));
    let is_below = |domain: &str| name.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    if !name.is_empty() && !name.contains('.') {
        return false;
    }
    if ["localhost", "localdomain", "pod", "svc", &domain].iter().any(|domain| name == *domain || is_below(domain)) {
        return false;
    }
    let label = name.rsplit('.').next().unwrap_or_default();
    let is_number = match label.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|digit| digit.is_ascii_digit()),
    };
    if is_number || name.contains(':') {
        return false;
    }
    if get(settings, "allowedExternalNames").is_null() {
        return true;
    }
    texts(settings, "allowedExternalNames").iter().any(|entry| match entry.strip_prefix("*.") {
        Some(domain) => is_below(&plain(domain)),
        None => plain(entry) == name,
    })
}

/// Whether a text is a block, or an address, each address of which is in a block. The first one that is not is its first,
/// or stands behind a block.
fn is_within(text: &str, allowed: &[&str]) -> bool {
    let blocks: Vec<Block> = allowed.iter().filter_map(|entry| Block::parse(entry)).collect();
    let Some(wanted) = Block::parse(text) else { return false };
    let mut candidates = vec![wanted.first];
    candidates.extend(blocks.iter().filter_map(|block| block.last.checked_add(1)));
    candidates.retain(|address| wanted.has(wanted.is_v4, *address));
    candidates.into_iter().all(|address| blocks.iter().any(|block| block.has(wanted.is_v4, address)))
}
