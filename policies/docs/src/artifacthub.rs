//! Generates the files of Artifact Hub: `artifacthub/<policy>/artifacthub-pkg.yml` for each policy, and
//! `artifacthub/artifacthub-repo.yml`.
//!
//! `kwctl scaffold artifacthub` is not used, since it writes the current time and another provider.

use std::path::Path;

use podfence_fixtures::generated;
use serde::Serialize;
use serde_json::{Map, Value, json};
use serde_saphyr::LitString;

use crate::{
    facts::{Author, Project},
    generate,
    metadata::Facts,
};

/// The page of the controller, which runs the policies in a cluster.
const CONTROLLER: &str = "https://artifacthub.io/packages/helm/kubewarden/admission-controller";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package<'f> {
    version: &'f str,
    name: &'f str,
    display_name: &'f str,
    created_at: &'f str,
    description: &'f str,
    license: &'f str,
    #[serde(rename = "homeURL")]
    home_url: String,
    containers_images: [Map<String, Value>; 1],
    keywords: Vec<String>,
    links: [Map<String, Value>; 2],
    install: LitString,
    maintainers: Vec<Person<'f>>,
    provider: Map<String, Value>,
    recommendations: [Map<String, Value>; 1],
    annotations: Annotations,
}

/// The annotations that Kubewarden's pages read. Two more do not apply here: `kubewarden/contextAwareResources` is for
/// policies that query the cluster, and `kubewarden/hidden-ui` is for policies without a form.
#[derive(Serialize)]
struct Annotations {
    #[serde(rename = "kubewarden/mutation")]
    mutation: String,
    #[serde(rename = "kubewarden/resources")]
    resources: String,
    #[serde(rename = "kubewarden/rules")]
    rules: LitString,
    #[serde(rename = "kubewarden/questions-ui")]
    questions: LitString,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Repository<'p> {
    #[serde(rename = "repositoryID")]
    repository_id: &'p str,
    owners: Vec<Person<'p>>,
}

#[derive(Serialize)]
struct Person<'p> {
    name: &'p str,
    email: &'p str,
}

impl<'p> Person<'p> {
    fn of(authors: &'p [Author]) -> Vec<Self> {
        authors.iter().map(|author| Self { name: &author.name, email: &author.email }).collect()
    }
}

/// Generates `artifacthub-pkg.yml`.
pub(crate) fn package(facts: &Facts<'_>) -> Result<String, String> {
    let Facts { policy, project, tool, description, .. } = facts;
    let (page, image) = (project.page(policy.name), project.tagged_module(policy.name));
    let package = Package {
        version: &project.package.version,
        name: policy.name,
        display_name: &tool.display_name,
        created_at: &project.tool.released,
        description,
        license: &project.package.license,
        home_url: page.clone(),
        containers_images: [object([("name", "policy"), ("image", &image)])],
        keywords: project.keywords(policy.name, &tool.replaces),
        links: [
            object([("name", "policy"), ("url", &page)]),
            object([("name", "source"), ("url", &project.package.repository)]),
        ],
        install: LitString(install(&image)),
        maintainers: Person::of(&project.authors),
        provider: object([("name", &project.authors[0].name)]),
        recommendations: [object([("url", CONTROLLER)])],
        annotations: Annotations {
            mutation: facts.is_mutating().to_string(),
            resources: facts.resources(),
            rules: LitString(generate::yaml(&facts.rules())?),
            questions: LitString(facts.questions()?),
        },
    };
    generate::yaml_file(&package)
}

/// Checks that `artifacthub-repo.yml` is current. It is generated from the manifest of the workspace at `root`.
///
/// # Errors
/// The file is missing or out of date; the error names the command that refreshes it.
pub fn repository(root: &Path) -> Result<(), String> {
    let project = Project::load(root)?;
    let owners = Person::of(&project.authors);
    let generated = generate::yaml_file(&Repository { repository_id: &project.tool.artifact_hub_id, owners })?;
    generated::is_current(&root.join("artifacthub/artifacthub-repo.yml"), &generated)
}

// The text has no empty lines, since YAML would put spaces into them.
fn install(image: &str) -> String {
    format!(
        "Download the policy with [kwctl](https://docs.kubewarden.io):\n\
         ```console\nkwctl pull registry://{image}\n```\n\
         Then write a manifest, look over its rules and settings, and apply it:\n\
         ```console\nkwctl scaffold manifest --type ClusterAdmissionPolicy registry://{image} > policy.yaml\n\
         kubectl apply --filename policy.yaml\n```\n"
    )
}

fn object<const N: usize>(members: [(&str, &str); N]) -> Map<String, Value> {
    members.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect()
}
