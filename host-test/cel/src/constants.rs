//! What the API server evaluates when it reads an expression: conversions of constants, and regular expressions.

use std::collections::HashMap;

use cel::common::ast::{Expr, IdedExpr, LiteralValue};
use cel::{Context, ExecutionError, Value};
use regex::Regex;

use crate::budget;
use crate::check::Finding;
use crate::error::Problem;
use crate::library::ENVIRONMENT;
use crate::re2;
use crate::rewrite::rewrite;
use crate::tree;

const CONVERSIONS: [&str; 8] = ["bool", "bytes", "double", "duration", "int", "string", "timestamp", "uint"];

/// Evaluates what is constant, and returns the regular expressions that are.
pub(crate) fn evaluate(expression: &IdedExpr) -> Result<HashMap<String, Regex>, Finding> {
    let mut patterns = HashMap::new();
    visit(expression, &mut patterns)?;
    Ok(patterns)
}

fn visit(node: &IdedExpr, patterns: &mut HashMap<String, Regex>) -> Result<(), Finding> {
    tree::children(node).into_iter().try_for_each(|child| visit(child, patterns))?;
    let Expr::Call(call) = &node.expr else { return Ok(()) };
    let refused = |node: &IdedExpr, problem| Err(Finding { node: node.id, problem: Problem::Constant(problem) });
    if matches!(call.func_name.as_str(), "matches" | "find" | "findAll") {
        let position = usize::from(call.target.is_none());
        if let Some(node @ IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), .. }) = call.args.get(position) {
            match re2::compile(text.inner()) {
                Ok(compiled) => patterns.insert(text.inner().to_owned(), compiled),
                Err(problem) => return refused(node, problem),
            };
        }
    }
    if call.target.is_none() && is_constant(node) && CONVERSIONS.contains(&call.func_name.as_str()) {
        let mut constant = node.clone();
        rewrite(&mut constant);
        let context = Context::with_env(ENVIRONMENT.clone());
        let evaluated = budget::within(&HashMap::new(), || Value::resolve_val(&constant, &context).map(|_| ()));
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

/// A literal, or the conversion of a constant.
fn is_constant(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(_) => true,
        Expr::Call(call) => {
            call.target.is_none()
                && CONVERSIONS.contains(&call.func_name.as_str())
                && matches!(call.args.as_slice(), [argument] if is_constant(argument))
        }
        _ => false,
    }
}
