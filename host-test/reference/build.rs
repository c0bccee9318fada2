//! Lists the opinions: one for each directory that is a policy. A missing one is a compile error, as is one on nothing.
#![forbid(unsafe_code)]

#[path = "../../policies/fixtures/src/discover.rs"]
mod discover;

use std::{env, error::Error, fmt::Write, fs, path::Path};

const OPINIONS: &str = "host-test/reference/src/opinions";

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = env::var("CARGO_MANIFEST_DIR")?;
    let policies = discover::discover(&Path::new(&manifest).join("../../policies"))?;
    let directory = Path::new(&manifest).join("src/opinions");
    let (mut modules, mut list, mut tests) = (String::new(), String::new(), String::new());
    for policy in &policies {
        let module = policy.replace('-', "_");
        let path = directory.join(&module).with_extension("rs");
        if !path.is_file() {
            let problem = format!("no opinion on the policy {policy}: write {OPINIONS}/{module}.rs");
            writeln!(modules, "compile_error!({problem:?});")?;
            continue;
        }
        // A path in an included file is relative to that file.
        writeln!(modules, "#[path = {path:?}]\nmod {module};")?;
        write!(list, "&{module}::OPINION, ")?;
        writeln!(tests, "#[test]\nfn {module}() {{\n    crate::ask({policy:?});\n}}")?;
    }
    for entry in fs::read_dir(&directory)? {
        let file = entry?.file_name().display().to_string();
        let policy = file.trim_end_matches(".rs").replace('_', "-");
        if file != "mod.rs" && !policies.contains(&policy) {
            let problem =
                format!("{OPINIONS}/{file} is on no policy: remove it, or give policies/{policy} its fixtures.yaml");
            writeln!(modules, "compile_error!({problem:?});")?;
        }
    }
    writeln!(
        modules,
        "/// All opinions, by the names of the policies.\npub static OPINIONS: &[&Opinion] = &[{list}];"
    )?;
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("opinions.rs"), modules)?;
    fs::write(Path::new(&out).join("agrees.rs"), tests)?;
    for path in ["build.rs", "src/opinions", "../../policies"] {
        println!("cargo::rerun-if-changed={path}");
    }
    Ok(())
}
