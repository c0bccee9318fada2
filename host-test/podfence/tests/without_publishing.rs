//! A podfence that was built without publishing names the commands that it does not have, and says how to get them.
#![cfg(not(feature = "publish"))]
#![forbid(unsafe_code)]

use podfence_support::Workplace;

const COMMANDS: [&str; 8] = ["package", "bundle", "sbom", "push", "pull", "sign", "verify", "generate-key-pair"];

#[test]
fn the_help_names_the_commands_of_publishing() {
    let workplace = Workplace::new(env!("CARGO_BIN_EXE_podfence"));
    let help = workplace.succeeds(&["--help"]);
    for command in COMMANDS {
        let is_named = |line: &str| line.strip_prefix("  ").is_some_and(|line| line.split(' ').next() == Some(command));
        assert!(help.lines().any(is_named), "{command}: {help}");
        assert!(workplace.succeeds(&[command, "--help"]).contains("built without publishing"), "{command}");
    }
}

#[test]
fn a_command_of_publishing_says_how_to_get_it() {
    let workplace = Workplace::new(env!("CARGO_BIN_EXE_podfence"));
    for command in COMMANDS {
        for arguments in [&[command][..], &[command, "privileged.wasm", "--registry", "registry.example.com", "-x"]] {
            let expected = format!(
                "error: podfence {command}: this podfence was built without publishing; in the repository, `make \
                 publish-tools` builds one that has it (target/publish/release/podfence); released binaries have it\n"
            );
            assert_eq!(workplace.fails(2, arguments), expected);
        }
    }
}
