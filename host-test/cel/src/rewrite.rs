//! Prepares an expression for the evaluator of the crate: what it evaluates otherwise than cel-go becomes a function of
//! `library`, and what costs something passes through a function that spends for it.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators,
};

use crate::check::qualified;
use crate::declarations::FUNCTIONS;
use crate::macros::{INSERT, RESULT};
use crate::tree;
use crate::types::Type;

/// The variable that holds the key and the value of a loop with two variables.
const PAIR: &str = "@pair";

/// Members that `library` has a version of: it spends before it works, or refuses what the API server does not know.
const REPLACED: [&str; 6] = ["replace", "join", "contains", "indexOf", "lastIndexOf", "reverse"];

/// Rewrites an expression that was checked.
pub(crate) fn rewrite(node: &mut IdedExpr) {
    match &mut node.expr {
        Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => {}
        Expr::Select(select) => node.expr = rewrite_select(std::mem::take(select)),
        Expr::Call(call) => node.expr = rewrite_call(std::mem::take(call)),
        Expr::List(list) => rewrite_list(list),
        Expr::Map(map) => rewrite_map(map),
        Expr::Comprehension(comprehension) => rewrite_loop(comprehension, node.id),
    }
}

fn node(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}

fn identifier(name: &str) -> IdedExpr {
    node(Expr::Ident(name.to_owned()))
}

fn integer(value: i64) -> IdedExpr {
    node(Expr::Literal(LiteralValue::Int(value.into())))
}

fn call(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    node(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
}

/// Puts a function around a node, unless it is a literal.
fn around(name: &str, inner: &mut IdedExpr) {
    if !matches!(inner.expr, Expr::Literal(_)) {
        let value = std::mem::take(inner);
        *inner = call(name, vec![value]);
    }
}

fn rewrite_select(mut select: SelectExpr) -> Expr {
    if select.test && matches!(&select.operand.expr, Expr::Ident(name) if name == "variables") {
        select.test = false;
        return call("@given", vec![node(Expr::Select(select))]).expr;
    }
    rewrite(&mut select.operand);
    if select.test {
        let field = node(Expr::Literal(LiteralValue::String(select.field.into())));
        return call("@has", vec![*select.operand, field]).expr;
    }
    if !is_name(&select.operand) && !matches!(select.operand.expr, Expr::Ident(_)) {
        let field = node(Expr::Literal(LiteralValue::String(select.field.into())));
        return call("@get", vec![*select.operand, field]).expr;
    }
    // A field of a name is borrowed; one of a loop's variable may be copied out of an optional.
    let copies = !is_name(&select.operand);
    if is_object(&select.operand) {
        let name = std::mem::take(&mut *select.operand);
        *select.operand = chosen(name);
    }
    let mut selected = node(Expr::Select(select));
    if copies {
        around("@walk", &mut selected);
    }
    selected.expr
}

/// Whether a node is `a.b.c`, of a variable that is not of a loop.
fn is_name(operand: &IdedExpr) -> bool {
    match &operand.expr {
        Expr::Ident(name) => name == "variables" || is_object(operand),
        Expr::Select(select) => is_name(&select.operand),
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => match call.args.as_slice() {
            // As `chosen` makes it.
            [always, name, never] => {
                let is_literal =
                    matches!(&always.expr, Expr::Literal(LiteralValue::Boolean(always)) if *always.inner());
                is_literal && is_object(name) && matches!(never.expr, Expr::Literal(LiteralValue::Null))
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether a node is the name of a value, which has no other names below it.
fn is_object(operand: &IdedExpr) -> bool {
    let names = ["object", "oldObject", "request", "namespaceObject", "params"];
    matches!(&operand.expr, Expr::Ident(name) if names.contains(&name.as_str()))
}

/// What stands for a name whose fields are read: `true ? a : null`. Of `a.b.c`, the evaluator would look for values with
/// the names `a.b.c` and `a.b` first.
fn chosen(name: IdedExpr) -> IdedExpr {
    let literal = |value| node(Expr::Literal(value));
    let arguments = vec![literal(LiteralValue::Boolean(true.into())), name, literal(LiteralValue::Null)];
    call(operators::CONDITIONAL, arguments)
}

fn rewrite_call(mut found: CallExpr) -> Expr {
    let name = qualified(&found).filter(|name| FUNCTIONS.contains_key(name.as_str()));
    if name.is_none()
        && let Some(target) = &mut found.target
    {
        rewrite(target);
    }
    found.args.iter_mut().for_each(rewrite);
    match name.as_deref().unwrap_or(&found.func_name) {
        operators::LOGICAL_AND
        | operators::LOGICAL_OR
        | operators::LOGICAL_NOT
        | operators::CONDITIONAL
        | operators::NOT_STRICTLY_FALSE => Expr::Call(found),
        operators::ADD => call("@add", found.args).expr,
        operators::EQUALS => call("@equal", found.args).expr,
        operators::NOT_EQUALS => call("@unequal", found.args).expr,
        operators::OPT_SELECT => call("@select", found.args).expr,
        operators::OPT_INDEX => {
            found.args.iter_mut().skip(1).for_each(|index| around("@index", index));
            call("@element", found.args).expr
        }
        operators::INDEX => {
            found.args.iter_mut().skip(1).for_each(|index| around("@index", index));
            Expr::Call(found)
        }
        "matches" => {
            let arguments = found.target.map(|target| *target).into_iter().chain(found.args).collect();
            call("@matches", arguments).expr
        }
        "string" | "int" | "double" if found.target.is_none() => {
            call(&format!("@{}", found.func_name), found.args).expr
        }
        "lists.range" => call("@range", found.args).expr,
        "format.named" => call("@named", found.args).expr,
        of_format if name.is_some() && of_format.starts_with("format.") => {
            let named = of_format["format.".len()..].to_owned();
            call("@format", vec![node(Expr::Literal(LiteralValue::String(named.into())))]).expr
        }
        "split" | "findAll" => {
            found.target.iter_mut().for_each(|target| around("@parts", target));
            found.args.iter_mut().for_each(|argument| around("@walk", argument));
            Expr::Call(found)
        }
        "distinct" => kept(spent(found, "@pairwise")),
        "format" => {
            found.args.iter_mut().for_each(|argument| around("@formattable", argument));
            kept(found)
        }
        other => {
            let scalar = scalar(other);
            if REPLACED.contains(&other) {
                found.func_name = format!("@{other}");
            }
            let found = spent(found, "@walk");
            if scalar { Expr::Call(found) } else { kept(found) }
        }
    }
}

/// Spends for the receiver and the arguments of a call.
fn spent(mut found: CallExpr, receiver: &str) -> CallExpr {
    let namespace = qualified(&found).is_some_and(|name| FUNCTIONS.contains_key(name.as_str()));
    if !namespace {
        found.target.iter_mut().for_each(|target| around(receiver, target));
    }
    found.args.iter_mut().for_each(|argument| around("@walk", argument));
    found
}

/// Spends for the result of a call.
fn kept(found: CallExpr) -> Expr {
    call("@keep", vec![node(Expr::Call(found))]).expr
}

/// Whether a function returns values that hold no others.
fn scalar(name: &str) -> bool {
    let small = |result: &Type| matches!(result, Type::Bool | Type::Int | Type::Uint | Type::Double | Type::Opaque(_));
    FUNCTIONS.get(name).is_some_and(|overloads| overloads.iter().all(|overload| small(&overload.result)))
}

/// A literal copies its elements: each is paid for before the next is copied.
fn rewrite_element(element: &mut IdedExpr) {
    rewrite(element);
    if !matches!(element.expr, Expr::List(_) | Expr::Map(_)) {
        around("@keep", element);
    }
}

fn rewrite_list(list: &mut ListExpr) {
    list.elements.iter_mut().for_each(rewrite_element);
}

fn rewrite_map(map: &mut MapExpr) {
    for entry in &mut map.entries {
        if let EntryExpr::MapEntry(entry) = &mut entry.expr {
            rewrite_element(&mut entry.key);
            rewrite_element(&mut entry.value);
        }
    }
}

fn rewrite_loop(found: &mut ComprehensionExpr, id: u64) {
    let nodes = tree::count(&found.loop_step) as i64;
    rewrite(&mut found.iter_range);
    if !matches!(&found.iter_range.expr, Expr::List(list) if list.elements.is_empty()) {
        let mut range = std::mem::take(&mut found.iter_range);
        if let Some(second) = found.iter_var2.take() {
            let first = std::mem::replace(&mut found.iter_var, PAIR.to_owned());
            range = call("@pairs", vec![range]);
            bind_pair(&mut found.loop_step, &first, &second);
        }
        found.iter_range = call("@loop", vec![range, integer(nodes), integer(id as i64)]);
    }
    rewrite_element(&mut found.accu_init);
    rewrite_step(&mut found.loop_step);
    if found.accu_var != RESULT {
        rewrite_element(&mut found.result);
    }
}

/// The evaluator knows `@result + [x]` by its form, so it stays.
fn rewrite_step(step: &mut IdedExpr) {
    match &mut step.expr {
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => {
            let mut parts = call.args.iter_mut();
            parts.next().into_iter().for_each(rewrite);
            parts.for_each(rewrite_step);
        }
        Expr::Call(call) if is_accumulation(call) => call.args.iter_mut().skip(1).for_each(rewrite),
        _ => rewrite(step),
    }
}

/// `@result + x`
fn is_accumulation(call: &CallExpr) -> bool {
    call.func_name == operators::ADD && matches!(&call.args[0].expr, Expr::Ident(name) if name == RESULT)
}

/// Binds the two variables of a loop where its step uses them.
fn bind_pair(step: &mut IdedExpr, first: &str, second: &str) {
    let Expr::Call(call) = &mut step.expr else { return };
    match call.func_name.as_str() {
        operators::CONDITIONAL => {
            let mut parts = call.args.iter_mut();
            parts.next().into_iter().for_each(|condition| bind_both(condition, first, second));
            parts.for_each(|part| bind_pair(part, first, second));
        }
        INSERT => call.args.iter_mut().skip(1).for_each(|argument| bind_both(argument, first, second)),
        _ => match &mut call.args[1].expr {
            Expr::List(list) if is_add(&call.func_name) => {
                list.elements.iter_mut().for_each(|element| bind_both(element, first, second));
            }
            Expr::Literal(_) => {}
            _ => bind_both(&mut call.args[1], first, second),
        },
    }
}

fn is_add(name: &str) -> bool {
    name == operators::ADD
}

fn bind_both(body: &mut IdedExpr, first: &str, second: &str) {
    for (name, index) in [(second, 1), (first, 0)] {
        let inner = std::mem::take(body);
        let value = call(operators::INDEX, vec![identifier(PAIR), integer(index)]);
        *body = node(Expr::Comprehension(Box::new(ComprehensionExpr {
            iter_range: node(Expr::List(ListExpr::new(Vec::new()))),
            iter_var: "#unused".to_owned(),
            iter_var2: None,
            accu_var: name.to_owned(),
            accu_init: value,
            loop_cond: node(Expr::Literal(LiteralValue::Boolean(false.into()))),
            loop_step: identifier(name),
            result: inner,
        })));
    }
}
