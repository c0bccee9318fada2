//! Why an expression is refused, and why one could not be evaluated.

use thiserror::Error;

use crate::limits::{DEPTH, TEXT};

/// An expression that the API server refuses, or that is not evaluated here, with the place in its text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct CompileError {
    /// The line, from 1 on.
    pub line: usize,
    /// The column in characters, from 1 on.
    pub column: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// The text is longer than what is evaluated here.
    #[error("the expression has {found} characters, at most {TEXT} are evaluated")]
    TooLong {
        /// How long it is, in characters.
        found: usize,
    },
    /// The expression is nested deeper than what is evaluated.
    #[error("the expression is nested too deep, at most {DEPTH} levels are evaluated; split it into several")]
    TooDeep,
    /// The text is not an expression.
    #[error("{0}")]
    Syntax(String),
    /// A name that nothing declares.
    #[error("undeclared reference to {name:?}; declared are {declared}")]
    Undeclared {
        /// The name.
        name: String,
        /// The names that would do.
        declared: String,
    },
    /// A function that nothing declares.
    #[error("undeclared function {0:?}; the functions of Kubernetes 1.37 are known")]
    UndeclaredFunction(String),
    /// A field that a type does not declare.
    #[error("undefined field {field:?}; {of} declares {declared}")]
    UndefinedField {
        /// The field.
        field: String,
        /// The type.
        of: String,
        /// The fields that it declares.
        declared: String,
    },
    /// A field of what has none.
    #[error("{of} has no fields, found the selection of {field:?}")]
    NoFields {
        /// The field.
        field: String,
        /// The type.
        of: String,
    },
    /// Arguments that a function does not take.
    #[error("found no matching overload for {function} with ({found}); expected {expected}")]
    NoOverload {
        /// The function or operator.
        function: String,
        /// The types of its arguments.
        found: String,
        /// The types that it takes.
        expected: String,
    },
    /// A value of another type than its place needs.
    #[error("expected {expected}, found {found}")]
    Type {
        /// The type that is needed.
        expected: String,
        /// The type that is there.
        found: String,
    },
    /// The result of the expression is of a type that its place does not take.
    #[error("the expression must evaluate to {expected}, found {found}{}", hint(.found))]
    Result {
        /// The types that its place takes.
        expected: String,
        /// The type of the expression.
        found: String,
    },
    /// A constant that cannot be what it should be.
    #[error("invalid constant: {0}")]
    Constant(String),
    /// What the API server evaluates, and this crate does not.
    #[error("{0} cannot be evaluated here; the API server evaluates it")]
    Unsupported(String),
    /// The system gave no thread to work in.
    #[error("no thread could be started: {0}")]
    Thread(String),
}

/// `object.spec.x` alone is the most frequent mistake.
fn hint(found: &str) -> &'static str {
    if found == "dyn" { "; compare the value, as in … == true" } else { "" }
}

/// Why an expression has no value for these inputs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct EvaluationError(pub(crate) String);
