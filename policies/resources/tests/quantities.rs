//! Compares quantities with what Kubernetes reads: `quantities.tsv`, which `record` writes.
#![forbid(unsafe_code)]

use podfence_resources::thousandths;

/// Each text, and its thousandths in Kubernetes.
fn recorded() -> impl Iterator<Item = (String, &'static str)> {
    include_str!("quantities.tsv").lines().map(|line| {
        let (text, expected) = line.split_once('\t').expect("a text and its thousandths");
        (serde_json::from_str(text).expect("a text in quotes"), expected)
    })
}

/// Texts that the policy refuses and Kubernetes reads: as 0 where there is no digit, and exponents of any length, of which
/// it drops what does not fit into 32 bits.
fn is_refused(text: &str) -> bool {
    let has_digits = text.bytes().find(|byte| !b" +-.".contains(byte)).is_some_and(|byte| byte.is_ascii_digit());
    !has_digits || text == "1e18446744073709551616"
}

#[test]
fn quantities_are_read_as_kubernetes_reads_them() {
    let mut counts = [0; 4];
    for (text, expected) in recorded() {
        let (class, expected) = match expected {
            "error" | "large" => (0, None),
            _ if is_refused(&text) => (1, None),
            negative if negative.starts_with('-') => (2, None),
            expected => (3, Some(expected.parse().expect("thousandths"))),
        };
        counts[class] += 1;
        assert_eq!(thousandths(&text), expected, "{text:?}");
    }
    assert!(counts.iter().all(|count| *count > 10) && counts[3] > 1000, "{counts:?}");
}

#[test]
fn hostile_texts_are_read_in_time() {
    let digits = "9".repeat(1 << 20);
    for (text, expected) in [
        (digits.clone(), None),
        (format!("0.{digits}"), Some(1000)),
        (format!("0.{digits}Pi"), Some(1_125_899_906_842_624_000)),
        (format!("1e{digits}"), None),
        (format!("0e{digits}"), None),
        ("0e9999".to_owned(), Some(0)),
        ("1e-9999".to_owned(), Some(1)),
        ("1e10000".to_owned(), None),
        (format!("{}1", "0".repeat(1 << 20)), Some(1000)),
        (format!("{}1e-5", "0".repeat(1 << 20)), Some(1)),
    ] {
        assert_eq!(thousandths(&text), expected, "{}…", &text[..6]);
    }
}
