//! Modules that misbehave. Each file in `hostile/` says in comments at its top what must come of it:
//!
//! - `;; load: TEXT`: it is refused with this text, or else both of
//! - `;; settings: TEXT`: `valid`, or the error;
//! - `;; validate: TEXT`: `allowed`, or `denied CODE: MESSAGE`, and the patch.
//!
//! Texts are whole. Two things in them are put differently: the lines of a backtrace, which change
//! with the engine, are `…`, and a hundred or more equal letters are `{letter × count}`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use podfence_host::evaluate::Failure;
use podfence_host::{AdmissionResponse, Evaluation, Host, Limits, LoadError, Mode, Module, Policy};
use podfence_scan::{AdmissionRequest, request};

const MANIFEST: &[u8] = b"{apiVersion: v1, kind: Pod, metadata: {name: web}}";

fn host() -> Host {
    Host::new(Limits { timeout: Duration::from_millis(200), memory: 16 << 20, ..Limits::default() }).unwrap()
}

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The lines at the top of a file that say what must come of it.
fn expectations(text: &str) -> Vec<String> {
    text.lines()
        .map_while(|line| line.strip_prefix(";; "))
        .filter(|line| ["load:", "settings:", "validate:"].iter().any(|key| line.starts_with(key)))
        .map(str::to_owned)
        .collect()
}

fn request() -> AdmissionRequest {
    request::requests(MANIFEST, &request::Sender::default()).unwrap().remove(0)
}

fn policy(module: &Module) -> Policy {
    Policy {
        name: "hostile".to_owned(),
        module: module.clone(),
        settings: serde_json::Map::new(),
        mode: Mode::Protect,
        allowed_to_mutate: true,
        message: None,
    }
}

fn outcome(host: &Host, wasm: &[u8]) -> Vec<String> {
    let module = match host.load(wasm) {
        Ok(module) => module,
        Err(error) => return vec![format!("load: {error}")],
    };
    let policy = policy(&module);
    let settings = match policy.validate_settings() {
        Ok(()) => "valid".to_owned(),
        Err(error) => error.to_string(),
    };
    let evaluation = policy.evaluate(&request());
    vec![
        format!("settings: {}", normalised(&settings)),
        format!("validate: {}", normalised(&verdict(&evaluation.response))),
    ]
}

fn verdict(response: &AdmissionResponse) -> String {
    let mut text = if response.allowed { "allowed" } else { "denied" }.to_owned();
    if let Some(status) = &response.status {
        let code = status.code.map_or_else(String::new, |code| format!(" {code}"));
        text = format!("{text}{code}: {}", response.message());
    }
    if let Some(patch) = response.patch_operations() {
        text = format!("{text} patch {patch}");
    }
    text
}

fn normalised(text: &str) -> String {
    let text = match text.split_once("wasm backtrace:") {
        Some((before, _)) => format!("{before}wasm backtrace: …"),
        None => text.to_owned(),
    };
    let mut short = String::new();
    let mut rest = text.as_str();
    while let Some(letter) = rest.chars().next() {
        let run = rest.chars().take_while(|&next| next == letter).count();
        let (same, after) = rest.split_at(run * letter.len_utf8());
        if run < 100 {
            short.push_str(same);
        } else {
            short.push_str(&format!("{{{letter} × {run}}}"));
        }
        rest = after;
    }
    short
}

#[test]
fn every_hostile_module_ends_as_documented() {
    let host = host();
    let mut wrong = Vec::new();
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        let expected = expectations(&text);
        let got = outcome(&host, &wat::parse_str(&text).unwrap());
        if got != expected {
            let name = file.file_name().unwrap().display();
            wrong.push(format!("{name}\n  expected {expected:#?}\n  got      {got:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn evaluate(name: &str, change: impl FnOnce(&mut Policy)) -> Evaluation {
    let file = format!("{}/tests/hostile/{name}.wat", env!("CARGO_MANIFEST_DIR"));
    let module = host().load(&wat::parse_file(file).unwrap()).unwrap();
    let mut policy = policy(&module);
    change(&mut policy);
    policy.evaluate(&request())
}

fn response(allowed: bool) -> serde_json::Value {
    serde_json::json!({"uid": request().uid, "allowed": allowed})
}

#[test]
fn monitor_mode_allows_what_could_not_be_judged() {
    let evaluation = evaluate("trap", |policy| {
        policy.mode = Mode::Monitor;
        policy.message = Some("custom".to_owned());
    });
    assert_eq!(evaluation.failure.unwrap().reason(), "wasm trap: integer divide by zero");
    let got = serde_json::to_value(&evaluation.response).unwrap();
    assert_eq!(got, response(true));
}

#[test]
fn monitor_mode_drops_the_patch_before_anybody_asks_whether_it_may_be() {
    let evaluation = evaluate("mutation-of-everything", |policy| {
        policy.mode = Mode::Monitor;
        policy.allowed_to_mutate = false;
    });
    assert_eq!(evaluation.failure, None);
    let got = serde_json::to_value(&evaluation.response).unwrap();
    assert_eq!(got, response(true));
}

#[test]
fn a_patch_that_may_not_be_is_a_denial_and_keeps_its_text() {
    let evaluation = evaluate("mutation-of-everything", |policy| {
        policy.allowed_to_mutate = false;
        policy.message = Some("custom".to_owned());
    });
    let mut expected = response(false);
    expected["status"] = serde_json::json!({"message": "Request rejected by policy hostile. The policy attempted to mutate the request, but it is currently configured to not allow mutations."});
    let got = serde_json::to_value(&evaluation.response).unwrap();
    assert_eq!(got, expected);
}

#[test]
fn a_custom_message_turns_the_policys_into_a_cause() {
    let evaluation = evaluate("guest-error-returning-0", |policy| {
        policy.message = Some("ask the platform team".to_owned());
    });
    let mut expected = response(false);
    expected["status"] = serde_json::json!({
        "message": "ask the platform team", "code": 500,
        "details": {"causes": [
            {"message": "internal server error: Guest call failure: cannot decide"},
        ]},
    });
    let got = serde_json::to_value(&evaluation.response).unwrap();
    assert_eq!(got, expected);
}

#[test]
fn a_custom_message_has_an_empty_cause_where_the_policy_says_nothing() {
    let evaluation = evaluate("reply-nulls", |policy| {
        policy.message = Some("no".to_owned());
    });
    let mut expected = response(false);
    expected["status"] = serde_json::json!({"message": "no", "details": {"causes": [{"message": ""}]}});
    let got = serde_json::to_value(&evaluation.response).unwrap();
    assert_eq!(got, expected);
}

#[test]
fn a_mutation_without_an_object_is_a_failure() {
    let file = format!("{}/tests/hostile/mutation-of-everything.wat", env!("CARGO_MANIFEST_DIR"));
    let module = host().load(&wat::parse_file(file).unwrap()).unwrap();
    let mut request = request();
    request.object = None;
    let evaluation = policy(&module).evaluate(&request);
    let mut expected = response(false);
    expected["status"] = serde_json::json!({"message": "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed"});
    assert_eq!(serde_json::to_value(&evaluation.response).unwrap(), expected);
    assert_eq!(evaluation.failure, Some(Failure::MutatedNothing));
}

#[test]
fn a_request_above_two_mebibytes_never_reaches_the_policy() {
    let mut large = request();
    large.name = Some("n".repeat(2 << 20));
    let module = host().load(&wat::parse_str(include_str!("hostile/success-is-not-zero.wat")).unwrap()).unwrap();
    let evaluation = policy(&module).evaluate(&large);
    assert!(!evaluation.response.allowed);
    assert_eq!(
        evaluation.response.message(),
        "the request has 2097653 bytes; a policy-server refuses more than 2097152 (HTTP 413)"
    );
}

#[test]
fn an_instance_that_trapped_can_be_called_again() {
    let module = host().load(&wat::parse_str(include_str!("hostile/trap.wat")).unwrap()).unwrap();
    let mut instance = module.instantiate().unwrap();
    for _ in 0..3 {
        let error = instance.call("validate", b"{}").unwrap_err();
        assert_eq!(error.reason(), "wasm trap: integer divide by zero");
    }
}

#[test]
fn a_compiler_that_takes_too_long_is_not_waited_for() {
    // Some hundred milliseconds of work.
    let text = format!("(module (func {}))", "(drop (i32.load (i32.const 0)))".repeat(30_000));
    let text = text.replace("(module", "(module (memory 1)");
    let limits = Limits { compilation: Duration::from_millis(1), ..Limits::default() };
    let error = Host::new(limits).unwrap().load(&wat::parse_str(text).unwrap()).err();
    assert_eq!(error, Some(LoadError::TooSlow(Duration::from_millis(1))));
    assert_eq!(error.unwrap().to_string(), "compiling takes more than 0.001 s, the limit");
}
