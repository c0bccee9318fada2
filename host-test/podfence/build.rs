//! Embeds the READMEs of the policies, which `podfence explain` prints, and with the feature `embedded` the packaged
//! modules.
#![forbid(unsafe_code)]

#[path = "../../policies/fixtures/src/discover.rs"]
mod discover;

use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let policies = discover::discover(&root.join("policies"))?;
    let mut source =
        String::from("/// The policies, by name, with their READMEs.\nstatic READMES: &[(&str, &str)] = &[\n");
    for name in &policies {
        let path = format!("/../../policies/{name}/README.md");
        writeln!(source, "    ({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),")?;
    }
    source.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("readmes.rs"), source)?;
    embed_modules(&root, &policies)?;
    // A policy that comes or goes changes the list in the README. The compiler knows of the READMEs themselves.
    println!("cargo::rerun-if-changed=../../README.md");
    println!("cargo::rerun-if-changed=../../policies/fixtures/src/discover.rs");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

/// Lists the packaged modules. Without the feature, the list is empty.
fn embed_modules(root: &Path, policies: &[String]) -> Result<(), Box<dyn Error>> {
    let mut source = String::from(
        "/// The packaged modules, by the names of the policies.\nstatic EMBEDDED: &[(&str, &[u8])] = &[\n",
    );
    let embedded = if env::var_os("CARGO_FEATURE_EMBEDDED").is_some() { policies } else { &[] };
    for name in embedded {
        let file = format!("target/packages/{name}.wasm");
        println!("cargo::rerun-if-changed=../../{file}");
        if !root.join(&file).is_file() {
            return Err(format!(
                "{file} does not exist; the feature `embedded` needs it, and `make package` writes it"
            )
            .into());
        }
        let path = format!("/../../{file}");
        writeln!(source, "    ({name:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),")?;
    }
    source.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("modules.rs"), source)?;
    Ok(())
}
