//! A finding as data, and the text of a verdict, which is the one that the built-in PodSecurity
//! admission gives: `reason (detail)`, several joined with `, `.

use alloc::{string::String, vec::Vec};

use crate::{
    decode::{List, Object},
    place::{Offender, Place},
    schema::{Field, types},
    settings::Settings,
    text::{own, put, quote, sort_by, split},
};

/// What a control demands, and the texts for what violates it.
pub struct Rule {
    /// The control, as the built-in admission calls it where it has one.
    pub control: &'static str,
    /// The short text. Rules of one control with one reason share its parentheses.
    pub reason: &'static str,
    /// The long text, with:
    ///
    /// - `{who}`: `pod`, `container "a"`, `pod and containers "a", "b"`, `volumes "v", "w"`, `annotation`
    /// - `{sorted}`: the same, the names sorted, each once
    /// - `{values}`: the values, quoted, sorted, each once
    /// - `{numbers}`: the same without quotes
    /// - `{list}`: the values as found, without quotes
    /// - `{allowed}`: what the setting has, quoted, joined with `or`
    /// - `{who:one|many}`, `{values:one|many}`: a word that depends on how many there are
    pub detail: &'static str,
    /// How to fix it.
    pub fix: &'static str,
    /// What stands once before the details of all rules that have the same one. Its placeholders are
    /// filled in from all of these.
    pub lead: &'static str,
    /// The path of the setting shown at the end of the message, unless the text contains `{allowed}`.
    pub setting: Option<&'static str>,
}

impl Rule {
    /// A rule that needs no more than its own texts, to be filled in.
    pub const PLAIN: Self = Self { control: "", reason: "", detail: "", fix: "", lead: "", setting: None };
}

struct Violation<'v> {
    rule: &'static Rule,
    place: Place<'v>,
}

/// Everything that a check found, rule by rule.
#[derive(Default)]
pub struct Violations<'v> {
    found: Vec<Violation<'v>>,
    rules: Vec<&'static Rule>,
    head: String,
}

impl<'v> Violations<'v> {
    /// Adds one.
    pub fn add(&mut self, rule: &'static Rule, place: Place<'v>) {
        if !self.rules.iter().any(|&known| core::ptr::eq(known, rule)) {
            self.rules.push(rule);
        }
        self.found.push(Violation { rule, place });
    }

    /// Fixes the order in which the details of rules come, whichever is found first.
    pub fn order(&mut self, rules: &[&'static Rule]) {
        self.rules.extend_from_slice(rules);
    }

    /// Sets the start of the text of the verdict.
    pub fn head(&mut self, head: String) {
        self.head = head;
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The rule of each.
    #[cfg(feature = "docs")]
    pub(crate) fn rules(&self) -> impl Iterator<Item = &'static Rule> {
        self.found.iter().map(|violation| violation.rule)
    }

    /// The text of the verdict; with settings, it ends with what they allow.
    pub fn message(&self, settings: Option<&Settings>) -> String {
        let mut message = String::new();
        put(&mut message, &self.head);
        let mut last: Option<&Rule> = None;
        for &rule in &self.rules {
            if !self.found.iter().any(|violation| core::ptr::eq(violation.rule, rule)) {
                continue;
            }
            let mut group = Group { rule, found: &self.found, settings, by_lead: true };
            match last {
                Some(last) if last.control == rule.control && last.reason == rule.reason => put(&mut message, "; "),
                _ => {
                    put(&mut message, if last.is_some() { "), " } else { "" });
                    group.put(rule.reason, &mut message);
                    put(&mut message, " (");
                }
            }
            if last.is_none_or(|last| last.lead != rule.lead) {
                group.put(rule.lead, &mut message);
            }
            group.by_lead = false;
            if !group.put(rule.detail, &mut message) {
                group.put_setting(&mut message);
            }
            last = Some(rule);
        }
        put(&mut message, ")");
        message
    }

    /// Every violation as compact JSON: `[{"control","reason","container","path","value","fix"}]`.
    /// Paths start at the object, in which the pod is at `template`.
    pub fn to_json(&self, template: &str) -> String {
        let mut json = own("[");
        let mut start = "{\"control\":";
        for violation in &self.found {
            let (rule, place) = (violation.rule, &violation.place);
            put_member(&mut json, start, rule.control);
            start = ",{\"control\":";
            let mut reason = String::new();
            Group { rule, found: core::slice::from_ref(violation), settings: None, by_lead: false }
                .put(rule.reason, &mut reason);
            put_member(&mut json, ",\"reason\":", &reason);
            match place.offender {
                Offender::Container { name, .. } => put_member(&mut json, ",\"container\":", name),
                _ => put(&mut json, ",\"container\":null"),
            }
            let mut path = own(template);
            put(&mut path, if template.is_empty() { "" } else { "." });
            place.put_path(&mut path);
            put_member(&mut json, ",\"path\":", &path);
            put(&mut json, ",\"value\":");
            put(&mut json, place.value.map_or("null", Object::raw));
            put_member(&mut json, ",\"fix\":", rule.fix);
            put(&mut json, "}");
        }
        put(&mut json, "]");
        json
    }
}

#[inline(never)]
fn put_member(json: &mut String, before: &str, text: &str) {
    put(json, before);
    quote(text, json);
}

/// The violations of one rule.
struct Group<'g, 'v> {
    rule: &'static Rule,
    found: &'g [Violation<'v>],
    settings: Option<&'g Settings<'g>>,
    /// Those of all rules with the same lead.
    by_lead: bool,
}

impl<'v> Group<'_, 'v> {
    /// Puts a template with its placeholders filled in; returns whether one was `{allowed}`.
    fn put(&self, template: &str, message: &mut String) -> bool {
        let mut has_allowed = false;
        let mut rest = template;
        while !rest.is_empty() {
            let (plain, behind) = split(rest, b'{');
            let (placeholder, behind) = split(behind, b'}');
            let (what, words) = split(placeholder, b':');
            rest = behind;
            put(message, plain);
            let text = if words.is_empty() { Some(&mut *message) } else { None };
            let is_one = match what {
                "" => continue,
                "who" | "sorted" => self.put_subjects(what == "sorted", text),
                "allowed" => {
                    has_allowed = true;
                    self.put_allowed(message)
                }
                _ => self.put_values(what, text),
            };
            let (one, many) = split(words, b'|');
            put(message, if is_one { one } else { many });
        }
        has_allowed
    }

    fn setting(&self) -> Option<(&'static str, Object<'_>)> {
        let name = self.rule.setting?;
        Some((name, self.settings?.get(Field::<types::Any>::new(name))?))
    }

    fn put_setting(&self, message: &mut String) {
        if let Some((name, value)) = self.setting() {
            put(message, "; ");
            put(message, name);
            put(message, ": ");
            put(message, value.raw());
        }
    }

    fn put_allowed(&self, message: &mut String) -> bool {
        let allowed = self.setting().map(|(_, allowed)| List::of(allowed)).unwrap_or_default();
        let mut list = Listing { message: Some(message), quotes: "\"", separator: " or ", count: 0 };
        allowed.strings().for_each(|word| list.add("", word));
        list.count == 1
    }

    fn places(&self) -> impl Iterator<Item = &Place<'v>> {
        let belongs = |rule: &Rule| {
            core::ptr::eq(rule, self.rule) || self.by_lead && !rule.lead.is_empty() && rule.lead == self.rule.lead
        };
        self.found.iter().filter(move |violation| belongs(violation.rule)).map(|violation| &violation.place)
    }

    /// Puts the values, if there is a message; returns whether there is just one.
    fn put_values(&self, what: &str, message: Option<&mut String>) -> bool {
        let mut values = Vec::new();
        for place in self.places() {
            let key = if let Offender::Annotation(key) = place.offender { key } else { "" };
            values.push((key, place.value_text()));
        }
        let mut list = Listing { message, quotes: if what == "values" { "\"" } else { "" }, separator: ", ", count: 0 };
        list.add_all(&mut values, what != "list");
        list.count == 1
    }

    /// Puts `pod and containers "a", "b"`, if there is a message; returns whether there is just one container
    /// or volume.
    fn put_subjects(&self, is_sorted: bool, message: Option<&mut String>) -> bool {
        let mut names = Vec::new();
        let (mut pod, mut noun, mut annotation) = ("", "", "");
        let mut last = None;
        for place in self.places() {
            match place.offender {
                Offender::Pod => pod = "pod",
                Offender::Container { role, index, name } => {
                    noun = "container";
                    // Of one container, all violations of a rule are next to each other.
                    let this = Some((role, index));
                    if last != this {
                        names.push(("", name));
                    }
                    last = this;
                }
                Offender::Volume(name) => {
                    noun = "volume";
                    names.push(("", name));
                }
                Offender::Annotation(_) if annotation.is_empty() => annotation = "annotation",
                Offender::Annotation(_) => annotation = "annotations",
            }
        }
        let mut list = Listing { message: None, quotes: "\"", separator: ", ", count: 0 };
        list.add_all(&mut names, is_sorted);
        let is_one = list.count == 1;
        if let Some(message) = message {
            put(message, pod);
            put(message, if pod.is_empty() || noun.is_empty() { "" } else { " and " });
            put(message, noun);
            if !noun.is_empty() {
                put(message, if is_one { " " } else { "s " });
                let mut list = Listing { message: Some(message), ..list };
                list.count = 0;
                list.add_all(&mut names, is_sorted);
            }
            let is_alone = annotation.is_empty() || pod.is_empty() && noun.is_empty();
            put(message, if is_alone { "" } else { " and " });
            put(message, annotation);
        }
        is_one
    }
}

/// A list of words in a message.
struct Listing<'m> {
    message: Option<&'m mut String>,
    quotes: &'static str,
    separator: &'static str,
    count: usize,
}

impl Listing<'_> {
    /// Adds words, and `key="word"` for those that have a key; sorted and each once, or as they are.
    fn add_all(&mut self, words: &mut [(&str, &str)], is_sorted: bool) {
        if is_sorted {
            sort_by(words, is_before);
        }
        let mut last = None;
        for &mut word in words {
            if last.replace(word) != Some(word) || !is_sorted {
                self.add(word.0, word.1);
            }
        }
    }

    #[inline(never)]
    fn add(&mut self, key: &str, word: &str) {
        self.count += 1;
        let Some(message) = &mut self.message else { return };
        put(message, if self.count == 1 { "" } else { self.separator });
        put(message, self.quotes);
        if key.is_empty() {
            put(message, word);
        } else {
            put(message, key);
            put(message, "=");
            quote(word, message);
        }
        put(message, self.quotes);
    }
}

/// The order of words in a message: those without a key first, then `key="word"`.
fn is_before(a: &(&str, &str), b: &(&str, &str)) -> bool {
    let mut keys = a.0.bytes().zip(b.0.bytes());
    match keys.find(|(a, b)| a != b) {
        Some((a, b)) => a < b,
        None if a.0.len() == b.0.len() => a.1 < b.1,
        // One key is the start of the other: what stands behind it there is compared with `=`.
        None => match (a.0.as_bytes().get(b.0.len()), b.0.as_bytes().get(a.0.len())) {
            (Some(behind), _) => !b.0.is_empty() && *behind < b'=',
            (_, Some(behind)) => a.0.is_empty() || b'=' < *behind,
            _ => false,
        },
    }
}
