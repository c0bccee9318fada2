//! The fields that a policy documents are those that its fixtures reject.

use std::collections::BTreeSet;

use crate::{Entry, LISTS, Scope};

/// A kind, and a path in its objects with `[*]` for each index.
pub(super) type Row = (&'static str, String);

/// The rows of the table of restricted fields, one for each place.
pub(super) fn rows(fields: &[Entry]) -> BTreeSet<Row> {
    let mut rows = BTreeSet::new();
    for field in fields.iter().filter(|field| !field.doc.is_empty()) {
        let path = field.path;
        let in_pod = || ("Pod", format!("spec.{path}"));
        let in_containers = || LISTS.iter().map(|list| ("Pod", format!("spec.{}[*].{path}", list.path)));
        match field.scope {
            Scope::Pod => rows.extend([in_pod()]),
            Scope::Container => rows.extend(in_containers()),
            Scope::Both => rows.extend(in_containers().chain([in_pod()])),
            Scope::Metadata => rows.extend([("Pod", format!("metadata.{path}"))]),
            Scope::PersistentVolume => rows.extend([("PersistentVolume", format!("spec.{path}"))]),
            Scope::Root => {}
        }
    }
    rows
}

/// The row that a path of a violation belongs to, or would belong to.
pub(super) fn row(rows: &BTreeSet<Row>, kind: &'static str, path: &str) -> Row {
    let mut pieces = path.split('[');
    let mut row = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once(']') {
            Some((index, behind)) if index.bytes().all(|byte| byte.is_ascii_digit()) => {
                row.push_str("[*]");
                row.push_str(behind);
            }
            _ => {
                row.push('[');
                row.push_str(piece);
            }
        }
    }
    // A list of texts is one field; its elements are what is wrong there.
    let row = row.strip_suffix("[*]").unwrap_or(&row);
    let patterns = rows.iter().filter(|(known, _)| *known == kind);
    let pattern = patterns.map(|(_, pattern)| pattern).find(|pattern| match pattern.strip_suffix("*\"]") {
        Some(prefix) => row.starts_with(prefix),
        None => *pattern == row,
    });
    (kind, pattern.map_or(row, String::as_str).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Field, types};

    fn entry(scope: Scope, path: &'static str) -> Entry {
        Entry { doc: "unset", ..Field::<types::Text>::new(path).entry(scope) }
    }

    #[test]
    fn a_field_of_both_levels_has_four_rows() {
        let rows = rows(&[entry(Scope::Both, "securityContext.a"), Field::<types::Text>::new("b").entry(Scope::Pod)]);
        let paths: Vec<&str> = rows.iter().map(|(_, path)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "spec.containers[*].securityContext.a",
                "spec.ephemeralContainers[*].securityContext.a",
                "spec.initContainers[*].securityContext.a",
                "spec.securityContext.a",
            ]
        );
    }

    #[test]
    fn paths_of_violations_find_their_rows() {
        let rows = rows(&[
            entry(Scope::Container, "add"),
            entry(Scope::Pod, "volumes[*].hostPath.path"),
            entry(Scope::Metadata, "annotations[\"a.b/*\"]"),
        ]);
        for (path, expected) in [
            ("spec.containers[12].add[3]", "spec.containers[*].add"),
            ("spec.volumes[0].hostPath.path", "spec.volumes[*].hostPath.path"),
            ("metadata.annotations[\"a.b/c\"]", "metadata.annotations[\"a.b/*\"]"),
        ] {
            let found = row(&rows, "Pod", path);
            assert_eq!(found, ("Pod", expected.to_owned()));
            assert!(rows.contains(&found));
        }
        assert!(!rows.contains(&row(&rows, "Pod", "spec.containers[0].drop")));
        assert!(!rows.contains(&row(&rows, "PersistentVolume", "spec.volumes[0].hostPath.path")));
    }
}
