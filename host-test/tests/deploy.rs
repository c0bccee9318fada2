//! The documents in `deploy/`: that they are what is generated, that the cluster's types read them without loss,
//! and that what they deploy decides as the policies do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use host_test::deploy;
use podfence_core::testing::generate::{is_blessing, is_current};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).expect("the root").to_owned()
}

fn tree() -> BTreeMap<PathBuf, String> {
    deploy::tree(&root().join("policies"), None).expect("the metadata of the policies")
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_tree_is_what_is_generated() {
    let (deploy, tree) = (root().join("deploy"), tree());
    let mut wrong: Vec<String> =
        tree.iter().filter_map(|(path, text)| is_current(&deploy.join(path), text).err()).collect();
    for path in files(&deploy) {
        if tree.contains_key(path.strip_prefix(&deploy).expect("below it")) {
            continue;
        }
        if is_blessing() {
            fs::remove_file(&path).expect("it can be removed");
        } else {
            wrong.push(format!("{}: is not generated any more; `make bless` (BLESS=1) removes it", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn another_registry_changes_nothing_but_the_modules() {
    let other = deploy::tree(&root().join("policies"), Some("localhost:5000/fence")).expect("the metadata");
    for (path, text) in tree() {
        let expected = text.replace("registry://registry.example.com/podfence/", "registry://localhost:5000/fence/");
        assert_eq!(other[&path], expected, "{}", path.display());
        let is_kustomization = path.ends_with("kustomization.yaml");
        assert_eq!(expected == text, is_kustomization, "{}", path.display());
    }
}
