//! Writing DER into one buffer, from lengths that are known beforehand.

/// ASN.1 tags, as the octet that stands in the encoding.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// `[0]`, constructed: explicit version of a certificate, attributes of a request, extensions of a revocation list.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    /// `[3]`, constructed: the extensions of a certificate.
    pub(crate) const CONTEXT_3: u8 = 0xa3;
    /// `[0]`, primitive: keyIdentifier of an authority key identifier.
    pub(crate) const KEY_IDENTIFIER: u8 = 0x80;
    /// `[1]`, primitive: rfc822Name of a GeneralName.
    pub(crate) const RFC822_NAME: u8 = 0x81;
    /// `[2]`, primitive: dNSName of a GeneralName.
    pub(crate) const DNS_NAME: u8 = 0x82;
    /// `[6]`, primitive: uniformResourceIdentifier of a GeneralName.
    pub(crate) const URI: u8 = 0x86;
    /// `[7]`, primitive: iPAddress of a GeneralName.
    pub(crate) const IP_ADDRESS: u8 = 0x87;

    /// Whether it is one of these.
    pub(crate) const fn is_known(octet: u8) -> bool {
        matches!(
            octet,
            BOOLEAN
                | INTEGER
                | BIT_STRING
                | OCTET_STRING
                | OBJECT_IDENTIFIER
                | ENUMERATED
                | UTF8_STRING
                | PRINTABLE_STRING
                | UTC_TIME
                | GENERALIZED_TIME
                | SEQUENCE
                | SET
                | CONTEXT_0
                | CONTEXT_3
                | KEY_IDENTIFIER
                | RFC822_NAME
                | DNS_NAME
                | URI
                | IP_ADDRESS
        )
    }
}

/// The octets of tag and length before `content` octets of content.
pub(crate) const fn header_len(content: usize) -> usize {
    match content {
        0..=0x7f => 2,
        0x80..=0xff => 3,
        0x100..=0xffff => 4,
        _ => 5,
    }
}

/// The octets of a whole element of `content` octets of content.
pub(crate) const fn element_len(content: usize) -> usize {
    header_len(content) + content
}

/// Writes tag and definite, minimal length (X.690 10.1).
///
/// Every caller bounds its content far below the 16 MiB that three length octets hold.
pub(crate) fn push_header(out: &mut Vec<u8>, tag: u8, content: usize) {
    with_header(tag, content, |header| out.extend_from_slice(header));
}

/// Gives tag and length to whoever has a place for them.
pub(crate) fn with_header<T>(tag: u8, content: usize, place: impl FnOnce(&[u8]) -> T) -> T {
    debug_assert!(content < 1 << 24, "content is bounded by Limits");
    let [.., high, middle, low] = content.to_be_bytes();
    match content {
        0..=0x7f => place(&[tag, low]),
        0x80..=0xff => place(&[tag, 0x81, low]),
        0x100..=0xffff => place(&[tag, 0x82, middle, low]),
        _ => place(&[tag, 0x83, high, middle, low]),
    }
}

/// Writes a whole element.
pub(crate) fn push_element(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    push_header(out, tag, content.len());
    out.extend_from_slice(content);
}

/// A whole element of its own.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(element_len(content.len()));
    push_element(&mut out, tag, content);
    out
}

/// One element around the concatenation of `parts`.
pub(crate) fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(element_len(content));
    push_header(&mut out, tag, content);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A BIT STRING without unused bits.
pub(crate) fn push_bit_string(out: &mut Vec<u8>, bits: &[u8]) {
    push_header(out, tag::BIT_STRING, bits.len() + 1);
    out.push(0);
    out.extend_from_slice(bits);
}

#[cfg(test)]
mod tests {
    use der::{Decode, asn1::OctetStringRef};

    use super::*;

    #[test]
    fn lengths_on_both_sides_of_every_boundary_decode() {
        for len in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0x1_0001] {
            let content = vec![7; len];
            let encoded = element(tag::OCTET_STRING, &content);
            assert_eq!(encoded.len(), element_len(len));
            let decoded: &OctetStringRef = Decode::from_der(&encoded).unwrap();
            assert_eq!(decoded.as_bytes(), content);
        }
    }
}
