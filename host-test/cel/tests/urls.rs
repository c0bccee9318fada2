//! URLs: what Go's `net/url`, as the API server uses it, makes of each, recorded in `urls.jsonl`.

use podfence_cel::{Answer, Environment, Expression, Inputs, Returns};
use serde_json::{Value, json};

fn evaluate(text: &str, url: &Value) -> String {
    let environment = Environment::admission(Returns::Anything);
    let expression = Expression::compile(text, &environment).unwrap_or_else(|error| panic!("{text}: {error}"));
    match expression.evaluate(&Inputs::new(&json!({}), Some(&json!({"url": url})), None)) {
        Ok(Answer::Bool(value)) => value.to_string(),
        Ok(Answer::String(text)) => json!(text).to_string(),
        Ok(Answer::Other(text)) => text,
        Err(error) => format!("error: {error}"),
    }
}

const PARTS: &str = "[url(object.url)].map(u, [u.getScheme(), u.getHost(), u.getHostname(), u.getPort(), \
                     u.getEscapedPath()])[0]";

#[test]
fn each_is_what_go_makes_of_it() {
    let mut different = Vec::new();
    let mut compare = |what: &str, url: &Value, found: String, expected: String| {
        if found != expected {
            different.push(format!("{url}: {what}: found {found}, expected {expected}"));
        }
    };
    for row in include_str!("urls.jsonl").lines() {
        let row: Value = serde_json::from_str(row).expect("JSON");
        let url = &row["url"];
        let is_url = row["refused"].is_null();
        compare("isURL", url, evaluate("isURL(object.url)", url), is_url.to_string());
        let is_valid = evaluate("!format.uri().validate(object.url).hasValue()", url);
        compare("format.uri", url, is_valid, is_url.to_string());
        if row["parts"].is_null() {
            let parts = evaluate(PARTS, url);
            compare("parts", url, parts.chars().take(6).collect(), "error:".to_owned());
            continue;
        }
        compare("parts", url, evaluate(PARTS, url), row["parts"].to_string());
        let mut query = row["query"].clone();
        query.sort_all_objects();
        compare("query", url, evaluate("url(object.url).getQuery()", url), query.to_string());
        // Written, it is the same URL, if it is one.
        let text = format!("url(object.url) == url({})", json!(row["written"].as_str().expect("a text")));
        let is_same = evaluate(&text, url);
        if !is_same.starts_with("error: URL parse error") {
            compare("written", url, is_same, "true".to_owned());
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
