//! The `matchConditions` of a webhook.

use thiserror::Error;

use crate::environment::Environment;
use crate::error::{CompileError, EvaluationError};
use crate::expression::{Answer, Expression};
use crate::inputs::Inputs;

/// How many conditions a webhook has at most.
const MOST: usize = 64;

/// The conditions of a webhook, compiled.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    conditions: Vec<(String, Expression)>,
}

/// Conditions that the API server refuses, or that cannot be evaluated here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConditionsError {
    /// There are too many.
    #[error("matchConditions: found {found} conditions, at most {MOST} are allowed")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// A name that the API server does not take.
    #[error(
        "matchConditions[{index}].name: found {name:?}, expected a qualified name as in example.com/not-system: letters, digits, -, _ and ., at most 63 characters, after an optional domain and /"
    )]
    Name {
        /// The position of the condition, from 0 on.
        index: usize,
        /// Its name.
        name: String,
    },
    /// Two conditions of one name.
    #[error("matchConditions[{index}].name: found {name:?} a second time, expected names that are unique")]
    Duplicate {
        /// The position of the second condition, from 0 on.
        index: usize,
        /// Its name.
        name: String,
    },
    /// An expression that is refused.
    #[error("matchConditions[{index}].expression ({name}): {error}")]
    Expression {
        /// The position of the condition, from 0 on.
        index: usize,
        /// Its name.
        name: String,
        /// Why it is refused.
        error: Box<CompileError>,
    },
}

/// What conditions say about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All are true: the webhook is called.
    Match,
    /// One is false, whatever the others are: the webhook is not called.
    NoMatch {
        /// The first condition that is false.
        condition: String,
    },
    /// None is false, and one or more have no value: `failurePolicy` decides, `Fail` if it is not set.
    Error {
        /// The names of the conditions without a value, each with why it has none: one at least.
        failed: Vec<(String, EvaluationError)>,
    },
}

impl Conditions {
    /// Compiles conditions, each a name and an expression.
    ///
    /// # Errors
    /// The API server refuses them, or one of them cannot be evaluated here.
    pub fn compile(conditions: &[(&str, &str)]) -> Result<Conditions, ConditionsError> {
        Conditions::compile_in(&Environment::match_conditions(), conditions)
    }

    /// Compiles conditions that may name `params`, as those of a policy that takes some.
    ///
    /// # Errors
    /// As [`Conditions::compile`].
    pub fn compile_with_params(conditions: &[(&str, &str)]) -> Result<Conditions, ConditionsError> {
        Conditions::compile_in(&Environment::match_conditions().with_params(), conditions)
    }

    fn compile_in(environment: &Environment, conditions: &[(&str, &str)]) -> Result<Conditions, ConditionsError> {
        if conditions.len() > MOST {
            return Err(ConditionsError::TooMany { found: conditions.len() });
        }
        let mut compiled: Vec<(String, Expression)> = Vec::new();
        for (index, (name, expression)) in conditions.iter().enumerate() {
            let name = (*name).to_owned();
            if !is_qualified(&name) {
                return Err(ConditionsError::Name { index, name });
            }
            if compiled.iter().any(|(known, _)| *known == name) {
                return Err(ConditionsError::Duplicate { index, name });
            }
            match Expression::compile(expression, environment) {
                Ok(expression) => compiled.push((name, expression)),
                Err(error) => return Err(ConditionsError::Expression { index, name, error: Box::new(error) }),
            }
        }
        Ok(Conditions { conditions: compiled })
    }

    /// Whether there are none, which matches every request.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// The conditions that read `request.userInfo`: they need to know who sends the request.
    pub fn reading_user_info(&self) -> impl Iterator<Item = &str> {
        self.named(Expression::reads_user_info)
    }

    /// The conditions that read `namespaceObject`, which is `null` here: they have no value where they read it.
    pub fn reading_namespace(&self) -> impl Iterator<Item = &str> {
        self.named(Expression::reads_namespace)
    }

    fn named(&self, wanted: impl Fn(&Expression) -> bool) -> impl Iterator<Item = &str> {
        self.conditions.iter().filter(move |(_, expression)| wanted(expression)).map(|(name, _)| name.as_str())
    }

    /// Evaluates the conditions for a request.
    pub fn evaluate(&self, inputs: &Inputs) -> Outcome {
        let mut failed = Vec::new();
        for (name, expression) in &self.conditions {
            match expression.evaluate(inputs) {
                Ok(Answer::Bool(true)) => {}
                Ok(Answer::Bool(false)) => return Outcome::NoMatch { condition: name.clone() },
                Ok(other) => {
                    let problem = EvaluationError(format!("expected true or false, found {other:?}"));
                    failed.push((name.clone(), problem));
                }
                Err(problem) => failed.push((name.clone(), problem)),
            }
        }
        if failed.is_empty() { Outcome::Match } else { Outcome::Error { failed } }
    }
}

/// A qualified name of Kubernetes: a name, after an optional domain and a slash.
fn is_qualified(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = |name: &str| {
        let ends = name.bytes().next().zip(name.bytes().last());
        let ends = ends.is_some_and(|(first, last)| first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric());
        ends && name.len() <= 63 && name.bytes().all(inside)
    };
    let is_label = |label: &str| {
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = label.bytes().next().zip(label.bytes().last());
        ends.is_some_and(|(first, last)| lower(first) && lower(last))
            && label.bytes().all(|byte| lower(byte) || byte == b'-')
    };
    match text.split_once('/') {
        Some((domain, name)) => domain.len() <= 253 && domain.split('.').all(is_label) && is_name(name),
        None => is_name(text),
    }
}
