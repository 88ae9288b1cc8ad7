//! Certificates and requests, which are nobody's secret, in the form in which everybody writes them. How long their base64 takes may
//! tell what it says, so it need not take as long as that of `pem-rfc7468`, which judges every other form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{BEGIN, CERTIFICATE, CERTIFICATE_REQUEST, DASHES, END};

/// How long every line is but the last (RFC 7468 2).
const COLUMNS: usize = 64;

/// The octets of a block of the usual form: lines of 64 columns that end in LF, nothing beside them.
pub(super) fn decode(label: &str, block: &[u8]) -> Option<Vec<u8>> {
    is_public(label).then_some(())?;
    let inside =
        block.strip_prefix(BEGIN)?.strip_prefix(label.as_bytes())?.strip_prefix(DASHES)?.strip_prefix(b"\n")?;
    let inside = inside.strip_suffix(b"\n").unwrap_or(inside);
    let lines = inside.strip_suffix(DASHES)?.strip_suffix(label.as_bytes())?.strip_suffix(END)?.strip_suffix(b"\n")?;
    let mut base64 = Vec::with_capacity(lines.len());
    let mut lines = lines.split(|octet| *octet == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        (line.len() == COLUMNS || is_last && (1..COLUMNS).contains(&line.len())).then(|| base64.extend(line))?;
    }
    STANDARD.decode(base64).ok()
}

pub(super) fn encode(label: &str, der: &[u8]) -> Option<String> {
    (is_public(label) && !der.is_empty()).then_some(())?;
    let base64 = STANDARD.encode(der);
    let mut out = String::with_capacity(base64.len() + base64.len() / COLUMNS + 2 * label.len() + 40);
    ["-----BEGIN ", label, "-----\n"].iter().for_each(|part| out.push_str(part));
    let mut rest = base64.as_str();
    while let Some((line, after)) = rest.split_at_checked(COLUMNS.min(rest.len())).filter(|(line, _)| !line.is_empty())
    {
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    ["-----END ", label, "-----\n"].iter().for_each(|part| out.push_str(part));
    Some(out)
}

fn is_public(label: &str) -> bool {
    matches!(label, CERTIFICATE | CERTIFICATE_REQUEST)
}

#[cfg(test)]
mod tests {
    use pem_rfc7468::LineEnding;

    use super::*;
    use crate::pem::PRIVATE_KEY;

    #[test]
    fn what_is_written_is_what_the_crate_writes() {
        for len in (0..200).chain([1_000, 10_000]) {
            let der: Vec<u8> = (0..len).map(|index| u8::try_from(index * 7 % 256).unwrap()).collect();
            let text = pem_rfc7468::encode_string(CERTIFICATE, LineEnding::LF, &der).unwrap();
            assert_eq!(crate::pem::encode_pem(CERTIFICATE, &der), text, "{len}");
            if len > 0 {
                assert_eq!(encode(CERTIFICATE, &der).unwrap(), text, "{len}");
                assert_eq!(decode(CERTIFICATE, text.as_bytes()).unwrap(), der, "{len}");
                assert_eq!(decode(CERTIFICATE, text.trim_end().as_bytes()).unwrap(), der, "{len}");
            }
        }
    }

    #[test]
    fn nothing_is_read_that_the_crate_refuses_or_reads_otherwise() {
        let mut read = 0;
        for len in [1_usize, 2, 3, 47, 48, 49, 96, 100] {
            let text = encode(CERTIFICATE_REQUEST, &vec![0xa5; len]).unwrap().into_bytes();
            for place in 0..text.len() {
                for octet in (0..=u8::MAX).map(Some).chain([None]) {
                    let mut text = text.clone();
                    match octet {
                        Some(octet) => text[place] = octet,
                        None => drop(text.remove(place)),
                    }
                    if let Some(octets) = decode(CERTIFICATE_REQUEST, &text) {
                        read += 1;
                        let (label, expected) = pem_rfc7468::decode_vec(&text).unwrap();
                        assert_eq!((label, expected), (CERTIFICATE_REQUEST, octets), "{}", text.escape_ascii());
                    }
                }
            }
        }
        assert!(read > 1_000, "{read}");
    }

    #[test]
    fn a_secret_is_not_read_or_written_here() {
        assert_eq!(encode(PRIVATE_KEY, &[1]), None);
        let text = pem_rfc7468::encode_string(PRIVATE_KEY, LineEnding::LF, &[1]).unwrap();
        assert_eq!(decode(PRIVATE_KEY, text.as_bytes()), None);
    }
}
