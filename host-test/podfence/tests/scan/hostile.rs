//! A directory that somebody else filled: what is in it takes neither the time nor the memory of a scan.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use podfence_support::Printed;
use serde_json::json;

use super::{BAD, workplace};

/// A policy of many validations, each of which would take for ever, or all memory.
#[test]
fn a_hostile_policy_of_the_api_server_is_bounded() {
    let workplace = workplace();
    let loops = (0..10).fold("true".to_owned(), |body, level| format!("lists.range(9).all(x{level}, {body})"));
    let texts = (0..12).fold("'aaaaaaaaaa'".to_owned(), |text, _| format!("{text}.replace('a', 'aaaaaaaaaa')"));
    let variable = |index: usize| match index {
        0 => json!({"name": "v0", "expression": "[object]"}),
        _ => json!({"name": format!("v{index}"), "expression": format!("variables.v{0} + variables.v{0}", index - 1)}),
    };
    let validation = |index: usize| match index % 3 {
        0 => json!({"expression": loops}),
        1 => json!({"expression": format!("{texts} == 'a'")}),
        _ => json!({"expression": "variables.v199.all(x, x == object) && variables.v199.size() == 0"}),
    };
    let rule = json!({"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]});
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "variables": (0..200).map(variable).collect::<Vec<_>>(),
            "validations": (0..500).map(validation).collect::<Vec<_>>(),
        },
    });
    workplace.write("policy.json", policy.to_string());
    workplace.write("bad.yaml", BAD);
    let start = Instant::now();
    let (out, error) = workplace.ends(&["scan", "bad.yaml", "--policies", "policy.json", "--unbound", "deny"], 1);
    assert!(out.contains("the expression costs too much"), "{out}{error}");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).expect("a measurement").max_rss() >> 10;
    assert!(peak < 600, "{peak} MiB");
}

#[test]
fn links_pipes_and_huge_files_are_not_read() {
    let workplace = workplace();
    let path = |name: &str| workplace.path(name);
    fs::create_dir_all(path("tree/sub")).unwrap();
    workplace.write("tree/good.yaml", BAD);
    symlink(".", path("tree/loop")).unwrap();
    symlink("../..", path("tree/sub/up")).unwrap();
    symlink("/dev/zero", path("tree/zero.yaml")).unwrap();
    symlink("pipe.yaml", path("tree/to-pipe.yaml")).unwrap();
    let made = Command::new("mkfifo").arg(path("tree/pipe.yaml")).status().expect("mkfifo runs");
    assert!(made.success());
    // A hole: it takes no room on the disk.
    File::create(path("tree/huge.yaml")).and_then(|file| file.set_len(1 << 40)).unwrap();
    workplace.write("tree/a\u{1b}[31m\n::error::b.yaml", "a: [");

    let output = |arguments: &[&str]| {
        let mut command = workplace.command(arguments);
        Printed::of(command.current_dir(path("tree")).output().expect("the program runs"))
    };
    let by_walking = output(&["scan", "--enforce", "baseline", "--jobs", "2"]);
    assert_eq!(by_walking.code, Some(2));
    for expected in [
        "error: huge.yaml: is larger than 64 MiB, the limit\n",
        "error: a\\u{1b}[31m\\n\\u{3a}:error::b.yaml:1:4: unclosed bracket '['\n",
        "--> good.yaml:8:35\n",
        "note: 4 symbolic links are not followed; a file that is named is read\n",
    ] {
        assert!(by_walking.out.contains(expected), "{expected}: {}", by_walking.out);
    }
    assert!(!by_walking.out.lines().any(|line| line.trim_start().starts_with("::")), "{}", by_walking.out);

    let named = ["zero.yaml", "to-pipe.yaml", "pipe.yaml", "huge.yaml", "good.yaml"];
    let by_a_hook = output(&[&["scan", "--enforce", "baseline", "--as-walked"], &named[..]].concat());
    assert_eq!(by_a_hook.code, Some(2));
    assert!(by_a_hook.out.contains("note: 2 symbolic links are not followed"), "{}", by_a_hook.out);
    assert!(by_a_hook.out.contains("1 error in 1 of 2 files"), "{}", by_a_hook.out);

    // Of all programs that the tests of this file have run. Two threads may hold 64 MiB each.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).expect("a measurement").max_rss() >> 10;
    assert!(peak < 300, "{peak} MiB");
}

/// Files with other names are other files, however they are shown.
#[test]
fn each_file_has_a_name_of_its_own() {
    let workplace = workplace();
    workplace.make_directory("tree/sub/deep");
    workplace.make_directory("other/sub");
    workplace.write("other/a.yaml", BAD);
    let tree = workplace.path("tree");
    for name in [&b"\xe8.yaml"[..], b"\xe9.yaml", b"\xe9\\.yaml", b"\\xe8.yaml", b"a.yaml"] {
        fs::write(tree.join(OsStr::from_bytes(name)), BAD).unwrap();
    }
    symlink("../other/sub", tree.join("link")).unwrap();
    let all = ["\\xe8.yaml", "\\xe8.yaml (2)", "\\xe9.yaml", "\\xe9\\\\.yaml", "a.yaml"];
    let cases: &[(&[&str], &[&str])] = &[
        (&["."], &all),
        (&["--stdin-name", "a.yaml", "-", "a.yaml"], &["a.yaml", "a.yaml (2)"]),
        (&["a.yaml", "./a.yaml", "sub/../a.yaml", "sub/deep/../../a.yaml"], &["a.yaml"]),
        // A link leads out of the directory.
        (&["a.yaml", "link/../a.yaml"], &["a.yaml", "link/../a.yaml"]),
    ];
    for (arguments, expected) in cases {
        let start = ["scan", "--enforce", "baseline", "--format", "concise"];
        let mut command = workplace.command(&[&start, *arguments].concat());
        command.current_dir(&tree).stdin(File::open(tree.join("a.yaml")).unwrap());
        let printed = Printed::of(command.output().expect("the program runs"));
        let lines = printed.out.lines().filter_map(|line| line.split_once(":8:35: error[privileged]"));
        let files: Vec<&str> = lines.map(|(file, _)| file).collect();
        assert_eq!((printed.code, files), (Some(1), expected.to_vec()), "{arguments:?}: {}", printed.out);
    }
}
