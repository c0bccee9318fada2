//! `podfence deploy`

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use podfence_cluster::deploy::{self, Given, Minor, Modules, Options, Settings};
use podfence_host::{Host, Limits};
use podfence_scan::read::{self, LARGEST_DOCUMENT};

use super::modules::Places;
use super::{KindsArgument, read_settings};
use crate::text::origin;

/// Generates the Kubernetes manifests that deploy the policies from your registry.
///
/// Writes a directory for `kubectl apply -k` per level and per mode, a Helm chart, and a README for operators. The
/// policies check their settings before anything is written.
///
/// Exit code 0: written; 2: not written.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    podfence deploy --registry registry.example.com/podfence --out target/deploy\n  \
    kubectl apply -k target/deploy/monitor/restricted")]
pub(super) struct Arguments {
    /// Where the modules are, without a scheme [default: as in the metadata of the policies]
    #[arg(long, value_name = "HOST/PATH", value_parser = super::registry)]
    registry: Option<String>,

    /// Use the modules by digest: a file with what `podfence push` printed
    #[arg(long, value_name = "FILE", conflicts_with = "registry")]
    published: Option<PathBuf>,

    /// Namespaces that are not evaluated, beside kube-system and kubewarden
    #[arg(long, value_name = "NAMESPACES", value_delimiter = ',', value_parser = namespace)]
    exclude: Vec<String>,

    /// The PolicyServer that runs the policies [default: Kubewarden's default one]
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    policy_server: Option<String>,

    /// Warn users whose requests are let through in mode monitor and would be rejected in mode protect
    #[arg(long)]
    warnings: bool,

    /// Decide as this version of Kubernetes does, such as 1.34 [default: the newest version]
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<Minor>,

    /// Settings by policy, in groups as well: an object, or a file with one, such as '{capabilities: {mutate: true}}'
    #[arg(long, value_name = "SETTINGS")]
    settings: Option<String>,

    /// Where the modules are that check --settings, as NAME.wasm [default: in this program, or beside it]
    #[arg(long, value_name = "DIR", requires = "settings")]
    modules: Option<PathBuf>,

    #[command(flatten)]
    kinds: KindsArgument,

    /// The directory to write to: a new or an empty one
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let options = self.options()?;
        self.check(&options.given()).context("--settings")?;
        let files = deploy::tree(&options);
        // What is left of another version would be applied with the rest.
        if fs::read_dir(&self.out).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!(
                "{}: is not empty, and files of another version in it would be applied with the new ones; name a new \
                 directory with --out, or remove this one first",
                origin(&self.out)
            );
        }
        for (path, text) in &files {
            write(&self.out.join(path), text)?;
        }
        for (policy, setting) in options.left_out() {
            anstream::eprintln!(
                "note: {policy} is left out, because it rejects every pod without settings; \
                 --settings '{{{policy}: {{{setting}: […]}}}}' adds it"
            );
        }
        let out = origin(&self.out);
        let (count, next) = (files.len(), format!("kubectl apply -k {out}/monitor/restricted"));
        writeln!(anstream::stdout(), "{count} files in {out}; next: {next}")?;
        Ok(ExitCode::SUCCESS)
    }

    /// Has the policies check the settings that they get.
    fn check(&self, given: &[Given]) -> Result<()> {
        let names: BTreeSet<&str> = given.iter().map(|of| of.policy).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let modules = Places::new(self.modules.as_deref()).load(&Host::quick(Limits::default())?, &names)?;
        for Given { policy, group, settings } in given {
            let of = modules.iter().find(|of| of.name == *policy).context("a module is missing")?;
            let place = group.as_ref().map_or(String::new(), |group| format!(", as a member of {group}"));
            of.validate_settings(settings.clone()).with_context(|| format!("{policy}{place}"))?;
        }
        Ok(())
    }

    fn options(&self) -> Result<Options> {
        let modules = match (&self.published, &self.registry) {
            (Some(file), _) => {
                let text = read::file(file, LARGEST_DOCUMENT).with_context(|| origin(file))?;
                Modules::published(&String::from_utf8_lossy(&text)).with_context(|| origin(file))?
            }
            (None, Some(registry)) => Modules::tagged(registry),
            (None, None) => Modules::default(),
        };
        Ok(Options {
            modules,
            kinds: self.kinds.get(),
            exempt_namespaces: self.exclude.clone(),
            policy_server: self.policy_server.clone(),
            warnings: self.warnings,
            kubernetes: self.kubernetes_version,
            settings: Settings::read(read_settings("--settings", self.settings.as_deref())?).context("--settings")?,
        })
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory).with_context(|| origin(directory))?;
    fs::write(path, text).with_context(|| origin(path))
}

/// The name of a namespace, which no pattern matches.
fn namespace(text: &str) -> Result<String, String> {
    let name = object_name(text)?;
    match name.contains('.') || name.len() > 63 {
        true => Err("expected the name of a namespace: up to 63 letters a to z, digits and `-`".to_owned()),
        false => Ok(name),
    }
}

/// The name of an object.
fn object_name(text: &str) -> Result<String, String> {
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_part = |part: &str| {
        part.starts_with(is_letter) && part.ends_with(is_letter) && part.chars().all(|of| is_letter(of) || of == '-')
    };
    match text.len() <= 253 && text.split('.').all(is_part) {
        true => Ok(text.to_owned()),
        false => Err("expected a name: letters a to z, digits, `-` and `.`".to_owned()),
    }
}
