//! Values of settings as their sources read them: what is not a value there is left out, so that one odd value does not
//! void the rest.

use podfence_core::Block;
use serde_json::{Map, Value, json};

use super::write::Writer;
use super::{Effect, is_exemption, is_plain_path, resources};
use crate::gatekeeper::{Parameters, Template, object, volume_type};

/// The types of volumes that the policy knows, and any.
#[rustfmt::skip]
const VOLUMES: [&str; 31] = [
    "*", "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "configMap", "csi", "downwardAPI",
    "emptyDir", "ephemeral", "fc", "flexVolume", "flocker", "gcePersistentDisk", "gitRepo", "glusterfs", "hostPath",
    "image", "iscsi", "nfs", "persistentVolumeClaim", "photonPersistentDisk", "portworxVolume", "projected", "quobyte",
    "rbd", "scaleIO", "secret", "storageos", "vsphereVolume",
];

/// The rules for users and groups.
const RULES: [&str; 4] = ["MustRunAs", "MayRunAs", "MustRunAsNonRoot", "RunAsAny"];

/// Reads the parameters of a constraint.
///
/// # Errors
/// One is of another type; the field, and what is expected there.
pub(super) fn normalized(
    origin: &str,
    template: &Template,
    given: Parameters,
    writer: &mut Writer<'_>,
) -> Result<Parameters, String> {
    let mut reader = Reader { origin, prefix: "spec.parameters", writer };
    let mut parameters = Parameters::new();
    for (name, value) in given {
        if value.is_null() {
            continue;
        }
        if !template.has(&name) {
            reader.warn(Effect::Note, &name, "the template has no such parameter");
            continue;
        }
        if let Some(value) = reader.value(&name, value)? {
            parameters.insert(name, value);
        }
    }
    let repos = parameters.remove("repos");
    if let Some(repos) = repos {
        // What is left out of a list that denies is let in.
        let effect = if template.kind == "K8sDisallowedRepos" { Effect::Weaker } else { Effect::Stricter };
        let is_kept = |entry: &str| is_image(entry.strip_suffix('/').unwrap_or(entry));
        parameters.insert("repos".to_owned(), reader.images("repos", repos, effect, is_kept)?);
    }
    resources::normalized(template.kind, &mut parameters, &mut reader)?;
    match template.kind {
        // Without a rule its suite lets every pod pass.
        "K8sPSPFSGroup" => reader.ids("", parameters),
        _ => Ok(parameters),
    }
}

/// Reads the settings of one document.
pub(super) struct Reader<'r, 'o> {
    /// The document.
    pub(super) origin: &'r str,
    /// Where the settings are in it.
    pub(super) prefix: &'r str,
    /// Where its warnings go.
    pub(super) writer: &'r mut Writer<'o>,
}

impl Reader<'_, '_> {
    /// Says what is different about a setting.
    pub(super) fn warn(&mut self, effect: Effect, name: &str, text: &str) {
        self.writer.warn(effect, self.origin, &format!("{}.{name}", self.prefix), text);
    }

    fn wrong(&self, name: &str, expected: &str, found: &Value) -> String {
        format!("{}.{name}: expected {expected}, found {found}", self.prefix)
    }

    /// A value as the policies take it; `None` if it says nothing.
    fn value(&mut self, name: &str, value: Value) -> Result<Option<Value>, String> {
        Ok(Some(match name {
            "allowedProfiles" => self.strings(name, value, is_known_profile)?,
            "exemptImages" | "allowedSysctls" | "forbiddenSysctls" => self.strings(name, value, is_exemption)?,
            "volumes" => self.volumes(name, value)?,
            "allowedCapabilities" | "requiredDropCapabilities" | "allowedLocalhostFiles" => {
                self.strings(name, value, |_| true)?
            }
            "allowedHostPaths" => self.host_paths(name, value)?,
            "allowedFlexVolumes" => self.drivers(name, value)?,
            "allowedImages" => {
                // A prefix ends where a component, or the tag, starts.
                let is_kept = |entry: &str| {
                    let start = entry.strip_suffix("/*").or_else(|| entry.strip_suffix(":*")).unwrap_or(entry);
                    entry == "*" || is_image(start)
                };
                self.images(name, value, Effect::Stricter, is_kept)?
            }
            "tags" => self.strings(name, value, is_tag)?,
            // No Service has anything but addresses, so that a block in the list covers none.
            "allowedIPs" => self.strings(name, value, |of| !of.contains('/') && Block::parse_any(of).is_some())?,
            "allowedRoles" => self.strings(name, value, |_| true)?,
            "allowedSELinuxOptions" => self.objects(name, value, |of| of.values().all(Value::is_string))?,
            "runAsUser" | "runAsGroup" | "supplementalGroups" | "fsGroup" => match value {
                Value::Object(ids) if name != "runAsUser" && !ids.contains_key("ranges") => {
                    json!(self.ids(name, without_ranges(ids))?)
                }
                Value::Object(ids) => json!(self.ids(name, ids)?),
                other => return Err(self.wrong(name, "a rule and its ranges", &other)),
            },
            "hostNetwork" | "disallowAuthenticated" if !value.is_boolean() => {
                return Err(self.wrong(name, "a boolean", &value));
            }
            "min" | "max" => match value.as_i64() {
                Some(port) => json!(port.clamp(0, 65535)),
                None => return Err(self.wrong(name, "a port", &value)),
            },
            _ => value,
        }))
    }

    /// The texts of a list that mean something.
    pub(super) fn strings(
        &mut self,
        name: &str,
        value: Value,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Value, String> {
        let Value::Array(elements) = value else { return Err(self.wrong(name, "a list", &value)) };
        let (kept, others): (Vec<Value>, Vec<Value>) =
            elements.into_iter().partition(|of| of.as_str().is_some_and(&is_known));
        // What forbids or requires nothing, if it is not a value, is not a loss either: nothing has such a name.
        for other in others {
            let text = format!("{other} matches no value; it is left out");
            self.warn(Effect::Note, name, &text);
        }
        Ok(Value::Array(kept))
    }

    /// Registries, repositories and images, or the starts of their texts. What is left out of them has this effect.
    pub(super) fn images(
        &mut self,
        name: &str,
        value: Value,
        effect: Effect,
        is_kept: impl Fn(&str) -> bool,
    ) -> Result<Value, String> {
        let Value::Array(elements) = value else { return Err(self.wrong(name, "a list", &value)) };
        let (kept, others): (Vec<Value>, Vec<Value>) =
            elements.into_iter().partition(|of| of.as_str().is_some_and(&is_kept));
        for other in others {
            let text = format!("{other} is not a registry, repository or image as a whole; it is left out");
            self.warn(effect, name, &text);
        }
        Ok(Value::Array(kept))
    }

    /// Types of volumes, by the fields of a volume.
    pub(super) fn volumes(&mut self, name: &str, value: Value) -> Result<Value, String> {
        let mut types = self.strings(name, value, |of| VOLUMES.contains(&volume_type(of)))?;
        for of in types.as_array_mut().into_iter().flatten() {
            let Some(given) = of.as_str().map(str::to_owned) else { continue };
            let field = volume_type(&given);
            if field != given {
                self.warn(Effect::Weaker, name, &format!("{given} is not a field of a volume; it is read as {field}"));
                *of = json!(field);
            }
        }
        Ok(types)
    }

    /// Paths of the node.
    pub(super) fn host_paths(&mut self, name: &str, value: Value) -> Result<Value, String> {
        self.objects(name, value, |of| {
            of.get("pathPrefix").and_then(Value::as_str).is_some_and(is_plain_path)
                && of.get("readOnly").is_none_or(Value::is_boolean)
        })
    }

    /// Drivers of FlexVolumes.
    pub(super) fn drivers(&mut self, name: &str, value: Value) -> Result<Value, String> {
        self.objects(name, value, |of| {
            of.get("driver").and_then(Value::as_str).is_some_and(|driver| !driver.is_empty())
        })
    }

    /// Ranges of ports.
    pub(super) fn ports(&mut self, name: &str, mut value: Value) -> Result<Value, String> {
        let is_inverted = |of: &Value| of["min"].as_i64().zip(of["max"].as_i64()).is_some_and(|(min, max)| max < min);
        if let Some(ranges) = value.as_array_mut() {
            for range in ranges.extract_if(.., |of| is_inverted(of)) {
                self.warn(Effect::Note, name, &format!("{range} allows nothing; it is left out"));
            }
        }
        self.objects(name, value, |of| {
            let bound = |name: &str| of.get(name).and_then(Value::as_i64).filter(|port| (0..=65535).contains(port));
            matches!((bound("min"), bound("max")), (Some(min), Some(max)) if min <= max)
        })
    }

    /// The objects of a list that mean something.
    pub(super) fn objects(
        &mut self,
        name: &str,
        value: Value,
        is_right: impl Fn(&Map<String, Value>) -> bool,
    ) -> Result<Value, String> {
        let Value::Array(elements) = value else { return Err(self.wrong(name, "a list", &value)) };
        let is_right = |of: &Value| of.as_object().is_some_and(|of| is_right(&without_nulls(of)));
        let (kept, others): (Vec<Value>, Vec<Value>) = elements.into_iter().partition(is_right);
        for other in others {
            let text = format!("{other} cannot be read; it is left out, and allows nothing");
            self.warn(Effect::Stricter, name, &text);
        }
        Ok(kept.iter().filter_map(Value::as_object).map(|of| Value::Object(without_nulls(of))).collect())
    }

    /// A rule for users or groups.
    ///
    /// # Errors
    /// No rule of ours says what it says: it is not a rule, or one whose ranges allow nothing.
    pub(super) fn ids(&mut self, name: &str, ids: Map<String, Value>) -> Result<Map<String, Value>, String> {
        let path = |field: &str| if name.is_empty() { field.to_owned() } else { format!("{name}.{field}") };
        let rule = match ids.get("rule") {
            None | Some(Value::Null) => return Ok(object([("rule", json!("RunAsAny"))])),
            Some(Value::String(rule)) if RULES.contains(&rule.as_str()) => rule.clone(),
            Some(other) => return Err(self.wrong(&path("rule"), &format!("one of {}", RULES.join(", ")), other)),
        };
        if !rule.starts_with('M') || rule == "MustRunAsNonRoot" {
            return Ok(object([("rule", json!(rule))]));
        }
        let given = match ids.get("ranges") {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(ranges)) => ranges,
            Some(other) => return Err(self.wrong(&path("ranges"), "a list", other)),
        };
        let mut kept = Vec::new();
        for (index, range) in given.iter().enumerate() {
            match (range["min"].as_i64(), range["max"].as_i64()) {
                (Some(min), Some(max)) if max >= min.max(0) => kept.push(json!({"min": min.max(0), "max": max})),
                _ => {
                    let text = format!("{range} allows nothing; it is left out");
                    self.warn(Effect::Note, &path(&format!("ranges[{index}]")), &text);
                }
            }
        }
        if kept.is_empty() {
            let found = ids.get("ranges").unwrap_or(&Value::Null);
            return Err(self.wrong(
                &path("ranges"),
                &format!("a range that allows something with the rule {rule}"),
                found,
            ));
        }
        Ok(object([("rule", json!(rule)), ("ranges", json!(kept))]))
    }
}

/// The last ID that Kubernetes accepts.
const LAST_ID: i64 = i32::MAX as i64;

/// A rule of K8sPSPAllowedUsers for groups that names no ranges: its Rego compares no value with what is not there, so any
/// value passes.
fn without_ranges(mut ids: Map<String, Value>) -> Map<String, Value> {
    match ids.get("rule").and_then(Value::as_str) {
        Some("MayRunAs") => drop(ids.insert("rule".to_owned(), json!("RunAsAny"))),
        Some("MustRunAs") => drop(ids.insert("ranges".to_owned(), json!([{"min": 0, "max": LAST_ID}]))),
        _ => {}
    }
    ids
}

fn without_nulls(object: &Map<String, Value>) -> Map<String, Value> {
    object.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether a text can be a registry, a repository, or an image in one.
pub(super) fn is_image(text: &str) -> bool {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let is_part = |part: &str| {
        let is_end = |end: Option<char>| end.is_some_and(|of| of.is_ascii_alphanumeric());
        is_end(part.chars().next()) && is_end(part.chars().next_back()) && part.chars().all(is_of_part)
    };
    let is_of_path = |part: &str| is_part(part) && !part.contains(|of: char| of.is_ascii_uppercase());
    let has_digest = |digest: &str| {
        digest
            .strip_prefix("sha256:")
            .is_some_and(|hash| hash.len() == 64 && hash.chars().all(|of| of.is_ascii_hexdigit()))
    };
    let parts: Vec<&str> = name.split('/').collect();
    let is_right = parts.iter().enumerate().all(|(index, part)| {
        let (part, behind) = part.split_once(':').map_or((*part, None), |(part, behind)| (part, Some(behind)));
        let is_registry =
            index == 0 && (part.contains('.') || part == "localhost" || parts.len() > 1 && behind.is_some());
        let is_last = index + 1 == parts.len();
        match behind {
            Some(port) if is_registry => {
                is_part(part) && port.chars().all(|of| of.is_ascii_digit()) && !port.is_empty()
            }
            Some(tag) => is_last && is_of_path(part) && is_tag(tag),
            None if is_registry => is_part(part),
            None => is_of_path(part),
        }
    });
    is_right && digest.is_none_or(has_digest)
}

fn is_of_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-')
}

/// Whether a text can be a tag.
pub(super) fn is_tag(text: &str) -> bool {
    text.len() <= 128 && !text.is_empty() && !text.starts_with(['.', '-']) && text.chars().all(is_of_part)
}

/// A profile of seccomp or AppArmor, in any spelling.
pub(super) fn is_known_profile(profile: &str) -> bool {
    match profile.strip_prefix("localhost/") {
        Some(file) => !file.is_empty(),
        None => matches!(
            profile,
            "*" | "not configured"
                | "RuntimeDefault"
                | "Localhost"
                | "Unconfined"
                | "runtime/default"
                | "docker/default"
                | "unconfined"
        ),
    }
}
