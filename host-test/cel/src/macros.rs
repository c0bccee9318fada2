//! The macros of Kubernetes' environment: `has`, and the loops with one variable and with two.
//!
//! The crate brings those with one variable, and an `existsOne` that Kubernetes does not have; so all of them are here.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, operators};
use cel::parser::{Macro, MacroExprHelper};
use cel::{Env, ParseError};

/// The variable in which a loop collects its result. No expression can spell it.
pub(crate) const RESULT: &str = "@result";

/// What puts an entry, or the entries of a map, into the result.
pub(crate) const INSERT: &str = "@mapInsert";

/// A loop: its name, how many variables it binds, how many arguments it takes.
const LOOPS: [(&str, Shape, usize, usize); 16] = [
    ("all", Shape::All, 1, 2),
    ("exists", Shape::Exists, 1, 2),
    ("exists_one", Shape::One, 1, 2),
    ("map", Shape::List, 1, 2),
    ("map", Shape::List, 1, 3),
    ("filter", Shape::Filter, 1, 2),
    ("all", Shape::All, 2, 3),
    ("exists", Shape::Exists, 2, 3),
    ("exists_one", Shape::One, 2, 3),
    ("existsOne", Shape::One, 2, 3),
    ("transformList", Shape::List, 2, 3),
    ("transformList", Shape::List, 2, 4),
    ("transformMap", Shape::Map, 2, 3),
    ("transformMap", Shape::Map, 2, 4),
    ("transformMapEntry", Shape::Entries, 2, 3),
    ("transformMapEntry", Shape::Entries, 2, 4),
];

/// What a loop makes of its elements.
#[derive(Clone, Copy)]
enum Shape {
    All,
    Exists,
    One,
    List,
    /// A map with the keys of the elements.
    Map,
    /// A map of maps that are put together.
    Entries,
    Filter,
}

/// Declares the macros.
pub(crate) fn declare(env: &mut Env) {
    let unique = "each macro is declared once";
    env.add_macro(Macro::global(operators::HAS, 1, |helper, _, arguments| has(helper, arguments))).expect(unique);
    for (name, shape, variables, arguments) in LOOPS {
        let expand = move |helper: &mut MacroExprHelper<'_>,
                           target: &mut Option<IdedExpr>,
                           arguments: &mut Vec<IdedExpr>| {
            let Some(range) = target.take() else { return Ok(None) };
            let body = arguments.split_off(variables);
            let names = arguments.drain(..).map(|argument| name_of(helper, argument)).collect::<Result<Vec<_>, _>>()?;
            expand(helper, shape, range, names, body).map(Some)
        };
        env.add_macro(Macro::receiver(name, arguments, expand)).expect(unique);
    }
}

fn has(helper: &mut MacroExprHelper<'_>, arguments: &mut Vec<IdedExpr>) -> Result<Option<IdedExpr>, ParseError> {
    let Some(IdedExpr { id, expr }) = arguments.pop() else { return Ok(None) };
    match expr {
        Expr::Select(mut select) if !select.test => {
            select.test = true;
            Ok(Some(helper.next_expr(Expr::Select(select))))
        }
        _ => Err(helper.new_error(id, "the argument of has() must select a field, as in has(object.spec)")),
    }
}

fn name_of(helper: &MacroExprHelper<'_>, argument: IdedExpr) -> Result<String, ParseError> {
    match argument.expr {
        Expr::Ident(name) if !name.starts_with('.') => Ok(name),
        _ => Err(helper.new_error(argument.id, "the variable of a loop must be a simple name")),
    }
}

/// The loop that a macro stands for. The evaluator knows `all`, `exists`, `map` and `filter` by the form of their step.
fn expand(
    helper: &mut MacroExprHelper<'_>,
    shape: Shape,
    range: IdedExpr,
    mut names: Vec<String>,
    mut body: Vec<IdedExpr>,
) -> Result<IdedExpr, ParseError> {
    if names.iter().any(|name| name == RESULT) || names.len() == 2 && names[0] == names[1] {
        return Err(helper
            .new_error(range.id, format!("the variables of a loop must have two names, found {:?} twice", names[0])));
    }
    let last = body.pop();
    let mut nodes = Nodes(helper);
    let result = nodes.result();
    let (init, condition, step, result) = match (shape, last) {
        (Shape::All, Some(last)) => {
            let accumulated = nodes.result();
            let condition = nodes.call(operators::NOT_STRICTLY_FALSE, vec![accumulated]);
            let accumulated = nodes.result();
            (nodes.boolean(true), condition, nodes.call(operators::LOGICAL_AND, vec![accumulated, last]), result)
        }
        (Shape::Exists, Some(last)) => {
            let accumulated = nodes.result();
            let not = nodes.call(operators::LOGICAL_NOT, vec![accumulated]);
            let condition = nodes.call(operators::NOT_STRICTLY_FALSE, vec![not]);
            let accumulated = nodes.result();
            (nodes.boolean(false), condition, nodes.call(operators::LOGICAL_OR, vec![accumulated, last]), result)
        }
        (Shape::One, Some(last)) => {
            let counted = [nodes.result(), nodes.integer(1)].into();
            let more = nodes.call(operators::ADD, counted);
            let same = nodes.result();
            let step = nodes.call(operators::CONDITIONAL, vec![last, more, same]);
            let one = nodes.integer(1);
            (nodes.integer(0), nodes.boolean(true), step, nodes.call(operators::EQUALS, vec![result, one]))
        }
        (Shape::List, Some(last)) => {
            let appended = nodes.append(last);
            let step = match body.pop() {
                Some(condition) => nodes.either(condition, appended),
                None => appended,
            };
            (nodes.list(Vec::new()), nodes.boolean(true), step, result)
        }
        (Shape::Map | Shape::Entries, Some(last)) => {
            let mut arguments = vec![nodes.result()];
            if matches!(shape, Shape::Map) {
                arguments.push(nodes.node(Expr::Ident(names[0].clone())));
            }
            arguments.push(last);
            let inserted = nodes.call(INSERT, arguments);
            let step = match body.pop() {
                Some(condition) => nodes.either(condition, inserted),
                None => inserted,
            };
            (nodes.map(), nodes.boolean(true), step, result)
        }
        (Shape::Filter, Some(last)) => {
            let element = nodes.node(Expr::Ident(names[0].clone()));
            let appended = nodes.append(element);
            (nodes.list(Vec::new()), nodes.boolean(true), nodes.either(last, appended), result)
        }
        (_, None) => return Err(helper.new_error(range.id, "a loop must have a body")),
    };
    let second = (names.len() == 2).then(|| names.pop()).flatten();
    Ok(helper.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range: range,
        iter_var: names.pop().unwrap_or_default(),
        iter_var2: second,
        accu_var: RESULT.to_owned(),
        accu_init: init,
        loop_cond: condition,
        loop_step: step,
        result,
    }))))
}

/// Makes nodes that stand where the macro does.
struct Nodes<'a, 'h>(&'a mut MacroExprHelper<'h>);

impl Nodes<'_, '_> {
    fn node(&mut self, expr: Expr) -> IdedExpr {
        self.0.next_expr(expr)
    }

    fn result(&mut self) -> IdedExpr {
        self.node(Expr::Ident(RESULT.to_owned()))
    }

    fn boolean(&mut self, value: bool) -> IdedExpr {
        self.node(Expr::Literal(LiteralValue::Boolean(value.into())))
    }

    fn integer(&mut self, value: i64) -> IdedExpr {
        self.node(Expr::Literal(LiteralValue::Int(value.into())))
    }

    fn list(&mut self, elements: Vec<IdedExpr>) -> IdedExpr {
        self.node(Expr::List(ListExpr::new(elements)))
    }

    fn map(&mut self) -> IdedExpr {
        self.node(Expr::Map(MapExpr::default()))
    }

    fn call(&mut self, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
        self.node(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
    }

    /// `@result + [element]`
    fn append(&mut self, element: IdedExpr) -> IdedExpr {
        let arguments = vec![self.result(), self.list(vec![element])];
        self.call(operators::ADD, arguments)
    }

    /// `condition ? more : @result`
    fn either(&mut self, condition: IdedExpr, more: IdedExpr) -> IdedExpr {
        let arguments = vec![condition, more, self.result()];
        self.call(operators::CONDITIONAL, arguments)
    }
}
