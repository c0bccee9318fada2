//! Rejects containers that use a host port that is not allowed.
//!
//! A host port makes a container reachable at the node's address, past Services and network policies. It can take
//! the place of a service of the node that others trust, and no other pod with that port fits on the node. In the host
//! network, each container port is a host port: the API server makes it one in Pods, so templates are evaluated as if
//! it had done so.
#![cfg_attr(not(test), no_std)]

use core::ops::RangeInclusive;

use podfence_core::{Field, Pod, Rule, Settings, String, Violations, concat, problem, types};

podfence_core::fields! {
    HOST_NETWORK: Bool = Pod "hostNetwork";
    PORTS: ObjectList = Container "ports";
    HOST_PORT: Integer = Container "ports[*].hostPort",
        allowed "unset, `0`, or within `hostPorts` (none); in a template with `hostNetwork: true`, the `containerPort` \
            counts if this is unset";
    CONTAINER_PORT: Integer = Container "ports[*].containerPort";
}

podfence_core::settings! {
    /// Allows containers to use host ports in these ranges.
    ALLOWED: ObjectList = "hostPorts", default "[]";
    /// The first port of the range.
    RANGE_MIN: Integer = "hostPorts[*].min";
    /// The last port of the range.
    RANGE_MAX: Integer = "hostPorts[*].max";
    /// The Gatekeeper template's setting, instead of `hostPorts`: the first allowed port. Defaults to 0 if `max` is
    /// set.
    MIN: Integer = "min", of "Gatekeeper" for "hostPorts";
    /// The Gatekeeper template's setting, instead of `hostPorts`: the last allowed port. Defaults to 65535 if `min` is
    /// set.
    MAX: Integer = "max", of "Gatekeeper" for "hostPorts";
}

podfence_core::policy! { name: "host-ports", check: check, validate: validate }

static NOT_ALLOWED: Rule = Rule {
    control: "hostPorts",
    reason: "hostPort",
    detail: "{who} {who:uses|use} {numbers:hostPort|hostPorts} {numbers}",
    fix: "remove hostPort, and reach the pod through a Service",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

static BELOW_MIN: Rule = Rule { setting: Some(MIN.path), ..NOT_ALLOWED };

static ABOVE_MAX: Rule = Rule { setting: Some(MAX.path), ..NOT_ALLOWED };

/// A field with a port, and why it counts if that is not plain to see.
type Counted = (Field<types::Integer>, &'static str);

/// What counts as the host port of a template in the host network: the first that is set and not 0.
const IN_HOST_NETWORK: &[Counted] = &[
    (HOST_PORT, ""),
    (CONTAINER_PORT, "with hostNetwork: true, the API server makes every containerPort of a Pod a hostPort"),
];

/// What counts elsewhere. In a Pod, the API server has filled it in.
const ELSEWHERE: &[Counted] = &[(HOST_PORT, "")];

/// Reports host ports that are not allowed.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let is_incomplete = pod.is_template() && pod.get(HOST_NETWORK) == Some(true);
    let counted = if is_incomplete { IN_HOST_NETWORK } else { ELSEWHERE };
    check_ports(pod, counted, |port| refusal(port, settings), found);
}

/// Checks the control of the Pod Security Standards, which evaluates templates as they are.
pub fn check_standard<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    check_ports(pod, ELSEWHERE, |_| Some(&NOT_ALLOWED), found);
}

fn check_ports<'v>(
    pod: &Pod<'v>,
    counted: &[Counted],
    refusal: impl Fn(i64) -> Option<&'static Rule>,
    found: &mut Violations<'v>,
) {
    for container in pod.containers() {
        for (index, port) in container.get(PORTS).unwrap_or_default().objects().enumerate() {
            for &(field, hint) in counted {
                let Some(number) = port.get(field).filter(|&number| number != 0) else { continue };
                if let Some(rule) = refusal(number) {
                    found.add(rule, container.at(field).element(index, port).value(port.at(field)).hint(hint));
                }
                break;
            }
        }
    }
}

/// Returns the rule that a port violates; `None` if it is allowed.
fn refusal(port: i64, settings: &Settings<'_>) -> Option<&'static Rule> {
    let (min, max) = (settings.get(MIN), settings.get(MAX));
    if min.is_none() && max.is_none() {
        let mut allowed = settings.get(ALLOWED).unwrap_or_default().objects();
        let is_allowed = allowed.any(|range| bounds(range.get(RANGE_MIN), range.get(RANGE_MAX)).contains(&port));
        return if is_allowed { None } else { Some(&NOT_ALLOWED) };
    }
    let allowed = bounds(min, max);
    if port < *allowed.start() {
        Some(&BELOW_MIN)
    } else if port > *allowed.end() {
        Some(&ABOVE_MAX)
    } else {
        None
    }
}

const LAST_PORT: i64 = 65535;

fn bounds(min: Option<i64>, max: Option<i64>) -> RangeInclusive<i64> {
    min.unwrap_or(0)..=max.unwrap_or(LAST_PORT)
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// A range lacks a bound, is empty, or exceeds the valid ports; or the allowed ports are set in two ways.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    const EXPECTED: &str = "expected ports from 0 to 65535, min not above max";
    let is_wrong = |range: RangeInclusive<i64>| range.is_empty() || *range.start() < 0 || *range.end() > LAST_PORT;
    let ranges = settings.get(ALLOWED).unwrap_or_default();
    for range in ranges.objects() {
        let (min, max) = (range.get(RANGE_MIN), range.get(RANGE_MAX));
        if min.is_none() || max.is_none() || is_wrong(bounds(min, max)) {
            return Err(concat(&[ALLOWED.path, ": ", EXPECTED, ", in ", range.raw()]));
        }
    }
    for bound in [MIN, MAX] {
        if settings.is_given(bound) && settings.is_given(ALLOWED) {
            return Err(problem(bound.path, "the same setting as ", ALLOWED.path));
        }
    }
    if is_wrong(bounds(settings.get(MIN), settings.get(MAX))) {
        return Err(problem("min, max", EXPECTED, ""));
    }
    Ok(())
}
