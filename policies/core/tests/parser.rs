//! The parser agrees with `serde_json`: what that refuses, it refuses; what that accepts, reads equal.

mod common;

use common::differential::agree;
use common::texts;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Enough to meet every kind of text often, in a few seconds without optimisation.
const CASES: u32 = 512;

fn cases(cases: u32) -> ProptestConfig {
    // What failed once becomes a test with a name, not a file of seeds.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn documents() -> impl Strategy<Value = String> {
    (texts::values(), texts::spaces()).prop_map(|(value, spaces)| value.print(&spaces))
}

/// Something that breaks a text in most places.
fn breakages() -> impl Strategy<Value = Vec<u8>> {
    let texts = [
        "",
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "-",
        "+",
        ".",
        "e",
        "E",
        "0",
        "00",
        "1",
        "t",
        "nul",
        "\\u",
        "\\ud800",
        "\\udc00",
        "\\ud800\\u0041",
        "\\x",
        "\\u00g0",
        "\0",
        "\u{1f}",
        "\u{7f}",
        "\u{b}",
        "\u{a0}",
        "\u{feff}",
        "//",
        "NaN",
        "Infinity",
        "'",
    ];
    prop_oneof![
        4 => select(texts.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..4),
        1 => select(vec![&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]).prop_map(<[u8]>::to_vec),
    ]
}

proptest! {
    #![proptest_config(cases(CASES))]

    #[test]
    fn well_formed_texts_read_equal(text in documents()) {
        agree(text.as_bytes());
    }

    #[test]
    fn broken_texts_are_judged_alike(
        text in documents(),
        breakages in vec((any::<Index>(), 0..3usize, breakages()), 1..4),
    ) {
        let mut bytes = text.into_bytes();
        for (at, removed, inserted) in breakages {
            let at = at.index(bytes.len() + 1);
            let end = bytes.len().min(at + removed);
            bytes.splice(at..end, inserted);
        }
        agree(&bytes);
    }

    #[test]
    fn truncated_texts_are_judged_alike(text in documents(), at in any::<Index>()) {
        agree(&text.as_bytes()[..at.index(text.len() + 1)]);
    }

    #[test]
    fn random_bytes_are_judged_alike(bytes in vec(any::<u8>(), 0..64)) {
        agree(&bytes);
    }

    #[test]
    fn random_tokens_are_judged_alike(
        tokens in vec(select(vec!["{", "}", "[", "]", ",", ":", "\"a\"", "1", "-", "true", "null", " "]), 0..16)
    ) {
        agree(tokens.concat().as_bytes());
    }

    #[test]
    fn numbers_are_judged_alike(number in texts::numbers(), tail in select(vec!["", " ", ".", "e", "x", ",", "\0"])) {
        agree(format!("{number}{tail}").as_bytes());
    }

    #[test]
    fn deep_nesting_is_judged_alike(kinds in vec(any::<bool>(), 120..135), is_closed in any::<bool>(), inner in documents()) {
        agree(nested(&kinds, &inner, is_closed).as_bytes());
    }
}

/// A value inside lists (`true`) and objects.
fn nested(kinds: &[bool], inner: &str, is_closed: bool) -> String {
    let mut text: String = kinds.iter().map(|&is_list| if is_list { "[" } else { "{\"k\":" }).collect();
    text.push_str(inner);
    if is_closed {
        text.extend(kinds.iter().rev().map(|&is_list| if is_list { ']' } else { '}' }));
    }
    text
}

#[test]
fn nesting_ends_where_serde_json_ends() {
    for kind in [true, false] {
        for inner in ["1", "[]", "{}"] {
            for depth in 125..=129 {
                agree(nested(&vec![kind; depth], inner, true).as_bytes());
            }
        }
        let is_json = |depth| serde_json::from_str::<serde_json::Value>(&nested(&vec![kind; depth], "1", true)).is_ok();
        assert!(is_json(127) && !is_json(128), "serde_json moved its limit");
    }
}

#[test]
fn every_short_text_is_judged_alike() {
    const BYTES: &[u8] = b"{}[],:\"\\-+.019eEtrufalsn \n\0\x1f\x7f\xc3\xa9";
    for &a in BYTES {
        agree(&[a]);
        for &b in BYTES {
            agree(&[a, b]);
            for &c in BYTES {
                agree(&[a, b, c]);
            }
        }
    }
}

#[test]
fn every_escape_is_judged_alike() {
    for byte in 0..=u8::MAX {
        agree(&[b'"', b'\\', byte, b'"']);
        agree(&[b'"', byte, b'"']);
        agree(&[b'"', b'\\', b'u', b'0', b'0', b'4', byte, b'"']);
    }
    for unit in (0..=0xffffu32).step_by(7) {
        agree(format!("\"\\u{unit:04x}\"").as_bytes());
        agree(format!("\"\\ud83d\\u{unit:04X}\"").as_bytes());
        agree(format!("\"\\u{unit:04x}\\udc00\"").as_bytes());
    }
}

#[test]
fn numbers_at_the_end_of_doubles_are_judged_alike() {
    for digits in
        ["17976931348623156", "17976931348623157", "17976931348623158", "17976931348623159", "17976931348623160"]
    {
        for (number, exponent) in
            [(digits.to_owned(), 292), (format!("0.000{digits}"), 312), (format!("{digits}00"), 290)]
        {
            for exponent in exponent - 1..=exponent + 1 {
                for sign in ["", "-"] {
                    agree(format!("{sign}{number}e{exponent}").as_bytes());
                    agree(format!("{sign}{number}E+{exponent}").as_bytes());
                }
            }
        }
        agree(format!("{digits}{}", "0".repeat(292)).as_bytes());
        agree(format!("{digits}{}.0e1", "0".repeat(291)).as_bytes());
    }
}
