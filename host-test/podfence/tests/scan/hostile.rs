//! A directory that somebody else filled: what is in it takes neither the time nor the memory of a scan.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};
use podfence_support::Printed;

use super::{BAD, workplace};

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
