//! The modules for OPA, on a host of its ABI: verdicts and texts as those of the native policies, and no input that has
//! no result.
#![forbid(unsafe_code)]

use std::cell::RefCell;

use podfence_core::Policy;
use podfence_core::json::pad;
use podfence_core::rego::put_json;
use podfence_fixtures::{Suite, discover, opa::input, opa::message};
use podfence_host::inspect::{Import, inspect};
use podfence_host::opa::results;
use podfence_host::{CallError, Format, Host, Limits, OpaInstance, OpaModule};
use podfence_reference::case::Case;
use podfence_reference::compare::Oracle;
use podfence_reference::opinion::Opinion;
use podfence_support::{opa_module, policies};
use serde_json::{Value, json};

fn host() -> Host {
    Host::new(Limits::default()).expect("an engine")
}

fn load(host: &Host, policy: &str) -> OpaModule {
    host.load_opa(&opa_module(policy)).unwrap_or_else(|error| panic!("{policy}: {error}"))
}

fn privileged() -> OpaModule {
    load(&host(), "privileged")
}

/// The results of an input, each as its text.
fn texts(instance: &mut OpaInstance, input: &[u8]) -> Vec<String> {
    texts_of(&instance.evaluate(input, Format::Json).expect("results"))
}

fn texts_of(reply: &[u8]) -> Vec<String> {
    let results: Vec<Value> = serde_json::from_str(&results(reply).expect("defined results")).expect("a list");
    results.iter().map(|result| result["msg"].as_str().expect("a text").to_owned()).collect()
}

const VIOLATION: &str = r#"privileged (container "a" must not set securityContext.privileged=true)"#;

fn review(operation: Option<&str>) -> Value {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"containers": [{"name": "a", "image": "nginx", "securityContext": {"privileged": true}}]},
    });
    let mut review = json!({"kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": pod});
    if let Some(operation) = operation {
        review["operation"] = operation.into();
    }
    review
}

#[test]
fn every_module_asks_for_memory_and_a_way_to_stop_and_answers_one_query() {
    let host = host();
    for policy in discover(&policies()).expect("the policies") {
        let inspection = inspect(&host, &opa_module(&policy));
        assert_eq!(inspection.obstacles, Vec::<String>::new(), "{policy}");
        assert_eq!(inspection.notes, Vec::<String>::new(), "{policy}");
        let import = |name: &str, ty: &str| Import { module: "env".into(), name: name.into(), ty: ty.into() };
        let mut imports = inspection.imports;
        imports.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(imports, [import("memory", "a memory"), import("opa_abort", "(i32) -> ()")], "{policy}");
        assert_eq!(inspection.memory.expect("a memory").initial, 5 << 16, "{policy}");
        assert_eq!(inspection.entrypoints, Some(json!({ format!("podfence/{policy}/violation"): 0 })));
        assert!(!has_start(&opa_module(&policy)), "{policy}");
        assert_eq!(load(&host, &policy).instantiate().expect("an instance").abi(), (1, 3), "{policy}");
    }
}

fn has_start(module: &[u8]) -> bool {
    let mut payloads = wasmparser::Parser::new(0).parse_all(module).map_while(Result::ok);
    payloads.any(|payload| matches!(payload, wasmparser::Payload::StartSection { .. }))
}

/// Kubewarden runs such a module with metadata of this kind. `kwctl` is not here to try it.
#[test]
fn metadata_for_kubewarden_says_that_the_host_is_gatekeepers() {
    let host = host();
    let with = |changes: Value| {
        let mut metadata = json!({
            "protocolVersion": "v1", "executionMode": "gatekeeper", "policyType": "kubernetes", "mutating": false,
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE", "UPDATE"]}],
        });
        metadata.as_object_mut().unwrap().extend(changes.as_object().cloned().unwrap());
        let text = metadata.to_string().replace('"', "\\\"");
        let section =
            wat::parse_str(format!(r#"(module (@custom "io.kubewarden.metadata" "{text}"))"#)).expect("a module");
        // Behind the magic number and the version.
        inspect(&host, &[&opa_module("privileged"), &section[8..]].concat())
    };
    let found = with(json!({}));
    assert_eq!((found.obstacles, found.notes), (Vec::new(), Vec::new()));
    for (changes, expected) in [
        (json!({"mutating": true}), "metadata: mutating is true, but a module for OPA changes nothing"),
        (
            json!({"executionMode": "kubewarden-wapc"}),
            "metadata: executionMode kubewarden-wapc is not gatekeeper, which modules for OPA need",
        ),
        (
            json!({"executionMode": null}),
            "metadata: executionMode kubewarden-wapc is not gatekeeper, which modules for OPA need",
        ),
        (json!({"protocolVersion": null}), "metadata: protocolVersion is not v1"),
    ] {
        assert_eq!(with(changes).obstacles, [expected]);
    }
}

/// Inputs for `privileged`, and the texts of the results.
fn inputs() -> Vec<(&'static str, Vec<u8>, Vec<&'static str>)> {
    let with = |review: Value, parameters: Value| json!({"review": review, "parameters": parameters});
    let bytes = |value: Value| value.to_string().into_bytes();
    let violation = with(review(Some("CREATE")), json!({}));
    let followed = |behind: &[u8]| [violation.to_string().as_bytes(), behind].concat();
    let changed = |path: &str, value: Value| {
        let mut input = violation.clone();
        *input.pointer_mut(path).expect("a member") = value;
        bytes(input)
    };
    let mut in_namespace = violation.clone();
    in_namespace["review"]["namespace"] = "other".into();
    in_namespace["parameters"] = json!({"exempt": {"namespaces": ["shop"]}});
    vec![
        ("a violation", bytes(violation.clone()), vec![VIOLATION]),
        ("no operation", bytes(with(review(None), json!({}))), vec![VIOLATION]),
        ("no parameters", bytes(json!({"review": review(None)})), vec![VIOLATION]),
        ("null parameters", changed("/parameters", Value::Null), vec![VIOLATION]),
        ("DELETE", bytes(with(review(Some("DELETE")), json!({}))), vec![]),
        (
            "an operation that does not exist",
            bytes(with(review(Some("PATCH")), json!({}))),
            vec!["review.operation: expected CREATE, UPDATE, DELETE or CONNECT"],
        ),
        ("the namespace of the object", bytes(with(review(None), json!({"exempt": {"namespaces": ["shop"]}}))), vec![]),
        ("the namespace of the review", bytes(in_namespace), vec![VIOLATION]),
        ("a name of Gatekeeper's", bytes(with(review(None), json!({"exemptImages": ["nginx"]}))), vec![]),
        (
            "an unknown parameter",
            bytes(with(review(None), json!({"nope": 1}))),
            vec!["parameters: unknown setting \"nope\", known are …"],
        ),
        (
            "parameters of another type",
            bytes(with(review(None), json!([]))),
            vec!["parameters: expected an object, found a list"],
        ),
        ("no input", Vec::new(), vec!["not JSON: expected a value at byte 0"]),
        ("null", b"null".to_vec(), vec!["review.object: expected an object, found nothing"]),
        ("an empty object", b"{}".to_vec(), vec!["review.object: expected an object, found nothing"]),
        (
            "a review without an object",
            bytes(json!({"review": {"kind": {"kind": "Pod"}}, "parameters": {"otherKinds": "accept"}})),
            vec!["review.object: expected an object, found nothing"],
        ),
        ("a list", b"[]".to_vec(), vec!["expected an object, found a list"]),
        ("text behind", followed(b" {}"), vec!["not JSON: expected the end at byte …"]),
        ("a zero byte behind", followed(b"\0"), vec!["not JSON: expected the end at byte …"]),
        ("text behind a zero byte", followed(b"\0rubbish"), vec!["not JSON: expected the end at byte …"]),
        ("half of it", violation.to_string().as_bytes()[..100].to_vec(), vec!["not JSON: …"]),
        ("no UTF-8", b"{\"review\":\"\xff\"}".to_vec(), vec!["not JSON: expected UTF-8"]),
        (
            "no workload",
            bytes(json!({"review": {"kind": {"group": "", "kind": "Service"}, "object": {}}})),
            vec![
                "Service is not a pod or workload. If a rule sends it here on purpose, set otherKinds: accept; if it is a \
                 custom workload, add it to podSpecPaths",
            ],
        ),
    ]
}

/// Whether the text is this one, of which `…` stands for the rest.
fn is_text(text: &str, expected: &str) -> bool {
    match expected.strip_suffix('…') {
        Some(start) => text.starts_with(start),
        None => text == expected,
    }
}

#[test]
fn input_that_cannot_be_read_is_a_violation_in_both_ways_of_hosts() {
    let module = privileged();
    let mut reused = module.instantiate().expect("an instance");
    for (name, input, expected) in inputs() {
        let in_context = module.instantiate().expect("an instance").evaluate_in_context(&input).expect(name);
        let again = reused.evaluate_in_context(&input).expect(name);
        for found in [texts(&mut reused, &input), texts_of(&in_context), texts_of(&again)] {
            let is_expected = found.len() == expected.len()
                && found.iter().zip(&expected).all(|(found, expected)| is_text(found, expected));
            assert!(is_expected, "{name}: expected {expected:?}, found {found:?}");
        }
    }
}

#[test]
fn strings_in_the_notation_of_go_are_read() {
    let mut instance = privileged().instantiate().expect("an instance");
    let named = |name: &str| {
        let input =
            json!({"review": review(None)}).to_string().replace(r#""name":"a""#, &format!(r#""name":"{name}""#));
        texts(&mut instance, input.as_bytes())
    };
    let cases = [
        (r"\a", "\u{7}"),
        (r"\v", "\u{b}"),
        (r"\x1b[0m", "\u{1b}[0m"),
        (r"\x7f", "\u{7f}"),
        (r"\U000e0001", "\u{e0001}"),
        (r"\U00000022", "\""),
        (r"\u00e9\n\t\\x41\\\a", "é\n\t\\x41\\\u{7}"),
    ];
    let mut named = named;
    for (written, meant) in cases {
        assert_eq!(named(written), [VIOLATION.replace("\"a\"", &format!("\"{meant}\""))], "{written}");
    }
    // Bytes, parts of pairs and numbers of no character.
    for written in [r"\xff", r"\x80", r"\x7", r"\U0000d83d\U0000de00", r"\U00110000", r"\U0001", r"\q", r"\'"] {
        let found = named(written);
        assert!(
            matches!(found.as_slice(), [text] if text.starts_with("not JSON: expected an escape at byte ")),
            "{written}: {found:?}"
        );
    }
    // Kubewarden's modules read JSON alone.
    let wapc = host().load(&podfence_support::module("privileged")).expect("a policy");
    let payload = json!({"request": review(Some("CREATE")), "settings": {}})
        .to_string()
        .replace(r#""name":"a""#, r#""name":"\a""#);
    let reply = wapc.call("validate", payload.as_bytes()).expect("a reply");
    assert!(
        String::from_utf8_lossy(&reply)
            .starts_with(r#"{"accepted":false,"message":"not JSON: expected an escape at byte "#)
    );
}

#[test]
fn violations_in_notation_of_go_have_their_values_in_json() {
    let host = host();
    let input = r#"{"review":{"kind":{"kind":"Pod"},"object":{"spec":{"containers":[],"volumes":[{"name":"a","hostPath":{"path":"\a\x1b"}}]}}}}"#;
    let reply = load(&host, "volumes").evaluate(input.as_bytes()).expect("results");
    let results: Vec<Value> = serde_json::from_str(&results(&reply).expect("defined")).expect("JSON");
    assert_eq!(results[0]["details"]["value"], json!({"name": "a", "hostPath": {"path": "\u{7}\u{1b}"}}));
}

#[test]
fn results_are_a_set_in_the_format_of_go() {
    let mut instance = privileged().instantiate().expect("an instance");
    for (input, results) in [(json!({"review": review(None)}), 1), (json!({"review": review(Some("DELETE"))}), 0)] {
        let input = input.to_string();
        let json = String::from_utf8(instance.evaluate(input.as_bytes(), Format::Json).unwrap()).unwrap();
        let set = String::from_utf8(instance.evaluate(input.as_bytes(), Format::Rego).unwrap()).unwrap();
        assert_eq!(texts_of(json.as_bytes()).len(), results);
        let inside = json.strip_prefix("[{").and_then(|json| json.strip_suffix("}]")).expect("one assignment");
        assert_eq!(set, format!("{{{{{inside}}}}}"));
    }
}

#[test]
fn a_host_may_copy_the_heap_into_another_instance() {
    let module = privileged();
    let mut first = module.instantiate().expect("an instance");
    let mut second = first.moved(&module).expect("a copy");
    for _ in 0..2 {
        assert_eq!(texts(&mut second, json!({"review": review(None)}).to_string().as_bytes()), [VIOLATION]);
        assert_eq!(texts(&mut first, json!({"review": review(None)}).to_string().as_bytes()), [VIOLATION]);
    }
}

#[test]
fn large_inputs_need_no_more_than_the_memory_that_they_fill() {
    let mut instance = privileged().instantiate().expect("an instance");
    let mut large = review(None);
    large["object"]["metadata"]["annotations"] = json!({"a": "é".repeat(2 << 20)});
    for _ in 0..3 {
        assert_eq!(texts(&mut instance, json!({"review": large}).to_string().as_bytes()), [VIOLATION]);
    }
    let small = Host::new(Limits { memory: 6 << 20, ..Limits::default() }).expect("an engine");
    let error = load(&small, "privileged").evaluate(json!({"review": large}).to_string().as_bytes()).unwrap_err();
    assert!(matches!(error, CallError::Memory { .. }), "{error}");
}

#[test]
fn what_is_no_module_for_opa_is_explained() {
    let host = host();
    let error = |bytes: &[u8]| host.load_opa(bytes).err().expect("an error").to_string();
    assert_eq!(error(b"\0asm"), "not a wasm module: it does not start with the bytes `\\0asm` and version 1");
    assert!(error(&podfence_support::module("privileged")).starts_with("unknown imports: wapc::"));
    let wat = |text: &str| wat::parse_str(text).expect("a module");
    assert_eq!(error(&wat("(module)")), "import of an unexpected type: env::memory: expected the host's memory");
    assert_eq!(
        error(&wat(r#"(module (import "env" "memory" (memory 17)))"#)),
        "import of an unexpected type: env::memory: at least 17 pages, but hosts bring 5"
    );
    let memory = r#"(import "env" "memory" (memory 5)) (export "memory" (memory 0))"#;
    assert_eq!(error(&wat(&format!("(module {memory})"))), "no export `opa_wasm_abi_version`");
    let globals = r#"(global (export "opa_wasm_abi_version") i32 (i32.const 1))
        (global (export "opa_wasm_abi_minor_version") i32 (i32.const 3))"#;
    assert_eq!(
        error(&wat(&format!(r#"(module {memory} {globals} (func (export "opa_eval")))"#))),
        "export `opa_eval` is () -> (), not (i32, i32, i32, i32, i32, i32, i32) -> i32"
    );
}

mod modules {
    podfence_reference::test_policies!(super::results_are_those_of_the_native_policy);
}

/// Of the same decisions without changes: nobody makes them here.
fn results_are_those_of_the_native_policy(opinion: &'static Opinion) {
    let host = host();
    // One for all: that it answers as a fresh one is seen as well.
    let module = RefCell::new(load(&host, opinion.policy.name).instantiate().expect("an instance"));
    let unchanging =
        Policy { mutate: None, settings: podfence_core::Definition { ..opinion.policy.settings }, ..*opinion.policy };
    Oracle::new(opinion).check_many(|case| {
        let input = input(case.payload().as_bytes()).map_err(|error| error.to_string())?;
        let reply = module.borrow_mut().evaluate(input.as_bytes(), Format::Json);
        let reply = reply.map_err(|error| format!("the module fails: {error}"))?;
        let found = results(&reply)?;
        if differs_on_purpose(case) {
            return Ok(());
        }
        let native: Value = serde_json::from_str(&reply_of(&unchanging, case)).map_err(|error| error.to_string())?;
        let changes = reply_of(opinion.policy, case).contains(r#""mutated_object":"#);
        compare(&native, changes, &found)
            .map_err(|problem| format!("{problem}\nthe module: {found}\nthe native policy: {native}"))
    });
}

fn reply_of(policy: &Policy, case: &Case) -> String {
    let mut payload = Vec::new();
    // Without space, which texts about settings would show.
    put_json(case.payload().as_bytes(), &mut payload);
    podfence_core::validate(policy, &pad(&payload))
}

/// What a review may lack, a request may not.
fn differs_on_purpose(case: &Case) -> bool {
    ["operation", "namespace"].iter().any(|key| case.request[key].is_null())
}

const UNCHANGED: &str = "; no host of this module changes objects: change the manifest, or the parameters";

fn compare(native: &Value, changes: bool, found: &str) -> Result<(), String> {
    let expect = |is: bool, problem: &str| if is { Ok(()) } else { Err(problem.to_owned()) };
    let found: Vec<Value> = serde_json::from_str(found).map_err(|error| error.to_string())?;
    if changes {
        let is_refusal = |result: &Value| result["msg"].as_str().is_some_and(|text| text.ends_with(UNCHANGED));
        expect(!found.is_empty() && found.iter().all(is_refusal), "expected a refusal for want of changes")?;
    }
    if native["accepted"] == true {
        return expect(changes || found.is_empty(), "expected no results");
    }
    let text = native["message"].as_str().unwrap_or_default();
    if native["code"] == 400 {
        return expect(*found == [json!({"msg": message(text), "details": {}})], "expected this one result");
    }
    let violations = native["audit_annotations"]["violations"].as_str().unwrap_or_default();
    let violations: Vec<Value> = serde_json::from_str(violations).map_err(|error| error.to_string())?;
    let details: Vec<&Value> = found.iter().map(|result| &result["details"]).collect();
    expect(details == violations.iter().collect::<Vec<_>>(), "expected the same violations")?;
    if let [result] = found.as_slice() {
        let found = result["msg"].as_str().unwrap_or_default();
        expect(found.strip_suffix(UNCHANGED).unwrap_or(found) == text, "expected the same text")?;
    }
    Ok(())
}

/// A generator of numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % end
    }
}

/// Inputs of fixtures with some bytes changed.
#[test]
fn no_input_traps_or_is_undefined() {
    let host = host();
    let mut numbers = Numbers(7);
    const BYTES: &[u8] = b"\0\"\\{}[],:0-e.xUuav\x1b\x7f\xff\xc3n \n";
    for policy in discover(&policies()).expect("the policies") {
        let mut instance = load(&host, &policy).instantiate().expect("an instance");
        for replay in Suite::load(&policies().join(&policy)).expect("fixtures").replays() {
            let Ok(input) = replay.opa_input() else { continue };
            let mut input = input.into_bytes();
            for _ in 0..=numbers.below(3) {
                let at = numbers.below(input.len());
                match numbers.below(3) {
                    0 => input[at] = BYTES[numbers.below(BYTES.len())],
                    1 => input.insert(at, BYTES[numbers.below(BYTES.len())]),
                    _ => input.truncate(at),
                }
                input.push(b'}');
            }
            for reply in [instance.evaluate(&input, Format::Json), instance.evaluate_in_context(&input)] {
                let shown = String::from_utf8_lossy(&input);
                let reply = reply.unwrap_or_else(|error| panic!("{policy}: {error}\n{shown}"));
                let results = results(&reply).unwrap_or_else(|error| panic!("{policy}: {error}\n{shown}"));
                let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&input).is_ok();
                // What JSON alone does not have may be an escape of Go.
                assert!(is_json || input.contains(&b'\\') || results != "[]", "{policy}: accepted\n{shown}");
            }
        }
    }
}
