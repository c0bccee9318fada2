//! A webhook over TLS that answers as a policy-server does, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use podfence_host::AdmissionResponse;
use podfence_scan::AdmissionRequest;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::certificates::Authority;
use crate::control_plane::StartError;
use crate::http;

/// What answers on a path: `None` where it says that it should not have been asked.
pub type Judge = Arc<dyn Fn(&AdmissionRequest) -> Option<AdmissionResponse> + Send + Sync>;

/// A request to the webhook, and the answer.
#[derive(Debug, Clone)]
pub struct Call {
    /// The path.
    pub route: String,
    /// The request.
    pub request: Arc<AdmissionRequest>,
    /// The answer; none where the route says that it should not have been asked.
    pub response: Option<AdmissionResponse>,
}

impl Call {
    /// Whether it was let in.
    pub fn is_allowed(&self) -> bool {
        self.response.as_ref().is_some_and(|response| response.allowed)
    }

    /// The name in the request, or in the object.
    pub fn name(&self) -> &str {
        let of_object = || self.request.object.as_ref()?.pointer("/metadata/name")?.as_str();
        self.request.name.as_deref().filter(|name| !name.is_empty()).or_else(of_object).unwrap_or_default()
    }
}

#[derive(Default)]
struct Shared {
    routes: RwLock<BTreeMap<String, Judge>>,
    calls: Mutex<BTreeMap<String, Vec<Call>>>,
}

/// Answers until the process ends.
pub struct Webhook {
    /// What configurations name: `https://127.0.0.1:PORT`.
    pub url: String,
    /// What configurations trust: base64 of PEM.
    pub ca_bundle: String,
    shared: Arc<Shared>,
}

impl Webhook {
    /// Starts without routes.
    ///
    /// # Errors
    /// There is no certificate or no port.
    pub fn start(authority: &Authority) -> Result<Self, StartError> {
        let signed = authority.sign(&["127.0.0.1"])?;
        let tls =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![signed.certificate], signed.key)?;
        let (tls, listener) = (Arc::new(tls), TcpListener::bind("127.0.0.1:0")?);
        let url = format!("https://{}", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let of = shared.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (tls, shared) = (tls.clone(), of.clone());
                // The API server closes connections as it likes.
                thread::spawn(move || serve(socket, tls, &shared));
            }
        });
        Ok(Self { url, ca_bundle: BASE64.encode(authority.pem()), shared })
    }

    /// Answers on a path from now on.
    pub fn route(&self, path: &str, judge: Judge) {
        self.shared.routes.write().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), judge);
    }

    /// Drops what was asked about a namespace: objects of many policies take much memory.
    pub fn forget(&self, namespace: &str) {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
    }

    /// What was asked about a namespace, in the order of the answers.
    pub fn calls(&self, namespace: &str) -> Vec<Call> {
        let calls = self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(namespace).cloned().unwrap_or_default()
    }
}

fn serve(socket: TcpStream, tls: Arc<ServerConfig>, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, socket));
    loop {
        let head = http::read_head(&mut stream)?;
        let body = head.read_body(&mut stream)?;
        let path = head.start.split(' ').nth(1).and_then(|of| of.split('?').next()).unwrap_or_default();
        let (status, reply) = match answer(path, &body, shared) {
            Ok(reply) => ("200 OK", reply.to_string()),
            Err(problem) => ("400 Bad Request", problem),
        };
        let headers = [("content-type", "application/json")];
        http::write(stream.get_mut(), &format!("HTTP/1.1 {status}"), &headers, reply.as_bytes())?;
    }
}

/// The AdmissionReview with the answer.
fn answer(path: &str, body: &[u8], shared: &Shared) -> Result<Value, String> {
    let mut review: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    // A policy-server keeps no order of members.
    review.sort_all_objects();
    let request: AdmissionRequest =
        serde_json::from_value(review["request"].take()).map_err(|error| error.to_string())?;
    let judge = shared.routes.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
    let judge = judge.ok_or_else(|| format!("no policy answers on {path}"))?;
    let response = judge(&request);
    let uid = request.uid.clone();
    let namespace = request.namespace.clone().unwrap_or_default();
    let call = Call { route: path.to_owned(), request: Arc::new(request), response };
    let response = match &call.response {
        Some(response) => serde_json::to_value(response).expect("a response is JSON"),
        None => json!({"uid": uid, "allowed": true}),
    };
    shared.calls.lock().unwrap_or_else(PoisonError::into_inner).entry(namespace).or_default().push(call);
    Ok(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
}
