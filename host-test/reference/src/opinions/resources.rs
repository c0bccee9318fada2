use std::cmp::Ordering;

use podfence_resources::POLICY;
use serde_json::{Map, Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{
    Container, Opinion, Pod, Violation, get, is_exempt, list, setting_texts, text, values, violation,
};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("resources", 20, &[], &[]),
        values("resources.requests", 20, &[], &[]),
        values("resources.limits", 20, &[], &[]),
        values("resources.requests.cpu", 30, CPU, ODD),
        values("resources.limits.cpu", 40, CPU, ODD),
        values("resources.requests.memory", 30, MEMORY, ODD),
        values("resources.limits.memory", 20, MEMORY, ODD),
        values("resources.requests.ephemeral-storage", 70, MEMORY, ODD),
        values("resources.limits.ephemeral-storage", 70, MEMORY, ODD),
        values("resources.requests.*", 80, OTHERS, OTHERS),
        values("resources.limits.*", 80, OTHERS, OTHERS),
    ],
    settings,
    check,
    message: None,
    mutate: None,
};

const CPU: &[&str] = &["\"1\"", "\"100m\"", "\"0.5\"", "\"2\"", "\"250m\""];
const MEMORY: &[&str] = &["\"1Gi\"", "\"128Mi\"", "\"1073741824\"", "\"1e9\"", "\"2Gi\""];
const ODD: &[&str] = &[
    "\"0\"",
    "\"-1\"",
    "\"-0.0\"",
    "\"1n\"",
    "\"0.0010000001\"",
    "\"1.0000000000001Gi\"",
    "\"0.00000000093132257461547851562Gi\"",
    "\"1GB\"",
    "\"\"",
    "\"10E\"",
    "\"8Pi\"",
    "\"9223372036854775807m\"",
    "\"9223372036854775808m\"",
    "\"1e-5\"",
    "\"+1E3\"",
    "\" .5k \"",
    "1",
    "0.25",
    "true",
];
const OTHERS: &[&str] = &["example.com/gpu", "hugepages-2Mi"];
const NAMES: [&str; 5] = ["cpu", "memory", "ephemeral-storage", "example.com/gpu", "hugepages-2Mi"];
/// Those that are not counted are not limited; what else a container does not state, it does not have.
const HAVE_FIELDS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const LISTS: [&str; 2] = ["requests", "limits"];

fn settings(draw: &mut Draw) -> Value {
    let bounds = |draw: &mut Draw| -> Value {
        let mut bounds = Map::new();
        for _ in 0..draw.below(3) {
            let quantity = draw.one(&["1m", "1", "500m", "1Gi", "0", "2k", "1.5", "64Mi"]);
            bounds.insert(draw.one(&NAMES).to_owned(), json!(quantity));
        }
        Value::Object(bounds)
    };
    let mut settings = Members::new(draw);
    for name in ["min", "max"] {
        if settings.draw.percent(40) {
            let mut members = Map::new();
            if settings.draw.percent(30) {
                members.extend(bounds(settings.draw).as_object().cloned().unwrap_or_default());
            }
            for list in LISTS {
                if settings.draw.percent(50) {
                    members.insert(list.to_owned(), bounds(settings.draw));
                }
            }
            settings.put(name, Value::Object(members));
        }
    }
    if settings.draw.percent(40) {
        let mut ratios = Map::new();
        for _ in 0..settings.draw.below(3) {
            let ratio = settings.draw.one(&["1", "2.5", "1.001", "1000"]);
            ratios.insert(settings.draw.one(&NAMES).to_owned(), json!(ratio));
        }
        settings.put("maxRatio", Value::Object(ratios));
    }
    if settings.draw.percent(60) {
        let mut required = Members::new(settings.draw);
        required.texts("requests", &NAMES);
        required.texts("limits", &NAMES);
        let required = required.done();
        settings.put("required", required);
    }
    settings.done()
}

/// A number without a sign, as decimal digits.
#[derive(Clone, PartialEq)]
struct Decimal(String);

impl Decimal {
    fn new(digits: &str) -> Self {
        Self(digits.trim_start_matches('0').to_owned())
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn plus(&self, other: &Self) -> Self {
        let width = self.0.len().max(other.0.len()) + 1;
        let (a, b) = (format!("{:0>width$}", self.0), format!("{:0>width$}", other.0));
        let (mut sum, mut carry) = (Vec::new(), 0);
        for (a, b) in a.bytes().zip(b.bytes()).rev() {
            let digit = a - b'0' + b - b'0' + carry;
            carry = digit / 10;
            sum.push(char::from(b'0' + digit % 10));
        }
        Self::new(&sum.into_iter().rev().collect::<String>())
    }

    fn times(&self, other: &Self) -> Self {
        let mut product = Self::new("");
        for digit in other.0.bytes() {
            product = Self::new(&format!("{}0", product.0));
            for _ in b'0'..digit {
                product = product.plus(self);
            }
        }
        product
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

/// Reads a quantity: its thousandths, rounded up.
fn quantity(value: &Value) -> Option<Decimal> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let text = text.trim();
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let suffix = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let number = &text[..text.len() - suffix.len()];
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let mut digits = Decimal::new(&format!("{whole}{fraction}"));
    let mut scale = -i64::try_from(fraction.len()).ok()?;
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].iter().position(|known| *known == suffix);
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|known| *known == suffix);
    if let Some(at) = decimal {
        scale += 3 * i64::try_from(at).ok()? - 9;
    } else if let Some(at) = binary {
        for _ in 0..=at {
            digits = digits.times(&Decimal::new("1024"));
        }
    } else {
        let exponent = suffix.strip_prefix(['e', 'E'])?;
        scale += exponent.parse::<i64>().ok()?;
    }
    // In thousandths.
    let places = scale + 3;
    let thousandths = if places >= 0 {
        Decimal::new(&format!("{}{}", digits.0, "0".repeat(usize::try_from(places).ok()?)))
    } else {
        let behind = usize::try_from(-places).ok()?;
        let padded = format!("{:0>width$}", digits.0, width = behind + 1);
        let (kept, dropped) = padded.split_at(padded.len() - behind);
        let up = if dropped.bytes().all(|digit| digit == b'0') { "" } else { "1" };
        Decimal::new(kept).plus(&Decimal::new(up))
    };
    let is_large = thousandths.compare(&Decimal::new("9223372036854775807")) == Ordering::Greater;
    (!is_large && (thousandths.is_zero() || !is_negative)).then_some(thousandths)
}

/// A member of an object; null counts as missing.
fn member<'v>(object: &'v Value, key: &str) -> Option<&'v Value> {
    object.get(key).filter(|value| !value.is_null())
}

/// A resource in the requests or the limits of something that has resources.
fn own<'v>(holder: &'v Value, list: &str, name: &str) -> Option<&'v Value> {
    member(get(holder, &format!("resources.{list}")), name)
}

/// The same; a limit stands for a request. With the list that it is in.
fn stated<'v>(holder: &'v Value, list: &'static str, name: &str) -> Option<(&'static str, &'v Value)> {
    own(holder, list, name).map(|value| (list, value)).or_else(|| Some(("limits", own(holder, "limits", name)?)))
}

fn is_there(holder: &Value, list: &'static str, name: &str) -> bool {
    // What cannot be read is another violation.
    stated(holder, list, name).is_some_and(|(_, value)| quantity(value).is_none_or(|amount| !amount.is_zero()))
}

/// What the containers of a pod request at most at any time.
fn together(spec: &Value, name: &str) -> Option<Decimal> {
    let request = |container: &Value| stated(container, "requests", name).and_then(|(_, value)| quantity(value));
    let zero = Decimal::new("");
    let starting = list(spec, "initContainers");
    let is_sidecar = |container: &&Value| text(container, "restartPolicy") == "Always";
    let add = |containers: &mut dyn Iterator<Item = &Value>| {
        containers.filter_map(request).fold(zero.clone(), |sum, amount| sum.plus(&amount))
    };
    // Either all that stays is running, or one init container beside the sidecars before it.
    let mut moments = vec![add(&mut starting.iter().filter(is_sidecar).chain(list(spec, "containers")))];
    for (index, container) in starting.iter().enumerate() {
        let before = add(&mut starting[..index].iter().filter(is_sidecar));
        moments.extend(request(container).map(|amount| before.plus(&amount)));
    }
    let is_any = starting.iter().chain(list(spec, "containers")).any(|container| request(container).is_some());
    moments.into_iter().max_by(Decimal::compare).filter(|_| is_any)
}

/// The bounds of a setting for a list, in which some may stand in the setting itself.
fn bounds(settings: &Value, setting: &str, list: &str) -> Vec<(String, Decimal)> {
    let short = if setting == "min" { "requests" } else { "limits" };
    let whole = get(settings, setting);
    let mut bounds = Vec::new();
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let short = if list == short { members(whole) } else { Map::new() };
    for (name, value) in members(get(whole, list)).into_iter().chain(short) {
        if !LISTS.contains(&&*name) {
            bounds.push((name, quantity(&value).expect("settings are valid")));
        }
    }
    bounds
}

/// The pod as a whole, or one of its containers.
struct Holder<'p, 'v> {
    pod: &'p Pod<'v>,
    container: Option<&'p Container<'v>>,
}

impl<'v> Holder<'_, 'v> {
    fn value(&self) -> &'v Value {
        self.container.map_or(self.pod.spec, |container| container.value)
    }

    fn violation(&self, control: &str, list: &str, name: &str) -> Violation {
        let has_field = HAVE_FIELDS.contains(&name);
        let path = if has_field { format!("resources.{list}.{name}") } else { format!("resources.{list}") };
        match self.container {
            Some(container) => container.violation(control, &path),
            None => violation(control, format!("spec.{path}")),
        }
    }

    fn is_missing(&self, list: &'static str, name: &str) -> bool {
        let is_of_pod = ["cpu", "memory"].contains(&name) || name.starts_with("hugepages-");
        self.container.is_some()
            && !is_there(self.value(), list, name)
            && !(is_of_pod && is_there(self.pod.spec, list, name))
    }

    fn check(&self) -> Vec<Violation> {
        let settings = self.pod.settings;
        let ratios: Vec<(String, Decimal)> = get(settings, "maxRatio")
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), quantity(value).expect("settings are valid")))
            .collect();
        let mut found = Vec::new();
        for list in LISTS {
            let control = if list == "requests" { "resourceRequests" } else { "resourceLimits" };
            for (name, value) in get(self.value(), &format!("resources.{list}")).as_object().into_iter().flatten() {
                if !value.is_null() && quantity(value).is_none() {
                    found.push(self.violation(control, list, name));
                }
            }
            let default: &[&str] = if list == "requests" { &["cpu", "memory"] } else { &["memory"] };
            let given = get(settings, "required");
            let mut needed: Vec<String> =
                setting_texts(given, list, default).into_iter().map(str::to_owned).collect();
            let with_bound = bounds(settings, if list == "requests" { "min" } else { "max" }, list);
            for (name, _) in with_bound.iter().chain(&ratios) {
                if !needed.contains(name) && HAVE_FIELDS.contains(&name.as_str()) {
                    needed.push(name.clone());
                }
            }
            needed.retain(|name| self.is_missing(list, name));
            found.extend(needed.iter().map(|name| self.violation(control, list, name)));
            for (setting, wrong) in [("min", Ordering::Less), ("max", Ordering::Greater)] {
                for (name, bound) in bounds(settings, setting, list) {
                    let Some((at, value)) = stated(self.value(), list, &name) else { continue };
                    let Some(amount) = quantity(value).filter(|amount| !amount.is_zero()) else { continue };
                    let is_added = at != list && self.together(&name).is_some();
                    if amount.compare(&bound) == wrong && !is_added {
                        found.push(self.violation(control, at, &name));
                    }
                }
            }
        }
        for (name, ratio) in ratios {
            let Some(limit) = own(self.value(), "limits", &name).and_then(quantity) else { continue };
            let request = match own(self.value(), "requests", &name) {
                Some(request) => quantity(request),
                None => self.together(&name).or(Some(limit.clone())),
            };
            let Some(request) = request else { continue };
            let is_reported = request.is_zero() && self.is_missing("requests", &name);
            let is_over = limit.times(&Decimal::new("1000")).compare(&request.times(&ratio)) == Ordering::Greater;
            if is_over && !is_reported {
                found.push(self.violation("resourceRatio", "limits", &name));
            }
        }
        found
    }

    fn together(&self, name: &str) -> Option<Decimal> {
        let is_added = self.container.is_none() && ["cpu", "memory"].contains(&name);
        if is_added { together(self.pod.spec, name) } else { None }
    }
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let containers = pod.containers();
    let written = |holder: &Value| member(holder, "resources").map(Value::to_string).unwrap_or_default();
    let is_old = |container: &Container<'_>| {
        let old = pod.old.map_or(&[][..], |old| list(get(old, "spec"), container.list));
        let mut old = old.iter().filter(|old| !is_exempt(old, pod.settings));
        old.any(|old| text(old, "name") == container.name && written(old) == written(container.value))
    };
    let mut containers: Vec<&Container<'_>> =
        containers.iter().filter(|container| container.list != "ephemeralContainers").collect();
    let mut found = Vec::new();
    if pod.old.is_some_and(|old| written(get(old, "spec")) == written(pod.spec)) {
        containers.retain(|container| !is_old(container));
    } else if !containers.is_empty() {
        found.extend(Holder { pod, container: None }.check());
    }
    found.extend(containers.into_iter().flat_map(|container| Holder { pod, container: Some(container) }.check()));
    found
}
