//! The files of machines, as named octets.

use core::fmt;
use std::collections::BTreeMap;

use pki_core::Printable;

#[cfg(feature = "fs")]
use crate::fact::Place;
use crate::model::BrokenInput;

/// What is looked at, and how much of it. What is beyond is a [`BrokenInput`], never a silent omission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObserveLimits {
    /// How many files.
    pub files_max: usize,
    /// Octets of one file.
    pub file_len_max: usize,
    /// Octets of all files that are read from a directory.
    pub total_len_max: usize,
    /// How deep directories are entered.
    pub depth_max: usize,
    /// Nodes (mappings, sequences, scalars) of one YAML file.
    pub yaml_nodes_max: usize,
    /// How deep they are nested.
    pub yaml_depth_max: usize,
    /// Words of one command line.
    pub words_max: usize,
    /// For certificates and PEM.
    pub pki: pki_core::Limits,
}

impl ObserveLimits {
    /// 65,536 files of 1 MiB and 256 MiB together, 12 directories deep; 50,000 nodes of YAML, 32 deep; 4,096 words.
    /// The tree of a control-plane node has some 30 files of 100 KiB together, and a node beside it four.
    pub const DEFAULT: Self = Self {
        files_max: 65_536,
        file_len_max: 1 << 20,
        total_len_max: 256 << 20,
        depth_max: 12,
        yaml_nodes_max: 50_000,
        yaml_depth_max: 32,
        words_max: 4_096,
        pki: pki_core::Limits::DEFAULT,
    };
}

impl Default for ObserveLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One file.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) octets: Vec<u8>,
    pub(super) mode: Option<u32>,
}

/// The files of one machine or several, by their path relative to the root. Their order does not matter.
#[derive(Clone, Default)]
pub struct Files {
    files: BTreeMap<String, File>,
    refused: Vec<BrokenInput>,
}

impl Files {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file: its path with `/` between the parts, what is in it, and its permission bits where they are known.
    ///
    /// # Errors
    /// When the path is not relative, leads out of the root, or is there already.
    pub fn insert(&mut self, path: &str, octets: impl Into<Vec<u8>>, mode: Option<u32>) -> Result<(), FilesError> {
        let name = || Printable::from(path);
        let normal = match normalize(path) {
            Some(normal) if !path.starts_with('/') && !normal.is_empty() => normal,
            _ => return Err(FilesError::Path { path: name() }),
        };
        if self.files.contains_key(&normal) {
            return Err(FilesError::Twice { path: name() });
        }
        self.files.insert(normal, File { octets: octets.into(), mode });
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The paths, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// What stands below a directory, whose slash is given too.
    pub(super) fn below<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = &'a str> {
        let from = self.files.range::<str, _>((core::ops::Bound::Included(directory), core::ops::Bound::Unbounded));
        from.map(|(path, _)| path.as_str()).take_while(move |path| path.starts_with(directory))
    }

    #[cfg(feature = "fs")]
    pub(super) fn refuse(&mut self, path: &str, reason: impl Into<String>) {
        self.refused.push(BrokenInput { place: Place::file(shown(path)), reason: reason.into() });
    }

    pub(super) fn refused(&self) -> &[BrokenInput] {
        &self.refused
    }
}

/// The contents are left out: keys are among them.
impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files.keys()).finish()
    }
}

/// A path as reports print it.
pub(super) fn shown(path: &str) -> String {
    Printable::from(path).to_string()
}

/// A path without `.` and `..`, and without a slash at either end; `None` if it leads out of where it begins.
pub(super) fn normalize(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Why a file was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilesError {
    /// Not a relative path that stays within the root.
    Path {
        /// Which.
        path: Printable,
    },
    /// There is one of this path already.
    Twice {
        /// Which.
        path: Printable,
    },
}

impl FilesError {
    /// The stable name of the error, for logs and counters.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Path { .. } => "files.path",
            Self::Twice { .. } => "files.twice",
        }
    }
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { path } => write!(f, "expected a relative path within the root, found `{path}`"),
            Self::Twice { path } => write!(f, "`{path}` is there twice"),
        }
    }
}

impl core::error::Error for FilesError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_within_the_root_and_stands_once() {
        let mut files = Files::new();
        for path in ["/etc/passwd", "../a", "a/../../b", "", ".", "a/.."] {
            assert_eq!(files.insert(path, [], None).unwrap_err().code(), "files.path", "{path}");
        }
        files.insert("./pki//ca.crt", *b"one", None).unwrap();
        let error = files.insert("pki/x/../ca.crt", *b"two", None).unwrap_err();
        assert_eq!(error.to_string(), "`pki/x/../ca.crt` is there twice");
        assert_eq!(files.paths().collect::<Vec<_>>(), ["pki/ca.crt"]);
        assert_eq!(files.get("pki/ca.crt").unwrap().octets, b"one");
    }

    #[test]
    fn what_is_in_a_file_is_not_shown() {
        let mut files = Files::new();
        files.insert("pki/ca.key", *b"secret", Some(0o600)).unwrap();
        assert_eq!(format!("{files:?}"), r#"["pki/ca.key"]"#);
    }
}
