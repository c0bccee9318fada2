//! Modules and manifests that want to harm whoever looks at them: they end with words, within a bounded memory, and
//! steer neither a terminal nor a CI server.

use std::fs::{self, File};
use std::process::Command;

use podfence_support::{Workplace, escaped};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n";

const EMPTY: &[u8] = &[0, 0x0b];

/// What each module must come to: a name, its bytes, all that `podfence run` prints, and the most memory that it takes,
/// in MiB.
type Case = (&'static str, Vec<u8>, String, u64);

/// In the order of the memory.
fn cases() -> Vec<Case> {
    let silent = "error: m.wasm: cannot validate settings: No error message set for call failure\n";
    let too_much = |what: &str| format!("error: m.wasm: {what}\n");
    let called =
        "(memory (export \"memory\") 1) (func (export \"__guest_call\") (param i32 i32) (result i32) (i32.const 0))";
    let text = |more: &str| wat::parse_str(format!("(module {more})")).expect("a module");
    let many = |part: &str, count: usize| text(&part.repeat(count));
    let export = |name: &str| text(&format!("(func (export \"{name}\"))"));
    let name = "n".repeat(1024);
    let unknown: Vec<String> =
        (0..1_000).map(|number| format!("(import \"{number:0>1024}\" \"{name}\" (func))")).collect();
    let unknown_shown = (0..4).map(|number| format!("{number:0>1024}::{name}")).collect::<Vec<_>>().join(", ");
    let unknown_shown = format!("m.wasm: unknown imports: {unknown_shown}");
    let unknown_length = "m.wasm: unknown imports: , and 980 more".len() + 20 * 2_050 + 19 * 2;
    let deep_name = "f".repeat(64 << 10);
    vec![
        ("too many types", many("(type (func))", 10_001), too_much("10001 types, more than the limit of 10000"), 64),
        (
            "too many imports",
            many("(import \"a\" \"b\" (func))", 1_001),
            too_much("1001 imports, more than the limit of 1000"),
            64,
        ),
        (
            "too many exports",
            text(
                &(0..1_001)
                    .map(|number| format!("(global (export \"{number}\") i32 (i32.const 0))"))
                    .collect::<String>(),
            ),
            too_much("1001 exports, more than the limit of 1000"),
            64,
        ),
        ("too many tables", many("(table 1 funcref)", 17), too_much("17 tables, more than the limit of 16"), 64),
        (
            "too many globals",
            many("(global i32 (i32.const 0))", 10_001),
            too_much("10001 globals, more than the limit of 10000"),
            64,
        ),
        (
            "too many elements",
            text(&format!("(table 1 funcref) (func $f) (elem func {})", "$f ".repeat(1_000_001))),
            too_much("1000001 elements of tables, more than the limit of 1000000"),
            64,
        ),
        ("too many functions", functions(40_001, EMPTY), too_much("40002 functions, more than the limit of 40000"), 64),
        (
            "too many local variables",
            functions(201, &locals(50_000)),
            too_much("10050000 local variables, more than the limit of 10000000"),
            64,
        ),
        (
            "too large a function",
            functions(1, &block(512 << 10)),
            too_much("524291 bytes of code in a function, more than the limit of 524288"),
            64,
        ),
        (
            "a long name of an export",
            export(&"x".repeat(1_025)),
            too_much("1025 bytes in the name of an export, more than the limit of 1024"),
            64,
        ),
        (
            "a long name of a function",
            text(&format!("(func ${})", "f".repeat((64 << 10) + 1))),
            too_much("65537 bytes in the name of a function, more than the limit of 65536"),
            64,
        ),
        (
            "much metadata",
            text(&format!("(@custom \"io.kubewarden.metadata\" \"{}\")", "x".repeat((1 << 20) + 1))),
            too_much("1048577 bytes of metadata, more than the limit of 1048576"),
            64,
        ),
        (
            "imports with long names",
            text(&unknown.concat()),
            format!("error: {}… ({unknown_length} bytes in all)\n", &unknown_shown[..8 << 10]),
            64,
        ),
        (
            "a trap in functions with long names",
            text(&format!(
                "(memory (export \"memory\") 1) (func ${deep_name} (export \"__guest_call\") (param i32 i32) \
                           (result i32) (call ${deep_name} (i32.const 0) (i32.const 0)))"
            )),
            "error: m.wasm: cannot validate settings: wasm trap: call stack exhausted\n".to_owned(),
            96,
        ),
        ("data of 32 MiB", text(&format!("{called} (data \"{}\")", "x".repeat(32 << 20))), silent.to_owned(), 192),
        (
            "too much data",
            text(&format!("{called} (data \"{}\")", "x".repeat((32 << 20) + 1))),
            too_much("33554433 bytes of data, more than the limit of 33554432"),
            192,
        ),
        (
            "too much code",
            functions(33, &block(500 << 10)),
            too_much("16896103 bytes of code, more than the limit of 16777216"),
            192,
        ),
        ("warnings without end", flood(WARNINGS), warned(), 192),
        ("many functions", functions(39_999, EMPTY), silent.to_owned(), 384),
        ("a patch without end", flood(OBJECTS), patched(), 640),
        ("a large function", functions(1, &calls(512 << 10)), silent.to_owned(), 640),
    ]
}

/// What `run` prints of a reply with as many empty warnings as there is room for.
fn warned() -> String {
    let count = 1 + repetitions(WARNINGS);
    format!("allowed\n{}  warning: … and {} more\n", "  warning: \n".repeat(100), count - 100)
}

/// What `run` prints of a reply with as many empty objects as there is room for.
fn patched() -> String {
    let patch = format!(r#"{{"op":"replace","path":"","value":[{{}}{}]}}"#, ",{}".repeat(repetitions(OBJECTS)));
    format!("allowed\n  patch: {}… ({} bytes in all)\n", &patch[..8 << 10], patch.len())
}

/// A reply with a text over and over between two others.
type Flood = [&'static str; 3];

const WARNINGS: Flood = [r#"{"valid":true,"accepted":true,"warnings":["""#, r#","""#, "]}"];
const OBJECTS: Flood = [r#"{"valid":true,"accepted":true,"mutated_object":[{}"#, ",{}", "]}"];

/// How often the text is there.
fn repetitions([before, again, behind]: Flood) -> usize {
    (FLOOD - before.len() - behind.len()) / again.len()
}

/// The bytes of a reply that is as long as one may be.
const FLOOD: usize = 4 << 20;

/// A module that replies so.
fn flood(flood: Flood) -> Vec<u8> {
    let [before, again, behind] = flood;
    let (length, end) = (again.len(), before.len() + repetitions(flood) * again.len());
    let text = format!(
        r#"(module
          (import "wapc" "__guest_response" (func $response (param i32 i32)))
          (memory (export "memory") 65)
          (data (i32.const 0) "{}")
          (data $again "{}")
          (data $behind "{}")
          (func (export "__guest_call") (param i32 i32) (result i32) (local $at i32)
            (local.set $at (i32.const {}))
            (loop $more
              (memory.init $again (local.get $at) (i32.const 0) (i32.const {length}))
              (local.set $at (i32.add (local.get $at) (i32.const {length})))
              (br_if $more (i32.lt_u (local.get $at) (i32.const {end}))))
            (memory.init $behind (local.get $at) (i32.const 0) (i32.const {}))
            (call $response (i32.const 0) (i32.const {}))
            (i32.const 1)))"#,
        escaped(before),
        escaped(again),
        escaped(behind),
        before.len(),
        behind.len(),
        end + behind.len(),
    );
    wat::parse_str(text).expect("a module")
}

/// A module with this function so many times, written byte by byte: as text, it would fill the memory of the test.
fn functions(count: usize, body: &[u8]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    let mut section = |id: u8, bytes: &[u8]| {
        module.push(id);
        module.extend(leb128(bytes.len()));
        module.extend(bytes);
    };
    let guest_call: &[u8] = &[0, 0x41, 0, 0x0b];
    section(1, &[2, 0x60, 2, 0x7f, 0x7f, 1, 0x7f, 0x60, 0, 0]);
    section(3, &[leb128(count + 1), vec![0], vec![1; count]].concat());
    section(5, &[1, 0, 1]);
    section(7, b"\x02\x06memory\x02\0\x0c__guest_call\0\0");
    let mut code = leb128(count + 1);
    for body in std::iter::once(guest_call).chain(std::iter::repeat_n(body, count)) {
        code.extend(leb128(body.len()));
        code.extend(body);
    }
    section(10, &code);
    module
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A function with nothing but local variables.
fn locals(count: usize) -> Vec<u8> {
    [vec![1], leb128(count), vec![0x7e, 0x0b]].concat()
}

/// A function with a block of so many bytes that do nothing.
fn block(length: usize) -> Vec<u8> {
    [vec![0, 0x02], vec![0x01; length], vec![0x0b]].concat()
}

/// A function that is as large as one may be and calls another one all the time: what takes the most memory to compile.
fn calls(length: usize) -> Vec<u8> {
    [vec![0], [0x10, 0x01].repeat(length / 2 - 1), vec![0x0b]].concat()
}

/// Runs the command in a process that does nothing else, whose children's memory is the command's.
#[test]
fn measured() {
    use nix::sys::resource::{UsageWho, getrusage};
    let Ok(arguments) = std::env::var("PODFENCE_MEASURED") else { return };
    let file = |name: &str| File::create(name).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_podfence"));
    let status = command.args(arguments.split(' ')).stdout(file("out")).stderr(file("error")).status();
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).expect("a measurement").max_rss() >> 10;
    fs::write("measured", format!("{peak} {}", status.expect("the command runs").code().unwrap_or(-1)))
        .expect("a file");
}

/// What the command prints, its exit code, and the most memory that it took, in MiB.
fn measure(workplace: &Workplace, arguments: &str) -> (String, i32, u64) {
    let mut this = Command::new(std::env::current_exe().expect("this program"));
    this.args(["--exact", "measured"]).env("PODFENCE_MEASURED", arguments).current_dir(workplace.directory());
    assert!(this.output().expect("it runs").status.success());
    let measured = workplace.text("measured");
    let (peak, code) = measured.split_once(' ').expect("two numbers");
    let printed = workplace.text("out") + &workplace.text("error");
    (printed, code.parse().expect("a number"), peak.parse().expect("a number"))
}

#[test]
fn a_hostile_module_ends_with_words_in_a_bounded_memory() {
    let workplace = Workplace::new(env!("CARGO_BIN_EXE_podfence"));
    workplace.write("pod.yaml", POD);
    let mut wrong = Vec::new();
    for (name, bytes, expected, most) in cases() {
        workplace.write("m.wasm", bytes);
        let (printed, code, peak) = measure(&workplace, "run m.wasm -r pod.yaml");
        println!("{name}: {peak} of {most} MiB, exit code {code}");
        if printed != expected {
            let [printed, expected] = [printed, expected].map(|text| text.chars().take(3_000).collect::<String>());
            wrong.push(format!("{name}\n  expected {expected}\n  printed  {printed}"));
        }
        if peak > most {
            wrong.push(format!("{name}: {peak} MiB, expected at most {most}"));
        }
        let (printed, _, peak) = measure(&workplace, "inspect m.wasm");
        if peak > most || printed.len() > 256 << 10 {
            wrong.push(format!("{name}: inspect takes {peak} MiB and prints {} bytes", printed.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Commands to a terminal and to CI servers, and characters that are not seen.
const EVIL: &str = "::error::a\n::stop-commands::b\n \u{a0}::c ##[group]d ##vso[e] \u{1b}[2J\u{9b}2J\r\u{202e}\u{2028}\u{feff}\u{e0041}f";

fn assert_harmless(printed: &str, of: &str) {
    for line in printed.lines() {
        assert!(!line.trim_start().starts_with("::"), "{of}: {printed}");
        assert!(!line.contains("##[") && !line.contains("##vso["), "{of}: {printed}");
    }
    let is_hidden =
        |letter: char| letter != '\n' && letter.is_control() || "\u{202e}\u{2028}\u{feff}\u{e0041}".contains(letter);
    assert!(!printed.contains(is_hidden), "{of}: {printed:?}");
    assert!(printed.contains("error::a"), "{of}: {printed}");
}

#[test]
fn no_text_steers_a_terminal_or_a_ci_server() {
    let json = serde_json::to_string(EVIL).expect("JSON");
    let reply = format!(
        r#"{{"valid":true,"accepted":false,"code":403,"message":{json},"warnings":[{json}],"audit_annotations":{{"violations":{json}}}}}"#
    );
    let rule = format!(r#"{{"apiGroups":["*"],"apiVersions":["*"],"resources":["*"],"operations":[{json}]}}"#);
    let metadata = format!(r#"{{"mutating":true,"annotations":{{{json}:{json}}},"rules":[{rule},{json}],{json}:1}}"#);
    let module = wat::parse_str(format!(
        r#"(module
          (@custom "io.kubewarden.metadata" "{}")
          (import "wapc" "__guest_response" (func $response (param i32 i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "{}")
          (func (export "__guest_call") (export "{}") (param i32 i32) (result i32)
            (call $response (i32.const 0) (i32.const {}))
            (i32.const 1)))"#,
        escaped(&metadata),
        escaped(&reply),
        escaped(EVIL),
        reply.len(),
    ));
    let fixtures =
        serde_json::json!([{"name": EVIL, "pod": {}, "reject": [EVIL]}, {"name": "b", "pod": {}, "accept": true}]);
    let manifest = serde_json::json!({"apiVersion": "v1", "kind": EVIL, "metadata": {"name": EVIL, "namespace": EVIL}});
    let document = |name: &str| {
        serde_json::json!({
            "apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "module": "evil:v1", "message": EVIL,
                "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}],
            },
        })
    };
    let workplace = Workplace::new(env!("CARGO_BIN_EXE_podfence"));
    workplace.write("modules/evil.wasm", module.expect("a module"));
    workplace.write("policies/evil/fixtures.yaml", fixtures.to_string());
    workplace.write(
        "many.yaml",
        serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [manifest, manifest]}).to_string(),
    );
    workplace.write("one.yaml", manifest.to_string());
    let containers = serde_json::json!([{"name": EVIL, "image": EVIL}]);
    let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": EVIL}, "spec": {"containers": containers}});
    workplace.write("pod.yaml", pod.to_string());
    workplace.write("documents.yaml", document(EVIL).to_string());
    let module = "modules/evil.wasm";
    let run = ["run", module, "-s", "{}"];
    let test = ["test", "--modules", "modules"];
    let cluster = ["run", "--policies", "documents.yaml", "--modules", "modules"];
    let of_evil = |more: &[&'static str]| [&run[..], more].concat();
    let scan = ["scan", "pod.yaml", "--policies", "documents.yaml", "--modules", "modules"];
    let calls: Vec<Vec<&str>> = vec![
        scan.to_vec(),
        [&scan[..], &["--format", "concise"]].concat(),
        [&scan[..], &["--format", "json"]].concat(),
        of_evil(&["-r", "one.yaml", "--message", "ask us"]),
        of_evil(&["-r", "many.yaml"]),
        of_evil(&["-r", "many.yaml", "-o", "json"]),
        [&cluster[..], &["-r", "many.yaml"]].concat(),
        [&cluster[..], &["-r", "many.yaml", "-o", "json"]].concat(),
        vec!["inspect", module],
        vec!["inspect", module, "-o", "json"],
        test.to_vec(),
        [&test[..], &["--format", "json"]].concat(),
        [&test[..], &["--format", "junit"]].concat(),
        [&test[..], &["--format", "tap"]].concat(),
    ];
    for arguments in calls {
        let printed = workplace.run(&arguments);
        assert_harmless(&(printed.out + &printed.error), &arguments.join(" "));
    }
}
