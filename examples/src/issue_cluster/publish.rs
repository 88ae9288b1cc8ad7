//! A directory that appears whole or not at all.

use core::fmt;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The mode of directories, as kubeadm makes them: the files inside guard themselves.
const DIRECTORY_MODE: u32 = 0o755;

/// A file to be written.
pub(super) struct NewFile<'a> {
    pub(super) path: &'a str,
    pub(super) mode: u32,
    pub(super) content: &'a str,
}

/// Writes the files into a new directory beside `directory`, and renames it when all of them are on the disk.
///
/// `directory` may exist if it is empty: renaming a directory over another one succeeds only then (rename(2)), so
/// that nothing is ever overwritten, whoever else writes there meanwhile.
pub(super) fn publish<'a>(directory: &Path, files: impl IntoIterator<Item = NewFile<'a>>) -> Result<(), PublishError> {
    let failed = |kind| PublishError { place: directory.to_owned(), kind };
    if directory.file_name().is_none() {
        return Err(failed(PublishErrorKind::NoName));
    }
    match std::fs::read_dir(directory).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(failed(PublishErrorKind::NotEmpty)),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(PublishErrorKind::Io(error))),
        _ => {}
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let staging = tempfile::Builder::new()
        .prefix(".issue-cluster-")
        .tempdir_in(parent)
        .map_err(|error| PublishError { place: parent.to_owned(), kind: PublishErrorKind::Io(error) })?;
    let mut directories = vec![staging.path().to_owned()];
    for file in files {
        let place = staging.path().join(file.path);
        let written = write(&place, &file, &mut directories);
        written
            .map_err(|error| PublishError { place: directory.join(file.path), kind: PublishErrorKind::Io(error) })?;
    }
    std::fs::set_permissions(staging.path(), Permissions::from_mode(DIRECTORY_MODE))
        .and_then(|()| directories.iter().try_for_each(|directory| File::open(directory)?.sync_all()))
        .and_then(|()| std::fs::rename(staging.path(), directory))
        .map_err(|error| match error.kind() {
            ErrorKind::DirectoryNotEmpty => failed(PublishErrorKind::NotEmpty),
            _ => failed(PublishErrorKind::Io(error)),
        })?;
    // It has another name now: there is nothing to clean up.
    let _renamed = staging.keep();
    let synced = File::open(parent).and_then(|parent| parent.sync_all());
    synced.map_err(|error| PublishError { place: parent.to_owned(), kind: PublishErrorKind::Io(error) })
}

/// Creates a file with its mode from the first moment on, and the directories above it.
fn write(place: &Path, file: &NewFile<'_>, directories: &mut Vec<PathBuf>) -> io::Result<()> {
    if let Some(above) = place.parent()
        && !above.exists()
    {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(above)?;
        directories.push(above.to_owned());
    }
    let mut opened = create(place, file.mode)?;
    opened.write_all(file.content.as_bytes())?;
    // A umask takes bits away and never adds one.
    opened.set_permissions(Permissions::from_mode(file.mode))?;
    opened.sync_all()
}

fn create(place: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(place)
}

/// Why the directory was not written. Nothing of it exists; only when syncing the directory above it failed it does,
/// and may be lost with the machine's power.
#[derive(Debug)]
pub struct PublishError {
    place: PathBuf,
    kind: PublishErrorKind,
}

/// What stood in the way.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishErrorKind {
    /// The path ends in `..` or is a root, so that no directory can be renamed to it.
    NoName,
    /// Something is in the directory already.
    NotEmpty,
    /// The operating system refused.
    Io(io::Error),
}

impl PublishError {
    /// Which file or directory.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// What stood in the way.
    #[must_use]
    pub const fn kind(&self) -> &PublishErrorKind {
        &self.kind
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.display();
        match &self.kind {
            PublishErrorKind::NoName => write!(f, "cannot write to `{place}`: expected the name of a new directory"),
            PublishErrorKind::NotEmpty => {
                write!(f, "cannot write to `{place}`: it is not empty, and nothing is overwritten")
            }
            PublishErrorKind::Io(error) => write!(f, "cannot write to `{place}`: {error}"),
        }
    }
}

impl core::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.kind {
            PublishErrorKind::Io(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &'static str, content: &'static str) -> NewFile<'static> {
        NewFile { path, mode: 0o600, content }
    }

    #[test]
    fn a_failure_in_the_middle_leaves_nothing_behind() {
        let room = tempfile::tempdir().unwrap();
        let out = room.path().join("out");
        // The second cannot be made: the first one stands in its way.
        let error = publish(&out, [file("a", "first"), file("a/b", "second")]).unwrap_err();
        assert_eq!(error.place(), out.join("a/b"));
        assert!(matches!(error.kind(), PublishErrorKind::Io(_)));
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_never_replaces_another_one_of_the_same_tree() {
        let room = tempfile::tempdir().unwrap();
        let error = publish(&room.path().join("out"), [file("a", "first"), file("a", "second")]).unwrap_err();
        assert!(matches!(error.kind(), PublishErrorKind::Io(error) if error.kind() == ErrorKind::AlreadyExists));
    }

    #[test]
    fn what_others_write_meanwhile_is_not_replaced() {
        let room = tempfile::tempdir().unwrap();
        let out = room.path().join("out");
        let others = out.clone();
        let files = core::iter::once(file("a", "ours")).inspect(move |_| {
            std::fs::create_dir(&others).unwrap();
            std::fs::write(others.join("theirs"), "precious").unwrap();
        });
        let error = publish(&out, files).unwrap_err();
        assert!(matches!(error.kind(), PublishErrorKind::NotEmpty), "{error}");
        assert_eq!(std::fs::read_to_string(out.join("theirs")).unwrap(), "precious");
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_is_its_owners_alone_while_it_is_written() {
        let room = tempfile::tempdir().unwrap();
        let place = room.path().join("key");
        let opened = create(&place, 0o600).unwrap();
        assert_eq!(opened.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }
}
