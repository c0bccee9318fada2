//! A registry that answers what a table says, and the commands that must survive it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use podfence_publish::oci::Artifact;
use podfence_support::{Printed, Workplace, root};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{keys, workplace};

/// A row may take this long, with all attempts.
const LONGEST: Duration = Duration::from_secs(20);

/// In front of a request that the table does not expect.
const UNEXPECTED: &str = "no answer to";

/// The most memory that a command may have had, in KiB: a few of the largest answers.
#[cfg(unix)]
const MEMORY: i64 = 128 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    command: String,
    #[serde(default)]
    logged_in: bool,
    #[serde(default)]
    answers: Vec<Scripted>,
    /// How many signatures stand beside the policy, none of which is one.
    #[serde(default)]
    signatures: usize,
    exit: i32,
    says: String,
    #[serde(default)]
    never: Vec<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scripted {
    on: String,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    /// How often the body stands in the answer.
    repeated: Option<usize>,
    times: Option<usize>,
    #[serde(default)]
    endless: bool,
    #[serde(default)]
    drip: bool,
    #[serde(default)]
    cut: bool,
    #[serde(default)]
    silent: bool,
    raw: Option<String>,
}

fn ok() -> u16 {
    200
}

impl Scripted {
    fn with(on: &str, status: u16, body: &str) -> Scripted {
        let (on, body) = (on.to_owned(), body.to_owned());
        Scripted {
            on,
            status,
            headers: BTreeMap::new(),
            body,
            repeated: None,
            times: None,
            endless: false,
            drip: false,
            cut: false,
            silent: false,
            raw: None,
        }
    }
}

/// What the words of the table stand for.
struct Words {
    texts: Vec<(&'static str, String)>,
    module: Vec<u8>,
}

impl Words {
    fn fill(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_owned(), |text, (word, meaning)| text.replace(word, meaning))
    }
}

/// What the registry shows, and what it was asked.
struct Script {
    answers: Mutex<Vec<Scripted>>,
    words: Words,
    asked: Mutex<Vec<String>>,
}

impl Script {
    /// The first answer that fits.
    fn answer(&self, method: &str, address: &str, path: &str) -> Scripted {
        let mut answers = self.answers.lock().expect("no panic");
        let fits = |scripted: &Scripted| {
            let (asked, at) = scripted.on.split_once(' ').expect("a method and a path");
            let at = self.words.fill(at);
            let asked_at = if at.starts_with("http://") { format!("http://{address}{path}") } else { path.to_owned() };
            let is_at = match at.strip_suffix('*') {
                Some(start) => asked_at.starts_with(start),
                None => asked_at == at,
            };
            asked == method && is_at && scripted.times != Some(0)
        };
        let Some(found) = answers.iter_mut().find(|scripted| fits(scripted)) else {
            self.asked.lock().expect("no panic").push(format!("{UNEXPECTED} {method} {path}"));
            return Scripted::with("", 404, "");
        };
        found.times = found.times.map(|times| times - 1);
        found.clone()
    }

    fn serve(&self, client: TcpStream, address: SocketAddr) -> std::io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let mut client = client;
        let mut line = String::new();
        loop {
            match reader.read_line(&mut line) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // Not HTTP, as TLS is not.
                Err(_) => return client.write_all(b"HTTP/1.1 400 X\r\n\r\n"),
            }
            let mut words = line.split(' ');
            let (method, path) =
                (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
            let (mut length, mut credentials) = (0, "");
            loop {
                line.clear();
                reader.read_line(&mut line)?;
                match line.trim_end().split_once(": ") {
                    None => break,
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.parse().expect("a length");
                    }
                    Some((name, _)) if name.eq_ignore_ascii_case("authorization") => credentials = " and credentials",
                    Some(_) => {}
                }
            }
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
            let asked = format!("{method} http://{address}{path}{credentials}");
            self.asked.lock().expect("no panic").push(asked);
            if self.reply(&mut client, &method, &self.answer(&method, &address.to_string(), &path))? {
                return Ok(());
            }
            line.clear();
        }
    }

    /// Answers; whether that was the last answer on this line.
    fn reply(&self, client: &mut TcpStream, method: &str, scripted: &Scripted) -> std::io::Result<bool> {
        if scripted.silent {
            thread::sleep(LONGEST);
            return Ok(true);
        }
        if let Some(raw) = &scripted.raw {
            client.write_all(raw.as_bytes())?;
            return Ok(true);
        }
        let body = match scripted.body.as_str() {
            "$MODULE" => self.words.module.clone(),
            body => self.words.fill(body).repeat(scripted.repeated.unwrap_or(1)).into_bytes(),
        };
        let is_whole = !(scripted.endless || scripted.drip || scripted.cut);
        let length = match (scripted.endless, is_whole) {
            (true, _) => "Transfer-Encoding: chunked".to_owned(),
            (false, true) => format!("Content-Length: {}", body.len()),
            (false, false) => format!("Content-Length: {}", body.len() + 1),
        };
        let headers: String =
            scripted.headers.iter().map(|(name, value)| format!("{name}: {}\r\n", self.words.fill(value))).collect();
        write!(client, "HTTP/1.1 {} X\r\n{length}\r\n{headers}\r\n", scripted.status)?;
        if method == "HEAD" {
            return Ok(false);
        }
        if scripted.endless {
            let piece = body.repeat(1 + (64 << 10) / body.len());
            loop {
                write!(client, "{:x}\r\n", piece.len())?;
                client.write_all(&piece)?;
                client.write_all(b"\r\n")?;
            }
        }
        for byte in body.chunks(if scripted.drip { 1 } else { usize::MAX }) {
            client.write_all(byte)?;
            if scripted.drip {
                thread::sleep(LONGEST / 10);
            }
        }
        Ok(!is_whole)
    }
}

/// Serves a script at two addresses.
fn start(answers: Vec<Scripted>, mut words: Words) -> Arc<Script> {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().expect("an address"));
    words.texts.extend(["$HOST", "$OTHER"].into_iter().zip(addresses.map(|address| address.to_string())));
    let script = Arc::new(Script { answers: Mutex::new(answers), words, asked: Mutex::default() });
    for (listener, address) in listeners.into_iter().zip(addresses) {
        let script = Arc::clone(&script);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let script = Arc::clone(&script);
                // That the client goes away is its right.
                thread::spawn(move || drop(script.serve(client, address)));
            }
        });
    }
    script
}

/// What a registry answers that is not hostile, with so many signatures that are none.
fn good(manifest: &str, signatures: usize) -> Vec<Scripted> {
    let nothing = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
    let layer = json!({"mediaType": kind, "digest": nothing, "size": 2});
    let signed = json!({"schemaVersion": 2, "config": layer, "layers": vec![&layer; signatures]}).to_string();
    let is_signed = if signatures == 0 { 404 } else { 200 };
    let answers = ["privileged", "host-path"].map(|name| {
        let at = |path: &str| format!("GET /v2/p/{name}/{path}");
        [
            Scripted::with(&at("manifests/$SIGNATURES"), is_signed, &signed),
            Scripted::with(&at("manifests/sha256-*"), 404, ""),
            Scripted::with(&at("manifests/*"), 200, manifest),
            Scripted::with(&at(&format!("blobs/{nothing}")), 200, "{}"),
            Scripted::with(&at("blobs/*"), 200, "$MODULE"),
            Scripted::with(&at("referrers/*"), 404, ""),
        ]
    });
    answers.into_iter().flatten().collect()
}

/// Runs the command of a row, and holds what it does against the table; what is wrong.
fn play(row: &Row, workplace: &Workplace) -> Result<(), String> {
    let module = workplace.read("privileged.wasm");
    let artifact = Artifact::new(module.clone()).expect("a package");
    let manifest: Value = serde_json::from_slice(artifact.manifest()).expect("JSON");
    let texts = vec![
        ("$DIGEST", artifact.digest.clone()),
        ("$LAYER", manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned()),
        ("$SIGNATURES", format!("{}.sig", artifact.digest.replace(':', "-"))),
        ("$SIZE", module.len().to_string()),
        ("$VERSION", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let good = good(std::str::from_utf8(artifact.manifest()).expect("UTF-8"), row.signatures);
    let script = start(row.answers.iter().cloned().chain(good).collect(), Words { texts, module });

    let auth = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "jane:secret");
    let auths = if row.logged_in { json!({script.words.fill("$HOST"): {"auth": auth}}) } else { json!({}) };
    workplace.write("config.json", json!({"auths": auths}).to_string());
    let command = script.words.fill(&row.command);
    let arguments: Vec<&str> = command.split(' ').chain(["--timeout", "1"]).collect();
    let start = Instant::now();
    let printed = workplace.run(&arguments);
    let took = start.elapsed();

    let says = script.words.fill(&row.says);
    let is_said = match says.trim_end().strip_suffix('…') {
        Some(start) => printed.error.starts_with(start),
        None => printed.error == says,
    };
    if printed.code != Some(row.exit) || !is_said {
        return Err(format!("expected {}\n{says}\nfound {:?}\n{}", row.exit, printed.code, printed.error));
    }
    if took > LONGEST {
        return Err(format!("took {took:?}"));
    }
    let asked = script.asked.lock().expect("no panic");
    let is_in = |line: &str, pattern: &str| {
        pattern.split('*').try_fold(line, |rest, part| rest.split_once(part).map(|split| split.1)).is_some()
    };
    let never = row.never.iter().map(|pattern| script.words.fill(pattern)).chain([UNEXPECTED.to_owned()]);
    for pattern in never {
        if let Some(line) = asked.iter().find(|line| is_in(line, &pattern)) {
            return Err(format!("asked {line}"));
        }
    }
    Ok(())
}

#[test]
fn a_hostile_registry_gets_nothing_but_an_error() {
    let table = root().join("host-test/podfence/tests/registry/hostile.yaml");
    let rows: Vec<Row> = serde_saphyr::from_str(&fs::read_to_string(table).expect("a table")).expect("rows");
    let workplace = workplace();
    keys(&workplace, "cosign");
    let problems: Vec<String> = rows
        .iter()
        .filter_map(|row| play(row, &workplace).err().map(|problem| format!("{}: {problem}", row.name)))
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    #[cfg(unix)]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let memory = getrusage(UsageWho::RUSAGE_CHILDREN).expect("figures").max_rss();
        let memory = if cfg!(target_vendor = "apple") { memory >> 10 } else { memory };
        assert!(memory < MEMORY, "a command had {memory} KiB");
    }
}

#[test]
fn a_private_authority_is_trusted_on_request() {
    let workplace = workplace();
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key).expect("a certificate");
    let pem = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate.der());
    workplace.write("ca.pem", format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n"));
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let server = server.signed_by(&key, &issuer).expect("a certificate");
    let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![server.der().clone()], private);
    let config = Arc::new(config.expect("a key of the certificate"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let host = format!("localhost:{}", listener.local_addr().expect("an address").port());
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = BufReader::new(StreamOwned::new(connection, client));
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|count| count > 2) {
                line.clear();
            }
            // That the client does not trust it is its right.
            drop(stream.get_mut().write_all(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let name = format!("{host}/p/privileged:v1");
    let pull = |more: &[&str], authorities: Option<&str>| {
        let mut command = workplace.command(&[&["pull", &name], more].concat());
        match authorities {
            Some(authorities) => command.env("SSL_CERT_FILE", authorities),
            None => command.env_remove("SSL_CERT_FILE"),
        };
        let printed = Printed::of(command.output().expect("the program runs"));
        (printed.code, printed.error)
    };
    for (more, authorities, expected) in [
        (
            &["--tls"][..],
            None,
            format!(
                "{host} has a certificate of an unknown authority; SSL_CERT_FILE names a file with those that you trust"
            ),
        ),
        (&["--tls"], Some("ca.pem"), format!("{name} is not in the registry")),
        (&[], Some("ca.pem"), format!("{host} does not speak plain HTTP; --tls if it speaks TLS")),
    ] {
        assert_eq!(pull(more, authorities), (Some(2), format!("error: {expected}\n")));
    }
}
