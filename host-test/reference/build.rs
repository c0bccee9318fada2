//! Lists the opinions, one for each directory that is a policy. It is a compile error if one is missing, if one has no
//! policy, or if the manifest does not depend on the policies.
#![forbid(unsafe_code)]

#[path = "../../policies/fixtures/src/discover.rs"]
mod discover;

use std::{env, error::Error, fmt::Write, fs, path::Path};

const CRATE: &str = "host-test/reference";

fn main() -> Result<(), Box<dyn Error>> {
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let root = Path::new(&root);
    let policies = discover::discover(&root.join("../../policies"))?;
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let opinions = root.join("src/opinions");
    let mut problems = Vec::new();
    let (mut modules, mut list, mut tests) = (String::new(), String::new(), String::new());
    for policy in &policies {
        let module = policy.replace('-', "_");
        let path = opinions.join(&module).with_extension("rs");
        let dependency = format!("podfence-{policy} = {{ path = \"../../policies/{policy}\" }}");
        if !manifest.lines().any(|line| line == dependency) {
            problems.push(format!("the policy {policy} is not a dependency: add to {CRATE}/Cargo.toml\n{dependency}"));
        } else if !path.is_file() {
            problems.push(format!("the policy {policy} has no opinion: write {CRATE}/src/opinions/{module}.rs"));
        } else {
            // The path is absolute because it would start at the included file.
            writeln!(modules, "#[path = {path:?}]\npub mod {module};")?;
            write!(list, "&{module}::OPINION, ")?;
            writeln!(
                tests,
                "        #[test]\n        fn {module}() {{ $test(&$crate::opinions::{module}::OPINION); }}"
            )?;
        }
    }
    for line in manifest.lines() {
        let policy = line.split_once(" = { path = \"../../policies/").and_then(|(_, path)| path.strip_suffix("\" }"));
        if let Some(policy) = policy.filter(|policy| !policies.iter().any(|known| known == policy)) {
            problems.push(format!("policies/{policy} is not a policy: remove from {CRATE}/Cargo.toml\n{line}"));
        }
    }
    for entry in fs::read_dir(&opinions)? {
        let file = entry?.file_name().display().to_string();
        let policy = file.trim_end_matches(".rs").replace('_', "-");
        if file != "mod.rs" && !policies.contains(&policy) {
            problems.push(format!(
                "policies/{policy} is not a policy: remove {CRATE}/src/opinions/{file}, or write \
                    policies/{policy}/fixtures.yaml"
            ));
        }
    }
    for problem in problems {
        writeln!(modules, "compile_error!({problem:?});")?;
    }
    writeln!(
        modules,
        "/// All opinions, sorted by the names of their policies.\npub static OPINIONS: &[&Opinion] = &[{list}];"
    )?;
    writeln!(
        modules,
        "/// Makes a test of each policy's name, which calls this function with the opinion.\n\
         #[macro_export]\nmacro_rules! test_policies {{\n    ($test:path) => {{\n{tests}    }};\n}}"
    )?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("opinions.rs"), modules)?;
    // A directory stands for all files in it, and so for those of a new policy.
    for path in ["build.rs", "Cargo.toml", "src/opinions", "../../policies"] {
        println!("cargo::rerun-if-changed={path}");
    }
    Ok(())
}
