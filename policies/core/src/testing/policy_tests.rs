//! The tests that every policy gets from [`policy!`](crate::policy).

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use super::{
    Mismatch, artifacthub,
    coverage::{row, rows},
    fixture::{Case, Expectation},
    generate,
    metadata::Facts,
    replay::{Expected, Replay, Suite},
    reply,
    settings::{default, get, renamed, sample, validate, with, with_defaults},
};
use crate::{Policy, common};

/// Makes the tests of a policy, of which [`policy!`](crate::policy) takes care.
#[macro_export]
macro_rules! policy_tests {
    ($policy:ident) => {
        mod policy_tests {
            use std::path::Path;

            use super::$policy;
            use $crate::testing::Failures;

            const DIR: &str = env!("CARGO_MANIFEST_DIR");

            #[test]
            fn fixtures() -> Result<(), Failures> {
                $crate::testing::fixtures(&$policy, Path::new(DIR)).map_err(Failures)
            }

            #[test]
            fn coverage() -> Result<(), Failures> {
                $crate::testing::coverage(&$policy, Path::new(DIR)).map_err(Failures)
            }

            #[test]
            fn settings() -> Result<(), Failures> {
                $crate::testing::settings(&$policy, Path::new(DIR)).map_err(Failures)
            }

            #[test]
            fn readme() -> Result<(), Failures> {
                $crate::testing::readme(&$policy, Path::new(DIR)).map_err(Failures)
            }

            #[test]
            fn metadata() -> Result<(), Failures> {
                $crate::testing::metadata(&$policy, Path::new(DIR)).map_err(Failures)
            }
        }
    };
}

/// What a test has to say; for people, so that the test harness shows it in lines.
pub struct Failures(pub String);

impl std::fmt::Debug for Failures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every fixture comes out as it says.
///
/// # Errors
/// Those that do not.
pub fn fixtures(policy: &Policy, dir: &Path) -> Result<(), String> {
    let suite = load(policy, dir)?;
    let mut failures = Vec::new();
    for case in &suite.cases {
        let mut forms: Vec<(Mismatch, Vec<String>)> = Vec::new();
        for replay in case.replays() {
            let Err(mismatch) = replay.check(Ok(replay.run(policy).as_bytes())) else { continue };
            match forms.iter_mut().find(|(known, _)| *known == mismatch) {
                Some((_, same)) => same.push(replay.form),
                None => forms.push((mismatch, vec![replay.form])),
            }
        }
        failures.extend(forms.into_iter().map(|(mismatch, forms)| {
            let (expected, got) = (indent(&mismatch.expected), indent(&mismatch.got));
            format!("{}\n  as {}\n  expected: {expected}\n  got: {got}", case.name, forms.join("; "))
        }));
    }
    report("fixtures", failures)
}

/// The documented fields are the ones that fixtures reject.
///
/// # Errors
/// A field that is only in one of the two, and what to add.
pub fn coverage(policy: &Policy, dir: &Path) -> Result<(), String> {
    let suite = load(policy, dir)?;
    let rows = rows(policy.fields);
    let (mut rejected, mut failures) = (BTreeSet::new(), Vec::new());
    for replay in suite.replays() {
        let kind = match replay.object.get("kind").and_then(Value::as_str) {
            None | Some("Pod") => "Pod",
            Some("PersistentVolume") => "PersistentVolume",
            // The same pods in other kinds.
            Some(_) => continue,
        };
        if !matches!(replay.expected, Expected::Reject(_)) {
            continue;
        }
        for violation in reply::violations(&replay.run(policy)) {
            let row = row(&rows, kind, &violation.path);
            if !rows.contains(&row) && rejected.insert(row.clone()) {
                failures.push(format!(
                    "{}: {} is rejected but not documented: give its line in fields! a doc comment that says what is allowed",
                    replay.fixture, row.1
                ));
            }
            rejected.insert(row);
        }
    }
    failures.extend(rows.difference(&rejected).map(|(kind, path)| {
        format!("{path} of a {kind} is documented, but no fixture is rejected for it: add one to fixtures.yaml")
    }));
    report("fields", failures)
}

/// Settings mean the same under every name; a default means the same whether it is given or not; and
/// there is a fixture for each.
///
/// # Errors
/// What differs.
pub fn settings(policy: &Policy, dir: &Path) -> Result<(), String> {
    let suite = load(policy, dir)?;
    let own = policy.settings.entries;
    let mut failures = Vec::new();
    // None, but for a policy that cannot do without.
    let judged = suite.cases.iter().filter(|case| is_judged(case)).map(|case| &case.settings);
    let least = judged.min_by_key(|settings| settings.to_string().len()).cloned().unwrap_or_else(|| json!({}));
    for setting in own.iter().chain(common::SETTINGS) {
        if let Some(default) = default(setting) {
            let given = with(&least, setting.path, default);
            if let Err(message) = validate(policy, &given) {
                failures.push(format!("{}: the default is refused: {message}", setting.path));
            }
        }
        let aliases = setting.aliases.iter().map(|alias| (*alias, sample(setting)));
        let others = own.iter().filter(|other| other.stands_for == setting.path);
        for (name, value) in aliases.chain(others.map(|other| (other.path, sample(other)))) {
            let both = with(&with(&least, setting.path, sample(setting)), name, value);
            let expected = format!("{name}: the same setting as {}", setting.path);
            let got = validate(policy, &both).err().unwrap_or_default();
            if !got.starts_with(&expected) {
                failures.push(format!("{both}\n  expected: {expected}\n  got: {got}"));
            }
        }
    }
    for other in own.iter().filter(|other| !other.stands_for.is_empty()) {
        if !own.iter().any(|setting| setting.path == other.stands_for) {
            failures.push(format!("{}: there is no setting {} that it stands for", other.path, other.stands_for));
        }
    }
    for setting in own.iter().filter(|setting| !setting.path.contains("[*]")) {
        if !suite.cases.iter().any(|case| is_judged(case) && get(&case.settings, setting.path).is_some()) {
            failures.push(format!("{}: no fixture judges a pod with it: add one to fixtures.yaml", setting.path));
        }
    }
    for case in suite.cases.iter().filter(|case| is_judged(case)) {
        let same = |settings: Value, failures: &mut Vec<String>| {
            let (before, after) = (reply_to(policy, case, &case.settings), reply_to(policy, case, &settings));
            if before != after {
                let (before, after) = (indent(&before), indent(&after));
                failures.push(format!("{}\n  with {}: {before}\n  with {settings}: {after}", case.name, case.settings));
            }
        };
        same(with_defaults(&case.settings, own), &mut failures);
        for setting in own.iter().chain(common::SETTINGS) {
            for alias in setting.aliases {
                if let Some(settings) = renamed(&case.settings, setting.path, alias) {
                    same(settings, &mut failures);
                }
            }
        }
    }
    report("settings", failures)
}

/// The README is what is generated, and so is the policy's row in the table of other names.
///
/// # Errors
/// It is not, and how to refresh it.
pub fn readme(policy: &Policy, dir: &Path) -> Result<(), String> {
    let readme = generate::readme(policy, &load(policy, dir)?, dir)?;
    generate::is_current(&dir.join("README.md"), &readme)?;
    let path = dir.with_file_name("ALIASES.md");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table = generate::with_row(generate::part(&text, "aliases")?, &generate::aliases(policy, dir)?);
    generate::is_current(&path, &generate::between(&text, "aliases", &table)?)
}

/// What catalogues and forms are told about the policy is what is generated: `metadata.yml`,
/// `questions-ui.yml`, and `artifacthub-pkg.yml`, which has both of them.
///
/// # Errors
/// One is not, and how to refresh it; or a form that says nothing of its own is refused as settings.
pub fn metadata(policy: &Policy, dir: &Path) -> Result<(), String> {
    let facts = Facts::load(policy, dir)?;
    let directory = facts.project.root.join("artifacthub").join(policy.name);
    let files = [
        (dir.join("metadata.yml"), facts.metadata()?),
        (dir.join("questions-ui.yml"), facts.form()?),
        (directory.join("artifacthub-pkg.yml"), artifacthub::package(&facts)?),
    ];
    let failures = files.iter().filter_map(|(path, generated)| generate::is_current(path, generated).err());
    report("files", failures.collect())
}

fn load(policy: &Policy, dir: &Path) -> Result<Suite, String> {
    let suite = Suite::load(dir).map_err(|error| error.to_string())?;
    if suite.policy != policy.name {
        return Err(format!("the policy {:?} is in a directory with another name, {:?}", policy.name, suite.policy));
    }
    Ok(suite)
}

fn is_judged(case: &Case) -> bool {
    !matches!(case.expectation, Expectation::SettingsError(_) | Expectation::Unreadable(_))
}

/// The reply to a case with other settings.
fn reply_to(policy: &Policy, case: &Case, settings: &Value) -> String {
    case.with_settings(settings.clone()).replays().first().map(|replay: &Replay| replay.run(policy)).unwrap_or_default()
}

fn indent(text: &str) -> String {
    text.replace('\n', "\n    ")
}

fn report(what: &str, failures: Vec<String>) -> Result<(), String> {
    if failures.is_empty() {
        return Ok(());
    }
    Err(format!("{} wrong {what}:\n\n{}\n", failures.len(), failures.join("\n\n")))
}
