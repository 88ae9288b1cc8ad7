//! Reading files: how deep, how many, how much, and never out of the directory that was given.

use std::fs::{File, FileType};
use std::io::{self, Read as _};
use std::path::Path;

use pki_core::Printable;

use super::{Refusal, Source, limits};

/// kubeadm's tree is three deep, a kubelet's four.
const DEPTH_MAX: usize = 8;
/// Many times what any machine of a cluster has.
const FILES_MAX: usize = 4_096;

/// The files of a tree, in the order of their paths.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) sources: Vec<Source>,
    /// What is neither a file nor a directory.
    pub(super) ignored: usize,
    /// Why not everything was looked at.
    pub(super) cut_short: Option<String>,
}

/// Reads one file, whatever its name is.
pub(super) fn read(path: &Path, shown: Printable) -> io::Result<Source> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let max = limits().pem_len_max;
    let mut octets = Vec::new();
    // The length that the file system gives may be that of a pipe, or change: what is read decides.
    let read = file.take(u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut octets)?;
    let content = if read > max {
        Err(Refusal::TooLong { found: metadata.len().max(u64::try_from(read).unwrap_or(u64::MAX)), max })
    } else {
        Ok(octets)
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

/// Reads every file below a directory. Links to files inside are followed, as a kubelet's `kubelet-client-current.pem`
/// is one; links to directories are not, so that there is no loop.
///
/// # Errors
/// When the directory itself cannot be read.
pub(super) fn walk(root: &Path) -> io::Result<Walked> {
    let root = root.canonicalize()?;
    let mut walked = Walked::default();
    enter(&root, &root, 0, &mut walked)?;
    walked.sources.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(walked)
}

fn enter(root: &Path, directory: &Path, depth: usize, walked: &mut Walked) -> io::Result<()> {
    if depth == DEPTH_MAX {
        walked.cut_short = Some(format!("not everything was read: deeper than {DEPTH_MAX} directories"));
        return Ok(());
    }
    for entry in std::fs::read_dir(directory)? {
        if walked.sources.len() + walked.ignored >= FILES_MAX {
            walked.cut_short = Some(format!("not everything was read: more than {FILES_MAX} files"));
            return Ok(());
        }
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let below = path.strip_prefix(root).unwrap_or(&path);
        let shown = Printable::new(below.as_os_str().as_encoded_bytes());
        let refused = |error| Source { path: shown.clone(), content: Err(error), mode: None };
        if kind.is_dir() {
            if let Err(error) = enter(root, &path, depth + 1, walked) {
                walked.sources.push(refused(Refusal::Io(error)));
            }
            continue;
        }
        match target(root, &path, kind) {
            Ok(Target::File) => {
                let source = read(&path, shown.clone()).unwrap_or_else(|error| refused(Refusal::Io(error)));
                walked.sources.push(source);
            }
            Ok(Target::Outside) => walked.sources.push(refused(Refusal::LeadsOut)),
            // A socket, a pipe, a device, a link to a directory: opening one could block for ever.
            Ok(Target::Other) => walked.ignored += 1,
            Err(error) => walked.sources.push(refused(Refusal::Io(error))),
        }
    }
    Ok(())
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
