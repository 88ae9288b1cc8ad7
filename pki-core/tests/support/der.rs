//! A small DER writer, which writes whatever it is told to, also what is not DER.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTF8: u8 = 0x0c;
pub(crate) const PRINTABLE: u8 = 0x13;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const CONTEXT_0: u8 = 0xa0;

pub(crate) const NULL: [u8; 2] = [5, 0];
pub(crate) const CRITICAL: [u8; 3] = [1, 1, 0xff];

/// One element with a minimal length.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len().to_be_bytes();
    let significant = &len[len.iter().position(|octet| *octet != 0).unwrap_or(len.len() - 1)..];
    let mut out = vec![tag];
    if content.len() >= 0x80 {
        out.push(0x80 | u8::try_from(significant.len()).unwrap());
    }
    out.extend_from_slice(significant);
    out.extend_from_slice(content);
    out
}

/// One element with its length in one octet more than needed.
pub(crate) fn tlv_with_long_length(tag: u8, content: &[u8]) -> Vec<u8> {
    let minimal = tlv(tag, content);
    let len = &minimal[1..minimal.len() - content.len()];
    let digits = if len.len() == 1 { len } else { &len[1..] };
    let padded = if len.len() == 1 { digits.to_vec() } else { [&[0], digits].concat() };
    let count = 0x80 | u8::try_from(padded.len()).unwrap();
    [&[tag, count], padded.as_slice(), content].concat()
}

/// One constructed element of indefinite length (BER).
pub(crate) fn indefinite(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x80], content, &[0, 0]].concat()
}

pub(crate) fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

/// A BIT STRING of whole octets.
pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[0], content].concat())
}

/// An object identifier, from its content.
pub(crate) fn oid(content: &[u8]) -> Vec<u8> {
    tlv(OID, content)
}
