//! The nodes of an expression.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// The nodes right below a node.
pub(crate) fn children(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_nodes(&entry.expr)).collect(),
        Expr::Struct(message) => message.entries.iter().flat_map(|entry| entry_nodes(&entry.expr)).collect(),
        Expr::Comprehension(comprehension) => vec![
            &comprehension.iter_range,
            &comprehension.accu_init,
            &comprehension.loop_cond,
            &comprehension.loop_step,
            &comprehension.result,
        ],
        Expr::Literal(_) | Expr::Ident(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry_nodes(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

/// The first node that is deeper than the limit.
pub(crate) fn deeper_than(root: &IdedExpr, limit: usize) -> Option<u64> {
    let mut waiting = vec![(root, 0)];
    while let Some((node, depth)) = waiting.pop() {
        if depth > limit {
            return Some(node.id);
        }
        waiting.extend(children(node).into_iter().map(|child| (child, depth + 1)));
    }
    None
}

/// How many nodes there are.
pub(crate) fn count(root: &IdedExpr) -> usize {
    let mut waiting = vec![root];
    let mut count = 0;
    while let Some(node) = waiting.pop() {
        count += 1;
        waiting.extend(children(node));
    }
    count
}
