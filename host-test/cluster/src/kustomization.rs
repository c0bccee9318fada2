//! Kustomizations of what `podfence deploy` writes: resources, and patches in JSON 6902 of all documents of a group or
//! kind. What kustomize can do beside that is refused: its own output can be read instead.

use json_patch::{Patch, PatchErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A kustomization.
#[derive(Debug)]
pub struct Kustomization {
    /// The files and directories that it is made of, as they are written: relative to its own directory.
    pub resources: Vec<String>,
    patches: Vec<Targeted>,
}

/// A patch, and which documents it changes.
#[derive(Debug)]
struct Targeted {
    /// For messages, such as `patches[0]`.
    place: String,
    target: Target,
    patch: Patch,
}

/// What a document must be to be changed; nothing is required where nothing is said.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    group: Option<String>,
    version: Option<String>,
    kind: Option<String>,
    name: Option<String>,
}

/// The end of a message about what is not read.
const BUILT: &str = "pass the output of `kubectl kustomize` instead";

impl Kustomization {
    /// Whether a document is one.
    pub fn is(document: &Value) -> bool {
        let group = document["apiVersion"].as_str().and_then(|version| version.split_once('/')).map(|(group, _)| group);
        document["kind"] == "Kustomization" && group.is_none_or(|group| group == "kustomize.config.k8s.io")
    }

    /// Reads one.
    ///
    /// # Errors
    /// It has something else than resources and patches in JSON 6902; as a sentence.
    pub fn read(document: &Value) -> Result<Self, String> {
        let mut keys = document.as_object().into_iter().flat_map(Map::keys);
        if let Some(key) = keys.find(|key| !["apiVersion", "kind", "resources", "patches"].contains(&key.as_str())) {
            return Err(format!("Kustomization: {key}: expected only resources and patches; {BUILT}"));
        }
        let resources = elements(document, "resources")?.iter().map(|resource| match resource.as_str() {
            Some(resource) => Ok(resource.to_owned()),
            None => Err(format!("Kustomization: resources: expected files and directories, found {resource}")),
        });
        let patches = elements(document, "patches")?.iter().enumerate();
        Ok(Self {
            resources: resources.collect::<Result<_, _>>()?,
            patches: patches.map(|(index, patch)| Targeted::read(index, patch)).collect::<Result<_, _>>()?,
        })
    }

    /// Changes a document of its resources as its patches say.
    ///
    /// # Errors
    /// A patch does not fit the document, which kustomize refuses as well; as a sentence.
    pub fn apply(&self, document: &mut Value) -> Result<(), String> {
        for Targeted { place, target, patch } in &self.patches {
            if target.has(document) {
                json_patch::patch(document, patch).map_err(|error| {
                    let problem = match error.kind {
                        PatchErrorKind::InvalidPointer => "the document has no such field".to_owned(),
                        other => other.to_string(),
                    };
                    format!("Kustomization: {place}.patch: {}: {problem}", error.path)
                })?;
            }
        }
        Ok(())
    }
}

/// The elements of a list; none if it is not set.
fn elements<'v>(document: &'v Value, key: &str) -> Result<&'v [Value], String> {
    match &document[key] {
        Value::Null => Ok(&[]),
        Value::Array(elements) => Ok(elements),
        other => Err(format!("Kustomization: {key}: expected a list, found {other}")),
    }
}

impl Targeted {
    fn read(index: usize, patch: &Value) -> Result<Self, String> {
        let place = format!("patches[{index}]");
        let wrong = |what: &str| format!("Kustomization: {place}{what}; {BUILT}");
        let mut keys = patch.as_object().ok_or_else(|| wrong(": expected an object"))?.keys();
        if let Some(key) = keys.find(|key| !["target", "patch"].contains(&key.as_str())) {
            return Err(wrong(&format!(".{key}: expected only a target, and a patch in JSON 6902")));
        }
        let target = match &patch["target"] {
            Value::Null => return Err(wrong(".target: expected the documents to change, found nothing")),
            target => Target::deserialize(target).map_err(|error| wrong(&format!(".target: {error}")))?,
        };
        // Kustomize reads these as regular expressions.
        let is_name =
            |text: &&String| text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-.".contains(letter));
        if let Some(other) = target.names().into_iter().flatten().find(|text| !is_name(text)) {
            return Err(wrong(&format!(".target: expected names of letters, digits, `-` and `.`, found {other:?}")));
        }
        let text = patch["patch"].as_str().ok_or_else(|| wrong(".patch: expected a text"))?;
        let patch = serde_saphyr::from_str::<Value>(text).map_err(|error| wrong(&format!(".patch: {error}")))?;
        let patch = Patch::deserialize(&patch)
            .map_err(|_| wrong(".patch: expected operations of JSON 6902, such as {op: replace, path: …, value: …}"))?;
        Ok(Self { place, target, patch })
    }
}

impl Target {
    fn names(&self) -> [Option<&String>; 4] {
        [self.group.as_ref(), self.version.as_ref(), self.kind.as_ref(), self.name.as_ref()]
    }

    fn has(&self, document: &Value) -> bool {
        let api_version = document["apiVersion"].as_str().unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let found =
            [group.to_owned(), version.to_owned(), text(&document["kind"]), text(&document["metadata"]["name"])];
        self.names().into_iter().zip(found).all(|(wanted, found)| wanted.is_none_or(|wanted| *wanted == found))
    }
}
