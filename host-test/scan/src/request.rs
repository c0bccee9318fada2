//! Makes admission requests of manifests, lists of them, requests and reviews.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::custom_kinds;
use crate::object::{self, Content};
use crate::read::{InputError, parse};
use crate::stored;

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

impl GroupVersionKind {
    /// Of `apiVersion` and `kind`.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }
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

/// Who creates manifests, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// The namespace of those that name none, as `kubectl --namespace`. If unset, it is `default`.
    pub namespace: Option<String>,
    /// The user's name. If unset, it is `podfence`.
    pub user: Option<String>,
    /// The user's groups beside `system:authenticated`.
    pub groups: Vec<String>,
}

/// The name of a user of whom nothing is known.
pub const USER: &str = "podfence";

impl Sender {
    /// The user with the groups.
    pub fn user_info(&self) -> UserInfo {
        let mut groups = self.groups.clone();
        // A service account is in groups of its own, `system:serviceaccount:NAMESPACE:NAME`.
        let account = self.user.as_deref().and_then(|user| user.strip_prefix("system:serviceaccount:"));
        if let Some((namespace, _)) = account.and_then(|account| account.split_once(':')) {
            groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
        }
        groups.push("system:authenticated".to_owned());
        UserInfo {
            username: Some(self.user.as_deref().unwrap_or(USER).to_owned()),
            groups: Some(groups),
            ..UserInfo::default()
        }
    }
}

/// The requests in a YAML or JSON text: reviews and requests as they are, and for each manifest,
/// also within a list, the request with which the sender creates it. A Pod in the host network has the host ports that
/// the API server sets before it asks a policy.
///
/// # Errors
/// When the text cannot be parsed, holds nothing, or holds something else.
pub fn requests(bytes: &[u8], sender: &Sender) -> Result<Vec<AdmissionRequest>, InputError> {
    let documents = parse(bytes)?;
    let mut requests = Requests { sender, made: Vec::new() };
    for (index, document) in documents.into_iter().enumerate() {
        requests.add_document(document).map_err(|problem| InputError::Document { document: index + 1, problem })?;
    }
    let requests = requests.made;
    if requests.is_empty() {
        return Err(InputError::Empty);
    }
    Ok(requests)
}

struct Requests<'s> {
    sender: &'s Sender,
    made: Vec<AdmissionRequest>,
}

impl Requests<'_> {
    fn add_document(&mut self, document: Value) -> Result<(), String> {
        if let Some(request) = document.get("request") {
            self.made.push(reviewed_request(&document, request)?);
            return Ok(());
        }
        if document.get("kind").is_some_and(Value::is_object) {
            self.made.push(admission_request(document)?);
            return Ok(());
        }
        if is_review(&document) {
            return Err("an AdmissionReview without a request".to_owned());
        }
        if document.get("items").is_some() {
            return self.add_list(&document);
        }
        self.add_manifest(document)
    }

    /// What has items is a list, as it is to kubectl.
    fn add_list(&mut self, document: &Value) -> Result<(), String> {
        match object::content(document.to_string()) {
            Content::List { items, list } if list.kind.kind.ends_with("List") => {
                for item in items {
                    let object = item.map_err(|of| format!("{}: {}", of.path, of.problem))?;
                    self.add_manifest(serde_json::from_str(&object.json).expect("it is a part of a document"))?;
                }
                Ok(())
            }
            Content::List { list, .. } => Err(format!(
                "a {} with `items`, of which kubectl creates only the `items`; expected a List, or no `items`",
                list.kind.kind
            )),
            Content::One(object) => Err(object.path),
            Content::None(of) => Err(format!("{}: {}", of.path, of.problem)),
        }
    }

    fn add_manifest(&mut self, mut object: Value) -> Result<(), String> {
        let missing = |field| format!("neither a manifest, an AdmissionRequest nor an AdmissionReview: no `{field}`");
        if !object.is_object() {
            return Err("not an object".to_owned());
        }
        let api_version = text(&object, "/apiVersion").ok_or_else(|| missing("apiVersion"))?;
        let kind = text(&object, "/kind").ok_or_else(|| missing("kind"))?;
        if kind == "List" {
            return Err("a List without `items`; expected a list of objects there".to_owned());
        }
        for key in ["name", "generateName", "namespace"] {
            match &object["metadata"][key] {
                Value::Null | Value::String(_) => {}
                other => return Err(format!("metadata.{key}: expected text, found {other}; quote it")),
            }
        }
        let kind = GroupVersionKind::new(api_version, kind);
        let is_namespaced = default_namespace(&kind).is_some();
        let of = Metadata {
            name: text(&object, "/metadata/name"),
            namespace: text(&object, "/metadata/namespace")
                .or_else(|| self.sender.namespace.as_deref().filter(|_| is_namespaced)),
            uid: text(&object, "/metadata/uid"),
        };
        let request = creation(kind, &of, self.made.len());
        if request.kind.group.is_empty() && request.kind.kind == "Pod" {
            stored::add_host_ports(&mut object);
        }
        self.made.push(AdmissionRequest { object: Some(object), user_info: self.sender.user_info(), ..request });
        Ok(())
    }
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

/// What a request repeats of an object's metadata.
#[derive(Debug, Clone, Copy, Default)]
pub struct Metadata<'m> {
    /// None when the server is to make one.
    pub name: Option<&'m str>,
    /// As it is written.
    pub namespace: Option<&'m str>,
    /// The server's.
    pub uid: Option<&'m str>,
}

/// The request that creates an object, without the object. `index` tells requests apart whose objects have no uid.
pub fn creation(kind: GroupVersionKind, of: &Metadata<'_>, index: usize) -> AdmissionRequest {
    let resource =
        GroupVersionResource { group: kind.group.clone(), version: kind.version.clone(), resource: plural(&kind.kind) };
    AdmissionRequest {
        uid: of.uid.map_or_else(|| format!("00000000-0000-4000-8000-{:012}", index + 1), str::to_owned),
        request_kind: Some(kind.clone()),
        request_resource: Some(resource.clone()),
        name: of.name.map(str::to_owned),
        namespace: of.namespace.or_else(|| default_namespace(&kind)).map(str::to_owned),
        operation: "CREATE".to_owned(),
        user_info: Sender::default().user_info(),
        dry_run: Some(false),
        kind,
        resource,
        sub_resource: None,
        request_sub_resource: None,
        object: None,
        old_object: None,
        options: None,
    }
}

/// What `kubectl` would fill in, where the kind is known to be in namespaces.
pub fn default_namespace(kind: &GroupVersionKind) -> Option<&'static str> {
    let is_namespaced = matches!(
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
                | "Endpoints"
                | "Event"
                | "LimitRange"
                | "ResourceQuota"
        ) | ("apps" | "batch" | "extensions" | "autoscaling" | "events.k8s.io", _)
            | ("networking.k8s.io", "Ingress" | "NetworkPolicy")
            | ("policy", "PodDisruptionBudget")
            | ("rbac.authorization.k8s.io", "Role" | "RoleBinding")
            | ("coordination.k8s.io", "Lease")
            | ("discovery.k8s.io", "EndpointSlice")
            | ("storage.k8s.io", "CSIStorageCapacity")
            | ("resource.k8s.io", "ResourceClaim" | "ResourceClaimTemplate")
    );
    (is_namespaced || custom_kinds::find(&kind.group, &kind.kind).is_some()).then_some("default")
}

/// The resource of a kind by the rule that Kubernetes' own types follow.
pub fn plural(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
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

    fn made(text: &str) -> Result<Vec<AdmissionRequest>, InputError> {
        requests(text.as_bytes(), &Sender::default())
    }

    fn problem(text: &str) -> String {
        made(text).unwrap_err().to_string()
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
        let requests = made(manifest).unwrap();
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
    fn a_manifest_of_a_pod_has_the_host_ports_that_the_api_server_sets() {
        let spec = "{hostNetwork: true, containers: [{name: a, ports: [{containerPort: 80}]}]}";
        let pod = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {spec}}}");
        let review = format!(
            "{{apiVersion: admission.k8s.io/v1, kind: AdmissionReview, request: {{uid: a, kind: {{kind: Pod}}, \
             resource: {{}}, operation: CREATE, userInfo: {{}}, object: {pod}}}}}"
        );
        for (text, expected) in [
            (pod.clone(), serde_json::json!(80)),
            (format!("{{apiVersion: v1, kind: List, items: [{pod}]}}"), serde_json::json!(80)),
            (pod.replace("hostNetwork: true, ", ""), Value::Null),
            // What an API server sent has them, or was sent by none.
            (review, Value::Null),
        ] {
            let object = made(&text).unwrap().remove(0).object.unwrap();
            assert_eq!(object["spec"]["containers"][0]["ports"][0]["hostPort"], expected, "{text}");
        }
    }

    #[test]
    fn the_sender_says_where_and_as_whom_manifests_are_created() {
        let sender =
            Sender { namespace: Some("shop".to_owned()), user: Some("jo".to_owned()), groups: vec!["dev".to_owned()] };
        let text = "{apiVersion: v1, kind: Pod}\n---\n{apiVersion: v1, kind: Pod, metadata: {namespace: a}}\n---\n\
                    {apiVersion: v1, kind: Node}\n";
        let requests = requests(text.as_bytes(), &sender).unwrap();
        let namespaces: Vec<_> = requests.iter().map(|of| of.namespace.as_deref()).collect();
        assert_eq!(namespaces, [Some("shop"), Some("a"), None]);
        let user = serde_json::to_value(&requests[0].user_info).unwrap();
        assert_eq!(user, serde_json::json!({"username": "jo", "groups": ["dev", "system:authenticated"]}));
        let account = Sender { user: Some("system:serviceaccount:shop:web".to_owned()), ..Sender::default() };
        let groups = ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"];
        assert_eq!(account.user_info().groups.unwrap(), groups);
    }

    #[test]
    fn a_list_is_its_items_and_empty_documents_are_left_out() {
        let text = "---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod}\n\
                    - {apiVersion: v1, kind: Service}\n---\napiVersion: v1\nkind: Node\n---\n";
        let kinds: Vec<String> = made(text).unwrap().into_iter().map(|request| request.kind.kind).collect();
        assert_eq!(kinds, ["Pod", "Service", "Node"]);
    }

    #[test]
    fn a_byte_order_mark_is_no_content() {
        let manifest = "\u{feff}{\"apiVersion\": \"v1\", \"kind\": \"Pod\"}";
        assert_eq!(made(manifest).unwrap()[0].kind.kind, "Pod");
    }

    #[test]
    fn cluster_scoped_and_unknown_kinds_get_no_namespace() {
        for manifest in ["{apiVersion: v1, kind: PersistentVolume}", "{apiVersion: example.com/v1, kind: Widget}"] {
            assert_eq!(made(manifest).unwrap()[0].namespace, None);
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
            let requests = made(&review.to_string()).unwrap();
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
                "document 1: items[0]: found no kind, expected a Kubernetes object",
            ),
            (
                "{apiVersion: v1, kind: Pod, items: []}",
                "document 1: a Pod with `items`, of which kubectl creates only the `items`; expected a List, or no \
                    `items`",
            ),
            (
                "{apiVersion: v1, kind: List, item: []}",
                "document 1: a List without `items`; expected a list of objects there",
            ),
            (
                "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: 5}}",
                "document 1: metadata.namespace: expected text, found 5; quote it",
            ),
            (
                "{apiVersion: v1, kind: Pod, metadata: {name: on}}",
                "document 1: metadata.name: expected text, found true; quote it",
            ),
            ("# nothing\n", "is empty"),
        ] {
            assert_eq!(problem(text), expected, "{text}");
        }
    }
}
