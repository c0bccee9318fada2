//! Documents as types: what is of another type is an error with its path, what nobody reads is named.

use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

/// Reads a value as a type, and tells the paths of the fields that the type does not have.
///
/// # Errors
/// The path of what is of another type, and what was expected there.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<(T, Vec<String>), String> {
    let mut unknown = Vec::new();
    let mut ignore = |path: Path<'_>| unknown.push(dotted(&path));
    let read = serde_path_to_error::deserialize(serde_ignored::Deserializer::new(value, &mut ignore));
    let read = read.map_err(|error| {
        let path = error.path().to_string();
        if path == "." { error.inner().to_string() } else { format!("{path}: {}", error.inner()) }
    })?;
    Ok((read, unknown))
}

/// The path as Kubernetes writes it.
fn dotted(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", dotted(parent)),
        Path::Map { parent, key } => match dotted(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => dotted(parent),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only read")]
        list: Option<Vec<Inner>>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only read")]
        number: i64,
    }

    #[test]
    fn fields_are_named_by_their_paths() {
        let (_, unknown) = read::<Outer>(&json!({"list": [{"number": 1, "other": {}}], "more": 1})).unwrap();
        assert_eq!(unknown, ["list[0].other", "more"]);
        let problem = read::<Outer>(&json!({"list": [{"number": "1"}]})).unwrap_err();
        assert_eq!(problem, "list[0].number: invalid type: string \"1\", expected i64");
        assert_eq!(read::<Outer>(&json!(1)).unwrap_err(), "invalid type: integer `1`, expected struct Outer");
    }
}
