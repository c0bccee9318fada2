//! The fixtures of all policies through the clients of others, which give the same results as our host: npm's in
//! `make test`, Python's and OPA itself in `make opa-test`. A client that is not there is skipped, visibly.
//!
//! No client gets numbers in other notations or of more digits than JavaScript has, and none that reads JSON itself gets
//! what only our parser tells apart, such as duplicate keys.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use podfence_fixtures::{Replay, Suite, discover};
use podfence_host::opa::results;
use podfence_support::{policies, root};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A fixture in one form, as a client gets it.
struct Input {
    policy: String,
    replay: Replay,
    text: String,
    /// Whether a client that reads it and writes it again changes nothing.
    is_plain: bool,
}

fn inputs() -> Vec<Input> {
    let mut inputs = Vec::new();
    for policy in discover(&policies()).expect("the policies") {
        for replay in Suite::load(&policies().join(&policy)).expect("fixtures").replays() {
            let text = replay.opa_input().unwrap_or_else(|_| String::from_utf8_lossy(&replay.payload).into_owned());
            let value = serde_json::from_str::<Value>(&text);
            if value.as_ref().is_ok_and(|value| !has_plain_numbers(value)) {
                continue;
            }
            let written = value.map(|value| value.to_string());
            let is_plain = written.is_ok_and(|written| written == text);
            inputs.push(Input { policy: policy.clone(), replay, text, is_plain });
        }
    }
    inputs
}

/// Whether all numbers are integers that JavaScript has as well.
fn has_plain_numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64().is_some_and(|number| number.abs_diff(0) < 1 << 53),
        Value::Array(elements) => elements.iter().all(has_plain_numbers),
        Value::Object(members) => members.values().all(has_plain_numbers),
        _ => true,
    }
}

/// Checks the results of each input, a list in JSON or a problem.
fn check<'i>(client: &str, results: impl Iterator<Item = (&'i Input, Result<String, String>)>) {
    let (mut count, mut wrong) = (0, Vec::new());
    for (input, results) in results {
        count += 1;
        let results = results.as_ref().map(|results| results.as_bytes()).map_err(String::as_str);
        if let Err(mismatch) = input.replay.check_opa(results) {
            let Input { policy, replay, .. } = input;
            let (expected, got) = (mismatch.expected, mismatch.got);
            wrong.push(format!("{policy}: {} ({})\n  expected {expected}\n  got {got}", replay.fixture, replay.form));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} through {client}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 1000, "{count}");
    println!("{count} fixtures through {client}");
}

fn runs(program: &str, argument: &str) -> bool {
    let output = Command::new(program).arg(argument).output();
    output.is_ok_and(|output| output.status.success())
}

fn clients() -> PathBuf {
    root().join("target/opa-clients")
}

fn modules() -> PathBuf {
    root().join("target/opa")
}

/// Sends lines to a client, each an input, and reads a line for each.
fn lines(client: &str, command: &mut Command, inputs: &[Input]) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the client starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let lines = inputs.iter().map(|input| {
        let line = json!({"policy": input.policy, "input": input.text, "raw": !input.is_plain});
        format!("{line}\n")
    });
    let lines: String = lines.collect();
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("the client ends");
    assert!(output.status.success(), "{client}: {}", output.status);
    writer.join().expect("no panic").expect("the client reads");
    let replies = String::from_utf8(output.stdout).expect("UTF-8");
    let replies: Vec<&str> = replies.lines().collect();
    assert_eq!(replies.len(), inputs.len(), "{client}");
    check(client, inputs.iter().zip(replies).map(|(input, reply)| (input, results(reply.as_bytes()))));
}

#[test]
fn fixtures_have_the_same_results_in_node() {
    let client = clients().join("node");
    if !runs("node", "--version") || !client.join("node_modules").exists() {
        eprintln!("skipped: the client of Node needs node and npm, and `make opa-test` installs it");
        return;
    }
    lines("npm", Command::new("node").arg(client.join("client.mjs")).arg(modules()), &inputs());
}

#[test]
#[ignore = "make opa-test runs it"]
fn fixtures_have_the_same_results_in_python() {
    let client = clients().join("python");
    if !runs("python3", "--version") || !client.join("opa_wasmtime").exists() {
        eprintln!("skipped: the client of Python needs python3 with pip, and `make opa-test` installs it");
        return;
    }
    let inputs: Vec<Input> = inputs().into_iter().filter(|input| input.is_plain).collect();
    lines("PyPI", Command::new("python3").arg(client.join("client.py")).arg(modules()), &inputs);
}

/// OPA itself, if it was built.
fn opa() -> Option<Opa> {
    let program = root().join("target/tools/bin/opa");
    if program.exists() {
        return Some(Opa { program, directory: tempfile::tempdir().expect("a directory") });
    }
    eprintln!("skipped: OPA is not there; `make opa-test` builds it with Go");
    None
}

struct Opa {
    program: PathBuf,
    directory: TempDir,
}

fn bundle() -> PathBuf {
    modules().join("podfence-bundle.tar.gz")
}

impl Opa {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(self.directory.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("OPA runs")
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// The results of many inputs of a policy.
    fn exec(&self, policy: &str, texts: &[&str]) -> Vec<Result<String, String>> {
        for (number, text) in texts.iter().enumerate() {
            self.write(&format!("{policy}/{number:05}.json"), text);
        }
        let decision = format!("podfence/{policy}/violation");
        let bundle = bundle();
        let output = self.run(&["exec", "--decision", &decision, "-b", bundle.to_str().expect("a path"), policy]);
        let reply: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let mut found = vec![Err("no result".to_owned()); texts.len()];
        for entry in reply["result"].as_array().expect("a list") {
            let path = Path::new(entry["path"].as_str().expect("a path"));
            let number: usize =
                path.file_stem().and_then(|name| name.to_str()).expect("a name").parse().expect("a number");
            found[number] = match entry.get("result") {
                Some(results) => Ok(results.to_string()),
                None => Err(format!("undefined: {entry}")),
            };
        }
        found
    }
}

#[test]
#[ignore = "make opa-test runs it"]
fn fixtures_have_the_same_results_in_opa_exec() {
    let Some(opa) = opa() else { return };
    let inputs: Vec<Input> = inputs().into_iter().filter(|input| input.is_plain).collect();
    let mut checked = Vec::new();
    for policy in discover(&policies()).expect("the policies") {
        let of_policy: Vec<&Input> = inputs.iter().filter(|input| input.policy == policy).collect();
        let texts: Vec<&str> = of_policy.iter().map(|input| input.text.as_str()).collect();
        checked.extend(of_policy.into_iter().zip(opa.exec(&policy, &texts)));
    }
    check("opa exec", checked.into_iter());
}

fn input(name: &str, privileged: bool) -> Value {
    json!({"parameters": {}, "review": {
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "object": {"spec": {"containers": [{
            "name": name, "image": "nginx", "args": ["\u{1b}[1m\u{7}\u{b}\u{7f}\u{e0001}"],
            "securityContext": {"privileged": privileged},
        }]}},
    }})
}

fn message(name: &str) -> String {
    format!("privileged (container {name:?} must not set securityContext.privileged=true)")
}

/// Go writes the input with escapes that JSON does not have.
#[test]
#[ignore = "make opa-test runs it"]
fn strings_that_go_escapes_in_its_own_way_are_read() {
    let Some(opa) = opa() else { return };
    let name = "a\u{7}\u{b}\u{1b}\u{7f}\u{e0001}é\"\\";
    let found = opa.exec("privileged", &[&input(name, true).to_string(), &input(name, false).to_string()]);
    let results: Value = serde_json::from_str(found[0].as_ref().expect("results")).expect("JSON");
    assert_eq!(
        results[0]["msg"],
        format!("privileged (container \"{name}\" must not set securityContext.privileged=true)")
    );
    assert_eq!(found[1], Ok("[]".to_owned()));
}

const QUERY: &str = "data.podfence.privileged.violation";

/// With `--fail`, it succeeds only where there is a result, and no violation in it.
const SAFE_QUERY: &str = "found := data.podfence.privileged.violation; found == []";

impl Opa {
    /// The exit code of `opa eval`, and what it prints.
    fn eval(&self, arguments: &[&str]) -> (Option<i32>, Value, String) {
        let output = self.run(&[&["eval"], arguments, &["-i", "input.json", QUERY]].concat());
        let printed = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), printed, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
#[ignore = "make opa-test runs it"]
fn eval_finds_violations_and_fails_where_the_options_say_so() {
    let Some(opa) = opa() else { return };
    let bundle = bundle();
    let bundle = bundle.to_str().expect("a path");
    opa.write("input.json", input("a", true).to_string());
    let (code, printed, error) = opa.eval(&["-b", bundle]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(printed["result"][0]["expressions"][0]["value"][0]["msg"], message("a"));
    let decision = "podfence/privileged/violation";
    for (privileged, code) in [(true, 1), (false, 0)] {
        opa.write("input.json", input("a", privileged).to_string());
        let output = opa.run(&["eval", "--fail", "-b", bundle, "-i", "input.json", SAFE_QUERY]);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
        let output = opa.run(&["exec", "--fail-non-empty", "--decision", decision, "-b", bundle, "input.json"]);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
        // An empty list is defined, too.
        let output = opa.run(&["exec", "--fail-defined", "--decision", decision, "-b", bundle, "input.json"]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let output = opa.run(&["inspect", "-f", "json", bundle]);
    let inspected: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let policies = discover(&policies()).expect("the policies");
    assert_eq!(inspected["manifest"]["wasm"].as_array().map(Vec::len), Some(policies.len()), "{inspected}");
    assert_eq!(inspected["manifest"]["roots"], json!(["podfence"]));
}

/// A query of all policies at once gives each the same parameters.
#[test]
#[ignore = "make opa-test runs it"]
fn a_query_of_all_policies_takes_the_parameters_of_none() {
    let Some(opa) = opa() else { return };
    let bundle = bundle();
    let bundle = bundle.to_str().expect("a path");
    let ask = |parameters: Value| {
        let mut input = input("a", false);
        input["parameters"] = parameters;
        opa.write("input.json", input.to_string());
        let output = opa.run(&["eval", "-b", bundle, "-i", "input.json", "data.podfence"]);
        let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        printed["result"][0]["expressions"][0]["value"].clone()
    };
    assert_eq!(ask(json!({}))["privileged"]["violation"], json!([]));
    let found = ask(json!({"skipInitContainers": true}));
    assert_eq!(found["privileged"]["violation"], json!([]));
    let text = found["host-ports"]["violation"][0]["msg"].as_str().unwrap_or_default();
    assert!(text.starts_with("parameters: unknown setting \"skipInitContainers\""), "{text}");
}

/// What OPA does not understand, it leaves out without a word: the result is undefined, which is not a violation.
#[test]
#[ignore = "make opa-test runs it"]
fn a_bundle_that_opa_does_not_understand_allows_everything() {
    let Some(opa) = opa() else { return };
    opa.write("input.json", input("a", true).to_string());
    let module = fs::read(modules().join("privileged.wasm")).expect("a module");
    let manifest = |module: &str| {
        let wasm = json!([{"entrypoint": "podfence/privileged/violation", "module": module}]);
        json!({"roots": ["podfence"], "wasm": wasm}).to_string()
    };
    opa.write("good/privileged/policy.wasm", &module);
    opa.write("good/.manifest", manifest("/privileged/policy.wasm"));
    let (code, printed, error) = opa.eval(&["-b", "good"]);
    assert_eq!(
        (code, &printed["result"][0]["expressions"][0]["value"][0]["msg"]),
        (Some(0), &json!(message("a"))),
        "{error}"
    );

    opa.write("no-manifest/privileged/policy.wasm", &module);
    opa.write("no-list/privileged/policy.wasm", &module);
    opa.write("no-list/.manifest", json!({"roots": ["podfence"]}).to_string());
    for options in [["-b", "no-manifest"], ["-b", "no-list"], ["-d", "good"]] {
        let (code, printed, error) = opa.eval(&options);
        assert_eq!((code, printed), (Some(0), json!({})), "{options:?}: {error}");
        let output = opa.run(&[&["eval", "--fail", "-i", "input.json"], &options[..], &[SAFE_QUERY]].concat());
        assert_eq!(output.status.code(), Some(1), "{options:?}");
    }
    for option in ["--fail-defined", "--fail-non-empty"] {
        let decision = "podfence/privileged/violation";
        let output = opa.run(&["exec", option, "--decision", decision, "-b", "no-manifest", "input.json"]);
        assert_eq!(output.status.code(), Some(0), "{option}");
    }

    // Other names of the file are errors, at least.
    opa.write("other-name/privileged/other.wasm", &module);
    opa.write("other-name/.manifest", manifest("/privileged/other.wasm"));
    opa.write("other-path/privileged/policy.wasm", &module);
    opa.write("other-path/.manifest", manifest("/users/policy.wasm"));
    for options in [["-b", "other-name"], ["-b", "other-path"]] {
        let (code, printed, error) = opa.eval(&options);
        assert_ne!(code, Some(0), "{options:?}: {printed} {error}");
    }
}

/// Stops the server when the test ends, however it ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn post(address: &str, path: &str, body: &str) -> std::io::Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (_, body) = reply.split_once("\r\n\r\n").unwrap_or_default();
    Ok(serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {reply}")))
}

#[test]
#[ignore = "make opa-test runs it"]
fn the_server_answers_reviews() {
    let Some(opa) = opa() else { return };
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    let arguments = ["run", "--server", "--disable-telemetry", "--log-level", "error", "--addr", &address, "-b"];
    let server = opa.command().args(arguments).arg(bundle()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _server = Server(server.expect("OPA starts"));
    let ask = |name: &str, privileged: bool| {
        let body = json!({"input": input(name, privileged)}).to_string();
        let mut last = None;
        for _ in 0..300 {
            match post(&address, "/v1/data/podfence/privileged/violation", &body) {
                Ok(reply) => return reply["result"].clone(),
                Err(error) => last = Some(error),
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("no answer: {last:?}");
    };
    for number in 0..20 {
        let name = format!("c{number}");
        assert_eq!(ask(&name, true)[0]["msg"], message(&name));
        assert_eq!(ask(&name, false), json!([]));
    }
}
