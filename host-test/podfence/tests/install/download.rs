//! `download.sh` against a server, and what runs what it downloaded.

use podfence_support::{Workplace, root};

use super::release::{Release, VERSION, machine};

const LINUX: &str = "x86_64-unknown-linux-musl";
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn script(name: &str) -> String {
    root().join("host-test/podfence/install").join(name).to_str().expect("UTF-8").to_owned()
}

fn linux(release: &Release, programs: &[(&str, &str)]) -> Workplace {
    machine("Linux", "x86_64", programs).with("PODFENCE_URL", &release.url())
}

fn archive() -> String {
    format!("podfence-{VERSION}-{LINUX}.tar.gz")
}

#[test]
fn the_release_of_the_repository_is_downloaded_once() {
    let release = Release::new(LINUX, "podfence");
    let workplace = linux(&release, &[]);
    let program = format!("cache/{VERSION}/podfence");
    for asked in [vec![archive(), "SHA256SUMS".to_owned()], vec![]] {
        assert_eq!(workplace.succeeds(&[&script("download.sh"), "cache"]), format!("{program}\n"));
        assert_eq!(release.asked(), asked);
    }
    assert_eq!(workplace.succeeds(&["-c", &format!("{program} 'a b' c")]), "<a b>\n<c>\n");
    // Nothing but the program is left.
    let left: Vec<_> = workplace.path(&format!("cache/{VERSION}")).read_dir().unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn each_machine_gets_its_archive() {
    for (system, hardware, target, program) in [
        ("Linux", "x86_64", LINUX, "podfence"),
        ("Linux", "aarch64", "aarch64-unknown-linux-musl", "podfence"),
        ("Darwin", "arm64", "aarch64-apple-darwin", "podfence"),
        ("Darwin", "x86_64", "x86_64-apple-darwin", "podfence"),
        ("MINGW64_NT-10.0-26100", "x86_64", "x86_64-pc-windows-msvc", "podfence.exe"),
    ] {
        let release = Release::new(target, program);
        let workplace = machine(system, hardware, &[]).with("PODFENCE_URL", &release.url());
        let printed = workplace.succeeds(&[&script("download.sh"), "cache"]);
        assert_eq!(printed, format!("cache/{VERSION}/{program}\n"), "{system} {hardware}");
    }
    let error = machine("SunOS", "sun4v", &[]).fails(2, &[&script("download.sh"), "cache"]);
    assert_eq!(error, "podfence: there is no release for SunOS on sun4v; build it from source with make install\n");
}

/// What is not verified leaves no program behind.
#[test]
fn whatever_fails_is_exit_code_2() {
    let archive = archive();
    type Breaks = fn(&Release);
    let no_change: Breaks = |_| ();
    let changed: Breaks = |release| release.put(&self::archive(), "another");
    let other_digest: Breaks = |release| release.put("SHA256SUMS", format!("{ZEROS}  {}\n", self::archive()));
    let unlisted: Breaks = |release| release.put("SHA256SUMS", format!("{ZEROS}  more-{}\n", self::archive()));
    let empty: Breaks = |release| {
        release.put(&self::archive(), "no archive");
        release.put("SHA256SUMS", format!("{}  {}\n", release.digest(&self::archive()), self::archive()));
    };
    let bad = "exit 1";
    type Case<'a> = (Breaks, &'a [(&'a str, &'a str)], &'a [(&'static str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (changed, &[], &[], "URL/ARCHIVE: the digest is FOUND; expected LISTED"),
        (other_digest, &[], &[], "URL/ARCHIVE: the digest is FOUND; expected LISTED"),
        (unlisted, &[], &[], "URL/SHA256SUMS: has no digest of ARCHIVE"),
        (empty, &[], &[], "URL/ARCHIVE: cannot be unpacked"),
        (no_change, &[], &[("PODFENCE_SHA256", ZEROS)], "URL/ARCHIVE: the digest is FOUND; expected LISTED"),
        (no_change, &[], &[("PODFENCE_SHA256", "xyz")], "PODFENCE_SHA256 'xyz': expected 64 hexadecimal digits"),
        (no_change, &[], &[("PODFENCE_SHA256", "abc")], "PODFENCE_SHA256 'abc': expected 64 hexadecimal digits"),
        // Some shells take `\c` for the end of what they print.
        (no_change, &[], &[("PODFENCE_SHA256", "\\c")], "PODFENCE_SHA256 '\\c': expected 64 hexadecimal digits"),
        (no_change, &[], &[("PODFENCE_VERSION", "9.9.9")], "URL/podfence-9.9.9-TARGET.tar.gz: cannot be downloaded"),
        (no_change, &[], &[("PODFENCE_VERSION", "1/../2")], "version '1/../2': expected one such as 0.2.0"),
        (
            no_change,
            &[],
            &[("PODFENCE_URL", "http://127.0.0.1.example.com/")],
            "http://127.0.0.1.example.com//ARCHIVE: expected https://",
        ),
        (
            no_change,
            &[],
            &[("PODFENCE_URL", "http://127.0.0.1:1@example.com")],
            "http://127.0.0.1:1@example.com/ARCHIVE: expected https://",
        ),
        (no_change, &[], &[("PODFENCE_URL", "file:///etc")], "file:///etc/ARCHIVE: expected https://"),
        (
            no_change,
            &[],
            &[("PODFENCE_SIGNATURE", "required")],
            "the signature cannot be verified: install cosign, or gh with GH_TOKEN, or set the digest (PODFENCE_SHA256)",
        ),
        // Without a token, gh can ask nobody.
        (
            no_change,
            &[("gh", "")],
            &[("PODFENCE_SIGNATURE", "required")],
            "the signature cannot be verified: install cosign, or gh with GH_TOKEN, or set the digest (PODFENCE_SHA256)",
        ),
        (no_change, &[("gh", bad)], &[("GH_TOKEN", "t")], "URL/ARCHIVE: the attestation is not good"),
        (no_change, &[("cosign", bad)], &[], "URL/SHA256SUMS.sigstore.json: cannot be downloaded"),
        (
            |release| release.put("SHA256SUMS.sigstore.json", "{}"),
            &[("cosign", bad), ("gh", "")],
            &[("GH_TOKEN", "t")],
            "URL/SHA256SUMS: the signature is not good",
        ),
    ];
    for (breaks, programs, environment, expected) in cases {
        let release = Release::new(LINUX, "podfence");
        breaks(&release);
        let mut workplace = linux(&release, programs);
        for (variable, value) in *environment {
            workplace = workplace.with(variable, value);
        }
        let error = workplace.fails(2, &[&script("download.sh"), "cache"]);
        let given = environment.iter().find_map(|(variable, value)| (*variable == "PODFENCE_SHA256").then_some(*value));
        let listed = given.map_or_else(|| release.listed(), str::to_owned);
        let expected = expected
            .replace("URL", &release.url())
            .replace("ARCHIVE", &archive)
            .replace("TARGET", LINUX)
            .replace("FOUND", &release.digest(&archive))
            .replace("LISTED", &listed);
        assert_eq!(error.lines().last(), Some(format!("podfence: {expected}").as_str()), "{error}");
        let program = workplace.path("cache").join(VERSION).join("podfence");
        assert!(!program.exists(), "{expected}");
        // Nor what was unpacked.
        let left = workplace.succeeds(&["-c", "for new in cache/*/new.*; do [ ! -e \"$new\" ] || echo \"$new\"; done"]);
        assert_eq!(left, "", "{expected}");
    }
}

#[test]
fn a_digest_that_is_given_is_all_that_counts() {
    let release = Release::new(LINUX, "podfence");
    release.put("SHA256SUMS", "nothing");
    let digest = release.digest(&archive());
    let workplace = linux(&release, &[("cosign", "exit 1")])
        .with("PODFENCE_SHA256", &digest.to_uppercase())
        .with("PODFENCE_SIGNATURE", "required");
    let printed = workplace.succeeds(&[&script("download.sh"), "cache"]);
    assert_eq!(printed, format!("cache/{VERSION}-{digest}/podfence\n"));
    assert_eq!(release.asked(), [archive()]);
}

/// The signer is the workflow of that version, not anybody with a signature.
#[test]
fn a_signature_is_verified_by_what_is_there() {
    let workflow = "podfence/podfence/.github/workflows/release.yml";
    let cosign = format!(
        "verify-blob --bundle NEW/SHA256SUMS.sigstore.json --certificate-identity \
         https://github.com/{workflow}@refs/tags/v{VERSION} --certificate-oidc-issuer \
         https://token.actions.githubusercontent.com NEW/SHA256SUMS"
    );
    let gh = format!(
        "attestation verify NEW/{} --repo podfence/podfence --signer-workflow {workflow} --source-ref refs/tags/v{VERSION}",
        archive()
    );
    for (program, expected) in [("cosign", cosign), ("gh", gh)] {
        let release = Release::new(LINUX, "podfence");
        release.put("SHA256SUMS.sigstore.json", "{}");
        let workplace = linux(&release, &[(program, "echo \"$@\" > \"$HOME.asked\"")])
            .with("PODFENCE_SIGNATURE", "required")
            .with("GH_TOKEN", "t");
        workplace.succeeds(&[&script("download.sh"), "cache"]);
        let asked = workplace.text("home.asked");
        let new = asked.split(' ').find_map(|word| word.rsplit_once('/').filter(|(new, _)| new.starts_with("cache/")));
        let (new, _) = new.expect("a file that was downloaded");
        assert_eq!(asked.trim_end().replace(new, "NEW"), expected);
    }
}

/// The arguments that the program gets, from inputs as they come from anywhere.
#[test]
fn the_action_evaluates_no_input() {
    let cases: &[(&str, &str, &str, &[&str])] = &[
        (".", "", "", &["--", "."]),
        (
            "deploy\ncharts/a b\n\n",
            "--enforce restricted",
            "",
            &["--enforce", "restricted", "--", "deploy", "charts/a b"],
        ),
        ("", "", "", &["--"]),
        ("*.yaml", "", "a b.sarif", &["--output", "sarif=a b.sarif", "--", "*.yaml"]),
        (
            "$(touch pwned)\n`touch pwned`\n\"; touch pwned; \"\nPATHS\n--format=json\n\\n",
            "--exclude * $(touch pwned)\n'; touch pwned",
            "$(touch pwned)",
            &[
                "--exclude",
                "*",
                "$(touch",
                "pwned)",
                "';",
                "touch",
                "pwned",
                "--output",
                "sarif=$(touch pwned)",
                "--",
                "$(touch pwned)",
                "`touch pwned`",
                "\"; touch pwned; \"",
                "PATHS",
                "--format=json",
                "\\n",
            ],
        ),
    ];
    let release = Release::new(LINUX, "podfence");
    for (paths, args, sarif, expected) in cases {
        let workplace = linux(&release, &[])
            .with("RUNNER_TEMP", "temp")
            .with("PATHS", paths)
            .with("ARGS", args)
            .with("FORMAT", "github")
            .with("SARIF", sarif);
        workplace.write("a.yaml", "");
        let printed = workplace.succeeds(&[&script("action.sh")]);
        let expected: Vec<String> = [&["scan", "--format", "github"], *expected]
            .concat()
            .iter()
            .map(|argument| format!("<{argument}>"))
            .collect();
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
        assert!(!workplace.path("pwned").exists(), "{paths}");
    }
}

#[test]
fn the_hook_passes_its_arguments_on() {
    let release = Release::new(LINUX, "podfence");
    let workplace = linux(&release, &[]);
    let printed = workplace.succeeds(&[&script("hook.sh"), "scan", "--as-walked", "a b.yaml"]);
    assert_eq!(printed, "<scan>\n<--as-walked>\n<a b.yaml>\n");
    assert!(workplace.path(&format!("home/.cache/podfence/{VERSION}/podfence")).exists());
}

/// A step or a hook that could not download is not one that found nothing.
#[test]
fn what_was_not_downloaded_fails_the_action_and_the_hook() {
    let release = Release::new(LINUX, "podfence");
    release.put("SHA256SUMS", format!("{ZEROS}  {}\n", archive()));
    for name in ["action.sh", "hook.sh"] {
        let workplace = linux(&release, &[])
            .with("RUNNER_TEMP", "temp")
            .with("PATHS", ".")
            .with("ARGS", "")
            .with("FORMAT", "github")
            .with("SARIF", "");
        let error = workplace.fails(2, &[&script(name)]);
        assert!(error.contains("the digest is"), "{name}: {error}");
    }
}

/// What is there already counts if it is a program, and was verified as it must be now.
#[test]
fn what_is_kept_is_a_program_that_was_verified() {
    let release = Release::new(LINUX, "podfence");
    let workplace = linux(&release, &[]);
    let program = format!("cache/{VERSION}/podfence");
    workplace.write(&program, "");
    workplace.succeeds(&["-c", &format!("chmod +x {program}")]);
    assert_eq!(workplace.succeeds(&[&script("download.sh"), "cache"]), format!("{program}\n"));
    assert_eq!(workplace.succeeds(&["-c", &format!("{program} a")]), "<a>\n");

    let workplace = workplace.with("PODFENCE_SIGNATURE", "required");
    let error = workplace.fails(2, &[&script("download.sh"), "cache"]);
    assert!(error.starts_with("podfence: the signature cannot be verified"), "{error}");

    let workplace = linux(&release, &[]);
    workplace.make_directory(&program);
    let error = workplace.fails(2, &[&script("download.sh"), "cache"]);
    assert_eq!(error, format!("podfence: {program}: expected a program, found a directory; remove it\n"));
}

#[test]
fn what_the_scripts_get_is_checked() {
    let release = Release::new(LINUX, "podfence");
    let workplace = linux(&release, &[]);
    let expected = "podfence: expected one argument: the directory\n";
    for arguments in [&[][..], &[""], &["a", "b"]] {
        let download = script("download.sh");
        assert_eq!(workplace.fails(2, &[&[download.as_str()], arguments].concat()), expected);
    }
    for (variable, value, shown) in
        [("XDG_CACHE_HOME", "cache", "cache"), ("HOME", "", ""), ("HOME", "home", "home/.cache")]
    {
        let error = linux(&release, &[]).with(variable, value).fails(2, &[&script("hook.sh")]);
        let expected = "expected an absolute path in XDG_CACHE_HOME or HOME\n";
        assert_eq!(error, format!("podfence: the cache '{shown}': {expected}"));
    }
    for tool in ["awk", "head", "tr", "uname"] {
        let workplace = linux(&release, &[]);
        std::fs::remove_file(workplace.path("bin").join(tool)).unwrap();
        let error = workplace.fails(2, &[&script("download.sh"), "cache"]);
        assert_eq!(error, format!("podfence: found no {tool}; it is needed to download podfence\n"));
    }
    // Where the script is named by a relative path, `cd` looks for it along CDPATH.
    let copy = "copy/host-test/podfence/install/download.sh";
    let workplace = linux(&release, &[]).with("CDPATH", ".");
    workplace.write(copy, std::fs::read(script("download.sh")).unwrap());
    workplace.write("copy/Cargo.toml", format!("version = \"{VERSION}\"\n"));
    assert_eq!(workplace.succeeds(&[copy, "cache"]), format!("cache/{VERSION}/podfence\n"));
}
