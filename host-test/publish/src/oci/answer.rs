//! Reads what registries send: manifests, lists, tokens, challenges and error pages. Every text may be hostile.

use std::collections::BTreeMap;

use http_auth::parse_challenges;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The media type of a [`Manifest`].
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an [`Index`].
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// How much of a text from a registry a message shows, in characters.
const SHOWN: usize = 200;

/// How many of the problems of an error page a message shows.
const PROBLEMS: usize = 3;

/// What a blob or a manifest is, and how to name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// `sha256:` and 64 hexadecimal digits. It becomes a part of an address, so nothing else is read.
    #[serde(deserialize_with = "digest")]
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// What somebody wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// In a list, what kind of artifact a manifest describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// An artifact: what it consists of. The addresses that a descriptor may have (`urls`) are not read, so nothing is
/// fetched from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u8,
    /// [`MANIFEST_TYPE`], or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// For images; policies have an empty one.
    pub config: Descriptor,
    /// The contents.
    pub layers: Vec<Descriptor>,
    /// The artifact that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// What kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What somebody wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Default for Manifest {
    fn default() -> Manifest {
        Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST_TYPE.to_owned()),
            config: Descriptor::default(),
            layers: Vec::new(),
            subject: None,
            artifact_type: None,
            annotations: None,
        }
    }
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// It is not one, in words that follow "its manifest: ".
    pub fn read(text: &[u8]) -> Result<Manifest, String> {
        let manifest: Manifest = serde_json::from_slice(text).map_err(|error| match Index::read(text) {
            Ok(_) => "it is a list of manifests; expected one of an artifact".to_owned(),
            Err(_) => shown(&error.to_string()),
        })?;
        if manifest.schema_version != 2 {
            return Err(format!("schemaVersion is {}; expected 2", manifest.schema_version));
        }
        Ok(manifest)
    }

    /// The text that is published. The same manifest gives the same bytes.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers serialise")
    }
}

/// A list of manifests: what refers to an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u8,
    /// [`INDEX_TYPE`], or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
}

impl Default for Index {
    fn default() -> Index {
        Index { schema_version: 2, media_type: Some(INDEX_TYPE.to_owned()), manifests: Vec::new() }
    }
}

impl Index {
    /// Reads a list.
    ///
    /// # Errors
    /// It is not one, in words.
    pub fn read(text: &[u8]) -> Result<Index, String> {
        serde_json::from_slice(text).map_err(|error| shown(&error.to_string()))
    }

    /// The text that is published.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers serialise")
    }
}

/// Whether a text is a digest by SHA-256 as registries write it.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hexadecimal| {
        hexadecimal.len() == 64 && hexadecimal.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_digest(&text) {
        return Ok(text);
    }
    Err(D::Error::custom(format!("digest {:?}; expected sha256: and 64 hexadecimal digits", shown(&text))))
}

/// How a registry asks for credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// With name and password.
    Basic,
    /// With a token, which another server gives for them.
    Bearer {
        /// The address of that server.
        realm: String,
        /// The name of the registry there.
        service: Option<String>,
    },
}

/// Reads a `WWW-Authenticate`: the first challenge that can be met, a token before a password.
pub fn challenge(header: &str) -> Option<Challenge> {
    let challenges = parse_challenges(header).ok()?;
    let bearer = challenges.iter().filter(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"));
    let bearer = bearer.filter_map(|challenge| {
        let parameter = |name: &str| {
            let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        Some(Challenge::Bearer { realm: parameter("realm")?, service: parameter("service") })
    });
    let has_basic = challenges.iter().any(|challenge| challenge.scheme.eq_ignore_ascii_case("basic"));
    bearer.chain(has_basic.then_some(Challenge::Basic)).next()
}

/// Reads the answer of a server that gives tokens.
///
/// # Errors
/// There is none in it, or none that a header can carry, in words.
pub fn token(answer: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| shown(&error.to_string()))?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| "neither token nor access_token".to_owned())?;
    match token.chars().find(|character| !character.is_ascii_graphic()) {
        None => Ok(token),
        Some(character) => Err(format!("the token contains {character:?}, which no header can carry")),
    }
}

/// What a registry says went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// For programs, such as `MANIFEST_UNKNOWN`.
    #[serde(default)]
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

impl Problem {
    /// Code and message, cut to what a message can show.
    pub fn shown(&self) -> String {
        match (self.code.is_empty(), self.message.is_empty()) {
            (_, true) => shown(&self.code),
            (true, false) => shown(&self.message),
            (false, false) => shown(&format!("{}: {}", self.code, self.message)),
        }
    }
}

/// Reads an error page; nothing if it is in another format.
pub fn problems(page: &[u8]) -> Vec<Problem> {
    #[derive(Deserialize)]
    struct Page {
        errors: Vec<Problem>,
    }
    let page: Option<Page> = serde_json::from_slice(page).ok();
    page.map(|page| page.errors).unwrap_or_default().into_iter().take(PROBLEMS).collect()
}

/// Reads a `Link`: the address of the next page of a list.
pub fn next_page(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then_some(address)
    })
}

/// The start of a text, for a message.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_nothing_but_a_digest() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert!(is_digest(&good));
        for bad in
            ["", "sha256:", "sha256:0a", &good.to_uppercase(), &good.replace("0a0a", "../."), &format!("{good}0")]
        {
            assert!(!is_digest(bad), "{bad}");
        }
    }

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        for (header, expected) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("Bearer realm=\"https://a/t\",service=\"s\"", bearer("https://a/t", Some("s"))),
            ("Basic realm=\"x\", bearer Realm=\"https://a/t\"", bearer("https://a/t", None)),
            ("Bearer service=\"s\"", None),
            ("Negotiate", None),
            ("", None),
            ("Bearer realm=\"", None),
        ] {
            assert_eq!(challenge(header), expected, "{header}");
        }
    }

    #[test]
    fn tokens_are_what_a_header_can_carry() {
        for (answer, expected) in [
            (r#"{"token": "a.b-c"}"#, Ok("a.b-c")),
            (r#"{"access_token": "d"}"#, Ok("d")),
            (r#"{"token": "a\nb"}"#, Err("the token contains '\\n', which no header can carry")),
            (r#"{"token": ""}"#, Err("neither token nor access_token")),
            (r#"{"token": 1}"#, Err("invalid type: integer `1`, expected a string at line 1 column 11")),
        ] {
            assert_eq!(token(answer.as_bytes()), expected.map(str::to_owned).map_err(str::to_owned), "{answer}");
        }
    }

    #[test]
    fn the_next_page_is_found() {
        for (header, expected) in [
            ("</v2/a?n=2>; rel=\"next\"", Some("/v2/a?n=2")),
            ("<a>; rel=prev, <b>; rel=next", Some("b")),
            ("<a>; rel=\"last\"", None),
            ("a; rel=next", None),
            ("<a", None),
        ] {
            assert_eq!(next_page(header), expected, "{header}");
        }
    }
}
