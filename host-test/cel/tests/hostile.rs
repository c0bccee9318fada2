//! Expressions that would take all memory, all time or the stack: each is refused or ends with an error, within bounds.

use std::fs;

use podfence_cel::{Answer, Environment, Expression, Inputs, Returns};
use serde_json::{Value, json};

/// What the worst of these expressions may take at once, above what the process had before.
const MEMORY: u64 = 256 << 20;

fn outcome(text: &str) -> String {
    let environment = Environment::admission(Returns::Anything);
    match Expression::compile(text, &environment) {
        Err(error) => format!("refused: {error}"),
        Ok(expression) => match expression.evaluate(&inputs()) {
            Ok(Answer::Bool(value)) => value.to_string(),
            Ok(Answer::String(text)) => format!("{} characters", text.chars().count()),
            Ok(Answer::Other(text)) => text.chars().take(40).collect(),
            Err(error) => format!("error: {error}"),
        },
    }
}

fn inputs() -> Inputs {
    let large: Vec<Value> = (0..2_000).map(|number| json!({"number": number, "text": "x".repeat(100)})).collect();
    Inputs::new(&json!({"operation": "CREATE"}), Some(&json!({"list": large, "text": "a".repeat(100_000)})), None)
}

/// `count` loops over ten elements, one in the other.
fn nested_loops(count: usize) -> String {
    (0..count).fold("true".to_owned(), |body, number| format!("[0,1,2,3,4,5,6,7,8,9].all(x{number}, {body})"))
}

/// A text that grows tenfold with each level.
fn nested_replace(count: usize) -> String {
    (0..count).fold("'aaaaaaaaaa'".to_owned(), |text, _| format!("{text}.replace('a', 'aaaaaaaaaa')"))
}

/// A list that doubles with each level.
fn doubled(count: usize) -> String {
    let open = "[[1]].map(x, x + x)[0]";
    (0..count).fold(open.to_owned(), |list, number| format!("[{list}].map(y{number}, y{number} + y{number})[0]"))
}

const COSTS: &str = "error: the expression costs too much";
const DEEP: &str = "refused: line 1, column 252: the expression is nested too deep, at most 250 levels are evaluated; split it into several";
const DEEP_AT_END: &str = "refused: line 1, column 9499: the expression is nested too deep, at most 250 levels are evaluated; split it into several";
const DEEP_FIELD: &str = "refused: line 1, column 9503: the expression is nested too deep, at most 250 levels are evaluated; split it into several";
const DEEP_CHOICE: &str = "refused: line 1, column 1: the expression is incomplete, or nested too deep";

#[test]
fn nothing_eats_the_machine() {
    let before = peak_memory();
    let cases: Vec<(String, &str)> = vec![
        (vec!["1"; 5_000].join("+"), DEEP_AT_END),
        (format!("{}true", "!".repeat(5_001)), "false"),
        (format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000)), DEEP),
        (format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)), DEEP),
        (format!("object{}", ".a".repeat(5_000)), DEEP_FIELD),
        (vec!["true"; 2_500].join(" && "), "true"),
        ("true ? ".repeat(1_000) + "1" + &" : 2".repeat(1_000), DEEP_CHOICE),
        (
            "a".repeat(20_001),
            "refused: line 1, column 1: the expression has 20001 characters, at most 20000 are evaluated",
        ),
        (nested_loops(5), "true"),
        (nested_loops(10), COSTS),
        (nested_replace(4), "100000 characters"),
        (nested_replace(12), COSTS),
        (doubled(60), COSTS),
        ("lists.range(100000).all(x, x >= 0)".to_owned(), "true"),
        ("lists.range(1000000).all(x, true)".to_owned(), COSTS),
        ("lists.range(2000000)".to_owned(), "error: the size must be from 0 to 1000000, found 2000000"),
        ("lists.range(300).map(x, lists.range(300).map(y, lists.range(300)))".to_owned(), COSTS),
        ("lists.range(1000).map(x, object)".to_owned(), COSTS),
        (format!("[{}]", vec!["object"; 2_000].join(",")), COSTS),
        (format!("{{{}}}", (0..1_500).map(|n| format!("{n}:object")).collect::<Vec<_>>().join(",")), COSTS),
        ("lists.range(1000).all(x, object == object)".to_owned(), COSTS),
        ("lists.range(1000).all(x, !(x in object.list))".to_owned(), COSTS),
        ("lists.range(1000).all(x, object.?list.orValue([]) != [])".to_owned(), COSTS),
        ("lists.range(1000).all(x, object.text.contains(object.text))".to_owned(), COSTS),
        ("lists.range(1000).all(x, object.text.lastIndexOf('aaaaaaaaaaaaaaaaaaaaaaaab') < 0)".to_owned(), COSTS),
        ("object.text.split('').map(x, object.text.split(''))".to_owned(), COSTS),
        ("object.text.findAll('a').map(x, object.text)".to_owned(), COSTS),
        ("object.text.split('').join(object.text)".to_owned(), COSTS),
        ("lists.range(5000).distinct().size() > 0".to_owned(), COSTS),
        ("sets.contains(lists.range(3000), lists.range(3000))".to_owned(), COSTS),
        ("lists.range(20000).map(x, [x]).flatten().map(x, lists.range(100))".to_owned(), COSTS),
        ("lists.range(1000).map(x, '%s'.format([object.list]))".to_owned(), COSTS),
        ("lists.range(2000).all(x, !'a'.matches('b' + string(x) + '{1,900}')) || true".to_owned(), COSTS),
        ("object.text.matches('(a|b|ab)*' + object.text)".to_owned(), COSTS),
        ("true || lists.range(1000000).all(x, true)".to_owned(), "true"),
        // What costs too much is not an error that can be absorbed.
        ("lists.range(1000000).all(x, true) || true".to_owned(), COSTS),
        (
            "'a'.matches('((a{100}){100}){100}')".to_owned(),
            "refused: line 1, column 13: invalid constant: repetitions must not be above 1000 together, found 10000",
        ),
    ];
    let found = cases.iter().map(|(text, expected)| (beginning(text), outcome(text), (*expected).to_owned()));
    let different: Vec<_> = found.filter(|(_, found, expected)| found != expected).collect();
    assert_eq!(different, Vec::new(), "(expression, found, expected)");
    let (Some(before), Some(after)) = (before, peak_memory()) else { return };
    assert!(after - before < MEMORY, "{} MiB", (after - before) >> 20);
}

fn beginning(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The most memory that the process had so far, where the system counts it.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}
