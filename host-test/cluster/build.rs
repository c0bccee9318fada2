//! Embeds the metadata of the policies.
#![forbid(unsafe_code)]

#[path = "../../policies/fixtures/src/discover.rs"]
mod discover;

use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let policies = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../policies");
    let mut source =
        String::from("/// The policies, by name, with their metadata.\nstatic METADATA: &[(&str, &str)] = &[\n");
    for name in discover::discover(&policies)? {
        // A new policy has none until it is generated, by tests that need this to compile.
        if policies.join(&name).join("metadata.yml").is_file() {
            let path = format!("/../../policies/{name}/metadata.yml");
            writeln!(source, "    ({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),")?;
        }
    }
    source.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("metadata.rs"), source)?;
    // The compiler knows of the files themselves; a policy that comes or goes changes the directory.
    println!("cargo::rerun-if-changed=../../policies");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
