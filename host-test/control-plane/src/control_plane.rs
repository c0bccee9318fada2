//! etcd, API server and controllers as child processes, on loopback and without nodes.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::json;

use crate::certificates::{self, Authority};
use crate::client::Client;
use crate::wait;

/// Who may do everything.
const ADMIN: &str = "admin-token";

/// Runs until it is dropped. The logs stay in its directory.
pub struct ControlPlane {
    /// Its administrator.
    pub client: Arc<Client>,
    /// Signs for loopback.
    pub authority: Authority,
    directory: PathBuf,
    binaries: PathBuf,
    /// The URL of etcd.
    etcd: String,
    // Controllers end first, and etcd last.
    children: Vec<Running>,
}

/// A child process that ends when it is dropped.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which its log tells.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Why there is no control plane.
#[derive(Debug)]
pub struct StartError(pub String);

impl<E: std::error::Error> From<E> for StartError {
    fn from(error: E) -> Self {
        StartError(error.to_string())
    }
}

impl ControlPlane {
    /// Starts from the binaries in a directory, with `etcd` on the PATH, and keeps its files in another.
    ///
    /// Requests in the namespaces of `logged` are in the audit log.
    ///
    /// # Errors
    /// Something does not start, or does not become ready.
    pub fn start(binaries: &Path, directory: &Path, logged: &[String]) -> Result<Self, StartError> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(directory)?,
        }
        let authority = Authority::new()?;
        let [client_port, peer_port, port, controllers_port] = free_ports()?;
        let (certificate, key) = authority.sign(&["127.0.0.1", "localhost", "kubernetes.default.svc"])?.pem();
        let (private, public) = certificates::key_pair()?;
        let files = [
            ("ca.crt", authority.pem()),
            ("api.crt", certificate),
            ("api.key", key),
            ("accounts.key", private),
            ("accounts.pub", public),
            (
                "tokens.csv",
                format!("{ADMIN},admin,admin,system:masters\ncontrollers-token,system:kube-controller-manager,c\n"),
            ),
            ("audit.yaml", audit_policy(logged)),
            ("kubeconfig", kubeconfig(port, directory, ADMIN)),
            ("controllers.kubeconfig", kubeconfig(port, directory, "controllers-token")),
        ];
        for (name, text) in files {
            fs::write(directory.join(name), text)?;
        }
        let client = Arc::new(Client::new(port, ADMIN, authority.der())?);
        let (binaries, directory) = (binaries.to_owned(), directory.to_owned());
        let url = |port| format!("http://127.0.0.1:{port}");
        let (clients, peers) = (url(client_port), url(peer_port));
        let etcd = clients.clone();
        let mut of = ControlPlane { client, authority, directory, binaries, etcd, children: Vec::new() };
        let etcd = of.run(
            Path::new("etcd"),
            "etcd",
            &[
                "--data-dir=etcd",
                &format!("--listen-client-urls={clients}"),
                &format!("--advertise-client-urls={clients}"),
                &format!("--listen-peer-urls={peers}"),
                &format!("--initial-advertise-peer-urls={peers}"),
                &format!("--initial-cluster=default={peers}"),
            ],
        )?;
        of.children.push(etcd);
        let api_server = of.run_api_server(port, "kube-apiserver")?;
        of.children.insert(0, api_server);
        wait_for_api_server(&of.client, &mut of.children, &of.directory)?;
        let port = format!("--secure-port={controllers_port}");
        let controllers = of.run(
            &of.binaries.join("kube-controller-manager"),
            "kube-controller-manager",
            &[
                "--kubeconfig=controllers.kubeconfig",
                "--authentication-kubeconfig=controllers.kubeconfig",
                "--authorization-kubeconfig=controllers.kubeconfig",
                "--service-account-private-key-file=accounts.key",
                "--root-ca-file=ca.crt",
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                &port,
                // No kubelet renews the leases of the nodes.
                "--controllers=*,-node-lifecycle-controller,-node-ipam-controller",
                // As slow as in a cluster of thousands, they would be most of the time of the tests.
                "--kube-api-qps=500",
                "--kube-api-burst=1000",
            ],
        )?;
        of.children.insert(0, controllers);
        wait::until(
            || "the service account of default".to_owned(),
            || of.client.get("/api/v1/namespaces/default/serviceaccounts/default").is_done().then_some(()),
        )
        .map_err(|late| StartError(late.0))?;
        Ok(of)
    }

    /// Starts one more API server over the same objects. As every one that starts, it makes what it misses.
    ///
    /// # Errors
    /// It does not start, or does not become ready.
    pub fn start_another(&self) -> Result<Running, StartError> {
        let [port, ..] = free_ports()?;
        let mut running = [self.run_api_server(port, "another-kube-apiserver")?];
        let client = Client::new(port, ADMIN, self.authority.der())?;
        wait_for_api_server(&client, &mut running, &self.directory)?;
        let [running] = running;
        Ok(running)
    }

    fn run_api_server(&self, port: u16, name: &str) -> Result<Running, StartError> {
        self.run(
            &self.binaries.join("kube-apiserver"),
            name,
            &[
                &format!("--etcd-servers={}", self.etcd),
                "--bind-address=127.0.0.1",
                &format!("--secure-port={port}"),
                "--service-cluster-ip-range=10.0.0.0/24",
                // There is no address that others could reach it by.
                "--endpoint-reconciler-type=none",
                "--tls-cert-file=api.crt",
                "--tls-private-key-file=api.key",
                "--token-auth-file=tokens.csv",
                "--service-account-key-file=accounts.pub",
                "--service-account-signing-key-file=accounts.key",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--authorization-mode=Node,RBAC",
                "--allow-privileged=true",
                "--audit-policy-file=audit.yaml",
                &format!("--audit-log-path={}", self.audit_log_of(name).display()),
            ],
        )
    }

    /// Runs a program with a log of this name.
    fn run(&self, program: &Path, name: &str, arguments: &[&str]) -> Result<Running, StartError> {
        let log = File::create(self.directory.join(format!("{name}.log")))?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| StartError(format!("{}: {error}", program.display())))?;
        Ok(Running(child))
    }

    /// The audit log: an event as JSON a line.
    pub fn audit_log(&self) -> PathBuf {
        self.audit_log_of("kube-apiserver")
    }

    fn audit_log_of(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.audit.log"))
    }

    /// kubectl of the same version, as the administrator.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.binaries.join("kubectl"));
        command.env("KUBECONFIG", self.directory.join("kubeconfig"));
        command
    }
}

/// Waits until an API server is ready, or one of the processes has ended.
fn wait_for_api_server(client: &Client, children: &mut [Running], directory: &Path) -> Result<(), StartError> {
    let start = || {
        if let Some(ended) = children.iter_mut().find_map(|Running(child)| child.try_wait().transpose()) {
            return Some(ended.map(Some));
        }
        let ready = client.try_send("GET", "/readyz", "application/json", None);
        ready.is_ok_and(|reply| reply.is_done()).then_some(Ok(None))
    };
    match wait::until(|| "the API server".to_owned(), start).map_err(|late| StartError(late.0))?? {
        None => Ok(()),
        Some(status) => Err(StartError(format!("{status}: the logs are in {}", directory.display()))),
    }
}

/// Ports that are free now, all at once so that they differ.
fn free_ports() -> io::Result<[u16; 4]> {
    let mut listeners = Vec::new();
    let mut ports = [0; 4];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// Logs changes in these namespaces, without their objects.
fn audit_policy(namespaces: &[String]) -> String {
    let verbs = ["create", "update", "delete"];
    let rule = json!({"level": "Metadata", "verbs": verbs, "namespaces": namespaces});
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [rule, {"level": "None"}],
    });
    policy.to_string()
}

fn kubeconfig(port: u16, directory: &Path, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: \"https://127.0.0.1:{port}\", \
         certificate-authority: \"{}/ca.crt\"}}}}]\nusers: [{{name: u, user: {{token: {token}}}}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\n",
        directory.display()
    )
}
