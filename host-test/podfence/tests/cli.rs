//! The command as a user meets it: its answers, its exit codes, and what it says to bad input.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use podfence_fixtures::discover;
use podfence_scan::custom_kinds;
use podfence_support::{Printed, Workplace, escaped, policies};
use serde_json::{Value, json};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n";

/// Accepts settings and requests, and tells its protocol version.
const ACCEPTS: &str = r#"{"valid":true,"accepted":true}"#;
const REJECTS: &str = r#"{"valid":true,"accepted":false,"message":"no \u001b[31mway","code":403}"#;
const MUTATES: &str = r#"{"valid":true,"accepted":true,"mutated_object":{"kind":"Pod"},"warnings":["changed"]}"#;
const REFUSES: &str = r#"{"valid":false,"message":"unknown key `x`"}"#;
const SKIPS: &str = r#"{"valid":true,"accepted":true,"audit_annotations":{"skipped":"exemptNames"}}"#;
const BREAKS: &str = r#"{"valid":true}"#;

/// A directory with a module for each of the replies above, and a few inputs.
fn workplace() -> Workplace {
    let workplace = Workplace::new(env!("CARGO_BIN_EXE_podfence"));
    for (name, reply) in [
        ("accepts", ACCEPTS),
        ("rejects", REJECTS),
        ("mutates", MUTATES),
        ("refuses", REFUSES),
        ("skips", SKIPS),
        ("breaks", BREAKS),
    ] {
        workplace.write(&format!("{name}.wasm"), replying(reply, ""));
    }
    workplace.write("pod.yaml", POD);
    workplace
}

/// A module that gives this reply to everything but `protocol_version`.
fn replying(reply: &str, more: &str) -> Vec<u8> {
    module(reply, reply, more)
}

/// A module that tells `validate_settings` (17 letters) from `protocol_version` (16) and `validate`.
fn module(settings: &str, validate: &str, more: &str) -> Vec<u8> {
    let (settings_data, settings_length) = (escaped(settings), settings.len());
    let (validate_data, validate_length) = (escaped(validate), validate.len());
    let text = format!(
        r#"(module
          (import "wapc" "__guest_response" (func $response (param i32 i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "\"v1\"")
          (data (i32.const 4096) "{settings_data}")
          (data (i32.const 8192) "{validate_data}")
          {more}
          (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
            (block $replied
              (call $response (i32.const 0) (i32.const 4))
              (br_if $replied (i32.eq (local.get $operation) (i32.const 16)))
              (call $response (i32.const 4096) (i32.const {settings_length}))
              (br_if $replied (i32.eq (local.get $operation) (i32.const 17)))
              (call $response (i32.const 8192) (i32.const {validate_length})))
            (i32.const 1)))"#
    );
    wat::parse_str(text).unwrap()
}

fn run<'a>(module: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["run", module, "-r", "pod.yaml"], more].concat()
}

#[test]
fn run_answers_in_a_word_and_an_exit_code() {
    let workplace = workplace();
    for (module, code, expected) in [
        ("accepts.wasm", 0, "allowed\n"),
        ("rejects.wasm", 1, "denied: no \\u{1b}[31mway\n"),
        (
            "mutates.wasm",
            0,
            "allowed\n  warning: changed\n  \
             patch: {\"op\":\"remove\",\"path\":\"/apiVersion\"}\n  \
             patch: {\"op\":\"remove\",\"path\":\"/metadata\"}\n",
        ),
        ("breaks.wasm", 2, "denied, could not judge: invalid response: missing field `accepted` at line 1 column 14\n"),
    ] {
        let (out, error) = workplace.ends(&run(module, &[]), code);
        assert_eq!((out.as_str(), error.as_str()), (expected, ""), "{module}");
    }
}

#[test]
fn run_gives_the_admission_response_as_json() {
    let workplace = workplace();
    let (out, _) = workplace.ends(&run("rejects.wasm", &["-o", "json"]), 1);
    let entry: Value = serde_json::from_str(&out).unwrap();
    let response = json!({
        "uid": "00000000-0000-4000-8000-000000000001", "allowed": false,
        "status": {"message": "no \u{1b}[31mway", "code": 403},
    });
    let expected = json!({
        "apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web", "verdict": "denied",
        "answers": [{"mode": "protect", "response": response}],
    });
    assert_eq!(entry, expected);
    assert_eq!(out.lines().count(), 1);
}

#[test]
fn run_applies_modes_messages_and_the_mutation_check() {
    let workplace = workplace();
    for (arguments, code, expected) in [
        (
            run("rejects.wasm", &["--mode", "monitor"]),
            0,
            "allowed by mode monitor; protect would deny: no \\u{1b}[31mway\n",
        ),
        (
            run("breaks.wasm", &["--mode", "monitor"]),
            2,
            "allowed, could not judge: invalid response: missing field `accepted` at line 1 column 14\n",
        ),
        (run("rejects.wasm", &["--message", "ask us"]), 1, "denied: ask us\n  cause: no \\u{1b}[31mway\n"),
        (
            run("mutates.wasm", &["--allowed-to-mutate=false"]),
            1,
            "denied: Request rejected by policy mutates. The policy attempted to mutate the request, but it is currently configured to not allow mutations.\n  warning: changed\n",
        ),
    ] {
        let (out, _) = workplace.ends(&arguments, code);
        assert_eq!(out, expected, "{arguments:?}");
    }
}

#[test]
fn metadata_says_whether_a_policy_mutates_unless_the_user_does() {
    let workplace = workplace();
    let annotated = r#"(@custom "io.kubewarden.metadata" "{\"protocolVersion\":\"v1\",\"mutating\":false}")"#;
    workplace.write("annotated.wasm", replying(MUTATES, annotated));
    workplace.ends(&run("annotated.wasm", &[]), 1);
    workplace.ends(&run("annotated.wasm", &["--allowed-to-mutate"]), 0);
}

#[test]
fn run_judges_every_document_and_exits_with_the_worst() {
    let workplace = workplace();
    let mut child = workplace
        .command(&["run", "accepts.wasm", "-r", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!("{POD}---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {{generateName: \"a\\eb-\"}}\n");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let Printed { code, out, .. } = Printed::of(child.wait_with_output().unwrap());
    assert_eq!(code, Some(0), "{out}");
    assert_eq!(
        out,
        "Pod default/web: allowed\nPersistentVolume a\\u{1b}b-: allowed\njudged 2 of 2 objects: 2 allowed\n"
    );
}

#[test]
fn run_refuses_settings_as_a_server_does_at_start() {
    let workplace = workplace();
    workplace.write("two.yaml", b"a: 1\n---\nb: 2\n");
    workplace.write("comment.yaml", b"# all defaults\n");
    workplace.ends(&run("accepts.wasm", &["-s", "comment.yaml"]), 0);
    workplace.ends(&run("accepts.wasm", &["-s", "{\"a\": 1}"]), 0);
    for (arguments, expected) in [
        (run("refuses.wasm", &[]), "error: refuses.wasm: invalid settings: unknown key `x`\n"),
        (run("accepts.wasm", &["-s", "[1]"]), "error: --settings: settings must be an object, found a list\n"),
        (run("accepts.wasm", &["-s", "two.yaml"]), "error: two.yaml: 2 documents; settings are one\n"),
        (
            run("accepts.wasm", &["-s", "none.yaml"]),
            "error: --settings: found \"none.yaml\", which is not a file; expected a file, or an object with the policy's \
             settings, such as '{NAME: VALUE}'\n",
        ),
        (
            run("accepts.wasm", &["-s", " "]),
            "error: --settings: settings are empty; expected a file, or an object with the policy's settings, such as \
             '{NAME: VALUE}'\n",
        ),
    ] {
        assert_eq!(workplace.fails(2, &arguments), expected, "{arguments:?}");
    }
}

#[test]
fn a_deadline_ends_an_endless_module() {
    let workplace = workplace();
    let endless = wat::parse_str(include_str!("../../host/tests/hostile/loop-in-validate.wat")).unwrap();
    workplace.write("endless.wasm", &endless);
    let (out, _) = workplace.ends(&run("endless.wasm", &["--timeout", "0.05"]), 2);
    assert_eq!(
        out,
        "denied, could not judge: Policy execution interrupted because it exceeded the allowed execution time\n"
    );
}

#[test]
fn a_long_message_is_cut_for_a_person_and_whole_for_a_program() {
    let workplace = workplace();
    let talkative = wat::parse_str(include_str!("../../host/tests/hostile/megabyte-of-message.wat")).unwrap();
    workplace.write("talkative.wasm", &talkative);
    let (out, _) = workplace.ends(&run("talkative.wasm", &[]), 1);
    assert_eq!(out, format!("denied: {}… (1048576 bytes in all)\n", "m".repeat(8192)));
    let (out, _) = workplace.ends(&run("talkative.wasm", &["-o", "json"]), 1);
    assert!(out.len() > 1 << 20);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let workplace = workplace();
    let talkative = wat::parse_str(include_str!("../../host/tests/hostile/megabyte-of-message.wat")).unwrap();
    workplace.write("talkative.wasm", &talkative);
    let arguments = run("talkative.wasm", &["-o", "json"]);
    let mut child = workplace.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let Printed { code, error, .. } = Printed::of(child.wait_with_output().unwrap());
    assert_eq!(code, Some(2), "{error}");
    assert_eq!(error, "");
}

/// Files that are neither modules nor requests, with what is said about each.
fn bad_files(workplace: &Workplace) -> Vec<(&'static str, &'static str, &'static str)> {
    const NOT_WASM: &str = "not a wasm module: it does not start with the bytes `\\0asm` and version 1";
    workplace.write("empty", b"");
    workplace.write("broken.yaml", b"a: 1\n b: [\n");
    workplace.write("broken.json", b"{\"a\": 1,\n \"b\" 2}");
    workplace.write("twice.yaml", b"kind: Pod\nkind: Pod\n");
    workplace.write("text.yaml", b"just text\n");
    workplace.write("component", b"\0asm\x0d\0\x01\0");
    fs::create_dir(workplace.path("directory")).unwrap();
    let large = fs::File::create(workplace.path("large")).unwrap();
    large.set_len(100_000_000).unwrap();
    vec![
        ("missing.yaml", "No such file or directory (os error 2)", "No such file or directory (os error 2)"),
        ("empty", "is empty", "is empty"),
        ("directory", "is a directory", "is a directory"),
        ("large", "is larger than 64 MiB, the limit", "is larger than 16 MiB, the limit"),
        ("broken.yaml", NOT_WASM, "line 2, column 3: mapping values are not allowed in this context"),
        ("broken.json", NOT_WASM, "line 2, column 6: JSON: found '2', expected `:`"),
        ("twice.yaml", NOT_WASM, "line 2, column 1: found the key \"kind\" twice in an object, expected it once"),
        ("text.yaml", NOT_WASM, "document 1: not an object"),
        (
            "component",
            "a WebAssembly component, not a module: policies are core modules that speak waPC",
            "line 1, column 1: control characters are not allowed: found U+0000",
        ),
    ]
}

#[test]
fn every_command_explains_bad_files() {
    let workplace = workplace();
    for (file, module_error, document_error) in bad_files(&workplace) {
        let as_module = format!("error: {file}: {module_error}\n");
        assert_eq!(workplace.fails(2, &["run", file, "-r", "pod.yaml"]), as_module);
        let as_document = format!("error: {file}: {document_error}\n");
        assert_eq!(workplace.fails(2, &["run", "accepts.wasm", "-r", file]), as_document);
        assert_eq!(workplace.fails(2, &["bench", "accepts.wasm", "-r", file]), as_document);
    }
}

#[test]
fn explain_prints_the_readme_of_a_policy() {
    let workplace = workplace();
    for (name, readme) in readmes() {
        let (out, error) = workplace.ends(&["explain", &name], 0);
        let (comment, text) = readme.split_once("\n\n").unwrap();
        assert!(comment.starts_with("<!-- Generated "), "{comment}");
        assert_eq!(out, text);
        assert_eq!(error, "");
    }
}

#[test]
fn explain_lists_the_policies() {
    let (out, _) = workplace().ends(&["explain"], 0);
    let mut lines = out.lines();
    assert_eq!(lines.next().map(str::trim_start), Some("policy                       what it enforces"));
    assert!(lines.next().is_some_and(|rule| rule.chars().all(|character| character == '─')));
    let names: Vec<String> = readmes().into_iter().map(|(name, _)| name).collect();
    let listed: Vec<&str> = lines.clone().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(listed, names);
    let line = lines.find(|line| line.trim_start().starts_with("privileged ")).unwrap();
    assert_eq!(line.trim_start(), "privileged                   Rejects privileged containers");
}

#[test]
fn explain_takes_the_names_that_denials_and_findings_show() {
    let workplace = workplace();
    let whole = "pod-security-standards";
    for (name, policy, note) in [
        ("hostPathVolumes", "host-path", "is a control of host-path and pod-security-standards"),
        ("groups", "role-bindings", "is a control of role-bindings"),
        ("restricted", whole, "is a level of pod-security-standards"),
        ("baseline", whole, "is a level of pod-security-standards"),
        ("podfence-privileged", "privileged", "runs the policy privileged"),
        (
            "clusterwide-podfence-capabilities-check.kubewarden.admission",
            "capabilities",
            "runs the policy capabilities",
        ),
        ("ClusterAdmissionPolicy/podfence-images", "images", "runs the policy images"),
        (
            "podfence-restricted",
            whole,
            "decides a level of the Pod Security Standards, as the policy pod-security-standards",
        ),
        (
            "clusterwide-group-podfence-baseline-group",
            whole,
            "decides a level of the Pod Security Standards, as the policy pod-security-standards",
        ),
    ] {
        let (out, error) = workplace.ends(&["explain", name], 0);
        assert!(out.starts_with(&format!("# {policy}\n")), "{name}: {out}");
        assert_eq!(error, format!("note: {name} {note}\n"));
    }
    for (name, expected) in [
        ("priviledged", "unknown policy or control \"priviledged\", did you mean `privileged`?"),
        ("hostPathVolume", "unknown policy or control \"hostPathVolume\", did you mean `hostPathVolumes`?"),
        ("nope", "unknown policy or control \"nope\"; `podfence explain` lists the policies"),
    ] {
        assert_eq!(workplace.fails(2, &["explain", name]), format!("error: {expected}\n"));
    }
}

/// The policies with their READMEs.
fn readmes() -> Vec<(String, String)> {
    let read = |name: String| {
        let readme = fs::read_to_string(policies().join(&name).join("README.md")).unwrap();
        (name, readme)
    };
    discover(&policies()).unwrap().into_iter().map(read).collect()
}

#[test]
fn inspect_explains_files_that_are_no_module() {
    let workplace = workplace();
    for (file, module_error, _) in bad_files(&workplace) {
        if ["missing.yaml", "empty", "directory", "large"].contains(&file) {
            assert_eq!(workplace.fails(2, &["inspect", file]), format!("error: {file}: {module_error}\n"));
            continue;
        }
        let (out, _) = workplace.ends(&["inspect", file], 1);
        let end = format!("obstacle  {module_error}\na policy-server would not load it\n");
        assert!(out.ends_with(&end), "{out}");
    }
}

#[test]
fn settings_files_are_explained_too() {
    let workplace = workplace();
    for (file, _, error) in bad_files(&workplace) {
        if ["text.yaml", "component"].contains(&file) {
            continue;
        }
        let expected = match file {
            "missing.yaml" => {
                "error: --settings: found \"missing.yaml\", which is not a file; expected a file, or an object with the policy's \
                 settings, such as '{NAME: VALUE}'\n"
                    .to_owned()
            }
            file => format!("error: {file}: {error}\n"),
        };
        assert_eq!(workplace.fails(2, &run("accepts.wasm", &["-s", file])), expected);
    }
    let expected = "error: text.yaml: settings must be an object, found a string\n";
    assert_eq!(workplace.fails(2, &run("accepts.wasm", &["-s", "text.yaml"])), expected);
}

#[test]
fn inspect_tells_what_a_module_is() {
    let workplace = workplace();
    let annotated = r#"(@custom "io.kubewarden.metadata" "{\"protocolVersion\":\"v1\",\"mutating\":true,\"rules\":[]}")
        (@custom "io.kubewarden.metadata" "the second one does not count")"#;
    workplace.write("annotated.wasm", replying("{}", annotated));
    let (out, _) = workplace.ends(&["inspect", "annotated.wasm", "-o", "json"], 0);
    let mut inspection: Value = serde_json::from_str(&out).unwrap();
    let bytes = fs::metadata(workplace.path("annotated.wasm")).unwrap().len();
    assert_eq!(inspection["bytes"].take(), json!(bytes));
    assert_eq!(inspection["sha256"].take().as_str().unwrap().len(), 64);
    let expected = json!({
        "bytes": null,
        "sha256": null,
        "abi": "wapc",
        "imports": [{"module": "wapc", "name": "__guest_response", "type": "(i32, i32) -> ()"}],
        "exports": [
            {"name": "memory", "type": "a memory"},
            {"name": "__guest_call", "type": "(i32, i32) -> i32"},
        ],
        "memory": {"initial": 65536, "maximum": null},
        "metadata": {"protocolVersion": "v1", "mutating": true, "rules": []},
        "protocolVersion": "v1",
        "obstacles": [],
        "notes": [
            "2 sections io.kubewarden.metadata: the first one counts",
            "metadata: rules: expected a list with a rule in it",
        ],
    });
    assert_eq!(inspection, expected);
}

#[test]
fn inspect_tells_what_a_module_for_opa_answers() {
    let workplace = workplace();
    workplace.write("privileged.wasm", podfence_support::opa_module("privileged"));
    let (out, _) = workplace.ends(&["inspect", "privileged.wasm"], 0);
    for line in [
        "memory    320 KiB, no maximum\n",
        "query     podfence/privileged/violation 0\n",
        "import    env.opa_abort (i32) -> ()\n",
        "OPA and other hosts of its modules would load it\n",
    ] {
        assert!(out.contains(line), "{line}{out}");
    }
    let foreign = r#"(module (import "env" "memory" (memory 2)) (import "env" "clock" (func))
        (export "memory" (memory 0)) (func (export "eval")))"#;
    workplace.write("foreign.wasm", wat::parse_str(foreign).unwrap());
    let (out, _) = workplace.ends(&["inspect", "foreign.wasm"], 1);
    let end = "obstacle  unknown imports: env::clock\nOPA and other hosts of its modules would not load it\n";
    assert!(out.ends_with(end), "{out}");
}

#[test]
fn inspect_shows_metadata_in_lines() {
    let workplace = workplace();
    let metadata = json!({
        "protocolVersion": "v1",
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods", "pods/log"], "operations": ["CREATE"]},
            {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["*", "x"], "operations": ["*"]},
            {"apiGroups": ["apps"], "apiVersions": [], "resources": "pods", "operations": [1]},
        ],
        "mutating": false,
        "contextAwareResources": [],
        "annotations": {"title": "a", "usage": "\n# a\n\nWhat\u{1b} it is.\n"},
    });
    let section = metadata.to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let section = format!(r#"(@custom "io.kubewarden.metadata" "{section}")"#);
    workplace.write("annotated.wasm", replying("{}", &section));
    let (out, _) = workplace.ends(&["inspect", "annotated.wasm"], 0);
    let (_, lines) = out.split_once("metadata  ").unwrap();
    let expected = r#"protocolVersion: v1
metadata  rule: CREATE of pods, pods/log in v1
metadata  rule: * of *, x in apps/v1
metadata  rule: {"apiGroups":["apps"],"apiVersions":[],"resources":"pods","operations":[1]}
metadata  mutating: false
metadata  contextAwareResources: []
metadata  title: a
metadata  usage: # a … and 2 more lines
note      metadata: rules[0]: pods/log with CREATE: the audit scanner knows no subresources; give it a rule of its own with UPDATE
note      metadata: rules[1].resources: expected "*" alone
note      metadata: rules[2].apiVersions: expected a list with a text in it
note      metadata: rules[2].resources: expected a list with a text in it
note      metadata: rules[2].operations: expected a list with a text in it
a policy-server would load it
"#;
    assert_eq!(lines, expected);
}

#[test]
fn inspect_says_why_a_server_would_not_load_a_module() {
    let workplace = workplace();
    let metadata = |text: &str| format!(r#"(@custom "io.kubewarden.metadata" "{}")"#, text.replace('"', "\\\""));
    for (more, obstacle) in [
        (metadata(r#"{"mutating":false}"#), "metadata: protocolVersion is not v1"),
        (metadata(r#"{"protocolVersion":"v1"}"#), "metadata: mutating is not a boolean"),
        (
            metadata(r#"{"protocolVersion":"v1","mutating":false,"executionMode":"opa"}"#),
            "metadata: executionMode opa is not waPC",
        ),
        (metadata("no JSON"), "section io.kubewarden.metadata is not JSON: expected ident at line 1 column 2"),
        (
            r#"(func (export "_start") (unreachable))"#.to_owned(),
            "it does not start: wasm trap: wasm `unreachable` instruction executed",
        ),
        (r#"(func (export "_start") (param i32))"#.to_owned(), "export `_start` is (i32) -> (), not () -> ()"),
    ] {
        workplace.write("module.wasm", replying("{}", &more));
        let (out, _) = workplace.ends(&["inspect", "module.wasm"], 1);
        let end = format!("obstacle  {obstacle}\na policy-server would not load it\n");
        assert!(out.ends_with(&end), "{out}");
    }
}

#[test]
fn bench_compares_with_the_no_op_module_and_with_another() {
    let workplace = workplace();
    let arguments = ["bench", "accepts.wasm", "--vs", "rejects.wasm", "--rounds", "1", "-o", "json"];
    let (out, _) = workplace.ends(&arguments, 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["vs"]["name"], "rejects");
    assert_eq!(report["vs"]["accepted"], false);
    let figures = &report["modules"][0];
    assert_eq!(figures["name"], "accepts");
    assert_eq!(figures["peakMemory"], 65536);
    for figure in ["freshUs", "reusedUs"] {
        assert!(figures[figure]["p99"].as_f64() >= figures[figure]["p50"].as_f64());
    }
    assert_eq!(figures["toVs"]["fuel"], 1.0);
    assert!(figures["toNoOp"]["fresh"]["p50"].is_number());
    assert_eq!(report["startUp"]["modules"], 1);
    assert!(report["startUp"]["toNoOp"].is_number());
}

#[test]
fn bench_shows_tables() {
    let workplace = workplace();
    let (out, error) = workplace.ends(&["bench", "accepts.wasm", "--rounds", "1", "--large"], 0);
    assert!(out.starts_with("payload 20"), "{out}");
    assert!(out.contains("\nmultiples of the no-op module\n"), "{out}");
    assert!(out.contains("\nstart-up of all modules: "), "{out}");
    assert!(out.ends_with(" ms of as many no-op modules\n"), "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
    assert_eq!(error, "");
}

#[test]
fn bench_names_the_module_that_fails() {
    let workplace = workplace();
    workplace.write("trap.wasm", wat::parse_str(include_str!("../../host/tests/hostile/trap.wat")).unwrap());
    let expected = "error: trap: wasm trap: integer divide by zero\n";
    assert_eq!(workplace.fails(2, &["bench", "accepts.wasm", "trap.wasm"]), expected);
    workplace.write("list.yaml", format!("{POD}---\n{POD}").as_bytes());
    let expected = "error: list.yaml: 2 requests; one is measured\n";
    assert_eq!(workplace.fails(2, &["bench", "accepts.wasm", "-r", "list.yaml"]), expected);
}

#[test]
fn test_says_what_is_missing() {
    let workplace = workplace();
    let policy = workplace.path("policies/privileged");
    fs::create_dir_all(&policy).unwrap();
    let modules = workplace.path("target/policies");
    let in_a_clone = "run it in a clone of Podfence's repository, or name a directory of policies with --policies\n";
    let expected = format!("error: policies: no directory in it holds fixtures.yaml; {in_a_clone}");
    assert_eq!(workplace.fails(2, &["test"]), expected);

    fs::write(policy.join("fixtures.yaml"), "").unwrap();
    let expected = "error: no module for policy `privileged` at target/policies/privileged.wasm: run `make all`\n";
    assert_eq!(workplace.fails(2, &["test"]), expected);
    let expected = "error: unknown policy \"priviledged\", did you mean `privileged`?\n";
    assert_eq!(workplace.fails(2, &["test", "priviledged"]), expected);

    fs::create_dir_all(&modules).unwrap();
    fs::write(modules.join("gone.wasm"), "").unwrap();
    let expected =
        "error: target/policies/gone.wasm does not belong to a policy: remove it, or add the policy's fixtures.yaml\n";
    assert_eq!(workplace.fails(2, &["test"]), expected);

    fs::write(modules.join("privileged.wasm"), "text").unwrap();
    let expected = "error: target/policies/privileged.wasm: not a wasm module: it does not start with the bytes `\\0asm` and version 1\n";
    assert_eq!(workplace.fails(2, &["test", "privileged"]), expected);
    let expected = format!("error: nowhere: no such directory; {in_a_clone}");
    assert_eq!(workplace.fails(2, &["test", "--policies", "nowhere"]), expected);
}

/// A policy that accepts everything, with one fixture that says so and one that does not.
fn credulous(workplace: &Workplace) {
    let policy = workplace.path("policies/credulous");
    fs::create_dir_all(&policy).unwrap();
    fs::create_dir_all(workplace.path("target/policies")).unwrap();
    let fixtures = "- name: anything goes\n  pod: {containers: [{name: a}]}\n  accept: true\n\
                    - name: not everything goes\n  pod: {containers: [{name: b}]}\n  reject: [no way]\n";
    fs::write(policy.join("fixtures.yaml"), fixtures).unwrap();
    let accepts = module(r#"{"valid":true}"#, r#"{"accepted":true}"#, "");
    workplace.write("target/policies/credulous.wasm", &accepts);
}

#[test]
fn test_reports_what_is_not_as_expected() {
    let workplace = workplace();
    credulous(&workplace);
    let (out, error) = workplace.ends(&["test", "--format", "json"], 1);
    assert_eq!(error, "");
    let report: Value = serde_json::from_str(&out).unwrap();
    let (passed, failed) = (report["passed"].as_u64().unwrap(), report["failed"].as_u64().unwrap());
    let replays = report["policies"][0]["replays"].as_array().unwrap();
    assert_eq!(replays.len() as u64, passed + failed);
    for replay in replays {
        let expected = replay["mismatch"]["expected"].as_str().unwrap_or("no way");
        assert!(expected.contains("no way"), "{replay}");
    }

    let (out, _) = workplace.ends(&["test"], 1);
    assert!(out.starts_with("FAILED credulous: not everything goes ("), "{out}");
    assert!(out.ends_with(&format!("\n{passed} passed, {failed} failed\n")), "{out}");
    let (out, _) = workplace.ends(&["test", "--format", "tap"], 1);
    assert!(out.starts_with(&format!("TAP version 14\n1..{}\n", passed + failed)), "{out}");
    let (out, _) = workplace.ends(&["test", "--format", "junit"], 1);
    let counts = format!(r#"tests="{}" skipped="0" failures="{failed}" errors="0""#, passed + failed);
    assert!(out.contains(&counts), "{out}");
}

#[test]
fn test_runs_what_is_asked_for() {
    let workplace = workplace();
    credulous(&workplace);
    let (out, _) = workplace.ends(&["test", "credulous", "--filter", "anything goes"], 0);
    assert!(out.ends_with(" passed, 0 failed\n"), "{out}");
    let expected = "error: no fixture contains `absent`\n";
    assert_eq!(workplace.fails(2, &["test", "--filter", "absent"]), expected);
}

#[test]
fn test_explains_broken_fixtures() {
    let workplace = workplace();
    credulous(&workplace);
    workplace.write("policies/credulous/fixtures.yaml", b"- name: [\n");
    let error = workplace.fails(2, &["test"]);
    assert!(error.starts_with("error: policies/credulous/fixtures.yaml"), "{error}");
}

/// A policy, or with `and` a group, of the modules in the directory, as a document.
fn document(name: &str, mode: &str, module: &str, and: Option<&str>) -> String {
    let rules = "[{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}]";
    let (kind, spec) = match and {
        None => ("ClusterAdmissionPolicy", format!("module: 'registry://registry.example.com:5000/x/{module}:v1'")),
        Some(other) => (
            "ClusterAdmissionPolicyGroup",
            format!(
                "message: rejected, expression: {module}() && {other}(), policies: {{{module}: {{module: '{module}@sha256:0'}}, \
                 {other}: {{module: 'file:///{other}.wasm'}}}}"
            ),
        ),
    };
    format!(
        "{{apiVersion: policies.kubewarden.io/v1, kind: {kind}, metadata: {{name: {name}}}, \
         spec: {{mode: {mode}, rules: {rules}, {spec}}}}}\n"
    )
}

#[test]
fn run_judges_by_the_documents_of_a_cluster() {
    let workplace = workplace();
    fs::create_dir(workplace.path("deploy")).unwrap();
    let documents = [
        ("a.yaml", document("a", "protect", "accepts", None)),
        ("b.yml", document("b", "monitor", "rejects", None)),
        ("c.json", document("c", "protect", "accepts", Some("rejects"))),
        ("d.yaml", document("d", "protect", "accepts", Some("mutates"))),
        ("kustomization.yaml", "kind: Kustomization\nresources: [a.yaml]\n".to_owned()),
        ("README.md", "no document".to_owned()),
    ];
    for (name, text) in &documents {
        workplace.write(&format!("deploy/{name}"), text.as_bytes());
    }
    let run = ["run", "--policies", "deploy", "--modules", "."];
    let (out, _) = workplace.ends(&[&run[..], &["-r", "pod.yaml"]].concat(), 1);
    let expected = "ClusterAdmissionPolicy/a: allowed\n\
                    ClusterAdmissionPolicy/b: allowed by mode monitor; protect would deny: no \\u{1b}[31mway\n\
                    ClusterAdmissionPolicyGroup/c: denied: rejected\n  cause: spec.policies.rejects: no \\u{1b}[31mway\n\
                    ClusterAdmissionPolicyGroup/d: denied: rejected\n  cause: spec.policies.mutates: mutation is not \
                    allowed inside of policy group\n";
    assert_eq!(out, expected);
    let (out, _) = workplace.ends(&[&run[..], &["-r", "pod.yaml", "--mode", "monitor", "-o", "json"]].concat(), 0);
    let entry: Value = serde_json::from_str(&out).expect("one object, one line");
    let uid = "00000000-0000-4000-8000-000000000001";
    let allowed = json!({"uid": uid, "allowed": true});
    let answer =
        |name: &str| json!({"policy": format!("ClusterAdmission{name}"), "mode": "monitor", "response": allowed});
    let denied = |name: &str, status: Value| {
        let mut answer = answer(name);
        answer["inProtect"] = json!({"uid": uid, "allowed": false, "status": status});
        answer
    };
    let group = |member: &str, cause: &str| {
        let field = format!("spec.policies.{member}");
        json!({"message": "rejected", "details": {"causes": [{"field": field, "message": cause}]}})
    };
    let expected = json!({
        "apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web", "verdict": "allowed",
        "answers": [
            answer("Policy/a"),
            denied("Policy/b", json!({"message": "no \u{1b}[31mway", "code": 403})),
            denied("PolicyGroup/c", group("rejects", "no \u{1b}[31mway")),
            denied("PolicyGroup/d", group("mutates", "mutation is not allowed inside of policy group")),
        ],
    });
    assert_eq!(entry, expected);

    workplace.write(
        "other.yaml",
        b"{apiVersion: v1, kind: Service, metadata: {name: s}}\n---\n{apiVersion: v1, kind: Pod}\n",
    );
    workplace.write("monitor.yaml", document("m", "monitor", "rejects", None).as_bytes());
    let (out, _) = workplace.ends(&["run", "--policies", "monitor.yaml", "--modules", ".", "-r", "other.yaml"], 0);
    let expected = "Service default/s: not judged: no policy's rules, selectors and conditions match it\n\
         Pod default/(no name): ClusterAdmissionPolicy/m: allowed by mode monitor; protect would deny: no \\u{1b}[31mway\n\
         judged 1 of 2 objects: 1 allowed; 1 by no policy\n";
    assert_eq!(out, expected);
}

#[test]
fn what_nothing_judged_is_no_success() {
    let workplace = workplace();
    let error = "error: nothing was judged: no policy matches the request, or all of it was skipped\n";
    let output = workplace.ends(&run("skips.wasm", &[]), 2);
    assert_eq!(output, ("allowed, not judged: exemptNames\n".to_owned(), error.to_owned()));

    workplace.write("service.yaml", b"{apiVersion: v1, kind: Service, metadata: {name: s}}\n");
    workplace.write("a.yaml", document("a", "protect", "accepts", None).as_bytes());
    let run = ["run", "--policies", "a.yaml", "--modules", ".", "-r"];
    let output = workplace.ends(&[&run[..], &["service.yaml"]].concat(), 2);
    workplace.ends(&[&run[..], &["service.yaml", "--allow-empty"]].concat(), 0);
    assert_eq!(
        output,
        ("not judged: no policy's rules, selectors and conditions match it\n".to_owned(), error.to_owned())
    );
}

/// A ClusterAdmissionPolicy of one of Podfence's modules.
fn policy(name: &str, module: &str, spec: &str) -> String {
    let rules = "[{apiGroups: ['', apps], apiVersions: [v1], resources: [pods, pods/ephemeralcontainers, deployments], \
                 operations: [CREATE, UPDATE]}]";
    format!(
        "---\n{{apiVersion: policies.kubewarden.io/v1, kind: ClusterAdmissionPolicy, metadata: {{name: {name}}}, \
         spec: {{rules: {rules}, module: 'ghcr.io/podfence/{module}:v1', {spec}}}}}\n"
    )
}

#[test]
fn documents_are_asked_as_an_api_server_asks_them() {
    let workplace = workplace();
    for module in ["capabilities", "allow-privilege-escalation", "pod-security-standards", "privileged"] {
        workplace.write(&format!("{module}.wasm"), podfence_support::module(module));
    }
    let capabilities =
        "mutating: true, settings: {mutate: true, requiredDropCapabilities: [ALL], allowedCapabilities: ['*']}";
    let escalation = "mutating: true, settings: {mutate: true}";
    let baseline = "settings: {level: baseline}";
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}\n";
    let privileged = pod.replace("image: i", "image: i, securityContext: {privileged: true}");
    let deployment = "{apiVersion: extensions/v1beta1, kind: Deployment, metadata: {name: d}, spec: {template: {spec: \
                      {containers: [{name: c, image: i, securityContext: {privileged: true}}]}}}}\n";
    let selector = "namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [a]}]}";
    let labels = "namespaceSelector: {matchLabels: {team: a}}";
    let namespace = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}\n";
    let denial = "violates PodSecurity \"baseline:latest\": privileged (container \"c\" must not set \
                  securityContext.privileged=true)";
    workplace.write("namespaces.yaml", namespace);
    let none: &[&str] = &[];
    let cases = [
        // The names decide who is first; each patch is of what the one before made.
        (
            policy("a", "pod-security-standards", baseline) + &policy("z", "capabilities", capabilities)
                + &policy("b", "allow-privilege-escalation", escalation),
            pod.to_owned(),
            none,
            0,
            "ClusterAdmissionPolicy/b: allowed\n  \
             patch: {\"op\":\"add\",\"path\":\"/spec/containers/0/securityContext\",\"value\":{\"allowPrivilegeEscalation\":false}}\n\
             ClusterAdmissionPolicy/z: allowed\n  \
             patch: {\"op\":\"add\",\"path\":\"/spec/containers/0/securityContext/capabilities\",\"value\":{\"drop\":[\"ALL\"]}}\n\
             ClusterAdmissionPolicy/a: allowed\n".to_owned(),
            "",
        ),
        (
            policy("m", "capabilities", &format!("mode: monitor, {capabilities}")),
            pod.to_owned(),
            none,
            0,
            "ClusterAdmissionPolicy/m: allowed by mode monitor; protect would change it\n  \
             patch in protect: {\"op\":\"add\",\"path\":\"/spec/containers/0/securityContext\",\"value\":{\"capabilities\":{\"drop\":[\"ALL\"]}}}\n".to_owned(),
            "",
        ),
        // What protect would say is said of what protect would have made.
        (
            policy("a", "capabilities", &format!("mode: monitor, {capabilities}"))
                + &policy("b", "allow-privilege-escalation", &format!("mode: monitor, {escalation}"))
                + &policy("c", "capabilities", "mode: monitor, settings: {requiredDropCapabilities: [ALL], allowedCapabilities: ['*']}"),
            pod.to_owned(),
            none,
            0,
            "ClusterAdmissionPolicy/a: allowed by mode monitor; protect would change it\n  \
             patch in protect: {\"op\":\"add\",\"path\":\"/spec/containers/0/securityContext\",\"value\":{\"capabilities\":{\"drop\":[\"ALL\"]}}}\n\
             ClusterAdmissionPolicy/b: allowed by mode monitor; protect would change it\n  \
             patch in protect: {\"op\":\"add\",\"path\":\"/spec/containers/0/securityContext/allowPrivilegeEscalation\",\"value\":false}\n\
             ClusterAdmissionPolicy/c: allowed\n".to_owned(),
            "",
        ),
        (policy("p", "privileged", "settings: {}") + &policy("p", "capabilities", "settings: {}"), pod.to_owned(), none, 2,
            String::new(),
            "error: ClusterAdmissionPolicy/p: is defined twice, and a cluster keeps the one that is applied last; define it once\n"),
        (policy("p", "pod-security-standards", &format!("{selector}, {baseline}")), privileged.clone() + namespace,
            &["-n", "shop"][..], 1, format!(
            "Pod shop/a: ClusterAdmissionPolicy/p: denied: {denial}\n\
             Namespace shop: not judged: no policy's rules, selectors and conditions match it\n\
             judged 1 of 2 objects: 1 denied; 1 by no policy\n"), ""),
        (policy("p", "pod-security-standards", &format!("{selector}, {baseline}")), privileged.clone(),
            &["-n", "shop", "--namespaces", "namespaces.yaml"][..], 1,
            format!("ClusterAdmissionPolicy/p: denied: {denial}\n"), ""),
        (policy("p", "pod-security-standards", &format!("{selector}, {baseline}")), privileged.clone(), none, 2,
            "could not be judged: ClusterAdmissionPolicy/p: spec.namespaceSelector: the label \"team\" of namespace \"default\" is not \
             known; add the Namespace to the input, or name a file of Namespaces with --namespaces (kubectl get namespaces \
             -o yaml)\n".to_owned(),
            ""),
        (policy("p", "pod-security-standards", &format!("{labels}, {baseline}")), privileged, none, 1,
            format!("ClusterAdmissionPolicy/p: denied: {denial}\n"),
            "warning: ClusterAdmissionPolicy/p: spec.namespaceSelector.matchLabels (team: a): Kubewarden's controller drops \
             them, so that the policy counts in all namespaces; write them as matchExpressions\n"),
        (policy("p", "privileged", "settings: {}").replace("pods, pods/ephemeralcontainers, ", ""), deployment.to_owned(),
            none, 1,
            "ClusterAdmissionPolicy/p: denied: privileged (container \"c\" must not set securityContext.privileged=true)\n".to_owned(),
            "warning: ClusterAdmissionPolicy/p: privileged judges workloads, and no policy with privileged judges pods and \
             pods/ephemeralcontainers in the same namespaces: the pods of a workload are not judged; add them to the rules\n"),
    ];
    for (policies, objects, more, code, expected, error) in cases {
        workplace.write("policies.yaml", policies.as_bytes());
        workplace.write("objects.yaml", objects.as_bytes());
        let run = ["run", "--policies", "policies.yaml", "--modules", ".", "-r", "objects.yaml"];
        let output = workplace.ends(&[&run[..], more].concat(), code);
        assert_eq!(output, (expected, error.to_owned()), "{policies}{objects}");
    }
}

#[test]
fn conditions_are_evaluated_before_a_policy_is_asked() {
    let workplace = workplace();
    workplace.write("pod-security-standards.wasm", podfence_support::module("pod-security-standards"));
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {}}, spec: {hostPID: true, containers: [{name: c, image: i}]}}";
    workplace.write("pod.yaml", pod);
    let denied = "denied: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)\n";
    let unseen = "not judged: no policy's rules, selectors and conditions match it\n";
    let nothing = "error: nothing was judged: no policy matches the request, or all of it was skipped\n";
    let no_key = "matchConditions \"c\" cannot be evaluated, and failurePolicy";
    for (expression, more, code, expected, error) in [
        ("object.metadata.name == 'a'", "", 1, denied.to_owned(), String::new()),
        ("object.metadata.name != 'a'", "", 2, unseen.to_owned(), nothing.to_owned()),
        // The API server drops what is empty, and sets defaults.
        (
            "!has(object.metadata.labels) && object.spec.restartPolicy == 'Always'",
            "",
            1,
            denied.to_owned(),
            String::new(),
        ),
        (
            "object.spec.nodeName == 'x'",
            "",
            1,
            format!("denied: {no_key} Fail refuses the request: no such key: nodeName\n"),
            String::new(),
        ),
        (
            "object.spec.nodeName == 'x'",
            ", mode: monitor",
            1,
            format!("denied: {no_key} Fail refuses the request: no such key: nodeName\n"),
            String::new(),
        ),
        (
            "object.spec.nodeName == 'x'",
            ", failurePolicy: Ignore",
            2,
            format!("allowed, not judged: {no_key} Ignore lets the request pass: no such key: nodeName\n"),
            nothing.to_owned(),
        ),
        (
            "request.userInfo.username.startsWith('system:')",
            "",
            2,
            unseen.to_owned(),
            format!(
                "warning: ClusterAdmissionPolicy/p: spec.matchConditions \"c\" reads request.userInfo, which is unknown here: the user is \"podfence\"\n{nothing}"
            ),
        ),
    ] {
        let spec = format!(
            "settings: {{level: baseline}}, matchConditions: [{{name: c, expression: \"{expression}\"}}]{more}"
        );
        workplace.write("policies.yaml", policy("p", "pod-security-standards", &spec).as_bytes());
        let run = ["run", "--policies", "policies.yaml", "--modules", ".", "-r", "pod.yaml"];
        let output = workplace.ends(&run, code);
        let named = if expected == unseen { expected } else { format!("ClusterAdmissionPolicy/p: {expected}") };
        assert_eq!(output, (named, error), "{expression}{more}");
    }
    let spec =
        "settings: {level: baseline}, matchConditions: [{name: c, expression: \"request.userInfo.username == 'jo'\"}]";
    workplace.write("policies.yaml", policy("p", "pod-security-standards", spec).as_bytes());
    let run = ["run", "--policies", "policies.yaml", "--modules", ".", "-r", "pod.yaml", "--as", "jo"];
    assert_eq!(workplace.ends(&run, 1), (format!("ClusterAdmissionPolicy/p: {denied}"), String::new()));
    let spec = spec.replace("'jo'", "1");
    workplace.write("policies.yaml", policy("p", "pod-security-standards", &spec).as_bytes());
    let error = workplace.fails(2, &run);
    assert!(
        error.starts_with("error: policies.yaml: ClusterAdmissionPolicy/p: spec.matchConditions[0].expression (c): "),
        "{error}"
    );
}

#[test]
fn a_policy_of_podfence_is_found_by_its_name() {
    let workplace = workplace();
    // Neither a directory of this name nor one of policies hides it.
    for directory in ["privileged", "policies/privileged"] {
        fs::create_dir_all(workplace.path(directory)).unwrap();
    }
    workplace.write("policies/privileged/fixtures.yaml", "");
    workplace.write(
        "node.yaml",
        b"{apiVersion: v1, kind: Pod, spec: {containers: [{name: c, image: i, securityContext: {privileged: true}}]}}",
    );
    let (out, _) = workplace.ends(&["run", "privileged", "-r", "node.yaml"], 1);
    assert_eq!(out, "denied: privileged (container \"c\" must not set securityContext.privileged=true)\n");
    for arguments in [
        &["run", "privilege", "-r", "pod.yaml"][..],
        &["inspect", "privilege"],
        &["bench", "privilege"],
        &["test", "privilege"],
    ] {
        let error = workplace.fails(2, arguments);
        assert_eq!(error, "error: unknown policy \"privilege\", did you mean `privileged`?\n", "{arguments:?}");
    }
    let names: Vec<String> = readmes().into_iter().map(|(name, _)| name).collect();
    let error = workplace.fails(2, &["run", "nope", "-r", "pod.yaml"]);
    assert_eq!(error, format!("error: unknown policy \"nope\"; expected one of: {}\n", names.join(", ")));
    for file in ["privilege.wasm", "./privilege"] {
        let error = workplace.fails(2, &["inspect", file]);
        assert_eq!(error, format!("error: {file}: No such file or directory (os error 2)\n"));
    }
}

/// Puts a value at a path as `podSpecPaths` writes it; `[*]` is the first element of a list.
fn put(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for key in path.split('.') {
        place = match key.strip_suffix("[*]") {
            Some(list) => {
                let list = &mut place[list];
                if list.is_null() {
                    *list = json!([{}]);
                }
                &mut list[0]
            }
            None => &mut place[key],
        };
    }
    *place = value;
}

#[test]
fn every_pod_of_a_known_custom_kind_is_judged() {
    let workplace = workplace();
    workplace.write("privileged.wasm", podfence_support::module("privileged"));
    let template = |privileged: bool| json!({"spec": {"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": privileged}}]}});
    for (project, kinds) in custom_kinds::projects() {
        let run = ["run", "privileged.wasm", "--kinds", project, "-r", "object.json"];
        for kind in kinds {
            let api_version = format!("{}/{}", kind.group, kind.api_versions[0]);
            let mut object =
                json!({"apiVersion": api_version, "kind": kind.kind, "metadata": {"name": "a"}, "spec": {}});
            for pod in kind.pods.iter().filter(|pod| !pod.optional) {
                put(&mut object, &pod.path, template(false));
            }
            for pod in &kind.pods {
                let mut object = object.clone();
                put(&mut object, &pod.path, template(true));
                workplace.write("object.json", object.to_string().as_bytes());
                let (out, _) = workplace.ends(&[&run[..], &["-o", "json"]].concat(), 1);
                let place = pod.path.replace("[*]", "[0]");
                let place = format!("{place}.spec.containers[0].securityContext.privileged");
                assert!(out.contains(&place), "{object}: {out}");
            }
            workplace.write("object.json", object.to_string().as_bytes());
            let is_certain = kind.pods.iter().any(|pod| !pod.optional);
            let (out, _) = workplace.ends(&run, if is_certain { 0 } else { 2 });
            let expected =
                if is_certain { "allowed\n" } else { "allowed, not judged: the object has no pod template\n" };
            assert_eq!(out, expected, "{object}");
        }
    }
}

#[test]
fn what_holds_a_pod_and_is_not_judged_is_no_success() {
    let workplace = workplace();
    workplace.write("privileged.wasm", podfence_support::module("privileged"));
    let metadata = r#"{\"protocolVersion\":\"v1\",\"mutating\":false,\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]}"#;
    workplace.write("foreign.wasm", replying(ACCEPTS, &format!(r#"(@custom "io.kubewarden.metadata" "{metadata}")"#)));
    let pod = "{containers: [{name: c, image: i}]}";
    let rollout = format!(
        "{{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {{name: a}}, spec: {{template: {{spec: {pod}}}}}}}"
    );
    let deployment = rollout.replace("argoproj.io/v1alpha1, kind: Rollout", "extensions/v1beta1, kind: Deployment");
    let custom = format!("{{apiVersion: example.com/v1, kind: Foo, metadata: {{name: a}}, spec: {pod}}}");
    let other = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}".to_owned();
    let allowed = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {pod}}}");
    let status = format!(
        "{{apiVersion: admission.k8s.io/v1, kind: AdmissionReview, request: {{uid: a, kind: {{version: v1, kind: Pod}}, \
         resource: {{version: v1, resource: pods}}, subResource: status, operation: UPDATE, userInfo: {{}}, name: a, \
         namespace: default, object: {{spec: {pod}}}}}}}"
    );
    for (module, object, code, expected) in [
        (
            "privileged.wasm",
            &rollout,
            2,
            "Rollout default/a: not judged: Rollout is judged only with --kinds argo-rollouts",
        ),
        (
            "privileged.wasm",
            &rollout.replace("v1alpha1", "v1"),
            2,
            "Rollout default/a: not judged: apiVersion of Rollout: expected argoproj.io/v1alpha1, found argoproj.io/v1",
        ),
        (
            "privileged.wasm",
            &custom,
            2,
            "Foo a: not judged: Foo has containers at spec.containers, and is judged only with podSpecPaths in --settings",
        ),
        (
            "privileged.wasm",
            &deployment,
            2,
            "Deployment default/a: not judged: apiVersion of Deployment: expected apps/v1, found extensions/v1beta1",
        ),
        (
            "foreign.wasm",
            &rollout,
            2,
            "Rollout default/a: not judged: Rollout holds pods, and the rules in the metadata of foreign leave it out",
        ),
        ("privileged.wasm", &other, 0, "ConfigMap default/a: skipped: holds no pod"),
        ("privileged.wasm", &status, 0, "Pod default/a: skipped: the policy does not evaluate the subresource"),
        ("roles", &rollout, 2, "Rollout default/a: skipped: of a kind that the policy does not evaluate"),
    ] {
        workplace.write("objects.yaml", format!("{object}\n---\n{allowed}").as_bytes());
        let (out, _) = workplace.ends(&["run", module, "-r", "objects.yaml"], code);
        assert_eq!(out.lines().next(), Some(expected), "{module}: {object}");
    }
    workplace.write("objects.yaml", rollout.as_bytes());
    let (out, _) = workplace.ends(&["run", "privileged.wasm", "-r", "objects.yaml", "-o", "json"], 2);
    let entry: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(entry["verdict"], "not-judgeable");
    assert_eq!(entry["reason"], "Rollout is judged only with --kinds argo-rollouts");
    let both = ["run", "--policies", "objects.yaml", "--kinds", "argo-rollouts,jobset", "-r", "pod.yaml"];
    let expected = "error: --kinds cannot be used with --policies, whose rules and podSpecPaths say which kinds they \
                    evaluate: add the kinds to the documents, as `podfence deploy --kinds argo-rollouts,jobset` does\n";
    assert_eq!(workplace.fails(2, &both), expected);
}

#[test]
fn run_sends_the_host_ports_that_the_api_server_sets() {
    let workplace = workplace();
    workplace.write("host-ports.wasm", podfence_support::module("host-ports"));
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwork: true, \
               containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}";
    workplace.write("pod.yaml", pod);
    workplace.write("policy.yaml", document("p", "protect", "host-ports", None));
    let denied = "denied: hostPort (container \"c\" uses hostPort 80; hostPorts: [])\n";
    assert_eq!(workplace.ends(&run("host-ports.wasm", &[]), 1).0, denied);
    let arguments = ["run", "--policies", "policy.yaml", "--modules", ".", "-r", "pod.yaml"];
    assert_eq!(workplace.ends(&arguments, 1).0, format!("ClusterAdmissionPolicy/p: {denied}"));
}

#[test]
fn deploy_adds_the_custom_kinds_that_are_asked_for() {
    let workplace = workplace();
    workplace.succeeds(&["deploy", "--kinds", "argo-rollouts,jobset", "--out", "deploy"]);
    let text = workplace.text("deploy/monitor/policies/privileged.yaml");
    for expected in ["- rollouts", "- jobsets", "path: spec.template", "group: jobset.x-k8s.io"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let error = workplace.fails(2, &["deploy", "--kinds", "argo", "--out", "other"]);
    assert!(error.contains("[possible values: argo-rollouts, "), "{error}");
}

#[test]
fn deploy_ends_with_what_it_wrote_and_the_next_command() {
    let workplace = workplace();
    let (out, error) = workplace.ends(&["deploy", "--out", "out"], 0);
    let count = files_below(&workplace.path("out"));
    assert_eq!(out, format!("{count} files in out; next: kubectl apply -k out/monitor/restricted\n"));
    let expected = "note: runtime-class is left out, because it rejects every pod without settings; \
                    --settings '{runtime-class: {allowedRuntimeClasses: […]}}' adds it\n";
    assert_eq!(error, expected);
    let settings = "{runtime-class: {allowedRuntimeClasses: [gvisor]}}";
    let (_, error) = workplace.ends(&["deploy", "--out", "other", "--settings", settings], 0);
    assert_eq!(error, "");
    assert!(workplace.text("other/monitor/policies/runtime-class.yaml").contains("- gvisor\n"));
}

#[test]
fn run_says_why_a_named_policy_does_not_see_a_request() {
    let workplace = workplace();
    for (policy, group, kind, sub_resource, expected) in [
        ("services", "", "Service", "status", "skipped: the policy does not evaluate the subresource"),
        ("services", "apps", "Deployment", "status", "skipped: of a kind that the policy does not evaluate"),
        ("privileged", "", "Pod", "status", "skipped: the policy does not evaluate the subresource"),
        ("privileged", "", "Service", "status", "skipped: holds no pod"),
        ("privileged", "", "Service", "", "skipped: holds no pod"),
    ] {
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}});
        let resource = format!("{}s", kind.to_lowercase());
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "a", "operation": "UPDATE", "subResource": sub_resource, "name": "a", "namespace": "b",
                "kind": {"group": group, "version": "v1", "kind": kind},
                "resource": {"group": group, "version": "v1", "resource": resource},
                "userInfo": {"username": "c"}, "object": object, "oldObject": object,
            },
        });
        workplace.write("review.json", review.to_string());
        let (out, _) = workplace.ends(&["run", policy, "-r", "review.json"], 2);
        assert_eq!(out, format!("{expected}\n"), "{policy} {kind} {sub_resource}");
    }
}

#[test]
fn run_and_scan_read_what_deploy_writes() {
    let workplace = workplace();
    let settings = "{runtime-class: {allowedRuntimeClasses: [gvisor]}, capabilities: {mutate: true}}";
    workplace.succeeds(&["deploy", "--out", "deploy", "--settings", settings, "--warnings"]);
    for policy in discover(&policies()).unwrap() {
        workplace.write(&format!("{policy}.wasm"), replying(REJECTS, ""));
    }
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: a, image: nginx:1, \
        securityContext: {privileged: true}}]}}";
    let service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {externalIPs: [8.8.8.8]}}";
    workplace.write("objects.yaml", format!("{pod}\n---\n{service}\n"));
    let mut count = 0;
    for (mode, code) in [("monitor", 0), ("protect", 1)] {
        for choice in fs::read_dir(workplace.path(&format!("deploy/{mode}"))).unwrap() {
            let directory = format!("deploy/{mode}/{}", choice.unwrap().file_name().display());
            for policies in [directory.clone(), format!("{directory}/kustomization.yaml")] {
                let run = ["run", "--policies", &policies, "--modules", ".", "-r", "objects.yaml"];
                let (out, error) = workplace.ends(&run, code);
                assert_eq!(out.contains(": denied: "), mode == "protect", "{policies}: {out}{error}");
                assert_eq!(out.contains("allowed by mode monitor"), mode == "monitor", "{policies}: {out}{error}");
            }
            let scan = ["scan", "--policies", &directory, "objects.yaml"];
            workplace.ends(&scan, code);
            count += 1;
        }
    }
    assert_eq!(count, 12);
}

#[test]
fn kustomizations_are_read_with_what_they_refer_to() {
    let workplace = workplace();
    let kustomization = |more: &str| format!("kind: Kustomization\n{more}\n");
    workplace.write("base/a.yaml", document("a", "monitor", "rejects", None));
    workplace.write("base/kustomization.yaml", kustomization("resources: [a.yaml]"));
    let patch = "patches: [{target: {name: a}, patch: '[{op: replace, path: /spec/mode, value: protect}]'}]";
    workplace.write("over/b.yaml", document("b", "monitor", "rejects", None));
    workplace.write("over/kustomization.yaml", kustomization(&format!("resources: [../base, b.yaml]\n{patch}")));
    let run = |policies: &str, code| {
        workplace.ends(&["run", "--policies", policies, "--modules", ".", "-r", "pod.yaml"], code)
    };
    let expected = "ClusterAdmissionPolicy/a: denied: no \\u{1b}[31mway\n\
                    ClusterAdmissionPolicy/b: allowed by mode monitor; protect would deny: no \\u{1b}[31mway\n";
    assert_eq!(run("over", 1).0, expected);
    assert_eq!(run("over/kustomization.yaml", 1).0, expected);

    for (text, expected) in [
        (
            "resources: [../missing]",
            "error: wrong/kustomization.yaml: Kustomization: resources: \"../missing\": expected a file or a directory; pass \
             the output of `kubectl kustomize` instead: No such file or directory (os error 2)\n",
        ),
        (
            "resources: [../wrong]",
            "error: wrong/kustomization.yaml: Kustomization: resources: \"../wrong\": refers to itself\n",
        ),
        (
            "namePrefix: a-",
            "error: wrong/kustomization.yaml: Kustomization: namePrefix: expected only resources and patches; pass the output \
             of `kubectl kustomize` instead\n",
        ),
        (
            "resources: [../base]\npatches: [{target: {}, patch: '[{op: remove, path: /spec/x}]'}]",
            "error: wrong/kustomization.yaml: wrong/../base/a.yaml: Kustomization: patches[0].patch: /spec/x: the document has \
             no such field\n",
        ),
    ] {
        workplace.write("wrong/kustomization.yaml", kustomization(text));
        assert_eq!(run("wrong", 2).1, expected, "{text}");
        let (_, error) = workplace.ends(&["scan", "--policies", "wrong", "pod.yaml"], 2);
        assert_eq!(error, expected, "{text}");
    }
}

fn files_below(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[test]
fn deploy_reads_what_it_is_asked_for() {
    let workplace = workplace();
    let hex = "0123456789abcdef".repeat(4);
    let printed = |policy: &str| format!("localhost:5000/x/{policy}:v{}@sha256:{hex}\n", env!("CARGO_PKG_VERSION"));
    let published: String = podfence_cluster::published::all().iter().map(|of| printed(of.policy)).collect();
    workplace.write("published", published);
    workplace.write("one", printed("users"));
    workplace.succeeds(&[
        "deploy",
        "--out",
        "out",
        "--published",
        "published",
        "--exclude",
        "monitoring,logging",
        "--policy-server",
        "own",
        "--warnings",
        "--kubernetes-version",
        "v1.34.2",
    ]);
    let text = workplace.text("out/monitor/restricted/pod-security-standards.yaml");
    for expected in [
        "  mode: monitor\n  failurePolicy: Ignore\n  policyServer: own\n",
        &format!("@sha256:{hex}"),
        "    version: v1.34\n    warn: true\n",
        "      - kube-system\n      - kubewarden\n      - monitoring\n      - logging\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    for (arguments, expected) in [
        (
            &["--published", "one"][..],
            "error: one: allow-privilege-escalation is missing; publish all policies, or name \
            the registry alone with --registry\n",
        ),
        (&["--published", "none"], "error: none: "),
        (&["--published", "published", "--registry", "r/x"], "cannot be used with"),
        (
            &["--exclude", "kube-*"],
            "'kube-*' for '--exclude <NAMESPACES>': expected a name: letters a to z, digits, `-` \
            and `.`",
        ),
        (&["--exclude", "a.b"], "expected the name of a namespace: up to 63 letters a to z, digits and `-`"),
        (&["--policy-server", ""], "expected a name"),
        (&["--kubernetes-version", "1.30"], "expected 1.31 or later, such as 1.34"),
        (
            &["--settings", "{psp: {}}"],
            "error: --settings: unknown policy \"psp\"; expected one of: allow-privilege-escalation",
        ),
        (&["--modules", "."], "the following required arguments were not provided:\n  --settings <SETTINGS>"),
    ] {
        let error = workplace.fails(2, &[&["deploy", "--out", "other"][..], arguments].concat());
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert!(!workplace.path("other").exists(), "{arguments:?}");
    }
}

#[test]
fn deploy_writes_no_settings_that_a_policy_refuses() {
    let workplace = workplace();
    for (settings, expected) in [
        ("{images: {allowd: [x]}}", "images: unknown setting \"allowd\", did you mean \"allowed\"?"),
        (
            "{pod-security-standards: {exempt: {image: a}}}",
            "pod-security-standards: exempt: unknown setting \"image\", did you mean \"images\"?",
        ),
        ("{users: {}, image: {}}", "unknown policy \"image\", did you mean `images`?"),
        (
            "{capabilities: {allowed_capabilities: [CHOWN]}}",
            "capabilities, as a member of baseline-group: allowed_capabilities: the same setting as allowedCapabilities",
        ),
    ] {
        let error = workplace.fails(2, &["deploy", "--out", "out", "--settings", settings]);
        assert_eq!(error, format!("error: --settings: {expected}\n"), "{settings}");
        assert!(!workplace.path("out").exists(), "{settings}");
    }
    let arguments = ["deploy", "--out", "out", "--settings", "{images: {allowed: [registry.example.com]}}"];
    let error = workplace.fails(2, &[&arguments[..], &["--modules", "none"]].concat());
    assert!(error.starts_with("error: --settings: no module images.wasm in none: "), "{error}");
    workplace.write("images.wasm", replying(ACCEPTS, ""));
    workplace.succeeds(&[&arguments[..], &["--modules", "."]].concat());
}

#[test]
fn a_member_that_cannot_judge_is_no_verdict_of_its_group() {
    let workplace = workplace();
    let group = document("g", "protect", "breaks", Some("accepts"));
    let problem = "invalid response: missing field `accepted` at line 1 column 14";
    let cause = "  cause: spec.policies.breaks: internal server error: invalid response from policy: missing field `accepted` at line 1 column 14\n";
    let denied = format!("denied, could not judge: {problem}\n{cause}");
    let allowed = format!("allowed, could not judge: {problem}\n");
    for (expression, code, expected) in [
        ("breaks() && accepts()", 2, denied.as_str()),
        ("breaks() || accepts()", 2, &allowed),
        ("!breaks()", 2, &allowed),
        ("breaks() && breaks()", 2, &denied),
        ("accepts() || breaks()", 0, "allowed\n"),
    ] {
        let text = group.replace("breaks() && accepts()", &format!("'{expression}'"));
        workplace.write("group.yaml", text.as_bytes());
        let (out, _) = workplace.ends(&["run", "--policies", "group.yaml", "--modules", ".", "-r", "pod.yaml"], code);
        assert_eq!(out, format!("ClusterAdmissionPolicyGroup/g: {expected}"), "{expression}");
    }
}

#[test]
fn run_explains_documents_that_it_cannot_judge_by() {
    let workplace = workplace();
    for directory in ["empty", "above/restricted", "above/baseline"] {
        fs::create_dir_all(workplace.path(directory)).unwrap();
    }
    for (name, text) in [
        ("absent.yaml", document("p", "protect", "absent", None)),
        ("privileged.yaml", document("p", "protect", "privileged", None)),
        ("refuses.yaml", document("p", "protect", "refuses", None)),
        ("member.yaml", document("g", "protect", "accepts", Some("refuses"))),
        ("broken.yaml", "{kind: [".to_owned()),
        ("nothing.yaml", "# nothing\n".to_owned()),
        ("server.yaml", "{kind: PolicyServer, metadata: {name: default}}\n".to_owned()),
    ] {
        workplace.write(name, text.as_bytes());
    }
    for (policies, expected) in [
        (
            "absent.yaml",
            "ClusterAdmissionPolicy/p: no module absent.wasm in .: it is not one of Podfence's; fetch it with `podfence pull \
             HOST/PATH/absent:TAG -o DIR/absent.wasm`, and name the directory with --modules DIR",
        ),
        (
            "privileged.yaml",
            "ClusterAdmissionPolicy/p: no module privileged.wasm in .: build the modules with `make modules`, or name a \
             directory of modules with --modules",
        ),
        ("refuses.yaml", "ClusterAdmissionPolicy/p: spec.settings: unknown key `x`"),
        ("member.yaml", "ClusterAdmissionPolicyGroup/g: spec.policies.refuses.settings: unknown key `x`"),
        (
            "nothing.yaml",
            "nothing.yaml: no policies in it: found no documents; expected policies, of the kinds that --help lists for \
             --policies",
        ),
        (
            "empty",
            "empty: no policies in it: found no documents in *.yaml, *.yml and *.json; expected policies, of \
             the kinds that --help lists for --policies",
        ),
        (
            "above",
            "above: no policies in it: found only directories, which are not read; name one of them: above/baseline, \
             above/restricted",
        ),
        (
            "server.yaml",
            "server.yaml: no policies in it: found PolicyServer/default; expected policies, of \
             the kinds that --help lists for --policies",
        ),
        ("nowhere", "nowhere: No such file or directory (os error 2)"),
        ("pod.yaml", "pod.yaml: Pod/web: expected a policy of Kubewarden or a group, of a namespace or of the cluster"),
    ] {
        let error = workplace.fails(2, &["run", "--policies", policies, "--modules", ".", "-r", "pod.yaml"]);
        assert_eq!(error, format!("error: {expected}\n"), "{policies}");
    }
    let broken = workplace.fails(2, &["run", "--policies", "broken.yaml", "-r", "pod.yaml"]);
    assert_eq!(broken, "error: broken.yaml: line 1, column 8: unclosed bracket '['\n");
    let neither = workplace.fails(2, &["run", "-r", "pod.yaml"]);
    assert_eq!(neither, "error: name a module, or policy documents with --policies\n");
    let both = workplace.fails(2, &["run", "accepts.wasm", "--policies", "absent.yaml", "-r", "pod.yaml"]);
    assert!(both.contains("Usage: podfence run"), "{both}");
}

#[test]
fn deploy_writes_into_an_empty_directory_only() {
    let workplace = workplace();
    let arguments = ["deploy", "--registry", "localhost:5000/x", "--out", "out/tree"];
    workplace.ends(&arguments, 0);
    let path = workplace.path("out/tree/monitor/policies/privileged.yaml");
    let text = fs::read_to_string(path).unwrap();
    let module = format!("  module: registry://localhost:5000/x/privileged:v{}\n", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&module), "{text}");
    let expected = "error: out/tree: is not empty, and files of another version in it would be applied with the new ones; \
                    name a new directory with --out, or remove this one first\n";
    assert_eq!(workplace.fails(2, &arguments), expected);
    for registry in ["https://a/b", "a//b", "localhost:5000/Fence", "a/b:v1", ""] {
        let error = workplace.fails(2, &["deploy", "--out", "other", "--registry", registry]);
        let expected = format!(
            "error: invalid value '{registry}' for '--registry <HOST/PATH>': expected HOST/PATH without a scheme, a tag and \
             capital letters in the path, such as registry.example.com/podfence\n"
        );
        assert!(error.starts_with(&expected), "{registry}: {error}");
    }
}

#[test]
fn a_longer_version_names_the_modules() {
    let workplace = workplace();
    let expected = workplace.succeeds(&["--version", "--verbose"]);
    assert!(expected.lines().count() > 1, "{expected}");
    for arguments in [&["--version", "-v"][..], &["scan", "-vV"], &["scan", "-Vv"]] {
        assert_eq!(workplace.succeeds(arguments), expected, "{arguments:?}");
    }
    assert_eq!(workplace.succeeds(&["scan", "-V"]).lines().count(), 1);
}

/// A device without room is no reason to panic.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_printed_is_exit_code_2() {
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("the device is there");
    for arguments in [&["--version", "-v"][..], &["run", "none.wasm"]] {
        let workplace = workplace();
        let mut command = workplace.command(arguments);
        let status = command.stdout(full()).stderr(full()).status().expect("the program runs");
        assert_eq!(status.code(), Some(2), "{arguments:?}");
    }
}
