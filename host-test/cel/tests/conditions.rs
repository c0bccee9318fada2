//! `matchConditions`: what is refused, and what they decide.

use podfence_cel::{Conditions, Inputs, Outcome};
use serde_json::{Value, json};

fn refusal(conditions: &[(&str, &str)]) -> String {
    match Conditions::compile(conditions) {
        Ok(_) => "compiled".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_refused() {
    let many: Vec<(String, &str)> = (0..65).map(|number| (format!("c{number}"), "true")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, expression)| (name.as_str(), *expression)).collect();
    let name = |index: usize, name: &str| {
        format!(
            "matchConditions[{index}].name: found {name:?}, expected a qualified name as in example.com/not-system: letters, digits, -, _ and ., at most 63 characters, after an optional domain and /"
        )
    };
    let cases: Vec<(&[(&str, &str)], String)> = vec![
        (&many, "matchConditions: found 65 conditions, at most 64 are allowed".to_owned()),
        (&many[..64], "compiled".to_owned()),
        (&[("", "true")], name(0, "")),
        (&[("a", "true"), ("-b", "true")], name(1, "-b")),
        (&[("Example.com/a", "true")], name(0, "Example.com/a")),
        (&[("example.com/", "true")], name(0, "example.com/")),
        (&[("example.com/a.B_c-1", "true")], "compiled".to_owned()),
        (
            &[("a", "true"), ("a", "false")],
            "matchConditions[1].name: found \"a\" a second time, expected names that are unique".to_owned(),
        ),
        (
            &[("a", "true"), ("b", "object.spec.hostNetwork")],
            "matchConditions[1].expression (b): line 1, column 12: the expression must evaluate to bool, found dyn; compare the value, as in … == true".to_owned(),
        ),
        (
            &[("a", "true &&\n  params.x == 1")],
            "matchConditions[0].expression (a): line 2, column 3: undeclared reference to \"params\"; declared are object, oldObject, request, namespaceObject".to_owned(),
        ),
        (
            &[("a", "authorizer.group('').resource('pods').check('create').allowed()")],
            "matchConditions[0].expression (a): line 1, column 17: authorizer cannot be evaluated here; the API server evaluates it".to_owned(),
        ),
    ];
    for (conditions, expected) in cases {
        assert_eq!(refusal(conditions), expected);
    }
}

fn outcome(conditions: &[(&str, &str)]) -> String {
    let request = json!({
        "operation": "CREATE", "name": "a", "namespace": "web", "subResource": "", "dryRun": false,
        "userInfo": {"username": "alice", "groups": ["g"]},
    });
    let object = json!({"metadata": {"name": "a"}, "spec": {"hostNetwork": true, "none": null}});
    let inputs = Inputs::new(&request, Some(&object), None);
    match Conditions::compile(conditions).expect("conditions").evaluate(&inputs) {
        Outcome::Match => "match".to_owned(),
        Outcome::NoMatch { condition } => format!("no match: {condition}"),
        Outcome::Error { failed } => {
            let failed = failed.iter().map(|(condition, problem)| format!("{condition}: {problem}"));
            format!("error: {}", failed.collect::<Vec<_>>().join("; "))
        }
    }
}

const FAILS: (&str, &str) = ("fails", "object.spec.absent == 1");

#[test]
fn what_they_decide() {
    let cases: Vec<(&[(&str, &str)], &str)> = vec![
        (&[], "match"),
        (&[("a", "true"), ("b", "object.spec.hostNetwork == true")], "match"),
        (&[("a", "true"), ("b", "false"), ("c", "false")], "no match: b"),
        // One that is false decides, wherever the errors are.
        (&[FAILS, ("b", "false")], "no match: b"),
        (&[("b", "false"), FAILS], "no match: b"),
        (
            &[("a", "true"), FAILS, ("other", "1 / int(request.name == 'a' ? 0 : 1) == 1")],
            "error: fails: no such key: absent; other: division by zero",
        ),
        // `namespaceObject` is null.
        (&[("a", "namespaceObject == null")], "match"),
        (
            &[("a", "namespaceObject.metadata.name == 'web'")],
            "error: a: found no matching overload for '_._' applied to '(null_type, string)'",
        ),
        (&[("a", "oldObject == null")], "match"),
        (&[("a", "request.subResource == ''")], "error: a: no such key: subResource"),
        (&[("a", "!has(request.subResource) && request.dryRun == false")], "match"),
        (&[("a", "request.userInfo.username == 'alice' && 'g' in request.userInfo.groups")], "match"),
        (&[("a", "!has(object.spec.none.x) && !has(object.metadata.name.x)")], "match"),
        (&[("a", "has(object.spec.absent.x)")], "error: a: no such key: absent"),
        (&[("a", "lists.range(1000000).all(x, true)")], "error: a: the expression costs too much"),
    ];
    for (conditions, expected) in cases {
        assert_eq!(outcome(conditions), expected, "{conditions:?}");
    }
}

#[test]
fn what_they_read() {
    let cases = [
        ("request.userInfo.username == 'a'", true, false),
        ("request.operation == 'CREATE'", false, false),
        ("has(request.userInfo.uid)", true, false),
        ("request.?userInfo.?username == optional.of('a')", true, false),
        ("dyn(request).userInfo == 1", true, false),
        ("[1].all(request, request == 1)", false, false),
        ("namespaceObject.metadata.name == 'a'", false, true),
    ];
    for (expression, user_info, namespace) in cases {
        let conditions = Conditions::compile(&[("a", expression)]).expect(expression);
        let found = (conditions.reading_user_info().count() == 1, conditions.reading_namespace().count() == 1);
        assert_eq!(found, (user_info, namespace), "{expression}");
    }
}

#[test]
fn inputs_are_shared_by_threads() {
    let conditions =
        Conditions::compile(&[("a", "object.n > 1 && request.name.matches('^[a-z]+$')")]).expect("a condition");
    let inputs: Vec<Inputs> =
        (0..4).map(|n| Inputs::new(&json!({"name": "abc"}), Some(&json!({"n": n})), None::<&Value>)).collect();
    let found: Vec<bool> = std::thread::scope(|scope| {
        let running: Vec<_> =
            inputs.iter().map(|inputs| scope.spawn(|| conditions.evaluate(inputs) == Outcome::Match)).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(found, [false, false, true, true]);
}
