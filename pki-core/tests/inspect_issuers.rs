//! Who issued what among many certificates: the same as by looking at each, without looking at each.

#[cfg(test)]
#[path = "support/certificates.rs"]
#[expect(dead_code, reason = "odd certificates are for other tests")]
mod certificates;
#[cfg(test)]
#[path = "support/der.rs"]
#[expect(dead_code, reason = "what is not DER at all is for the tests of requests")]
mod der;

#[cfg(test)]
mod tests {
    use pki_core::Limits;
    use pki_core::inspect::{CertificateView, IssuerIndex};

    use crate::certificates::{
        AUTHORITY_KEY_ID, COMMON_NAME, Draft, SUBJECT_KEY_ID, certificate_authority, extension, leaf, name, rdn,
    };
    use crate::der::{INTEGER, OCTET_STRING, UTF8, seq, tlv};

    /// A PrintableString: another encoding of the same letters.
    const PRINTABLE: u8 = 0x13;

    fn view(draft: &Draft) -> CertificateView {
        let now = time::UtcDateTime::from_unix_timestamp(1_717_200_000).unwrap();
        CertificateView::parse(&draft.der(), now, &Limits::DEFAULT).unwrap()
    }

    fn called(string: u8, text: &[u8]) -> Vec<u8> {
        name(&[rdn(COMMON_NAME, string, text)])
    }

    fn authority(subject: Vec<u8>, key: Option<u8>, serial: u8) -> CertificateView {
        view(&leaf().with(|draft| {
            draft.serial = vec![INTEGER, 1, serial];
            draft.subject = subject;
            draft.extensions = vec![certificate_authority()];
            draft.extensions.extend(key.map(|key| extension(SUBJECT_KEY_ID, &tlv(OCTET_STRING, &[key; 20]))));
        }))
    }

    fn issued_by(issuer: Vec<u8>, key: Option<u8>) -> CertificateView {
        view(&leaf().with(|draft| {
            draft.issuer = issuer;
            draft.extensions.extend(key.map(|key| extension(AUTHORITY_KEY_ID, &seq(&[&tlv(0x80, &[key; 20])]))));
        }))
    }

    #[test]
    fn the_index_finds_the_first_authority_that_looking_at_each_would_find() {
        let names = [called(UTF8, b"one"), called(PRINTABLE, b"one"), called(UTF8, b"two")];
        let keys = [Some(1), Some(2), None];
        let all: Vec<_> = names.iter().flat_map(|name| keys.map(|key| (name.clone(), key))).collect();
        let authorities: Vec<_> =
            (1_u8..).zip(&all).map(|(serial, (name, key))| authority(name.clone(), *key, serial)).collect();
        let leaves: Vec<_> = all
            .iter()
            .cloned()
            .chain([(called(UTF8, b"nobody"), None), (called(UTF8, b"one"), Some(3))])
            .map(|(name, key)| issued_by(name, key))
            .collect();
        // In every rotation another authority comes first; with a leaf among them, and with some missing.
        for start in 0..authorities.len() {
            for count in 0..=authorities.len() {
                let rotated = || authorities.iter().cycle().skip(start).take(count).chain(&leaves);
                let index = IssuerIndex::of(rotated());
                assert_eq!((index.len(), index.is_empty()), (count, count == 0));
                for leaf in &leaves {
                    let expected = rotated().find(|authority| leaf.names_as_issuer(authority));
                    assert_eq!(index.issuer_of(leaf), expected, "{start} {count}");
                }
            }
        }
    }

    #[test]
    fn copies_of_an_authority_are_one_and_the_first_of_them_counts() {
        let (original, later) =
            (authority(called(UTF8, b"ca"), Some(1), 1), authority(called(UTF8, b"ca"), Some(1), 2));
        let copies = core::iter::once(&original).chain(core::iter::repeat_n(&later, 10_000));
        let index = IssuerIndex::of(copies);
        assert_eq!(index.len(), 1);
        assert_eq!(index.issuer_of(&issued_by(called(UTF8, b"ca"), Some(1))), Some(&original));
    }
}
