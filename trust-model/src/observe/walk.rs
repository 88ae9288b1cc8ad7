//! Files from a directory: how deep, how many, how much, and never out of the directory that was given.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

use super::files::{Files, ObserveLimits};

impl Files {
    /// Reads a directory such as `/etc/kubernetes`, or a copy of one, and everything below it.
    ///
    /// Links to files inside are followed, as a kubelet's `kubelet-client-current.pem` is one; links to directories are
    /// not, so that there is no loop. What leads out of the directory, is no file, cannot be read, has a name that is not
    /// UTF-8, or is beyond the limits, is left out, and [`observe`](super::observe()) reports each.
    ///
    /// # Errors
    /// When the directory itself cannot be read.
    pub fn read_dir(root: impl AsRef<Path>, limits: &ObserveLimits) -> io::Result<Self> {
        let root = root.as_ref().canonicalize()?;
        let mut walk = Walk { root: &root, limits, files: Self::new(), entries: 0, octets: 0 };
        walk.enter(&root, 0)?;
        Ok(walk.files)
    }
}

struct Walk<'a> {
    root: &'a Path,
    limits: &'a ObserveLimits,
    files: Files,
    /// Everything that was looked at, directories included.
    entries: usize,
    octets: usize,
}

/// What a file is refused for.
type Refusal = String;

impl Walk<'_> {
    fn enter(&mut self, directory: &Path, depth: usize) -> io::Result<()> {
        if depth > self.limits.depth_max {
            self.refuse(directory, &format!("deeper than {} directories", self.limits.depth_max));
            return Ok(());
        }
        let listed = std::fs::read_dir(directory)?;
        let mut entries = Vec::new();
        for entry in listed {
            if self.entries == self.limits.files_max {
                self.refuse(directory, &format!("more than {} files and directories", self.limits.files_max));
                break;
            }
            self.entries += 1;
            entries.push(entry?.path());
        }
        // The order of a directory is nobody's choice; what a limit leaves out should be the same each time.
        entries.sort_unstable();
        for path in entries {
            let is_directory = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            let done = if is_directory {
                self.enter(&path, depth + 1).map_err(|error| reason(&error))
            } else {
                self.file(&path)
            };
            if let Err(refusal) = done {
                self.refuse(&path, &refusal);
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Refusal> {
        let target = path.canonicalize().map_err(|error| reason(&error))?;
        if !target.starts_with(self.root) {
            return Err("a link that leads out of the directory".to_owned());
        }
        let metadata = target.metadata().map_err(|error| reason(&error))?;
        if metadata.is_dir() {
            return Err("a link to a directory".to_owned());
        }
        // Opening a pipe could block for ever.
        if !metadata.is_file() {
            return Err("not a file".to_owned());
        }
        let max = self.limits.file_len_max;
        let mut octets = Vec::new();
        let file = File::open(&target).map_err(|error| reason(&error))?;
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        // The length that the file system gives may change: what is read decides.
        file.take(limit).read_to_end(&mut octets).map_err(|error| reason(&error))?;
        if octets.len() > max {
            return Err(format!("more than {max} octets"));
        }
        self.octets = self.octets.saturating_add(octets.len());
        if self.octets > self.limits.total_len_max {
            self.octets = self.octets.saturating_sub(octets.len());
            return Err(format!("more than {} octets in all files", self.limits.total_len_max));
        }
        let name = self.name(path).ok_or("a name that is not UTF-8")?;
        self.files.insert(&name, octets, mode(&metadata)).map_err(|error| error.to_string())
    }

    fn name(&self, path: &Path) -> Option<String> {
        let parts: Option<Vec<_>> = path.strip_prefix(self.root).ok()?.iter().map(|part| part.to_str()).collect();
        Some(parts?.join("/"))
    }

    fn refuse(&mut self, path: &Path, reason: &str) {
        let name = path.strip_prefix(self.root).unwrap_or(path).to_string_lossy().into_owned();
        self.files.refuse(if name.is_empty() { "." } else { &name }, reason);
    }
}

/// What an error of the system is, without what differs from one system to another.
fn reason(error: &io::Error) -> Refusal {
    format!("not readable: {}", error.kind())
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;

    Some(metadata.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
const fn mode(_: &Metadata) -> Option<u32> {
    None
}
