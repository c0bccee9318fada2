//! A release on a server of this test's own, and a machine that has few programs.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use podfence_support::Workplace;

/// The version of the repository.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Prints its arguments, one a line, as the released program.
const PROGRAM: &str = "#!/bin/sh\nprintf '<%s>\\n' \"$@\"\n";

/// What the scripts may need of a machine.
const TOOLS: [&str; 19] = [
    "sh",
    "awk",
    "basename",
    "cat",
    "chmod",
    "curl",
    "dirname",
    "env",
    "gzip",
    "head",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "sed",
    "sha256sum",
    "tar",
    "touch",
    "tr",
];

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A directory of a release, served on this machine.
pub struct Release {
    address: SocketAddr,
    files: Files,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Release {
    /// One with an archive for this target, and its digest in SHA256SUMS.
    pub fn new(target: &str, program: &str) -> Release {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let release = Release { address, files: Files::default(), asked: Arc::default() };
        let name = format!("podfence-{VERSION}-{target}");
        let archive = packed(&name, program);
        release.put("SHA256SUMS", format!("{}  {name}.tar.gz\n", digest(&archive)));
        release.put(&format!("{name}.tar.gz"), archive);
        let (files, asked) = (Arc::clone(&release.files), Arc::clone(&release.asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                // Who asked may have gone.
                let _ = stream.and_then(|stream| answer(stream, &files, &asked));
            }
        });
        release
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn put(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.files.lock().expect("no thread panics").insert(name.to_owned(), bytes.into());
    }

    pub fn digest(&self, name: &str) -> String {
        digest(&self.files.lock().expect("no thread panics")[name])
    }

    /// The first digest of SHA256SUMS.
    pub fn listed(&self) -> String {
        let files = self.files.lock().expect("no thread panics");
        String::from_utf8_lossy(&files["SHA256SUMS"]).split(' ').next().unwrap_or_default().to_owned()
    }

    /// The files that were asked for since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("no thread panics"))
    }
}

fn answer(mut stream: TcpStream, files: &Files, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let name = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let file = files.lock().expect("no thread panics").get(&name).cloned();
    asked.lock().expect("no thread panics").push(name);
    let (status, body) = file.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

/// An archive as releases have them, with a program that prints its arguments.
fn packed(name: &str, program: &str) -> Vec<u8> {
    let workplace = Workplace::new("tar");
    workplace.write(&format!("{name}/{program}"), PROGRAM);
    executable(&workplace, &format!("{name}/{program}"));
    workplace.succeeds(&["-czf", "archive", name]);
    workplace.read("archive")
}

fn digest(bytes: &[u8]) -> String {
    let workplace = Workplace::new("sha256sum");
    workplace.write("file", bytes);
    workplace.succeeds(&["file"]).split(' ').next().expect("a digest").to_owned()
}

fn executable(workplace: &Workplace, name: &str) {
    fs::set_permissions(workplace.path(name), Permissions::from_mode(0o755)).expect("a file of ours");
}

/// A machine of this kind, as `uname` calls it, with the shell as the program to run, and these programs beside the usual
/// ones: scripts, by name.
pub fn machine(system: &str, hardware: &str, programs: &[(&str, &str)]) -> Workplace {
    let workplace = Workplace::new("/bin/sh");
    let uname = format!("case $1 in -s) echo {system} ;; -m) echo {hardware} ;; esac");
    for (name, script) in [&[("uname", uname.as_str())][..], programs].concat() {
        workplace.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
        executable(&workplace, &format!("bin/{name}"));
    }
    for tool in TOOLS {
        let found = Command::new("/bin/sh").args(["-c", &format!("command -v {tool}")]).output().expect("a shell");
        let path = String::from_utf8(found.stdout).expect("UTF-8");
        assert!(found.status.success(), "{tool} is needed for this test");
        symlink(path.trim_end(), workplace.path(&format!("bin/{tool}"))).expect("a link");
    }
    workplace.make_directory("tmp");
    let (path, home) = (workplace.path("bin"), workplace.path("home"));
    workplace.with("PATH", path.to_str().expect("UTF-8")).with("HOME", home.to_str().expect("UTF-8"))
}
