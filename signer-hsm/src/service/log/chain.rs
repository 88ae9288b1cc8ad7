//! The form of the file: a head, and a frame for each entry, each bound to everything before it.
//!
//! A frame is the length of its content, four octets that vouch for the length, the content, SHA-256 over the hash before it and
//! all of this, and an octet that is not zero.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use aws_lc_rs::digest::{Context, SHA256};

use super::entry::{ENTRY_LEN_MAX, Entry};
use super::{Head, LogError, Position};
use crate::service::epoch::SignerEpoch;

const MAGIC: &[u8; 21] = b"carousel issuance log";
const VERSION: u16 = 1;
pub(super) const FILE_HEAD: usize = 23;
const FRAME_HEAD: usize = 8;
const END: u8 = b'\n';
/// What a frame has beside its content.
const OVERHEAD: usize = FRAME_HEAD + 32 + 1;

pub(super) type Hash = [u8; 32];

pub(super) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

pub(super) fn file_head() -> Vec<u8> {
    [MAGIC.as_slice(), &VERSION.to_be_bytes()].concat()
}

/// The hash before the first entry.
pub(super) fn genesis() -> Hash {
    sha256(&[b"head", &file_head()])
}

fn length_check(before: &Hash, length: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[b"length", before, &length]);
    [a, b, c, d]
}

/// Appends the frame of an entry; gives the hash after it, and `None` for an entry that is too long.
pub(super) fn push(out: &mut Vec<u8>, before: &Hash, content: &[u8]) -> Option<Hash> {
    let length = u32::try_from(content.len()).ok().filter(|_| content.len() <= ENTRY_LEN_MAX)?.to_be_bytes();
    let hash = sha256(&[b"entry", before, &length, content]);
    out.extend_from_slice(&length);
    out.extend_from_slice(&length_check(before, length));
    out.extend_from_slice(content);
    out.extend_from_slice(&hash);
    out.push(END);
    Some(hash)
}

/// Where the content of a frame stands that begins at `at`, and how long it is.
pub(super) const fn content_at(at: u64) -> u64 {
    at.saturating_add(8)
}

pub(super) const fn frame_len(content: usize) -> usize {
    content.saturating_add(OVERHEAD)
}

/// What a file holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanned {
    pub(super) head: Head,
    /// Where the last whole frame ends.
    pub(super) end: u64,
}

enum Frame {
    Whole(Vec<u8>, Hash, u64),
    Torn,
}

/// Reads a file of `length` octets, and gives every entry with the place of its frame and the head after it to `take`.
///
/// Only what appends leave behind that were cut short is passed over, and only at the end: fewer octets than a frame has, or
/// zeros in place of the rest of a frame and of all that follow it, which is how a file system shows what it had no time to
/// write.
pub(super) fn scan(
    file: &mut impl Read,
    length: u64,
    mut take: impl FnMut(Entry, Position, Head) -> Result<(), LogError>,
) -> Result<Scanned, LogError> {
    let Some(head) = exactly::<FILE_HEAD>(file)? else { return Err(LogError::damaged(0, "the head of the file")) };
    if !head.starts_with(MAGIC) {
        return Err(LogError::damaged(0, "the head of the file"));
    }
    if head.as_slice() != file_head() {
        return Err(LogError::UnknownVersion);
    }
    let mut rules = Rules::default();
    let mut scanned = Scanned { head: Head { entries: 0, hash: genesis() }, end: as_u64(FILE_HEAD) };
    while scanned.end < length {
        match read_frame(file, scanned.end, length, &scanned.head.hash)? {
            Frame::Torn => break,
            Frame::Whole(content, hash, end) => {
                let entry = Entry::decode(&content).ok_or_else(|| LogError::damaged(scanned.end, "an entry"))?;
                rules.judge(&entry).map_err(|why| LogError::damaged(scanned.end, why))?;
                let head = Head { entries: scanned.head.entries.saturating_add(1), hash };
                take(entry, Position { at: scanned.end, length: content.len() }, head)?;
                scanned = Scanned { head, end };
            }
        }
    }
    Ok(scanned)
}

/// What the entries of a sound log say together: epochs count up by one, nothing is issued or prepared in another than the
/// current one, none that signs is retired, and none that was retired signs.
#[derive(Default)]
struct Rules {
    signing: HashMap<(String, String), (SignerEpoch, u32)>,
    retired: HashSet<(String, String, u32)>,
}

impl Rules {
    fn judge(&mut self, entry: &Entry) -> Result<(), &'static str> {
        match entry {
            Entry::Signer { cluster, role, epoch, version, .. } => {
                if self.retired.contains(&(cluster.clone(), role.clone(), *version)) {
                    return Err("a signer that was retired");
                }
                let before = self.signing.insert((cluster.clone(), role.clone()), (*epoch, *version));
                let expected = before.map_or(Some(SignerEpoch::FIRST), |(epoch, _)| epoch.next());
                if expected == Some(*epoch) { Ok(()) } else { Err("an epoch that does not follow the one before") }
            }
            Entry::Retired { cluster, role, epoch, version, .. } => {
                match self.signing.get(&(cluster.clone(), role.clone())) {
                    Some((current, signing)) if current == epoch && signing != version => {
                        self.retired.insert((cluster.clone(), role.clone(), *version));
                        Ok(())
                    }
                    _ => Err("the end of a generation that signs, or in another epoch than the current"),
                }
            }
            Entry::Prepared { of, .. } | Entry::Issued { of, .. } => {
                let current = self.signing.get(&(of.cluster.clone(), of.role.clone())).map(|(epoch, _)| epoch);
                if current == Some(&of.epoch) { Ok(()) } else { Err("a certificate of another epoch than the current") }
            }
            Entry::Refused { .. } | Entry::Ordered { .. } => Ok(()),
        }
    }
}

fn read_frame(file: &mut impl Read, at: u64, file_length: u64, before: &Hash) -> Result<Frame, LogError> {
    let Some([l0, l1, l2, l3, check @ ..]) = exactly::<FRAME_HEAD>(file)? else { return Ok(Frame::Torn) };
    let said = [l0, l1, l2, l3];
    if length_check(before, said) != check {
        return if is_zero(file)? { Ok(Frame::Torn) } else { Err(LogError::damaged(at, "the length of an entry")) };
    }
    let length = usize::try_from(u32::from_be_bytes(said)).unwrap_or(usize::MAX);
    if length > ENTRY_LEN_MAX {
        return Err(LogError::damaged(at, "an entry that is too long"));
    }
    let end = at.saturating_add(as_u64(frame_len(length)));
    if end > file_length {
        return Ok(Frame::Torn);
    }
    let mut content = Vec::with_capacity(length);
    file.by_ref().take(as_u64(length)).read_to_end(&mut content).map_err(LogError::from_io)?;
    let (Some(hash), Some([last])) = (exactly::<32>(file)?, exactly::<1>(file)?) else { return Ok(Frame::Torn) };
    match last == END && sha256(&[b"entry", before, &said, &content]) == hash {
        true => Ok(Frame::Whole(content, hash, end)),
        // A frame that was written whole does not end in zero. Frames after it of which nothing was written are zeros.
        false if last == 0 && is_zero(file)? => Ok(Frame::Torn),
        false => Err(LogError::damaged(at, "the hash of an entry")),
    }
}

/// So many octets, or none when there are not as many.
fn exactly<const N: usize>(file: &mut impl Read) -> Result<Option<[u8; N]>, LogError> {
    let mut octets = [0; N];
    match file.read_exact(&mut octets) {
        Ok(()) => Ok(Some(octets)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(LogError::from_io(error)),
    }
}

/// Whether nothing but zeros follows.
pub(super) fn is_zero(file: &mut impl Read) -> Result<bool, LogError> {
    let mut octets = [0; 4096];
    loop {
        match file.read(&mut octets) {
            Ok(0) => return Ok(true),
            Ok(read) if octets.iter().take(read).all(|octet| *octet == 0) => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LogError::from_io(error)),
        }
    }
}

pub(super) fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
