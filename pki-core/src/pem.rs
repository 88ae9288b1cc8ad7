//! Textual encodings (RFC 7468), with errors that say which block and which line.
//!
//! What stands between two boundaries is decoded by `pem-rfc7468`; this module finds the blocks of a file, in one
//! pass, and does not decode what nobody asked for: a private key in a certificate file stays text.

use core::fmt;

use pem_rfc7468::LineEnding;

use crate::Limits;

mod public;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// The label of a certificate (RFC 7468 5).
pub const CERTIFICATE: &str = "CERTIFICATE";
/// The label of a certification request (RFC 7468 7). `NEW CERTIFICATE REQUEST` is not accepted: the Kubernetes API
/// refuses it too.
pub const CERTIFICATE_REQUEST: &str = "CERTIFICATE REQUEST";
/// The label of a certificate revocation list (RFC 7468 6).
pub const X509_CRL: &str = "X509 CRL";
/// The label of an unencrypted PKCS#8 private key (RFC 7468 10).
pub const PRIVATE_KEY: &str = "PRIVATE KEY";
/// The label of a subject public key (RFC 7468 13).
pub const PUBLIC_KEY: &str = "PUBLIC KEY";

/// One block of a file, not decoded yet.
#[derive(Clone, Copy)]
pub struct PemBlock<'a> {
    label: &'a str,
    position: Position,
    encoded: &'a [u8],
}

impl<'a> PemBlock<'a> {
    /// What the block says it is.
    #[must_use]
    pub const fn label(&self) -> &'a str {
        self.label
    }

    /// The line of the file on which the block begins, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.position.line
    }

    /// Whether nothing stands between the two boundaries.
    pub(crate) fn is_empty(&self) -> bool {
        let inside = self.encoded.split(|octet| *octet == b'\n').skip(1).take_while(|line| !line.starts_with(END));
        inside.map(<[u8]>::trim_ascii).all(<[u8]>::is_empty)
    }

    /// The octets inside.
    ///
    /// # Errors
    /// When the block has headers, is not base64 of 64 columns (RFC 7468 2), or ends under another label.
    pub fn decode(&self) -> Result<Vec<u8>, PemError> {
        if let Some(octets) = public::decode(self.label, self.encoded) {
            return Ok(octets);
        }
        let decoded = pem_rfc7468::decode_vec(self.encoded);
        decoded.map(|(_, octets)| octets).map_err(|error| {
            self.position.error(match error {
                pem_rfc7468::Error::HeaderDisallowed => PemErrorKind::Headers,
                _ => PemErrorKind::Encoding,
            })
        })
    }

    /// The octets inside, if the block is what it should be.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), and [`PemErrorKind::Label`] for another label.
    pub fn decode_as(&self, expected: &'static str) -> Result<Vec<u8>, PemError> {
        if self.label == expected {
            return self.decode();
        }
        let found = self.label.chars().take(LABEL_LEN_MAX).collect();
        Err(self.position.error(PemErrorKind::Label { expected, found }))
    }
}

impl fmt::Debug for PemBlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PemBlock({:?}, line {})", self.label, self.position.line)
    }
}

/// How much of a label travels in an error.
const LABEL_LEN_MAX: usize = 64;

/// Every block of a file, in order. Text between them is allowed, as bundles carry comments.
///
/// # Errors
/// When the file or its number of blocks exceeds the limits, or a block has no end.
pub fn pem_blocks<'a>(text: &'a [u8], limits: &Limits) -> Result<Vec<PemBlock<'a>>, PemError> {
    let whole = Position { block: 0, line: 0 };
    if text.len() > limits.pem_len_max {
        return Err(whole.error(PemErrorKind::TooLong { found: text.len(), max: limits.pem_len_max }));
    }
    let (mut blocks, mut open, mut offset) = (Vec::new(), None, 0);
    for (index, line) in text.split_inclusive(|octet| *octet == b'\n').enumerate() {
        let (start, end) = (offset, offset + line.len());
        offset = end;
        if line.starts_with(BEGIN) {
            let position = Position { block: blocks.len() + 1, line: index + 1 };
            if open.replace((position, start, line)).is_some() {
                return Err(position.error(PemErrorKind::NotEnded));
            }
            if blocks.len() == limits.pem_blocks_max {
                return Err(position.error(PemErrorKind::TooManyBlocks { max: limits.pem_blocks_max }));
            }
        } else if line.starts_with(END)
            && let Some((position, start, first)) = open.take()
        {
            let label = label_of(first).ok_or_else(|| position.error(PemErrorKind::Encoding))?;
            let encoded = text.get(start..end).unwrap_or_default();
            blocks.push(PemBlock { label, position, encoded });
        }
    }
    match open {
        Some((position, ..)) => Err(position.error(PemErrorKind::NotEnded)),
        None => Ok(blocks),
    }
}

/// The octets of every block of a file that may hold blocks of one kind only.
///
/// # Errors
/// As [`pem_blocks`] and [`PemBlock::decode_as`]; [`PemErrorKind::NoBlock`] when there is none.
pub fn decode_pem(text: &[u8], label: &'static str, limits: &Limits) -> Result<Vec<Vec<u8>>, PemError> {
    let blocks = pem_blocks(text, limits)?;
    if blocks.is_empty() {
        return Err(Position { block: 0, line: 0 }.error(PemErrorKind::NoBlock { expected: label }));
    }
    blocks.iter().map(|block| block.decode_as(label)).collect()
}

/// The octets of the only block of a text, around which nothing stands: what a program sends to a program.
///
/// # Errors
/// As [`decode_pem`]; [`PemErrorKind::Outside`] for text around the block or a second block.
pub fn decode_single_pem(text: &[u8], label: &'static str, limits: &Limits) -> Result<Vec<u8>, PemError> {
    let blocks = pem_blocks(text, limits)?;
    let Some((first, rest)) = blocks.split_first() else {
        return Err(Position { block: 0, line: 0 }.error(PemErrorKind::NoBlock { expected: label }));
    };
    if let Some(second) = rest.first() {
        return Err(second.position.error(PemErrorKind::Outside));
    }
    if first.encoded.len() != text.len() {
        return Err(first.position.error(PemErrorKind::Outside));
    }
    first.decode_as(label)
}

/// Writes one block, with lines of 64 columns that end in LF.
#[must_use]
pub fn encode_pem(label: &'static str, der: &[u8]) -> String {
    let secret = || pem_rfc7468::encode_string(label, LineEnding::LF, der).unwrap_or_default();
    public::encode(label, der).unwrap_or_else(secret)
}

fn label_of(first_line: &[u8]) -> Option<&str> {
    let label = first_line.strip_prefix(BEGIN)?.trim_ascii_end().strip_suffix(DASHES)?;
    core::str::from_utf8(label).ok()
}

/// Where in a file, both counted from 1; 0 for the file as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    block: usize,
    line: usize,
}

impl Position {
    const fn error(self, kind: PemErrorKind) -> PemError {
        PemError { position: self, kind }
    }
}

/// A text that is not the PEM it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemError {
    position: Position,
    kind: PemErrorKind,
}

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PemErrorKind {
    /// Longer than [`Limits::pem_len_max`], unread.
    TooLong {
        /// Octets found.
        found: usize,
        /// Octets allowed.
        max: usize,
    },
    /// More blocks than [`Limits::pem_blocks_max`].
    TooManyBlocks {
        /// Blocks allowed.
        max: usize,
    },
    /// No block at all.
    NoBlock {
        /// The label that was looked for.
        expected: &'static str,
    },
    /// A block without an end line before the next one or the end of the file.
    NotEnded,
    /// A block of another kind.
    Label {
        /// The label that should stand there.
        expected: &'static str,
        /// The label that stands there, cut.
        found: String,
    },
    /// A block with headers (RFC 7468 2 allows none).
    Headers,
    /// Not base64 in lines of 64 columns, or the two boundaries differ.
    Encoding,
    /// Text around the only block, or a second block, where one block must stand alone.
    Outside,
}

impl PemError {
    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> &PemErrorKind {
        &self.kind
    }

    /// Which block, counted from 1; 0 for the file as a whole.
    #[must_use]
    pub const fn block(&self) -> usize {
        self.position.block
    }
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { block, line } = self.position;
        if block > 0 {
            write!(f, "PEM block {block}, line {line}: ")?;
        }
        match &self.kind {
            PemErrorKind::TooLong { found, max } => write!(f, "the text has {found} octets, limit {max}"),
            PemErrorKind::TooManyBlocks { max } => write!(f, "more than {max} blocks"),
            PemErrorKind::NoBlock { expected } => write!(f, "no PEM block, expected `{expected}`"),
            PemErrorKind::NotEnded => f.write_str("the block has no end line"),
            PemErrorKind::Label { expected, found } => {
                write!(f, "expected `{expected}`, found `{}`", found.escape_debug())
            }
            PemErrorKind::Headers => f.write_str("the block has headers (RFC 7468 2)"),
            PemErrorKind::Encoding => f.write_str("not base64 in lines of 64 columns (RFC 7468 2)"),
            PemErrorKind::Outside => f.write_str("one block must stand alone, there is text or a block beside it"),
        }
    }
}

impl core::error::Error for PemError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &str) -> Result<Vec<(String, usize)>, PemErrorKind> {
        let found = pem_blocks(text.as_bytes(), &Limits::DEFAULT).map_err(|error| error.kind)?;
        Ok(found.iter().map(|block| (block.label().to_owned(), block.line())).collect())
    }

    fn single(text: &str) -> Result<Vec<u8>, String> {
        decode_single_pem(text.as_bytes(), CERTIFICATE_REQUEST, &Limits::DEFAULT).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_again() {
        for len in [1, 47, 48, 49, 1000] {
            let octets = vec![7; len];
            assert_eq!(single(&encode_pem(CERTIFICATE_REQUEST, &octets)).unwrap(), octets, "{len}");
        }
    }

    #[test]
    fn blocks_of_a_bundle_are_found_between_its_comments() {
        let text = format!("# one\n{}\n# two\r\n{}", encode_pem(CERTIFICATE, &[1]), encode_pem("PRIVATE KEY", &[2]));
        assert_eq!(blocks(&text).unwrap(), [("CERTIFICATE".to_owned(), 2), ("PRIVATE KEY".to_owned(), 7)]);
        let error = decode_pem(text.as_bytes(), CERTIFICATE, &Limits::DEFAULT).unwrap_err();
        assert_eq!(error.to_string(), "PEM block 2, line 7: expected `CERTIFICATE`, found `PRIVATE KEY`");
    }

    #[test]
    fn a_request_stands_alone() {
        let block = encode_pem(CERTIFICATE_REQUEST, b"request");
        let outside = "PEM block 1, line 1: one block must stand alone, there is text or a block beside it";
        assert_eq!(single(&format!("{block}x")).unwrap_err(), outside);
        assert_eq!(single(&format!("x\n{block}")).unwrap_err(), outside.replace("line 1", "line 2"));
        assert!(single(&format!("{block}{block}")).unwrap_err().starts_with("PEM block 2, line 4: one block must"));
        let new = block.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST");
        let expected = "PEM block 1, line 1: expected `CERTIFICATE REQUEST`, found `NEW CERTIFICATE REQUEST`";
        assert_eq!(single(&new).unwrap_err(), expected);
        assert_eq!(single("").unwrap_err(), "no PEM block, expected `CERTIFICATE REQUEST`");
    }

    #[test]
    fn what_is_not_rfc_7468_inside_a_block_is_refused() {
        let body = "A".repeat(80);
        for (inside, expected) in [
            ("A: b\n\nAAAA", "the block has headers (RFC 7468 2)"),
            (body.as_str(), "not base64 in lines of 64 columns (RFC 7468 2)"),
            ("AA=A", "not base64 in lines of 64 columns (RFC 7468 2)"),
            ("AAAA AAAA", "not base64 in lines of 64 columns (RFC 7468 2)"),
            ("§", "not base64 in lines of 64 columns (RFC 7468 2)"),
        ] {
            let text = format!("-----BEGIN CERTIFICATE REQUEST-----\n{inside}\n-----END CERTIFICATE REQUEST-----\n");
            assert_eq!(single(&text).unwrap_err(), format!("PEM block 1, line 1: {expected}"), "{inside}");
        }
        let crossed = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(single(crossed).is_err());
        let line_ends = "-----BEGIN CERTIFICATE REQUEST-----\r\nAAAA\r\n-----END CERTIFICATE REQUEST-----\r\n";
        assert_eq!(single(line_ends).unwrap(), [0, 0, 0]);
    }

    #[test]
    fn a_block_without_an_end_is_refused() {
        let whole = encode_pem(CERTIFICATE, &[1]);
        let cut = whole.split("-----END").next().unwrap();
        assert_eq!(blocks(cut), Err(PemErrorKind::NotEnded));
        assert_eq!(blocks(&format!("{cut}{whole}")), Err(PemErrorKind::NotEnded));
    }

    #[test]
    fn length_and_number_of_blocks_are_bounded() {
        let mut limits = Limits::DEFAULT;
        let text = encode_pem(CERTIFICATE, &[1]).repeat(2);
        (limits.pem_len_max, limits.pem_blocks_max) = (text.len(), 2);
        assert_eq!(pem_blocks(text.as_bytes(), &limits).unwrap().len(), 2);
        limits.pem_blocks_max = 1;
        let error = pem_blocks(text.as_bytes(), &limits).unwrap_err();
        assert_eq!((error.block(), error.kind()), (2, &PemErrorKind::TooManyBlocks { max: 1 }));
        limits.pem_len_max -= 1;
        let error = pem_blocks(text.as_bytes(), &limits).unwrap_err();
        assert_eq!(*error.kind(), PemErrorKind::TooLong { found: text.len(), max: text.len() - 1 });
    }
}
