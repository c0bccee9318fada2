//! Checks the files of every policy, and that the README, `policies/ALIASES.md` and `artifacthub/` list exactly the
//! policies.

use std::{
    fs,
    path::{Path, PathBuf},
};

use podfence_docs::{cis, generate};
use podfence_fixtures::{discover, generated};

/// The entries of `policies/` that are not policies.
const OTHERS: [&str; 7] = [ALIASES, BENCHMARK, "FIELDS.md", "core", "docs", "fixtures", "link"];
const ALIASES: &str = "ALIASES.md";
const BENCHMARK: &str = "CIS.md";

/// The files of a policy: first those that are written by hand, then those that are generated.
const FILES: [&str; 6] = ["Cargo.toml", "fixtures.yaml", "src/lib.rs", "README.md", "metadata.yml", "questions-ui.yml"];
const GENERATED: &[&str] = FILES.split_at(3).1;

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("docs is two directories below the root").to_owned()
}

/// Returns the directories of the policies.
fn policies() -> Vec<PathBuf> {
    let policies = root().join("policies");
    let names = discover(&policies).expect("the directory of the policies");
    names.into_iter().map(|name| policies.join(name)).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// Returns the files below a directory, by their paths from a root.
fn files(root: &Path, dir: &Path) -> Vec<String> {
    let files = entries(dir).into_iter().flat_map(|path| {
        if path.is_dir() {
            files(root, &path)
        } else {
            vec![path.strip_prefix(root).expect("a path below the root").display().to_string()]
        }
    });
    files.collect()
}

#[test]
fn a_policy_has_its_files_and_no_others() {
    let mut wrong = Vec::new();
    let policies = policies();
    for entry in entries(&root().join("policies")) {
        if !policies.contains(&entry) && !OTHERS.iter().any(|other| entry.ends_with(other)) {
            wrong.push(format!(
                "{}: not expected; only policies are allowed here, which have a fixtures.yaml",
                entry.display()
            ));
        }
    }
    for policy in policies {
        let name = policy.file_name().unwrap_or_default().display().to_string();
        let files = files(&policy, &policy);
        for file in FILES.iter().filter(|file| !files.iter().any(|found| found == *file)) {
            // The tests of the policy write these files, possibly after this test.
            if !GENERATED.contains(file) || !generated::is_blessing() {
                wrong.push(format!("policies/{name}/{file}: missing"));
            }
        }
        let is_expected = |file: &String| {
            FILES.contains(&file.as_str())
                || file.starts_with("tests/")
                || file.starts_with("src/") && file.ends_with(".rs")
        };
        for file in files.iter().filter(|file| !is_expected(file)) {
            wrong.push(format!(
                "policies/{name}/{file}: not expected; a policy has {}, other source files and tests",
                FILES.join(", ")
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The tests of each policy check its row.
#[test]
fn the_aliases_are_those_of_every_policy() {
    let path = root().join("policies").join(ALIASES);
    let text = fs::read_to_string(&path).expect("the aliases");
    let table = generated::part(&text, "aliases").expect("the markers of the table");
    let link = |name: &str| format!("| [`{name}`]({name}/README.md) |");
    let links: Vec<String> =
        policies().iter().map(|policy| link(&policy.file_name().unwrap_or_default().to_string_lossy())).collect();
    let (head, rows) = table.split_at(table.find("| [").unwrap_or(table.len()));
    let is_known = |row: &&str| links.iter().any(|link| row.starts_with(link));
    let known: String = head.split_inclusive('\n').chain(rows.split_inclusive('\n').filter(is_known)).collect();
    let current = generated::between(&text, "aliases", &known).expect("the markers of the table");
    generated::is_current(&path, &current).unwrap_or_else(|problem| panic!("{problem}"));
    for link in links.iter().filter(|link| !known.contains(*link)) {
        // The tests of the policy write its row, possibly after this test.
        assert!(generated::is_blessing(), "{}: no row starts with {link}", path.display());
    }
}

#[test]
fn artifact_hub_has_every_policy_and_no_others() {
    let root = root();
    podfence_docs::repository(&root).unwrap_or_else(|problem| panic!("{problem}"));
    let mut expected = vec!["artifacthub-repo.yml".to_owned()];
    expected.extend(policies().iter().map(|policy| {
        let name = policy.file_name().expect("a directory has a name");
        Path::new(name).join("artifacthub-pkg.yml").display().to_string()
    }));
    expected.sort();
    let directory = root.join("artifacthub");
    let mut found = files(&directory, &directory);
    found.sort();
    // The tests of the policies write missing files, possibly after this test.
    expected.retain(|file| found.contains(file) || !generated::is_blessing());
    assert_eq!(found, expected, "artifacthub/");
}

#[test]
fn the_readme_lists_every_policy() {
    let readme = root().join("README.md");
    let text = fs::read_to_string(&readme).expect("the README at the root");
    let mut table = String::from(
        "| Policy | What it enforces | Pod Security Standards | PodSecurityPolicy | CIS |\n|---|---|---|---|---|\n",
    );
    for policy in policies() {
        table.push_str(&generate::row(&policy).expect("docs"));
    }
    let current = generated::between(&text, "policies", &table).expect("the markers of the table");
    if let Err(problem) = generated::is_current(&readme, &current) {
        panic!("{problem}");
    }
}

#[test]
fn the_benchmark_is_the_one_that_the_policies_name() {
    let path = root().join("policies").join(BENCHMARK);
    let text = fs::read_to_string(&path).expect("the page");
    let table = cis::table(&root()).unwrap_or_else(|problem| panic!("{problem}"));
    let current = generated::between(&text, "items", &table).expect("the markers of the table");
    generated::is_current(&path, &current).unwrap_or_else(|problem| panic!("{problem}"));
}
