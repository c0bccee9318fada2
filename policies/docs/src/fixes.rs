//! Collects the fixes of a policy's rules, each with a message of a fixture.

use podfence_core::{Policy, Rule, json::pad};
use podfence_fixtures::{Case, Expectation, Suite};

/// Returns a message and its fix for each rule of a policy.
///
/// The message is that of the fixture that violates only this rule, with the fewest violations.
///
/// # Errors
/// Lists the rules that no fixture violates alone.
pub(crate) fn fixes(policy: &Policy, suite: &Suite) -> Result<Vec<(String, &'static str)>, String> {
    let mut rows: Vec<Row> = Vec::new();
    for case in &suite.cases {
        let Expectation::Reject(message) = &case.expectation else { continue };
        let Ok(rules) = broken(policy, case, message) else { continue };
        let is_alone = rules.iter().all(|rule| is_same(rule, rules[0]));
        let violations = if is_alone { rules.len() } else { usize::MAX };
        for rule in rules {
            match rows.iter_mut().find(|row| is_same(row.rule, rule)) {
                None => rows.push(Row { rule, message, violations }),
                Some(row) if violations < row.violations => *row = Row { rule, message, violations },
                Some(_) => {}
            }
        }
    }
    let never_alone = rows.iter().filter(|row| row.violations == usize::MAX);
    let missing: Vec<_> = never_alone
        .map(|row| format!("no fixture is rejected only for this, add one to fixtures.yaml: {}", row.rule.detail))
        .collect();
    if !missing.is_empty() {
        return Err(missing.join("\n"));
    }
    Ok(rows.into_iter().map(|row| (row.message.to_owned(), row.rule.fix)).collect())
}

/// Returns the controls of a policy's rules, sorted: those that its fixtures violate, of which there is one for each
/// rule.
pub(crate) fn controls(policy: &Policy, suite: &Suite) -> Vec<&'static str> {
    let rejected = suite.cases.iter().filter_map(|case| match &case.expectation {
        Expectation::Reject(message) => broken(policy, case, message).ok(),
        _ => None,
    });
    let mut controls: Vec<_> = rejected.flatten().map(|rule| rule.control).collect();
    controls.sort_unstable();
    controls.dedup();
    controls
}

struct Row<'s> {
    rule: &'static Rule,
    message: &'s str,
    violations: usize,
}

/// Whether two rules have the same texts.
fn is_same(a: &Rule, b: &Rule) -> bool {
    (a.reason, a.lead, a.detail, a.fix) == (b.reason, b.lead, b.detail, b.fix)
}

/// Returns the rules that the pod of a case violates, one for each violation; at least one.
///
/// # Errors
/// The message differs from the expected one, since the case is not a plain pod.
fn broken(policy: &Policy, case: &Case, message: &str) -> Result<Vec<&'static Rule>, String> {
    let replay = case.replays().into_iter().next().ok_or("no replay")?;
    let (rules, found) = podfence_core::broken_rules(policy, &pad(&replay.payload))?;
    if rules.is_empty() || found != message { Err("another message".to_owned()) } else { Ok(rules) }
}
