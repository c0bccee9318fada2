//! A registry of this test's own, and a line to it that breaks.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use podfence_support::Workplace;
use serde_json::Value;

use super::tell;

const PROGRAM: &str = "docker-registry";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `secret` in bcrypt, the only digest that the registry knows.
const SECRET: &str = "$2b$04$oCW1Y7FLuST8cSfU3NuNeer7sXlqlZ3gG7bRXOqZh3sP5/OGzSaKK";

/// A running registry; it ends with this value.
pub struct Registry {
    server: Child,
    workplace: Workplace,
    address: SocketAddr,
}

impl Registry {
    /// Starts one, if the program is there.
    pub fn start() -> Option<Registry> {
        Registry::start_with(None)
    }

    /// The same, for one user alone, whose password is `secret`.
    pub fn start_for(user: &str) -> Option<Registry> {
        Registry::start_with(Some(user))
    }

    fn start_with(user: Option<&str>) -> Option<Registry> {
        let workplace = Workplace::new(PROGRAM);
        let users = workplace.path("htpasswd");
        let auth = user.map_or(String::new(), |user| {
            workplace.write("htpasswd", format!("{user}:{SECRET}\n"));
            format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", users.display())
        });
        // Free a moment ago. Should somebody else be faster, the registry does not start, and the test says so.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let config = workplace.path("config.yml");
        let data = workplace.path("data");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http: {{addr: '{address}'}}\n{auth}",
                data.display()
            ),
        )
        .expect("a file");
        let server =
            Command::new(PROGRAM).arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut registry = match server {
            Ok(server) => Registry { server, workplace, address },
            Err(error) => {
                tell(&format!("registry: SKIPPED: {PROGRAM}: {error}; `apt-get install {PROGRAM}` brings it"));
                return None;
            }
        };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = registry.server.try_wait().expect("a process");
            assert_eq!(ended, None, "{PROGRAM} ended");
            assert!(start.elapsed() < Duration::from_secs(30), "{PROGRAM} does not listen at {address}");
            thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }

    /// Host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Where policies go.
    pub fn place(&self) -> String {
        format!("{}/podfence", self.address)
    }

    fn request(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the registry listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: {MANIFEST}, {INDEX}\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).expect("the registry reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the registry answers");
        answer
    }

    fn get(&self, path: &str) -> String {
        self.request("GET", path, MANIFEST, b"")
    }

    /// A manifest, without any client of ours.
    pub fn manifest(&self, repository: &str, tag: &str) -> Value {
        let answer = self.get(&format!("/v2/{repository}/manifests/{tag}"));
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(body).expect("JSON")
    }

    /// Uploads a manifest, without any client of ours.
    pub fn put_manifest(&self, repository: &str, tag: &str, manifest: &Value) {
        let kind = manifest["mediaType"].as_str().expect("a media type");
        let path = format!("/v2/{repository}/manifests/{tag}");
        let answer = self.request("PUT", &path, kind, manifest.to_string().as_bytes());
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    /// Gives a manifest of one repository to another one, with its blobs, or an index with its manifests.
    pub fn copy_tag(&self, from: &str, tag: &str, to: &str, new_tag: &str) {
        let manifest = self.manifest(from, tag);
        let digest = |described: &Value| described["digest"].as_str().expect("a digest").to_owned();
        for entry in manifest["manifests"].as_array().into_iter().flatten() {
            self.copy_tag(from, &digest(entry), to, &digest(entry));
        }
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for layer in layers.chain(manifest.get("config")) {
            let path = format!("/v2/{to}/blobs/uploads/?mount={}&from={from}", digest(layer));
            let answer = self.request("POST", &path, MANIFEST, b"");
            assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        }
        self.put_manifest(to, new_tag, &manifest);
    }

    fn blob_path(&self, digest: &str) -> PathBuf {
        let hash = digest.strip_prefix("sha256:").expect("a digest");
        let blobs = self.workplace.path("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hash[..2]).join(hash).join("data")
    }

    /// What the registry keeps for a digest.
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        fs::read(self.blob_path(digest)).expect("a blob")
    }

    /// Changes what the registry keeps for a digest.
    pub fn replace_blob(&self, digest: &str, bytes: &[u8]) {
        assert!(self.blob_path(digest).exists());
        fs::write(self.blob_path(digest), bytes).expect("a blob");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to do.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A line to a registry that breaks, for good, after so many bytes have gone there.
pub struct Line(SocketAddr);

impl Line {
    pub fn to(registry: &Registry, length: u64) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (registry, left) = (registry.address, Arc::new(AtomicU64::new(length)));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if left.load(Ordering::SeqCst) == 0 {
                    // Who calls from now on finds nobody.
                    return;
                }
                let left = Arc::clone(&left);
                thread::spawn(move || carry(client, registry, &left));
            }
        });
        Line(address)
    }

    pub fn address(&self) -> String {
        self.0.to_string()
    }
}

/// Carries bytes in both directions until the line breaks or one side has enough.
fn carry(client: TcpStream, registry: SocketAddr, left: &AtomicU64) {
    let Ok(server) = TcpStream::connect(registry) else { return };
    let (Ok(mut from), Ok(mut to)) = (client.try_clone(), server.try_clone()) else { return };
    let back = thread::spawn({
        let (Ok(mut from), Ok(mut to)) = (server.try_clone(), client.try_clone()) else { return };
        move || std::io::copy(&mut from, &mut to)
    });
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let may_go = left.load(Ordering::SeqCst).min(count as u64);
        left.fetch_sub(may_go, Ordering::SeqCst);
        if to.write_all(&buffer[..usize::try_from(may_go).expect("small")]).is_err() || may_go < count as u64 {
            break;
        }
    }
    // Whatever they say, the other end of the line is gone.
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
    drop(back.join());
}
