//! Every reader of foreign octets against inputs that were sound before they were damaged: none panics, and what is
//! accepted after all means the same when it is read again.

#[cfg(test)]
#[path = "support/authority.rs"]
mod authority;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pki_core::pem::{CERTIFICATE, CERTIFICATE_REQUEST, decode_single_pem, encode_pem, pem_blocks};
    use pki_core::verify::Verifiers;
    use pki_core::{
        AuthorityRole, CaCertificate, CaVersion, CertificationRequest, Fingerprint, KeyAlgorithm, LeafIdentity,
        LeafKind, Limits, RequestError, UnusedExtensions, create_request, request_der,
    };
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
    use signer_hsm::SoftwareKey;
    use time::Duration;

    use crate::authority::{Authority, NOW, at};
    use crate::keys::{VERIFIERS, key};

    // ---- damage

    #[derive(Clone, Debug)]
    enum Damage {
        Flip(Index, u8),
        Set(Index, u8),
        Remove(Index, usize),
        Repeat(Index, usize),
        Insert(Index, Vec<u8>),
        CutOff(Index),
    }

    impl Damage {
        fn any() -> impl Strategy<Value = Self> {
            // Octets that mean something where they stand: tags, lengths, ends of text.
            let telling = prop_oneof![
                any::<u8>(),
                proptest::sample::select(&[0, 1, 2, 3, 4, 5, 6, 0x0a, 0x0c, 0x13, 0x2d, 0x30, 0x31, 0x7f, 0x80][..]),
                proptest::sample::select(&[0x81, 0x82, 0x84, 0x86, 0x87, 0xa0, 0xa3, 0xff][..]),
            ];
            prop_oneof![
                (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Self::Flip(at, bit)),
                (any::<Index>(), telling.clone()).prop_map(|(at, octet)| Self::Set(at, octet)),
                (any::<Index>(), 1..40_usize).prop_map(|(at, len)| Self::Remove(at, len)),
                (any::<Index>(), 1..200_usize).prop_map(|(at, len)| Self::Repeat(at, len)),
                (any::<Index>(), vec(telling, 1..6)).prop_map(|(at, octets)| Self::Insert(at, octets)),
                any::<Index>().prop_map(Self::CutOff),
            ]
        }

        fn apply(self, octets: &mut Vec<u8>) {
            let len = octets.len();
            if len == 0 {
                return;
            }
            let range = |at: Index, count: usize| at.index(len)..len.min(at.index(len) + count);
            match self {
                Self::Flip(at, bit) => octets[at.index(len)] ^= 1 << bit,
                Self::Set(at, octet) => octets[at.index(len)] = octet,
                Self::Remove(at, count) => drop(octets.drain(range(at, count))),
                Self::Repeat(at, count) => {
                    let part = octets[range(at, count)].to_vec();
                    octets.splice(at.index(len)..at.index(len), part);
                }
                Self::Insert(at, part) => drop(octets.splice(at.index(len)..at.index(len), part)),
                Self::CutOff(at) => octets.truncate(at.index(len)),
            }
        }
    }

    /// Each seed as it is, and then this many damaged ones: the same in every run.
    fn damaged(seeds: &[Vec<u8>], count: usize) -> impl Iterator<Item = Vec<u8>> {
        let mut runner = TestRunner::deterministic();
        let strategy = (any::<Index>(), vec(Damage::any(), 1..4));
        let random = (0..count).map(move |_| {
            let (seed, damages) = strategy.new_tree(&mut runner).unwrap().current();
            let mut octets = seed.get(seeds).clone();
            damages.into_iter().for_each(|damage| damage.apply(&mut octets));
            octets
        });
        seeds.iter().cloned().chain(random)
    }

    // ---- requests

    /// Damage breaks every signature: here all count as good, so that what stands behind them is reached.
    #[derive(Debug)]
    struct Believe(AlgorithmIdentifier, AlgorithmIdentifier);

    impl SignatureVerificationAlgorithm for Believe {
        fn verify_signature(&self, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
            Ok(())
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            self.0
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            self.1
        }
    }

    static BELIEVE: [&dyn SignatureVerificationAlgorithm; 4] = [
        &Believe(alg_id::ECDSA_P256, alg_id::ECDSA_SHA256),
        &Believe(alg_id::ECDSA_P384, alg_id::ECDSA_SHA384),
        &Believe(alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA256),
        &Believe(alg_id::ED25519, alg_id::ED25519),
    ];

    /// The real requests under `data`, with this ending.
    fn files(ending: &str) -> Vec<Vec<u8>> {
        let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/requests"));
        let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let wanted = paths.iter().filter(|path| path.extension().is_some_and(|found| found == ending));
        wanted.map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// Reads a request in each way there is; whether the strictest accepts it.
    fn read(der: &[u8], key: &SoftwareKey) -> Result<(), RequestError> {
        let proven = CertificationRequest::parse(der, &Limits::DEFAULT)?.prove(Verifiers::new(&BELIEVE))?;
        let presented = proven.presented_names();
        let dropping = proven.clone().read(UnusedExtensions::Drop);
        let strict = proven.read(UnusedExtensions::Refuse)?;
        let (presented, dropping) = (presented.unwrap(), dropping.unwrap());
        assert_eq!(strict.subject(), dropping.subject());
        assert_eq!(strict.subject_alt_names(), dropping.subject_alt_names());
        assert_eq!(dropping.extended_key_usage(), []);
        assert_eq!(presented.common_name, strict.subject().common_name());
        assert!(strict.subject().organizations().eq(&presented.organizations));
        assert_eq!(presented.dns_names.len() + presented.ip_addresses.len(), strict.subject_alt_names().len());
        let again = create_request(&strict.subject().to_subject(), &strict.subject_alt_names().to_vec(), key).unwrap();
        let again = CertificationRequest::parse(&again, &Limits::DEFAULT).unwrap().verify(VERIFIERS).unwrap();
        assert_eq!(again.subject(), strict.subject());
        assert_eq!(again.subject_alt_names(), strict.subject_alt_names());
        Ok(())
    }

    #[test]
    fn a_damaged_request_is_refused_or_read_by_all_alike() {
        let key = key(KeyAlgorithm::Ed25519);
        let (mut accepted, mut refused) = (0, 0);
        for der in damaged(&files("der"), 4000) {
            match read(&der, &key) {
                Ok(()) => accepted += 1,
                Err(error) => {
                    assert!(error.to_string().len() < 400, "{error}");
                    refused += 1;
                }
            }
        }
        assert!(accepted > 200 && refused > 2000, "{accepted} accepted, {refused} refused");
    }

    #[test]
    fn a_damaged_request_proves_nothing() {
        let sound = files("der");
        let accepted = damaged(&sound, 2000).filter(|der| {
            CertificationRequest::parse(der, &Limits::DEFAULT).and_then(|request| request.prove(VERIFIERS)).is_ok()
        });
        // Damage may undo itself, and then the request is the seed again.
        let accepted: Vec<_> = accepted.collect();
        assert!(accepted.len() >= sound.len() && accepted.iter().all(|der| sound.contains(der)));
    }

    // ---- PEM

    #[test]
    fn damaged_pem_is_refused_or_read_as_what_is_written() {
        let limits = Limits::DEFAULT;
        let mut seeds = files("pem");
        let bundle = seeds.iter().map(|pem| format!("# a comment\n{}", String::from_utf8_lossy(pem)));
        let bundle = bundle.collect::<String>() + &encode_pem(CERTIFICATE, &[7; 100]);
        seeds.push(bundle.into_bytes());
        let (mut accepted, mut blocks_found) = (0, 0);
        for text in damaged(&seeds, 4000) {
            for block in pem_blocks(&text, &limits).into_iter().flatten() {
                blocks_found += 1;
                assert!(block.line() <= text.split(|octet| *octet == b'\n').count());
                assert!(block.decode().is_ok_and(|octets| octets.len() < text.len()) || block.decode().is_err());
            }
            let single = decode_single_pem(&text, CERTIFICATE_REQUEST, &limits);
            let received = request_der(&text, &limits);
            if let Ok(octets) = single {
                assert_eq!(*received.unwrap(), *octets);
                let written = encode_pem(CERTIFICATE_REQUEST, &octets);
                assert_eq!(decode_single_pem(written.as_bytes(), CERTIFICATE_REQUEST, &limits), Ok(octets));
                accepted += 1;
            }
        }
        assert!(accepted > 50 && blocks_found > 2000, "{accepted} accepted, {blocks_found} blocks");
    }

    #[test]
    fn a_megabyte_of_boundaries_is_read_in_one_pass() {
        for (line, blocks) in [("-----BEGIN A-----\n", None), ("-----END A-----\n", Some(0)), ("-\n", Some(0))] {
            let text = line.repeat((1 << 20) / line.len());
            let found = pem_blocks(text.as_bytes(), &Limits::DEFAULT);
            assert_eq!(found.ok().map(|blocks| blocks.len()), blocks, "{line}");
        }
    }

    // ---- certificates

    #[test]
    fn a_damaged_certificate_is_refused_or_kept_as_it_is() {
        let authority = Authority::mint(AuthorityRole::Cluster, CaVersion::FIRST, KeyAlgorithm::P256);
        let leaf = authority.issue(LeafKind::KubeletServing, Duration::DAY, at(NOW));
        let seeds = [authority.issuer.certificate().der().to_vec(), leaf.der().to_vec()];
        let (mut authorities, mut leaves) = (0, 0);
        for der in damaged(&seeds, 4000) {
            if let Ok(read) = CaCertificate::parse(der.clone().into()) {
                assert_eq!((read.der().as_ref(), read.fingerprint()), (der.as_slice(), Fingerprint::of(&der)));
                authorities += 1;
            }
            if let Ok(read) = LeafIdentity::parse(&der, &Limits::DEFAULT) {
                assert!(read.validity().not_before() <= read.validity().not_after());
                leaves += 1;
            }
        }
        assert!(authorities > 50 && leaves > 50, "{authorities} authorities, {leaves} leaves");
    }
}
