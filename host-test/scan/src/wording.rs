//! What a finding says of a violation: a sentence that names what was found, the place of it in the file, and the setting
//! that decides. A policy's own texts are parts of its message, some of which say little alone.

use std::collections::HashMap;

use serde::Deserialize as _;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::finding::Setting;
use crate::judge::Violation;

/// The message of a finding: the long text of the violation as a sentence, behind the short text where it is only a part of one.
pub(crate) fn message(violation: &Violation) -> String {
    let Violation { reason, message, path, value, .. } = violation;
    let Some(message) = message.as_deref().filter(|message| !message.is_empty()) else { return reason.clone() };
    let is_sentence = ["container ", "pod ", "volume "].iter().any(|who| message.starts_with(who));
    match reason.as_str() {
        "host namespaces" | "shared process namespace" => format!("pod must not set {message}"),
        "forbidden sysctls" => format!("pod must not set sysctl {message:?}"),
        _ if is_host_path(violation) => {
            let host = if path.ends_with(".hostPath.path") { value } else { &value["hostPath"]["path"] };
            let host = host.as_str().map(|host| format!(" {host:?}")).unwrap_or_default();
            format!("{message} must not use hostPath{host}")
        }
        _ if is_sentence => message.to_owned(),
        _ => format!("{reason} ({message})"),
    }
}

/// The member of a volume that is meant, where a violation is about the whole volume: its type.
pub(crate) fn member(violation: &Violation) -> Option<&str> {
    let members = violation.value.as_object()?;
    let named = match violation.message.as_deref() {
        Some(_) if is_host_path(violation) => "hostPath",
        Some(message) => message.strip_suffix('"')?.rsplit_once("\" uses restricted volume type \"")?.1,
        None => return None,
    };
    members.contains_key(named).then_some(named)
}

/// Whether the long text only names a volume.
fn is_host_path(Violation { control, message, .. }: &Violation) -> bool {
    let name = message.as_deref().and_then(|message| message.strip_prefix("volume \"")?.strip_suffix('"'));
    control == "hostPathVolumes" && name.is_some_and(|name| !name.contains('"'))
}

/// Adds to violations the settings that the message of their policy shows: `reason (detail; setting: value; detail), …`.
/// A detail is about all violations of a rule, so that the words decide which one is that of a violation.
pub(crate) fn add_settings(message: &str, violations: &mut [Violation]) {
    let details = details(message);
    if details.iter().all(|detail| detail.setting.is_none()) {
        return;
    }
    let mut again: HashMap<(String, String), usize> = HashMap::new();
    for violation in violations {
        let Some(text) = violation.message.as_deref() else { continue };
        let words = words(text);
        let is_of_rule = |of: &&Detail<'_>| match of.words.is_empty() {
            true => words.is_empty() && of.text.split(", ").any(|item| item == text),
            false => words.ends_with(&of.words),
        };
        let of_rule: Vec<&Detail<'_>> = details.iter().filter(is_of_rule).collect();
        let naming: Vec<&Detail<'_>> = of_rule.iter().copied().filter(|of| of.names_all_of(text)).collect();
        let candidates = if naming.is_empty() { &of_rule } else { &naming };
        // What two settings refuse, two details name, in the order of the violations.
        let index = again.entry((violation.control.clone(), text.to_owned())).or_default();
        let chosen = candidates.get(*index).or(candidates.last());
        *index += 1;
        violation.setting = chosen.and_then(|of| of.setting.clone()).map(Box::new);
    }
}

/// What a message says of the violations of one rule.
struct Detail<'m> {
    text: &'m str,
    words: Vec<&'m str>,
    setting: Option<Setting>,
}

impl Detail<'_> {
    /// Whether it has what is quoted in the text of a violation, and the numbers.
    fn names_all_of(&self, text: &str) -> bool {
        let number = |word: &str| word.trim_end_matches(',').parse::<i64>().ok();
        let has_number = |word: &str| match number(word) {
            Some(_) => self.text.split_whitespace().any(|of| number(of) == number(word)),
            None => true,
        };
        text.split('"').skip(1).step_by(2).all(|quoted| self.text.contains(quoted))
            && text.split_whitespace().all(has_number)
    }
}

/// The details of a message, each with the setting behind it.
fn details(message: &str) -> Vec<Detail<'_>> {
    let mut details = Vec::new();
    let mut add = |text, setting| details.push(Detail { text, words: words(text), setting });
    let (mut start, mut at, mut is_quoted) = (0, 0, false);
    while let Some(&byte) = message.as_bytes().get(at) {
        let rest = &message.as_bytes()[at..];
        is_quoted ^= byte == b'"';
        let separator = [&b"; "[..], b"), ", b" ("].into_iter().find(|of| !is_quoted && rest.starts_with(of));
        let Some(separator) = separator else {
            at += 1;
            continue;
        };
        let behind = at + separator.len();
        let setting = if separator == b"; " { setting(&message[behind..]) } else { None };
        let (setting, end) = setting.map_or((None, behind), |(setting, length)| (Some(setting), behind + length));
        add(&message[start..at], setting);
        (start, at) = (end, end);
    }
    add(&message[start..], None);
    details
}

/// Reads `name: value` at the start of a text; returns its length as well.
fn setting(text: &str) -> Option<(Setting, usize)> {
    let (name, rest) = text.split_once(": ")?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    if !is_name {
        return None;
    }
    let raw = <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(rest)).ok()?.get();
    let is_end = [")", "; ", ", and "].iter().any(|end| rest[raw.len()..].starts_with(end));
    let value: Value = serde_json::from_str(raw).ok().filter(|_| is_end)?;
    Some((Setting { name: name.to_owned(), value }, name.len() + ": ".len() + raw.len()))
}

/// The words of a detail that do not depend on what was found: from its verb on, without what is quoted, numbers and
/// lists, and in the singular.
fn words(text: &str) -> Vec<&str> {
    let unquoted = text.split('"').step_by(2).flat_map(str::split_whitespace);
    let words = unquoted.filter(|word| !word.contains(['[', '{'])).map(|word| word.trim_end_matches([',', ':', 's']));
    let words = words.skip_while(|word| !["must", "use", "set"].contains(word));
    words.filter(|word| word.contains(|letter: char| letter.is_alphabetic())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::answer::whole_object;

    fn violation(control: &str, reason: &str, message: &str, path: &str, value: Value) -> Violation {
        let whole = whole_object(control, reason);
        Violation { message: Some(message.to_owned()), path: path.to_owned(), value, ..whole }
    }

    #[test]
    fn a_finding_says_what_must_not_be_and_where_it_stands() {
        let logs = json!({"name": "logs", "hostPath": {"path": "/var/log"}});
        for (control, reason, text, path, value, expected, member_of) in [
            (
                "hostPathVolumes",
                "hostPath volumes",
                "volume \"logs\"",
                "spec.volumes[0]",
                logs.clone(),
                "volume \"logs\" must not use hostPath \"/var/log\"",
                Some("hostPath"),
            ),
            (
                "hostPathVolumes",
                "hostPath volumes",
                "volume \"logs\"",
                "spec.volumes[0].hostPath.path",
                json!("/etc"),
                "volume \"logs\" must not use hostPath \"/etc\"",
                None,
            ),
            (
                "hostPathVolumes",
                "hostPath volumes",
                "volume \"a\" must use an absolute path without \"..\"",
                "spec.volumes[0].hostPath.path",
                json!("/a/../b"),
                "volume \"a\" must use an absolute path without \"..\"",
                None,
            ),
            (
                "restrictedVolumes",
                "restricted volume types",
                "volume \"logs\" uses restricted volume type \"hostPath\"",
                "spec.volumes[0]",
                logs,
                "volume \"logs\" uses restricted volume type \"hostPath\"",
                Some("hostPath"),
            ),
            (
                "hostNamespaces",
                "host namespaces",
                "hostPID=true",
                "spec.hostPID",
                json!(true),
                "pod must not set hostPID=true",
                None,
            ),
            (
                "shareProcessNamespace",
                "shared process namespace",
                "shareProcessNamespace=true",
                "spec.shareProcessNamespace",
                json!(true),
                "pod must not set shareProcessNamespace=true",
                None,
            ),
            (
                "sysctls",
                "forbidden sysctls",
                "kernel.sem",
                "spec.securityContext.sysctls[0].name",
                json!("kernel.sem"),
                "pod must not set sysctl \"kernel.sem\"",
                None,
            ),
            ("sysctls", "forbidden sysctls", "", "spec", Value::Null, "forbidden sysctls", None),
            (
                "wildcards",
                "wildcard",
                "rules[0] must not have \"*\" in verbs",
                "rules[0].verbs[0]",
                json!("*"),
                "wildcard (rules[0] must not have \"*\" in verbs)",
                None,
            ),
        ] {
            let violation = violation(control, reason, text, path, value);
            assert_eq!(message(&violation), expected);
            assert_eq!(member(&violation), member_of, "{expected}");
        }
    }

    #[test]
    fn a_setting_is_that_of_the_detail() {
        for (message, texts) in [
            (
                r#"image registry (container "a" must not use image "nginx"; allowed: ["r.io","(x); y: 1"])"#,
                vec![(r#"container "a" must not use image "nginx""#, r#"allowed: ["r.io","(x); y: 1"]"#)],
            ),
            (
                r#"image registry (containers "a", "b" must not use images "c", "d"; denied: ["c"]; containers "a", "x" must not use images "c", "z"; allowed: []), image tag (container "a" must set a tag or a digest for image "c"; deniedTags: ["latest"]), image digest (container "a" must set a digest for image "c")"#,
                vec![
                    (r#"container "a" must not use image "c""#, r#"denied: ["c"]"#),
                    (r#"container "a" must not use image "c""#, "allowed: []"),
                    (r#"container "b" must not use image "d""#, r#"denied: ["c"]"#),
                    (r#"container "x" must not use image "z""#, "allowed: []"),
                    (r#"container "a" must set a tag or a digest for image "c""#, r#"deniedTags: ["latest"]"#),
                    (r#"container "a" must set a digest for image "c""#, ""),
                ],
            ),
            (
                r#"hostPort (containers "a", "b" use hostPorts 80, 443; min: 1024; container "c" uses hostPort 65000; max: 9000)"#,
                vec![
                    (r#"container "a" uses hostPort 443"#, "min: 1024"),
                    (r#"container "b" uses hostPort 80"#, "min: 1024"),
                    (r#"container "c" uses hostPort 65000"#, "max: 9000"),
                ],
            ),
            (
                r#"forbidden sysctls (kernel.sem, net.x; forbiddenSysctls: ["*"])"#,
                vec![("net.x", r#"forbiddenSysctls: ["*"]"#)],
            ),
            (
                r#"node port (spec.ports[0], spec.ports[1] must not use node ports 30100, 30101; allowedNodePorts: [])"#,
                vec![("spec.ports[1] must not use node port 30101", "allowedNodePorts: []")],
            ),
            (r#"privileged (container "a" must not set securityContext.privileged=true)"#, vec![("x", "")]),
        ] {
            let violation = |(text, _): &(&str, &str)| violation("c", "r", text, "", Value::Null);
            let mut violations: Vec<Violation> = texts.iter().map(violation).collect();
            add_settings(message, &mut violations);
            let found: Vec<String> =
                violations.iter().map(|of| of.setting.as_ref().map(ToString::to_string).unwrap_or_default()).collect();
            let expected: Vec<&str> = texts.iter().map(|(_, setting)| *setting).collect();
            assert_eq!(found, expected, "{message}");
        }
    }
}
