//! What an expression may name, and what it must evaluate to.

use std::fmt::{self, Display, Formatter};

use crate::expression::Expression;
use crate::structs;
use crate::types::Type;

/// What an expression may evaluate to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    /// Exactly `bool`, as conditions and validations do.
    Bool,
    /// Exactly `string`, as messages do.
    String,
    /// `string` or `null`, as audit annotations do.
    StringOrNull,
    /// Anything, as variables do.
    Anything,
}

impl Returns {
    pub(crate) fn takes(self, found: &Type) -> bool {
        match self {
            Returns::Bool => *found == Type::Bool,
            Returns::String => *found == Type::String,
            Returns::StringOrNull => matches!(found, Type::String | Type::Null),
            Returns::Anything => true,
        }
    }
}

impl Display for Returns {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Returns::Bool => "bool",
            Returns::String => "string",
            Returns::StringOrNull => "string or null",
            Returns::Anything => "anything",
        })
    }
}

/// What an expression may name: `object`, `oldObject`, `request`, `namespaceObject`, and what is added.
#[derive(Debug, Clone)]
pub struct Environment {
    returns: Returns,
    params: bool,
    variables: Vec<(String, Expression)>,
}

impl Environment {
    /// What an admission expression may name, and what it must evaluate to.
    pub fn admission(returns: Returns) -> Environment {
        Environment { returns, params: false, variables: Vec::new() }
    }

    /// The environment of a webhook's `matchConditions`.
    pub fn match_conditions() -> Environment {
        Environment::admission(Returns::Bool)
    }

    /// Declares `params`.
    pub fn with_params(mut self) -> Environment {
        self.params = true;
        self
    }

    /// Declares `variables.NAME`. Its expression is evaluated when one that names it is, and an error in it is an error
    /// where it is named.
    pub fn with_variable(mut self, name: &str, expression: Expression) -> Environment {
        self.variables.push((name.to_owned(), expression));
        self
    }

    /// The same names for an expression that must evaluate to something else.
    pub fn returning(&self, returns: Returns) -> Environment {
        Environment { returns, ..self.clone() }
    }

    pub(crate) fn returns(&self) -> Returns {
        self.returns
    }

    /// The variables, in the order in which they were declared.
    pub(crate) fn variables(&self) -> &[(String, Expression)] {
        &self.variables
    }

    /// The type of a name.
    pub(crate) fn identifier(&self, name: &str) -> Option<Type> {
        match name {
            "object" | "oldObject" => Some(Type::Dyn),
            "params" => self.params.then_some(Type::Dyn),
            "request" => Some(Type::Struct(structs::REQUEST)),
            "namespaceObject" => Some(Type::Struct(structs::NAMESPACE)),
            "variables" => (!self.variables.is_empty()).then_some(Type::Struct(structs::VARIABLES)),
            _ => None,
        }
    }

    /// The names that are declared, for an error.
    pub(crate) fn names(&self) -> String {
        let names = ["object", "oldObject", "request", "namespaceObject", "params", "variables"];
        let declared: Vec<&str> = names.into_iter().filter(|name| self.identifier(name).is_some()).collect();
        declared.join(", ")
    }

    /// The fields of a type with fields.
    pub(crate) fn fields(&self, of: &str) -> Vec<(&str, Type)> {
        if of != structs::VARIABLES {
            return structs::fields(of);
        }
        self.variables.iter().map(|(name, expression)| (name.as_str(), expression.result().clone())).collect()
    }
}
