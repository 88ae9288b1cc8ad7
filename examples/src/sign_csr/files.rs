//! Which file becomes which, read within bounds and written whole or not at all.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use pki_core::Printable;

/// One request and the place of its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Where the request is.
    pub input: PathBuf,
    /// Where the certificate goes.
    pub output: PathBuf,
}

/// What is to be done: one file into one file, or every file of a directory into `<stem>.pem` of another.
///
/// # Errors
/// When the input does not exist or holds no file, the output is of the other kind or a request itself, or two requests
/// have one stem.
/// Nothing was written then, except that the output directory exists.
pub fn jobs(input: &Path, output: &Path) -> Result<Vec<Job>, FileError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |error| FileError { path, cause: Cause::Io(error) }
    };
    let fail = |path: &Path, cause| FileError { path: path.to_owned(), cause };
    if !fs::metadata(input).map_err(error(input))?.is_dir() {
        if output.is_dir() {
            return Err(fail(output, Cause::IsDirectory));
        }
        let parent = parent_of(output);
        fs::read_dir(parent).map_err(error(parent))?;
        if matches!((fs::canonicalize(input), fs::canonicalize(output)), (Ok(input), Ok(output)) if input == output) {
            return Err(fail(output, Cause::IsRequest));
        }
        return Ok(vec![Job { input: input.to_owned(), output: output.to_owned() }]);
    }
    let mut by_output = BTreeMap::new();
    for entry in fs::read_dir(input).map_err(error(input))? {
        let path = entry.map_err(error(input))?.path();
        if !path.is_file() {
            continue;
        }
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        let mut name = stem.to_owned();
        name.push(".pem");
        if let Some(other) = by_output.insert(output.join(name), path.clone()) {
            return Err(fail(&path, Cause::SameStem(other)));
        }
    }
    if by_output.is_empty() {
        return Err(fail(input, Cause::NoFile));
    }
    fs::create_dir_all(output).map_err(error(output))?;
    let inputs: BTreeSet<_> = by_output.values().filter_map(|input| fs::canonicalize(input).ok()).collect();
    for output in by_output.keys() {
        if fs::canonicalize(output).is_ok_and(|output| inputs.contains(&output)) {
            return Err(fail(output, Cause::IsRequest));
        }
    }
    Ok(by_output.into_iter().map(|(output, input)| Job { input, output }).collect())
}

/// The content of a file of at most `max` octets, and one more of a longer one, so that whoever judges it sees that it
/// is too long.
///
/// # Errors
/// When it cannot be read.
pub fn read_bounded(path: &Path, max: usize) -> Result<Vec<u8>, FileError> {
    let read = || {
        // As large as it gets at once: a buffer that grows would leave copies of a key behind.
        let mut content = Vec::with_capacity(max.saturating_add(1));
        let bound = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        fs::File::open(path)?.take(bound).read_to_end(&mut content)?;
        Ok(content)
    };
    read().map_err(|error: io::Error| FileError { path: path.to_owned(), cause: Cause::Io(error) })
}

/// Writes a file whole or not at all: beside its place first, then into it.
///
/// # Errors
/// When that is not possible; whatever stood in the place before still does.
pub fn publish(path: &Path, content: &str) -> Result<(), FileError> {
    let write = || {
        let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(parent_of(path))?;
        file.write_all(content.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error: io::Error| FileError { path: path.to_owned(), cause: Cause::Io(error) })
}

/// The directory of a path that may have none of its own.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// A certificate is public: 0644, less what the umask takes.
fn readable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

/// A path for a terminal or a log: files come from strangers, and so do their names.
#[must_use]
pub fn shown(path: &Path) -> Printable {
    Printable::new(path.as_os_str().as_encoded_bytes())
}

/// A path that cannot be used, and why.
#[derive(Debug)]
pub struct FileError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Io(io::Error),
    IsDirectory,
    IsRequest,
    NoFile,
    SameStem(PathBuf),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", shown(&self.path))?;
        match &self.cause {
            Cause::Io(error) => write!(f, "{error}"),
            Cause::IsDirectory => f.write_str("is a directory, and the request is a file"),
            Cause::IsRequest => f.write_str("is a request, and would be overwritten by a certificate"),
            Cause::NoFile => f.write_str("holds no file"),
            Cause::SameStem(other) => write!(f, "would be signed into the same file as {}", shown(other)),
        }
    }
}

impl core::error::Error for FileError {}
