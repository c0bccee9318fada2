//! For tests: finds the repository, its policies, the built modules and the corpus, and makes temporary directories,
//! random numbers and modules with one reply.
#![forbid(unsafe_code)]

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::read::GzDecoder;
use tempfile::TempDir;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two directories above").to_owned()
}

/// The directory of the policies.
pub fn policies() -> PathBuf {
    root().join("policies")
}

/// The directory of the built modules.
pub fn modules() -> PathBuf {
    root().join("target/policies")
}

/// The built module of a policy.
pub fn module(policy: &str) -> Vec<u8> {
    let path = modules().join(policy).with_extension("wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make modules` builds it", path.display()))
}

/// The built module of a policy for OPA.
pub fn opa_module(policy: &str) -> Vec<u8> {
    let path = root().join("target/opa").join(policy).with_extension("wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make opa` builds it", path.display()))
}

/// The path of a corpus with another engine's tests. It is not part of the repository.
pub fn corpus_path(name: &str) -> PathBuf {
    root().join("../shared/corpus").join(name).with_extension("jsonl.gz")
}

/// Reads the lines of a corpus; `None` if the file does not exist.
pub fn corpus(name: &str) -> Option<Vec<String>> {
    let path = corpus_path(name);
    let at = |error: &dyn Error| -> ! { panic!("{}: {error}", path.display()) };
    let file = File::open(&path).ok()?;
    let lines = BufReader::new(GzDecoder::new(file)).lines().map(|line| line.unwrap_or_else(|error| at(&error)));
    Some(lines.filter(|line| !line.trim().is_empty()).collect())
}

/// A waPC module, as text, that has this reply to everything.
pub fn replying(reply: &str) -> String {
    format!(
        r#"(module
          (import "wapc" "__guest_response" (func $response (param i32 i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "{}")
          (func (export "__guest_call") (param i32 i32) (result i32)
            (call $response (i32.const 0) (i32.const {}))
            (i32.const 1)))"#,
        escaped(reply),
        reply.len()
    )
}

/// A text as it stands between quotes in the text of a module.
pub fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("\\{byte:02x}")).collect()
}

/// A generator (xorshift) that gives the same numbers in each run.
pub struct Random(u64);

impl Random {
    /// Starts at this seed, which is not 0.
    pub fn new(seed: u64) -> Random {
        assert_ne!(seed, 0, "xorshift stays at 0");
        Random(seed)
    }

    /// A number below this limit; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// An element of a list that has some.
    pub fn of<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }

    /// True once in so many times.
    pub fn is(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// A temporary directory to run a program in. Dropping it removes the directory and its files.
pub struct Workplace {
    directory: TempDir,
    program: &'static str,
    environment: Vec<(&'static str, String)>,
}

/// How a program ended, and what it printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Printed {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub error: String,
}

impl Printed {
    /// Reads the output of a program.
    ///
    /// # Panics
    /// The program panicked, or printed something else than UTF-8.
    pub fn of(output: Output) -> Printed {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let printed = Printed { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) };
        assert!(!printed.error.contains("panicked"), "{}", printed.error);
        printed
    }
}

impl Workplace {
    /// Makes an empty directory for this program.
    pub fn new(program: &'static str) -> Workplace {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Workplace { directory, program, environment: Vec::new() }
    }

    /// Sets a variable for the program.
    pub fn with(mut self, variable: &'static str, value: &str) -> Workplace {
        self.environment.push((variable, value.to_owned()));
        self
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Makes a directory and its parents.
    pub fn make_directory(&self, name: &str) {
        fs::create_dir_all(self.path(name)).expect("the directory can be made");
    }

    /// Writes a file and makes its parent directories.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("the directory can be made");
        fs::write(path, bytes).expect("the file can be written");
    }

    /// Reads the bytes of a file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("a file")
    }

    /// Reads the text of a file.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).expect("UTF-8")
    }

    /// Prepares to run the program with these arguments.
    pub fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(self.program);
        let environment = self.environment.iter().map(|(variable, value)| (variable, value));
        command.current_dir(self.directory()).args(arguments).env_remove("RUST_BACKTRACE").envs(environment);
        command
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Printed {
        Printed::of(self.command(arguments).output().expect("the program runs"))
    }

    /// Runs the program, which must exit with this code. Returns standard output and standard error.
    pub fn ends(&self, arguments: &[impl AsRef<OsStr>], code: i32) -> (String, String) {
        let printed = self.run(arguments);
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        assert_eq!(printed.code, Some(code), "{arguments:?}\n{}{}", printed.out, printed.error);
        (printed.out, printed.error)
    }

    /// Runs the program, which must succeed. Returns standard output.
    pub fn succeeds(&self, arguments: &[impl AsRef<OsStr>]) -> String {
        self.ends(arguments, 0).0
    }

    /// Runs the program, which must exit with this code and print nothing to standard output. Returns standard error.
    pub fn fails(&self, code: i32, arguments: &[impl AsRef<OsStr>]) -> String {
        let (out, error) = self.ends(arguments, code);
        assert_eq!(out, "", "{error}");
        error
    }
}
