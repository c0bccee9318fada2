//! Parses the checked-in metadata of every policy with the types of `kubewarden-policy-sdk` and of the API server, and
//! checks the rules of the host that types cannot express.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::{
    Resource,
    api::{
        admissionregistration::v1::RuleWithOperations,
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::{CronJob, Job},
        core::v1::{PersistentVolume, Pod, PodTemplate, ReplicationController, Service},
        networking::v1::NetworkPolicy,
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
};
use kubewarden_policy_sdk::metadata::ProtocolVersion;
use podfence_core::workload::WORKLOADS;
use podfence_docs::{CONTROLS, MUTATING_SETTINGS, USAGE};
use podfence_fixtures::{discover, generated::is_blessing};
use serde::Deserialize;
use serde_json::Value;

/// The members that a policy-server reads; any other is an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    protocol_version: ProtocolVersion,
    rules: Vec<RuleWithOperations>,
    mutating: bool,
    background_audit: bool,
    execution_mode: String,
    policy_type: String,
    context_aware_resources: Vec<Value>,
    annotations: BTreeMap<String, String>,
}

/// The fields of a package that Artifact Hub and its Kubewarden pages need.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Package {
    version: String,
    name: String,
    display_name: String,
    created_at: String,
    description: String,
    license: String,
    #[serde(rename = "homeURL")]
    home_url: String,
    containers_images: Vec<Image>,
    keywords: Vec<String>,
    links: Vec<Link>,
    install: String,
    maintainers: Vec<Maintainer>,
    provider: Provider,
    recommendations: Vec<Recommendation>,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    name: String,
    image: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    name: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Maintainer {
    name: String,
    email: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recommendation {
    url: String,
}

/// The policies that evaluate resizes of pods.
const EVALUATE_RESIZES: [&str; 1] = ["resources"];

struct Files {
    policy: String,
    metadata: Metadata,
    package: Package,
    questions: Value,
    readme: String,
    fixtures: String,
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}; `make bless` writes it", path.display()))
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the files of each policy; empty while `make bless` may still have to write them.
fn policies() -> Vec<Files> {
    if is_blessing() {
        return Vec::new();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the root");
    let names = discover(&root.join("policies")).expect("the directory of the policies");
    let paths: Vec<PathBuf> = names.into_iter().map(|name| root.join("policies").join(name)).collect();
    assert!(!paths.is_empty());
    let files = paths.iter().map(|path| {
        let policy = path.file_name().unwrap_or_default().display().to_string();
        Files {
            metadata: parse(&path.join("metadata.yml")),
            package: parse(&root.join("artifacthub").join(&policy).join("artifacthub-pkg.yml")),
            questions: parse(&path.join("questions-ui.yml")),
            readme: read(&path.join("README.md")),
            fixtures: read(&path.join("fixtures.yaml")),
            policy,
        }
    });
    files.collect()
}

/// Returns the resource, group and version of a Kubernetes type.
fn resource<R: Resource>() -> (String, String, String) {
    (R::URL_PATH_SEGMENT.to_owned(), R::GROUP.to_owned(), R::VERSION.to_owned())
}

#[test]
fn a_host_reads_the_metadata() {
    for Files { policy, metadata, .. } in policies() {
        assert_eq!(metadata.protocol_version, ProtocolVersion::V1, "{policy}");
        assert_eq!(metadata.execution_mode, "kubewarden-wapc", "{policy}");
        assert_eq!(metadata.policy_type, "kubernetes", "{policy}");
        assert!(metadata.background_audit && metadata.context_aware_resources.is_empty(), "{policy}");
        assert!(!metadata.rules.is_empty(), "{policy}");
        for rule in &metadata.rules {
            assert_eq!(rule.scope, None, "{policy}");
            for list in [&rule.api_groups, &rule.api_versions, &rule.resources, &rule.operations] {
                let list = list.as_deref().unwrap_or_default();
                assert!(!list.is_empty(), "{policy}: {rule:?}");
                assert!(!list.iter().any(|item| item == "*") || list.len() == 1, "{policy}: {rule:?}");
            }
        }
    }
}

#[test]
fn the_rules_name_the_kinds_that_are_evaluated() {
    let workloads = BTreeSet::from([
        resource::<Pod>(),
        resource::<PodTemplate>(),
        resource::<ReplicationController>(),
        resource::<ReplicaSet>(),
        resource::<Deployment>(),
        resource::<StatefulSet>(),
        resource::<DaemonSet>(),
        resource::<Job>(),
        resource::<CronJob>(),
    ]);
    assert_eq!(workloads.len(), WORKLOADS.len());
    let others = [
        (Service::KIND, resource::<Service>()),
        (NetworkPolicy::KIND, resource::<NetworkPolicy>()),
        (Role::KIND, resource::<Role>()),
        (ClusterRole::KIND, resource::<ClusterRole>()),
        (RoleBinding::KIND, resource::<RoleBinding>()),
        (ClusterRoleBinding::KIND, resource::<ClusterRoleBinding>()),
    ];
    for Files { policy, metadata, package, readme, .. } in policies() {
        let reads_volumes = readme.contains(" of a PersistentVolume |");
        assert_eq!(
            package.annotations["kubewarden/resources"].ends_with(", PersistentVolume"),
            reads_volumes,
            "{policy}"
        );
        let kinds: Vec<&str> = package.annotations["kubewarden/resources"].split(", ").collect();
        let is_of_pods = kinds.contains(&Pod::KIND);
        let mut expected = if is_of_pods {
            workloads.clone()
        } else {
            let of = |kind: &&str| others.iter().find(|(known, _)| known == kind).map(|(_, resource)| resource.clone());
            kinds.iter().map(|kind| of(kind).unwrap_or_else(|| panic!("{policy}: add {kind} to the others"))).collect()
        };
        expected.extend(reads_volumes.then(resource::<PersistentVolume>));
        let mut found = BTreeSet::new();
        let mut sub_resources = Vec::new();
        for rule in &metadata.rules {
            let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
            let operations = list(&rule.operations).join(" ");
            for resource in list(&rule.resources) {
                if resource.contains('/') {
                    // The audit scanner skips rules without CREATE, and does not support subresources.
                    sub_resources.push(format!("{resource} {operations}"));
                    continue;
                }
                // The source of a volume is immutable, and updates must not fail for volumes older than the policy.
                let expected = if resource == "persistentvolumes" { "CREATE" } else { "CREATE UPDATE" };
                assert_eq!(operations, expected, "{policy}: {resource}");
                for group in list(&rule.api_groups) {
                    for version in list(&rule.api_versions) {
                        assert!(found.insert((resource.clone(), group.clone(), version)), "{policy}: {resource} twice");
                    }
                }
            }
        }
        assert_eq!(found, expected, "{policy}");
        let debug = is_of_pods.then_some("pods/ephemeralcontainers UPDATE");
        let resize = EVALUATE_RESIZES.contains(&&*policy).then_some("pods/resize UPDATE");
        assert_eq!(sub_resources, Vec::from_iter(debug.into_iter().chain(resize)), "{policy}");
        let rules: Vec<RuleWithOperations> = serde_saphyr::from_str(&package.annotations["kubewarden/rules"]).unwrap();
        assert_eq!(rules, metadata.rules, "{policy}");
    }
}

#[test]
fn the_annotations_are_those_of_kubewarden() {
    for Files { policy, metadata, package, questions, .. } in policies() {
        let annotation = |name: &str| {
            let value = metadata.annotations.get(name).unwrap_or_else(|| panic!("{policy}: no annotation {name}"));
            assert!(!value.is_empty() && !value.contains('\n'), "{policy}: {name}: {value:?}");
            value.as_str()
        };
        let of_policy = |name: &str| annotation(&format!("io.kubewarden.policy.{name}"));
        let of_hub = |name: &str| annotation(&format!("io.artifacthub.{name}"));
        let mutating = usize::from(metadata.annotations.contains_key(MUTATING_SETTINGS));
        assert_eq!(metadata.annotations.len(), 14 + mutating, "{policy}");
        assert!(annotation(CONTROLS).chars().all(|letter| letter.is_alphanumeric() || "_, ".contains(letter)));
        assert!(!metadata.annotations.contains_key(USAGE), "{policy}: the README is added to the module");
        assert_eq!((of_policy("title"), package.name.as_str()), (policy.as_str(), policy.as_str()));
        // Cargo accepts only semantic versions.
        assert_eq!(of_policy("version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(package.version, of_policy("version"));
        assert_eq!(package.description, of_policy("description"));
        assert_eq!(package.license, of_policy("license"));
        assert_eq!(package.home_url, of_policy("url"));
        assert_eq!(package.display_name, of_hub("displayName"));
        assert_eq!(package.keywords.join(", "), of_hub("keywords"));
        assert_eq!(of_policy("author"), env!("CARGO_PKG_AUTHORS"));
        let maintainers: Vec<String> =
            package.maintainers.iter().map(|person| format!("{} <{}>", person.name, person.email)).collect();
        assert_eq!(maintainers.join(", "), of_policy("author"));
        assert!(!package.provider.name.is_empty());
        assert!(["info", "low", "medium", "high", "critical"].contains(&of_policy("severity")));
        assert!(!of_policy("category").is_empty());
        let image = format!("{}:v{}", of_policy("ociUrl"), package.version);
        assert!(package.containers_images.iter().all(|of| of.name == "policy" && of.image == image), "{policy}");
        assert_eq!(package.containers_images.len(), 1, "{policy}");
        assert!(package.install.contains(&format!("registry://{image}\n")), "{}", package.install);
        let links: Vec<(&str, &str)> = package.links.iter().map(|link| (&*link.name, &*link.url)).collect();
        assert_eq!(links, [("policy", of_policy("url")), ("source", of_policy("source"))]);
        assert_eq!(package.recommendations.len(), 1);
        assert!(package.recommendations[0].url.starts_with("https://artifacthub.io/packages/"));
        assert!(package.created_at.ends_with('Z'), "{}", package.created_at);
        let annotations: Vec<&str> = package.annotations.keys().map(String::as_str).collect();
        let expected = ["kubewarden/mutation", "kubewarden/questions-ui", "kubewarden/resources", "kubewarden/rules"];
        assert_eq!(annotations, expected, "{policy}");
        assert_eq!(package.annotations["kubewarden/mutation"], metadata.mutating.to_string());
        assert_eq!(package.annotations["kubewarden/resources"], of_hub("resources"));
        let form: Value = serde_saphyr::from_str(&package.annotations["kubewarden/questions-ui"]).unwrap();
        assert_eq!(form, questions, "{policy}");
    }
}

#[test]
fn the_metadata_declares_whether_a_policy_mutates() {
    for Files { policy, metadata, fixtures, .. } in policies() {
        assert_eq!(metadata.mutating, fixtures.contains("\n  mutate:"), "{policy}");
    }
}
