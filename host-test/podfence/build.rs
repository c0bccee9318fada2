//! Embeds the READMEs of the policies, which `podfence explain` prints.
#![forbid(unsafe_code)]

#[path = "../../policies/fixtures/src/discover.rs"]
mod discover;

use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let policies = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../policies");
    let mut source =
        String::from("/// The policies, by name, with their READMEs.\nstatic READMES: &[(&str, &str)] = &[\n");
    for name in discover::discover(&policies)? {
        let path = format!("/../../policies/{name}/README.md");
        writeln!(source, "    ({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),")?;
    }
    source.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("readmes.rs"), source)?;
    // A policy that comes or goes changes the list in the README. The compiler knows of the READMEs themselves.
    println!("cargo::rerun-if-changed=../../README.md");
    println!("cargo::rerun-if-changed=../../policies/fixtures/src/discover.rs");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
