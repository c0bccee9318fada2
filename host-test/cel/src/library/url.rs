//! URLs as Go's `net/url` reads them: what it takes, and what it makes of the parts, down to each escape.

use std::collections::HashMap;
use std::net::IpAddr;

use cel::common::types::{CelMap, CelMapKey};

use super::*;
use super::{Opaque, URL};
use crate::budget::{bytes, spend};

/// How many pairs a query may have; of more, Go makes none.
const MOST_PAIRS: usize = 10_000;

pub(super) fn declare(declare: &mut Declare<'_>) {
    declare.global("url", [STRING_TYPE], |arguments| {
        let text = text(&arguments, 0)?;
        spend(1 + 4 * bytes(text.len()))?;
        match read(text) {
            Ok(url) => opaque(Opaque::Url(Arc::new(url))),
            Err(problem) => fail("url", format!("URL parse error during conversion from string: {problem}")),
        }
    });
    declare.global("isURL", [STRING_TYPE], |arguments| {
        let text = text(&arguments, 0)?;
        spend(1 + 4 * bytes(text.len()))?;
        yes(parse(text, true).is_ok())
    });
    declare.member("getScheme", [URL], |arguments| string(url(&arguments)?.scheme.clone()));
    declare.member("getHost", [URL], |arguments| shown(&url(&arguments)?.host));
    declare.member("getHostname", [URL], |arguments| shown(split_port(&url(&arguments)?.host).0));
    declare.member("getPort", [URL], |arguments| shown(split_port(&url(&arguments)?.host).1));
    declare.member("getEscapedPath", [URL], |arguments| string(url(&arguments)?.escaped_path()));
    declare.member("getQuery", [URL], query);
}

/// Why `format.uri()` refuses a text.
pub(super) fn problem(text: &str) -> Option<String> {
    parse(text, true).err().map(|problem| parse_error(text, &problem))
}

fn url<'a>(arguments: &'a [CowVal<'_, '_>]) -> Result<&'a Url, ExecutionError> {
    match at(arguments, 0)?.downcast_ref::<Opaque>() {
        Some(Opaque::Url(url)) => Ok(url),
        _ => Err(no_overload("url")),
    }
}

/// A part as text, which is UTF-8 in CEL.
fn shown<'b, 'v>(part: &[u8]) -> Answer<'b, 'v> {
    match std::str::from_utf8(part) {
        Ok(text) => string(text),
        Err(_) => fail("url", "a part of the URL is not UTF-8"),
    }
}

/// The pairs of the query, those of one key together; what is not escaped right is left out.
fn query<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let query = &url(&arguments)?.query;
    spend(1 + 4 * bytes(query.len()) + 4 * query.matches('&').count() as u64)?;
    let mut pairs: HashMap<String, Vec<String>> = HashMap::new();
    let is_taken = query.matches('&').count() < MOST_PAIRS;
    for pair in query.split('&').filter(|pair| is_taken && !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Ok(key), Ok(value)) = (unescape(key, Part::Query), unescape(value, Part::Query)) else { continue };
        let (Ok(key), Ok(value)) = (String::from_utf8(key), String::from_utf8(value)) else {
            return fail("url", "the query of the URL is not UTF-8");
        };
        pairs.entry(key).or_default().push(value);
    }
    let entries = pairs.into_iter().map(|(key, values)| {
        let values = values.into_iter().map(|value| Box::new(CelString::from(value)) as Box<dyn Val>);
        (CelMapKey::from(key), Box::new(CelList::from(values.collect::<Vec<_>>())) as Box<dyn Val>)
    });
    Ok(CowVal::owned(CelMap::from(entries.collect::<HashMap<_, _>>())))
}

/// What Go makes of a URL.
#[derive(Debug, Clone, Default)]
pub(super) struct Url {
    scheme: String,
    /// Behind the scheme, if that is not a path.
    opaque: String,
    /// A name, and a password if there is one.
    user: Option<(Vec<u8>, Option<Vec<u8>>)>,
    host: Vec<u8>,
    path: Vec<u8>,
    /// As it is written, if that is not how it would be escaped.
    raw_path: String,
    query: String,
    fragment: Vec<u8>,
    raw_fragment: String,
    /// Whether it ends with `?`.
    has_empty_query: bool,
    /// Whether there is a scheme, and no `//` behind it.
    has_no_authority: bool,
}

/// Go compares URLs as it writes them.
impl PartialEq for Url {
    fn eq(&self, other: &Url) -> bool {
        self.written() == other.written()
    }
}

/// The parts of a URL that are escaped in ways of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Host,
    Zone,
    User,
    Query,
    Fragment,
}

impl Part {
    /// Whether a byte is escaped in it.
    fn escapes(self, byte: u8) -> bool {
        let is_plain = match byte {
            b'-' | b'.' | b'_' | b'~' => true,
            b'$' | b'&' | b'+' | b'=' => self != Part::Query,
            b',' | b';' => self != Part::Query,
            b'/' => matches!(self, Part::Path | Part::Fragment),
            b':' => matches!(self, Part::Path | Part::Host | Part::Zone | Part::Fragment),
            b'@' => matches!(self, Part::Path | Part::Fragment),
            b'?' => self == Part::Fragment,
            b'!' | b'(' | b')' | b'*' => matches!(self, Part::Host | Part::Zone | Part::Fragment),
            b'\'' | b'[' | b']' | b'<' | b'>' | b'"' => matches!(self, Part::Host | Part::Zone),
            other => other.is_ascii_alphanumeric(),
        };
        !is_plain
    }
}

/// Reads what `url()` takes: an absolute URL or an absolute path, with a fragment.
fn read(text: &str) -> Result<Url, String> {
    parse(text, true).map_err(|problem| parse_error(text, &problem))?;
    let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
    let mut url = parse(before, false).map_err(|problem| parse_error(before, &problem))?;
    url.fragment = unescape(fragment, Part::Fragment).map_err(|problem| parse_error(text, &problem))?;
    if escape(&url.fragment, Part::Fragment) != fragment {
        url.raw_fragment = fragment.to_owned();
    }
    Ok(url)
}

fn parse_error(text: &str, problem: &str) -> String {
    let mut shown: String = text.chars().take(100).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("parse {shown:?}: {problem}")
}

/// Reads a URL without a fragment; `is_request` is whether it must be absolute.
fn parse(text: &str, is_request: bool) -> Result<Url, String> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text.is_empty() && is_request {
        return Err("empty url".to_owned());
    }
    let mut url = Url::default();
    if text == "*" {
        url.path = b"*".to_vec();
        return Ok(url);
    }
    let (scheme, mut rest) = scheme_of(text)?;
    url.scheme = scheme.to_ascii_lowercase();
    if rest.ends_with('?') && rest.matches('?').count() == 1 {
        url.has_empty_query = true;
        rest = &rest[..rest.len() - 1];
    } else if let Some((before, query)) = rest.split_once('?') {
        url.query = query.to_owned();
        rest = before;
    }
    let has_scheme = !url.scheme.is_empty();
    if !rest.starts_with('/') {
        if has_scheme {
            url.opaque = rest.to_owned();
            return Ok(url);
        }
        if is_request {
            return Err("invalid URI for request".to_owned());
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let may_have_authority = has_scheme || !is_request && !rest.starts_with("///");
    if let Some(behind) = rest.strip_prefix("//").filter(|_| may_have_authority) {
        let (authority, path) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
        url.set_authority(authority)?;
        rest = path;
    } else if has_scheme && rest.starts_with('/') {
        url.has_no_authority = true;
    }
    url.path = unescape(rest, Part::Path)?;
    if escape(&url.path, Part::Path) != rest {
        url.raw_path = rest.to_owned();
    }
    Ok(url)
}

/// The scheme, empty if there is none, and what is behind it.
fn scheme_of(text: &str) -> Result<(&str, &str), String> {
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' if index == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

impl Url {
    fn set_authority(&mut self, authority: &str) -> Result<(), String> {
        let Some((user, host)) = authority.rsplit_once('@') else {
            self.host = host_of(&self.scheme, authority)?;
            return Ok(());
        };
        self.host = host_of(&self.scheme, host)?;
        let is_valid = |letter: char| letter.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(letter);
        if !user.chars().all(is_valid) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        self.user = Some(match user.split_once(':') {
            None => (unescape(user, Part::User)?, None),
            Some((name, password)) => (unescape(name, Part::User)?, Some(unescape(password, Part::User)?)),
        });
        Ok(())
    }

    /// The path, escaped: as it is written, where that is right.
    fn escaped_path(&self) -> String {
        if !self.raw_path.is_empty() && is_escaped(&self.raw_path, Part::Path) {
            return self.raw_path.clone();
        }
        if self.path == b"*" { "*".to_owned() } else { escape(&self.path, Part::Path) }
    }

    /// The text of the URL.
    fn written(&self) -> String {
        let mut text = String::new();
        if !self.scheme.is_empty() {
            text += &format!("{}:", self.scheme);
        }
        if self.opaque.is_empty() {
            self.write_place(&mut text);
        } else {
            text += &self.opaque;
        }
        if self.has_empty_query || !self.query.is_empty() {
            text += &format!("?{}", self.query);
        }
        if !self.fragment.is_empty() {
            let is_raw = !self.raw_fragment.is_empty() && is_escaped(&self.raw_fragment, Part::Fragment);
            let escaped = if is_raw { self.raw_fragment.clone() } else { escape(&self.fragment, Part::Fragment) };
            text += &format!("#{escaped}");
        }
        text
    }

    /// Writes the authority and the path.
    fn write_place(&self, text: &mut String) {
        let has_place = !self.host.is_empty() || self.user.is_some();
        let has_authority = has_place || !self.scheme.is_empty() && !self.has_no_authority;
        if has_authority && (has_place || !self.path.is_empty()) {
            text.push_str("//");
        }
        if let Some((name, password)) = &self.user {
            text.push_str(&escape(name, Part::User));
            if let Some(password) = password {
                text.push(':');
                text.push_str(&escape(password, Part::User));
            }
            text.push('@');
        }
        text.push_str(&escape(&self.host, Part::Host));
        let path = self.escaped_path();
        if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
            text.push('/');
        }
        text.push_str(&path);
    }
}

/// The host with its port.
fn host_of(scheme: &str, host: &str) -> Result<Vec<u8>, String> {
    match host.rfind('[') {
        Some(0) => return address_of(host),
        Some(_) => return Err("invalid IP-literal".to_owned()),
        None => {}
    }
    // A list of hosts, as databases have it, is not for http.
    let colon = if matches!(scheme, "http" | "https") { host.find(':') } else { host.rfind(':') };
    if let Some(colon) = colon {
        check_port(&host[colon..])?;
    }
    unescape(host, Part::Host)
}

/// An address of IPv6 in brackets, with its port.
fn address_of(host: &str) -> Result<Vec<u8>, String> {
    let end = host.rfind(']').ok_or("missing ']' in host")?;
    let (address, port) = (&host[1..end], &host[end + 1..]);
    check_port(port)?;
    let unescaped = match address.find("%25") {
        Some(zone) => [unescape(&address[..zone], Part::Host)?, unescape(&address[zone..], Part::Zone)?].concat(),
        None => unescape(address, Part::Host)?,
    };
    let text = std::str::from_utf8(&unescaped).map_err(|_| "invalid host".to_owned())?;
    let (plain, zone) = text.split_once('%').map_or((text, None), |(plain, zone)| (plain, Some(zone)));
    match plain.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) if zone != Some("") => {}
        Ok(IpAddr::V4(_)) => return Err("invalid IP-literal".to_owned()),
        _ => return Err(format!("invalid host: ParseAddr({text:?}): unable to parse IP")),
    }
    Ok([b"[", unescaped.as_slice(), b"]", port.as_bytes()].concat())
}

/// Checks nothing, or a colon and digits.
fn check_port(port: &str) -> Result<(), String> {
    if is_port(port.as_bytes()) { Ok(()) } else { Err(format!("invalid port {port:?} after host")) }
}

fn is_port(port: &[u8]) -> bool {
    port.is_empty() || port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit)
}

/// The host without brackets, and the port.
fn split_port(host: &[u8]) -> (&[u8], &[u8]) {
    let colon = host.iter().rposition(|byte| *byte == b':').filter(|colon| is_port(&host[*colon..]));
    let (host, port) = colon.map_or((host, &host[..0]), |colon| (&host[..colon], &host[colon + 1..]));
    let inner = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    (inner.unwrap_or(host), port)
}

/// Replaces escapes by what they stand for.
fn unescape(text: &str, part: Part) -> Result<Vec<u8>, String> {
    let bytes = text.as_bytes();
    let mut unescaped = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        index += 1;
        match byte {
            b'%' => {
                let digits = bytes.get(index..index + 2).filter(|of| of.iter().all(u8::is_ascii_hexdigit));
                let value = digits.and_then(|of| u8::from_str_radix(std::str::from_utf8(of).ok()?, 16).ok());
                let value = value.filter(|value| may_stand(*value, part)).ok_or_else(|| {
                    let found = &bytes[index - 1..bytes.len().min(index + 2)];
                    format!("invalid URL escape {:?}", String::from_utf8_lossy(found))
                })?;
                unescaped.push(value);
                index += 2;
            }
            b'+' if part == Part::Query => unescaped.push(b' '),
            _ if matches!(part, Part::Host | Part::Zone) && byte.is_ascii() && part.escapes(byte) => {
                return Err(format!("invalid character {:?} in host name", char::from(byte).to_string()));
            }
            _ => unescaped.push(byte),
        }
    }
    Ok(unescaped)
}

/// Whether an escape may stand for a byte: in hosts, only for what is not ASCII, and for `%` before a zone.
fn may_stand(value: u8, part: Part) -> bool {
    match part {
        Part::Host => value >= 0x80 || value == b'%',
        Part::Zone => value == b'%' || value == b' ' || !Part::Host.escapes(value),
        _ => true,
    }
}

fn escape(bytes: &[u8], part: Part) -> String {
    let mut escaped = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b' ' if part == Part::Query => escaped.push('+'),
            _ if part.escapes(byte) => escaped.push_str(&format!("%{byte:02X}")),
            _ => escaped.push(byte.into()),
        }
    }
    escaped
}

/// Whether nothing in a text is left to be escaped.
fn is_escaped(text: &str, part: Part) -> bool {
    text.bytes().all(|byte| b"!$&'()*+,;=:@[]%".contains(&byte) || !part.escapes(byte))
}
