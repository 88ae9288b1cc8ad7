//! A directory that appears whole or not at all.

use core::fmt;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use pki_core::Printable;
use tempfile::TempDir;

/// The mode of directories, as kubeadm makes them: the files inside guard themselves.
const DIRECTORY_MODE: u32 = 0o755;
/// The mode of a directory that is not whole yet. What a kill leaves is its owner's alone.
const STAGING_MODE: u32 = 0o700;
/// How the names of directories begin that are not whole yet. What follows the dot is the name of a temporary one.
const STAGING_PREFIX: &str = ".issue-cluster-";

/// A file to be written.
pub(super) struct NewFile<'a> {
    pub(super) path: &'a str,
    pub(super) mode: u32,
    pub(super) content: &'a str,
}

/// A directory that is to appear: proved writable and free before anything is made for it.
#[derive(Debug)]
pub struct Destination {
    /// Where files are staged, and renamed to their place.
    parent: PathBuf,
    /// `None` for a new one of any name.
    directory: Option<PathBuf>,
    mode: u32,
}

impl Destination {
    /// Makes sure that `directory` can appear. It may exist if it is empty, and keeps its mode then.
    ///
    /// # Errors
    /// [`PublishError`]: it holds something, is no directory, has no name, or the directory above it cannot be written.
    pub fn open(directory: &Path) -> Result<Self, PublishError> {
        let failed = |kind| PublishError { place: directory.to_owned(), kind };
        if directory.file_name().is_none() {
            return Err(failed(PublishErrorKind::NoName));
        }
        let mode = match existing(directory) {
            Ok(Some((mode, true))) => mode,
            Ok(Some((_, false))) => return Err(failed(PublishErrorKind::NotEmpty)),
            Ok(None) => DIRECTORY_MODE,
            Err(error) => return Err(failed(PublishErrorKind::Io(error))),
        };
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        Self::proven(Self { parent: parent.to_owned(), directory: Some(directory.to_owned()), mode })
    }

    /// A new directory among the temporary files, which has its name when it is written.
    ///
    /// # Errors
    /// [`PublishError`]: no directory can be made there.
    pub fn temporary() -> Result<Self, PublishError> {
        Self::proven(Self { parent: std::env::temp_dir(), directory: None, mode: DIRECTORY_MODE })
    }

    fn proven(self) -> Result<Self, PublishError> {
        let proof = self.stage().and_then(TempDir::close);
        proof.map_err(|error| PublishError::io(&self.parent, error))?;
        Ok(self)
    }

    /// A new directory beside the one that is to appear. It is removed when it is dropped, and left by a kill.
    fn stage(&self) -> io::Result<TempDir> {
        tempfile::Builder::new()
            .prefix(STAGING_PREFIX)
            .permissions(Permissions::from_mode(STAGING_MODE))
            .tempdir_in(&self.parent)
    }

    /// Writes the files, and renames their directory when all of them are on the disk.
    ///
    /// Renaming a directory over another one succeeds only if that is empty (rename(2)), so nothing is ever
    /// overwritten, whoever else writes there meanwhile.
    pub(super) fn publish<'a>(self, files: impl IntoIterator<Item = NewFile<'a>>) -> Result<PathBuf, PublishError> {
        let staging = self.stage().map_err(|error| PublishError::io(&self.parent, error))?;
        let Self { parent, directory, mode } = self;
        let directory = directory.unwrap_or_else(|| without_dot(staging.path()));
        let mut below = BTreeSet::new();
        for file in files {
            write(staging.path(), &file, &mut below)
                .map_err(|error| PublishError::io(&directory.join(file.path), error))?;
        }
        below
            .iter()
            .try_for_each(|made| finish(&staging.path().join(made), DIRECTORY_MODE))
            .and_then(|()| finish(staging.path(), mode))
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

/// The mode of a directory that is there, and whether it is empty.
fn existing(directory: &Path) -> io::Result<Option<(u32, bool)>> {
    let metadata = match std::fs::symlink_metadata(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    // Not a link either: that would have to be replaced by the directory.
    if !metadata.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    let is_empty = std::fs::read_dir(directory)?.next().is_none();
    Ok(Some((metadata.mode() & 0o7777, is_empty)))
}

/// `/tmp/issue-cluster-x` for what is staged as `/tmp/.issue-cluster-x`.
fn without_dot(staging: &Path) -> PathBuf {
    let name = staging.file_name().unwrap_or_default().to_string_lossy();
    staging.with_file_name(name.trim_start_matches('.'))
}

/// Gives a directory its mode, whatever the umask is, and syncs it.
fn finish(directory: &Path, mode: u32) -> io::Result<()> {
    let opened = File::open(directory)?;
    opened.set_permissions(Permissions::from_mode(mode))?;
    opened.sync_all()
}

/// Creates a file with its mode from the first moment on, and the directories above it.
fn write<'a>(staging: &Path, file: &NewFile<'a>, below: &mut BTreeSet<&'a Path>) -> io::Result<()> {
    let above: Vec<_> =
        Path::new(file.path).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
    for above in above.into_iter().rev() {
        if below.insert(above) {
            std::fs::create_dir(staging.join(above))?;
        }
    }
    let mut opened = create(&staging.join(file.path), file.mode)?;
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
        // A path may hold what a terminal obeys.
        let place = Printable::new(self.place.as_os_str().as_encoded_bytes());
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

    /// The mode of what `path` is.
    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn what_is_not_whole_yet_is_its_owners_alone_and_is_not_there_before_the_first_file() {
        let room = tempfile::tempdir().unwrap();
        let destination = open(&room.path().join("out"));
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 0);
        let mut seen = 0;
        let files = [file("a", "first"), file("b", "second")].into_iter().inspect(|_| {
            for entry in std::fs::read_dir(room.path()).unwrap() {
                let entry = entry.unwrap();
                assert!(entry.file_name().to_str().unwrap().starts_with(STAGING_PREFIX), "{entry:?}");
                assert_eq!(mode(&entry.path()), 0o700);
                seen += 1;
            }
        });
        destination.publish(files).unwrap();
        assert_eq!(seen, 2);
    }

    #[test]
    fn an_existing_directory_keeps_its_mode_and_new_ones_get_kubeadms() {
        let room = tempfile::tempdir().unwrap();
        let out = room.path().join("out");
        for existing in [Some(0o700), Some(0o2750), None] {
            if let Some(mode) = existing {
                std::fs::create_dir(&out).unwrap();
                std::fs::set_permissions(&out, Permissions::from_mode(mode)).unwrap();
            }
            open(&out).publish([file("a/b/c", "content"), file("a/d", "content")]).unwrap();
            assert_eq!(mode(&out), existing.unwrap_or(0o755));
            assert_eq!([mode(&out.join("a")), mode(&out.join("a/b"))], [0o755; 2]);
            std::fs::remove_dir_all(&out).unwrap();
        }
    }

    #[test]
    fn a_link_is_refused_before_anything_is_made_for_it() {
        let room = tempfile::tempdir().unwrap();
        std::fs::create_dir(room.path().join("empty")).unwrap();
        std::os::unix::fs::symlink("empty", room.path().join("link")).unwrap();
        let error = Destination::open(&room.path().join("link")).unwrap_err();
        assert!(matches!(error.kind(), PublishErrorKind::Io(error) if error.kind() == ErrorKind::NotADirectory));
    }

    #[test]
    fn an_error_shows_no_control_character_of_a_path() {
        let error = Destination::open(Path::new("/missing/\u{1b}[2J\n/out")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write to `/missing/\\1B[2J\\0A`: "), "{error}");
    }

    #[test]
    fn a_key_is_its_owners_alone_while_it_is_written() {
        let room = tempfile::tempdir().unwrap();
        let place = room.path().join("key");
        let opened = create(&place, 0o600).unwrap();
        assert_eq!(opened.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }
}
