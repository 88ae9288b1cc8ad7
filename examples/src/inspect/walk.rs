//! Reading files: how deep, how many, how much, and never out of the directory that was given.

use core::fmt;
use std::collections::BTreeSet;
use std::fs::{File, FileType};
use std::io::{self, Read as _};
use std::path::Path;

use pki_core::Printable;

use super::{Refusal, Source, limits};

/// kubeadm's tree is three deep, a kubelet's four.
const DEPTH_MAX: usize = 8;
/// Many times what any machine of a cluster has.
const FILES_MAX: usize = 4_096;
/// As many as could hold a file of kubeadm's tree each, many times over.
const DIRECTORIES_MAX: usize = 1_024;
/// Octets of all files: 8 KiB for each of [`FILES_MAX`]. A control plane's tree has some 100 KiB.
const OCTETS_MAX: usize = 32 << 20;

/// What there was besides files, and how far the walk went.
#[derive(Default)]
pub(super) struct Walked {
    /// What is neither a file nor a directory.
    pub(super) ignored: usize,
    /// The bounds at which the walk passed something by.
    pub(super) passed: BTreeSet<Bound>,
    files: usize,
    directories: usize,
    octets: usize,
}

/// A bound of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bound {
    Depth,
    Directories,
    Files,
    Octets,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Depth => write!(f, "deeper than {DEPTH_MAX} directories"),
            Self::Directories => write!(f, "more than {DIRECTORIES_MAX} directories"),
            Self::Files => write!(f, "more than {FILES_MAX} files"),
            Self::Octets => write!(f, "more than {OCTETS_MAX} octets"),
        }
    }
}

/// Reads one file, whatever its name is.
pub(super) fn read(path: &Path, shown: Printable) -> io::Result<Source> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let max = limits().pem_len_max;
    let too_long = |found| Err(Refusal::TooLong { found, max });
    let limit = u64::try_from(max).unwrap_or(u64::MAX);
    let mut octets = Vec::new();
    let content = if metadata.is_file() && metadata.len() > limit {
        too_long(metadata.len())
    } else {
        // The length that the file system gives may be that of a pipe, or change: what is read decides.
        match file.take(limit.saturating_add(1)).read_to_end(&mut octets)? {
            read if read > max => too_long(u64::try_from(read).unwrap_or(u64::MAX)),
            _ => Ok(octets),
        }
    };
    Ok(Source { path: shown, content, mode: mode(&metadata) })
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;

    metadata.is_file().then(|| metadata.permissions().mode())
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> Option<u32> {
    None
}

/// Reads every file below a directory, and hands over one after the other, in no order. Links to files inside are
/// followed, as a kubelet's `kubelet-client-current.pem` is one; links to directories are not, so that there is no loop.
///
/// # Errors
/// When the directory itself cannot be read.
pub(super) fn walk(root: &Path, found: &mut dyn FnMut(Source)) -> io::Result<Walked> {
    let root = root.canonicalize()?;
    let mut walk = Walk { root: &root, found, walked: Walked::default() };
    walk.enter(&root, 0)?;
    Ok(walk.walked)
}

struct Walk<'a> {
    root: &'a Path,
    found: &'a mut dyn FnMut(Source),
    walked: Walked,
}

impl Walk<'_> {
    fn enter(&mut self, directory: &Path, depth: usize) -> io::Result<()> {
        if self.walked.directories == DIRECTORIES_MAX {
            self.walked.passed.insert(Bound::Directories);
            return Ok(());
        }
        self.walked.directories += 1;
        if depth == DEPTH_MAX {
            self.walked.passed.insert(Bound::Depth);
            return Ok(());
        }
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                if let Err(error) = self.enter(&path, depth + 1) {
                    let refused = self.refused(&path, Refusal::Io(error));
                    (self.found)(refused);
                }
            } else {
                self.file(&path, kind);
            }
            // Only what is too deep leaves the rest to be read.
            if self.walked.passed.iter().any(|bound| *bound != Bound::Depth) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, kind: FileType) {
        if self.walked.files == FILES_MAX {
            self.walked.passed.insert(Bound::Files);
            return;
        }
        self.walked.files += 1;
        let source = match target(self.root, path, kind) {
            // Only what is read counts, and a file is as long as it may be: so the last one may go beyond, by little.
            Ok(Target::File) if self.walked.octets >= OCTETS_MAX => {
                self.walked.passed.insert(Bound::Octets);
                return;
            }
            Ok(Target::File) => {
                read(path, self.shown(path)).unwrap_or_else(|error| self.refused(path, Refusal::Io(error)))
            }
            Ok(Target::Outside) => self.refused(path, Refusal::LeadsOut),
            // A socket, a pipe, a device, a link to a directory: opening one could block for ever.
            Ok(Target::Other) => {
                self.walked.ignored += 1;
                return;
            }
            Err(error) => self.refused(path, Refusal::Io(error)),
        };
        self.walked.octets += source.content.as_ref().map_or(0, Vec::len);
        (self.found)(source);
    }

    fn shown(&self, path: &Path) -> Printable {
        Printable::new(path.strip_prefix(self.root).unwrap_or(path).as_os_str().as_encoded_bytes())
    }

    fn refused(&self, path: &Path, refusal: Refusal) -> Source {
        Source { path: self.shown(path), content: Err(refusal), mode: None }
    }
}

enum Target {
    File,
    Outside,
    Other,
}

fn target(root: &Path, path: &Path, kind: FileType) -> io::Result<Target> {
    if kind.is_file() {
        return Ok(Target::File);
    }
    if !kind.is_symlink() {
        return Ok(Target::Other);
    }
    let end = path.canonicalize()?;
    Ok(match std::fs::metadata(&end)?.is_file() {
        _ if !end.starts_with(root) => Target::Outside,
        true => Target::File,
        false => Target::Other,
    })
}
