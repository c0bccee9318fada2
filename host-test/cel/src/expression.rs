//! One expression: compiled, then evaluated for many inputs.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cel::common::ast::{Expr, IdedExpr, SourceInfo, operators};
use cel::common::types::{CelBool, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, ExecutionError, Value};

use crate::budget::{self, Patterns, spend, weight};
use crate::check::{self, Finding, Reads};
use crate::constants;
use crate::environment::Environment;
use crate::error::{CompileError, EvaluationError, Problem};
use crate::inputs::Inputs;
use crate::library::ENVIRONMENT;
use crate::limits::{BUDGET, DEPTH, ELEMENTS, SHALLOW, TEXT};
use crate::reading::{self, At, Place, Reading, Written};
use crate::rewrite::rewrite;
use crate::stack;
use crate::tree;
use crate::types::Type;
use crate::values;

/// A compiled expression. Copies share what was compiled.
#[derive(Debug, Clone)]
pub struct Expression(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    tree: IdedExpr,
    result: Type,
    reads: Reads,
    /// The parts of the object that it reads.
    reading: Reading,
    /// The regular expressions in it, and in its variables.
    patterns: Patterns,
    /// Whether it can be evaluated on the stack of any thread, with its variables.
    is_shallow: bool,
    /// The variables that the expression reads, and those that these read, in the order of their declaration.
    variables: Vec<(String, Expression)>,
}

/// What an expression evaluated to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A boolean.
    Bool(bool),
    /// Text.
    String(String),
    /// Something else, as text: JSON where there is JSON for it.
    Other(String),
}

/// What the evaluations of several expressions may cost together.
#[derive(Debug)]
pub struct Budget(u64);

impl Budget {
    /// That of a policy's binding: ten times as much as an expression may cost, as in the API server.
    pub fn of_binding() -> Budget {
        Budget(10 * BUDGET)
    }

    /// Lends as much as one expression may cost, and takes back what is left of it.
    fn lend<T>(&mut self, work: impl FnOnce(&mut u64) -> T) -> T {
        let lent = self.0.min(BUDGET);
        let mut left = lent;
        let result = work(&mut left);
        self.0 -= lent - left;
        result
    }
}

impl Expression {
    /// Checks an expression as the API server does when a document is created, and prepares it.
    ///
    /// # Errors
    /// The API server refuses the expression, or it uses what cannot be evaluated here.
    pub fn compile(text: &str, environment: &Environment) -> Result<Expression, CompileError> {
        let characters = text.chars().count();
        if characters > TEXT {
            return Err(CompileError { line: 1, column: 1, problem: Problem::TooLong { found: characters } });
        }
        let compiled = stack::with_room(|| compile(text, environment));
        compiled.unwrap_or_else(|problem| Err(CompileError { line: 1, column: 1, problem: Problem::Thread(problem) }))
    }

    /// The type of the result.
    pub(crate) fn result(&self) -> &Type {
        &self.0.result
    }

    /// Whether the expression, or a variable that it names, reads `request.userInfo`.
    pub fn reads_user_info(&self) -> bool {
        self.0.reads.user_info || self.0.variables.iter().any(|(_, variable)| variable.0.reads.user_info)
    }

    /// Whether the expression, or a variable that it names, reads `namespaceObject`, which is `null` in
    /// `matchConditions`.
    pub fn reads_namespace(&self) -> bool {
        self.0.reads.namespace || self.0.variables.iter().any(|(_, variable)| variable.0.reads.namespace)
    }

    /// Evaluates the expression.
    ///
    /// # Errors
    /// It has no value for these inputs, or costs too much.
    pub fn evaluate(&self, inputs: &Inputs) -> Result<Answer, EvaluationError> {
        self.evaluate_within(inputs, &mut Budget(BUDGET))
    }

    /// Evaluates the expression with what is left of a budget that several share.
    ///
    /// # Errors
    /// It has no value for these inputs, or costs too much.
    pub fn evaluate_within(&self, inputs: &Inputs, budget: &mut Budget) -> Result<Answer, EvaluationError> {
        let evaluate = || budget.lend(|left| self.evaluate_here(inputs, left, &[], |answer, _| answer));
        self.on_a_stack(evaluate).unwrap_or_else(|problem| Err(EvaluationError(problem)))
    }

    /// The part of an object to look at, where the expression is not true for it: the longest that the expression reads
    /// and the object has, in the first element that fails where the expression asks for all. Empty if there is none.
    /// The object need not be the one that is shown to expressions: places are sought in files.
    pub fn place<'a>(&self, inputs: &Inputs, object: impl Into<Written<'a>>, budget: &mut Budget) -> Place {
        let object = match object.into() {
            Written::Value(object) => Cow::Borrowed(object),
            Written::Text(text) => Cow::Owned(self.0.reading.read(text)),
        };
        let place = || self.0.reading.place(&object, &budget.lend(|left| self.failing(inputs, left)));
        self.on_a_stack(place).unwrap_or_default()
    }

    /// The elements for which the expression is not true, if one is enough.
    fn failing(&self, inputs: &Inputs, budget: &mut u64) -> Vec<At> {
        let mut at = Vec::new();
        for (node, is_all) in &self.0.reading.loops {
            let (mut failed, mut passes) = (None, *is_all);
            for index in 0..ELEMENTS {
                at.push((*node, index));
                let (outcome, elements) =
                    self.evaluate_here(inputs, budget, &at, |answer, elements| (answer, elements));
                at.pop();
                if index as u64 >= elements {
                    break;
                }
                match outcome {
                    Ok(Answer::Bool(true)) => passes = true,
                    _ => drop(failed.get_or_insert((*node, index))),
                }
                if failed.is_some() && passes {
                    break;
                }
            }
            at.extend(failed.filter(|_| passes));
        }
        at
    }

    /// Works on a stack that is large enough.
    fn on_a_stack<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, String> {
        if self.0.is_shallow { stack::here(work) } else { stack::with_room(work) }
    }

    /// Evaluates with loops that see one element alone; `give` gets the answer, and how many elements the last of these
    /// loops had.
    fn evaluate_here<T>(
        &self,
        inputs: &Inputs,
        budget: &mut u64,
        at: &[At],
        give: impl FnOnce(Result<Answer, EvaluationError>, u64) -> T,
    ) -> T {
        let mut elements = 0;
        let evaluated = budget::within(budget, &self.0.patterns, || {
            let mut names = Names { inputs, variables: Vec::new(), missed: Mutex::default() };
            for (name, variable) in &self.0.variables {
                let copied = |value: &dyn Val| spend(2 * weight(value)).map(|()| values::owned(value));
                let value = match variable.resolve(&names, copied) {
                    Ok(copy) => copy.map_err(|error| words(&error)),
                    Err(error) => Err(variable.explain(&names, &error)),
                };
                names.variables.push((name, value));
                names.forget();
            }
            budget::narrow(at);
            let answer = self.resolve(&names, answer).map_err(|error| EvaluationError(self.explain(&names, &error)));
            elements = budget::elements();
            answer
        });
        let answer = evaluated.unwrap_or_else(|| Err(EvaluationError("the expression costs too much".to_owned())));
        give(answer, elements)
    }

    /// The parts of the object that it reads.
    pub(crate) fn reading(&self) -> &Reading {
        &self.0.reading
    }

    fn resolve<T>(&self, names: &Names<'_>, see: impl FnOnce(&dyn Val) -> T) -> Result<T, ExecutionError> {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        context.set_variable_resolver(names);
        let value = Value::resolve_val(&self.0.tree, &context)?;
        Ok(see(value.as_ref()))
    }

    /// Why the expression has no value. Where both sides of `&&` or `||` have none, the crate returns the error of the
    /// right side, and the API server that of the left.
    fn explain(&self, names: &Names<'_>, error: &ExecutionError) -> String {
        let plain = names.explain(error);
        budget::aside(|| self.first_error(names)).flatten().unwrap_or(plain)
    }

    /// The error of the leftmost side without a value; `None` if the expression is not of sides.
    fn first_error(&self, names: &Names<'_>) -> Option<String> {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        context.set_variable_resolver(names);
        let mut side = None;
        while let Expr::Call(call) = &side.unwrap_or(&self.0.tree).expr
            && let operators::LOGICAL_AND | operators::LOGICAL_OR = call.func_name.as_str()
            && let [left, right] = call.args.as_slice()
        {
            match Value::resolve_val(left, &context).map(|value| value.downcast_ref::<CelBool>().is_some()) {
                Ok(true) => side = Some(right),
                Ok(false) => break,
                Err(_) => side = Some(left),
            }
        }
        names.forget();
        Value::resolve_val(side?, &context).err().map(|error| names.explain(&error))
    }
}

fn answer(value: &dyn Val) -> Answer {
    if let Some(value) = value.downcast_ref::<CelBool>() {
        return Answer::Bool(*value.inner());
    }
    if let Some(value) = value.downcast_ref::<CelString>() {
        return Answer::String(value.inner().to_owned());
    }
    Answer::Other(values::show(value))
}

fn compile(text: &str, environment: &Environment) -> Result<Expression, CompileError> {
    let parser = ENVIRONMENT.parser().max_recursion_depth(DEPTH as u16).enable_ident_escape_syntax(true);
    let (mut tree, source) = parser.parse_with_source_info(text).map_err(|errors| syntax_error(&errors))?;
    let at = |finding: Finding| located(finding, &source, text);
    if let Some(node) = tree::deeper_than(&tree, DEPTH) {
        return Err(at(Finding { node, problem: Problem::TooDeep }));
    }
    let facts = check::check(&tree, environment).map_err(at)?;
    let mut patterns = constants::evaluate(&tree).map_err(at)?;
    let reading = reading::of(&tree, environment);
    rewrite(&mut tree);
    let variables = variables(&facts.reads, environment);
    let mut is_shallow = tree::deeper_than(&tree, SHALLOW).is_none();
    for (_, variable) in &variables {
        is_shallow &= variable.0.is_shallow;
        patterns.extend(variable.0.patterns.iter().map(|(text, pattern)| (text.clone(), Arc::clone(pattern))));
    }
    Ok(Expression(Arc::new(Compiled {
        tree,
        result: facts.result,
        reads: facts.reads,
        reading,
        patterns: Arc::new(patterns),
        is_shallow,
        variables,
    })))
}

/// The variables that an expression needs.
fn variables(reads: &Reads, environment: &Environment) -> Vec<(String, Expression)> {
    let mut needed = reads.variables.clone();
    let mut found = Vec::new();
    for (name, expression) in environment.variables().iter().rev() {
        if needed.contains(name) {
            needed.extend(expression.0.reads.variables.iter().cloned());
            found.push((name.clone(), expression.clone()));
        }
    }
    found.reverse();
    found
}

/// The error of the parser that explains the others: the depth, else the first one.
fn syntax_error(errors: &cel::ParseErrors) -> CompileError {
    let too_deep = |error: &&cel::ParseError| error.msg.contains("Recursion limit");
    let Some(error) = errors.errors.iter().find(too_deep).or(errors.errors.first()) else {
        return CompileError { line: 1, column: 1, problem: Problem::Syntax("expected an expression".to_owned()) };
    };
    let (line, column) = error.pos;
    let place = |number: isize| usize::try_from(number).unwrap_or(1).max(1);
    let problem = match &error.msg {
        _ if too_deep(&error) => Problem::TooDeep,
        message if message.starts_with("Incomplete") => {
            Problem::Syntax("the expression is incomplete, or nested too deep".to_owned())
        }
        message => Problem::Syntax(shortened(message)),
    };
    CompileError { line: place(line), column: place(column), problem }
}

/// The place of a node in the text.
fn located(finding: Finding, source: &SourceInfo, text: &str) -> CompileError {
    let start = source.offset_for(finding.node).map_or(0, |(start, _)| start as usize);
    let before: String = text.chars().take(start).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    CompileError { line, column, problem: finding.problem }
}

/// The value of a variable, or why it has none.
type Made = Result<Box<dyn Val>, String>;

/// What the names of an expression stand for.
struct Names<'a> {
    inputs: &'a Inputs,
    /// The variables, each with its value or why it has none.
    variables: Vec<(&'a str, Made)>,
    /// The variable that an evaluation asked for and that has no value.
    missed: Mutex<Option<String>>,
}

impl Names<'_> {
    fn variable(&self, name: &str) -> Option<Result<&dyn Val, &str>> {
        let (_, value) = self.variables.iter().rev().find(|(known, _)| *known == name)?;
        Some(value.as_ref().map(AsRef::as_ref).map_err(String::as_str))
    }

    /// Forgets which variable the evaluation before asked for.
    fn forget(&self) {
        self.missed().take();
    }

    fn missed(&self) -> MutexGuard<'_, Option<String>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explain(&self, error: &ExecutionError) -> String {
        let missed = self.missed();
        match (error, missed.as_ref().and_then(|name| Some((name, self.variable(name)?)))) {
            (ExecutionError::UndeclaredReference(_), Some((name, Err(reason)))) => {
                format!("composited variable {name:?} fails to evaluate: {reason}")
            }
            _ => words(error),
        }
    }
}

impl VariableResolver for Names<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(found) = self.inputs.get(name) {
            return Some(CowVal::Borrowed(found));
        }
        let name = name.strip_prefix("variables.")?;
        match self.variable(name)? {
            Ok(value) => Some(CowVal::Borrowed(value)),
            Err(_) => {
                self.missed().get_or_insert_with(|| name.to_owned());
                None
            }
        }
    }
}

/// The type that a text could not be converted to, of which the crate has the words of a parser.
fn converted(function: &str, message: &str) -> Option<&'static str> {
    let is_of_number = message.starts_with("string parse error");
    match function {
        "int" if is_of_number => Some("int"),
        "uint" if is_of_number => Some("uint"),
        "double" if is_of_number => Some("double"),
        "bool" if message.contains("conversion error") => Some("bool"),
        "duration" => Some("google.protobuf.Duration"),
        "timestamp" if !message.contains("out of range") => Some("google.protobuf.Timestamp"),
        _ => None,
    }
}

/// An error in the words of the API server, where it has some.
pub(crate) fn words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {}", shortened(key)),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::NoSuchOverload(overload) => shortened(&overload.to_string()),
        ExecutionError::FunctionError { function, message } => match converted(function, message) {
            Some(to) => format!("type conversion error from 'string' to '{to}'"),
            None => shortened(message),
        },
        ExecutionError::IndexOutOfBounds(Value::Int(index)) => format!("index out of bounds: {index}"),
        ExecutionError::IndexOutOfBounds(index) => shortened(&format!("index out of bounds: {index:?}")),
        // These hold the values, which can be large.
        ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::UnsupportedIndex(..)
        | ExecutionError::UnsupportedKeyType(_) => "no such overload".to_owned(),
        other => shortened(&other.to_string()),
    }
}

/// The beginning of a text that may be long.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
