//! Makes the hand-written files of a new policy, to be changed: `new-policy NAME`. See `make new-policy`.
#![forbid(unsafe_code)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The files of a policy, below the root of the repository, and what they start with.
const FILES: [(&str, &str); 4] = [
    ("policies/{{name}}/Cargo.toml", include_str!("../../skeleton/Cargo.toml")),
    ("policies/{{name}}/src/lib.rs", include_str!("../../skeleton/lib.rs")),
    ("policies/{{name}}/fixtures.yaml", include_str!("../../skeleton/fixtures.yaml")),
    ("host-test/reference/src/opinions/{{module}}.rs", include_str!("../../skeleton/opinion.rs")),
];

/// The manifests of the crates that depend on every policy, each with the path from there to the policies.
const MANIFESTS: [(&str, &str); 2] =
    [("host-test/reference/Cargo.toml", "../../policies"), ("web/Cargo.toml", "../policies")];

/// What is to be done then.
const NEXT: &str = "
Next:
- In host-test/reference/pod-fields.yaml, give each field of pods that the policy declares `judged by: [{{name}}]`.
- `BLESS=1 cargo test -p podfence-{{name}}` writes the policy's own generated files.
- `make bless` also writes what the policies share, and `make test` passes then.";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."));
    let name = std::env::args().nth(1).unwrap_or_default();
    match make(root, &name) {
        Ok(files) => {
            println!("Wrote a policy that rejects `stdin: true`, to be changed into yours:\n");
            files.iter().for_each(|file| println!("  {}", file.display()));
            println!("{}", NEXT.replace("{{name}}", &name));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(2)
        }
    }
}

/// Writes the files and adds the dependency; the paths of all of them, below the root.
fn make(root: &Path, name: &str) -> Result<Vec<PathBuf>, String> {
    let is_word = |word: &str| word.starts_with(|c: char| c.is_ascii_lowercase());
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.split('-').all(is_word) || !name.chars().all(is_plain) {
        return Err(format!(
            "expected a name such as `open-stdin`, lower-case words with hyphens, found {name:?}: make new-policy NAME=open-stdin"
        ));
    }
    let filled = |text: &str| {
        text.replace("{{name}}", name).replace("{{module}}", &name.replace('-', "_")).replace("{{title}}", &title(name))
    };
    let files = FILES.map(|(path, text)| (PathBuf::from(filled(path)), filled(text)));
    if let Some((file, _)) = files.iter().find(|(file, _)| root.join(file).exists()) {
        return Err(format!("{} exists already: choose another name, or remove it", file.display()));
    }
    let at = |error: std::io::Error, path: &Path| format!("{}: {error}", path.display());
    let mut manifests = Vec::new();
    for (manifest, policies) in MANIFESTS {
        let path = root.join(manifest);
        let text = fs::read_to_string(&path).map_err(|error| at(error, &path))?;
        let text = with_dependency(&text, policies, name).ok_or(format!("{manifest}: no dependency on a policy"))?;
        manifests.push((PathBuf::from(manifest), text));
    }
    for (file, text) in &files {
        let path = root.join(file);
        let directory = path.parent().unwrap_or(root);
        let written = fs::create_dir_all(directory).and_then(|()| fs::write(&path, text));
        written.map_err(|error| at(error, &path))?;
    }
    for (manifest, text) in &manifests {
        fs::write(root.join(manifest), text).map_err(|error| at(error, manifest))?;
    }
    Ok(files.into_iter().chain(manifests).map(|(file, _)| file).collect())
}

/// `host-path` as `Host path`.
fn title(name: &str) -> String {
    let words = name.replace('-', " ");
    let first = words.chars().take(1).map(|c| c.to_ascii_uppercase());
    first.chain(words.chars().skip(1)).collect()
}

/// A manifest with a dependency on one more policy, sorted among the others; `None` if it has no others.
fn with_dependency(manifest: &str, policies: &str, name: &str) -> Option<String> {
    let line = format!("podfence-{name} = {{ path = \"{policies}/{name}\" }}");
    let start = format!("path = \"{policies}/");
    let is_policy = |line: &&str| line.starts_with("podfence-") && line.contains(&start);
    let mut lines: Vec<&str> = manifest.lines().collect();
    let last = lines.iter().rposition(is_policy)?;
    let behind = lines.iter().position(|other| is_policy(other) && *other > line.as_str());
    lines.insert(behind.unwrap_or(last + 1), &line);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_gets_its_files_once() {
        let root = std::env::temp_dir().join(format!("podfence-new-{}", std::process::id()));
        let manifest = |policies: &str, names: &[&str]| {
            let dependency = |name: &&str| format!("podfence-{name} = {{ path = \"{policies}/{name}\" }}\n");
            format!("[dependencies]\n{}serde = \"1\"\n", names.iter().map(dependency).collect::<String>())
        };
        for (path, policies) in MANIFESTS {
            fs::create_dir_all(root.join(path).parent().expect("a directory")).expect("a directory");
            fs::write(root.join(path), manifest(policies, &["apparmor", "users"])).expect("a file");
        }
        let made = make(&root, "open-stdin").expect("files");
        assert_eq!(made.len(), 6);
        let source = fs::read_to_string(root.join("policies/open-stdin/src/lib.rs")).expect("a file");
        assert!(source.contains("name: \"open-stdin\"") && !source.contains("{{"));
        let opinion = fs::read_to_string(root.join("host-test/reference/src/opinions/open_stdin.rs")).expect("a file");
        assert!(opinion.starts_with("use podfence_open_stdin::POLICY;\n"));
        for (path, policies) in MANIFESTS {
            let written = fs::read_to_string(root.join(path)).expect("a file");
            assert_eq!(written, manifest(policies, &["apparmor", "open-stdin", "users"]));
        }
        let again = make(&root, "open-stdin").expect_err("it exists");
        assert_eq!(again, "policies/open-stdin/Cargo.toml exists already: choose another name, or remove it");
        fs::remove_dir_all(root).expect("it was there");
    }

    #[test]
    fn a_name_is_of_lower_case_words() {
        for name in ["", "Host", "host_path", "-host", "host-", "host--path", "../x", "4x"] {
            assert!(make(Path::new("."), name).is_err_and(|problem| problem.starts_with("expected a name")), "{name}");
        }
        assert_eq!(title("host-path"), "Host path");
    }
}
