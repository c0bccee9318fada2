//! A finding as data, and the text of a verdict, which is the one that the built-in PodSecurity
//! admission gives: `reason (detail)`, several joined with `, `.

use alloc::{string::String, vec::Vec};

use crate::{
    decode::{List, Located, Object},
    place::{Mend, Offender, Place},
    schema::{Field, types},
    settings::Settings,
    text::{LONGEST, is, own, push, put, put_more, put_number, put_start, quote_start, sort_by, split},
};

/// What a control demands, and the texts for what violates it.
pub struct Rule {
    /// The control, as the built-in admission calls it where it has one.
    pub control: &'static str,
    /// The short text. Rules of one control with one reason share its parentheses.
    pub reason: &'static str,
    /// The long text, with:
    ///
    /// - `{who}`: `pod`, `container "a"`, `pod and containers "a", "b"`, `volumes "v", "w"`, `annotation`;
    ///   `rules[1], rules[3]` of an object that is not a pod
    /// - `{sorted}`: the same, the names sorted, each once
    /// - `{values}`: the values, quoted, sorted, each once
    /// - `{numbers}`: the same without quotes
    /// - `{list}`: the values as found, without quotes
    /// - `{allowed}`: what the setting has, quoted, joined with `or`
    /// - `{who:one|many}`, `{values:one|many}`: a word that depends on how many there are
    pub detail: &'static str,
    /// How to fix it.
    pub fix: &'static str,
    /// How a program fixes it, unless the place has another way.
    pub mend: &'static Mend,
    /// What stands once before the details of all rules that have the same one. Its placeholders are
    /// filled in from all of these.
    pub lead: &'static str,
    /// The path of the setting shown at the end of the message, unless the text contains `{allowed}`.
    pub setting: Option<&'static str>,
}

impl Rule {
    /// A rule that needs no more than its own texts, to be filled in.
    pub const PLAIN: Self =
        Self { control: "", reason: "", detail: "", fix: "", mend: Mend::NONE, lead: "", setting: None };
}

/// The bytes that a count of what is left out may take: `, and 10000 more`, `,{"more":10000}`.
const MORE: usize = 32;

struct Violation<'v> {
    rule: &'static Rule,
    place: Place<'v>,
    /// Where the pod is in the object.
    pod: &'v Located<'v>,
}

/// Everything that a check found, rule by rule.
pub struct Violations<'v> {
    found: Vec<Violation<'v>>,
    rules: Vec<&'static Rule>,
    head: String,
    /// Where the pod is that is being checked.
    pod: &'v Located<'v>,
}

impl Default for Violations<'_> {
    fn default() -> Self {
        Self { found: Vec::new(), rules: Vec::new(), head: String::new(), pod: Located::ROOT }
    }
}

impl<'v> Violations<'v> {
    /// Adds one.
    pub fn add(&mut self, rule: &'static Rule, place: Place<'v>) {
        self.order(&[rule]);
        self.found.push(Violation { rule, place, pod: self.pod });
    }

    /// Fixes the order in which the details of rules come, whichever is found first.
    pub fn order(&mut self, rules: &[&'static Rule]) {
        for &rule in rules {
            if !self.rules.iter().any(|&known| core::ptr::eq(known, rule)) {
                self.rules.push(rule);
            }
        }
    }

    /// Sets the start of the text of the verdict.
    pub fn head(&mut self, head: String) {
        self.head = head;
    }

    /// Sets the place of the pod that is checked next.
    pub(crate) fn enter(&mut self, pod: &'v Located<'v>) {
        self.pod = pod;
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

    /// The text of the verdict, of at most this many bytes unless one violation has more: what does not fit is counted.
    /// With settings, it ends with what they allow.
    pub(crate) fn text(&self, settings: Option<&Settings>, most: usize) -> String {
        // Between so many that fit, and one more than so many, of which the least is shown whatever its length.
        let (mut fitting, mut count, mut shown) = (1, self.found.len(), self.found.len());
        loop {
            let mut text = self.message(settings, self.found.get(..shown).unwrap_or_default());
            let left = self.found.len() - shown;
            if left == 0 && text.len() <= most {
                return text;
            }
            if shown == fitting {
                if left != 0 {
                    put_more(&mut text, left);
                }
                return text;
            }
            if left != 0 && text.len() <= most - MORE {
                fitting = shown
            } else {
                count = shown
            }
            shown = if count - fitting > 1 { fitting.midpoint(count) } else { fitting };
        }
    }

    /// The text about some of them.
    fn message(&self, settings: Option<&Settings>, found: &[Violation<'v>]) -> String {
        let mut message = String::new();
        put(&mut message, &self.head);
        let mut last: Option<&Rule> = None;
        for &rule in &self.rules {
            if !found.iter().any(|violation| core::ptr::eq(violation.rule, rule)) {
                continue;
            }
            let mut group = Group { rule, found, settings, by_lead: true };
            match last {
                Some(last) if is(last.control, rule.control) && is(last.reason, rule.reason) => put(&mut message, "; "),
                _ => {
                    put(&mut message, if last.is_some() { "), " } else { "" });
                    group.put(rule.reason, &mut message);
                    put(&mut message, " (");
                }
            }
            if last.is_none_or(|last| !is(last.lead, rule.lead)) {
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

    /// A list of `{"msg":…,"details":…}` in JSON, one for each violation, of at most this many bytes: its text, were it
    /// the only one, with this behind it, and its JSON. The last one counts those that do not fit.
    #[cfg(feature = "opa")]
    pub(crate) fn to_results(self, settings: &Settings, most: usize, behind: &str) -> String {
        let mut results = own("[");
        let count = self.found.len();
        let mut alone = Self { found: Vec::new(), ..self };
        for (index, violation) in self.found.into_iter().enumerate() {
            alone.found.clear();
            alone.found.push(violation);
            let mut message = alone.text(Some(settings), most);
            put(&mut message, behind);
            let details = alone.to_json(Some(settings), most);
            let details = details.strip_prefix('[').and_then(|details| details.strip_suffix(']')).unwrap_or("{}");
            let mut result = String::new();
            put_result(&mut result, &message, details);
            put(&mut results, if index == 0 { "" } else { "," });
            if results.len() + result.len() > most {
                let mut more = String::new();
                put_number(&mut more, count - index);
                put(&mut more, " more violations");
                put_result(&mut results, &more, "{}");
                break;
            }
            put(&mut results, &result);
        }
        put(&mut results, "]");
        results
    }

    /// Every violation as compact JSON: `[{"control","reason","message","container","path","value","fix"}]`, of at most
    /// this many bytes: the last element is `{"more":7}` if seven do not fit. Paths start at the object. A message is
    /// what the text of the verdict would be in parentheses, were it the only violation. Of a long text, only the start
    /// is there, and a long value is the start of its JSON, as a string. What a program can mend has as last member
    /// `"edit":{"op","usual","value","path"}`, see [`Mend`].
    pub(crate) fn to_json(&self, settings: Option<&Settings>, most: usize) -> String {
        let mut json = own("[");
        for (index, violation) in self.found.iter().enumerate() {
            let (rule, place) = (violation.rule, &violation.place);
            put(&mut json, if index == 0 { "" } else { "," });
            let mut element = String::new();
            put_member(&mut element, "{\"control\":", rule.control);
            let group = Group { rule, found: core::slice::from_ref(violation), settings, by_lead: false };
            let mut reason = String::new();
            group.put(rule.reason, &mut reason);
            put_member(&mut element, ",\"reason\":", &reason);
            let mut message = String::new();
            group.put(rule.lead, &mut message);
            group.put(rule.detail, &mut message);
            put_member(&mut element, ",\"message\":", &message);
            match place.offender {
                Offender::Container { name, .. } => put_member(&mut element, ",\"container\":", name),
                _ => put(&mut element, ",\"container\":null"),
            }
            let mut path = String::new();
            place.put_path(violation.pod, false, &mut path);
            put_member(&mut element, ",\"path\":", &path);
            let value = place.value.map_or("null", Object::raw);
            if value.len() > LONGEST {
                put_member(&mut element, ",\"value\":", value);
            } else {
                put(&mut element, ",\"value\":");
                put(&mut element, value);
            }
            let mut fix = own(rule.fix);
            put(&mut fix, if place.hint.is_empty() { "" } else { "; " });
            put(&mut fix, place.hint);
            put_member(&mut element, ",\"fix\":", &fix);
            let mend = place.mend.unwrap_or(rule.mend);
            if !mend.json.is_empty() {
                if mend.of_pod {
                    path.clear();
                    place.put_path(violation.pod, true, &mut path);
                }
                put_member(&mut element, mend.json, &path);
                put(&mut element, "}");
            }
            put(&mut element, "}");
            if json.len() + element.len() + MORE > most {
                put(&mut json, "{\"more\":");
                put_number(&mut json, self.found.len() - index);
                put(&mut json, "}");
                break;
            }
            put(&mut json, &element);
        }
        put(&mut json, "]");
        json
    }
}

/// Appends one result of OPA.
#[cfg(feature = "opa")]
pub(crate) fn put_result(results: &mut String, message: &str, details: &str) {
    put(results, "{\"msg\":");
    crate::text::quote(message, results);
    put(results, ",\"details\":");
    put(results, details);
    put(results, "}");
}

#[inline(never)]
fn put_member(json: &mut String, before: &str, text: &str) {
    put(json, before);
    quote_start(text, LONGEST, json);
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

    fn violations(&self) -> impl Iterator<Item = &Violation<'v>> {
        self.found.iter().filter(|violation| self.has(violation.rule))
    }

    #[inline(never)]
    fn has(&self, rule: &Rule) -> bool {
        core::ptr::eq(rule, self.rule) || self.by_lead && !rule.lead.is_empty() && is(rule.lead, self.rule.lead)
    }

    /// Puts the values, if there is a message; returns whether there is just one.
    fn put_values(&self, what: &str, message: Option<&mut String>) -> bool {
        let mut values = Vec::new();
        for Violation { place, .. } in self.violations() {
            let key = if let Offender::Annotation(key) = place.offender { key } else { "" };
            push(&mut values, key, place.value_text());
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
        for &Violation { ref place, pod: at, .. } in self.violations() {
            match place.offender {
                Offender::Pod | Offender::Workload => pod = "pod",
                Offender::Container { role, index, name } => {
                    noun = "container";
                    // Of one container, all violations of a rule are next to each other.
                    let this = Some((core::ptr::from_ref(at), role, index));
                    if last != this {
                        push(&mut names, "", name);
                    }
                    last = this;
                }
                Offender::Volume(name) | Offender::Element(name) => {
                    noun = if let Offender::Volume(_) = place.offender { "volume" } else { "" };
                    push(&mut names, "", name);
                }
                Offender::Annotation(_) if annotation.is_empty() => annotation = "annotation",
                Offender::Annotation(_) => annotation = "annotations",
            }
        }
        let quotes = if noun.is_empty() { "" } else { "\"" };
        let mut list = Listing { message: None, quotes, separator: ", ", count: 0 };
        list.add_all(&mut names, is_sorted);
        let is_one = list.count == 1;
        if let Some(message) = message {
            put(message, pod);
            put(message, if pod.is_empty() || noun.is_empty() { "" } else { " and " });
            put(message, noun);
            if list.count != 0 {
                let plural = if is_one { " " } else { "s " };
                put(message, if noun.is_empty() { "" } else { plural });
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
        for &mut (key, word) in words {
            let is_again = last.is_some_and(|(last_key, last)| is(last_key, key) && is(last, word));
            if !is_sorted || !is_again {
                self.add(key, word);
            }
            last = Some((key, word));
        }
    }

    #[inline(never)]
    fn add(&mut self, key: &str, word: &str) {
        self.count += 1;
        let Some(message) = &mut self.message else { return };
        put(message, if self.count == 1 { "" } else { self.separator });
        put(message, self.quotes);
        if key.is_empty() {
            put_start(message, word, LONGEST);
        } else {
            put_start(message, key, LONGEST);
            put(message, "=");
            quote_start(word, LONGEST, message);
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
