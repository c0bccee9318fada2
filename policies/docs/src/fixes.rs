//! How to mend what a policy rejects: the fixes of its rules, each with a fixture's message.

use podfence_core::{Policy, Rule, json::pad};
use podfence_fixtures::{Case, Expectation, Suite};

/// What a policy says and how to mend that, for each of the texts that its rules have.
///
/// The message is the one of the fixture that has the fewest violations, all of the same text.
///
/// # Errors
/// Texts that no fixture has alone.
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
    let missing: Vec<_> =
        never_alone.map(|row| format!("no fixture is rejected for nothing but: {}", row.rule.detail)).collect();
    if !missing.is_empty() {
        return Err(missing.join("\n"));
    }
    Ok(rows.into_iter().map(|row| (row.message.to_owned(), row.rule.fix)).collect())
}

struct Row<'s> {
    rule: &'static Rule,
    message: &'s str,
    violations: usize,
}

/// Whether two rules say the same.
fn is_same(a: &Rule, b: &Rule) -> bool {
    (a.reason, a.lead, a.detail, a.fix) == (b.reason, b.lead, b.detail, b.fix)
}

/// The rules that the pod of a case breaks, one for each violation; at least one.
///
/// # Errors
/// Not what the message says: something else than a plain pod was judged.
fn broken(policy: &Policy, case: &Case, message: &str) -> Result<Vec<&'static Rule>, String> {
    let replay = case.replays().into_iter().next().ok_or("no replay")?;
    let (rules, found) = podfence_core::broken_rules(policy, &pad(&replay.payload))?;
    if rules.is_empty() || found != message { Err("another message".to_owned()) } else { Ok(rules) }
}
