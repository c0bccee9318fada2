//! Entries of `ignore` in the configuration.

use crate::config::{Base, Date, Ignore};
use crate::finding::{Finding, Suppressed, SuppressionKind};

/// What the entries did, beside suppressing findings.
#[derive(Debug, Clone, Default)]
pub struct ConfigOutcome<'c> {
    /// Entries that match no finding.
    pub unused: Vec<&'c Ignore>,
    /// Entries that match findings, but whose last day is over, so that they suppress nothing.
    pub expired: Vec<&'c Ignore>,
}

/// Suppresses the findings that entries of the configuration accept. A finding that several entries accept has the
/// reason of the first, and one that a comment accepts keeps the comment's.
pub fn by_config<'c, 'f>(
    entries: &'c [Ignore],
    findings: impl IntoIterator<Item = &'f mut Finding>,
    base: &Base,
    today: Date,
) -> ConfigOutcome<'c> {
    if entries.is_empty() {
        return ConfigOutcome::default();
    }
    let is_expired = |entry: &Ignore| entry.until.is_some_and(|last| last < today);
    let mut is_used = vec![false; entries.len()];
    for finding in findings {
        let file = base.path(&finding.file);
        for (entry, is_used) in entries.iter().zip(&mut is_used) {
            if !matches(entry, finding, &file) {
                continue;
            }
            *is_used = true;
            if finding.suppressed.is_none() && !is_expired(entry) {
                finding.suppressed = Some(Suppressed { kind: SuppressionKind::Config, reason: entry.reason.clone() });
            }
        }
    }
    let (used, unused): (Vec<_>, Vec<_>) = entries.iter().zip(is_used).partition(|(_, is_used)| *is_used);
    ConfigOutcome {
        unused: unused.into_iter().map(|(entry, _)| entry).collect(),
        expired: used.into_iter().map(|(entry, _)| entry).filter(|entry| is_expired(entry)).collect(),
    }
}

fn matches(entry: &Ignore, finding: &Finding, file: &str) -> bool {
    let object = &finding.object;
    let is = |expected: &Option<String>, found: Option<&str>| {
        expected.as_deref().is_none_or(|expected| found == Some(expected))
    };
    is(&entry.policy, Some(&finding.policy))
        && is(&entry.control, Some(&finding.control))
        && is(&entry.kind, Some(&object.kind))
        && is(&entry.namespace, object.namespace.as_deref())
        && is(&entry.name, Some(&object.name))
        && is(&entry.container, finding.container.as_deref())
        && entry.path.as_ref().is_none_or(|glob| glob.is_match(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::fingerprint::tests::finding;

    fn entries(fields: &str) -> Vec<Ignore> {
        Config::read(&format!("ignore: [{{{fields}, reason: known}}]")).unwrap().ignore
    }

    fn lines(entries: &[&Ignore]) -> Vec<usize> {
        entries.iter().map(|entry| entry.line).collect()
    }

    #[test]
    fn an_entry_suppresses_what_matches_all_its_fields() {
        for (fields, expected) in [
            ("policy: privileged", true),
            ("policy: other", false),
            ("control: privileged", true),
            ("control: other", false),
            ("policy: privileged, control: other", false),
            ("policy: privileged, path: deploy/web.yaml", true),
            ("policy: privileged, path: ./deploy/web.yaml", true),
            ("policy: privileged, path: 'deploy/*'", true),
            ("policy: privileged, path: 'deploy/**'", true),
            ("policy: privileged, path: '**/web.yaml'", true),
            ("policy: privileged, path: '**'", true),
            ("policy: privileged, path: '*'", false),
            ("policy: privileged, path: web.yaml", false),
            ("policy: privileged, path: deploy", false),
            ("policy: privileged, kind: Deployment", true),
            ("policy: privileged, kind: deployment", false),
            ("policy: privileged, namespace: shop", true),
            ("policy: privileged, namespace: other", false),
            ("policy: privileged, name: web", true),
            ("policy: privileged, name: we", false),
            ("policy: privileged, container: app", true),
            ("policy: privileged, container: other", false),
            (
                "control: privileged, path: 'deploy/**', kind: Deployment, namespace: shop, name: web, container: app",
                true,
            ),
        ] {
            let (entries, mut findings) = (entries(fields), [finding()]);
            let outcome = by_config(&entries, &mut findings, &Base::default(), "2026-11-26".parse().unwrap());
            let reason = Suppressed { kind: SuppressionKind::Config, reason: "known".to_owned() };
            assert_eq!(findings[0].suppressed, expected.then_some(reason), "{fields}");
            assert_eq!(outcome.unused.len(), usize::from(!expected), "{fields}");
        }
    }

    #[test]
    fn a_field_that_the_finding_lacks_does_not_match() {
        for fields in ["policy: privileged, namespace: shop", "policy: privileged, container: app"] {
            let mut findings = [finding()];
            (findings[0].object.namespace, findings[0].container) = (None, None);
            by_config(&entries(fields), &mut findings, &Base::default(), "2026-11-26".parse().unwrap());
            assert_eq!(findings[0].suppressed, None, "{fields}");
        }
    }

    #[test]
    fn after_its_last_day_an_entry_suppresses_nothing() {
        let text = "ignore:
- {control: privileged, reason: first, until: 2027-06-30}
- {control: other, reason: second, until: 2027-06-30}
- {control: other, reason: third}
";
        let config = Config::read(text).unwrap();
        for (today, suppressed, expired) in [("2027-06-30", true, vec![]), ("2027-07-01", false, vec![2])] {
            let mut findings = [finding()];
            let outcome = by_config(&config.ignore, &mut findings, &Base::default(), today.parse().unwrap());
            assert_eq!(findings[0].suppressed.is_some(), suppressed, "{today}");
            assert_eq!((lines(&outcome.unused), lines(&outcome.expired)), (vec![3, 4], expired), "{today}");
        }
    }

    #[test]
    fn the_first_reason_stays() {
        let text = "ignore: [{control: privileged, reason: first}, {policy: privileged, reason: second}]";
        let config = Config::read(text).unwrap();
        let comment = Suppressed { kind: SuppressionKind::Comment, reason: "comment".to_owned() };
        let mut findings = [finding(), finding()];
        findings[1].suppressed = Some(comment.clone());
        let outcome = by_config(&config.ignore, &mut findings, &Base::default(), "2026-11-26".parse().unwrap());
        assert_eq!(findings[0].suppressed.as_ref().unwrap().reason, "first");
        assert_eq!(findings[1].suppressed, Some(comment));
        assert!(outcome.unused.is_empty());
    }

    #[test]
    fn globs_are_relative_to_the_configuration() {
        for (working, path, expected) in [
            ("/repo", "deploy/*", true),
            ("/repo/apps", "apps/deploy/*", true),
            ("/repo/apps", "deploy/*", false),
            ("/elsewhere", "deploy/*", true),
        ] {
            let entries = entries(&format!("control: privileged, path: '{path}'"));
            let base = Base::new("/repo/podfence.yaml".as_ref(), working.as_ref());
            let mut findings = [finding()];
            by_config(&entries, &mut findings, &base, "2026-11-26".parse().unwrap());
            assert_eq!(findings[0].suppressed.is_some(), expected, "{working} {path}");
        }
    }
}
