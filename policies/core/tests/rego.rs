//! Rego's notation of strings, as Go writes it, becomes JSON of the same meaning; what is JSON stays as it is.

use podfence_core::rego::put_json;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

const TOKENS: &[&str] =
    &["{", "}", "[", "]", ",", ":", "\"a\"", "\"", "\"\\\\", "1", "-", "true", "tr", "ue", " ", "\n"];

fn json(text: &[u8]) -> Vec<u8> {
    let mut json = Vec::new();
    put_json(text, &mut json);
    json
}

/// A string as `strconv.Quote` of Go writes it, with these characters taken for printable.
fn quoted(string: &str) -> String {
    let mut quoted = String::from("\"");
    for character in string.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\u{7}' => quoted += r"\a",
            '\u{8}' => quoted += r"\b",
            '\u{b}' => quoted += r"\v",
            '\u{c}' => quoted += r"\f",
            '\n' => quoted += r"\n",
            '\r' => quoted += r"\r",
            '\t' => quoted += r"\t",
            '\0'..' ' | '\u{7f}' => quoted += &format!(r"\x{:02x}", u32::from(character)),
            ' '..='~' | 'à'..='ÿ' => quoted.push(character),
            '\u{80}'..='\u{ffff}' => quoted += &format!(r"\u{:04x}", u32::from(character)),
            _ => quoted += &format!(r"\U{:08x}", u32::from(character)),
        }
    }
    quoted + "\""
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn strings_mean_the_same(string in any::<String>()) {
        let read: String = serde_json::from_slice(&json(quoted(&string).as_bytes())).expect("JSON");
        prop_assert_eq!(read, string);
    }

    #[test]
    fn json_stays_as_it_is(string in any::<String>()) {
        let text = serde_json::json!({ &string: [&string] }).to_string();
        prop_assert_eq!(json(text.as_bytes()), text.into_bytes());
    }

    #[test]
    fn space_behind_commas_and_colons_goes(string in any::<String>(), spaces in "[ \t\n\r]{0,3}") {
        let quoted = serde_json::json!(string).to_string();
        let text = format!("{{{quoted}:{spaces}[1,{spaces}{quoted},{spaces}null]}}");
        prop_assert_eq!(json(text.as_bytes()), format!("{{{quoted}:[1,{quoted},null]}}").into_bytes());
    }

    #[test]
    fn what_is_no_json_does_not_become_it(tokens in vec(select(TOKENS), 0..12)) {
        let text = tokens.concat();
        let read = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
        prop_assert_eq!(read(&json(text.as_bytes())), read(text.as_bytes()));
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in vec(any::<u8>(), 0..64)) {
        json(&bytes);
    }
}

#[test]
fn each_escape_is_read_where_go_writes_it() {
    let cases = [
        (r#""\a\v\x00\x1b\x7f""#, Some("\u{7}\u{b}\0\u{1b}\u{7f}")),
        (r#""\U000e0001\U0010ffff""#, Some("\u{e0001}\u{10ffff}")),
        (r#""\U00000022,\x22""#, Some("\",\"")),
        (r#""\\a\\x1b\\\a""#, Some("\\a\\x1b\\\u{7}")),
        (r#""\x80""#, None),
        (r#""\xff""#, None),
        (r#""\x1""#, None),
        (r#""\U0000d83d\U0000de00""#, None),
        (r#""\U00110000""#, None),
        (r#""\U000e000""#, None),
        (r#""\A""#, None),
        (r#""\'""#, None),
        (r#"\a"#, None),
        (r#""\"#, None),
    ];
    for (text, expected) in cases {
        let read = serde_json::from_slice::<String>(&json(text.as_bytes())).ok();
        assert_eq!(read.as_deref(), expected, "{text}");
    }
}
