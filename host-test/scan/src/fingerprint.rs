//! Identifies a finding across runs.

use std::borrow::Cow;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::finding::Finding;

/// How much of the hash is kept.
const BYTES: usize = 16;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The lists of a pod spec that hold containers.
const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Returns the fingerprint of a finding: 32 hexadecimal digits that stay the same when the file is renamed, the lines
/// move, the containers are reordered, or the API version changes within its group.
///
/// It depends on the policy, the control, the object's group, kind, namespace and name, the path with the name of the
/// container in place of its index, and the value.
pub fn fingerprint(finding: &Finding) -> String {
    let object = &finding.object;
    let group = object.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let path = by_name(&finding.path, finding.container.as_deref());
    // The order of keys in a file means nothing.
    let value = match &finding.value {
        value @ (Value::Array(_) | Value::Object(_)) => {
            let mut value = value.clone();
            value.sort_all_objects();
            Cow::Owned(value)
        }
        value => Cow::Borrowed(value),
    };
    let identity =
        (&finding.policy, &finding.control, group, &object.kind, &object.namespace, &object.name, path, value);
    let hash = Sha256::digest(serde_json::to_vec(&identity).expect("texts and a JSON value serialise"));
    let digits = hash[..BYTES].iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Whether a text can be a fingerprint.
pub(crate) fn is_fingerprint(text: &str) -> bool {
    text.len() == 2 * BYTES && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Replaces the index of the innermost container in a path by its name.
fn by_name<'p>(path: &'p str, container: Option<&str>) -> Cow<'p, str> {
    let index = container.filter(|name| !name.is_empty()).and_then(|name| Some((name, container_index(path)?)));
    match index {
        Some((name, (start, end))) => format!("{}name={name}{}", &path[..start], &path[end..]).into(),
        None => path.into(),
    }
}

/// Finds the digits of the last `containers[0]` in a path.
fn container_index(path: &str) -> Option<(usize, usize)> {
    let (mut found, mut at, mut name_start) = (None, 0, 0);
    while let Some(&byte) = path.as_bytes().get(at) {
        match byte {
            b'.' => name_start = at + 1,
            b'[' if path[at + 1..].starts_with('"') => at = end_of_quoted(path, at + 1),
            b'[' => {
                let end = at + path[at..].find(']')?;
                if LISTS.contains(&&path[name_start..at]) {
                    found = Some((at + 1, end));
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Returns where the quoted key ends that starts at a quote.
fn end_of_quoted(path: &str, quote: usize) -> usize {
    let mut is_escaped = false;
    for (at, byte) in path.bytes().enumerate().skip(quote + 1) {
        match byte {
            b'"' if !is_escaped => return at,
            b'\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    path.len()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::finding::{ObjectName, Position, Severity, Span};

    /// Returns a finding to be varied.
    pub(crate) fn finding() -> Finding {
        let place = Position { line: 12, col: 3, byte: 200 };
        let mut finding = Finding {
            policy: "privileged".to_owned(),
            policy_document: None,
            control: "privileged".to_owned(),
            severity: Severity::Error,
            level: None,
            object: ObjectName {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                namespace: Some("shop".to_owned()),
                name: "web".to_owned(),
            },
            container: Some("app".to_owned()),
            path: "spec.template.spec.containers[0].securityContext.privileged".to_owned(),
            value: Value::Bool(true),
            message: "privileged".to_owned(),
            fix: "remove it".to_owned(),
            docs: "https://example.com/privileged".to_owned(),
            file: "deploy/web.yaml".to_owned(),
            via: None,
            span: Span { start: place, end: place },
            related: Vec::new(),
            fingerprint: String::new(),
            mend: None,
            document: 0,
            setting: None,
            suppressed: None,
        };
        finding.fingerprint = fingerprint(&finding);
        finding
    }

    fn varied(vary: impl Fn(&mut Finding)) -> String {
        let mut finding = finding();
        vary(&mut finding);
        fingerprint(&finding)
    }

    /// Changing it invalidates every existing baseline.
    #[test]
    fn fingerprints_stay_what_they_are() {
        assert_eq!(finding().fingerprint, "222819f008c292d9544f50f40dfd5918");
    }

    type Vary = fn(&mut Finding);

    #[test]
    fn what_is_the_same_for_people_has_the_same_fingerprint() {
        let same: [(&str, Vary); 7] = [
            ("file", |finding| finding.file = "moved.yaml".to_owned()),
            ("line", |finding| finding.span.start.line = 99),
            ("words", |finding| finding.message = "must not be privileged".to_owned()),
            ("severity", |finding| finding.severity = Severity::Warning),
            ("version", |finding| finding.object.api_version = "apps/v1beta1".to_owned()),
            ("order of containers", |finding| finding.path = finding.path.replace("[0]", "[1]")),
            ("renderer", |finding| finding.via = Some("templates/web.yaml".to_owned())),
        ];
        for (name, vary) in same {
            assert_eq!(varied(vary), finding().fingerprint, "{name}");
        }
        let of = |json: &str| varied(|finding| finding.value = serde_json::from_str(json).unwrap());
        assert_eq!(of(r#"{"a": {"c": 1, "b": 2}, "d": 3}"#), of(r#"{"d": 3, "a": {"b": 2, "c": 1}}"#));
    }

    #[test]
    fn what_differs_for_people_has_another_fingerprint() {
        let others: [Vary; 13] = [
            |_| {},
            |finding| finding.policy = "other".to_owned(),
            |finding| finding.control = "other".to_owned(),
            |finding| finding.object.api_version = "v1".to_owned(),
            |finding| finding.object.kind = "StatefulSet".to_owned(),
            |finding| finding.object.namespace = None,
            |finding| finding.object.namespace = Some(String::new()),
            |finding| finding.object.name = "other".to_owned(),
            |finding| finding.container = Some("other".to_owned()),
            |finding| finding.container = None,
            |finding| finding.path = finding.path.replace("containers", "initContainers"),
            |finding| finding.path = finding.path.replace("privileged", "procMount"),
            |finding| finding.value = "true".into(),
        ];
        let fingerprints: BTreeSet<String> = others.into_iter().map(varied).collect();
        assert_eq!(fingerprints.len(), others.len());
        // What is joined without an end of its parts would be the same.
        let moved = |kind: &str, name: &str| {
            varied(|finding| (finding.object.kind, finding.object.name) = (kind.to_owned(), name.to_owned()))
        };
        assert_ne!(moved("Pod\",\"a", "b"), moved("Pod", "a\",\"b"));
    }

    #[test]
    fn the_index_of_the_container_gives_way_to_its_name() {
        for (path, container, expected) in [
            ("spec.containers[12].image", Some("web"), "spec.containers[name=web].image"),
            ("spec.initContainers[0]", Some("web"), "spec.initContainers[name=web]"),
            ("spec.ephemeralContainers[0].a[1]", Some("web"), "spec.ephemeralContainers[name=web].a[1]"),
            ("containers[0].ports[1].hostPort", Some("web"), "containers[name=web].ports[1].hostPort"),
            ("spec.pods[0].containers[1].image", Some("web"), "spec.pods[0].containers[name=web].image"),
            ("spec.containers[0].pod.containers[1]", Some("web"), "spec.containers[0].pod.containers[name=web]"),
            ("spec.containers[0].image", None, "spec.containers[0].image"),
            ("spec.containers[0].image", Some(""), "spec.containers[0].image"),
            ("spec.myContainers[0].image", Some("web"), "spec.myContainers[0].image"),
            (r#"metadata.annotations["a/containers[0]"]"#, Some("web"), r#"metadata.annotations["a/containers[0]"]"#),
            (r#"a["x\".containers[0]"].containers[1]"#, Some("é"), r#"a["x\".containers[0]"].containers[name=é]"#),
            ("spec.containers[0", Some("web"), "spec.containers[0"),
            ("spec.containers[\"0", Some("web"), "spec.containers[\"0"),
        ] {
            assert_eq!(by_name(path, container), expected);
        }
    }
}
