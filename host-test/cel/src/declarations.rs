//! The functions and operators that Kubernetes declares, with their types: `declarations.txt`.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::types::{CIDR, DURATION, FORMAT, IP, QUANTITY, SEMVER, TIMESTAMP, Type, URL};

/// One way to call a function.
pub(crate) struct Overload {
    /// Whether the first parameter stands before the dot.
    pub member: bool,
    pub parameters: Vec<Type>,
    pub result: Type,
    /// How many type parameters it has; they are the variables from 0 on.
    pub variables: usize,
}

/// The ways to call each function.
pub(crate) static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut functions: HashMap<&str, Vec<Overload>> = HashMap::new();
    let lines = include_str!("declarations.txt").lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, overload) = declaration(line).unwrap_or_else(|| panic!("declarations.txt: {line:?}"));
        functions.entry(name).or_default().push(overload);
    }
    functions
});

/// What a name stands for that is the name of a type.
pub(crate) fn type_name(name: &str) -> bool {
    matches!(
        name,
        "bool"
            | "int"
            | "uint"
            | "double"
            | "string"
            | "bytes"
            | "list"
            | "map"
            | "null_type"
            | "type"
            | "optional_type"
    )
}

/// `receiver.name(types) -> type` or `name(types) -> type`.
fn declaration(line: &'static str) -> Option<(&'static str, Overload)> {
    let (call, result) = line.rsplit_once(" -> ")?;
    let open = call.match_indices('(').map(|(at, _)| at).find(|at| closes_at_end(&call[*at..]))?;
    let (head, arguments) = (&call[..open], &call[open + 1..call.len() - 1]);
    let mut variables = Vec::new();
    let mut parameters = Vec::new();
    let receiver = head.rsplit_once('.').filter(|(before, _)| {
        !matches!(*before, "ip" | "sets" | "strings" | "lists" | "optional" | "format") || is_member(head)
    });
    let name = match receiver {
        Some((receiver, name)) => {
            parameters.push(read_type(receiver, &mut variables)?);
            name
        }
        None => head,
    };
    for argument in split(arguments) {
        parameters.push(read_type(argument, &mut variables)?);
    }
    let result = read_type(result, &mut variables)?;
    Some((name, Overload { member: receiver.is_some(), parameters, result, variables: variables.len() }))
}

/// `ip` and `format` are types with members, and namespaces with functions.
fn is_member(head: &str) -> bool {
    head.starts_with("ip.") && head != "ip.isCanonical" || head == "format.validate"
}

/// Whether the bracket that opens the text closes at its end.
fn closes_at_end(text: &str) -> bool {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1 == text.len();
        }
    }
    false
}

/// Splits at the commas that are in no bracket.
fn split(arguments: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = arguments.split(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn read_type(text: &'static str, variables: &mut Vec<&'static str>) -> Option<Type> {
    let simple = match text {
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "type" => Type::Meta,
        "duration" => DURATION,
        "timestamp" => TIMESTAMP,
        "quantity" => QUANTITY,
        "semver" => SEMVER,
        "ip" => IP,
        "cidr" => CIDR,
        "url" => URL,
        "format" => FORMAT,
        _ => return read_composed(text, variables),
    };
    Some(simple)
}

fn read_composed(text: &'static str, variables: &mut Vec<&'static str>) -> Option<Type> {
    if text.len() == 1 {
        let number = variables.iter().position(|known| *known == text).unwrap_or_else(|| {
            variables.push(text);
            variables.len() - 1
        });
        return Some(Type::Variable(number));
    }
    let (name, inner) = text.strip_suffix(')')?.split_once('(')?;
    let mut inner = split(inner).into_iter().map(|part| read_type(part, variables)).collect::<Option<Vec<_>>>()?;
    match (name, inner.len()) {
        ("list", 1) => Some(inner.pop()?.list()),
        ("optional", 1) => Some(inner.pop()?.optional()),
        ("map", 2) => {
            let value = inner.pop()?;
            Some(Type::Map(Box::new(inner.pop()?), Box::new(value)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read() {
        let overloads: usize = FUNCTIONS.values().map(Vec::len).sum();
        let lines = include_str!("declarations.txt").lines().filter(|line| line.contains("->")).count();
        assert_eq!(overloads, lines);
        let shown = |name: &str| -> Vec<String> {
            let overloads = FUNCTIONS[name].iter();
            overloads
                .map(|overload| {
                    let parameters: Vec<String> = overload.parameters.iter().map(ToString::to_string).collect();
                    format!("{} ({}) -> {}", overload.member, parameters.join(", "), overload.result)
                })
                .collect()
        };
        assert_eq!(shown("ip"), ["false (string) -> net.IP", "true (net.CIDR) -> net.IP"]);
        assert_eq!(shown("ip.isCanonical"), ["false (string) -> bool"]);
        assert_eq!(shown("isLoopback"), ["true (net.IP) -> bool"]);
        assert_eq!(shown("unwrapOpt"), ["true (list(optional_type(dyn))) -> list(dyn)"]);
        assert_eq!(shown("optional.none"), ["false () -> optional_type(dyn)"]);
    }
}
