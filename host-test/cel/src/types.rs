//! Types of expressions, and whether one can stand where another is expected: the rules of cel-go's checker.

use std::fmt::{self, Display, Formatter};

use crate::structs;

/// The type of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Known when the expression is evaluated.
    Dyn,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// 64 bits with a sign.
    Int,
    /// 64 bits without a sign.
    Uint,
    /// A floating-point number.
    Double,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// A type as a value: `type(x)`, `int`.
    Meta,
    /// A list of one type.
    List(Box<Type>),
    /// A map from one type to another.
    Map(Box<Type>, Box<Type>),
    /// A value that may be absent.
    Optional(Box<Type>),
    /// A type with functions and without fields, by its name: a quantity, a duration.
    Opaque(&'static str),
    /// A type with fields, by its name; `structs` has the fields.
    Struct(&'static str),
    /// A type that the rest of the expression decides.
    Variable(usize),
}

pub(crate) const DURATION: Type = Type::Opaque("google.protobuf.Duration");
pub(crate) const TIMESTAMP: Type = Type::Opaque("google.protobuf.Timestamp");
pub(crate) const QUANTITY: Type = Type::Opaque("kubernetes.Quantity");
pub(crate) const SEMVER: Type = Type::Opaque("kubernetes.Semver");
pub(crate) const IP: Type = Type::Opaque("net.IP");
pub(crate) const CIDR: Type = Type::Opaque("net.CIDR");
pub(crate) const URL: Type = Type::Opaque("kubernetes.URL");
pub(crate) const FORMAT: Type = Type::Opaque("kubernetes.NamedFormat");

impl Type {
    /// A list of this type.
    pub fn list(self) -> Type {
        Type::List(Box::new(self))
    }

    /// A map from strings to this type.
    pub(crate) fn map_of_strings(self) -> Type {
        Type::Map(Box::new(Type::String), Box::new(self))
    }

    /// This type, or absent.
    pub(crate) fn optional(self) -> Type {
        Type::Optional(Box::new(self))
    }

    /// Applies a function to every variable in the type.
    fn replace(&self, variable: &impl Fn(usize) -> Type) -> Type {
        let inner = |inner: &Type| Box::new(inner.replace(variable));
        match self {
            Type::Variable(number) => variable(*number),
            Type::List(element) => Type::List(inner(element)),
            Type::Map(key, value) => Type::Map(inner(key), inner(value)),
            Type::Optional(value) => Type::Optional(inner(value)),
            other => other.clone(),
        }
    }

    /// The type with its variables counted from this number on.
    pub(crate) fn renumbered(&self, first: usize) -> Type {
        self.replace(&|number| Type::Variable(first + number))
    }

    /// The types that this one is made of.
    fn parameters(&self) -> Vec<&Type> {
        match self {
            Type::List(inner) | Type::Optional(inner) => vec![inner],
            Type::Map(key, value) => vec![key, value],
            _ => Vec::new(),
        }
    }

    /// Whether `null` stands for a value of the type.
    fn takes_null(&self) -> bool {
        matches!(self, Type::Null | Type::Opaque(_) | Type::Optional(_) | Type::Struct(_))
    }
}

impl Display for Type {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dyn | Type::Variable(_) => formatter.write_str("dyn"),
            Type::Null => formatter.write_str("null"),
            Type::Bool => formatter.write_str("bool"),
            Type::Int => formatter.write_str("int"),
            Type::Uint => formatter.write_str("uint"),
            Type::Double => formatter.write_str("double"),
            Type::String => formatter.write_str("string"),
            Type::Bytes => formatter.write_str("bytes"),
            Type::Meta => formatter.write_str("type"),
            Type::List(element) => write!(formatter, "list({element})"),
            Type::Map(key, value) => write!(formatter, "map({key}, {value})"),
            Type::Optional(value) => write!(formatter, "optional_type({value})"),
            Type::Opaque(name) => formatter.write_str(name),
            Type::Struct(name) => formatter.write_str(structs::display(name)),
        }
    }
}

/// What is known of the variables so far.
#[derive(Default)]
pub(crate) struct Substitution {
    bound: Vec<Option<Type>>,
    /// What was bound before, in order: an attempt that fails is undone.
    undo: Vec<(usize, Option<Type>)>,
}

impl Substitution {
    /// A variable about which nothing is known.
    pub fn variable(&mut self) -> Type {
        Type::Variable(self.variables(1))
    }

    /// Adds variables; returns the number of the first.
    pub fn variables(&mut self, count: usize) -> usize {
        let first = self.bound.len();
        self.bound.resize(first + count, None);
        first
    }

    /// The type with what is known in place of its variables.
    pub fn apply(&self, of: &Type) -> Type {
        of.replace(&|number| match &self.bound[number] {
            Some(bound) => self.apply(bound),
            None => Type::Variable(number),
        })
    }

    /// Whether each of the types can stand for the other in its place. Remembers what follows for variables if so.
    pub fn agree<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a Type, &'a Type)>) -> bool {
        let start = self.undo.len();
        let agreed = pairs.into_iter().all(|(one, other)| self.assignable(one, other));
        if !agreed {
            for (number, before) in self.undo.drain(start..).rev() {
                self.bound[number] = before;
            }
        }
        agreed
    }

    fn assignable(&mut self, one: &Type, other: &Type) -> bool {
        if let Type::Variable(number) = other {
            let (valid, known) = self.bind(one, *number);
            if valid || known {
                return valid;
            }
        }
        if let Type::Variable(number) = one {
            return self.bind(other, *number).0;
        }
        match (one, other) {
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::Null, known) | (known, Type::Null) => known.takes_null(),
            (Type::List(_), Type::List(_))
            | (Type::Map(..), Type::Map(..))
            | (Type::Optional(_), Type::Optional(_)) => {
                one.parameters().into_iter().zip(other.parameters()).all(|(one, other)| self.assignable(one, other))
            }
            _ => one == other,
        }
    }

    /// Whether a type can stand for a variable, and whether the variable was known.
    fn bind(&mut self, candidate: &Type, number: usize) -> (bool, bool) {
        if *candidate == Type::Variable(number) {
            return (true, true);
        }
        let Some(known) = self.bound[number].clone() else {
            let fresh = self.absent(number, candidate);
            if fresh {
                self.set(number, candidate.clone());
            }
            return (fresh, false);
        };
        if *candidate == known {
            return (true, true);
        }
        if !self.assignable(candidate, &known) {
            return (false, true);
        }
        let general = most_general(candidate, &known).clone();
        if self.absent(number, &general) {
            self.set(number, general);
        }
        (true, true)
    }

    fn set(&mut self, number: usize, to: Type) {
        let before = self.bound[number].replace(to);
        self.undo.push((number, before));
    }

    /// Whether a variable does not occur in a type, which would have no end.
    fn absent(&self, number: usize, within: &Type) -> bool {
        match within {
            Type::Variable(other) if *other == number => false,
            Type::Variable(other) => self.bound[*other].as_ref().is_none_or(|bound| self.absent(number, bound)),
            _ => within.parameters().into_iter().all(|inner| self.absent(number, inner)),
        }
    }
}

/// The more general of two types that agree.
pub(crate) fn most_general<'a>(one: &'a Type, other: &'a Type) -> &'a Type {
    if equal_or_less_specific(one, other) { one } else { other }
}

fn equal_or_less_specific(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Dyn | Type::Variable(_), _) => true,
        (_, Type::Dyn | Type::Variable(_)) => false,
        (known, Type::Null) if known.takes_null() => true,
        (Type::Null, known) if known.takes_null() => false,
        (Type::List(_), Type::List(_)) | (Type::Map(..), Type::Map(..)) | (Type::Optional(_), Type::Optional(_)) => {
            one.parameters().into_iter().zip(other.parameters()).all(|(one, other)| equal_or_less_specific(one, other))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_stand_for_what() {
        let map = |value: Type| value.map_of_strings();
        let cases = [
            (Type::Int, Type::Int, true),
            (Type::Int, Type::Uint, false),
            (Type::Dyn, QUANTITY, true),
            (Type::Null, QUANTITY, true),
            (Type::Null, Type::String, false),
            (Type::Int.list(), Type::Dyn.list(), true),
            (Type::Int.list(), Type::String.list(), false),
            (map(Type::Int), map(Type::Int), true),
            (map(Type::Int), Type::Int.list(), false),
            (Type::Int.optional(), Type::Int, false),
        ];
        for (one, other, expected) in cases {
            assert_eq!(Substitution::default().agree([(&one, &other)]), expected, "{one} and {other}");
        }
    }

    #[test]
    fn a_variable_takes_what_it_first_meets_and_an_attempt_that_fails_leaves_nothing() {
        let mut known = Substitution::default();
        let variable = known.variable();
        assert!(!known.agree([(&Type::Int, &variable), (&Type::Bool, &Type::String)]));
        assert!(known.agree([(&Type::String, &variable)]));
        assert_eq!(known.apply(&variable.clone().list()), Type::String.list());
        assert!(!known.agree([(&Type::Int, &variable)]));
        assert!(!known.agree([(&variable.clone().list(), &variable)]));
    }
}
