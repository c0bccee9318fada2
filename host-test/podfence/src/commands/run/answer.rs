//! Shows what policies answered about an object, and counts.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use podfence_cluster::validating::IGNORED;
use podfence_host::{AdmissionResponse, Evaluation, Mode};
use podfence_scan::AdmissionRequest;
use serde::Serialize;
use serde_json::{Value, json};

use super::Output;
use crate::commands::{COULD_NOT_JUDGE, DENIED};
use crate::text::{printable, visible, write_some};

const ALLOWED_STYLE: Style = AnsiColor::Green.on_default().bold();
const DENIED_STYLE: Style = AnsiColor::Red.on_default().bold();

/// What a policy answered about an object.
pub(super) struct Answer<'a> {
    /// The name of its document, for example `ClusterAdmissionPolicy/podfence-privileged`. None where a module was named.
    pub(super) policy: Option<&'a str>,
    pub(super) mode: Mode,
    /// What its server sends.
    pub(super) evaluation: &'a Evaluation,
    /// What its server would send in mode protect, if that is something else.
    pub(super) in_protect: Option<&'a AdmissionResponse>,
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Allowed,
    Denied,
    /// A policy failed.
    NotJudgeable,
    /// Every policy that got to see it left it out, or it is of a kind that holds no pod.
    Skipped,
    /// No policy got to see it.
    Unseen,
}

/// Why no policy got to see an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unseen {
    /// The rules of the module leave out its kind.
    OtherKind {
        /// Whether the policy evaluates pods.
        of_pods: bool,
    },
    /// The rules of the module have its kind, and leave out the subresource.
    SubResource,
    /// No document selects it.
    NotSelected,
}

impl Unseen {
    fn text(self) -> &'static str {
        match self {
            Self::OtherKind { of_pods: true } => "skipped: holds no pod",
            Self::OtherKind { of_pods: false } => "skipped: of a kind that the policy does not evaluate",
            Self::SubResource => "skipped: the policy does not evaluate the subresource",
            Self::NotSelected => "not judged: no policy's rules, selectors and conditions match it",
        }
    }
}

impl Verdict {
    fn of(answers: &[Answer<'_>]) -> Self {
        let is_skipped = |of: &Answer<'_>| of.evaluation.response.skipped().is_some();
        if answers.iter().any(|of| of.evaluation.failure.is_some()) {
            Self::NotJudgeable
        } else if answers.iter().any(|of| !of.evaluation.response.allowed) {
            Self::Denied
        } else if answers.iter().all(is_skipped) {
            Self::Skipped
        } else {
            Self::Allowed
        }
    }
}

/// Writes answers, and counts them.
pub(super) struct Printer<W> {
    out: W,
    output: Output,
    /// Unless it is one, each is named, and their number is told.
    has_titles: bool,
    verdicts: Vec<Verdict>,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, output: Output, objects: usize) -> Self {
        Self { out, output, has_titles: objects != 1, verdicts: Vec::new() }
    }

    /// Shows an object that no policy got to see.
    pub(super) fn unseen(&mut self, request: &AdmissionRequest, why: Unseen) -> io::Result<()> {
        let verdict = if why == Unseen::NotSelected { Verdict::Unseen } else { Verdict::Skipped };
        self.verdicts.push(verdict);
        if self.output == Output::Json {
            let mut entry = entry(request, verdict);
            entry["reason"] = json!(why.text());
            return self.line(&entry);
        }
        let title = self.title(request);
        writeln!(self.out, "{title}{}", why.text())
    }

    /// Shows an object that cannot be judged as in the cluster, and why.
    pub(super) fn not_judgeable(&mut self, request: &AdmissionRequest, why: &str) -> io::Result<()> {
        self.without_verdict(request, "could not be judged", why)
    }

    /// Shows an object that holds a pod and that the policy does not get to see, and why.
    pub(super) fn not_judged(&mut self, request: &AdmissionRequest, why: &str) -> io::Result<()> {
        self.without_verdict(request, "not judged", why)
    }

    fn without_verdict(&mut self, request: &AdmissionRequest, what: &str, why: &str) -> io::Result<()> {
        self.verdicts.push(Verdict::NotJudgeable);
        if self.output == Output::Json {
            let mut entry = entry(request, Verdict::NotJudgeable);
            entry["reason"] = json!(why);
            return self.line(&entry);
        }
        let title = self.title(request);
        writeln!(self.out, "{title}{what}: {}", printable(why))
    }

    /// Shows what became of an object: the answers of the policies that got to see it, and the patch that is made of
    /// theirs.
    pub(super) fn object(
        &mut self,
        request: &AdmissionRequest,
        answers: &[Answer<'_>],
        patch: Option<&Value>,
    ) -> io::Result<()> {
        let verdict = Verdict::of(answers);
        self.verdicts.push(verdict);
        if self.output == Output::Json {
            let mut entry = entry(request, verdict);
            entry["answers"] = answers.iter().map(Answer::json).collect();
            if let Some(patch) = patch {
                entry["patch"] = patch.clone();
            }
            return self.line(&entry);
        }
        let title = self.title(request);
        for answer in answers {
            write!(self.out, "{title}")?;
            if let Some(policy) = answer.policy {
                write!(self.out, "{}: ", visible(policy))?;
            }
            answer.write(&mut self.out)?;
        }
        Ok(())
    }

    fn line(&mut self, entry: &Value) -> io::Result<()> {
        writeln!(self.out, "{}", crate::text::json(entry)?)
    }

    fn title(&self, request: &AdmissionRequest) -> String {
        if self.has_titles { visible(&title(request)) + ": " } else { String::new() }
    }

    /// Ends with the numbers of several objects. Exit code 0: all allowed; 1: something denied; 2: something could not be
    /// judged, or nothing was, unless that is `fine`.
    pub(super) fn finish(mut self, is_empty_fine: bool) -> anyhow::Result<ExitCode> {
        if self.has_titles && self.output == Output::Human {
            writeln!(self.out, "{}", self.counts())?;
        }
        self.out.flush()?;
        let has = |verdict| self.verdicts.contains(&verdict);
        if has(Verdict::NotJudgeable) {
            return Ok(ExitCode::from(COULD_NOT_JUDGE));
        }
        if has(Verdict::Denied) {
            return Ok(ExitCode::from(DENIED));
        }
        if !has(Verdict::Allowed) && !is_empty_fine {
            anyhow::bail!("nothing was judged: no policy matches the request, or all of it was skipped");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// For example `judged 2 of 4 objects: 1 denied, 1 allowed; 2 by no policy`.
    fn counts(&self) -> String {
        let count = |verdict| self.verdicts.iter().filter(|of| **of == verdict).count();
        let parts = |of: &[(Verdict, &str)]| {
            let parts = of.iter().map(|(verdict, text)| (count(*verdict), text)).filter(|(count, _)| *count > 0);
            parts.map(|(count, text)| format!("{count} {text}")).collect::<Vec<_>>().join(", ")
        };
        let judged = parts(&[
            (Verdict::Denied, "denied"),
            (Verdict::Allowed, "allowed"),
            (Verdict::NotJudgeable, "could not be judged"),
        ]);
        let others = parts(&[(Verdict::Skipped, "skipped"), (Verdict::Unseen, "by no policy")]);
        let number = count(Verdict::Denied) + count(Verdict::Allowed);
        let mut text = format!("judged {number} of {} objects", self.verdicts.len());
        for (separator, part) in [(": ", judged), ("; ", others)] {
            if !part.is_empty() {
                text += separator;
                text += &part;
            }
        }
        text
    }
}

impl Answer<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let response = &self.evaluation.response;
        let (style, verdict) = if response.allowed { (ALLOWED_STYLE, "allowed") } else { (DENIED_STYLE, "denied") };
        write!(out, "{style}{verdict}{style:#}")?;
        let message = printable(response.message());
        match (&self.evaluation.failure, response.skipped(), self.in_protect) {
            (Some(failure), ..) => writeln!(out, ", could not judge: {}", printable(&failure.reason()))?,
            (None, Some(reason), _) => writeln!(out, ", not judged: {}", printable(reason))?,
            (None, None, Some(protect)) if protect.allowed => {
                writeln!(out, " by mode monitor; protect would change it")?;
            }
            (None, None, Some(protect)) => {
                writeln!(out, " by mode monitor; protect would deny: {}", printable(protect.message()))?;
            }
            (None, None, None) if message.is_empty() => writeln!(out)?,
            (None, None, None) => writeln!(out, ": {message}")?,
        }
        let statuses = std::iter::once(response).chain(self.in_protect).filter_map(|of| of.status.as_ref());
        let causes = statuses.filter_map(|status| status.details.as_ref()).flat_map(|details| &details.causes);
        let causes = causes.map(|cause| {
            let field = cause.field.iter().map(|field| format!("{field}: "));
            field.chain(cause.message.clone()).collect()
        });
        write_some("  cause:", causes, out)?;
        let ignored = response.audit_annotations.as_ref().and_then(|annotations| annotations.get(IGNORED));
        write_some("  ignored:", ignored.into_iter().cloned(), out)?;
        write_some("  warning:", response.warnings.iter().flatten().cloned(), out)?;
        for (response, what) in [(Some(response), "  patch:"), (self.in_protect, "  patch in protect:")] {
            let patch = response.and_then(AdmissionResponse::patch_operations);
            write_some(what, patch.iter().filter_map(Value::as_array).flatten().map(Value::to_string), out)?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let mut answer = json!({"mode": if self.mode == Mode::Monitor { "monitor" } else { "protect" }});
        if let Some(policy) = self.policy {
            answer["policy"] = json!(policy);
        }
        answer["response"] = json!(self.evaluation.response);
        let decisive = self.in_protect.unwrap_or(&self.evaluation.response);
        let annotations = decisive.audit_annotations.as_ref();
        let violations = annotations.and_then(|of| serde_json::from_str::<Value>(of.get("violations")?).ok());
        let failure = self.evaluation.failure.as_ref().map(|failure| json!(failure.reason()));
        let in_protect = self.in_protect.map(|response| json!(response));
        for (key, value) in [("violations", violations), ("failure", failure), ("inProtect", in_protect)] {
            if let Some(value) = value {
                answer[key] = value;
            }
        }
        answer
    }
}

/// What a program reads about an object: what it is, and what became of it.
fn entry(request: &AdmissionRequest, verdict: Verdict) -> Value {
    let group = &request.kind.group;
    let api_version = if group.is_empty() { String::new() } else { format!("{group}/") } + &request.kind.version;
    let mut entry = json!({"apiVersion": api_version, "kind": request.kind.kind});
    for (key, value) in [("namespace", &request.namespace), ("name", &request.name)] {
        if let Some(value) = value {
            entry[key] = json!(value);
        }
    }
    entry["verdict"] = json!(verdict);
    entry
}

/// For example `Pod shop/web`.
fn title(request: &AdmissionRequest) -> String {
    let object = request.object.as_ref();
    let generated = || object?.pointer("/metadata/generateName")?.as_str();
    let name = request.name.as_deref().or_else(generated);
    let name = name.unwrap_or("(no name)");
    match &request.namespace {
        Some(namespace) => format!("{} {namespace}/{name}", request.kind.kind),
        None => format!("{} {name}", request.kind.kind),
    }
}
