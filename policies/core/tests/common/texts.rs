//! Random JSON as text, with what typed values do not have: white space, escapes, duplicate keys and
//! numbers as they are written.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A JSON value as it is going to be written.
#[derive(Debug, Clone)]
pub enum Json {
    /// Literals, numbers and strings, as they stand in the text.
    Scalar(String),
    List(Vec<Json>),
    /// Keys with their quotes and escapes.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// A string without anything to escape in it.
    pub fn text(text: &str) -> Json {
        Json::Scalar(format!("\"{text}\""))
    }

    /// An object of members whose keys need no escapes.
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
        Json::Object(members.into_iter().map(|(key, value)| (format!("\"{key}\""), value)).collect())
    }

    /// Writes it with these spaces between its tokens, over and over.
    pub fn print(&self, spaces: &[String]) -> String {
        let mut text = String::new();
        self.print_to(&mut text, &mut spaces.iter().map(String::as_str).cycle());
        text
    }

    fn print_to<'s>(&self, text: &mut String, spaces: &mut impl Iterator<Item = &'s str>) {
        let space = |text: &mut String, spaces: &mut dyn Iterator<Item = &'s str>| {
            text.push_str(spaces.next().unwrap_or_default());
        };
        space(text, spaces);
        match self {
            Json::Scalar(scalar) => text.push_str(scalar),
            Json::List(elements) => {
                text.push('[');
                for (index, element) in elements.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    element.print_to(text, spaces);
                }
                space(text, spaces);
                text.push(']');
            }
            Json::Object(members) => {
                text.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    space(text, spaces);
                    text.push_str(key);
                    space(text, spaces);
                    text.push(':');
                    value.print_to(text, spaces);
                }
                space(text, spaces);
                text.push('}');
            }
        }
        space(text, spaces);
    }
}

/// White space, mostly none.
pub fn spaces() -> impl Strategy<Value = Vec<String>> {
    let space = prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\n  "), 1 => Just("\t\r\n")];
    vec(space.prop_map(str::to_owned), 1..8)
}

/// Numbers of every length and size, at the limits more often than chance would have it.
pub fn numbers() -> impl Strategy<Value = String> {
    let limits = [
        "0",
        "-0",
        "-0.0",
        "-0e0",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "1e308",
        "1e309",
        "0e999999999999",
        "1e-999999999999",
        "1e999999999999",
        "2e2147483648",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "-1.7976931348623159e308",
        "17976931348623157e292",
        "0.00017976931348623157e312",
        "4.9e-324",
        "123456789012345678901234567890",
        "0.1e1",
    ];
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,20})",
        4 => "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?",
        1 => "[1-9][0-9]{290,320}(\\.[0-9]{1,4})?(e-?[0-9]{1,2})?",
        1 => "0\\.0{280,330}[1-9]{0,3}e[0-9]{2,3}",
        4 => select(limits.to_vec()).prop_map(str::to_owned),
    ]
}

/// Strings with their quotes, plain ones and well-formed escapes.
pub fn strings() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ -!#-\\[\\]-~]{0,20}",
        1 => "[¢-߿ࠀ-힣𐀀-𐃺\u{7f}\u{2028}]{0,5}",
        1 => select(vec!["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"]).prop_map(str::to_owned),
        1 => "\\\\u[0-9a-cefA-CEF][0-9a-fA-F]{3}",
        1 => "\\\\u[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}",
    ];
    vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// Well-formed values with well-formed keys, of which some are there twice. A number may be too big.
pub fn values() -> impl Strategy<Value = Json> {
    values_of(numbers(), 6, 48)
}

/// The same, smaller and without numbers that are too big.
pub fn valid_values() -> impl Strategy<Value = Json> {
    let is_valid = |number: &String| serde_json::from_str::<serde_json::Value>(number).is_ok();
    values_of(numbers().prop_filter("too big", is_valid), 3, 8)
}

fn values_of(numbers: impl Strategy<Value = String> + 'static, depth: u32, size: u32) -> impl Strategy<Value = Json> {
    let literals = select(vec!["true", "false", "null"]).prop_map(str::to_owned);
    let scalar = prop_oneof![literals, numbers, strings()].prop_map(Json::Scalar);
    scalar.prop_recursive(depth, size, 6, |inner| {
        let key = prop_oneof![strings(), select(vec!["\"a\"", "\"\\u0061\"", "\"\""]).prop_map(str::to_owned)];
        prop_oneof![vec(inner.clone(), 0..6).prop_map(Json::List), vec((key, inner), 0..6).prop_map(Json::Object)]
    })
}
