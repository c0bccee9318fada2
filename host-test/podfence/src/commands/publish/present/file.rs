//! Files that are written whole or not at all: beside their place, and then renamed.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use tempfile::{Builder, NamedTempFile};

use crate::text::origin;

/// The name that stands for standard output.
const STANDARD_OUTPUT: &str = "-";

/// Who may read a new file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Everybody whom the user's mask lets.
    Everybody,
    /// The user alone.
    User,
}

/// Whether a path stands for standard output.
pub(super) fn is_standard_output(path: &Path) -> bool {
    path.to_str() == Some(STANDARD_OUTPUT)
}

/// Writes files over what is there, none before all of them can be. `-` is standard output.
pub(super) fn replace(files: &[(&Path, &[u8])]) -> Result<()> {
    let mut staged = Vec::new();
    for &(path, bytes) in files {
        if is_standard_output(path) {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())?;
        } else if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            // A device or a pipe must stay what it is.
            fs::write(path, bytes).with_context(|| origin(path))?;
        } else {
            staged.push((path, stage(path, bytes, Readers::Everybody).with_context(|| origin(path))?));
        }
    }
    for (path, file) in staged {
        file.persist(path).map_err(|error| error.error).with_context(|| origin(path))?;
    }
    Ok(())
}

/// Writes files where nothing is, no link either; all of them or none.
pub(super) fn create(files: &[(&Path, &[u8], Readers)], hint: &str) -> Result<()> {
    let stage =
        |&(path, bytes, readers): &(&Path, &[u8], Readers)| stage(path, bytes, readers).with_context(|| origin(path));
    let staged = files.iter().map(stage).collect::<Result<Vec<_>>>()?;
    for (number, (file, (path, ..))) in staged.into_iter().zip(files).enumerate() {
        let Err(error) = file.persist_noclobber(path) else { continue };
        for (written, ..) in &files[..number] {
            fs::remove_file(written).with_context(|| origin(written))?;
        }
        if error.error.kind() == io::ErrorKind::AlreadyExists {
            bail!("{} exists and is not overwritten; {hint}", origin(path));
        }
        return Err(error.error).with_context(|| origin(path));
    }
    Ok(())
}

/// Writes a file beside its place. It is gone if it is not renamed.
fn stage(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<NamedTempFile> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = Builder::new();
    builder.prefix(".podfence-");
    #[cfg(unix)]
    if readers == Readers::Everybody {
        builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(directory).map_err(|error| {
        // Its own text names the file beside.
        io::Error::new(error.kind(), error.to_string().split(" at path ").next().unwrap_or_default().to_owned())
    })?;
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn pairs_are_written_both_or_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let [secret, public] = ["a.key", "a.pub"].map(|name| directory.path().join(name));
        let elsewhere = directory.path().join("elsewhere");
        let files: [(&Path, &[u8], Readers); 2] =
            [(&secret, b"secret", Readers::User), (&public, b"public", Readers::Everybody)];
        symlink(&elsewhere, &public).expect("a link");
        let error = create(&files, "choose").expect_err("a link is there").to_string();
        assert_eq!(error, format!("{} exists and is not overwritten; choose", public.display()));
        assert!(!secret.exists() && !elsewhere.exists());
        fs::remove_file(&public).expect("a link");
        create(&files, "choose").expect("nothing is there");
        assert_eq!(fs::metadata(&secret).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&public).expect("a file"), b"public");
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 2);
    }

    #[test]
    fn links_are_replaced_and_devices_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        let [link, elsewhere] = ["link", "elsewhere"].map(|name| directory.path().join(name));
        fs::write(&elsewhere, "old").expect("a file");
        symlink(&elsewhere, &link).expect("a link");
        replace(&[(&link, b"new"), (Path::new("/dev/null"), b"new")]).expect("both can be written");
        assert_eq!(fs::read(&elsewhere).expect("a file"), b"old");
        assert_eq!(fs::read(&link).expect("a file"), b"new");
        assert!(!fs::metadata("/dev/null").expect("a device").is_file());
    }
}
