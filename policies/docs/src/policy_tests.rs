//! The tests of generated files that [`policy!`](podfence_core::policy) adds to every policy.

use std::{fs, path::Path};

use podfence_core::Policy;
use podfence_fixtures::{generated, load, report};

use crate::{artifacthub, generate, metadata::Facts};

/// Defines the tests of a policy. [`policy!`](podfence_core::policy) calls it.
#[macro_export]
macro_rules! policy_tests {
    ($policy:ident) => {
        mod docs_tests {
            use std::path::Path;

            use super::$policy;
            use $crate::Failures;

            const DIR: &str = env!("CARGO_MANIFEST_DIR");

            #[test]
            fn readme() -> Result<(), Failures> {
                $crate::policy_tests::readme(&$policy, Path::new(DIR)).map_err(Failures)
            }

            #[test]
            fn metadata() -> Result<(), Failures> {
                $crate::policy_tests::metadata(&$policy, Path::new(DIR)).map_err(Failures)
            }
        }
    };
}

/// Checks that the README and the policy's row in `policies/ALIASES.md` are current.
///
/// # Errors
/// One is out of date; the error names the command that refreshes it.
pub fn readme(policy: &Policy, dir: &Path) -> Result<(), String> {
    let readme = generate::readme(policy, &load(policy, dir)?, dir)?;
    generated::is_current(&dir.join("README.md"), &readme)?;
    let path = dir.with_file_name("ALIASES.md");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table = generate::with_row(generated::part(&text, "aliases")?, &generate::aliases(policy, dir)?);
    generated::is_current(&path, &generated::between(&text, "aliases", &table)?)
}

/// Checks that the files for catalogues and forms are current: `metadata.yml`, `questions-ui.yml`, and
/// `artifacthub-pkg.yml`, which contains both.
///
/// # Errors
/// One is out of date; the error names the command that refreshes it. Or the policy rejects the defaults of the form.
pub fn metadata(policy: &Policy, dir: &Path) -> Result<(), String> {
    let facts = Facts::load(policy, &load(policy, dir)?, dir)?;
    let directory = facts.project.root.join("artifacthub").join(policy.name);
    let files = [
        (dir.join("metadata.yml"), facts.metadata()?),
        (dir.join("questions-ui.yml"), facts.form()?),
        (directory.join("artifacthub-pkg.yml"), artifacthub::package(&facts)?),
    ];
    let failures = files.iter().filter_map(|(path, generated)| generated::is_current(path, generated).err());
    report("files", failures.collect())
}
