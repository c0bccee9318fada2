//! Completions and man pages, which are made of the same definition as the help.

use std::collections::BTreeSet;
use std::process::Command;

use podfence_support::Workplace;

const PODFENCE: &str = env!("CARGO_BIN_EXE_podfence");

/// Without this program, a test says that it skipped.
fn is_there(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("skipped: there is no {program}");
    }
    is_there
}

#[test]
fn every_shell_gets_a_script() {
    let workplace = Workplace::new(PODFENCE);
    for (shell, start) in [
        ("bash", "_podfence() {"),
        ("elvish", "\nuse builtin;"),
        ("fish", "# Print an optspec"),
        ("powershell", "\nusing namespace System.Management.Automation"),
        ("zsh", "#compdef podfence"),
    ] {
        let script = workplace.succeeds(&["completions", shell]);
        assert!(script.starts_with(start), "{shell}: {}", &script[..60]);
        assert!(script.contains("as-walked"), "{shell}");
    }
    for shell in ["fish", "zsh"].into_iter().filter(|shell| is_there(shell)) {
        let loading = Workplace::new(shell);
        loading.write("script", workplace.succeeds(&["completions", shell]));
        loading.succeeds(&["--no-execute", "script"]);
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    if !is_there("bash") {
        return;
    }
    let workplace = Workplace::new("bash");
    workplace.write("podfence", Workplace::new(PODFENCE).succeeds(&["completions", "bash"]));
    for (words, expected) in [
        ("podfence sc", "scan"),
        ("podfence scan --as-w", "--as-walked"),
        ("podfence scan --format g", "github gitlab"),
        ("podfence completions z", "zsh"),
        ("podfence nothing-like-this", ""),
    ] {
        // As bash calls it: the function, with the command, the word, and the word before.
        let completing = format!(
            "source ./podfence; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _podfence podfence \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        assert_eq!(workplace.succeeds(&["--norc", "-c", &completing]).trim_end(), expected, "{words}");
    }
}

#[test]
fn every_command_has_a_page() {
    let workplace = Workplace::new(PODFENCE);
    workplace.succeeds(&["man", "deep/man1"]);
    let help = workplace.succeeds(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let mut expected: BTreeSet<String> = names
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != "help")
        .map(|name| format!("podfence-{name}.1"))
        .collect();
    assert!(expected.len() > 10, "{help}");
    expected.insert("podfence.1".to_owned());
    let entries = workplace.path("deep/man1").read_dir().expect("a directory");
    let found: BTreeSet<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    assert_eq!(found, expected);
    // Written again over what is there.
    workplace.succeeds(&["man", "deep/man1"]);

    if !is_there("groff") {
        return;
    }
    let groff = Workplace::new("groff");
    for page in &found {
        let path = workplace.path("deep/man1").join(page);
        let path = path.to_str().expect("UTF-8");
        assert_eq!(groff.ends(&["-k", "-man", "-Tutf8", "-ww", "-z", path], 0), Default::default(), "{page}");
    }
    let path = workplace.path("deep/man1/podfence-scan.1");
    let page = groff.succeeds(&["-k", "-man", "-Tascii", "-P-cbou", path.to_str().expect("UTF-8")]);
    // Lines are adjusted with blanks.
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["Judges the manifests of a repository", "--as-walked", "Examples:"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error() {
    let workplace = Workplace::new(PODFENCE);
    workplace.write("file", "");
    let error = workplace.fails(2, &["man", "file/man1"]);
    assert!(error.starts_with("error: file/man1: "), "{error}");
}
