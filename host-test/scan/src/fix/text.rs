//! Edits of a document as changes of its text, in the style of what stands around them.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::edit::{Edit, Op};
use super::{SHARED, WRONG};
use crate::sort::sorted;
use crate::yaml::{Bytes, Inside, Part, Step, Steps, Tree};

/// A part of a text, and what stands there afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// The part, in bytes.
    pub at: Bytes,
    /// What stands there afterwards.
    pub text: String,
}

/// Where a new key comes in an object in block style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Insertion {
    /// Behind the last one.
    AtEnd,
    /// Before the last one.
    BeforeLast,
}

/// The text with changes, which do not overlap and are in order.
pub(super) fn splice(text: &str, splices: &[Splice]) -> String {
    let mut spliced = String::with_capacity(text.len() + 64 * splices.len());
    let mut done = 0;
    for Splice { at, text: new } in splices {
        spliced.push_str(&text[done..at.start]);
        spliced.push_str(new);
        done = at.end;
    }
    spliced + &text[done..]
}

/// The changes that make edits of a document.
///
/// # Errors
/// Why one of the edits cannot be made.
pub(super) fn plan(
    text: &str,
    is_json: bool,
    tree: &Tree,
    edits: &[&Edit],
    insertion: Insertion,
) -> Result<Vec<Splice>, String> {
    let root = tree.part().ok_or("the document is empty")?;
    let mut want = Want::default();
    for edit in edits {
        want.put(edit);
    }
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut planner = Planner { text, is_json, insertion, newline, unit: 2, dash: 0, splices: Vec::new() };
    planner.measure(root);
    planner.part(root, &want, false)?;
    let mut splices = planner.splices;
    splices.retain(|splice| !splice.at.is_empty() || !splice.text.is_empty());
    // What is inserted at one place keeps its order, from the inside to the outside.
    let splices = sorted(splices, |a, b| (a.at.start, a.at.end).cmp(&(b.at.start, b.at.end)));
    let is_apart = splices.windows(2).all(|pair| pair[0].at.end <= pair[1].at.start);
    if is_apart { Ok(splices) } else { Err(WRONG.to_owned()) }
}

/// What is to be done with a part, and with what is in it.
#[derive(Default)]
struct Want<'e> {
    set: Option<&'e Value>,
    add: Vec<&'e Value>,
    is_removed: bool,
    inside: Vec<(Step<'e>, Want<'e>)>,
}

impl<'e> Want<'e> {
    fn put(&mut self, edit: &'e Edit) {
        let mut want = self;
        for step in Steps(&edit.path) {
            let known = want.inside.iter().position(|(known, _)| *known == step);
            let index = known.unwrap_or_else(|| {
                want.inside.push((step, Want::default()));
                want.inside.len() - 1
            });
            want = &mut want.inside[index].1;
        }
        match edit.op {
            Op::Set => want.set = Some(&edit.value),
            Op::Add if want.add.contains(&&edit.value) => {}
            Op::Add => want.add.push(&edit.value),
            Op::Remove => want.is_removed = true,
        }
    }

    fn of_key(&self, key: &str) -> Option<&Want<'e>> {
        self.inside.iter().find(|(step, _)| matches!(step, Step::Key(of) if of == key)).map(|(_, want)| want)
    }

    fn of_index(&self, index: usize) -> Option<&Want<'e>> {
        self.inside.iter().find(|(step, _)| *step == Step::Index(index)).map(|(_, want)| want)
    }

    /// What to insert where there is nothing.
    fn to_value(&self) -> Result<Value, String> {
        if self.is_removed {
            return Err("there is nothing to remove".to_owned());
        }
        if let Some(value) = self.set {
            return Ok(value.clone());
        }
        if !self.add.is_empty() {
            return Ok(Value::Array(self.add.iter().copied().cloned().collect()));
        }
        let mut members = Map::new();
        for (step, want) in &self.inside {
            let Step::Key(key) = step else { return Err("there is no such element".to_owned()) };
            members.insert(key.clone().into_owned(), want.to_value()?);
        }
        Ok(Value::Object(members))
    }

    /// Whether nothing is left of a part: it is removed, or it is a member with everything in it.
    fn leaves_nothing_of(&self, part: Part<'_>, is_member: bool) -> bool {
        if self.is_removed {
            return true;
        }
        let is_gone = |want: Option<&Want<'e>>, part, is_member| {
            want.is_some_and(|want: &Want<'e>| want.leaves_nothing_of(part, is_member))
        };
        is_member
            && part.alias().is_none()
            && self.add.is_empty()
            && match part.inside() {
                Inside::Scalar(_) => false,
                Inside::List(elements) => {
                    !elements.is_empty()
                        && elements.iter().enumerate().all(|(at, part)| is_gone(self.of_index(at), *part, false))
                }
                Inside::Map(members) => {
                    !members.is_empty()
                        && members.iter().all(|(key, part)| is_gone(self.of_key(key), *part, true))
                        && self.inside.len() == members.len()
                }
            }
    }
}

struct Planner<'t> {
    text: &'t str,
    is_json: bool,
    insertion: Insertion,
    newline: &'static str,
    /// How much deeper the members of an object are than its key.
    unit: usize,
    /// How much deeper the dashes of a list are than its key.
    dash: usize,
    splices: Vec<Splice>,
}

/// A member or an element, and whether nothing is left of it.
struct Item<'t> {
    /// With its key.
    at: Bytes,
    part: Part<'t>,
    is_gone: bool,
}

impl<'t> Planner<'t> {
    fn change(&mut self, at: Bytes, text: impl Into<String>) {
        self.splices.push(Splice { at, text: text.into() });
    }

    /// Takes the indentation from what is in the document, the outermost first.
    fn measure(&mut self, root: Part<'_>) {
        let (mut unit, mut dash) = (None, None);
        let mut level = vec![root];
        for _ in 0..DEEPEST_MEASURED {
            let mut next = Vec::new();
            for part in level.drain(..).filter(|part| !self.is_flow(*part) && part.alias().is_none()) {
                let column = part.key().and_then(|key| self.column(key.start).ok());
                match part.inside() {
                    Inside::Scalar(_) => {}
                    Inside::List(elements) => {
                        let first = elements.first().and_then(|first| self.dash_of(*first).ok());
                        let deeper = first.and_then(|at| self.column(at).ok()?.checked_sub(column?));
                        dash = dash.or(deeper);
                        next.extend(elements);
                    }
                    Inside::Map(members) => {
                        let first = members.first().and_then(|(_, first)| self.column(first.key()?.start).ok());
                        unit = unit.or(first.and_then(|first| first.checked_sub(column?)).filter(|deeper| *deeper > 0));
                        next.extend(members.into_iter().map(|(_, part)| part));
                    }
                }
            }
            level = next;
        }
        self.unit = unit.unwrap_or(self.unit);
        self.dash = dash.unwrap_or(self.dash);
    }

    fn is_flow(&self, part: Part<'_>) -> bool {
        let start = part.span().start;
        let text = &self.text[start..];
        self.is_json
            || match part.inside() {
                Inside::Scalar(_) => false,
                Inside::Map(_) => text.starts_with('{'),
                // A list whose dashes are not indented starts where its first element does, which may be in brackets.
                Inside::List(elements) => {
                    text.starts_with('[') && elements.first().is_none_or(|first| first.span().start != start)
                }
            }
    }

    /// Does what is wanted with a part of which something is left.
    fn part(&mut self, part: Part<'t>, want: &Want<'_>, in_flow: bool) -> Result<(), String> {
        if part.alias().is_some() {
            return Err(SHARED.to_owned());
        }
        match part.inside() {
            Inside::Map(members) if !members.is_empty() && want.set.is_none() && want.add.is_empty() => {
                self.map(part, &members, want)
            }
            Inside::List(elements) if !elements.is_empty() && want.set.is_none() => self.list(part, &elements, want),
            Inside::Scalar("null") => self.fill(part, &want.to_value()?, in_flow),
            Inside::Scalar(_) => match want.set {
                Some(value @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => self.replace(part, value),
                _ => Err("there is a scalar, and no object or list".to_owned()),
            },
            Inside::Map(members) if members.is_empty() => self.fill(part, &want.to_value()?, in_flow),
            Inside::List(elements) if elements.is_empty() => {
                let is_list = want.inside.is_empty() && want.set.is_none();
                if !is_list {
                    return Err("there is a list, and no object".to_owned());
                }
                self.fill(part, &want.to_value()?, in_flow)
            }
            _ => Err("an object cannot replace a list, nor a list an object".to_owned()),
        }
    }

    fn replace(&mut self, part: Part<'_>, value: &Value) -> Result<(), String> {
        let at = part.span().clone();
        let old = &self.text[at.clone()];
        if old.starts_with(['|', '>']) || old.is_empty() {
            return Err("there is a text on several lines".to_owned());
        }
        let is_quoted = self.is_json || old.starts_with(['"', '\'']);
        let new = scalar(value, is_quoted);
        self.change(at, new);
        Ok(())
    }

    /// Writes a value where there is none yet, or an empty one.
    fn fill(&mut self, part: Part<'_>, value: &Value, in_flow: bool) -> Result<(), String> {
        let key = part.key().ok_or("there is an empty element, and an object or a list is wanted")?;
        let colon = self.colon(key)?;
        let end = self.end_of(part)?;
        let between = &self.text[colon..end];
        if between.contains(['\n', '\r', '#']) {
            return Err("the empty value stands on another line than its key".to_owned());
        }
        let is_scalar = !value.is_object() && !value.is_array();
        if self.is_json || in_flow || is_scalar {
            let flow = flow(value, self.style(false));
            // A tag or an anchor stays.
            let start = if part.span().is_empty() { colon } else { part.span().start };
            self.change(start..end, if start == colon { format!(" {flow}") } else { flow });
            return Ok(());
        }
        let mut lines = Vec::new();
        let column = self.column(key.start)?;
        self.block(value, column, &mut lines);
        let line_end = self.line_end(end)?;
        let start = if part.span().is_empty() { end } else { part.span().start };
        let start = colon + self.text[colon..start].trim_end().len();
        self.change(start..end, "");
        let inserted = self.lines(&lines);
        self.change(line_end..line_end, inserted);
        Ok(())
    }

    fn map(&mut self, part: Part<'t>, members: &[(&'t str, Part<'t>)], want: &Want<'_>) -> Result<(), String> {
        if members.iter().any(|(_, member)| self.is_merged(*member)) {
            return Err(SHARED.to_owned());
        }
        let is_flow = self.is_flow(part);
        let mut items = Vec::with_capacity(members.len());
        for (key, member) in members {
            let wanted = want.of_key(key);
            let is_gone = wanted.is_some_and(|want| want.leaves_nothing_of(*member, true));
            if let (Some(wanted), false) = (wanted, is_gone) {
                self.part(*member, wanted, is_flow)?;
            }
            let start = member.key().ok_or(WRONG)?.start;
            items.push(Item { at: start..self.end_of(*member)?, part: *member, is_gone });
        }
        let mut new = Vec::new();
        for (step, want) in &want.inside {
            let Step::Key(key) = step else { return Err("there is an object, and no list".to_owned()) };
            if !members.iter().any(|(known, _)| known == key) {
                new.push((key.as_ref(), want.to_value()?));
            }
        }
        if is_flow {
            self.remove_from_flow(&items);
            let (first, _) = self.texts_of(items[0].part)?;
            let quote = first.chars().next().filter(|first| matches!(first, '"' | '\''));
            let is_compact = self.text[self.colon(items[0].part.key().ok_or(WRONG)?)?..]
                .starts_with(|next: char| !next.is_whitespace());
            let new: Vec<_> = new.into_iter().map(|(key, value)| (Some(quoted(key, quote)), value)).collect();
            return self.insert_into_flow(part, &items, &new, is_compact);
        }
        if items.iter().all(|item| item.is_gone) {
            if !new.is_empty() {
                return Err("each member is removed, and others are wanted".to_owned());
            }
            let at = items[0].at.start..items.last().map_or(0, |last| last.at.end);
            self.change(at, "{}");
            return Ok(());
        }
        self.remove_from_block(&items)?;
        self.insert_into_block(&items, &new)
    }

    fn list(&mut self, part: Part<'t>, elements: &[Part<'t>], want: &Want<'_>) -> Result<(), String> {
        let is_flow = self.is_flow(part);
        let mut items = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let wanted = want.of_index(index);
            let is_gone = wanted.is_some_and(|want| want.leaves_nothing_of(*element, false));
            if let (Some(wanted), false) = (wanted, is_gone) {
                self.part(*element, wanted, is_flow)?;
            }
            let start = element.alias().unwrap_or(element.span()).start;
            let start = if is_flow { start } else { self.dash_of(*element)? };
            items.push(Item { at: start..self.end_of(*element)?, part: *element, is_gone });
        }
        if want.inside.iter().any(|(step, _)| !matches!(step, Step::Index(index) if *index < elements.len())) {
            return Err("there is a list, and no such element".to_owned());
        }
        let is_there = |value: &Value| elements.iter().any(|element| is_scalar(*element, value));
        let new: Vec<Value> = want.add.iter().filter(|value| !is_there(value)).map(|value| (*value).clone()).collect();
        if is_flow {
            self.remove_from_flow(&items);
            let new: Vec<_> = new.into_iter().map(|value| (None, value)).collect();
            let is_compact = items.len() > 1 && !self.text[items[0].at.end..items[1].at.start].contains(' ');
            return self.insert_into_flow(part, &items, &new, is_compact);
        }
        self.remove_from_block(&items)?;
        if new.is_empty() {
            return Ok(());
        }
        let column = self.column(items[0].at.start)?;
        let lines: Vec<String> =
            new.iter().map(|value| format!("{:column$}- {}", "", flow(value, Style::PLAIN))).collect();
        let end = self.line_end(items.last().map_or(0, |last| last.at.end))?;
        let inserted = self.lines(&lines);
        self.change(end..end, inserted);
        Ok(())
    }

    /// Removes whole lines, but for comments at their ends.
    fn remove_from_block(&mut self, items: &[Item<'_>]) -> Result<(), String> {
        for (index, Item { at, .. }) in items.iter().enumerate().filter(|(_, item)| item.is_gone) {
            let line_end = self.line_end(at.end)?;
            let before = self.before(at.start);
            if !before.trim_start_matches(' ').is_empty() {
                // The first member of an element, behind its dash.
                let next = items.get(index + 1).filter(|next| !next.is_gone).ok_or(ALONE)?;
                self.change(at.start..next.at.start, "");
                continue;
            }
            let behind = &self.text[at.end..line_end];
            if behind.trim_start().starts_with('#') {
                self.change(at.start..line_end - behind.trim_start().len(), "");
                continue;
            }
            let start = at.start - before.len();
            match self.text[..start].strip_suffix('\n') {
                Some(before) => {
                    let start = before.strip_suffix('\r').unwrap_or(before).len();
                    self.change(start..line_end, "");
                }
                None => {
                    let newline = self.text[line_end..].find('\n').map_or(self.text.len(), |at| line_end + at + 1);
                    self.change(start..newline, "");
                }
            }
        }
        Ok(())
    }

    fn insert_into_block(&mut self, items: &[Item<'_>], new: &[(&str, Value)]) -> Result<(), String> {
        let ([first, ..], [.., last]) = (items, items) else { return Err(WRONG.to_owned()) };
        if new.is_empty() {
            return Ok(());
        }
        let column = self.column(first.at.start)?;
        let (key, _) = self.texts_of(first.part)?;
        let quote = key.chars().next().filter(|first| matches!(first, '"' | '\''));
        let mut lines = Vec::new();
        for (key, value) in new {
            self.member(&quoted(key, quote), value, column, &mut lines);
        }
        if self.insertion == Insertion::AtEnd {
            let end = self.line_end(last.at.end)?;
            let inserted = self.lines(&lines);
            self.change(end..end, inserted);
        } else {
            let newline = self.newline;
            let inserted: String =
                lines.iter().map(|line| format!("{}{newline}{:column$}", line.trim_start(), "")).collect();
            let is_plain = lines.len() == new.len() && !last.is_gone;
            if !is_plain {
                return Err(WRONG.to_owned());
            }
            self.change(last.at.start..last.at.start, inserted);
        }
        Ok(())
    }

    /// Removes members or elements with one of the commas beside them.
    fn remove_from_flow(&mut self, items: &[Item<'_>]) {
        let mut index = 0;
        while index < items.len() {
            let behind = items[index..].iter().position(|item| !item.is_gone).map_or(items.len(), |next| index + next);
            if behind > index {
                let at = match (index.checked_sub(1), items.get(behind)) {
                    (Some(before), _) => items[before].at.end..items[behind - 1].at.end,
                    (None, Some(next)) => items[index].at.start..next.at.start,
                    (None, None) => items[index].at.start..items[behind - 1].at.end,
                };
                self.change(at, "");
            }
            index = behind + 1;
        }
    }

    /// Inserts members (key and value) or elements before the bracket.
    fn insert_into_flow(
        &mut self,
        part: Part<'_>,
        items: &[Item<'_>],
        new: &[(Option<Cow<'_, str>>, Value)],
        is_compact: bool,
    ) -> Result<(), String> {
        let ([first, ..], [.., last]) = (items, items) else { return Err(WRONG.to_owned()) };
        if new.is_empty() {
            return Ok(());
        }
        let end = last.at.end;
        let close = self.end_of(part)?.checked_sub(1).filter(|close| *close >= end).ok_or(WRONG)?;
        let before = self.before(first.at.start);
        let is_alone = before.trim_start_matches([' ', '\t']).is_empty();
        let is_any_left = items.iter().any(|item| !item.is_gone);
        let style = self.style(is_compact);
        let (separator, colon) = style.signs();
        if is_alone && self.text[end..close].contains('\n') {
            let outer = self.before(close).len();
            let unit = before.get(outer..).unwrap_or("  ");
            let member = |(key, value): &(Option<Cow<'_, str>>, Value)| {
                let value = match self.is_json {
                    true => pretty(value, before, unit, colon).replace('\n', self.newline),
                    false => flow(value, Style { quotes_texts: true, ..style }),
                };
                match key {
                    Some(key) => format!("{key}{colon}{value}"),
                    None => value,
                }
            };
            let apart = format!(",{}{before}", self.newline);
            let members = new.iter().map(member).collect::<Vec<_>>().join(&apart);
            let gap = self.text[end..close].len() - self.text[end..close].trim_start_matches([' ', '\t']).len();
            let comma = self.text[end + gap..].starts_with(',');
            let behind = if comma { end + gap + 1 } else { end };
            let line_end = self.line_end(behind)?;
            if !comma && is_any_left {
                self.change(end..end, ",");
            }
            let text = format!("{}{before}{members}{}", self.newline, if comma { "," } else { "" });
            self.change(line_end..line_end, text);
            return Ok(());
        }
        let members: Vec<String> = new
            .iter()
            .map(|(key, value)| {
                let value = flow(value, style);
                key.as_ref().map_or_else(|| value.clone(), |key| format!("{key}{colon}{value}"))
            })
            .collect();
        let text = format!("{}{}", if is_any_left { separator } else { "" }, members.join(separator));
        self.change(end..end, text);
        Ok(())
    }

    /// Writes a member in block style, into lines with their indentation.
    fn member(&self, key: &str, value: &Value, column: usize, lines: &mut Vec<String>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                lines.push(format!("{:column$}{key}:", ""));
                self.block(value, column, lines);
            }
            Value::Array(elements) if !elements.is_empty() => {
                lines.push(format!("{:column$}{key}:", ""));
                self.block(value, column, lines);
            }
            _ => lines.push(format!("{:column$}{key}: {}", "", flow(value, Style::PLAIN))),
        }
    }

    /// Writes what is in an object or a list whose key is in a column.
    fn block(&self, value: &Value, column: usize, lines: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    self.member(&quoted(key, None), value, column + self.unit, lines);
                }
            }
            Value::Array(elements) => {
                let column = column + self.dash;
                lines.extend(elements.iter().map(|of| format!("{:column$}- {}", "", flow(of, Style::PLAIN))));
            }
            _ => {}
        }
    }

    /// Lines to be inserted at the end of another one.
    fn lines(&self, lines: &[String]) -> String {
        lines.iter().flat_map(|line| [self.newline, line]).collect()
    }

    /// Without a blank behind the colon, only a key in quotes is one.
    fn style(&self, is_compact: bool) -> Style {
        let is_quoted = self.is_json || is_compact;
        Style { is_compact, quotes_keys: is_quoted, quotes_texts: is_quoted }
    }

    /// Whether a member came by a merge key.
    fn is_merged(&self, member: Part<'_>) -> bool {
        member.alias().is_some_and(|alias| !self.text[alias.clone()].starts_with('*'))
    }

    /// The texts of a key and of its value.
    fn texts_of(&self, part: Part<'_>) -> Result<(&'t str, &'t str), String> {
        let key = part.key().ok_or(WRONG)?;
        Ok((&self.text[key.clone()], &self.text[part.span().clone()]))
    }

    /// Behind the colon of a key.
    fn colon(&self, key: &Bytes) -> Result<usize, String> {
        let behind = &self.text[key.end..];
        let blanks = behind.len() - behind.trim_start_matches([' ', '\t']).len();
        if behind[blanks..].starts_with(':') { Ok(key.end + blanks + 1) } else { Err(WRONG.to_owned()) }
    }

    /// Behind the last character of a part.
    fn end_of(&self, part: Part<'_>) -> Result<usize, String> {
        if let Some(alias) = part.alias() {
            return Ok(alias.end);
        }
        let span = part.span();
        let last = match part.inside() {
            Inside::Scalar(_) if span.is_empty() => {
                return part.key().map_or(Ok(span.start), |key| self.colon(key));
            }
            Inside::Scalar(_) => return Ok(span.start + self.text[span.clone()].trim_end().len()),
            _ if self.is_flow(part) => return self.flow_end(part),
            Inside::List(elements) => elements.last().copied(),
            Inside::Map(members) => members.last().map(|(_, last)| *last),
        };
        let last = last.ok_or(WRONG)?;
        if self.is_merged(last) {
            return Err(SHARED.to_owned());
        }
        self.end_of(last)
    }

    /// Behind the bracket of a part in flow style. With a comma before the bracket, the parser ends the part where the
    /// next line begins.
    fn flow_end(&self, part: Part<'_>) -> Result<usize, String> {
        let last = match part.inside() {
            Inside::Scalar(_) => None,
            Inside::List(elements) => elements.last().copied(),
            Inside::Map(members) => members.last().map(|(_, last)| *last),
        };
        let mut at = match last {
            Some(last) if self.is_merged(last) => return Err(SHARED.to_owned()),
            Some(last) => self.end_of(last)?,
            None => part.span().start + 1,
        };
        loop {
            let rest = self.text[at..].trim_start();
            at = self.text.len() - rest.len();
            match rest.bytes().next() {
                Some(b'}' | b']') => return Ok(at + 1),
                Some(b',') => at += 1,
                Some(b'#') => at += rest.find('\n').unwrap_or(rest.len()),
                _ => return Err(WRONG.to_owned()),
            }
        }
    }

    /// The end of a line on which nothing but a comment comes any more.
    fn line_end(&self, at: usize) -> Result<usize, String> {
        let line = self.text[at..].split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let rest = line.trim_start();
        if rest.is_empty() || rest.starts_with('#') {
            Ok(at + line.len())
        } else {
            Err("something else stands on the same line".to_owned())
        }
    }

    /// What stands before a place on its line.
    fn before(&self, at: usize) -> &'t str {
        let line = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        &self.text[line..at]
    }

    /// The column of a key or a dash, before which there are only blanks and dashes.
    fn column(&self, at: usize) -> Result<usize, String> {
        let before = self.before(at);
        if before.bytes().all(|byte| byte == b' ' || byte == b'-') {
            Ok(before.len())
        } else if before.contains('\t') {
            Err("the line is indented with tabs".to_owned())
        } else {
            Err("something else stands before it on the same line".to_owned())
        }
    }

    /// The dash of an element in block style.
    fn dash_of(&self, element: Part<'_>) -> Result<usize, String> {
        let start = element.alias().unwrap_or(element.span()).start;
        let before = self.before(start).trim_end_matches(' ');
        match before.strip_suffix('-') {
            Some(indentation) => Ok(start - self.before(start).len() + indentation.len()),
            None => {
                let line = self.text[..start].matches('\n').count() + 1;
                Err(format!("line {line}: an element of the list begins below its `-`"))
            }
        }
    }
}

/// So many levels are looked at for the indentation.
const DEEPEST_MEASURED: usize = 8;

const ALONE: &str = "nothing else is in the element of the list";

/// Whether an element is a scalar with a value.
fn is_scalar(element: Part<'_>, value: &Value) -> bool {
    matches!(element.inside(), Inside::Scalar(json) if serde_json::from_str(json).ok().as_ref() == Some(value))
}

/// A key with quotes, if those beside it have some.
fn quoted(key: &str, quote: Option<char>) -> Cow<'_, str> {
    match quote {
        Some(_) => Value::from(key).to_string().into(),
        None if is_plain(key) => key.into(),
        None => Value::from(key).to_string().into(),
    }
}

/// Whether a text needs no quotes: a name that no version of YAML takes for something else.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "yes", "n", "no", "on", "off", "true", "false", "null"];
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn scalar(value: &Value, is_quoted: bool) -> String {
    match value {
        Value::String(text) if !is_quoted && is_plain(text) => text.clone(),
        value => value.to_string(),
    }
}

/// How a value is written on one line.
#[derive(Clone, Copy)]
struct Style {
    /// Without blanks.
    is_compact: bool,
    quotes_keys: bool,
    quotes_texts: bool,
}

impl Style {
    const PLAIN: Style = Style { is_compact: false, quotes_keys: false, quotes_texts: false };

    /// What is between members, and behind keys.
    fn signs(self) -> (&'static str, &'static str) {
        if self.is_compact { (",", ":") } else { (", ", ": ") }
    }
}

/// A value on one line.
fn flow(value: &Value, style: Style) -> String {
    let (separator, colon) = style.signs();
    match value {
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(|of| flow(of, style)).collect();
            format!("[{}]", elements.join(separator))
        }
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| {
                format!("{}{colon}{}", quoted(key, style.quotes_keys.then_some('"')), flow(value, style))
            };
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(separator))
        }
        value => scalar(value, style.quotes_texts),
    }
}

/// A value as JSON over several lines.
fn pretty(value: &Value, indentation: &str, unit: &str, colon: &str) -> String {
    let inner = format!("{indentation}{unit}");
    let (open, lines, close): (_, Vec<String>, _) = match value {
        Value::Array(elements) if !elements.is_empty() => {
            ('[', elements.iter().map(|of| pretty(of, &inner, unit, colon)).collect(), ']')
        }
        Value::Object(members) if !members.is_empty() => {
            let member = |(key, value): (&String, &Value)| {
                format!("{}{colon}{}", Value::from(key.as_str()), pretty(value, &inner, unit, colon))
            };
            ('{', members.iter().map(member).collect(), '}')
        }
        value => return value.to_string(),
    };
    format!("{open}\n{inner}{}\n{indentation}{close}", lines.join(&format!(",\n{inner}")))
}
