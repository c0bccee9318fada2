//! Compares with what the API server's own libraries made of expressions: `../shared/corpus/cel-truth.jsonl.gz`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;

use podfence_cel::{Answer, Environment, Expression, Inputs, Returns, decoded};
use podfence_support as support;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How many expressions must agree on all inputs, of those that the API server takes.
const AGREEMENT: usize = 848;

/// What an expression came to, as the corpus writes it.
type Truth = BTreeMap<String, String>;

struct Counts {
    taken: usize,
    agreed: usize,
    real_taken: usize,
    real_agreed: usize,
    refused_by_both: usize,
}

#[test]
fn as_the_api_server() {
    let Some(rows) = support::corpus("cel-truth") else {
        eprintln!("SKIPPED: {} does not exist", support::corpus_path("cel-truth").display());
        return;
    };
    let scenarios = support::corpus_path("cel-scenarios").with_file_name("cel-scenarios.json");
    let scenarios: Vec<Value> = serde_json::from_str(&fs::read_to_string(scenarios).expect("a file")).expect("JSON");
    let raw = inputs(&scenarios, |object| object.clone());
    let defaulted = inputs(&scenarios, |object| decoded(object).object);
    let mut counts = Counts { taken: 0, agreed: 0, real_taken: 0, real_agreed: 0, refused_by_both: 0 };
    let (mut wrong, mut differing) = (Vec::new(), Vec::new());
    for row in &rows {
        let row: Value = serde_json::from_str(row).expect("JSON");
        judge(&row, &raw, &defaulted, &mut counts, &mut wrong, &mut differing);
    }
    if std::env::var_os("PODFENCE_CEL_DIFFERENCES").is_some() {
        differing.iter().for_each(|line| eprintln!("{line}"));
    }
    eprintln!(
        "CEL: {} of {} expressions agree on all inputs ({} of {} that projects wrote, without those of authorizer), {} are \
         refused by both",
        counts.agreed, counts.taken, counts.real_agreed, counts.real_taken, counts.refused_by_both
    );
    assert_eq!(wrong, Vec::<String>::new(), "true here and not there, or compiled here and refused there");
    assert!(counts.agreed >= AGREEMENT, "{} agree, {AGREEMENT} did", counts.agreed);
    let (agreed, taken) = (counts.real_agreed, counts.real_taken);
    assert!(agreed * 100 >= taken * 98, "{agreed} of {taken} that projects wrote agree, less than 98 %");
}

fn judge(
    row: &Value,
    raw: &HashMap<String, Inputs>,
    defaulted: &HashMap<String, Inputs>,
    counts: &mut Counts,
    wrong: &mut Vec<String>,
    differing: &mut Vec<String>,
) {
    let text = row["expr"].as_str().expect("an expression");
    let compiled = compile(row);
    if let Some(reason) = row["refused"].as_str() {
        match compiled {
            Ok(_) => wrong.push(format!("compiled: {text}: {reason}")),
            Err(_) => counts.refused_by_both += 1,
        }
        return;
    }
    // What only a cluster knows is refused by name.
    let real = row["src"] != "generated" && row["src"] != "hostile" && !text.contains("authorizer.");
    counts.taken += 1;
    counts.real_taken += usize::from(real);
    let expression = match compiled {
        Ok(expression) => expression,
        Err(error) => return differing.push(format!("REFUSED {text}: {error}")),
    };
    let mut truth = truths(&row["raw"], raw);
    let mut same = compare(text, &expression, raw, &truth, wrong, differing);
    truth.extend(truths(&row["defaulted"], defaulted));
    same &= compare(text, &expression, defaulted, &truth, wrong, differing);
    counts.agreed += usize::from(same);
    counts.real_agreed += usize::from(same && real);
}

fn compare(
    text: &str,
    expression: &Expression,
    inputs: &HashMap<String, Inputs>,
    truth: &Truth,
    wrong: &mut Vec<String>,
    differing: &mut Vec<String>,
) -> bool {
    let mut same = true;
    for (name, expected) in truth {
        let found = expression.evaluate(&inputs[name]);
        let shown = match &found {
            Ok(answer) => show(answer),
            Err(error) => format!("!{error}"),
        };
        let equal = match expected.strip_prefix("sha256:") {
            Some(digest) => digest_of(&shown).starts_with(digest),
            None => *expected == shown || expected.starts_with('!') && shown.starts_with('!'),
        };
        if found == Ok(Answer::Bool(true)) && expected != "true" {
            wrong.push(format!("true for {name}: {text}: expected {expected}"));
        }
        if !equal && same {
            differing.push(format!("DIFFERS {text}\n   {name}: found {shown}, expected {expected}"));
        }
        same &= equal;
    }
    same
}

fn compile(row: &Value) -> Result<Expression, String> {
    let returns = match row["kind"].as_str() {
        Some("match" | "validation") => Returns::Bool,
        Some("string") => Returns::String,
        Some("audit") => Returns::StringOrNull,
        _ => Returns::Anything,
    };
    let mut environment = Environment::admission(Returns::Anything);
    if row["params"] == true {
        environment = environment.with_params();
    }
    for variable in row["vars"].as_array().into_iter().flatten() {
        let [name, text] = [0, 1].map(|index| variable[index].as_str().expect("a text"));
        let expression =
            Expression::compile(text, &environment).map_err(|error| format!("variable {name}: {error}"))?;
        environment = environment.with_variable(name, expression);
    }
    let text = row["expr"].as_str().expect("an expression");
    Expression::compile(text, &environment.returning(returns)).map_err(|error| error.to_string())
}

fn truths(recorded: &Value, inputs: &HashMap<String, Inputs>) -> Truth {
    let mut truth = Truth::new();
    // `*` stands for the inputs that `in` lists.
    let listed = recorded["in"].as_str().unwrap_or("all");
    let covers = |name: &str| listed == "all" || listed.split(',').any(|listed| listed == name);
    for (name, value) in recorded.as_object().into_iter().flatten().filter(|(name, _)| *name != "in") {
        let value = value.as_str().expect("a text").to_owned();
        if name != "*" {
            truth.insert(name.to_owned(), value);
            continue;
        }
        truth.extend(inputs.keys().filter(|name| covers(name)).map(|name| (name.clone(), value.clone())));
    }
    truth
}

fn show(answer: &Answer) -> String {
    match answer {
        Answer::Bool(value) => value.to_string(),
        Answer::String(text) => escaped(Value::from(text.as_str()).to_string()),
        Answer::Other(text) => escaped(text.clone()),
    }
}

/// JSON as Go's `encoding/json` writes it.
fn escaped(json: String) -> String {
    let escaped =
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    escaped.into_iter().fold(json, |json, (character, escape)| json.replace(character, escape))
}

fn digest_of(text: &str) -> String {
    let mut digest = String::new();
    for byte in Sha256::digest(text) {
        write!(digest, "{byte:02x}").expect("a string takes everything");
    }
    digest
}

/// The scenarios of the corpus as inputs.
fn inputs(scenarios: &[Value], shown: impl Fn(&Value) -> Value) -> HashMap<String, Inputs> {
    let all = scenarios.iter().map(|scenario| {
        let object = |key: &str| Some(&scenario[key]).filter(|object| !object.is_null()).map(&shown);
        let (object, old_object) = (object("Object"), object("OldObject"));
        let inputs = Inputs::new(&request(scenario), object.as_ref(), old_object.as_ref());
        let inputs = inputs.with_namespace(&scenario["Namespace"]).with_params(&scenario["Params"]);
        (scenario["Name"].as_str().expect("a name").to_owned(), inputs)
    });
    all.collect()
}

fn request(scenario: &Value) -> Value {
    let object = Some(&scenario["Object"]).filter(|object| !object.is_null()).unwrap_or(&scenario["OldObject"]);
    let api_version = object["apiVersion"].as_str().expect("a version");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = json!({"group": group, "version": version, "kind": object["kind"]});
    let resource = json!({"group": group, "version": version, "resource": scenario["Resource"]});
    let options = match scenario["Operation"].as_str() {
        Some("UPDATE") => "UpdateOptions",
        Some("DELETE") => "DeleteOptions",
        _ => "CreateOptions",
    };
    json!({
        "uid": "",
        "kind": kind,
        "resource": resource,
        "subResource": scenario["SubResource"],
        "requestKind": kind,
        "requestResource": resource,
        "requestSubResource": scenario["SubResource"],
        "name": scenario["ObjName"],
        "namespace": scenario["Ns"],
        "operation": scenario["Operation"],
        "userInfo": {"username": scenario["User"], "groups": scenario["Groups"]},
        "dryRun": scenario["DryRun"],
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": options},
    })
}
