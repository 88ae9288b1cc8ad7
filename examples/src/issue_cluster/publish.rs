//! A directory that appears whole or not at all.

use core::fmt;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The mode of directories, as kubeadm makes them: the files inside guard themselves.
const DIRECTORY_MODE: u32 = 0o755;

/// A file to be written.
pub(super) struct NewFile<'a> {
    pub(super) path: &'a str,
    pub(super) mode: u32,
    pub(super) content: &'a str,
}

/// A directory that is to appear: proved writable and free before anything is made for it.
///
/// Everything is written into a new directory beside it, which is removed again when this is dropped.
#[derive(Debug)]
pub struct Destination {
    directory: PathBuf,
    parent: PathBuf,
    staging: TempDir,
}

impl Destination {
    /// Makes sure that `directory` can appear. It may exist if it is empty.
    ///
    /// # Errors
    /// [`PublishError`]: it holds something, has no name, or the directory above it cannot be written.
    pub fn open(directory: &Path) -> Result<Self, PublishError> {
        let directory = directory.to_owned();
        let failed = |kind| PublishError { place: directory.clone(), kind };
        if directory.file_name().is_none() {
            return Err(failed(PublishErrorKind::NoName));
        }
        match std::fs::read_dir(&directory).map(|mut entries| entries.next().is_some()) {
            Ok(true) => return Err(failed(PublishErrorKind::NotEmpty)),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(PublishErrorKind::Io(error))),
            _ => {}
        }
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new(".")).to_owned();
        let staging = tempfile::Builder::new().prefix(".issue-cluster-").tempdir_in(&parent);
        let staging = staging.map_err(|error| PublishError::io(&parent, error))?;
        Ok(Self { directory, parent, staging })
    }

    /// Writes the files, and renames their directory when all of them are on the disk.
    ///
    /// Renaming a directory over another one succeeds only if that is empty (rename(2)), so nothing is ever
    /// overwritten, whoever else writes there meanwhile.
    pub(super) fn publish<'a>(self, files: impl IntoIterator<Item = NewFile<'a>>) -> Result<PathBuf, PublishError> {
        let Self { directory, parent, staging } = self;
        let mut directories = vec![staging.path().to_owned()];
        for file in files {
            write(&staging.path().join(file.path), &file, &mut directories)
                .map_err(|error| PublishError::io(&directory.join(file.path), error))?;
        }
        std::fs::set_permissions(staging.path(), Permissions::from_mode(DIRECTORY_MODE))
            .and_then(|()| directories.iter().try_for_each(|directory| File::open(directory)?.sync_all()))
            .and_then(|()| std::fs::rename(staging.path(), &directory))
            .map_err(|error| match error.kind() {
                ErrorKind::DirectoryNotEmpty => {
                    PublishError { place: directory.clone(), kind: PublishErrorKind::NotEmpty }
                }
                _ => PublishError::io(&directory, error),
            })?;
        // It has another name now: there is nothing to clean up.
        let _renamed = staging.keep();
        let synced = File::open(&parent).and_then(|parent| parent.sync_all());
        synced.map_err(|error| PublishError::io(&parent, error))?;
        Ok(directory)
    }
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
    fn io(place: &Path, error: io::Error) -> Self {
        Self { place: place.to_owned(), kind: PublishErrorKind::Io(error) }
    }

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

    fn open(directory: &Path) -> Destination {
        Destination::open(directory).unwrap()
    }

    #[test]
    fn a_destination_that_is_not_used_leaves_nothing_behind() {
        let room = tempfile::tempdir().unwrap();
        drop(open(&room.path().join("out")));
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_holds_something_is_refused_before_anything_is_made_for_it() {
        let room = tempfile::tempdir().unwrap();
        std::fs::write(room.path().join("theirs"), "precious").unwrap();
        let error = Destination::open(room.path()).unwrap_err();
        assert!(matches!(error.kind(), PublishErrorKind::NotEmpty), "{error}");
    }

    #[test]
    fn a_failure_in_the_middle_leaves_nothing_behind() {
        let room = tempfile::tempdir().unwrap();
        let out = room.path().join("out");
        // The second cannot be made: the first one stands in its way.
        let error = open(&out).publish([file("a", "first"), file("a/b", "second")]).unwrap_err();
        assert_eq!(error.place(), out.join("a/b"));
        assert!(matches!(error.kind(), PublishErrorKind::Io(_)));
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_never_replaces_another_one_of_the_same_tree() {
        let room = tempfile::tempdir().unwrap();
        let error = open(&room.path().join("out")).publish([file("a", "first"), file("a", "second")]).unwrap_err();
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
        let error = open(&out).publish(files).unwrap_err();
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
