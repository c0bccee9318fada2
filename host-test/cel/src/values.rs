//! Values: from JSON, and to what callers see.

use std::collections::HashMap;
use std::fmt::Write as _;

use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString,
    CelTimestamp, CelType, CelUInt,
};
use cel::common::value::Val;
use serde_json::Value;

use crate::held::{HeldList, HeldMap};

/// A JSON value as the evaluator holds it.
pub(crate) fn from_json(value: Value) -> Box<dyn Val> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(value)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Box::new(CelInt::from(integer)),
            None => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text)),
        Value::Array(elements) => Box::new(HeldList::of(elements)),
        Value::Object(members) => Box::new(HeldMap::of(members)),
    }
}

/// A copy that borrows nothing.
pub(crate) fn owned(value: &dyn Val) -> Box<dyn Val> {
    if let Some(list) = value.downcast_ref::<HeldList>() {
        return list.clone_as_boxed();
    }
    if let Some(map) = value.downcast_ref::<HeldMap>() {
        return map.clone_as_boxed();
    }
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Box::new(CelString::from(text.inner().to_owned()));
    }
    if let Some(data) = value.downcast_ref::<CelBytes>() {
        return Box::new(CelBytes::from(data.inner().to_vec()));
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        let elements: Vec<Box<dyn Val>> = list.inner().iter().map(|element| owned(element.as_ref())).collect();
        return Box::new(HeldList::new(CelList::from(elements)));
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        let entries = map.inner().iter().map(|(key, value)| (owned_key(key), owned(value.as_ref())));
        return Box::new(HeldMap::new(CelMap::from(entries.collect::<HashMap<_, _>>())));
    }
    if let Some(optional) = value.downcast_ref::<CelOptional>() {
        return Box::new(optional.option().map_or_else(CelOptional::none, |inner| CelOptional::of(owned(inner))));
    }
    owned_scalar(value)
}

pub(crate) fn owned_key(key: &CelMapKey<'_>) -> CelMapKey<'static> {
    match key {
        CelMapKey::Bool(key) => CelMapKey::from(*key.inner()),
        CelMapKey::Int(key) => CelMapKey::from(*key.inner()),
        CelMapKey::UInt(key) => CelMapKey::from(*key.inner()),
        CelMapKey::String(key) => CelMapKey::from(key.inner().to_owned()),
    }
}

fn owned_scalar(value: &dyn Val) -> Box<dyn Val> {
    if let Some(value) = value.downcast_ref::<CelBool>() {
        return Box::new(CelBool::from(*value.inner()));
    }
    if let Some(value) = value.downcast_ref::<CelInt>() {
        return Box::new(CelInt::from(*value.inner()));
    }
    if let Some(value) = value.downcast_ref::<CelUInt>() {
        return Box::new(CelUInt::from(*value.inner()));
    }
    if let Some(value) = value.downcast_ref::<CelDouble>() {
        return Box::new(CelDouble::from(*value.inner()));
    }
    if let Some(value) = value.downcast_ref::<CelDuration>() {
        return Box::new(CelDuration::from(*value.inner()));
    }
    if let Some(value) = value.downcast_ref::<CelTimestamp>() {
        return Box::new(CelTimestamp::from(*value.inner()));
    }
    if let Some(value) = value.downcast_ref::<CelType>() {
        return Box::new(CelType::new(value.name().to_owned()));
    }
    crate::library::owned(value).unwrap_or_else(|| Box::new(CelNull))
}

/// A value as text: JSON where there is JSON for it, keys sorted.
pub(crate) fn show(value: &dyn Val) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

fn write_value(value: &dyn Val, text: &mut String) {
    if let Some(value) = value.downcast_ref::<CelString>() {
        text.push_str(&Value::from(value.inner()).to_string());
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        text.push('[');
        for (index, element) in list.inner().iter().enumerate() {
            text.push_str(if index > 0 { "," } else { "" });
            write_value(element.as_ref(), text);
        }
        text.push(']');
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let mut entries: Vec<String> =
            map.inner().iter().map(|(key, value)| format!("{}:{}", show(key.inner()), show(value.as_ref()))).collect();
        entries.sort();
        text.push_str(&format!("{{{}}}", entries.join(",")));
    } else if let Some(optional) = value.downcast_ref::<CelOptional>() {
        text.push_str(&optional.option().map_or_else(|| "none".to_owned(), |inner| format!("some({})", show(inner))));
    } else {
        text.push_str(&show_scalar(value));
    }
}

fn show_scalar(value: &dyn Val) -> String {
    if let Some(value) = value.downcast_ref::<CelInt>() {
        return value.inner().to_string();
    }
    if let Some(value) = value.downcast_ref::<CelUInt>() {
        return format!("{}u", value.inner());
    }
    if let Some(value) = value.downcast_ref::<CelBool>() {
        return value.inner().to_string();
    }
    if let Some(value) = value.downcast_ref::<CelDouble>() {
        return show_double(*value.inner());
    }
    if let Some(value) = value.downcast_ref::<CelBytes>() {
        let mut text = "b".to_owned();
        value.inner().iter().for_each(|byte| write!(text, "{byte:02x}").unwrap_or_default());
        return text;
    }
    if let Some(value) = value.downcast_ref::<CelDuration>() {
        let nanos = i128::from(value.inner().num_seconds()) * 1_000_000_000 + i128::from(value.inner().subsec_nanos());
        return format!("duration({nanos})");
    }
    if let Some(value) = value.downcast_ref::<CelTimestamp>() {
        return format!("timestamp({})", value.inner().to_utc().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
    }
    match value.get_type().name() {
        "null_type" => "null".to_owned(),
        "type" => {
            value.downcast_ref::<CelType>().map_or_else(|| "type".to_owned(), |value| format!("type({})", value.name()))
        }
        other => format!("opaque({other})"),
    }
}

/// A double with an exponent, so that it is told from an integer.
fn show_double(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }
        .to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("d{mantissa}e{sign}{exponent:0>2}")
}
