//! The expression of a policy group: members called without arguments, `true`, `false`, `!`, `==`, `!=`, `&&`, `||` and
//! parentheses, with comments from `//` to the end of a line.
//!
//! That is what both of its readers take: the controller, which checks it as CEL, and the policy-server, which
//! evaluates it as Rhai. Neither library would do here: what only one of them takes has to be refused, and so has
//! a member that is not there, even where evaluation would never come to it.

use std::iter::Peekable;
use std::str::CharIndices;

/// How deep parentheses and negations may be nested: deeper than any group, and less than what fills a stack.
const DEEPEST: usize = 32;

/// An expression, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(Term);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    Member(String),
    Literal(bool),
    Not(Box<Term>),
    /// Whether the first is the same as the second, or is not. Both are evaluated.
    Equal(Box<Term>, Box<Term>),
    Unequal(Box<Term>, Box<Term>),
    /// All, in this order.
    And(Vec<Term>),
    /// One of them, in this order.
    Or(Vec<Term>),
}

/// What is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct ExpressionError {
    /// Where, in characters, from 1.
    pub column: usize,
    /// What is expected there.
    pub problem: String,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is not one; where, and what is expected there.
    pub fn parse(text: &str) -> Result<Expression, ExpressionError> {
        let mut parser = Parser { text, rest: text.char_indices().peekable() };
        let node = parser.either(0)?;
        match parser.next_letter() {
            None => Ok(Expression(node)),
            Some(_) => Err(parser.expected("`==`, `!=`, `&&`, `||` or the end")),
        }
    }

    /// The members that are called, in the order of the expression, some maybe more than once.
    pub fn members(&self) -> Vec<&str> {
        let mut members = Vec::new();
        self.0.collect(&mut members);
        members
    }

    /// Evaluates from left to right as far as it takes to decide, as the policy-server does.
    pub fn evaluate(&self, mut call: impl FnMut(&str) -> bool) -> bool {
        self.0.evaluate(&mut call)
    }
}

impl Term {
    fn collect<'e>(&'e self, members: &mut Vec<&'e str>) {
        match self {
            Term::Member(name) => members.push(name),
            Term::Literal(_) => {}
            Term::Not(node) => node.collect(members),
            Term::Equal(left, right) | Term::Unequal(left, right) => {
                left.collect(members);
                right.collect(members);
            }
            Term::And(nodes) | Term::Or(nodes) => nodes.iter().for_each(|node| node.collect(members)),
        }
    }

    fn evaluate(&self, call: &mut dyn FnMut(&str) -> bool) -> bool {
        match self {
            Term::Member(name) => call(name),
            Term::Literal(value) => *value,
            Term::Not(node) => !node.evaluate(call),
            Term::Equal(left, right) => left.evaluate(call) == right.evaluate(call),
            Term::Unequal(left, right) => left.evaluate(call) != right.evaluate(call),
            Term::And(nodes) => nodes.iter().all(|node| node.evaluate(call)),
            Term::Or(nodes) => nodes.iter().any(|node| node.evaluate(call)),
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    rest: Peekable<CharIndices<'t>>,
}

impl Parser<'_> {
    fn either(&mut self, depth: usize) -> Result<Term, ExpressionError> {
        let first = self.both(depth)?;
        self.chain(first, "||", |parser| parser.both(depth), Term::Or)
    }

    fn both(&mut self, depth: usize) -> Result<Term, ExpressionError> {
        let first = self.comparison(depth)?;
        self.chain(first, "&&", |parser| parser.comparison(depth), Term::And)
    }

    /// From left to right: `a() == b() == c()` compares what came of the first two with the third. Each comparison is
    /// one term within another, so that their number is limited.
    fn comparison(&mut self, depth: usize) -> Result<Term, ExpressionError> {
        let mut term = self.operand(depth)?;
        for comparisons in 0.. {
            let node = if self.takes("==") {
                Term::Equal
            } else if self.takes("!=") {
                Term::Unequal
            } else {
                break;
            };
            if comparisons == DEEPEST {
                return Err(self.problem(format!("more than {DEEPEST} comparisons in a row")));
            }
            term = node(Box::new(term), Box::new(self.operand(depth)?));
        }
        Ok(term)
    }

    /// More operands after the first one, as long as there are operators.
    fn chain(
        &mut self,
        first: Term,
        operator: &str,
        operand: impl Fn(&mut Self) -> Result<Term, ExpressionError>,
        node: fn(Vec<Term>) -> Term,
    ) -> Result<Term, ExpressionError> {
        let mut nodes = vec![first];
        while self.takes(operator) {
            nodes.push(operand(self)?);
        }
        Ok(if nodes.len() == 1 { nodes.swap_remove(0) } else { node(nodes) })
    }

    fn operand(&mut self, depth: usize) -> Result<Term, ExpressionError> {
        if depth > DEEPEST {
            return Err(self.problem(format!("more than {DEEPEST} parentheses and negations within each other")));
        }
        match self.next_letter() {
            Some('!') => {
                self.rest.next();
                Ok(Term::Not(Box::new(self.operand(depth + 1)?)))
            }
            Some('(') => {
                self.rest.next();
                let node = self.either(depth + 1)?;
                self.demand(")").map(|()| node)
            }
            Some(letter) if is_start_of_name(letter) => {
                let name = self.name();
                match name.as_str() {
                    "true" => return Ok(Term::Literal(true)),
                    "false" => return Ok(Term::Literal(false)),
                    _ => self.demand("(")?,
                }
                self.demand(")").map(|()| Term::Member(name))
            }
            _ => Err(self.expected("a member, `true`, `false`, `!` or `(`")),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some((_, letter)) = self.rest.next_if(|(_, letter)| is_part_of_name(*letter)) {
            name.push(letter);
        }
        name
    }

    /// The next letter behind white space and comments.
    fn next_letter(&mut self) -> Option<char> {
        loop {
            while self.rest.next_if(|(_, letter)| letter.is_ascii_whitespace()).is_some() {}
            let at = self.position();
            if !self.text[at..].starts_with("//") {
                return self.rest.peek().map(|(_, letter)| *letter);
            }
            while self.rest.next_if(|(_, letter)| *letter != '\n').is_some() {}
        }
    }

    /// Takes a token if it is next.
    fn takes(&mut self, token: &str) -> bool {
        self.next_letter();
        let at = self.position();
        let is_next = self.text[at..].starts_with(token);
        if is_next {
            self.rest.nth(token.len() - 1);
        }
        is_next
    }

    fn demand(&mut self, token: &str) -> Result<(), ExpressionError> {
        if self.takes(token) { Ok(()) } else { Err(self.expected(&format!("`{token}`"))) }
    }

    /// In bytes.
    fn position(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn expected(&mut self, what: &str) -> ExpressionError {
        let found = self.next_letter().map_or("the end".to_owned(), |letter| format!("{letter:?}"));
        self.problem(format!("expected {what}, found {found}"))
    }

    fn problem(&mut self, problem: String) -> ExpressionError {
        let at = self.position();
        ExpressionError { column: self.text[..at].chars().count() + 1, problem }
    }
}

/// Whether a member can be called by this name.
pub fn is_name(name: &str) -> bool {
    name.starts_with(is_start_of_name) && name.chars().all(is_part_of_name) && !["true", "false"].contains(&name)
}

fn is_start_of_name(letter: char) -> bool {
    letter.is_ascii_alphabetic() || letter == '_'
}

fn is_part_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict, and which members were asked; those that start with `y` say yes.
    fn asked(text: &str) -> (bool, Vec<String>) {
        let mut asked = Vec::new();
        let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let verdict = expression.evaluate(|name| {
            asked.push(name.to_owned());
            name.starts_with('y')
        });
        (verdict, asked)
    }

    #[test]
    fn both_binds_closer_than_either_and_no_member_is_asked_in_vain() {
        for (text, verdict, members) in [
            ("y()", true, "y"),
            ("!y()", false, "y"),
            ("!!n()", false, "n"),
            ("n() && y()", false, "n"),
            ("y() || n()", true, "y"),
            ("y1() || y2() && n()", true, "y1"),
            ("n() && y1() || y2()", true, "n y2"),
            ("n() && (y1() || y2())", false, "n"),
            ("y1() && (n() || !n2())", true, "y1 n n2"),
            ("!n() && y()", true, "n y"),
            ("!(n() && y())", true, "n"),
            ("y() == n()", false, "y n"),
            ("y() != n()", true, "y n"),
            ("n() == false", true, "n"),
            ("y1() || y2() == n()", true, "y1"),
            ("y1() && !n1() != n2()", true, "y1 n1 n2"),
            ("n1() == n2() == n3()", false, "n1 n2 n3"),
            ("n1() == (n2() == n3())", false, "n1 n2 n3"),
            ("n() // no\n || y() // yes", true, "n y"),
            (" y1\t(\n) &&y_2( )&& _n()", false, "y1 y_2 _n"),
        ] {
            let members: Vec<String> = members.split(' ').map(str::to_owned).collect();
            assert_eq!(asked(text), (verdict, members), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_told_where() {
        for (text, expected) in [
            ("", "column 1: expected a member, `true`, `false`, `!` or `(`, found the end"),
            ("a", "column 2: expected `(`, found the end"),
            ("a(", "column 3: expected `)`, found the end"),
            ("a(1)", "column 3: expected `)`, found '1'"),
            ("a() b()", "column 5: expected `==`, `!=`, `&&`, `||` or the end, found 'b'"),
            ("a() & b()", "column 5: expected `==`, `!=`, `&&`, `||` or the end, found '&'"),
            ("a() &&", "column 7: expected a member, `true`, `false`, `!` or `(`, found the end"),
            ("(a()", "column 5: expected `)`, found the end"),
            ("a())", "column 4: expected `==`, `!=`, `&&`, `||` or the end, found ')'"),
            ("a-b()", "column 2: expected `(`, found '-'"),
            ("true()", "column 5: expected `==`, `!=`, `&&`, `||` or the end, found '('"),
            ("a() = b()", "column 5: expected `==`, `!=`, `&&`, `||` or the end, found '='"),
            ("a() ^ b()", "column 5: expected `==`, `!=`, `&&`, `||` or the end, found '^'"),
            ("a() ? b() : c()", "column 5: expected `==`, `!=`, `&&`, `||` or the end, found '?'"),
            ("a() /* b */", "column 5: expected `==`, `!=`, `&&`, `||` or the end, found '/'"),
            ("a() ==", "column 7: expected a member, `true`, `false`, `!` or `(`, found the end"),
            ("1()", "column 1: expected a member, `true`, `false`, `!` or `(`, found '1'"),
            ("a() || é()", "column 8: expected a member, `true`, `false`, `!` or `(`, found 'é'"),
        ] {
            assert_eq!(Expression::parse(text).map_err(|error| error.to_string()), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| format!("{}a(){}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(Expression::parse(&nested(DEEPEST)).map(|of| of.members().len()), Ok(1));
        let problem = "more than 32 parentheses and negations within each other".to_owned();
        for text in [nested(DEEPEST + 1), nested(100_000), "!".repeat(100_000)] {
            assert_eq!(Expression::parse(&text), Err(ExpressionError { column: 34, problem: problem.clone() }));
        }
        let compared = |times: usize| vec!["a()"; times + 1].join(" == ");
        assert_eq!(Expression::parse(&compared(DEEPEST)).map(|of| of.members().len()), Ok(33));
        let problem = "more than 32 comparisons in a row".to_owned();
        assert_eq!(Expression::parse(&compared(100_000)), Err(ExpressionError { column: 231, problem }));
        // A chain is not a nesting.
        let chain = vec!["a()"; 100_000].join(" && ");
        assert_eq!(Expression::parse(&chain).map(|of| of.members().len()), Ok(100_000));
    }
}
