//! Scans one text, as `podfence scan` scans a named file.

use std::collections::BTreeSet;

use podfence_scan::config::{Base, Config, Date};
use podfence_scan::document::Document;
use podfence_scan::file::{self, CONTROLS, Options, Origin, SCAN};
use podfence_scan::finding::Finding;
use podfence_scan::fix::{self, Scan};
use podfence_scan::scanned::Scanned;
use podfence_scan::{suppress, yaml};
use serde_json::{Value, json as value};

use crate::policies::{self, POLICIES};
use crate::selection::Selection;

/// What is scanned, and how.
pub struct Input<'i> {
    /// The manifests.
    pub text: &'i str,
    /// The fields of a `podfence.yaml`, as JSON.
    pub config: &'i str,
    /// How findings name the text.
    pub file: &'i str,
    /// Whether comments of the text and owners in it count.
    pub is_trusting: bool,
    /// In seconds since 1970, for exceptions that end.
    pub now: u64,
}

/// Returns the report that `podfence scan --format json` prints.
///
/// # Errors
/// The configuration cannot be used.
pub fn scan(input: &Input<'_>) -> Result<String, String> {
    let mut scanner = Scanner::new(input)?;
    let mut scanned = scanner.scan(input.text);
    scanned.summary.notes.splice(0..0, scanner.selection.take_notes());
    let report = scanned.report(scanner.selection.judging());
    // On one line: JavaScript parses it, and the layout of the command is code of its own.
    serde_json::to_string(&Document::from(&report)).map_err(|error| error.to_string())
}

/// Which findings are mended.
enum Fixes {
    /// `usual`: those whose edit takes nothing away that a container is likely to need; or `all`.
    Kind(String),
    /// Those with these controls, policies or fingerprints.
    Of(Vec<String>),
}

impl Fixes {
    fn read(text: &str) -> Result<Fixes, String> {
        let fixes = match serde_json::from_str(text) {
            Ok(Value::String(kind)) if ["usual", "all"].contains(&kind.as_str()) => Some(Fixes::Kind(kind)),
            Ok(Value::Array(names)) => serde_json::from_value(Value::Array(names)).ok().map(Fixes::Of),
            _ => None,
        };
        fixes.ok_or_else(|| format!("fixes: expected usual, all or a list of controls, found {text}"))
    }

    fn wants(&self, finding: &Finding) -> bool {
        let Some(mend) = &finding.mend else { return false };
        match self {
            Fixes::Kind(kind) => kind == "all" || mend.edit.usual,
            Fixes::Of(names) => {
                [&finding.control, &finding.policy, &finding.fingerprint].iter().any(|of| names.contains(of))
            }
        }
    }
}

/// Mends the text as `podfence scan --fix` mends a file, and returns as JSON: the new text, how many findings were mended,
/// and those that were not with the reason.
///
/// # Errors
/// The configuration or the choice of fixes cannot be used.
pub fn fix(input: &Input<'_>, fixes: &str) -> Result<String, String> {
    let fixes = Fixes::read(fixes)?;
    let mut scanner = Scanner::new(input)?;
    let mut scan = |text: &str| {
        let Scanned { findings, problems, .. } = scanner.scan(text);
        Scan { findings, problems: problems.len() }
    };
    let text = yaml::decode(input.text.as_bytes());
    let found = scan(&text);
    let mended = fix::mend(&text, found, &|finding| fixes.wants(finding), &mut scan);
    let refused: Vec<Value> = mended
        .refused
        .iter()
        .map(|(finding, why)| {
            let Finding { policy, control, message, span, fingerprint, .. } = finding;
            value!({
                "policy": policy, "control": control, "message": message, "line": span.start.line,
                "fingerprint": fingerprint, "why": why,
            })
        })
        .collect();
    Ok(value!({"text": mended.text, "count": mended.count, "refused": refused}).to_string())
}

/// Scans texts by one configuration.
struct Scanner<'i> {
    input: &'i Input<'i>,
    config: Config,
    selection: Selection,
    names: BTreeSet<String>,
    /// The policies that judge.
    ran: Vec<&'static str>,
}

impl<'i> Scanner<'i> {
    fn new(input: &'i Input<'i>) -> Result<Scanner<'i>, String> {
        let config: Value = serde_json::from_str(input.config).map_err(|error| format!("expected JSON: {error}"))?;
        let config = Config::of_json(config)?;
        let names = names();
        for (index, entry) in config.ignore.iter().enumerate() {
            for name in entry.policy.iter().chain(&entry.control) {
                suppress::check_name(name, &names).map_err(|problem| format!("ignore[{index}]: {problem}"))?;
            }
        }
        let selection = Selection::new(&config)?;
        let ran = selection.policies().collect();
        Ok(Scanner { input, config, selection, names, ran })
    }

    fn scan(&mut self, text: &str) -> Scanned {
        let Scanner { input, config, selection, names, ran } = self;
        let has = |policy: &str, control: &str| {
            let linked = policies::find(policy);
            linked.is_some_and(|of| of.controls.iter().any(|of| suppress::is_same_control(of, control)))
        };
        let is_of_one = |name: &str| {
            let mut controls = ran.iter().filter_map(|policy| policies::find(policy)).flat_map(|of| of.controls.iter());
            ran.contains(&name) || controls.any(|control| *control == name || has(name, control))
        };
        let options = Options {
            is_trusting: input.is_trusting,
            is_strict: config.strict,
            namespace: None,
            tells_skipped: false,
            default_deny: &config.default_deny,
            names,
            ran: &is_of_one,
            has: &has,
        };
        let text = yaml::decode(text.as_bytes());
        let origin = Origin { name: input.file, is_walked: false };
        let outcome = file::scan(&options, origin, &text, selection);
        let mut scanned = Scanned::together(std::iter::once(outcome));
        let accepted =
            suppress::by_config(&config.ignore, &mut scanned.findings, &Base::default(), Date::at(input.now));
        for of in accepted.expired {
            let until = of.until.map(|until| until.to_string()).unwrap_or_default();
            let of = of.control.as_ref().or(of.policy.as_ref()).map_or("", String::as_str);
            scanned.summary.notes.push(format!("the `ignore` entry of {of} counted until {until}"));
        }
        scanned
    }
}

/// What comments and the configuration may name: policies and controls.
fn names() -> BTreeSet<String> {
    let of_policies = POLICIES.iter().flat_map(|linked| linked.controls.iter().copied().chain([linked.policy.name]));
    let mut names = BTreeSet::new();
    names.extend(CONTROLS.into_iter().chain([SCAN]).chain(of_policies).map(str::to_owned));
    names
}
