//! Requests to a registry, which is not trusted: every answer has a limit, every transfer has a deadline, and
//! credentials go to the registry and to the server that it names over TLS.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout_at};

use super::Reference;
use super::answer::{self, Challenge};
use super::credentials::{Credentials, credentials};
use super::registry::OciError;

const TO_CONNECT: Duration = Duration::from_secs(10);

/// Between two pieces of an answer.
const TO_ANSWER: Duration = Duration::from_secs(30);

/// Of an answer that should be short: a token, an upload's address, an error page.
const LARGEST_NOTE: u64 = 64 << 10;

/// How often a request is sent whose answer says that the next one may succeed.
const ATTEMPTS: u32 = 4;

/// Before the second attempt; before each further one, it is twice as long.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest pause that a registry can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often an answer may be somewhere else.
const REDIRECTS: u32 = 5;

/// How to reach a registry.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// Speak plain HTTP with a registry on another machine.
    pub plain_http: bool,
    /// Speak TLS with a registry on this machine.
    pub tls: bool,
    /// How long each transfer may take.
    pub timeout: Duration,
}

/// What a request is for: tokens are given for the one or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reading.
    Pull,
    /// Writing.
    Push,
}

/// A request.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) purpose: Purpose,
    /// The media types of an answer.
    pub(super) accept: &'a [&'a str],
    /// What is sent, and its media type.
    pub(super) body: Option<(&'a [u8], &'a str)>,
    /// The limit of an answer that is not an error, in bytes.
    pub(super) most: u64,
}

impl<'a> Request<'a> {
    /// A request that sends nothing, and whose answer is short.
    pub(super) fn new(method: Method, url: Url, purpose: Purpose) -> Request<'a> {
        Request { method, url, purpose, accept: &[], body: None, most: LARGEST_NOTE }
    }
}

/// An answer.
pub(super) struct Answer {
    /// Who gave it.
    url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// A header, if it is text.
    pub(super) fn header(&self, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the next attempt may have another answer.
    fn passes(&self) -> bool {
        matches!(self.status.as_u16(), 429 | 500 | 502 | 503 | 504)
    }
}

/// Why there is no answer.
enum Failure {
    /// The next attempt may have one.
    Passing(OciError),
    /// It will have none.
    Lasting(OciError),
}

/// A connection to a registry.
pub(super) struct Transport {
    client: Client,
    runtime: Runtime,
    registry: String,
    origin: Url,
    timeout: Duration,
    credentials: Option<Credentials>,
    /// What the registry asked for, by the scope for which it is good.
    authorizations: RefCell<BTreeMap<String, HeaderValue>>,
}

impl Transport {
    /// Prepares a connection. A registry on this machine speaks plain HTTP, any other one TLS, unless the access says
    /// otherwise.
    ///
    /// # Errors
    /// The credentials cannot be read.
    pub(super) fn new(reference: &Reference, access: &Access) -> Result<Transport, OciError> {
        let registry = reference.registry().to_owned();
        let failed = |problem: String| OciError::Failed { registry: registry.clone(), problem };
        let is_plain = access.plain_http || (is_loopback(&registry) && !access.tls);
        let scheme = if is_plain { "http" } else { "https" };
        let origin = Url::parse(&format!("{scheme}://{}/", reference.resolve_registry()));
        let origin = origin.map_err(|error| failed(format!("not the name of a registry: {error}")))?;
        let client = Client::builder()
            .connect_timeout(TO_CONNECT.min(access.timeout))
            // They are followed one by one, for each may lead somewhere else.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("podfence/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed(causes(&error)))?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| failed(error.to_string()))?;
        let credentials = credentials(&registry)?;
        let timeout = access.timeout;
        Ok(Transport { client, runtime, registry, origin, timeout, credentials, authorizations: RefCell::default() })
    }

    /// An address in the registry.
    ///
    /// # Errors
    /// It is not one.
    pub(super) fn url(&self, path: &str) -> Result<Url, OciError> {
        self.origin.join(path).map_err(|error| self.failed(format!("{}: {error}", answer::shown(path))))
    }

    /// The address that an answer of the registry names.
    ///
    /// # Errors
    /// It is not one, or would be reached without TLS, though the registry is reached with it.
    pub(super) fn follow(&self, from: &Url, to: &str) -> Result<Url, OciError> {
        let url = from.join(to).ok().filter(|url| url.has_host());
        let url =
            url.ok_or_else(|| self.failed(format!("it names {:?}, which is not an address", answer::shown(to))))?;
        if url.scheme() == "https" || url.scheme() == self.origin.scheme() {
            return Ok(url);
        }
        Err(self.failed(format!("it names the address {}; expected https", answer::shown(url.as_str()))))
    }

    /// An error of this registry.
    pub(super) fn failed(&self, problem: String) -> OciError {
        OciError::Failed { registry: self.registry.clone(), problem }
    }

    /// Sends a request, again if that may help, and with credentials if the registry asks for them.
    ///
    /// # Errors
    /// There is no answer. An answer that refuses is one.
    pub(super) fn send(&self, reference: &Reference, request: &Request<'_>) -> Result<Answer, OciError> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            let asked = match self.authorized(reference, request) {
                Ok(answer) if answer.passes() => answer.header("retry-after").and_then(|text| text.parse().ok()),
                Ok(answer) => return Ok(answer),
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing(_)) => None,
            };
            thread::sleep(asked.map_or(pause, Duration::from_secs).min(LONGEST_PAUSE).min(self.timeout));
            pause *= 2;
        }
        match self.authorized(reference, request) {
            Ok(answer) => Ok(answer),
            Err(Failure::Passing(error) | Failure::Lasting(error)) => Err(error),
        }
    }

    fn authorized(&self, reference: &Reference, request: &Request<'_>) -> Result<Answer, Failure> {
        let actions = if request.purpose == Purpose::Pull { "pull" } else { "pull,push" };
        let scope = format!("repository:{}:{actions}", reference.repository());
        let known = self.authorizations.borrow().get(&scope).cloned();
        let answer = self.runtime.block_on(self.transfer(request, known))?;
        // Where the registry only sends to does not ask for its credentials.
        if answer.status != StatusCode::UNAUTHORIZED || answer.url.origin() != self.origin.origin() {
            return Ok(answer);
        }
        let Some(authorization) = self.runtime.block_on(self.authorize(reference, &answer, &scope))? else {
            return Ok(answer);
        };
        self.authorizations.borrow_mut().insert(scope, authorization.clone());
        self.runtime.block_on(self.transfer(request, Some(authorization)))
    }

    /// What the registry wants to see, if there is something to be shown.
    async fn authorize(
        &self,
        reference: &Reference,
        refusal: &Answer,
        scope: &str,
    ) -> Result<Option<HeaderValue>, Failure> {
        let challenges = refusal.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|header| header.to_str().ok());
        let mut challenges = challenges.filter_map(answer::challenge);
        match challenges.next() {
            None => Ok(None),
            Some(Challenge::Basic) => self.basic().transpose(),
            Some(Challenge::Bearer { realm, service }) => {
                let token = self.token(reference, &realm, service.as_deref(), scope).await?;
                self.header(format!("Bearer {token}")).map(Some)
            }
        }
    }

    /// Fetches a token, for the credentials if there are some.
    async fn token(
        &self,
        reference: &Reference,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<String, Failure> {
        let lasting = |problem: String| Failure::Lasting(self.failed(problem));
        let mut url = Url::parse(realm)
            .map_err(|error| lasting(format!("it sends to {:?} for a token: {error}", answer::shown(realm))))?;
        if !may_have_credentials(&self.origin, &url) {
            let realm = answer::shown(realm);
            return Err(lasting(format!(
                "it sends to {realm} for a token; expected https, so that nobody on the way reads the credentials"
            )));
        }
        url.query_pairs_mut().extend_pairs(service.map(|service| ("service", service))).append_pair("scope", scope);
        let request = Request::new(Method::GET, url, Purpose::Pull);
        let answer = self.exchange(&request, &request.url, self.basic().transpose()?, self.deadline()).await?;
        match answer.status.as_u16() {
            200 => answer::token(&answer.body)
                .map_err(|problem| lasting(format!("its server for tokens, {}: {problem}", answer::shown(realm)))),
            401 | 403 => Err(Failure::Lasting(OciError::unauthorized(reference))),
            _ if answer.passes() => Err(Failure::Passing(self.failed(unexpected(&answer, "a request for a token")))),
            _ => Err(lasting(unexpected(&answer, "a request for a token"))),
        }
    }

    fn basic(&self) -> Option<Result<HeaderValue, Failure>> {
        let (name, password) = self.credentials.as_ref()?;
        Some(self.header(format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))))
    }

    fn header(&self, text: String) -> Result<HeaderValue, Failure> {
        let header = HeaderValue::from_str(&text);
        // The text is a secret, and so not in the message.
        let mut header =
            header.map_err(|_| Failure::Lasting(self.failed("no header can carry its token".to_owned())))?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Sends a request to where it leads. Only the registry itself sees what was authorized.
    async fn transfer(&self, request: &Request<'_>, authorization: Option<HeaderValue>) -> Result<Answer, Failure> {
        let deadline = self.deadline();
        let mut url = request.url.clone();
        for _ in 0..=REDIRECTS {
            let shown = authorization.clone().filter(|_| url.origin() == self.origin.origin());
            let answer = self.exchange(request, &url, shown, deadline).await?;
            let is_moved = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            let can_move = matches!(request.method, Method::GET | Method::HEAD);
            let Some(location) = answer.header(LOCATION).filter(|_| is_moved && can_move) else { return Ok(answer) };
            url = self.follow(&url, location).map_err(Failure::Lasting)?;
        }
        let path = answer::shown(request.url.path());
        Err(Failure::Lasting(self.failed(format!("{path} moves more than {REDIRECTS} times"))))
    }

    /// Sends a request once.
    async fn exchange(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<HeaderValue>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let mut builder = self.client.request(request.method.clone(), url.clone());
        if !request.accept.is_empty() {
            builder = builder.header(ACCEPT, request.accept.join(", "));
        }
        if let Some(authorization) = authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let Some((body, media_type)) = request.body {
            builder = builder.header(CONTENT_TYPE, media_type).body(body.to_vec());
        }
        let mut response = self.head(builder, request.body.is_some(), deadline).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let most = if status.is_success() { request.most } else { LARGEST_NOTE };
        let body = self.body(&mut response, most, status.is_success(), deadline).await?;
        Ok(Answer { url: url.clone(), status, headers, body })
    }

    /// Waits for the head of an answer; while something is sent, until the deadline.
    async fn head(&self, builder: RequestBuilder, sends: bool, deadline: Instant) -> Result<Response, Failure> {
        let limit = if sends { deadline } else { deadline.min(Instant::now() + TO_ANSWER) };
        match timeout_at(limit, builder.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(self.late(deadline)),
        }
    }

    /// Reads the body of an answer. The start of one that is too long is enough where it says what went wrong.
    async fn body(
        &self,
        response: &mut Response,
        most: u64,
        is_whole: bool,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut body = Vec::new();
        loop {
            let limit = deadline.min(Instant::now() + TO_ANSWER);
            let chunk = match timeout_at(limit, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Ok(body),
                Ok(Err(error)) => return Err(self.broken(&error)),
                Err(_) => return Err(self.late(deadline)),
            };
            let room = most - body.len();
            if chunk.len() <= room {
                body.extend_from_slice(&chunk);
            } else if is_whole {
                return Err(Failure::Lasting(OciError::TooLong { registry: self.registry.clone(), most }));
            } else {
                body.extend_from_slice(&chunk[..room]);
                return Ok(body);
            }
        }
    }

    fn late(&self, deadline: Instant) -> Failure {
        let problem = if Instant::now() < deadline {
            format!("it sent nothing for {} s", TO_ANSWER.as_secs_f64())
        } else {
            format!("the transfer is not done within {} s; --timeout allows more", self.timeout.as_secs_f64())
        };
        Failure::Lasting(self.failed(problem))
    }

    /// What an error of the client means for who asked.
    fn broken(&self, error: &reqwest::Error) -> Failure {
        let registry = self.registry.clone();
        let problem = causes(error);
        if problem.contains("InvalidContentType") {
            return Failure::Lasting(OciError::NoTls { registry });
        }
        if problem.contains("invalid HTTP version") && self.origin.scheme() == "http" {
            return Failure::Lasting(OciError::Tls { registry });
        }
        if problem.contains("UnknownIssuer") {
            return Failure::Lasting(OciError::UnknownIssuer { registry });
        }
        if error.is_connect() {
            return Failure::Lasting(OciError::Unreachable { registry, problem });
        }
        Failure::Passing(self.failed(problem))
    }
}

/// What an answer is instead of what was expected.
pub(super) fn unexpected(answer: &Answer, to: &str) -> String {
    let problems: Vec<String> = answer::problems(&answer.body).iter().map(answer::Problem::shown).collect();
    let problems = if problems.is_empty() { String::new() } else { format!(": {}", problems.join("; ")) };
    format!("it answers {} to {to}{problems}", answer.status)
}

/// Whether a server may see the credentials of a registry: nobody on the way can read them, or could not have read them
/// on the way to the registry itself.
fn may_have_credentials(registry: &Url, server: &Url) -> bool {
    match server.scheme() {
        "https" => server.has_host(),
        "http" => registry.scheme() == "http" && registry.host() == server.host(),
        _ => false,
    }
}

fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An error and what caused it; some tell only the one or the other.
fn causes(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        source = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine() {
        for loopback in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]"] {
            assert!(is_loopback(loopback), "{loopback}");
        }
        for other in ["registry.example.com", "localhost.example.com:5000", "10.0.0.1:5000", "[2001:db8::1]", ""] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn credentials_are_not_sent_for_everybody_to_read() {
        for (registry, server, may) in [
            ("https://a.example", "https://a.example/token", true),
            ("https://a.example", "https://auth.example/token", true),
            ("https://a.example", "http://a.example/token", false),
            ("https://a.example", "http://auth.example/token", false),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000", "http://auth.example/token", false),
            ("http://127.0.0.1:5000", "ftp://127.0.0.1/token", false),
            ("http://127.0.0.1:5000", "file:///token", false),
        ] {
            let [registry_url, server_url] = [registry, server].map(|text| Url::parse(text).expect("an address"));
            assert_eq!(may_have_credentials(&registry_url, &server_url), may, "{registry} {server}");
        }
    }
}
