//! What people hand to the command: files with a limit on their size, and manifests, requests and
//! reviews in YAML or JSON.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most that is read of a module, in bytes: ten times the largest policy known.
pub const LARGEST_MODULE: u64 = 64 << 20;

/// The most that is read of a manifest, request or settings file, in bytes.
pub const LARGEST_DOCUMENT: u64 = 16 << 20;

/// serde_json's limit; a custom resource definition comes near half of it.
const DEEPEST: usize = 128;

/// Why an input cannot be used. Names no file: the caller knows which.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Not there, or not readable.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// A directory where a file is due.
    #[error("is a directory")]
    Directory,
    /// No bytes, or nothing but blanks and comments.
    #[error("is empty")]
    Empty,
    /// More than the limit, in bytes.
    #[error("is larger than {} MiB, the limit", .0 >> 20)]
    TooLarge(u64),
    /// Not UTF-8, counted in bytes from 1.
    #[error("is not UTF-8: line {line}, column {column}")]
    NotUtf8 {
        /// The line of the first bad byte.
        line: usize,
        /// Its column, in bytes.
        column: usize,
    },
    /// Broken YAML; the text tells line and column.
    #[error("is not YAML: {0}")]
    Yaml(String),
    /// Broken JSON; the text tells line and column.
    #[error("is not JSON: {0}")]
    Json(serde_json::Error),
    /// A document that is neither a manifest, a request nor a review. Counted from 1.
    #[error("document {document}: {problem}")]
    Document {
        /// Which document.
        document: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads a whole file, or standard input for `-`, up to `limit` bytes.
///
/// # Errors
/// When it cannot be read, is empty, or is larger than the limit.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, InputError> {
    let bytes = if path.as_os_str() == "-" {
        read_up_to(io::stdin().lock(), limit)?
    } else {
        if path.is_dir() {
            return Err(InputError::Directory);
        }
        read_up_to(File::open(path)?, limit)?
    };
    if bytes.is_empty() {
        return Err(InputError::Empty);
    }
    Ok(bytes)
}

fn read_up_to(source: impl Read, limit: u64) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(InputError::TooLarge(limit));
    }
    Ok(bytes)
}

/// All documents of a YAML or JSON text; empty ones are left out.
///
/// # Errors
/// When it is not UTF-8, or neither YAML nor JSON, with line and column.
pub fn parse(bytes: &[u8]) -> Result<Vec<Value>, InputError> {
    let text = utf8(bytes)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.trim_start().starts_with(['{', '[']) {
        return parse_yaml(text);
    }
    // Flow style YAML starts the same way.
    parse_json(text).or_else(|error| parse_yaml(text).map_err(|_| InputError::Json(error)))
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, InputError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        InputError::NotUtf8 { line, column: before.len() - start + 1 }
    })
}

fn parse_json(text: &str) -> Result<Vec<Value>, serde_json::Error> {
    serde_json::Deserializer::from_str(text).into_iter().collect()
}

fn parse_yaml(text: &str) -> Result<Vec<Value>, InputError> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            max_nodes: 4_000_000,
            max_events: 8_000_000,
        },
    };
    serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| InputError::Yaml(error.render_with_formatter(&serde_saphyr::UserMessageFormatter)))
}

/// `AdmissionRequest` of `admission.k8s.io/v1`, with the fields that the policy-server keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionRequest {
    /// Identifies the request.
    pub uid: String,
    /// Of the object, after conversion.
    pub kind: GroupVersionKind,
    /// Of the object, after conversion.
    pub resource: GroupVersionResource,
    /// For example `ephemeralcontainers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_resource: Option<String>,
    /// Of the object as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_kind: Option<GroupVersionKind>,
    /// Of the object as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_resource: Option<GroupVersionResource>,
    /// Of the object as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_sub_resource: Option<String>,
    /// The object's name; none when the server is to make one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The object's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: String,
    /// Who asks.
    pub user_info: UserInfo,
    /// The object; none for DELETE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Value>,
    /// The object before; none for CREATE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_object: Option<Value>,
    /// Whether anything will be stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Options of the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Value>,
}

/// The type of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupVersionKind {
    /// Empty for the core group.
    #[serde(default)]
    pub group: String,
    /// For example `v1`.
    #[serde(default)]
    pub version: String,
    /// For example `Pod`.
    #[serde(default)]
    pub kind: String,
}

/// The type of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupVersionResource {
    /// Empty for the core group.
    #[serde(default)]
    pub group: String,
    /// For example `v1`.
    #[serde(default)]
    pub version: String,
    /// For example `pods`.
    #[serde(default)]
    pub resource: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UserInfo {
    /// Unique among active users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Unique over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The user's groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// What the authenticator adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

/// The requests in a YAML or JSON text: reviews and requests as they are, and for each manifest,
/// also within a list, the request that would create it.
///
/// # Errors
/// When the text cannot be parsed, holds nothing, or holds something else.
pub fn requests(bytes: &[u8]) -> Result<Vec<AdmissionRequest>, InputError> {
    let documents = parse(bytes)?;
    let mut requests = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        add_document(document, &mut requests)
            .map_err(|problem| InputError::Document { document: index + 1, problem })?;
    }
    if requests.is_empty() {
        return Err(InputError::Empty);
    }
    Ok(requests)
}

fn add_document(document: Value, requests: &mut Vec<AdmissionRequest>) -> Result<(), String> {
    if let Some(request) = document.get("request") {
        requests.push(reviewed_request(&document, request)?);
        return Ok(());
    }
    if document.get("kind").is_some_and(Value::is_object) {
        requests.push(admission_request(document)?);
        return Ok(());
    }
    if is_review(&document) {
        return Err("an AdmissionReview without a request".to_owned());
    }
    if let Some(items) = list_items(&document) {
        for (index, item) in items.iter().enumerate() {
            add_document(item.clone(), requests).map_err(|problem| format!("items[{index}]: {problem}"))?;
        }
        return Ok(());
    }
    let request = creation_of(document, requests.len())?;
    requests.push(request);
    Ok(())
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

fn is_review(document: &Value) -> bool {
    text(document, "/kind") == Some("AdmissionReview")
}

fn reviewed_request(review: &Value, request: &Value) -> Result<AdmissionRequest, String> {
    if !is_review(review) {
        return Err("has a `request`, but is not of kind AdmissionReview".to_owned());
    }
    match text(review, "/apiVersion") {
        Some("admission.k8s.io/v1" | "admission.k8s.io/v1beta1") => admission_request(request.clone()),
        Some(other) => Err(format!("AdmissionReview of {other}: only admission.k8s.io/v1 and v1beta1 are known")),
        None => Err("AdmissionReview without apiVersion".to_owned()),
    }
}

fn admission_request(request: Value) -> Result<AdmissionRequest, String> {
    serde_json::from_value(request).map_err(|error| format!("AdmissionRequest: {error}"))
}

/// The items of `kind: List` and of `kind: PodList` and its like.
fn list_items(document: &Value) -> Option<&Vec<Value>> {
    text(document, "/kind")?.ends_with("List").then(|| document.get("items")?.as_array())?
}

fn creation_of(object: Value, index: usize) -> Result<AdmissionRequest, String> {
    let missing = |field| format!("neither a manifest, an AdmissionRequest nor an AdmissionReview: no `{field}`");
    if !object.is_object() {
        return Err("not an object".to_owned());
    }
    let api_version = text(&object, "/apiVersion").ok_or_else(|| missing("apiVersion"))?;
    let kind = text(&object, "/kind").ok_or_else(|| missing("kind"))?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = GroupVersionKind { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
    let resource =
        GroupVersionResource { group: kind.group.clone(), version: kind.version.clone(), resource: plural(&kind.kind) };
    let uid = text(&object, "/metadata/uid")
        .map_or_else(|| format!("00000000-0000-4000-8000-{:012}", index + 1), str::to_owned);
    Ok(AdmissionRequest {
        uid,
        request_kind: Some(kind.clone()),
        request_resource: Some(resource.clone()),
        name: text(&object, "/metadata/name").map(str::to_owned),
        namespace: namespace(&object, &kind),
        operation: "CREATE".to_owned(),
        user_info: UserInfo {
            username: Some("podfence".to_owned()),
            groups: Some(vec!["system:authenticated".to_owned()]),
            ..UserInfo::default()
        },
        dry_run: Some(false),
        kind,
        resource,
        sub_resource: None,
        request_sub_resource: None,
        object: Some(object),
        old_object: None,
        options: None,
    })
}

/// As `kubectl` would fill it in, where the kind is known to have one.
fn namespace(object: &Value, kind: &GroupVersionKind) -> Option<String> {
    if let Some(namespace) = text(object, "/metadata/namespace") {
        return Some(namespace.to_owned());
    }
    let namespaced = matches!(
        (kind.group.as_str(), kind.kind.as_str()),
        (
            "",
            "Pod"
                | "PodTemplate"
                | "ReplicationController"
                | "Service"
                | "ConfigMap"
                | "Secret"
                | "ServiceAccount"
                | "PersistentVolumeClaim"
        ) | ("apps" | "batch", _)
    );
    namespaced.then(|| "default".to_owned())
}

/// The resource of a kind by the rule that Kubernetes' own types follow.
fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    let ends_with = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
    if lower == "endpoints" {
        lower
    } else if ends_with(&["s", "x", "z", "ch", "sh"]) {
        format!("{lower}es")
    } else if lower.ends_with('y') && !ends_with(&["ay", "ey", "oy", "uy"]) {
        format!("{}ies", &lower[..lower.len() - 1])
    } else {
        format!("{lower}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        requests(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn plurals_follow_kubernetes() {
        for (kind, resource) in [
            ("Pod", "pods"),
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
            ("Gateway", "gateways"),
            ("Endpoints", "endpoints"),
            ("StorageClass", "storageclasses"),
        ] {
            assert_eq!(plural(kind), resource);
        }
    }

    #[test]
    fn a_manifest_becomes_the_request_that_creates_it() {
        let manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";
        let requests = requests(manifest.as_bytes()).unwrap();
        let request = serde_json::to_value(&requests[0]).unwrap();
        let kind = serde_json::json!({"group": "apps", "version": "v1", "kind": "Deployment"});
        let resource = serde_json::json!({"group": "apps", "version": "v1", "resource": "deployments"});
        let expected = serde_json::json!({
            "uid": "00000000-0000-4000-8000-000000000001",
            "kind": kind, "requestKind": kind,
            "resource": resource, "requestResource": resource,
            "operation": "CREATE", "name": "web", "namespace": "default", "dryRun": false,
            "userInfo": {"username": "podfence", "groups": ["system:authenticated"]},
            "object": {
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            },
        });
        assert_eq!(request, expected);
    }

    #[test]
    fn a_list_is_its_items_and_empty_documents_are_left_out() {
        let text = "---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod}\n\
                    - {apiVersion: v1, kind: Service}\n---\napiVersion: v1\nkind: Node\n---\n";
        let kinds: Vec<String> =
            requests(text.as_bytes()).unwrap().into_iter().map(|request| request.kind.kind).collect();
        assert_eq!(kinds, ["Pod", "Service", "Node"]);
    }

    #[test]
    fn a_byte_order_mark_is_no_content() {
        let manifest = "\u{feff}{\"apiVersion\": \"v1\", \"kind\": \"Pod\"}";
        assert_eq!(requests(manifest.as_bytes()).unwrap()[0].kind.kind, "Pod");
    }

    #[test]
    fn cluster_scoped_and_unknown_kinds_get_no_namespace() {
        for manifest in ["{apiVersion: v1, kind: PersistentVolume}", "{apiVersion: example.com/v1, kind: Widget}"] {
            assert_eq!(requests(manifest.as_bytes()).unwrap()[0].namespace, None);
        }
    }

    #[test]
    fn both_versions_of_a_review_are_read() {
        for version in ["v1", "v1beta1"] {
            let review = serde_json::json!({
                "apiVersion": format!("admission.k8s.io/{version}"),
                "kind": "AdmissionReview",
                "request": {
                    "uid": "u", "operation": "DELETE", "userInfo": {}, "object": null,
                    "kind": {"group": "", "version": "v1", "kind": "Pod"},
                    "resource": {"group": "", "version": "v1", "resource": "pods"},
                },
            });
            let requests = requests(review.to_string().as_bytes()).unwrap();
            assert_eq!(requests[0].operation, "DELETE");
            assert_eq!(requests[0].object, None);
        }
    }

    #[test]
    fn what_is_no_request_is_named() {
        for (text, expected) in [
            ("just text", "document 1: not an object"),
            (
                "{apiVersion: v1}",
                "document 1: neither a manifest, an AdmissionRequest nor an AdmissionReview: no `kind`",
            ),
            (
                "{kind: AdmissionReview, apiVersion: admission.k8s.io/v1}",
                "document 1: an AdmissionReview without a request",
            ),
            (
                "{kind: AdmissionReview, apiVersion: admission.k8s.io/v2, request: {}}",
                "document 1: AdmissionReview of admission.k8s.io/v2: only admission.k8s.io/v1 and v1beta1 are known",
            ),
            (r#"{"kind": {"kind": "Pod"}, "uid": "u"}"#, "document 1: AdmissionRequest: missing field `resource`"),
            (
                "{apiVersion: v1, kind: List, items: [{apiVersion: v1}]}",
                "document 1: items[0]: neither a manifest, an AdmissionRequest nor an AdmissionReview: no `kind`",
            ),
            ("# nothing\n", "is empty"),
        ] {
            assert_eq!(problem(text), expected, "{text}");
        }
    }

    #[test]
    fn broken_text_is_located() {
        for (text, expected) in [
            ("a: 1\nb: [1, 2\n", "is not YAML: "),
            ("a: 1\na: 2\n", "is not YAML: "),
            ("{\"a\": 1,\n \"b\" 2}", "is not JSON: expected `:` at line 2 column 6"),
        ] {
            let problem = problem(text);
            assert!(problem.starts_with(expected), "{problem}");
            assert!(problem.contains("line "), "{problem}");
        }
        let error = requests(b"a: 1\nb: \xff").unwrap_err().to_string();
        assert_eq!(error, "is not UTF-8: line 2, column 4");
    }
}
