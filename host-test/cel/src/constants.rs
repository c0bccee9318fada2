//! What the API server evaluates when it reads an expression: conversions of constants, and regular expressions.

use std::collections::HashMap;
use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, ExecutionError, Value};
use regex::Regex;

use crate::budget::{self, Patterns};
use crate::check::Finding;
use crate::declarations::type_name;
use crate::error::Problem;
use crate::library::ENVIRONMENT;
use crate::limits::BUDGET;
use crate::re2;
use crate::rewrite::rewrite;
use crate::tree;

const CONVERSIONS: [&str; 9] = ["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "uint"];

/// Evaluates what is constant, and returns the regular expressions that are.
pub(crate) fn evaluate(expression: &IdedExpr) -> Result<HashMap<String, Arc<Regex>>, Finding> {
    let mut patterns = HashMap::new();
    visit(expression, &mut patterns)?;
    Ok(patterns)
}

fn visit(node: &IdedExpr, patterns: &mut HashMap<String, Arc<Regex>>) -> Result<(), Finding> {
    tree::children(node).into_iter().try_for_each(|child| visit(child, patterns))?;
    let Expr::Call(call) = &node.expr else { return Ok(()) };
    let refused = |node: &IdedExpr, problem| Err(Finding { node: node.id, problem: Problem::Constant(problem) });
    if matches!(call.func_name.as_str(), "matches" | "find" | "findAll") {
        // As the API server, which checks the text of `matches(text, pattern)` as well.
        for argument in &call.args {
            let Expr::Literal(LiteralValue::String(text)) = &argument.expr else { continue };
            match re2::compile(text.inner()) {
                Ok(compiled) => drop(patterns.insert(text.inner().to_owned(), Arc::new(compiled))),
                Err(problem) => return refused(argument, problem),
            }
        }
    }
    if matches!(call.func_name.as_str(), operators::INDEX | operators::OPT_INDEX)
        && let Some(index) = call.args.get(1).filter(|index| is_no_index(index))
    {
        return refused(index, "expected a number, a string or a boolean as index".to_owned());
    }
    if call.target.is_none() && is_constant(node) && CONVERSIONS.contains(&call.func_name.as_str()) {
        let mut constant = node.clone();
        rewrite(&mut constant);
        let context = Context::with_env(ENVIRONMENT.clone());
        let (mut budget, patterns) = (BUDGET, Patterns::default());
        let evaluated = budget::within(&mut budget, &patterns, || Value::resolve_val(&constant, &context).map(|_| ()));
        match evaluated {
            Some(Ok(())) => {}
            Some(Err(error)) => return refused(node, describe(&call.func_name, &error)),
            None => return refused(node, "its value is too large".to_owned()),
        }
    }
    Ok(())
}

fn describe(function: &str, error: &ExecutionError) -> String {
    let error = crate::expression::words(error);
    format!("{function}() has no value here: {error}")
}

/// A literal, or what is made of constants.
fn is_constant(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(_) => true,
        Expr::Ident(name) => type_name(name),
        Expr::List(_) | Expr::Map(_) => tree::children(node).into_iter().all(is_constant),
        Expr::Call(call) => {
            let name = call.func_name.as_str();
            let conversion = CONVERSIONS.contains(&name) || name == "type";
            call.target.is_none() && conversion && matches!(call.args.as_slice(), [argument] if is_constant(argument))
        }
        _ => false,
    }
}

/// Whether a constant is of a type that indexes nothing.
fn is_no_index(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(literal) => matches!(literal, LiteralValue::Bytes(_) | LiteralValue::Null),
        Expr::List(_) | Expr::Map(_) | Expr::Ident(_) => is_constant(node),
        Expr::Call(call) if call.func_name == "dyn" => call.args.iter().all(is_no_index),
        Expr::Call(call) => {
            is_constant(node) && matches!(call.func_name.as_str(), "bytes" | "duration" | "timestamp" | "type")
        }
        _ => false,
    }
}
