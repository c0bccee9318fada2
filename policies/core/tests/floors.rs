//! The files of this crate stand in floors, as the list in `src/lib.rs` says: each uses only files above it.

use std::{collections::BTreeSet, fs, path::Path};

fn source(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file).with_extension("rs");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The floors, from the ground: the names of their files.
fn floors() -> Vec<Vec<String>> {
    let docs = source("lib");
    let rows = docs.lines().filter_map(|line| line.strip_prefix("//! - ")?.split_once(": "));
    rows.map(|(files, _)| files.split(", ").map(|file| file.trim_matches('`').to_owned()).collect()).collect()
}

/// The files that a source names in a path from the root of the crate: `crate::json::Text`, `use crate::{json, text}`.
fn used(source: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in source.match_indices("crate::").filter(|(at, _)| !source[..*at].ends_with('$')) {
        let path = &source[at + "crate::".len()..];
        let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match path.strip_prefix('{') {
            None => _ = used.insert(name(path)),
            Some(group) => {
                // The names at depth one of the group.
                let (mut depth, mut start) = (1, 0);
                for (end, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 || depth == 1 && c == ',' {
                        used.insert(name(group[start..end].trim_start()));
                        start = end + 1;
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    used.remove("");
    used
}

#[test]
fn every_file_is_on_a_floor_and_uses_only_files_below() {
    let floors = floors();
    let listed: BTreeSet<String> = floors.iter().flatten().cloned().collect();
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("the sources");
    let names = entries.map(|entry| entry.expect("an entry").path().file_stem().unwrap().display().to_string());
    let files: BTreeSet<String> = names.filter(|name| name != "lib").collect();
    assert_eq!(listed, files, "the list of floors in src/lib.rs");
    let mut below = BTreeSet::new();
    let mut wrong = Vec::new();
    for floor in &floors {
        for file in floor {
            below.insert(file.clone());
            let code: String = source(file).lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for used in used(&code).iter().filter(|used| files.contains(*used) && !below.contains(*used)) {
                wrong.push(format!("src/{file}.rs uses {used}, which is not above it in the list of src/lib.rs"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn paths_in_groups_are_seen() {
    let source = "use crate::{\n    decode::{Decoder, Object},\n    json::Text,\n};\nfn f() { crate::text::own(\"\") }\n$crate::edit!()";
    assert_eq!(used(source).into_iter().collect::<Vec<_>>(), ["decode", "json", "text"]);
}
