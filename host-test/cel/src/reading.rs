//! Which parts of the object an expression reads, and which of them decides that it is not true: for the place of a
//! finding.

use std::fmt;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::environment::Environment;
use crate::macros::RESULT;
use crate::tree;

/// How many parts of an expression are kept at most, and how many steps of one: a text can name any number.
const MOST: usize = 64;

/// A step from a value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A field, or the value of a key.
    Field(String),
    /// An element that the text numbers.
    Index(usize),
    /// An element that a loop binds.
    Each {
        /// The node of the loop. None for an element of a list that was filtered or made: it has another number there.
        of: Option<u64>,
        /// The lists that stand before this one where lists are added.
        behind: Vec<Vec<Step>>,
    },
}

/// What an expression reads of `object`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// The parts.
    pub parts: Vec<Vec<Step>>,
    /// Those that the expression may evaluate to.
    result: Vec<Part>,
    /// The loops that bind elements of them, those around others first: the node, and whether one element that fails is
    /// enough for the loop to fail.
    pub loops: Vec<(u64, bool)>,
}

/// A part of the object that a node may evaluate to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    path: Vec<Step>,
    /// Whether the node is a list that holds such parts.
    is_element: bool,
    behind: Vec<Vec<Step>>,
}

impl Part {
    fn new(path: Vec<Step>) -> Part {
        Part { path, is_element: false, behind: Vec::new() }
    }

    fn then(&self, step: Step) -> Part {
        let mut path = self.path.clone();
        if !self.is_element && path.len() < MOST {
            path.push(step);
        }
        Part::new(path)
    }

    /// The part in another expression, whose loops are others.
    fn of_variable(mut self) -> Part {
        forget_loops(&mut self.path);
        self.behind.iter_mut().for_each(|path| forget_loops(path));
        self
    }
}

fn forget_loops(path: &mut [Step]) {
    for step in path {
        if let Step::Each { of, behind } = step {
            *of = None;
            behind.clear();
        }
    }
}

/// What an expression reads, as it was parsed.
pub(crate) fn of(expression: &IdedExpr, environment: &Environment) -> Reading {
    let mut reader = Reader { environment, scopes: Vec::new(), reading: Reading::default() };
    let result = reader.visit(expression);
    Reading { result, ..reader.reading }
}

struct Reader<'e> {
    environment: &'e Environment,
    scopes: Vec<(String, Vec<Part>)>,
    reading: Reading,
}

impl Reader<'_> {
    /// The parts that a node may evaluate to.
    fn visit(&mut self, node: &IdedExpr) -> Vec<Part> {
        match &node.expr {
            Expr::Ident(name) => match self.scopes.iter().rev().find(|(known, _)| known == name) {
                Some((_, parts)) => parts.clone(),
                None if name == "object" => vec![Part::new(Vec::new())],
                None => Vec::new(),
            },
            Expr::Select(select) => self.field(&select.operand, &select.field),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(found) => self.comprehension(node.id, found),
            _ => {
                tree::children(node).into_iter().for_each(|child| drop(self.visit(child)));
                Vec::new()
            }
        }
    }

    fn read(&mut self, parts: Vec<Part>) -> Vec<Part> {
        for part in &parts {
            if self.reading.parts.len() < MOST && !self.reading.parts.contains(&part.path) {
                self.reading.parts.push(part.path.clone());
            }
        }
        parts
    }

    fn field(&mut self, operand: &IdedExpr, field: &str) -> Vec<Part> {
        let is_variables = matches!(&operand.expr, Expr::Ident(name) if name == "variables"
            && !self.scopes.iter().any(|(known, _)| known == name));
        if is_variables {
            return self.variable(field);
        }
        let parts = self.visit(operand);
        let parts = parts.iter().map(|part| part.then(Step::Field(field.to_owned()))).collect();
        self.read(parts)
    }

    fn variable(&mut self, name: &str) -> Vec<Part> {
        let Some((_, expression)) = self.environment.variables().iter().rev().find(|(known, _)| known == name) else {
            return Vec::new();
        };
        let reading = expression.reading();
        let others = reading.parts.iter().map(|path| Part::new(path.clone()).of_variable()).collect();
        self.read(others);
        reading.result.iter().cloned().map(Part::of_variable).collect()
    }

    fn call(&mut self, call: &CallExpr) -> Vec<Part> {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (operators::OPT_SELECT, [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(field)), .. }]) => {
                self.field(operand, field.inner())
            }
            (operators::INDEX | operators::OPT_INDEX, [operand, index]) => self.index(operand, index),
            (operators::CONDITIONAL, [condition, one, other]) => {
                self.visit(condition);
                together([self.visit(one), self.visit(other)])
            }
            (operators::ADD, [first, second]) => {
                let (first, mut second) = (self.visit(first), self.visit(second));
                for part in &mut second {
                    part.is_element |= first.is_empty() || first.len() + part.behind.len() > MOST;
                    if !part.is_element {
                        part.behind.splice(0..0, first.iter().map(|part| part.path.clone()));
                    }
                }
                together([first, second])
            }
            _ => {
                let target = call.target.as_deref().map(|target| self.visit(target)).unwrap_or_default();
                let arguments: Vec<Vec<Part>> = call.args.iter().map(|argument| self.visit(argument)).collect();
                match name {
                    "or" | "orValue" => together(std::iter::once(target).chain(arguments)),
                    "value" => target,
                    "dyn" | "optional.of" => together(arguments),
                    _ => Vec::new(),
                }
            }
        }
    }

    fn index(&mut self, operand: &IdedExpr, index: &IdedExpr) -> Vec<Part> {
        let step = match &index.expr {
            Expr::Literal(LiteralValue::String(key)) => Some(Step::Field(key.inner().to_owned())),
            Expr::Literal(LiteralValue::Int(index)) => usize::try_from(*index.inner()).ok().map(Step::Index),
            _ => None,
        };
        self.visit(index);
        let parts = self.visit(operand);
        let Some(step) = step else { return Vec::new() };
        let parts = parts.iter().filter(|part| part.behind.is_empty()).map(|part| part.then(step.clone())).collect();
        self.read(parts)
    }

    fn comprehension(&mut self, node: u64, found: &ComprehensionExpr) -> Vec<Part> {
        let range = self.visit(&found.iter_range);
        let each = |part: &Part| part.then(Step::Each { of: Some(node), behind: part.behind.clone() });
        let elements: Vec<Part> = range.iter().map(each).collect();
        let outside = self.scopes.len();
        let first = match &found.iter_var2 {
            Some(second) => {
                self.scopes.push((second.clone(), elements));
                Vec::new()
            }
            None => elements,
        };
        self.scopes.push((found.iter_var.clone(), first));
        if range.iter().any(|part| !part.is_element) && self.reading.loops.len() < MOST {
            let is_all = matches!(&found.loop_step.expr, Expr::Call(call) if call.func_name == operators::LOGICAL_AND);
            self.reading.loops.push((node, is_all));
        }
        let kept = self.step(&found.loop_step);
        self.scopes.truncate(outside);
        kept.into_iter().map(|part| Part { is_element: true, ..part.of_variable() }).collect()
    }

    /// What a loop puts into its list: `@result + [x]`, under a condition or not.
    fn step(&mut self, step: &IdedExpr) -> Vec<Part> {
        match &step.expr {
            Expr::Call(call) if call.func_name == operators::CONDITIONAL => {
                let parts: Vec<Vec<Part>> = call.args.iter().map(|part| self.step(part)).collect();
                together(parts)
            }
            Expr::Call(call) if call.func_name == operators::ADD => match call.args.as_slice() {
                [IdedExpr { expr: Expr::Ident(name), .. }, IdedExpr { expr: Expr::List(list), .. }]
                    if name == RESULT =>
                {
                    together(list.elements.iter().map(|element| self.visit(element)).collect::<Vec<_>>())
                }
                _ => self.visit(step),
            },
            _ => {
                self.visit(step);
                Vec::new()
            }
        }
    }
}

fn together(parts: impl IntoIterator<Item = Vec<Part>>) -> Vec<Part> {
    let mut all: Vec<Part> = Vec::new();
    for part in parts.into_iter().flatten() {
        if all.len() < MOST && !all.contains(&part) {
            all.push(part);
        }
    }
    all
}

/// Which element a loop is at.
pub(crate) type At = (u64, usize);

/// An object as it is written.
#[derive(Debug, Clone, Copy)]
pub enum Written<'a> {
    /// As a value.
    Value(&'a Value),
    /// As JSON.
    Text(&'a str),
}

impl<'a> From<&'a Value> for Written<'a> {
    fn from(value: &'a Value) -> Self {
        Written::Value(value)
    }
}

impl Reading {
    /// What places need of an object that is text. `null` if it cannot be read.
    pub fn read(&self, text: &str) -> Value {
        let lists = self.parts.iter().flatten().filter_map(|step| match step {
            Step::Each { behind, .. } => Some(behind),
            _ => None,
        });
        let parts = self.parts.iter().chain(lists.flatten()).map(Vec::as_slice).collect();
        Parts(parts).deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap_or_default()
    }

    /// The longest part that an object has, in the elements that the loops are at.
    pub fn place(&self, object: &Value, at: &[At]) -> Place {
        let (mut best, mut most) = (None, (0, 0));
        for part in &self.parts {
            match follow(part, object, at, |_| {}) {
                Some(found) if found > most => (best, most) = (Some(part), found),
                _ => {}
            }
        }
        best.map(|part| place(part, object, at)).unwrap_or_default()
    }
}

/// Reads the parts of a value to which these paths lead, and the names of elements. Lists keep their lengths.
struct Parts<'p>(Vec<&'p [Step]>);

impl<'p> Parts<'p> {
    /// Where the paths lead whose first step is a wanted one.
    fn after(&self, is_wanted: impl Fn(&Step) -> bool) -> Vec<&'p [Step]> {
        let rest = |path: &&'p [Step]| path.split_first().filter(|(step, _)| is_wanted(step)).map(|(_, rest)| rest);
        self.0.iter().filter_map(rest).collect()
    }
}

impl<'de> DeserializeSeed<'de> for Parts<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Parts<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        loop {
            let parts = self.after(|step| match step {
                Step::Field(_) => false,
                Step::Index(index) => *index == elements.len(),
                Step::Each { .. } => true,
            });
            let element = match parts.is_empty() {
                true => source.next_element::<IgnoredAny>()?.map(|_| Value::Null),
                false => source.next_element_seed(Parts(parts))?,
            };
            match element {
                Some(element) => elements.push(element),
                None => return Ok(Value::Array(elements)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(member) = source.next_key_seed(Member(&self))? {
            match member {
                Some((name, parts)) => drop(members.insert(name, source.next_value_seed(parts)?)),
                None => drop(source.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(members))
    }
}

/// Reads the name of a member, with what is wanted of it; `None` if nothing is.
struct Member<'m, 'p>(&'m Parts<'p>);

impl<'de, 'p> DeserializeSeed<'de> for Member<'_, 'p> {
    type Value = Option<(String, Parts<'p>)>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Member<'_, 'p> {
    type Value = Option<(String, Parts<'p>)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let parts = self.0.after(|step| matches!(step, Step::Field(field) if field == name));
        let is_wanted = !parts.is_empty() || name == "name";
        Ok(is_wanted.then(|| (name.to_owned(), Parts(parts))))
    }
}

/// A part of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// As policies write it: `spec.containers[0].image`. Empty for the object as a whole.
    pub path: String,
    /// What stands there, if it is text, a number or a boolean; else null.
    pub value: Value,
    /// The name of the container that it is in.
    pub container: Option<String>,
}

/// How many steps of a path an object has, after how many of them are elements that a loop is at.
type Found = (usize, usize);

/// A step that an object has, and the value that it leads to.
struct Taken<'a> {
    to: To<'a>,
    value: &'a Value,
}

enum To<'a> {
    Field(&'a str),
    Element(usize),
}

/// Follows a path as far as the object has it. None if it leads to another element than the one that a loop is at.
fn follow<'a>(path: &'a [Step], object: &'a Value, at: &[At], mut take: impl FnMut(Taken<'a>)) -> Option<Found> {
    let (mut value, mut loops, mut length) = (object, 0, 0);
    for step in path {
        let (to, next) = match (step, value) {
            (Step::Field(name), Value::Object(members)) => (To::Field(name), members.get(name)),
            (Step::Index(index), Value::Array(elements)) => (To::Element(*index), elements.get(*index)),
            (Step::Each { of, behind }, Value::Array(elements)) => {
                match at.iter().find(|(node, _)| Some(*node) == *of) {
                    Some((_, index)) => {
                        let before = behind.iter().map(|list| elements_of(list, object)).sum();
                        let index = index.checked_sub(before).filter(|index| *index < elements.len())?;
                        loops += 1;
                        (To::Element(index), elements.get(index))
                    }
                    None => (To::Element(0), elements.first().filter(|_| elements.len() == 1)),
                }
            }
            _ => break,
        };
        let Some(next) = next else { break };
        take(Taken { to, value: next });
        length += 1;
        value = next;
    }
    Some((loops, length))
}

/// The part of the object that a path leads to.
fn place(path: &[Step], object: &Value, at: &[At]) -> Place {
    let (mut place, mut last) = (Place::default(), None);
    follow(path, object, at, |Taken { to, value }| {
        match to {
            To::Element(index) => {
                if place.path.ends_with("ontainers") {
                    place.container = value["name"].as_str().map(str::to_owned);
                }
                place.path.push_str(&format!("[{index}]"));
            }
            To::Field(name) => push_field(&mut place.path, name),
        }
        last = Some(value);
    });
    place.value = last.filter(|value| !value.is_object() && !value.is_array()).cloned().unwrap_or_default();
    place
}

/// How many elements a list of the object has.
fn elements_of(path: &[Step], object: &Value) -> usize {
    let list = path.iter().try_fold(object, |value, step| match step {
        Step::Field(name) => value.get(name),
        Step::Index(index) => value.get(index),
        Step::Each { .. } => None,
    });
    list.and_then(Value::as_array).map_or(0, Vec::len)
}

/// Adds a key as policies write it: in quotes where it is not a simple name.
fn push_field(path: &mut String, name: &str) {
    let is_simple = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if name.is_empty() || !name.chars().all(is_simple) {
        path.push_str(&format!("[{}]", Value::from(name)));
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}
