//! The tests that every policy gets from [`policy!`](podfence_core::policy): its generated files are current.

use std::{fs, path::Path};

use podfence_core::Policy;
use podfence_fixtures::{generated, load, report};

use crate::{artifacthub, generate, metadata::Facts};

/// Makes the tests of a policy, of which [`policy!`](podfence_core::policy) takes care.
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

/// The README is what is generated, and so is the policy's row in the table of other names.
///
/// # Errors
/// It is not, and how to refresh it.
pub fn readme(policy: &Policy, dir: &Path) -> Result<(), String> {
    let readme = generate::readme(policy, &load(policy, dir)?, dir)?;
    generated::is_current(&dir.join("README.md"), &readme)?;
    let path = dir.with_file_name("ALIASES.md");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table = generate::with_row(generated::part(&text, "aliases")?, &generate::aliases(policy, dir)?);
    generated::is_current(&path, &generated::between(&text, "aliases", &table)?)
}

/// What catalogues and forms are told about the policy is what is generated: `metadata.yml`,
/// `questions-ui.yml`, and `artifacthub-pkg.yml`, which has both of them.
///
/// # Errors
/// One is not, and how to refresh it; or a form that says nothing of its own is refused as settings.
pub fn metadata(policy: &Policy, dir: &Path) -> Result<(), String> {
    let facts = Facts::load(policy, dir)?;
    let directory = facts.project.root.join("artifacthub").join(policy.name);
    let files = [
        (dir.join("metadata.yml"), facts.metadata()?),
        (dir.join("questions-ui.yml"), facts.form()?),
        (directory.join("artifacthub-pkg.yml"), artifacthub::package(&facts)?),
    ];
    let failures = files.iter().filter_map(|(path, generated)| generated::is_current(path, generated).err());
    report("files", failures.collect())
}
