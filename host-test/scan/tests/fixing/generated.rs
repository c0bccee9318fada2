//! Texts in odd styles, made up at random. The proof is the judge of each edit; that most can be edited is counted.

use podfence_scan::fix::{Edit, Op, Wanted, apply, edit};
use podfence_scan::yaml::documents;
use serde_json::{Map, Value, json};

use super::writer::{Random, Writer};

/// A container with some of what the edits change.
fn container(random: &mut Random) -> Value {
    let mut context = Map::new();
    if random.one_in(2) {
        context.insert("privileged".to_owned(), json!(true));
    }
    if random.one_in(2) {
        context.insert("capabilities".to_owned(), json!({ "add": ["NET_ADMIN", "SYS_TIME"], "drop": ["KILL"] }));
    }
    if random.one_in(3) {
        context.insert("runAsUser".to_owned(), json!(1000));
    }
    let mut members = Map::new();
    if random.one_in(3) {
        members.insert("args".to_owned(), json!(["a", "b # c"]));
    }
    members.insert("name".to_owned(), json!("web"));
    match random.below(4) {
        0 => {}
        1 => {
            members.insert("securityContext".to_owned(), Value::Null);
        }
        _ => {
            members.insert("securityContext".to_owned(), Value::Object(context));
        }
    }
    if random.one_in(2) {
        members.insert("command".to_owned(), json!("sh\n-c\nx"));
    }
    Value::Object(members)
}

/// An object with the edits that fit it.
fn object(random: &mut Random) -> (Value, Vec<Edit>) {
    let containers: Vec<Value> = (0..=random.below(3)).map(|_| container(random)).collect();
    let mut edits = Vec::new();
    let mut want = |op, path: String, value: Value| edits.push(Edit { op, path, value, usual: true });
    for (index, container) in containers.iter().enumerate() {
        let path = format!("spec.containers[{index}].securityContext");
        want(Op::Set, format!("{path}.allowPrivilegeEscalation"), json!(false));
        want(Op::Add, format!("{path}.capabilities.drop"), json!("ALL"));
        if container["securityContext"].get("privileged").is_some() {
            want(Op::Remove, format!("{path}.privileged"), Value::Null);
        }
        if container["securityContext"].get("capabilities").is_some() {
            want(Op::Remove, format!("{path}.capabilities.add[{}]", random.below(2)), Value::Null);
        }
    }
    want(Op::Set, "spec.securityContext.seccompProfile.type".to_owned(), json!("RuntimeDefault"));
    let mut spec = Map::new();
    if random.one_in(2) {
        spec.insert("hostPID".to_owned(), json!(true));
        want(Op::Remove, "spec.hostPID".to_owned(), Value::Null);
    }
    spec.insert("containers".to_owned(), Value::Array(containers));
    if random.one_in(2) {
        spec.insert("securityContext".to_owned(), json!({ "fsGroup": 1 }));
    }
    (json!({ "apiVersion": "v1", "kind": "Pod", "spec": spec }), edits)
}

/// What makes another text of one, or none at all.
const PIECES: [&str; 20] = [
    "é", "\t", "&a ", "*a", "!!str ", "<<: ", "# ", "'", "\"", "{", "}", "- ", "\n", "---\n", "...\n", "|\n", ",", ":",
    "? ", "\u{2028}",
];

#[test]
fn texts_that_are_changed_anywhere_are_edited_as_their_json_or_stay() {
    let mut random = Random(7);
    let (mut made, mut readable) = (0, 0);
    for round in 0..20_000 {
        let (object, edits) = object(&mut random);
        let mut text = Writer::new(&mut random).document(&object);
        for _ in 0..=random.below(2) {
            let at = text.floor_char_boundary(random.below(text.len() as u64) as usize);
            if random.one_in(4) {
                text.remove(at);
            } else {
                text.insert_str(at, PIECES[random.below(PIECES.len() as u64) as usize]);
            }
        }
        let read = |text: &str| -> Option<Vec<Value>> {
            documents(text).map(|document| serde_json::from_str(&document.ok()?.json).ok()).collect()
        };
        let wanted: Vec<Wanted> = edits.iter().map(|edit| Wanted { document: 0, edit: edit.clone() }).collect();
        let edited = edit(&text, &wanted);
        let Some(mut expected) = read(&text) else {
            assert_eq!(edited.text, text, "round {round}");
            continue;
        };
        readable += 1;
        let is_made = |of: &usize| edited.outcomes[*of].is_ok();
        let made_here: Vec<&Edit> = (0..edits.len()).filter(is_made).map(|of| &edits[of]).collect();
        if let Some(first) = expected.first_mut().filter(|_| !made_here.is_empty()) {
            apply(first, &made_here).expect("edits that fit");
        }
        assert_eq!(read(&edited.text), Some(expected), "round {round}:\n{text}\n{}", edited.text);
        made += made_here.len();
    }
    println!("{made} edits were made in {readable} texts");
    assert!(readable > 5_000 && made > readable, "only {made} edits were made in {readable} texts");
}

#[test]
fn texts_in_odd_styles_are_edited_as_their_json() {
    let seed = std::env::var("PODFENCE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = Random(seed);
    let (mut made, mut wanted_in_all) = (0, 0);
    for round in 0..3_000 {
        let (object, edits) = object(&mut random);
        let mut text = Writer::new(&mut random).document(&object);
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        if random.one_in(3) {
            text.truncate(text.trim_end().len());
        }
        let read = |text: &str| {
            let read: Vec<Value> = documents(text)
                .map(|document| serde_json::from_str(&document.expect("a document").json).expect("JSON"))
                .collect();
            read
        };
        assert_eq!(read(&text), std::slice::from_ref(&object), "round {round} does not write what it means:\n{text}");
        let wanted: Vec<Wanted> = edits.iter().map(|edit| Wanted { document: 0, edit: edit.clone() }).collect();
        let edited = edit(&text, &wanted);
        let is_made = |of: &usize| edited.outcomes[*of].is_ok();
        let made_here: Vec<&Edit> = (0..edits.len()).filter(is_made).map(|of| &edits[of]).collect();
        let mut expected = object;
        apply(&mut expected, &made_here).expect("edits that fit");
        assert_eq!(read(&edited.text), [expected], "round {round}:\n{text}\n{}", edited.text);
        let comments = |text: &str| text.matches("# ").count();
        assert_eq!(comments(&text), comments(&edited.text), "round {round}:\n{text}\n{}", edited.text);
        let is_crlf = |text: &str| text.matches("\r\n").count() == text.matches('\n').count();
        assert!(newline == "\n" || is_crlf(&edited.text), "round {round}:\n{}", edited.text);
        assert_eq!(text.ends_with('\n'), edited.text.ends_with('\n'), "round {round}:\n{text}\n{}", edited.text);
        if std::env::var_os("PODFENCE_SHOW").is_some() && made_here.len() < edits.len() {
            println!("{:?}\n{text}", edited.outcomes);
        }
        made += made_here.len();
        wanted_in_all += edits.len();
    }
    println!("{made} of {wanted_in_all} edits were made");
    assert!(made * 100 >= wanted_in_all * 97, "only {made} of {wanted_in_all} edits were made");
}
