//! Holds the policy `images` against its opinion on references and patterns that are put together at random, of parts
//! that are right and parts that are not.
//!
//! `PODFENCE_PODS` and `PODFENCE_SEED` count here as in `second_opinion.rs`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use podfence_core::json::pad;
use podfence_reference::case::Case;
use podfence_reference::compare::{Class, Oracle};
use podfence_reference::draw::Draw;
use podfence_reference::opinions::images::OPINION;
use serde_json::json;

mod support;
use support::request;

const HOSTS: [&str; 14] = [
    "ghcr.io",
    "GHCR.IO",
    "docker.io",
    "index.docker.io",
    "localhost",
    "a",
    "*",
    "*.io",
    "a.*.io",
    "[::1]",
    "-a.b",
    "a.b-",
    "a..b",
    "x_y.z",
];
const PORTS: [&str; 6] = [":5000", ":443", ":", ":x", ":*", ":05"];
const COMPONENTS: [&str; 16] =
    ["a", "b", "library", "nginx", "a-b", "a--b", "a__b", "a___b", "a.b", "a.-b", "-a", "a_", "A", "", "*", "**"];
const TAGS: [&str; 10] = [":1", ":latest", ":5000", ":v1.2", ":_", ":-1", ":.1", ":", ":1:2", ":*"];
const SEPARATORS: [&str; 8] = ["/", ":", "@", ".", "-", "_", "*", " "];

/// Draws a reference or a pattern, most of them nearly right.
fn reference(draw: &mut Draw) -> String {
    let mut text = String::new();
    if draw.percent(50) {
        text += draw.one(&HOSTS);
        if draw.percent(30) {
            text += draw.one(&PORTS);
        }
        text += if draw.percent(97) { "/" } else { "" };
    }
    let count = draw.below(4);
    for index in 0..count {
        text += if index == 0 { "" } else { "/" };
        let usual = if draw.percent(70) { 5 } else { COMPONENTS.len() };
        text += draw.one(&COMPONENTS[..usual]);
    }
    if draw.percent(40) {
        let usual = if draw.percent(80) { 4 } else { TAGS.len() };
        text += draw.one(&TAGS[..usual]);
    }
    if draw.percent(20) {
        let algorithm = draw.one(&["sha256", "sha384", "sha512", "sha256", "md5", "SHA256", "sha256+b64"]);
        let digit = draw.one(&["0", "a", "A", "f", "g"]);
        let count = [64, 96, 128, 63, 32][draw.below(5)];
        text += &format!("@{algorithm}:{}", digit.repeat(count));
    }
    if draw.percent(2) {
        text = draw.one(&["0", "a", "sha256:0"]).repeat(64);
    }
    // One byte more, or one less.
    let at = draw.below(text.len() + 1);
    if draw.percent(5) {
        text.insert_str(at, draw.one(&SEPARATORS));
    } else if draw.percent(3) && at < text.len() {
        text.remove(at);
    }
    text
}

/// Draws settings that the policy takes, and a pod with an image and an image volume.
fn case(seed: u64) -> Case {
    let mut draw = Draw::new(seed);
    let settings = loop {
        let mut settings = json!({"deniedTags": []});
        for name in ["allowed", "denied"] {
            if draw.percent(40) {
                settings[name] = json!([reference(&mut draw)]);
            }
        }
        if draw.percent(30) {
            settings = json!({"deniedTags": [], "repos": [reference(&mut draw)]});
        } else if draw.percent(30) {
            let list = *draw.one(&[&"allow", &"reject"]);
            settings = json!({"deniedTags": [], "registries": {list: [reference(&mut draw)]}});
        }
        if draw.percent(20) {
            settings["requireRegistry"] = json!(true);
        }
        let reply = podfence_core::validate_settings(OPINION.policy, &pad(settings.to_string().as_bytes()));
        if reply == r#"{"valid":true}"# {
            break settings;
        }
    };
    let mut pod = json!({"spec": {"containers": [{"name": "a", "image": reference(&mut draw)}]}});
    if draw.percent(30) {
        pod["spec"]["volumes"] = json!([{"name": "b", "image": {"reference": reference(&mut draw)}}]);
    }
    Case::new(request(("", "Pod"), "CREATE", &pod), settings, seed)
}

#[test]
fn references_and_patterns_are_read_alike() {
    let oracle = Oracle::new(&OPINION);
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (first, count) = (number("PODFENCE_SEED", 0), number("PODFENCE_PODS", 10_000));
    let mut classes = BTreeMap::new();
    for seed in first..first + count {
        match oracle.compare(&case(seed)) {
            Ok(agreement) => *classes.entry(agreement.class).or_insert(0) += 1,
            Err(_) => {
                let (case, problem) = case(seed).shrink(|case| oracle.compare(case));
                panic!("{problem}\n{case}\nPODFENCE_SEED={seed} PODFENCE_PODS=1 repeats it");
            }
        }
    }
    println!("{classes:?}");
    if count >= 10_000 {
        for class in [Class::Accepted, Class::Rejected] {
            assert!(classes[&class] * 50 >= count, "only {} were {class:?}", classes[&class]);
        }
    }
}
