//! Checks an expression as the API server does when a document is created: names, fields and types.

use std::collections::{BTreeSet, HashMap};

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators,
};

use crate::declarations::{FUNCTIONS, Overload, type_name};
use crate::environment::Environment;
use crate::error::Problem;
use crate::structs;
use crate::types::{Substitution, Type, most_general};
use crate::unsupported;

/// A problem at a node.
pub(crate) struct Finding {
    /// The id of the node.
    pub node: u64,
    pub problem: Problem,
}

type Checked<T> = Result<T, Finding>;

fn finding<T>(node: u64, problem: Problem) -> Checked<T> {
    Err(Finding { node, problem })
}

/// What an expression reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    pub user_info: bool,
    pub namespace: bool,
    /// The names after `variables.`
    pub variables: BTreeSet<String>,
}

/// What a check knows of an expression.
pub(crate) struct Facts {
    pub result: Type,
    pub reads: Reads,
}

/// Checks an expression.
pub(crate) fn check(expression: &IdedExpr, environment: &Environment) -> Checked<Facts> {
    let mut checker = Checker {
        environment,
        scopes: Vec::new(),
        known: Substitution::default(),
        types: HashMap::new(),
        reads: Reads::default(),
    };
    let result = checker.visit(expression)?;
    checker.literals(expression, false)?;
    let result = checker.known.apply(&result);
    if !environment.returns().takes(&result) {
        let problem = Problem::Result { expected: environment.returns().to_string(), found: result.to_string() };
        return finding(expression.id, problem);
    }
    Ok(Facts { result, reads: checker.reads })
}

struct Checker<'a> {
    environment: &'a Environment,
    /// The variables of the loops around, the innermost last.
    scopes: Vec<(String, Type)>,
    known: Substitution,
    /// The type of each node, for the checks of literals.
    types: HashMap<u64, Type>,
    reads: Reads,
}

impl Checker<'_> {
    fn visit(&mut self, node: &IdedExpr) -> Checked<Type> {
        let found = match &node.expr {
            Expr::Literal(literal) => literal_type(literal),
            Expr::Ident(name) => {
                self.reads.user_info |= name == "request" && !self.is_local(name);
                self.identifier(node.id, name)?
            }
            Expr::Select(select) => self.select(node.id, select)?,
            Expr::Call(call) => self.call(node.id, call)?,
            Expr::List(list) => self.list(list)?,
            Expr::Map(map) => self.map(map)?,
            Expr::Comprehension(comprehension) => self.comprehension(comprehension)?,
            Expr::Struct(message) => {
                return finding(node.id, Problem::Unsupported(format!("the message {}", message.type_name)));
            }
            Expr::Unspecified => return finding(node.id, Problem::Syntax("expected an expression".to_owned())),
        };
        self.types.insert(node.id, found.clone());
        Ok(found)
    }

    fn is_local(&self, name: &str) -> bool {
        self.scopes.iter().any(|(known, _)| known == name)
    }

    fn identifier(&mut self, node: u64, name: &str) -> Checked<Type> {
        if let Some((_, found)) = self.scopes.iter().rev().find(|(known, _)| known == name) {
            return Ok(found.clone());
        }
        // A leading dot skips the variables of loops.
        let global = name.strip_prefix('.').unwrap_or(name);
        if unsupported::identifier(global) || name.starts_with('.') {
            return finding(node, Problem::Unsupported(name.to_owned()));
        }
        if name == "variables" {
            return finding(node, Problem::Unsupported("variables without the name of one".to_owned()));
        }
        self.reads.namespace |= name == "namespaceObject";
        if let Some(found) = self.environment.identifier(name) {
            return Ok(found);
        }
        if type_name(name) {
            return Ok(Type::Meta);
        }
        finding(node, Problem::Undeclared { name: name.to_owned(), declared: self.environment.names() })
    }

    fn select(&mut self, node: u64, select: &SelectExpr) -> Checked<Type> {
        let found = self.field(node, &select.operand, &select.field)?;
        Ok(if select.test { Type::Bool } else { self.known.apply(&found) })
    }

    /// The type of a field.
    fn field(&mut self, node: u64, operand: &IdedExpr, field: &str) -> Checked<Type> {
        let of = match &operand.expr {
            Expr::Ident(name) if name == "request" && !self.is_local(name) => {
                self.reads.user_info |= field == "userInfo";
                self.identifier(operand.id, name)?
            }
            Expr::Ident(name)
                if name == "variables" && !self.is_local(name) && !self.environment.variables().is_empty() =>
            {
                Type::Struct(structs::VARIABLES)
            }
            _ => {
                let of = self.visit(operand)?;
                self.known.apply(&of)
            }
        };
        let (of, optional) = match of {
            Type::Optional(inner) => (*inner, true),
            other => (other, false),
        };
        let found = match &of {
            Type::Map(_, value) => (**value).clone(),
            Type::Struct(name) => self.declared_field(node, name, field)?,
            Type::Variable(_) => {
                self.known.agree([(&Type::Dyn, &of)]);
                Type::Dyn
            }
            Type::Dyn => Type::Dyn,
            _ => return finding(node, Problem::NoFields { field: field.to_owned(), of: of.to_string() }),
        };
        Ok(if optional { found.optional() } else { found })
    }

    fn declared_field(&mut self, node: u64, of: &'static str, field: &str) -> Checked<Type> {
        let fields = self.environment.fields(of);
        let Some((_, found)) = fields.iter().find(|(name, _)| *name == field) else {
            let declared: Vec<&str> = fields.into_iter().map(|(name, _)| name).collect();
            let problem = Problem::UndefinedField {
                field: field.to_owned(),
                of: structs::display(of).to_owned(),
                declared: declared.join(", "),
            };
            return finding(node, problem);
        };
        if of == structs::VARIABLES {
            self.reads.variables.insert(field.to_owned());
        }
        Ok(found.clone())
    }

    fn call(&mut self, node: u64, call: &CallExpr) -> Checked<Type> {
        let name = call.func_name.as_str();
        if name == operators::OPT_SELECT {
            return self.optional_select(node, &call.args);
        }
        let qualified = qualified(call);
        if let Some(problem) = unsupported::function(name, qualified.as_deref()) {
            return finding(node, problem);
        }
        let arguments = call.args.iter().map(|argument| self.visit(argument)).collect::<Checked<Vec<_>>>()?;
        if let Some(name) = qualified.filter(|name| FUNCTIONS.contains_key(name.as_str())) {
            return self.overload(node, &name, false, arguments, call);
        }
        let Some(target) = &call.target else {
            return self.overload(node, name, false, arguments, call);
        };
        let mut all = vec![self.visit(target)?];
        all.extend(arguments);
        self.overload(node, name, true, all, call)
    }

    /// `a.?b` and `a[?'b']` are calls.
    fn optional_select(&mut self, node: u64, arguments: &[IdedExpr]) -> Checked<Type> {
        let [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(field)), .. }] = arguments else {
            return finding(node, Problem::Syntax("an optional selection must name a field".to_owned()));
        };
        let found = self.field(node, operand, field.inner())?;
        let found = self.known.apply(&found);
        Ok(if matches!(found, Type::Optional(_)) { found } else { found.optional() })
    }

    fn overload(&mut self, node: u64, name: &str, member: bool, found: Vec<Type>, call: &CallExpr) -> Checked<Type> {
        let Some(overloads) = FUNCTIONS.get(name) else {
            return finding(node, Problem::UndeclaredFunction(name.to_owned()));
        };
        if matches!(name, operators::LOGICAL_AND | operators::LOGICAL_OR) {
            return self.logical(&found, &call.args);
        }
        let mut result: Option<Type> = None;
        for overload in overloads.iter().filter(|overload| overload.member == member) {
            let Some(matched) = self.matches(overload, &found) else { continue };
            result = Some(match result {
                None => matched,
                Some(before) if before == Type::Dyn || before == matched => before,
                Some(_) => Type::Dyn,
            });
        }
        result.map_or_else(|| finding(node, self.no_overload(name, member, overloads, &found)), Ok)
    }

    /// `&&` and `||` say which of their operands is wrong.
    fn logical(&mut self, found: &[Type], arguments: &[IdedExpr]) -> Checked<Type> {
        for (found, argument) in found.iter().zip(arguments) {
            if !self.known.agree([(found, &Type::Bool)]) {
                return finding(argument.id, self.mismatch(&Type::Bool, found));
            }
        }
        Ok(Type::Bool)
    }

    /// The result of an overload for these arguments.
    fn matches(&mut self, overload: &Overload, found: &[Type]) -> Option<Type> {
        if overload.parameters.len() != found.len() {
            return None;
        }
        let first = self.known.variables(overload.variables);
        let parameters: Vec<Type> = overload.parameters.iter().map(|parameter| parameter.renumbered(first)).collect();
        let agreed = self.known.agree(found.iter().zip(&parameters));
        agreed.then(|| self.known.apply(&overload.result.renumbered(first)))
    }

    fn no_overload(&self, name: &str, member: bool, overloads: &[Overload], found: &[Type]) -> Problem {
        let shown = |types: &[Type], member: bool| match types {
            [receiver, rest @ ..] if member => format!("{receiver}.({})", joined(rest)),
            all => format!("({})", joined(all)),
        };
        let found: Vec<Type> = found.iter().map(|found| self.known.apply(found)).collect();
        let mut expected: Vec<String> =
            overloads.iter().map(|overload| shown(&overload.parameters, overload.member)).collect();
        expected.dedup();
        let more = expected.len().saturating_sub(6);
        expected.truncate(6);
        let more = if more > 0 { format!(" or {more} others") } else { String::new() };
        let found = shown(&found, member);
        let found = found.strip_prefix('(').and_then(|found| found.strip_suffix(')')).unwrap_or(&found).to_owned();
        let function = name.trim_matches(|character| matches!(character, '_' | '@')).replace("[_", "[…");
        Problem::NoOverload { function, found, expected: format!("{}{more}", expected.join(" or ")) }
    }

    fn mismatch(&self, expected: &Type, found: &Type) -> Problem {
        let shown = |of: &Type| self.known.apply(of).to_string();
        Problem::Type { expected: shown(expected), found: shown(found) }
    }

    fn list(&mut self, list: &ListExpr) -> Checked<Type> {
        let mut elements = None;
        for (index, element) in list.elements.iter().enumerate() {
            let optional = list.optional_indices.contains(&index);
            let found = self.element(element, optional)?;
            elements = Some(self.join(elements, found));
        }
        Ok(elements.unwrap_or_else(|| self.known.variable()).list())
    }

    fn map(&mut self, map: &MapExpr) -> Checked<Type> {
        let (mut keys, mut values) = (None, None);
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
            let key = self.visit(&entry.key)?;
            keys = Some(self.join(keys, key));
            let value = self.element(&entry.value, entry.optional)?;
            values = Some(self.join(values, value));
        }
        let key = keys.unwrap_or_else(|| self.known.variable());
        let value = values.unwrap_or_else(|| self.known.variable());
        Ok(Type::Map(Box::new(key), Box::new(value)))
    }

    /// The type of an element or value of a literal; what is marked with `?` must be optional.
    fn element(&mut self, element: &IdedExpr, optional: bool) -> Checked<Type> {
        let found = self.visit(element)?;
        match found {
            Type::Optional(inner) if optional => Ok(*inner),
            Type::Dyn => Ok(Type::Dyn),
            other if optional => finding(element.id, self.mismatch(&other.clone().optional(), &other)),
            other => Ok(other),
        }
    }

    /// The type of a literal's elements so far and of the next one. Those of different types are found by `literals`.
    fn join(&mut self, before: Option<Type>, found: Type) -> Type {
        let Some(before) = before else { return found };
        if self.known.agree([(&before, &found)]) {
            return most_general(&before, &found).clone();
        }
        Type::Dyn
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Checked<Type> {
        let range = self.visit(&comprehension.iter_range)?;
        let accumulated = self.visit(&comprehension.accu_init)?;
        let (first, second) = self.elements(&comprehension.iter_range, &range, comprehension.iter_var2.is_some())?;
        let outside = self.scopes.len();
        self.scopes.push((comprehension.accu_var.clone(), accumulated.clone()));
        self.scopes.push((comprehension.iter_var.clone(), first));
        if let Some(name) = &comprehension.iter_var2 {
            self.scopes.push((name.clone(), second));
        }
        self.expect(&comprehension.loop_cond, &Type::Bool)?;
        self.expect(&comprehension.loop_step, &accumulated)?;
        self.scopes.truncate(outside + 1);
        let result = self.visit(&comprehension.result)?;
        self.scopes.truncate(outside);
        Ok(self.known.apply(&result))
    }

    fn expect(&mut self, node: &IdedExpr, expected: &Type) -> Checked<()> {
        let found = self.visit(node)?;
        if self.known.agree([(expected, &found)]) {
            return Ok(());
        }
        finding(blamed(node).id, self.mismatch(expected, &found))
    }

    /// The types of what a loop binds.
    fn elements(&mut self, node: &IdedExpr, range: &Type, two: bool) -> Checked<(Type, Type)> {
        let range = self.known.apply(range);
        Ok(match range {
            Type::List(element) if two => (Type::Int, *element),
            Type::List(element) => (*element, Type::Dyn),
            Type::Map(key, value) => (*key, *value),
            Type::Dyn => (Type::Dyn, Type::Dyn),
            Type::Variable(_) => {
                self.known.agree([(&Type::Dyn, &range)]);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                return finding(
                    node.id,
                    Problem::Type { expected: "list or map".to_owned(), found: other.to_string() },
                );
            }
        })
    }

    /// What is checked of literals once all types are known: elements of one type, unless they are arguments of `format`.
    fn literals(&self, node: &IdedExpr, formatted: bool) -> Checked<()> {
        let mut formatted = formatted;
        match &node.expr {
            Expr::List(list) if !formatted => {
                let optional = |index| list.optional_indices.contains(&index);
                let elements = list.elements.iter().enumerate().map(|(index, element)| (element, optional(index)));
                self.homogeneous(elements)?;
            }
            Expr::Map(map) if !formatted => {
                let entries = || {
                    map.entries.iter().filter_map(|entry| match &entry.expr {
                        EntryExpr::MapEntry(entry) => Some(entry),
                        EntryExpr::StructField(_) => None,
                    })
                };
                self.homogeneous(entries().map(|entry| (&entry.key, false)))?;
                self.homogeneous(entries().map(|entry| (&entry.value, entry.optional)))?;
            }
            Expr::Call(call) if call.func_name == "format" => {
                self.format(node.id, call)?;
                formatted = true;
            }
            _ => {}
        }
        crate::tree::children(node).into_iter().try_for_each(|child| self.literals(child, formatted))
    }

    fn homogeneous<'n>(&self, mut elements: impl Iterator<Item = (&'n IdedExpr, bool)>) -> Checked<()> {
        let known = |(element, optional): (&IdedExpr, bool)| match self.type_of(element) {
            Type::Optional(inner) if optional => *inner,
            other => other,
        };
        let Some(first) = elements.next().map(known) else { return Ok(()) };
        for (element, optional) in elements {
            let found = known((element, optional));
            if !equivalent(&first, &found) {
                return finding(element.id, Problem::Type { expected: first.to_string(), found: found.to_string() });
            }
        }
        Ok(())
    }

    fn type_of(&self, node: &IdedExpr) -> Type {
        self.types.get(&node.id).map_or(Type::Dyn, |found| self.known.apply(found))
    }

    /// `'%s'.format([x])` with both as literals: as many clauses as arguments, each of a type that its clause takes.
    fn format(&self, node: u64, call: &CallExpr) -> Checked<()> {
        let Some(IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), .. }) = call.target.as_deref() else {
            return finding(node, Problem::Unsupported("format() of a text that is not a literal".to_owned()));
        };
        let clauses = clauses(text.inner());
        if clauses.iter().any(|clause| matches!(clause, 'f' | 'e')) {
            return finding(node, Problem::Unsupported("format() with %f or %e".to_owned()));
        }
        let [IdedExpr { expr: Expr::List(list), .. }] = call.args.as_slice() else { return Ok(()) };
        if clauses.len() != list.elements.len() {
            let (clauses, arguments) = (clauses.len(), list.elements.len());
            let problem = format!("the format has {clauses} clauses, found {arguments} arguments");
            return finding(node, Problem::Constant(problem));
        }
        for (clause, argument) in clauses.into_iter().zip(&list.elements) {
            let found = self.type_of(argument);
            let fits = match clause {
                's' => true,
                'd' | 'o' => matches!(found, Type::Int | Type::Uint),
                'b' => matches!(found, Type::Int | Type::Uint | Type::Bool),
                'x' | 'X' => matches!(found, Type::Int | Type::Uint | Type::String | Type::Bytes),
                _ => return finding(node, Problem::Constant(format!("unrecognized clause %{clause} in a format"))),
            };
            if !fits && !matches!(found, Type::Dyn | Type::Variable(_)) {
                return finding(argument.id, Problem::Constant(format!("%{clause} cannot format {found}")));
            }
        }
        Ok(())
    }
}

/// The letters of the clauses of a format.
fn clauses(format: &str) -> Vec<char> {
    let mut found = Vec::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            continue;
        }
        match rest.find(|character| *character != '.' && !character.is_ascii_digit()) {
            Some('%') => {}
            Some(clause) => found.push(clause),
            None => found.push(' '),
        }
    }
    found
}

/// The part of a loop's step that the user wrote.
fn blamed(node: &IdedExpr) -> &IdedExpr {
    match &node.expr {
        Expr::Call(call) if call.args.len() == 2 => &call.args[1],
        _ => node,
    }
}

fn equivalent(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Variable(_), Type::Variable(_)) => true,
        // `type(int)` and `type(string)` are two types there, and one here.
        (Type::Meta, Type::Meta) => false,
        (Type::List(one), Type::List(other)) | (Type::Optional(one), Type::Optional(other)) => equivalent(one, other),
        (Type::Map(key, value), Type::Map(other_key, other_value)) => {
            equivalent(key, other_key) && equivalent(value, other_value)
        }
        _ => one == other,
    }
}

fn joined(types: &[Type]) -> String {
    let shown: Vec<String> = types.iter().map(ToString::to_string).collect();
    shown.join(", ")
}

fn literal_type(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::String,
        LiteralValue::UInt(_) => Type::Uint,
    }
}

/// `sets.contains` of `sets.contains(…)`.
pub(crate) fn qualified(call: &CallExpr) -> Option<String> {
    match &call.target.as_deref()?.expr {
        Expr::Ident(namespace) => Some(format!("{namespace}.{}", call.func_name)),
        _ => None,
    }
}
