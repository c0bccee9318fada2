//! Names that users write: what was meant instead of one that does not exist.

/// The known name that is near to an unknown one, if one is.
pub fn near<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let (distance, near) = known.into_iter().map(|of| (strsim::damerau_levenshtein(name, of), of)).min()?;
    (distance <= name.chars().count() / 3 + 1).then_some(near)
}

/// What a message says of the name of a policy that does not exist: the one that was meant, or all that exist.
pub fn unknown_policy<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match near(name, known.iter().copied()) {
        Some(near) => format!("unknown policy {name:?}, did you mean `{near}`?"),
        None => format!("unknown policy {name:?}; expected one of: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_does_not_exist_is_guessed_or_all_are_listed() {
        for (name, expected) in [
            ("privilege", "unknown policy \"privilege\", did you mean `privileged`?"),
            ("volume", "unknown policy \"volume\", did you mean `volumes`?"),
            ("nope", "unknown policy \"nope\"; expected one of: privileged, users, volumes"),
            ("a\nb", "unknown policy \"a\\nb\"; expected one of: privileged, users, volumes"),
        ] {
            assert_eq!(unknown_policy(name, ["privileged", "users", "volumes"]), expected);
        }
    }
}
