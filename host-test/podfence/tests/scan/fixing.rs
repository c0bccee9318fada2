//! `--fix` and `--diff`: what is written, what is printed, and that nothing mendable is left.

use std::collections::BTreeSet;

use podfence_support::{corpus, corpus_path};
use serde_json::Value;

use super::{BAD, run, workplace};

#[path = "../../../scan/tests/fixing/writer.rs"]
mod writer;

use writer::{Random, Writer};

/// [`BAD`] without what hardly a container needs.
const USUAL: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec:\n  containers:\n  - name: c\n    image: i\n    \
                     securityContext:\n      allowPrivilegeEscalation: false\n  securityContext:\n    seccompProfile:\n      \
                     type: RuntimeDefault\n";

/// The same with what `--fix=all` changes in addition.
const ALL: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec:\n  containers:\n  - name: c\n    image: i\n    \
                   securityContext: {capabilities: {drop: [ALL]}, allowPrivilegeEscalation: false}\n  \
                   securityContext:\n    runAsNonRoot: true\n    seccompProfile:\n      type: RuntimeDefault\n";

#[test]
fn what_is_fixed_is_selected() {
    let privileged = BAD.replace("    securityContext: {privileged: true}\n", "");
    for (arguments, expected, code, fixed) in [
        (&["--fix"][..], USUAL, 0, "Fixed 3 findings in 1 file."),
        (&["--fix", "--enforce", "restricted"], USUAL, 1, "Fixed 3 findings in 1 file."),
        (&["--fix=all", "--enforce", "restricted"], ALL, 0, "Fixed 5 findings in 1 file."),
        (&["--fix=privileged"], &privileged, 0, "Fixed 1 finding in 1 file."),
        (&["--fix=hostPorts,procMount"], BAD, 1, "Fixed 0 findings in 0 files."),
    ] {
        let workplace = workplace();
        workplace.write("bad.yaml", BAD);
        let printed = workplace.run(&[&["scan"][..], arguments].concat());
        assert_eq!(workplace.text("bad.yaml"), expected, "{arguments:?}: {}", printed.error);
        assert_eq!((printed.code, printed.error.lines().last()), (Some(code), Some(fixed)), "{arguments:?}");
        let again = workplace.run(&[&["scan", "--diff"][..], arguments].concat());
        assert_eq!((again.code, again.out.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_difference_is_printed_and_nothing_is_written() {
    let workplace = workplace();
    workplace.write("a/bad.yaml", BAD);
    let of = |arguments: &[&str]| workplace.run(&[&["scan"][..], arguments].concat()).out;
    let all = of(&["--diff=all"]);
    assert!(all.contains("runAsNonRoot: true"), "{all}");
    assert_eq!([of(&["--fix=all", "--diff"]), of(&["--fix", "--diff=all"])], [all.clone(), all]);
    let printed = workplace.run(&["scan", "--diff", "--fix=privileged"]);
    let expected = "--- a/a/bad.yaml\n+++ b/a/bad.yaml\n@@ -5,4 +5,3 @@\n   containers:\n   - name: c\n     image: \
                    i\n-    securityContext: {privileged: true}\n";
    assert_eq!((printed.out.as_str(), printed.code), (expected, Some(1)), "{}", printed.error);
    assert_eq!(workplace.text("a/bad.yaml"), BAD);
}

#[test]
fn standard_input_is_printed_as_it_is_afterwards() {
    let workplace = workplace();
    let printed = run(&workplace, &["scan", "--fix", "-"], BAD);
    assert_eq!((printed.out.as_str(), printed.code), (USUAL, Some(0)), "{}", printed.error);
    let clean = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n";
    let printed = run(&workplace, &["scan", "--fix", "-", "--enforce", "baseline"], clean);
    assert_eq!((printed.out.as_str(), printed.code), (clean, Some(0)), "{}", printed.error);
}

#[test]
fn what_is_not_fixed_says_why() {
    let workplace = workplace();
    workplace.write("accepted.yaml", BAD.replace("true}", "true} # podfence: ignore[privileged] sets sysctls"));
    workplace.write("template.yaml", format!("# {{{{ .Values.x }}}}\n{BAD}"));
    workplace.write("twice.yaml", format!("{BAD}    image: i\n"));
    let before = ["accepted.yaml", "template.yaml", "twice.yaml"].map(|name| workplace.text(name));
    let printed = workplace.run(&["scan", "--fix", "--enforce", "baseline"]);
    let told: Vec<&str> = printed.error.lines().filter(|line| line.contains("is not fixed")).collect();
    assert_eq!(
        told,
        [
            "template.yaml:9: privileged is not fixed: the file has `{{`, and may be a template; edit it by hand",
            "twice.yaml:8: privileged is not fixed: the document has a key twice; edit it by hand",
        ]
    );
    assert_eq!(printed.code, Some(1));
    let after = ["accepted.yaml", "template.yaml", "twice.yaml"].map(|name| workplace.text(name));
    assert_eq!(before, after);
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let workplace = workplace();
    workplace.write("bad.yaml", BAD);
    for (arguments, expected) in [
        (&["scan", "--fix=hostPort"][..], "hostPort"),
        (&["scan", "--fix="], "usual"),
        (&["scan", "--fix", "--write-baseline"], "cannot be used with"),
        (&["scan", "--fix", "-", "bad.yaml"], "must be alone"),
    ] {
        let printed = run(&workplace, arguments, BAD);
        assert_eq!((printed.code, printed.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(printed.error.contains(expected), "{arguments:?}: {}", printed.error);
    }
    assert_eq!(workplace.text("bad.yaml"), BAD);
}

#[cfg(unix)]
#[test]
fn a_file_keeps_its_mode_and_a_link_is_not_written_through() {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let workplace = workplace();
    workplace.write("script.yaml", BAD);
    workplace.write("elsewhere/bad.txt", BAD);
    fs::set_permissions(workplace.path("script.yaml"), fs::Permissions::from_mode(0o750)).expect("a mode");
    symlink(workplace.path("elsewhere/bad.txt"), workplace.path("link.yaml")).expect("a link");
    let printed = workplace.run(&["scan", "--fix", "script.yaml", "link.yaml"]);
    assert_eq!(workplace.text("script.yaml"), USUAL);
    let mode = fs::metadata(workplace.path("script.yaml")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o750);
    assert_eq!(workplace.text("elsewhere/bad.txt"), BAD);
    assert!(printed.error.contains("link.yaml:8: privileged is not fixed: the file is a symbolic link"));
    let entries = fs::read_dir(workplace.directory()).expect("a directory");
    let names: BTreeSet<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, BTreeSet::from(["elsewhere", "link.yaml", "script.yaml"].map(Into::into)));
}

/// The objects of the corpora that are not templates.
fn objects() -> Option<Vec<Value>> {
    let mut objects = Vec::new();
    for (name, member) in [("real-workloads", "object"), ("pod-security-standards", "pod")] {
        let Some(lines) = corpus(name) else {
            eprintln!("skipped: {} is not there", corpus_path(name).display());
            return None;
        };
        let values = lines.iter().filter(|line| !line.contains("{{"));
        let values = values.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        objects.extend(values.filter_map(|mut value| Some(value.get_mut(member)?.take())));
    }
    Some(objects)
}

#[test]
fn nothing_mendable_is_left_of_real_workloads_in_odd_styles() {
    let Some(objects) = objects() else { return };
    let workplace = workplace();
    let mut random = Random(1);
    for (index, objects) in objects.chunks(8).enumerate() {
        let mut texts: Vec<String> = objects.iter().map(|object| Writer::new(&mut random).document(object)).collect();
        if index % 3 == 0 {
            texts.last_mut().into_iter().for_each(|last| last.truncate(last.trim_end().len()));
        }
        workplace.write(&format!("{index}.yaml"), texts.join("---\n"));
    }
    drop(objects);
    let scan = |arguments: &[&str]| workplace.run(&[&["scan", "--format", "json"][..], arguments].concat());
    // Not read as JSON: other tests measure the memory of this process.
    let edits = |printed: &str| printed.matches("\"edit\":{").count();
    let before = edits(&scan(&[]).out);
    assert!(before > 5_000, "only {before} findings have an edit");
    let fixed = scan(&["--fix=all"]);
    let told: Vec<&str> = fixed.error.lines().filter(|line| line.contains(" is not fixed: ")).collect();
    // What makes an edit impossible is a comment at what would be removed.
    let strange: Vec<&&str> =
        told.iter().filter(|line| !line.ends_with("the part to remove contains a comment; edit it by hand")).collect();
    assert!(strange.is_empty(), "{} are not fixed, such as {:#?}", strange.len(), &strange[..strange.len().min(9)]);
    assert!(told.len() * 50 < before, "{} of {before} are not fixed", told.len());
    assert!(edits(&fixed.out) <= told.len(), "what is left has been told");
    assert_eq!(edits(&scan(&[]).out), edits(&fixed.out));
    let again = workplace.run(&["scan", "--diff", "--fix=all"]);
    assert_eq!(again.out, "");
    println!("{before} findings had an edit, {} of them were not fixed", told.len());
}
