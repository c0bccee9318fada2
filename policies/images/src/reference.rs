//! References to images, and patterns of them, by the grammar that container runtimes share (that of the project
//! distribution).

use podfence_core::{String, concat, split};

/// The registry of references that name none.
const HUB: &str = "docker.io";

/// What runtimes read as [`HUB`].
const OLD_HUB: &str = "index.docker.io";

/// Most bytes of a reference.
const MOST_BYTES: usize = 4096;

/// Most bytes of a tag.
const MOST_OF_TAG: usize = 128;

/// A normalized reference, or a pattern of references.
pub struct Reference<'t> {
    /// Whether the text names no registry.
    pub is_short: bool,
    /// The tag in the text.
    pub tag: Option<&'t str>,
    /// The digest.
    pub digest: Option<&'t str>,
    registry: &'t str,
    /// The repository; empty in the pattern of a whole registry.
    path: String,
}

impl<'t> Reference<'t> {
    /// Reads the image of a container; `None` if it is not a reference.
    pub fn image(text: &'t str) -> Option<Self> {
        if text.len() > MOST_BYTES || is_id(text) { None } else { Self::read(text, false) }
    }

    /// Reads a pattern; `None` if it is invalid.
    ///
    /// A registry alone stands for everything in it. A label of the registry may be `*`, and so may a component of the
    /// repository; the last one may be `**`, which stands for one or more.
    pub fn pattern(text: &'t str) -> Option<Self> {
        Self::read(text, true)
    }

    fn read(text: &'t str, is_pattern: bool) -> Option<Self> {
        let (name, digest) = parts(text, b'@');
        let (first, behind) = parts(name, b'/');
        let is_whole_registry = is_pattern && behind.is_none() && is_registry(split(first, b':').0);
        let (registry, rest) = match behind {
            Some(behind) if is_registry(first) => (first, behind),
            None if is_whole_registry => (first, ""),
            _ => ("", name),
        };
        let (path, tag) = parts(rest, b':');
        let is_short = registry.is_empty();
        let is_open = is_short && path.as_bytes().first() == Some(&b'*');
        if is_open
            || !(is_short || is_host(registry, is_pattern))
            || !(is_whole_registry && digest.is_none() || is_path(path, is_pattern))
            || !tag.is_none_or(is_tag)
            || !digest.is_none_or(is_digest)
        {
            return None;
        }
        let is_hub = |hub: &&str| registry.eq_ignore_ascii_case(hub);
        let hub = [HUB, OLD_HUB].into_iter().find(is_hub);
        // Runtimes know these two in lower case alone: another spelling is a registry to them, and has no `library/`.
        if hub.is_some_and(|hub| hub != registry) {
            return None;
        }
        let is_of_hub = is_short || hub.is_some();
        let is_official = is_of_hub && !matches!(path, "" | "**") && parts(path, b'/').1.is_none();
        let path = concat(&[if is_official { "library/" } else { "" }, path]);
        Some(Self { is_short, tag, digest, registry: if is_of_hub { HUB } else { registry }, path })
    }

    /// Whether this is the pattern of everything in a registry.
    pub fn is_registry(&self) -> bool {
        !self.is_short && self.path == "**"
    }

    /// The tag that a runtime pulls if there is no digest.
    pub fn tag(&self) -> &'t str {
        self.tag.unwrap_or("latest")
    }

    /// Whether this pattern covers an image. `any_port` is whether a registry without a port covers each of its ports.
    pub fn covers(&self, image: &Self, any_port: bool) -> bool {
        let is_version = match (self.digest, self.tag) {
            // With a digest, runtimes ignore the tag.
            (Some(digest), _) => image.digest == Some(digest),
            (None, Some(tag)) => image.digest.is_none() && image.tag() == tag,
            (None, None) => true,
        };
        is_version && covers_host(self.registry, image.registry, any_port) && covers_path(&self.path, &image.path)
    }
}

/// Whether a text is the ID of an image, or the start of one: a runtime takes the image on the node that it fits,
/// wherever that comes from.
fn is_id(text: &str) -> bool {
    match parts(text, b':') {
        ("sha256" | "sha384" | "sha512", Some(digits)) => is_hex(digits),
        _ => text.len() == 64 && is_hex(text),
    }
}

/// Whether a pattern could end in the port of a registry as well as in a tag, such as `registry:5000`.
pub fn is_ambiguous(text: &str) -> bool {
    let (name, port) = parts(text, b':');
    let is_component = !name.bytes().any(|byte| matches!(byte, b'/' | b'@'));
    is_component && !is_registry(name) && port.is_some_and(is_number)
}

/// The text before a separator, and the text behind it.
fn parts(text: &str, separator: u8) -> (&str, Option<&str>) {
    let (before, behind) = split(text, separator);
    (before, if before.len() < text.len() { Some(behind) } else { None })
}

/// Whether the first component of a name is a registry, and not a part of the repository.
fn is_registry(first: &str) -> bool {
    first.bytes().any(|byte| matches!(byte, b'.' | b':')) || first.eq_ignore_ascii_case("localhost")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text is the number of a port as it is written: another spelling would be the same port and another text.
fn is_port(text: &str) -> bool {
    is_number(text) && !text.starts_with('0') && text.parse::<u16>().is_ok()
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The name or address of a host, and its port.
fn host(registry: &str) -> (&str, Option<&str>) {
    // The colons of an IPv6 address are in brackets.
    let at = registry.bytes().rposition(|byte| matches!(byte, b':' | b']')).unwrap_or(registry.len());
    match registry.as_bytes().get(at) {
        Some(b':') => (registry.get(..at).unwrap_or_default(), registry.get(at + 1..)),
        _ => (registry, None),
    }
}

fn labels(name: &str) -> impl Iterator<Item = &[u8]> {
    name.as_bytes().split(|&byte| byte == b'.')
}

fn is_host(registry: &str, is_pattern: bool) -> bool {
    let (name, port) = host(registry);
    let is_name = match name.as_bytes() {
        [b'[', address @ .., b']'] => {
            !address.is_empty() && address.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b':')
        }
        _ => labels(name).all(|label| {
            let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
            let has_ends = !matches!(label, [] | [b'-', ..] | [.., b'-']);
            has_ends && label.iter().all(is_inside) || is_pattern && label == b"*"
        }),
    };
    is_name && port.is_none_or(is_port)
}

fn components(path: &str) -> impl Iterator<Item = &[u8]> {
    path.as_bytes().split(|&byte| byte == b'/')
}

fn is_path(path: &str, is_pattern: bool) -> bool {
    let mut is_over = false;
    components(path).all(|component| {
        let is_rest = is_pattern && component == b"**";
        let is_behind = core::mem::replace(&mut is_over, is_rest);
        !is_behind && (is_rest || is_pattern && component == b"*" || is_component(component))
    })
}

/// Letters and digits, with separators between them: `.`, `_`, `__`, or hyphens.
fn is_component(component: &[u8]) -> bool {
    let is_plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let is_separator =
        |between: &[u8]| matches!(between, b"." | b"_" | b"__") || between.iter().all(|&byte| byte == b'-');
    component.first().is_some_and(is_plain)
        && component.last().is_some_and(is_plain)
        && component.split(is_plain).all(is_separator)
}

/// Whether this can be a tag.
pub fn is_tag(tag: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    tag.len() <= MOST_OF_TAG && !matches!(tag.as_bytes(), [] | [b'.' | b'-', ..]) && tag.bytes().all(is_inside)
}

fn is_digest(digest: &str) -> bool {
    let (algorithm, hash) = split(digest, b':');
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hash.len() == length && is_hex(hash)
}

fn covers_host(pattern: &str, registry: &str, any_port: bool) -> bool {
    let ((pattern, expected), (name, port)) = (host(pattern), host(registry));
    let mut others = labels(name);
    let is_like = |label: &[u8]| others.next().is_some_and(|other| label == b"*" || label.eq_ignore_ascii_case(other));
    labels(pattern).all(is_like) && others.next().is_none() && (expected == port || any_port && expected.is_none())
}

fn covers_path(pattern: &str, path: &str) -> bool {
    if pattern.is_empty() {
        return true;
    }
    let mut others = components(path);
    for component in components(pattern) {
        match others.next() {
            Some(_) if component == b"**" => return true,
            Some(other) if component == b"*" || component == other => {}
            _ => return false,
        }
    }
    others.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_may_have_4096_bytes_and_a_tag_128() {
        let (path, tag) = ("a".repeat(MOST_BYTES), "b".repeat(MOST_OF_TAG));
        assert!(Reference::image(&path).is_some());
        assert!(Reference::image(&format!("{path}a")).is_none());
        assert!(Reference::image(&format!("a:{tag}")).is_some());
        assert!(Reference::image(&format!("a:{tag}b")).is_none());
    }
}
