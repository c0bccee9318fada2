//! Exceptions made from a run: `ignore` entries for a person to give a reason for.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::config::{Base, Date};
use crate::finding::{Finding, Severity};

/// For how many days an exception holds.
const DAYS: u64 = 90;

#[derive(Serialize)]
struct Stanzas<'f> {
    ignore: BTreeSet<Stanza<'f>>,
}

/// An entry, sorted by what comes first in it.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Stanza<'f> {
    control: &'f str,
    policy: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'f str>,
    reason: &'static str,
    until: Date,
}

/// Returns the errors that nothing suppresses as the `ignore` of a configuration, in YAML. Their reasons are `TODO`,
/// which the configuration refuses until a person has written one.
pub fn exceptions<'f>(findings: impl IntoIterator<Item = &'f Finding>, base: &Base, today: Date) -> String {
    let until = today.plus_days(DAYS);
    let errors =
        findings.into_iter().filter(|finding| finding.severity == Severity::Error && finding.suppressed.is_none());
    // What is empty is left out: the configuration refuses it.
    let filled = |text: &'f str| Some(text).filter(|text| !text.trim().is_empty());
    let ignore = errors
        .map(|finding| Stanza {
            control: &finding.control,
            policy: &finding.policy,
            // No glob is absolute.
            path: Some(base.path(&finding.file)).filter(|path| !path.starts_with('/')).map(|path| escaped(&path)),
            kind: filled(&finding.object.kind),
            namespace: finding.object.namespace.as_deref().and_then(filled),
            name: filled(&finding.object.name),
            container: finding.container.as_deref().and_then(filled),
            reason: "TODO",
            until,
        })
        .collect();
    serde_saphyr::to_string(&Stanzas { ignore }).expect("a stanza has only texts")
}

/// Returns the glob that matches only this path.
fn escaped(path: &str) -> String {
    globset::escape(path).replace('\\', "\\\\")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::finding::{Suppressed, SuppressionKind};
    use crate::fingerprint::tests::finding;
    use crate::suppress::by_config;

    fn exceptions_of(findings: &[Finding]) -> String {
        exceptions(findings, &Base::default(), "2026-11-26".parse().unwrap())
    }

    #[test]
    fn findings_of_one_container_and_control_are_one_stanza() {
        let mut other = finding();
        other.path = "spec.containers[0].securityContext".to_owned();
        let mut pod = finding();
        (pod.container, pod.object.namespace) = (None, None);
        assert_eq!(
            exceptions_of(&[finding(), other, pod]),
            "\
ignore:
- control: privileged
  policy: privileged
  path: deploy/web.yaml
  kind: Deployment
  name: web
  reason: TODO
  until: \"2027-02-24\"
- control: privileged
  policy: privileged
  path: deploy/web.yaml
  kind: Deployment
  namespace: shop
  name: web
  container: app
  reason: TODO
  until: \"2027-02-24\"
"
        );
    }

    #[test]
    fn warnings_and_what_is_suppressed_need_no_exception() {
        let (mut warning, mut suppressed) = (finding(), finding());
        warning.severity = Severity::Warning;
        suppressed.suppressed = Some(Suppressed { kind: SuppressionKind::Baseline, reason: String::new() });
        assert_eq!(exceptions_of(&[warning, suppressed]), "ignore: []\n");
    }

    /// Names are whatever stands in a manifest, and files whatever the system allows.
    #[test]
    fn exceptions_suppress_their_findings_once_a_person_wrote_the_reason() {
        for odd in [
            "plain",
            "yes",
            "12",
            "null",
            "~",
            "a: b # c",
            "- x",
            "*[a]{b,c}?",
            "\"'",
            "\u{a0}\u{2028}",
            "é",
            " a ",
            "a\nb",
            "\\",
        ] {
            let mut findings = [finding(), finding(), finding(), finding()];
            findings[0].object.name = odd.to_owned();
            findings[1].container = Some(odd.to_owned());
            findings[2].file = format!("{odd}/{odd}.yaml");
            findings[3].object.namespace = Some(odd.to_owned());
            let text = exceptions_of(&findings);
            let error = Config::read(&text).unwrap_err();
            assert_eq!(
                error.message,
                "ignore[0].reason: expected the reason, found `TODO`: a person must write why the findings are accepted"
            );
            let config = Config::read(&text.replace("TODO", "known")).unwrap();
            let outcome = by_config(&config.ignore, &mut findings, &Base::default(), "2027-02-24".parse().unwrap());
            assert!(findings.iter().all(|finding| finding.suppressed.is_some()), "{odd:?}: {text}");
            assert_eq!((outcome.unused.len(), outcome.expired.len()), (0, 0), "{odd:?}: {text}");
        }
    }
}
