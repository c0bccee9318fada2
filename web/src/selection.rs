//! The policies that a configuration selects, and the verdicts of them.

use podfence_core::{json::pad, validate, validate_settings};
use podfence_scan::answer::{Answer, Rejection, Tally};
use podfence_scan::bootstrap;
use podfence_scan::config::{Config, PolicyConfig};
use podfence_scan::custom_kinds;
use podfence_scan::finding::Severity;
use podfence_scan::judge::{Judge, Outcome, State, Verdict};
use podfence_scan::kinds::{self, Known};
use podfence_scan::object::Object;
use podfence_scan::payload::CreationText;
use podfence_scan::report::Judging;
use podfence_scan::request::{GroupVersionKind, plural};
use podfence_scan::settings::{SettingsText, settings_text, take_out_requesters};
use podfence_scan::standard::{self, STANDARDS, Standard};
use podfence_scan::stored::as_stored;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::policies::{self, Linked, POLICIES};

/// Policies with their settings.
pub(crate) struct Selection {
    singles: Vec<Run>,
    /// Of the Pod Security Standards, the level that is enforced first.
    levels: Vec<Run>,
    text: CreationText,
    notes: Vec<String>,
}

/// A policy with settings.
struct Run {
    linked: &'static Linked,
    level: Option<String>,
    severity: Severity,
    settings: SettingsText,
    /// Group and resource of the kinds that the settings add.
    added: Vec<(String, String)>,
}

impl Selection {
    /// Reads what a configuration selects: baseline and restricted, if it selects nothing.
    ///
    /// # Errors
    /// It asks for files, a level or a policy is unknown, settings are invalid, or nothing would be judged.
    pub(crate) fn new(config: &Config) -> Result<Selection, String> {
        let of_files = [
            ("policies", !config.policies.is_empty()),
            ("baseline", config.baseline.is_some()),
            ("namespaceLabels", config.namespace_labels),
        ];
        if let Some((field, _)) = of_files.into_iter().find(|(_, is_set)| *is_set) {
            return Err(format!("{field}: there are no other files here; remove it, or run podfence scan"));
        }
        let mut notes = Vec::new();
        let mut singles: Vec<Run> =
            config.policy.iter().map(|(name, of)| Run::single(name, of, &mut notes)).collect::<Result<_, _>>()?;
        let is_added = |linked: &&Linked| config.guards && !config.policy.contains_key(linked.policy.name);
        for guard in POLICIES.iter().filter(|linked| !linked.policy.kinds().is_empty()).filter(is_added) {
            singles.push(Run::single(guard.policy.name, &PolicyConfig::default(), &mut notes)?);
        }
        let levels = levels(config)?;
        if singles.is_empty() && levels.is_empty() {
            return Err("nothing would be judged: the level privileged has no requirements".to_owned());
        }
        Ok(Selection { singles, levels, text: CreationText::default(), notes })
    }

    /// The names of the policies.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &'static str> {
        self.runs().map(|run| run.linked.policy.name)
    }

    /// What the policies do not do in a scan.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Each policy with the settings that it judges with.
    pub(crate) fn judging(&self) -> Vec<Judging> {
        let judging = |run: &Run| {
            let (name, settings) = (run.linked.policy.name.to_owned(), run.settings.object());
            let judging = Judging { name, digest: String::new(), settings };
            match &run.level {
                Some(level) => judging.at_level(level),
                None => judging,
            }
        };
        Judging::each_once(self.runs().map(judging))
    }

    fn runs(&self) -> impl Iterator<Item = &Run> {
        self.singles.iter().chain(&self.levels)
    }
}

impl Run {
    fn single(name: &str, config: &PolicyConfig, notes: &mut Vec<String>) -> Result<Run, String> {
        let linked = policies::find(name).ok_or_else(|| {
            let known: Vec<&str> = POLICIES.iter().map(|linked| linked.policy.name).collect();
            format!("unknown policy {name:?}; expected one of: {}", known.join(", "))
        })?;
        let mut settings = config.settings.clone();
        let all: Vec<_> = custom_kinds::projects().flat_map(|(_, kinds)| kinds).collect();
        let of_pods = linked.policy.kinds().is_empty();
        let mut with_custom_kinds = settings.clone();
        if of_pods {
            custom_kinds::add_to_settings(&all, &mut with_custom_kinds);
        }
        check_settings(linked, &with_custom_kinds)?;
        notes.extend(take_out_requesters(&mut settings).map(|note| format!("--policy {name}: {note}")));
        Ok(Run {
            linked,
            level: None,
            severity: config.severity.unwrap_or(Severity::Error),
            added: added(&settings),
            settings: if of_pods { SettingsText::with_custom_kinds(&settings) } else { SettingsText::plain(&settings) },
        })
    }

    fn level(standard: &Standard, severity: Severity) -> Option<Run> {
        Some(Run {
            linked: policies::find(STANDARDS).expect("the policy is linked"),
            level: Some(standard.to_string()),
            severity,
            settings: SettingsText::with_custom_kinds(&standard.settings()?),
            added: Vec::new(),
        })
    }

    /// Whether it gets to see an object.
    fn sees(&self, known: &Known, kind: &GroupVersionKind) -> bool {
        let is_volume = || *kind == GroupVersionKind::new("v1", "PersistentVolume");
        let own = self.linked.policy.kinds();
        if !own.is_empty() {
            return own.iter().any(|own| own.group == kind.group && own.kind == kind.kind);
        }
        match known {
            Known::Workload | Known::Custom(_) => true,
            _ if self.linked.has_volumes && is_volume() => true,
            _ => self.added.iter().any(|(group, resource)| *group == kind.group && *resource == plural(&kind.kind)),
        }
    }

    fn ask(&self, text: &mut CreationText, known: &Known) -> Answer {
        let payload = match text.payload(self.settings.of(known)) {
            Ok(payload) => pad(payload),
            Err(too_large) => return Answer::Failed(too_large.to_string()),
        };
        let reply = validate(self.linked.policy, &payload);
        let reply: Reply = match serde_json::from_str(&reply) {
            Ok(reply) => reply,
            Err(error) => return Answer::Failed(format!("invalid response: {error}")),
        };
        let Annotations { skipped, violations } = reply.audit_annotations;
        if reply.accepted {
            return skipped.map_or(Answer::Accepted, Answer::Skipped);
        }
        let name = self.linked.policy.name;
        Answer::Rejected(Rejection::read(name, reply.message.unwrap_or_default(), reply.code, violations.as_deref()))
    }

    /// A verdict of it, without what it says.
    fn verdict(&self) -> Verdict {
        Verdict {
            level: self.level.clone(),
            docs: self.linked.docs.to_owned(),
            ..Verdict::new(self.linked.policy.name, self.severity)
        }
    }
}

/// The reply of a policy.
#[derive(Deserialize)]
struct Reply {
    accepted: bool,
    message: Option<String>,
    code: Option<u16>,
    #[serde(default)]
    audit_annotations: Annotations,
}

/// What a reply says beside the message.
#[derive(Default, Deserialize)]
struct Annotations {
    skipped: Option<String>,
    violations: Option<String>,
}

impl Judge for Selection {
    fn judge(&mut self, object: &Object) -> Outcome {
        let known = kinds::classify(&object.kind);
        if let Known::Miswritten(why) = known {
            return Outcome::of(State::NotJudged(why));
        }
        self.text.set(&object.creation(), &as_stored(object));
        let mut tally = Tally::default();
        for run in self.singles.iter().filter(|run| run.sees(&known, &object.kind)) {
            let answer = match run.ask(&mut self.text, &known) {
                answer @ Answer::Rejected(_) => bootstrap::reason(run.linked.policy.name, object)
                    .map_or(answer, |reason| Answer::Skipped(reason.to_owned())),
                answer => answer,
            };
            tally.add(answer, || run.verdict());
        }
        let first = tally.count();
        for run in self.levels.iter().filter(|run| run.sees(&known, &object.kind)) {
            let mut answer = run.ask(&mut self.text, &known);
            answer.leave_out(tally.since(first));
            tally.add(answer, || run.verdict());
        }
        tally.outcome(known, object)
    }
}

/// The levels to evaluate, each once. A level that is enforced alone warns of nothing.
fn levels(config: &Config) -> Result<Vec<Run>, String> {
    let asked = standard::asked(("enforce", config.enforce.as_deref()), ("warn", config.warn.as_deref()))?;
    let Some((enforce, warn)) = asked.or_else(|| config.policy.is_empty().then(standard::usual)) else {
        return Ok(Vec::new());
    };
    let warned = if enforce == warn { None } else { Run::level(&warn, Severity::Warning) };
    Ok(Run::level(&enforce, Severity::Error).into_iter().chain(warned).collect())
}

fn check_settings(linked: &Linked, settings: &Map<String, Value>) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Reply {
        valid: bool,
        message: Option<String>,
    }
    let name = linked.policy.name;
    let reply = validate_settings(linked.policy, &pad(settings_text(settings).as_bytes()));
    match serde_json::from_str::<Reply>(&reply) {
        Ok(Reply { valid: true, .. }) => Ok(()),
        Ok(reply) => Err(format!("policy {name}: settings: {}", reply.message.unwrap_or_default())),
        Err(error) => Err(format!("policy {name}: settings cannot be validated: {error}")),
    }
}

/// Group and resource of the kinds of the setting `podSpecPaths`.
fn added(settings: &Map<String, Value>) -> Vec<(String, String)> {
    let entries = settings.get("podSpecPaths").and_then(Value::as_array).into_iter().flatten();
    let added = |entry: &Value| Some((entry["group"].as_str()?.to_owned(), plural(entry["kind"].as_str()?)));
    entries.filter_map(added).collect()
}
