//! The form of a journal file: a head, a frame with the snapshot, a frame per record.
//!
//! A frame is its length, the checksum of its content, the checksum of these two, the content, and an octet that is not zero.
//! All checksums are CRC-32 and take in the revision, so a frame counts only where it was written. Numbers are in
//! little-endian order.

use std::io::{self, Read};

use rotation_fsm::UnknownVersion;

use super::super::{Revision, StoreError};
use super::{JOURNAL_MAX, RECORD_MAX};

const MAGIC: &[u8; 16] = b"carousel journal";
const VERSION: u32 = 1;
/// The magic, the version, the revision of the snapshot, a checksum.
const HEAD: usize = 32;
/// The length and two checksums.
const FRAME_HEAD: usize = 12;
const END: u8 = b'\n';
/// What a frame has beside its content.
pub(super) const OVERHEAD: u64 = 13;

/// The head of a file whose snapshot has taken in so many events.
pub(super) fn head(base: Revision) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&base.number().to_le_bytes());
    head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
    head
}

/// The frame of what leads to this revision; `None` for what no length can say.
pub(super) fn frame(revision: Revision, content: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(content.len()).ok()?;
    let mut frame = Vec::with_capacity(content.len().saturating_add(FRAME_HEAD + 1));
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&checksum(revision, content).to_le_bytes());
    frame.extend_from_slice(&checksum(revision, &frame).to_le_bytes());
    frame.extend_from_slice(content);
    frame.push(END);
    Some(frame)
}

fn checksum(revision: Revision, octets: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&revision.number().to_le_bytes());
    hasher.update(octets);
    hasher.finalize()
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Scanned {
    /// The revision of the snapshot.
    pub(super) base: Revision,
    /// The revision after the last whole record.
    pub(super) revision: Revision,
    /// Where that one ends. What comes after it was not written whole.
    pub(super) end: u64,
}

/// Reads a file of `length` octets, and gives the content of every whole frame to `take`, the snapshot's first.
///
/// Only what an append leaves behind that was cut short is passed over, and only at the end: fewer octets than the last frame
/// has, or zeros in place of them, which is how a file system shows what it had no time to write.
pub(super) fn scan(file: &mut impl Read, length: u64, mut take: impl FnMut(Vec<u8>)) -> Result<Scanned, StoreError> {
    if length > JOURNAL_MAX {
        return Err(StoreError::TooLarge { what: "journal", found: length, max: JOURNAL_MAX });
    }
    let damaged = |at, why| Err(StoreError::Damaged { at, why });
    let Some(head) = exactly::<HEAD>(file)? else { return damaged(0, "expected the head of a journal") };
    let Some(base) = read_head(&head)? else { return damaged(0, "the checksum of its head") };
    let (mut at, mut revision) = (as_u64(HEAD), base);
    let Frame::Whole(snapshot, end) = read_frame(file, at, length, base, JOURNAL_MAX)? else {
        return damaged(at, "expected the whole snapshot");
    };
    take(snapshot);
    at = end;
    while at < length {
        let next = revision.next();
        match read_frame(file, at, length, next, RECORD_MAX)? {
            Frame::Whole(record, end) => {
                take(record);
                (at, revision) = (end, next);
            }
            Frame::Torn => break,
        }
    }
    Ok(Scanned { base, revision, end: at })
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn read_head(head: &[u8; HEAD]) -> Result<Option<Revision>, StoreError> {
    let Some((said, checksum)) = head.split_last_chunk::<4>() else { return Ok(None) };
    let Some((magic, rest)) = said.split_first_chunk::<16>() else { return Ok(None) };
    let Some((version, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let Some((base, _)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    if magic != MAGIC {
        return Err(StoreError::Damaged { at: 0, why: "expected the head of a journal" });
    }
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        let found = u64::from(version);
        return Err(StoreError::Unknown(UnknownVersion { what: "journal file", found, known: VERSION }));
    }
    let sound = u32::from_le_bytes(*checksum) == crc32fast::hash(said);
    Ok(sound.then(|| Revision::new(u64::from_le_bytes(*base))))
}

enum Frame {
    /// The content, and where the frame ends.
    Whole(Vec<u8>, u64),
    /// An append that was cut short, and nothing after it.
    Torn,
}

fn read_frame(
    file: &mut impl Read,
    at: u64,
    file_length: u64,
    revision: Revision,
    max: u64,
) -> Result<Frame, StoreError> {
    let damaged = |why| Err(StoreError::Damaged { at, why });
    let Some(head) = exactly::<FRAME_HEAD>(file)? else { return Ok(Frame::Torn) };
    let ([l0, l1, l2, l3, c0, c1, c2, c3, said @ ..], head_checksum) = (head, checksum(revision, head.split_at(8).0));
    if u32::from_le_bytes(said) != head_checksum {
        return if is_zero(file)? { Ok(Frame::Torn) } else { damaged("the checksum of a length") };
    }
    let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
    if length > max {
        return damaged("a record that is too large");
    }
    let end = at.saturating_add(length).saturating_add(OVERHEAD);
    if end > file_length {
        return Ok(Frame::Torn);
    }
    let mut content = Vec::new();
    let room = usize::try_from(length).unwrap_or(usize::MAX);
    content.try_reserve_exact(room).map_err(|error| StoreError::Medium(error.into()))?;
    file.by_ref().take(length).read_to_end(&mut content).map_err(super::failed)?;
    let Some([last]) = exactly::<1>(file)? else { return Ok(Frame::Torn) };
    let sound = last == END && checksum(revision, &content) == u32::from_le_bytes([c0, c1, c2, c3]);
    match sound {
        true => Ok(Frame::Whole(content, end)),
        // A frame that was written whole does not end in zero.
        false if end == file_length && last == 0 => Ok(Frame::Torn),
        false => damaged("the checksum of a record"),
    }
}

/// So many octets, or none when there are not as many.
fn exactly<const N: usize>(file: &mut impl Read) -> Result<Option<[u8; N]>, StoreError> {
    let mut octets = [0; N];
    match file.read_exact(&mut octets) {
        Ok(()) => Ok(Some(octets)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(super::failed(error)),
    }
}

/// Whether nothing but zeros follows.
fn is_zero(file: &mut impl Read) -> Result<bool, StoreError> {
    let mut octets = [0; 4096];
    loop {
        match file.read(&mut octets) {
            Ok(0) => return Ok(true),
            Ok(read) if octets.iter().take(read).all(|octet| *octet == 0) => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(super::failed(error)),
        }
    }
}
