//! What expressions come to: `expressions.tsv`, an expression and its outcome a line. Each row was compared with the
//! API server's own libraries: what is refused here is refused there, except what is refused by name.

use podfence_cel::{Answer, Environment, Expression, Inputs, Returns};
use serde_json::json;

fn outcome(text: &str) -> String {
    let environment = Environment::admission(Returns::Anything);
    let expression = match Expression::compile(text, &environment) {
        Ok(expression) => expression,
        Err(error) => return format!("refused: {error}"),
    };
    let request = json!({"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "userInfo": {}});
    let object = json!({"spec": {"none": null, "number": 1, "text": "héllo", "list": [1, 2]}});
    match expression.evaluate(&Inputs::new(&request, Some(&object), None)) {
        Ok(Answer::Bool(value)) => value.to_string(),
        Ok(Answer::String(text)) => json!(text).to_string(),
        Ok(Answer::Other(text)) => text,
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn each_comes_to_what_is_recorded() {
    let rows = include_str!("expressions.tsv").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows = rows.map(|line| line.split_once('\t').unwrap_or_else(|| panic!("{line}: no tab")));
    let different: Vec<_> = rows
        .map(|(text, expected)| (text, outcome(text), expected))
        .filter(|(_, found, expected)| found != expected)
        .collect();
    assert_eq!(different, Vec::new(), "(expression, found, expected)");
}

#[test]
fn a_result_is_of_the_type_that_its_place_takes() {
    let cases = [
        (
            Returns::Bool,
            "object.spec.x",
            "line 1, column 12: the expression must evaluate to bool, found dyn; compare the value, as in … == true",
        ),
        (
            Returns::Bool,
            "object.?x.orValue(true)",
            "line 1, column 18: the expression must evaluate to bool, found dyn; compare the value, as in … == true",
        ),
        (Returns::Bool, "'a'", "line 1, column 1: the expression must evaluate to bool, found string"),
        (Returns::Bool, "object.x == 1", ""),
        (Returns::Bool, "[true][0]", ""),
        (Returns::Bool, "has(request.dryRun) ? request.dryRun : false", ""),
        (Returns::String, "1", "line 1, column 1: the expression must evaluate to string, found int"),
        (Returns::String, "['a'].map(x, x + 'b')[0]", ""),
        (Returns::StringOrNull, "null", ""),
        (Returns::StringOrNull, "1", "line 1, column 1: the expression must evaluate to string or null, found int"),
    ];
    for (returns, text, expected) in cases {
        let compiled = Expression::compile(text, &Environment::admission(returns));
        assert_eq!(compiled.err().map(|error| error.to_string()).unwrap_or_default(), expected, "{text}");
    }
}

#[test]
fn variables_are_evaluated_where_they_are_named() {
    let variable = |environment: &Environment, text: &str| {
        Expression::compile(text, &environment.returning(Returns::Anything)).expect("a variable")
    };
    let mut environment = Environment::admission(Returns::Bool).with_params();
    for (name, text) in
        [("list", "object.list"), ("failing", "object.absent"), ("twice", "variables.list + variables.list")]
    {
        let compiled = variable(&environment, text);
        environment = environment.with_variable(name, compiled);
    }
    let cases = [
        ("variables.twice.size() == 4", "true"),
        ("variables.list.size() == 2 || variables.failing == 1", "true"),
        ("variables.failing == 1", "error: composited variable \"failing\" fails to evaluate: no such key: absent"),
        ("has(variables.list)", "true"),
        (
            "variables.other == 1",
            "refused: line 1, column 10: undefined field \"other\"; variables declares list, failing, twice",
        ),
        (
            "variables == null",
            "refused: line 1, column 1: variables without the name of one cannot be evaluated here; the API server evaluates it",
        ),
        ("params.limit == 1", "true"),
    ];
    let inputs = Inputs::new(&json!({}), Some(&json!({"list": [1, 2]})), None).with_params(&json!({"limit": 1}));
    for (text, expected) in cases {
        let found = match Expression::compile(text, &environment) {
            Err(error) => format!("refused: {error}"),
            Ok(expression) => match expression.evaluate(&inputs) {
                Ok(Answer::Bool(value)) => value.to_string(),
                Ok(other) => format!("{other:?}"),
                Err(error) => format!("error: {error}"),
            },
        };
        assert_eq!(found, expected, "{text}");
    }
}
