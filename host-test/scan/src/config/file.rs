//! Reads a configuration from YAML, with the place of an error.

use serde_saphyr::Location;

use super::located::Node;
use super::{Config, NO_TARGET, expected_first, prefix, unknown_field, within};
use crate::finding::Position;

/// A configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {message}", position.line, position.col)]
pub struct ConfigError {
    /// Where in the file.
    pub position: Position,
    /// The field, what was expected and what was found.
    pub message: String,
}

impl Config {
    /// Reads a configuration. An empty one sets nothing.
    ///
    /// # Errors
    /// When it is not YAML, or a field is unknown, is missing or has a value that it cannot have.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let error = |location: Location, message| ConfigError { position: position(text, location), message };
        // In YAML 1.2, `yes` is a string.
        let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
        let root: Node = serde_saphyr::from_str_with_options(text, options).map_err(|broken| {
            let location = broken.location().unwrap_or(Location::UNKNOWN);
            let message = broken.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            let place = format!(" at line {}, column {}", location.line(), location.column());
            error(location, message.strip_suffix(&place).unwrap_or(&message).to_owned())
        })?;
        let value = root.value();
        if value.is_null() {
            return Ok(Self::default());
        }
        // serde would read a list as the fields of a structure in their order.
        let structures = [(String::new(), &root)].into_iter().chain(root.under("policy")).chain(root.under("ignore"));
        for (path, node) in structures {
            if node.is_list() {
                return Err(error(node.location(), format!("{}expected a map of fields, found a list", prefix(&path))));
            }
        }
        let mut config: Self = serde_path_to_error::deserialize(value).map_err(|wrong| {
            let (path, message) = (wrong.path().to_string(), wrong.inner().to_string());
            // The key is the place, and the message names it.
            let location = match unknown_field(&message) {
                Some(_) => root.key_at(wrong.path()),
                None => root.at(wrong.path()),
            };
            error(location, format!("{}{}", prefix(within(&path, &message)), expected_first(&message)))
        })?;
        for (entry, (path, node)) in config.ignore.iter_mut().zip(root.under("ignore")) {
            if !entry.has_target() {
                let message = format!("{path}: {NO_TARGET}");
                return Err(error(node.location(), message));
            }
            entry.line = node.location().line() as usize;
        }
        Ok(config)
    }
}

fn position(text: &str, location: Location) -> Position {
    let (line, col) = (location.line().max(1) as usize, location.column().max(1) as usize);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let before: usize = text[start..].chars().take(col - 1).map(char::len_utf8).sum();
    Position { line, col, byte: start + before }
}
