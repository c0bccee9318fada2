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
    old: Option<Value>,
    pod: Option<Value>,
    object: Option<Value>,
    reject: Option<Value>,
}

impl Fixture {
    fn is_rejected_without_settings(&self) -> bool {
        self.reject.is_some() && self.settings.is_none() && self.request.is_none() && self.old.is_none()
    }
}

/// The manifest of the first pod, or object of another kind, that is rejected without settings: the example of the
/// policy's README.
fn example(fixtures: &str, name: &str, of_pods: bool) -> Result<String, Box<dyn Error>> {
    let fixtures: Vec<Fixture> = serde_saphyr::from_str(fixtures)?;
    let rejected = fixtures.into_iter().filter(Fixture::is_rejected_without_settings);
    let pod = |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    let mut objects = rejected.filter_map(|of| if of_pods { of.pod.map(pod) } else { of.object });
    let object = objects.next().ok_or("expected an object that is rejected without settings")?;
    Ok(serde_saphyr::to_string(&object)?)
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
        let has = |wanted: &str| rules.iter().flat_map(|rule| &rule.resources).any(|resource| resource == wanted);
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
            has("persistentvolumes"),
            example(&fs::read_to_string(policies.join(&name).join("fixtures.yaml"))?, &name, has("pods"))
                .map_err(|error| at(&error))?,
        )?;
    }
    source.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("policies.rs"), source)?;
    println!("cargo::rerun-if-changed=../policies");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
