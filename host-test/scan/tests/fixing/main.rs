//! Edits of texts: whole texts before and afterwards, and texts that are made up at random, with the proof as the judge.

mod generated;
mod writer;

use podfence_scan::fix::{Edit, Op, Wanted, edit};
use serde_json::{Value, json};

fn set(path: &str, value: Value) -> Edit {
    Edit { op: Op::Set, path: path.to_owned(), value, usual: true }
}

fn add(path: &str, value: Value) -> Edit {
    Edit { op: Op::Add, path: path.to_owned(), value, usual: false }
}

fn remove(path: &str) -> Edit {
    Edit { op: Op::Remove, path: path.to_owned(), value: Value::Null, usual: true }
}

fn no_escalation() -> Edit {
    set("spec.containers[0].securityContext.allowPrivilegeEscalation", json!(false))
}

fn seccomp() -> Edit {
    set("spec.securityContext.seccompProfile.type", json!("RuntimeDefault"))
}

fn drop_all() -> Edit {
    add("spec.containers[0].securityContext.capabilities.drop", json!("ALL"))
}

fn not_privileged() -> Edit {
    remove("spec.containers[0].securityContext.privileged")
}

fn edited(text: &str, edits: &[Edit]) -> (String, Vec<String>) {
    let wanted: Vec<Wanted> = edits.iter().map(|edit| Wanted { document: 0, edit: edit.clone() }).collect();
    let edited = edit(text, &wanted);
    (edited.text, edited.outcomes.into_iter().filter_map(Result::err).collect())
}

/// What it is, the text before, the edits, and the text afterwards.
type Case = (&'static str, &'static str, Vec<Edit>, &'static str);

fn cases() -> Vec<Case> {
    vec![
        (
            "missing parents, in the indentation of the document",
            "spec:\n  containers:\n  - name: a\n    image: x\n",
            vec![no_escalation(), seccomp(), drop_all()],
            "spec:\n  containers:\n  - name: a\n    image: x\n    securityContext:\n      \
             allowPrivilegeEscalation: false\n      capabilities:\n        drop:\n        - ALL\n  \
             securityContext:\n    seccompProfile:\n      type: RuntimeDefault\n",
        ),
        (
            "deeper dashes and steps of four",
            "spec:\n    containers:\n      - name: a\n        image: x # c\n",
            vec![drop_all()],
            "spec:\n    containers:\n      - name: a\n        image: x # c\n        securityContext:\n            \
             capabilities:\n                drop:\n                  - ALL\n",
        ),
        (
            "behind a comment at the end of the line, before those below",
            "spec:\n  containers:\n  - name: a\n    securityContext:\n      runAsUser: 1 # one\n      # two\n  # three\n  \
             hostname: h\n",
            vec![no_escalation()],
            "spec:\n  containers:\n  - name: a\n    securityContext:\n      runAsUser: 1 # one\n      \
             allowPrivilegeEscalation: false\n      # two\n  # three\n  hostname: h\n",
        ),
        (
            "no final newline, and `...`",
            "spec:\n  containers:\n  - name: a",
            vec![no_escalation()],
            "spec:\n  containers:\n  - name: a\n    securityContext:\n      allowPrivilegeEscalation: false",
        ),
        (
            "CRLF",
            "spec:\r\n  containers:\r\n  - name: a\r\n",
            vec![no_escalation()],
            "spec:\r\n  containers:\r\n  - name: a\r\n    securityContext:\r\n      \
             allowPrivilegeEscalation: false\r\n",
        ),
        (
            "a value is replaced, in its quotes",
            "spec:\n  securityContext:\n    seccompProfile: {type: 'Unconfined'} # c\n  containers:\n  - {name: a, \
             securityContext: {allowPrivilegeEscalation: yes}}\n",
            vec![seccomp(), no_escalation()],
            "spec:\n  securityContext:\n    seccompProfile: {type: \"RuntimeDefault\"} # c\n  containers:\n  - {name: \
             a, securityContext: {allowPrivilegeEscalation: false}}\n",
        ),
        (
            "into braces",
            "spec: {containers: [{name: a}]}\n",
            vec![no_escalation(), seccomp()],
            "spec: {containers: [{name: a, securityContext: {allowPrivilegeEscalation: false}}], securityContext: \
             {seccompProfile: {type: RuntimeDefault}}}\n",
        ),
        (
            "into braces over several lines, with commas at the end and comments",
            "{\n  spec: {\n    containers: [{\n      name: \"a\", # c\n    }],\n  },\n}\n",
            vec![no_escalation(), seccomp()],
            "{\n  spec: {\n    containers: [{\n      name: \"a\", # c\n      securityContext: \
             {allowPrivilegeEscalation: false},\n    }],\n    securityContext: {seccompProfile: {type: \
             \"RuntimeDefault\"}},\n  },\n}\n",
        ),
        (
            "JSON over several lines",
            "{\n\t\"spec\": {\n\t\t\"containers\": [\n\t\t\t{\n\t\t\t\t\"name\": \"a\"\n\t\t\t}\n\t\t]\n\t}\n}\n",
            vec![no_escalation(), seccomp()],
            "{\n\t\"spec\": {\n\t\t\"containers\": [\n\t\t\t{\n\t\t\t\t\"name\": \"a\",\n\t\t\t\t\"securityContext\": \
             {\n\t\t\t\t\t\"allowPrivilegeEscalation\": false\n\t\t\t\t}\n\t\t\t}\n\t\t],\n\t\t\"securityContext\": \
             {\n\t\t\t\"seccompProfile\": {\n\t\t\t\t\"type\": \"RuntimeDefault\"\n\t\t\t}\n\t\t}\n\t}\n}\n",
        ),
        (
            "JSON on one line",
            r#"{"spec":{"containers":[{"name":"a","securityContext":{"privileged":true}}]}}"#,
            vec![no_escalation(), not_privileged(), drop_all()],
            r#"{"spec":{"containers":[{"name":"a","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}"#,
        ),
        (
            "an object that is null, empty, or there without a value",
            "spec:\n  securityContext: # c\n  containers:\n  - name: a\n    securityContext: {} # d\n",
            vec![no_escalation(), seccomp()],
            "spec:\n  securityContext: # c\n    seccompProfile:\n      type: RuntimeDefault\n  containers:\n  - name: \
             a\n    securityContext: # d\n      allowPrivilegeEscalation: false\n",
        ),
        (
            "the last value is a block scalar",
            "spec:\n  containers:\n  - name: a\n    args:\n    - |\n      x\n      y\n\n  hostname: h\n",
            vec![no_escalation()],
            "spec:\n  containers:\n  - name: a\n    args:\n    - |\n      x\n      y\n    securityContext:\n      \
             allowPrivilegeEscalation: false\n\n  hostname: h\n",
        ),
        (
            "a line is removed, and one that empties its parents with them",
            "spec:\n  hostPID: true\n  containers:\n  - name: a\n    securityContext:\n      privileged: true\n    \
             image: x\n  - name: b\n    securityContext:\n      privileged: true\n      runAsUser: 1\n",
            vec![remove("spec.hostPID"), not_privileged(), remove("spec.containers[1].securityContext.privileged")],
            "spec:\n  containers:\n  - name: a\n    image: x\n  - name: b\n    securityContext:\n      runAsUser: 1\n",
        ),
        (
            "the comment of what is removed stays",
            "spec:\n  hostPID: true # needed by the agent\n  containers: []\n",
            vec![remove("spec.hostPID")],
            "spec:\n  # needed by the agent\n  containers: []\n",
        ),
        (
            "the first key of an element is removed",
            "spec:\n  containers:\n  - securityContext: {privileged: true}\n    name: a\n",
            vec![not_privileged()],
            "spec:\n  containers:\n  - name: a\n",
        ),
        (
            "a member is removed, and its neighbour stays",
            "spec:\n  containers:\n  - {name: a, securityContext: {privileged: true, runAsUser: 0}}\n",
            vec![not_privileged()],
            "spec:\n  containers:\n  - {name: a, securityContext: {runAsUser: 0}}\n",
        ),
        (
            "elements are removed, and one is added",
            "spec:\n  containers:\n  - name: a\n    securityContext:\n      capabilities:\n        add: [A, B, C]\n        \
             drop:\n          - X\n",
            vec![
                remove("spec.containers[0].securityContext.capabilities.add[0]"),
                remove("spec.containers[0].securityContext.capabilities.add[2]"),
                drop_all(),
            ],
            "spec:\n  containers:\n  - name: a\n    securityContext:\n      capabilities:\n        add: [B]\n        \
             drop:\n          - X\n          - ALL\n",
        ),
        (
            "all elements are removed",
            "spec:\n  containers:\n  - name: a\n    securityContext:\n      capabilities:\n        add:\n        - A\n        \
             - B\n        drop: []\n",
            vec![
                remove("spec.containers[0].securityContext.capabilities.add[0]"),
                remove("spec.containers[0].securityContext.capabilities.add[1]"),
                drop_all(),
            ],
            "spec:\n  containers:\n  - name: a\n    securityContext:\n      capabilities:\n        drop:\n        - ALL\n",
        ),
        (
            "keys in quotes",
            "\"spec\":\n  \"containers\":\n  - \"name\": \"a\"\n",
            vec![no_escalation()],
            "\"spec\":\n  \"containers\":\n  - \"name\": \"a\"\n    \"securityContext\":\n      \
             allowPrivilegeEscalation: false\n",
        ),
        (
            "an annotation",
            "metadata:\n  annotations:\n    a/b: x\n    \"c/d\": y\nspec: {}\n",
            vec![remove("metadata.annotations[\"a/b\"]")],
            "metadata:\n  annotations:\n    \"c/d\": y\nspec: {}\n",
        ),
        (
            "a byte order mark and a document's start and end",
            "\u{feff}--- # c\nspec:\n  hostPID: true\n  hostname: h\n...\n",
            vec![remove("spec.hostPID")],
            "\u{feff}--- # c\nspec:\n  hostname: h\n...\n",
        ),
    ]
}

#[test]
fn edits_are_written_in_the_style_of_the_file() {
    for (name, before, edits, after) in cases() {
        let (text, problems) = edited(before, &edits);
        assert_eq!(problems, [""; 0], "{name}");
        assert_eq!(text, after, "{name}:\n{text}");
    }
}

#[test]
fn what_cannot_be_edited_stays_and_says_why() {
    const SHARED: &str = "the value is shared with other places by an anchor, an alias or a merge key";
    let context = "spec.containers[0].securityContext";
    for (name, text, edits, expected) in [
        (
            "an anchor that another container uses",
            "spec:\n  containers:\n  - name: a\n    securityContext: &s\n      privileged: true\n  - name: b\n    \
             securityContext: *s\n",
            vec![not_privileged()],
            vec![SHARED],
        ),
        (
            "an alias",
            "s: &s {privileged: true}\nspec:\n  containers:\n  - name: a\n    securityContext: *s\n",
            vec![not_privileged(), no_escalation()],
            vec![SHARED, SHARED],
        ),
        (
            "a merge key",
            "s: &s {privileged: true}\nspec:\n  containers:\n  - name: a\n    securityContext:\n      <<: *s\n",
            vec![no_escalation()],
            vec![SHARED],
        ),
        (
            "a template",
            "spec:\n  # {{ .Values.x }}\n  hostPID: true\n  hostname: h\n",
            vec![remove("spec.hostPID")],
            vec!["the file has `{{`, and may be a template"],
        ),
        (
            "a key that stands twice",
            "spec:\n  hostPID: false\n  hostPID: true\n",
            vec![remove("spec.hostPID")],
            vec!["the document has a key twice"],
        ),
        (
            "a comment within what is removed",
            "spec:\n  containers:\n  - name: a\n    securityContext:\n      # why\n      privileged: true\n",
            vec![not_privileged()],
            vec!["the part to remove contains a comment"],
        ),
        (
            "something else at the place",
            "spec:\n  containers:\n  - name: a\n    securityContext: none\n",
            vec![no_escalation()],
            vec!["there is a scalar, and no object or list"],
        ),
        (
            "an element below its dash",
            "spec:\n  containers:\n  -\n    name: a\n    securityContext: {privileged: true}\n",
            vec![not_privileged()],
            vec!["line 4: an element of the list begins below its `-`"],
        ),
        (
            "nothing to remove",
            "spec:\n  containers:\n  - name: a\n",
            vec![remove(context)],
            vec!["there is nothing to remove"],
        ),
        (
            "another document that cannot be read",
            "spec:\n  hostPID: true\n---\na: [\n",
            vec![remove("spec.hostPID")],
            vec!["the file has a document that cannot be read: unclosed bracket '['"],
        ),
    ] {
        let (after, problems) = edited(text, &edits);
        assert_eq!(after, text, "{name}");
        assert_eq!(problems, expected, "{name}");
    }
}

#[test]
fn what_can_be_edited_is_edited_beside_what_cannot() {
    let text =
        "s: &s {privileged: true}\nspec:\n  hostPID: true\n  containers:\n  - name: a\n    securityContext: *s\n";
    let (after, problems) = edited(text, &[not_privileged(), remove("spec.hostPID")]);
    let expected = "s: &s {privileged: true}\nspec:\n  containers:\n  - name: a\n    securityContext: *s\n";
    assert_eq!((after.as_str(), problems.len()), (expected, 1));
}

#[test]
fn documents_are_edited_where_they_stand() {
    let text = "a: 1\n---\nspec:\n  hostPID: true\n  hostname: h\n--- # two\nspec: {hostPID: true, hostname: h}\n";
    let wanted = [1, 2].map(|document| Wanted { document, edit: remove("spec.hostPID") });
    let expected = "a: 1\n---\nspec:\n  hostname: h\n--- # two\nspec: {hostname: h}\n";
    assert_eq!(edit(text, &wanted).text, expected);
}
