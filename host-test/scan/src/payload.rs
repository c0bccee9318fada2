//! The payload of a policy for the request to create an object.

use crate::AdmissionRequest;

/// The policy-server answers larger bodies with HTTP 413, before a policy sees them. In bytes.
pub const LARGEST_BODY: usize = 2 << 20;

/// A request is larger than [`LARGEST_BODY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request has {size} bytes; a policy-server refuses more than {LARGEST_BODY} (HTTP 413)")]
pub struct TooLarge {
    /// The request as compact JSON, in bytes.
    pub size: usize,
}

/// Checks that a policy-server would take a payload.
///
/// # Errors
/// It is larger than [`LARGEST_BODY`].
pub fn check_size(payload: &[u8]) -> Result<(), TooLarge> {
    if payload.len() > LARGEST_BODY { Err(TooLarge { size: payload.len() }) } else { Ok(()) }
}

/// A request to create an object, as the text that all policies get, each with its own settings behind it.
///
/// The object is never parsed here: what has it as text pays for no tree of values. So its keys stay in the order of the
/// text, which a server sorts. No verdict of Podfence's policies depends on that order, and of their texts only these:
/// which of several places that cannot be read is named, the order of violations of several annotations, of templates
/// that a custom kind has below an object, and of the keys in a value that is an object.
#[derive(Debug, Clone, Default)]
pub struct CreationText {
    payload: Vec<u8>,
    /// Where the request ends.
    end: usize,
}

impl CreationText {
    /// Takes the place of the request before, in the same memory: `request` without its object, and the object as
    /// JSON.
    pub fn set(&mut self, request: &AdmissionRequest, object: &str) {
        self.payload.clear();
        self.payload.extend_from_slice(br#"{"request":"#);
        serde_json::to_writer(&mut self.payload, request).expect("JSON values serialise");
        let brace = self.payload.pop();
        debug_assert_eq!(brace, Some(b'}'), "a request is an object");
        self.payload.extend_from_slice(br#","object":"#);
        self.payload.extend_from_slice(object.as_bytes());
        self.payload.push(b'}');
        self.end = self.payload.len();
    }

    /// The payload of `validate`, which says the same as a policy-server's. `settings` are JSON.
    ///
    /// # Errors
    /// It is larger than [`LARGEST_BODY`].
    pub fn payload(&mut self, settings: &str) -> Result<&[u8], TooLarge> {
        self.payload.truncate(self.end);
        self.payload.extend_from_slice(br#","settings":"#);
        self.payload.extend_from_slice(settings.as_bytes());
        self.payload.push(b'}');
        check_size(&self.payload)?;
        Ok(&self.payload)
    }
}
