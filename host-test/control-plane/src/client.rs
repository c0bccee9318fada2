//! A client of the API server.

use std::io::{self, BufRead as _, BufReader};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::http::{self, Chunks};

/// Longer than the API server lets any request take.
const SILENCE: Duration = Duration::from_secs(90);

const JSON: &str = "application/json";

type Stream = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// Sends requests over connections that it keeps. Panics where the API server is gone, for nothing goes on then.
pub struct Client {
    port: u16,
    token: String,
    tls: Arc<ClientConfig>,
    idle: Mutex<Vec<Stream>>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status of HTTP.
    pub status: u16,
    /// The object, or the Status that says why there is none.
    pub object: Value,
    /// For the user.
    pub warnings: Vec<String>,
}

impl Reply {
    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        self.status < 300
    }

    /// Why not.
    pub fn message(&self) -> &str {
        self.object["message"].as_str().unwrap_or_default()
    }

    /// Whether a webhook or an admission plugin denied it.
    pub fn is_denied(&self) -> bool {
        self.message().contains("admission webhook") && self.message().contains("denied the request")
    }
}

impl Client {
    /// A client of the API server on this port of loopback.
    ///
    /// # Errors
    /// The authority's certificate is invalid.
    pub fn new(port: u16, token: &str, authority: CertificateDer<'static>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { port, token: token.to_owned(), tls: Arc::new(tls), idle: Mutex::default() })
    }

    fn connect(&self) -> io::Result<Stream> {
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(SILENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let connection = ClientConnection::new(self.tls.clone(), name).map_err(io::Error::other)?;
        Ok(BufReader::new(StreamOwned::new(connection, socket)))
    }

    fn send(&self, on: &mut Stream, method: &str, path: &str, content: &str, body: &[u8]) -> io::Result<()> {
        let token = format!("Bearer {}", self.token);
        let headers = [
            ("host", "127.0.0.1"),
            ("authorization", &token),
            ("user-agent", "cluster-test"),
            ("accept", JSON),
            ("content-type", content),
        ];
        http::write(on.get_mut(), &format!("{method} {path} HTTP/1.1"), &headers, body)
    }

    fn try_request(&self, on: &mut Stream, method: &str, path: &str, content: &str, body: &[u8]) -> io::Result<Reply> {
        self.send(on, method, path, content, body)?;
        let head = http::read_head(on)?;
        let body = head.read_body(on)?;
        let text = |body: &[u8]| Value::String(String::from_utf8_lossy(body).into_owned());
        let object = serde_json::from_slice(&body).unwrap_or_else(|_| text(&body));
        Ok(Reply { status: head.status()?, object, warnings: head.all("warning").filter_map(warning).collect() })
    }

    /// Sends a request; once more where the API server has closed an idle connection.
    ///
    /// # Errors
    /// The connection fails.
    pub fn try_send(&self, method: &str, path: &str, content: &str, body: Option<&Value>) -> io::Result<Reply> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let was_idle = idle.is_some();
        let mut stream = idle.map_or_else(|| self.connect(), Ok)?;
        let mut reply = self.try_request(&mut stream, method, path, content, body.as_bytes());
        if reply.is_err() && was_idle {
            stream = self.connect()?;
            reply = self.try_request(&mut stream, method, path, content, body.as_bytes());
        }
        let reply = reply?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        Ok(reply)
    }

    /// Sends a request.
    pub fn request(&self, method: &str, path: &str, content: &str, body: Option<&Value>) -> Reply {
        let reply = self.try_send(method, path, content, body);
        reply.unwrap_or_else(|error| panic!("{method} {path}: the API server is gone: {error}"))
    }

    /// Reads an object or a list.
    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, JSON, None)
    }

    /// The objects of a collection.
    pub fn list(&self, path: &str) -> Vec<Value> {
        match self.get(path).object["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }

    /// Creates an object in a collection.
    pub fn create(&self, path: &str, object: &Value) -> Reply {
        self.request("POST", path, JSON, Some(object))
    }

    /// Merges members into an object: lists are replaced, null removes.
    pub fn merge(&self, path: &str, patch: &Value) -> Reply {
        self.request("PATCH", path, "application/merge-patch+json", Some(patch))
    }

    /// Merges members into an object as kubectl does: elements of lists by their names.
    pub fn merge_by_name(&self, path: &str, patch: &Value) -> Reply {
        self.request("PATCH", path, "application/strategic-merge-patch+json", Some(patch))
    }

    /// Deletes an object; the propagation is `Background`, `Foreground` or `Orphan`.
    pub fn delete(&self, path: &str, propagation: &str) -> Reply {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation});
        self.request("DELETE", path, JSON, Some(&options))
    }

    /// Calls back for each object of a collection and for each change of one, until the API server ends the watch or
    /// the callback returns false.
    ///
    /// # Errors
    /// The connection fails.
    pub fn watch(&self, path: &str, mut on: impl FnMut(&str, Value) -> bool) -> io::Result<()> {
        let list = self.try_send("GET", path, JSON, None)?.object;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        for item in list["items"].as_array().into_iter().flatten() {
            if !on("ADDED", item.clone()) {
                return Ok(());
            }
        }
        let mut stream = self.connect()?;
        let path = format!("{path}?watch=1&allowWatchBookmarks=true&timeoutSeconds=60&resourceVersion={version}");
        self.send(&mut stream, "GET", &path, JSON, b"")?;
        http::read_head(&mut stream)?;
        for line in BufReader::new(Chunks::new(&mut stream)).lines() {
            let mut event: Value = serde_json::from_str(&line?).map_err(io::Error::other)?;
            let object = event["object"].take();
            let kind = event["type"].as_str().unwrap_or_default();
            if kind != "BOOKMARK" && !on(kind, object) {
                break;
            }
        }
        Ok(())
    }
}

/// The text of a header `299 - "text"`.
fn warning(header: &str) -> Option<String> {
    let quoted = header.split_once('"')?.1.strip_suffix('"')?;
    let mut text = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        text.push(if letter == '\\' { letters.next()? } else { letter });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_unquoted() {
        assert_eq!(warning(r#"299 - "would violate \"a\\b\"""#).as_deref(), Some(r#"would violate "a\b""#));
        assert_eq!(warning("299 - none"), None);
    }
}
