//! Writes the table of the policies that are linked, each with what its metadata says.
#![forbid(unsafe_code)]

#[path = "../policies/fixtures/src/discover.rs"]
mod discover;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Metadata {
    rules: Vec<Rule>,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Rule {
    resources: Vec<String>,
}

#[derive(Deserialize)]
struct Fixture {
    settings: Option<Value>,
    request: Option<Value>,
    pod: Option<Value>,
    object: Option<Value>,
    reject: Option<Value>,
}

impl Fixture {
    /// The pod, or the object of a policy that evaluates no pods. One without a kind was made to be odd.
    fn manifest(self, name: &str) -> Option<Value> {
        let of_pod = |spec| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        self.pod.map(of_pod).or_else(|| self.object.filter(|object| object["kind"].is_string()))
    }
}

/// The manifest of the first pod or object that a policy rejects with its default settings when it is created.
fn example(fixtures: &str, name: &str) -> Result<String, Box<dyn Error>> {
    let fixtures: Vec<Fixture> = serde_saphyr::from_str(fixtures)?;
    let rejected =
        fixtures.into_iter().filter(|of| of.settings.is_none() && of.request.is_none() && of.reject.is_some());
    let manifest = rejected.into_iter().find_map(|of| of.manifest(name));
    let manifest = manifest.ok_or("expected a pod or object that is rejected with the default settings")?;
    Ok(serde_saphyr::to_string(&manifest)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let policies = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../policies");
    let mut source =
        String::from("/// The policies that are linked, sorted by name.\npub static POLICIES: &[Linked] = &[\n");
    for name in discover::discover(&policies)? {
        let path = policies.join(&name).join("metadata.yml");
        println!("cargo::rerun-if-changed={}", path.display());
        // A new policy has none until it is generated.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let at = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
        let Metadata { rules, annotations } = serde_saphyr::from_str(&text).map_err(|error| at(&error))?;
        let text = |key: &str| annotations.get(key).ok_or_else(|| at(&format!("expected the annotation {key}")));
        writeln!(
            source,
            "    Linked {{ policy: &podfence_{}::POLICY, title: {:?}, description: {:?}, docs: {:?}, severity: {:?}, \
             controls: &{:?}, has_volumes: {}, example: {:?} }},",
            name.replace('-', "_"),
            text("io.artifacthub.displayName")?,
            text("io.kubewarden.policy.description")?,
            text("io.kubewarden.policy.url")?,
            text("io.kubewarden.policy.severity")?,
            text("podfence.controls")?.split(", ").collect::<Vec<_>>(),
            rules.iter().flat_map(|rule| &rule.resources).any(|resource| resource == "persistentvolumes"),
            example(&fs::read_to_string(policies.join(&name).join("fixtures.yaml"))?, &name)
                .map_err(|error| at(&error))?,
        )?;
    }
    source.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("policies.rs"), source)?;
    println!("cargo::rerun-if-changed=../policies");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
