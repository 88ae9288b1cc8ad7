//! Requests to be refused, each with the refusal it must meet, built octet by octet.

use std::sync::LazyLock;

use pki_core::{KeyAlgorithm, Signer, sign_to_vec};
use signer_hsm::SoftwareKey;

use crate::der::{
    BIT_STRING, CONTEXT_0, CRITICAL, INTEGER, NULL, OCTET_STRING, PRINTABLE, SEQUENCE, SET, UTF8, bits, indefinite,
    oid, seq, tlv, tlv_with_long_length,
};
use crate::keys::key;

/// One request, and the refusal that it must meet.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) der: Vec<u8>,
    pub(crate) refusal: Refusal,
}

/// The code of a refusal, and the whole of its message; of a malformed request, what follows the general part.
pub(crate) type Refusal = (&'static str, &'static str);

pub(crate) const MALFORMED: &str = "request.malformed";

const fn malformed(detail: &'static str) -> Refusal {
    (MALFORMED, detail)
}

const fn refuse(name: &'static str, der: Vec<u8>, refusal: Refusal) -> Case {
    Case { name, der, refusal }
}

// The refusals that several requests meet.
const VERSION: Refusal = ("request.version", "the request's version is not 0 (RFC 2986 4.1)");
const REPEATED: Refusal = ("request.repeated_extension_request", "the request has extensions twice (RFC 2985 5.4.2)");
const POSSESSION: Refusal =
    ("request.possession", "possession of the key is not proven (RFC 2986 4.2): the signature does not verify");
const SIGNATURE_ALGORITHM: Refusal =
    ("request.signature_algorithm", "the request's signature algorithm is not accepted");
const MISMATCH: Refusal = (
    "request.possession",
    "possession of the key is not proven (RFC 2986 4.2): the signature algorithm does not fit the public key",
);
const MODULUS_BITS: Refusal = malformed("RSAPublicKey: the modulus has none of 2048, 3072, 4096 bits");
const MODULUS: Refusal = malformed("RSAPublicKey: the modulus is even or not a multiple of 8 bits");
const EXPONENT: Refusal = malformed("RSAPublicKey: the public exponent is not 65537");
const KEY_ALGORITHM: Refusal = malformed("SubjectPublicKeyInfo: the algorithm is none of P-256, P-384, RSA, Ed25519");
const POINT: Refusal = malformed("SubjectPublicKeyInfo: not an uncompressed point (RFC 5480 2.2)");
const STRING: Refusal = malformed("Name: a value is not a non-empty UTF8String or PrintableString");
const CERTIFICATE_AUTHORITY: Refusal =
    ("request.certificate_authority", "the request asks to become a CA (RFC 5280 4.2.1.9)");
const NAMED_BITS: Refusal = malformed("keyUsage: empty, or with trailing zero bits (X.690 11.2.2)");
const EXTENDED_KEY_USAGE: Refusal =
    ("request.extended_key_usage", "the request has an extended key usage that no leaf has");
const CRITICAL_BOOLEAN: Refusal = malformed("Extension: a BOOLEAN that is not DER TRUE (X.690 11.1, 11.5)");
const DNS: Refusal = malformed("subjectAltName: a dNSName is not a DNS-1123 subdomain");
const IP: Refusal = malformed("subjectAltName: an iPAddress is not the address of one host");
const OTHER_NAME: Refusal = malformed("subjectAltName: a name that is neither dNSName nor iPAddress");

/// The key of every requester here, unless a case says otherwise.
static KEY: LazyLock<SoftwareKey> = LazyLock::new(|| key(KeyAlgorithm::P256));

// Object identifiers by their content.
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
const MICROSOFT_EXTENSIONS: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 1, 14];
const CHALLENGE_PASSWORD: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 4, 11];
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 37, 0];
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const SHA1_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const PRIME_FIELD: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 1, 1];
const ECDSA_WITH_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const SECP224R1: &[u8] = &[0x2b, 0x81, 4, 0, 33];
const SECP521R1: &[u8] = &[0x2b, 0x81, 4, 0, 35];
const SECP256K1: &[u8] = &[0x2b, 0x81, 4, 0, 10];

/// A request in its parts, sound until a case changes one.
struct Draft {
    version: Vec<u8>,
    subject: Vec<u8>,
    key: Vec<u8>,
    attributes: Vec<u8>,
    algorithm: Vec<u8>,
}

impl Draft {
    fn new(key: &SoftwareKey) -> Self {
        Self {
            version: vec![INTEGER, 1, 0],
            subject: name(&[rdn(ORGANIZATION, UTF8, b"system:nodes"), rdn(COMMON_NAME, UTF8, b"system:node:node-1")]),
            key: key.public_key().to_vec(),
            attributes: tlv(CONTEXT_0, &[]),
            algorithm: seq(&[&key.algorithm().identifier()]),
        }
    }

    fn info(&self) -> Vec<u8> {
        seq(&[&self.version, &self.subject, &self.key, &self.attributes])
    }

    fn sign(&self) -> Vec<u8> {
        self.sign_with(&*KEY)
    }

    fn sign_with(&self, signer: &dyn Signer) -> Vec<u8> {
        let info = self.info();
        let signature = sign_to_vec(signer, &info).unwrap();
        seq(&[&info, &self.algorithm, &bits(&signature)])
    }

    /// With this whole BIT STRING in the place of the signature.
    fn with_signature(&self, signature: &[u8]) -> Vec<u8> {
        seq(&[&self.info(), &self.algorithm, signature])
    }
}

/// A signed request with one part changed.
fn changed(change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = Draft::new(&KEY);
    change(&mut draft);
    draft.sign()
}

fn rdn(attribute: &[u8], string: u8, value: &[u8]) -> Vec<u8> {
    tlv(SET, &seq(&[&oid(attribute), &tlv(string, value)]))
}

fn name(rdns: &[Vec<u8>]) -> Vec<u8> {
    tlv(SEQUENCE, &rdns.concat())
}

/// A request whose subject is this one common name.
fn with_common_name(string: u8, value: &[u8]) -> Vec<u8> {
    changed(|draft| draft.subject = name(&[rdn(COMMON_NAME, string, value)]))
}

fn with_subject(rdns: &[Vec<u8>]) -> Vec<u8> {
    changed(|draft| draft.subject = name(rdns))
}

fn attribute(identifier: &[u8], values: &[&[u8]]) -> Vec<u8> {
    seq(&[&oid(identifier), &tlv(SET, &values.concat())])
}

fn with_attributes(attributes: &[&[u8]]) -> Vec<u8> {
    changed(|draft| draft.attributes = tlv(CONTEXT_0, &attributes.concat()))
}

fn extension(identifier: &[u8], value: &[u8]) -> Vec<u8> {
    seq(&[&oid(identifier), &tlv(OCTET_STRING, value)])
}

fn critical_extension(identifier: &[u8], value: &[u8]) -> Vec<u8> {
    seq(&[&oid(identifier), &CRITICAL, &tlv(OCTET_STRING, value)])
}

fn with_extensions(extensions: &[&[u8]]) -> Vec<u8> {
    with_attributes(&[&attribute(EXTENSION_REQUEST, &[&seq(extensions)])])
}

fn dns(text: &[u8]) -> Vec<u8> {
    tlv(0x82, text)
}

fn ip(octets: &[u8]) -> Vec<u8> {
    tlv(0x87, octets)
}

fn names(general_names: &[Vec<u8>]) -> Vec<u8> {
    extension(SUBJECT_ALT_NAME, &tlv(SEQUENCE, &general_names.concat()))
}

fn with_names(general_names: &[Vec<u8>]) -> Vec<u8> {
    with_extensions(&[&names(general_names)])
}

/// A request with another `SubjectPublicKeyInfo`, which is refused before its signature is looked at.
fn with_key(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
    changed(|draft| draft.key = seq(&[&seq(algorithm), &bits(key)]))
}

fn with_rsa_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = seq(&[&tlv(INTEGER, modulus), &tlv(INTEGER, exponent)]);
    with_key(&[&oid(RSA_ENCRYPTION), &NULL], &key)
}

/// An odd modulus of this many octets, its highest bit set, behind the octet that keeps it positive.
fn modulus(octets: usize) -> Vec<u8> {
    [&[0], vec![0xc5; octets].as_slice()].concat()
}

fn with_point(point: &[u8]) -> Vec<u8> {
    with_key(&[&oid(EC_PUBLIC_KEY), &oid(PRIME256V1)], point)
}

/// The requester's own point, x and y side by side.
fn coordinates() -> Vec<u8> {
    let spki = KEY.public_key();
    spki[spki.len() - 64..].to_vec()
}

/// How the outermost structure can be wrong.
pub(crate) fn structure() -> Vec<Case> {
    // Its signatures have one length, so that every offset below is the same in every run.
    let key = key(KeyAlgorithm::Ed25519);
    let draft = Draft::new(&key);
    let (info, algorithm) = (draft.info(), draft.algorithm.clone());
    let signature = bits(&sign_to_vec(&key, &info).unwrap());
    let content = [info.as_slice(), &algorithm, &signature].concat();
    let content = content.as_slice();
    let good = tlv(SEQUENCE, content);
    let mut long = Draft::new(&key);
    long.subject = name(&[rdn(COMMON_NAME, UTF8, &vec![b'a'; 1 << 20])]);
    let long = long.with_signature(&signature);
    let without_attributes = seq(&[&draft.version, &draft.subject, &draft.key]);
    let certificate = seq(&[
        &seq(&[
            &tlv(CONTEXT_0, &[INTEGER, 1, 2]),
            &[INTEGER, 1, 1],
            &algorithm,
            &draft.subject,
            &seq(&[&tlv(0x17, b"260101000000Z"), &tlv(0x17, b"270101000000Z")]),
            &draft.subject,
            &draft.key,
        ]),
        &algorithm,
        &signature,
    ]);
    vec![
        refuse("empty input", vec![], malformed("CertificationRequest: ends before a required element")),
        refuse(
            "one octet",
            vec![SEQUENCE],
            malformed(
                "CertificationRequest: not DER (X.690) at octet 1: ASN.1 DER message is incomplete: expected 2, actual 1",
            ),
        ),
        refuse(
            "cut off in the middle",
            good[..good.len() / 2].to_vec(),
            malformed(
                "CertificationRequest: not DER (X.690) at octet 3: ASN.1 DER message is incomplete: expected 182, actual 91",
            ),
        ),
        refuse(
            "cut off at the last octet",
            good[..good.len() - 1].to_vec(),
            malformed(
                "CertificationRequest: not DER (X.690) at octet 3: ASN.1 DER message is incomplete: expected 182, actual 181",
            ),
        ),
        refuse(
            "trailing octet",
            [good.as_slice(), &[0]].concat(),
            malformed("CertificationRequest: octets after the end, at octet 182"),
        ),
        refuse(
            "second request behind the first",
            [good.as_slice(), &good].concat(),
            malformed("CertificationRequest: octets after the end, at octet 182"),
        ),
        refuse(
            "fourth element",
            seq(&[content, &NULL]),
            malformed("CertificationRequest: octets after the end, at octet 179"),
        ),
        refuse(
            "indefinite outer length",
            indefinite(SEQUENCE, content),
            malformed("CertificationRequest: not DER (X.690) at octet 2: indefinite length disallowed/malformed"),
        ),
        refuse(
            "indefinite inner length",
            seq(&[&indefinite(SEQUENCE, &info[2..]), &algorithm, &signature]),
            malformed("CertificationRequest: not DER (X.690) at octet 0: indefinite length disallowed/malformed"),
        ),
        refuse(
            "outer length not minimal",
            tlv_with_long_length(SEQUENCE, content),
            malformed("CertificationRequest: not DER (X.690) at octet 4: incorrect length for SEQUENCE"),
        ),
        refuse(
            "inner length not minimal",
            seq(&[&info, &tlv_with_long_length(SEQUENCE, &algorithm[2..]), &signature]),
            malformed("CertificationRequest: not DER (X.690) at octet 108: incorrect length for SEQUENCE"),
        ),
        refuse(
            "length of 4 GiB",
            [&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff], content].concat(),
            malformed("CertificationRequest: not DER (X.690) at octet 6: integer overflow"),
        ),
        refuse(
            "length in nine octets",
            [&[SEQUENCE, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0], content].concat(),
            malformed("CertificationRequest: not DER (X.690) at octet 2: incorrect length for SEQUENCE"),
        ),
        refuse(
            "a SET for the outer SEQUENCE",
            tlv(SET, content),
            malformed("CertificationRequest: expected tag 0x30, found 0x31 at octet 0"),
        ),
        refuse(
            "a certificate",
            certificate,
            malformed("CertificationRequestInfo: expected tag 0x02, found 0xa0 at octet 0"),
        ),
        refuse(
            "PEM",
            b"-----BEGIN CERTIFICATE REQUEST-----\n".to_vec(),
            malformed("CertificationRequest: expected tag 0x30, found 0x2d at octet 0"),
        ),
        refuse("65 KiB of zeros", vec![0; 65 << 10], ("request.too_long", "the request has 66560 octets, limit 65536")),
        refuse("common name of 1 MiB", long, ("request.too_long", "the request has 1048734 octets, limit 65536")),
        refuse("version 1", changed(|draft| draft.version = vec![INTEGER, 1, 1]), VERSION),
        refuse("version -1", changed(|draft| draft.version = vec![INTEGER, 1, 0xff]), VERSION),
        refuse("version 0 in two octets", changed(|draft| draft.version = vec![INTEGER, 2, 0, 0]), VERSION),
        refuse(
            "version of 70 bits",
            changed(|draft| draft.version = tlv(INTEGER, &[0x20, 0, 0, 0, 0, 0, 0, 0, 0])),
            VERSION,
        ),
        refuse(
            "no version",
            changed(|draft| draft.version = vec![]),
            malformed("CertificationRequestInfo: expected tag 0x02, found 0x30 at octet 0"),
        ),
        refuse(
            "attributes omitted",
            seq(&[&without_attributes, &algorithm, &signature]),
            malformed("CertificationRequestInfo: ends before a required element"),
        ),
        refuse(
            "attributes primitive",
            changed(|draft| draft.attributes = tlv(0x80, &[])),
            malformed("CertificationRequestInfo: expected tag 0xa0, found 0x80 at octet 148"),
        ),
        refuse(
            "attributes twice",
            changed(|draft| draft.attributes = tlv(CONTEXT_0, &[]).repeat(2)),
            malformed("CertificationRequestInfo: octets after the end, at octet 150"),
        ),
    ]
}

/// What may not stand among the attributes.
pub(crate) fn attributes() -> Vec<Case> {
    let one = attribute(EXTENSION_REQUEST, &[&seq(&[&names(&[dns(b"a")])])]);
    let two = attribute(EXTENSION_REQUEST, &[&seq(&[&names(&[dns(b"b")])])]);
    let microsoft = attribute(MICROSOFT_EXTENSIONS, &[&seq(&[&names(&[dns(b"b")])])]);
    let challenge = attribute(CHALLENGE_PASSWORD, &[&tlv(UTF8, b"password")]);
    let values = [seq(&[&names(&[dns(b"a")])]), seq(&[&names(&[dns(b"b")])])];
    let mut padded = EXTENSION_REQUEST.to_vec();
    padded.insert(7, 0x80);
    vec![
        refuse("extensionRequest twice, different", with_attributes(&[&one, &two]), REPEATED),
        refuse("extensionRequest twice, equal", with_attributes(&[&one, &one]), REPEATED),
        refuse(
            "extensionRequest with two values",
            with_attributes(&[&attribute(EXTENSION_REQUEST, &[&values[0], &values[1]])]),
            REPEATED,
        ),
        refuse(
            "extensionRequest without value",
            with_attributes(&[&attribute(EXTENSION_REQUEST, &[])]),
            malformed("extensionRequest: ends before a required element"),
        ),
        refuse(
            "extensionRequest with an INTEGER",
            with_attributes(&[&attribute(EXTENSION_REQUEST, &[&[2, 1, 0]])]),
            malformed("extensionRequest: expected tag 0x30, found 0x02 at octet 0"),
        ),
        refuse(
            "extensionRequest with no extension",
            with_extensions(&[]),
            malformed("Extensions: empty (RFC 5280 4.1)"),
        ),
        refuse(
            "extensionRequest with a third element",
            with_attributes(&[&seq(&[&oid(EXTENSION_REQUEST), &tlv(SET, &values[0]), &NULL])]),
            malformed("Attribute: octets after the end, at octet 29"),
        ),
        refuse(
            "extensionRequest by a padded identifier",
            with_attributes(&[&attribute(&padded, &[&values[0]])]),
            malformed("Attribute: a padded OBJECT IDENTIFIER (X.690 8.19.2)"),
        ),
        refuse(
            "Microsoft's extension request alone",
            with_attributes(&[&microsoft]),
            (
                "request.attribute",
                "the request has the attribute `1.3.6.1.4.1.311.2.1.14`, accepted is extensionRequest",
            ),
        ),
        refuse(
            "Microsoft's extension request beside ours",
            with_attributes(&[&one, &microsoft]),
            (
                "request.attribute",
                "the request has the attribute `1.3.6.1.4.1.311.2.1.14`, accepted is extensionRequest",
            ),
        ),
        refuse(
            "challengePassword alone",
            with_attributes(&[&challenge]),
            ("request.attribute", "the request has the attribute `1.2.840.113549.1.9.7`, accepted is extensionRequest"),
        ),
        refuse(
            "challengePassword before extensions",
            with_attributes(&[&challenge, &one]),
            ("request.attribute", "the request has the attribute `1.2.840.113549.1.9.7`, accepted is extensionRequest"),
        ),
        refuse(
            "challengePassword after extensions",
            with_attributes(&[&one, &challenge]),
            ("request.attribute", "the request has the attribute `1.2.840.113549.1.9.7`, accepted is extensionRequest"),
        ),
        refuse(
            "attribute that is no SEQUENCE",
            with_attributes(&[&NULL]),
            malformed("Attributes: expected tag 0x30, found 0x05 at octet 0"),
        ),
    ]
}

/// Signatures that prove nothing, and algorithms that must not be used.
pub(crate) fn signatures() -> Vec<Case> {
    let draft = Draft::new(&KEY);
    let signature = sign_to_vec(&*KEY, &draft.info()).unwrap();
    let mut flipped = signature.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut other_names = Draft::new(&KEY);
    other_names.subject = name(&[rdn(COMMON_NAME, UTF8, b"system:node:node-2")]);
    // SEQUENCE, length, INTEGER, length, r, INTEGER, length, s.
    let r_end = 4 + usize::from(signature[3]);
    let (r, s) = (&signature[2..r_end], &signature[r_end..]);
    let padded_r = tlv(INTEGER, &[&[0], &r[2..]].concat());
    let scalar = |integer: &[u8]| {
        let mut padded = [0; 33];
        padded[35 - integer.len()..].copy_from_slice(&integer[2..]);
        padded[1..].to_vec()
    };
    let side_by_side = [scalar(r), scalar(s)].concat();
    let with = |content: &[u8]| draft.with_signature(&bits(content));
    let algorithm = |parts: &[&[u8]]| changed(|draft| draft.algorithm = seq(parts));
    let [p384, rsa, ed25519] = [KeyAlgorithm::P384, KeyAlgorithm::Rsa2048, KeyAlgorithm::Ed25519].map(key);
    let with_other_algorithm = |key: &SoftwareKey, parts: &[&[u8]]| {
        let mut draft = Draft::new(key);
        draft.algorithm = seq(parts);
        draft.sign_with(key)
    };
    vec![
        refuse("flipped bit", with(&flipped), POSSESSION),
        refuse("signature over other names", other_names.with_signature(&bits(&signature)), POSSESSION),
        refuse("signature by another key", draft.sign_with(&key(KeyAlgorithm::P256)), POSSESSION),
        refuse("empty signature", with(&[]), POSSESSION),
        refuse(
            "empty BIT STRING",
            draft.with_signature(&tlv(BIT_STRING, &[])),
            malformed("CertificationRequest: a BIT STRING with unused bits"),
        ),
        refuse(
            "unused bits",
            draft.with_signature(&tlv(BIT_STRING, &[&[4], signature.as_slice()].concat())),
            malformed("CertificationRequest: a BIT STRING with unused bits"),
        ),
        refuse(
            "signature as OCTET STRING",
            draft.with_signature(&tlv(OCTET_STRING, &signature)),
            malformed("CertificationRequest: expected tag 0x03, found 0x04 at octet 165"),
        ),
        refuse("r and s side by side", with(&side_by_side), POSSESSION),
        refuse("r and s of zero", with(&seq(&[&[2, 1, 0], &[2, 1, 0]])), POSSESSION),
        refuse("r padded", with(&seq(&[&padded_r, s])), POSSESSION),
        refuse("octet behind the ECDSA signature", with(&[signature.as_slice(), &[0]].concat()), POSSESSION),
        refuse("octet inside the ECDSA signature", with(&seq(&[r, s, &[0]])), POSSESSION),
        refuse(
            "ECDSA signature with a long length",
            with(&tlv_with_long_length(SEQUENCE, &[r, s].concat())),
            POSSESSION,
        ),
        refuse("ECDSA signature of indefinite length", with(&indefinite(SEQUENCE, &[r, s].concat())), POSSESSION),
        refuse("ECDSA with SHA-1", algorithm(&[&oid(ECDSA_WITH_SHA1)]), SIGNATURE_ALGORITHM),
        refuse("ECDSA with NULL parameters", algorithm(&[&oid(ECDSA_WITH_SHA256), &NULL]), SIGNATURE_ALGORITHM),
        refuse("no algorithm", algorithm(&[]), SIGNATURE_ALGORITHM),
        refuse("ECDSA with SHA-384 on P-256", algorithm(&[&oid(ECDSA_WITH_SHA384)]), MISMATCH),
        refuse("ECDSA with SHA-256 on P-384", with_other_algorithm(&p384, &[&oid(ECDSA_WITH_SHA256)]), MISMATCH),
        refuse("RSA on an EC key", algorithm(&[&oid(SHA256_WITH_RSA), &NULL]), MISMATCH),
        refuse("RSA with SHA-1", with_other_algorithm(&rsa, &[&oid(SHA1_WITH_RSA), &NULL]), SIGNATURE_ALGORITHM),
        refuse("RSA without parameters", with_other_algorithm(&rsa, &[&oid(SHA256_WITH_RSA)]), SIGNATURE_ALGORITHM),
        refuse("ECDSA on an RSA key", with_other_algorithm(&rsa, &[&oid(ECDSA_WITH_SHA256)]), MISMATCH),
        refuse("RSASSA-PSS on an RSA key", pss(), SIGNATURE_ALGORITHM),
        refuse(
            "Ed25519 with NULL parameters",
            with_other_algorithm(&ed25519, &[&oid(&[0x2b, 0x65, 0x70]), &NULL]),
            SIGNATURE_ALGORITHM,
        ),
    ]
}

/// A request whose key signs with RSASSA-PSS, which no certificate of a cluster uses.
fn pss() -> Vec<u8> {
    let key = key(KeyAlgorithm::Rsa2048).into_pss().unwrap();
    Draft::new(&key).sign_with(&key)
}

/// Keys that no verifier should have to meet.
pub(crate) fn keys() -> Vec<Case> {
    let p256 = [&[4], coordinates().as_slice()].concat();
    let (x, y) = p256[1..].split_at(32);
    let mut off_curve = p256.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let parity = y[31] & 1;
    let explicit =
        seq(&[&[2, 1, 1], &seq(&[&oid(PRIME_FIELD), &tlv(INTEGER, &[0x7f; 32])]), &tlv(OCTET_STRING, &p256)]);
    let mut even = modulus(256);
    *even.last_mut().unwrap() &= 0xfe;
    let rsa = seq(&[&tlv(INTEGER, &modulus(256)), &tlv(INTEGER, &[1, 0, 1])]);
    let id = seq(&[&oid(EC_PUBLIC_KEY), &oid(PRIME256V1)]);
    vec![
        refuse("RSA of 1024 bits", with_rsa_key(&modulus(128), &[1, 0, 1]), MODULUS_BITS),
        refuse("RSA of 2056 bits", with_rsa_key(&modulus(257), &[1, 0, 1]), MODULUS_BITS),
        refuse("RSA of 2047 bits", with_rsa_key(&[0x65; 256], &[1, 0, 1]), MODULUS),
        refuse("RSA of 8192 bits", with_rsa_key(&modulus(1024), &[1, 0, 1]), MODULUS_BITS),
        refuse("RSA of 16384 bits", with_rsa_key(&modulus(2048), &[1, 0, 1]), MODULUS_BITS),
        refuse("RSA with exponent 1", with_rsa_key(&modulus(256), &[1]), EXPONENT),
        refuse("RSA with exponent 3", with_rsa_key(&modulus(256), &[3]), EXPONENT),
        refuse("RSA with exponent 65536", with_rsa_key(&modulus(256), &[1, 0, 0]), EXPONENT),
        refuse(
            "RSA with padded exponent",
            with_rsa_key(&modulus(256), &[0, 1, 0, 1]),
            malformed("RSAPublicKey: not DER (X.690) at octet 267: ASN.1 INTEGER not canonically encoded as DER"),
        ),
        refuse("RSA with even modulus", with_rsa_key(&even, &[1, 0, 1]), MODULUS),
        refuse(
            "RSA with negative modulus",
            with_rsa_key(&modulus(256)[1..], &[1, 0, 1]),
            malformed("RSAPublicKey: not DER (X.690) at octet 260: malformed ASN.1 DER value for INTEGER"),
        ),
        refuse(
            "RSA with padded modulus",
            with_rsa_key(&[&[0], modulus(256).as_slice()].concat(), &[1, 0, 1]),
            malformed("RSAPublicKey: not DER (X.690) at octet 262: ASN.1 INTEGER not canonically encoded as DER"),
        ),
        refuse("RSA with modulus 0", with_rsa_key(&[0], &[1, 0, 1]), MODULUS),
        refuse("RSA key without parameters", with_key(&[&oid(RSA_ENCRYPTION)], &rsa), KEY_ALGORITHM),
        refuse(
            "RSA followed by an octet",
            with_key(&[&oid(RSA_ENCRYPTION), &NULL], &[rsa.as_slice(), &[0]].concat()),
            malformed("RSAPublicKey: octets after the end, at octet 270"),
        ),
        refuse("P-224", with_key(&[&oid(EC_PUBLIC_KEY), &oid(SECP224R1)], &[4; 57]), KEY_ALGORITHM),
        refuse("P-521", with_key(&[&oid(EC_PUBLIC_KEY), &oid(SECP521R1)], &[4; 133]), KEY_ALGORITHM),
        refuse("secp256k1", with_key(&[&oid(EC_PUBLIC_KEY), &oid(SECP256K1)], &[4; 65]), KEY_ALGORITHM),
        refuse("explicit curve", with_key(&[&oid(EC_PUBLIC_KEY), &explicit], &p256), KEY_ALGORITHM),
        refuse("implicit curve", with_key(&[&oid(EC_PUBLIC_KEY), &NULL], &p256), KEY_ALGORITHM),
        refuse("no curve", with_key(&[&oid(EC_PUBLIC_KEY)], &p256), KEY_ALGORITHM),
        refuse("compressed point", with_point(&[&[2 + parity], x].concat()), POINT),
        refuse("hybrid point", with_point(&[&[6 + parity], x, y].concat()), POINT),
        refuse("point at infinity", with_point(&[0]), POINT),
        refuse("empty point", with_point(&[]), POINT),
        refuse("point off the curve", with_point(&off_curve), POSSESSION),
        refuse("point beyond the field", with_point(&[&[4], [0xff; 64].as_slice()].concat()), POSSESSION),
        refuse(
            "point of another key",
            with_point(&[&[4], &key(KeyAlgorithm::P256).public_key()[27..]].concat()),
            POSSESSION,
        ),
        refuse("Ed25519 of 31 octets", with_key(&[&oid(&[0x2b, 0x65, 0x70])], &[7; 31]), KEY_ALGORITHM),
        refuse("Ed448", with_key(&[&oid(&[0x2b, 0x65, 0x71])], &[7; 57]), KEY_ALGORITHM),
        refuse(
            "key with unused bits",
            changed(|draft| draft.key = seq(&[&id, &tlv(BIT_STRING, &[&[1], p256.as_slice()].concat())])),
            malformed("SubjectPublicKeyInfo: a BIT STRING with unused bits"),
        ),
        refuse(
            "key with a third element",
            changed(|draft| draft.key = seq(&[&id, &bits(&p256), &NULL])),
            malformed("SubjectPublicKeyInfo: octets after the end, at octet 89"),
        ),
        refuse(
            "no key",
            changed(|draft| draft.key = seq(&[])),
            malformed("SubjectPublicKeyInfo: ends before a required element"),
        ),
    ]
}

/// Subjects that readers understand differently, or not at all.
pub(crate) fn subjects() -> Vec<Case> {
    const TELETEX: u8 = 0x14;
    const IA5: u8 = 0x16;
    const UNIVERSAL: u8 = 0x1c;
    const BMP: u8 = 0x1e;
    let cn = |text: &[u8]| rdn(COMMON_NAME, UTF8, text);
    let o = |text: &[u8]| rdn(ORGANIZATION, UTF8, text);
    let attribute = |kind: &[u8], text: &[u8]| seq(&[&oid(kind), &tlv(UTF8, text)]);
    let multi = |parts: &[Vec<u8>]| tlv(SET, &parts.concat());
    let ou = rdn(ORGANIZATIONAL_UNIT, UTF8, b"unit");
    let mut padded = COMMON_NAME.to_vec();
    padded.insert(2, 0x80);
    vec![
        refuse("empty subject", with_subject(&[]), malformed("Name: no common name")),
        refuse("groups without user", with_subject(&[o(b"system:nodes")]), malformed("Name: no common name")),
        refuse(
            "two common names",
            with_subject(&[cn(b"system:node:a"), cn(b"system:node:b")]),
            malformed("Name: more than one common name"),
        ),
        refuse(
            "one common name twice",
            with_subject(&[cn(b"system:node:a"), cn(b"system:node:a")]),
            malformed("Name: more than one common name"),
        ),
        refuse(
            "organizational unit",
            with_subject(&[ou, cn(b"a")]),
            malformed("Name: an attribute other than CN and O"),
        ),
        refuse(
            "two groups in one RDN, out of order",
            with_subject(&[multi(&[attribute(ORGANIZATION, b"b"), attribute(ORGANIZATION, b"a")]), cn(b"c")]),
            malformed("Name: a SET OF that is not in order (X.690 11.6)"),
        ),
        refuse(
            "one group twice in one RDN",
            with_subject(&[multi(&[attribute(ORGANIZATION, b"a"), attribute(ORGANIZATION, b"a")]), cn(b"c")]),
            malformed("Name: a SET OF that is not in order (X.690 11.6)"),
        ),
        refuse(
            "two users in one RDN",
            with_subject(&[multi(&[attribute(COMMON_NAME, b"a"), attribute(COMMON_NAME, b"b")])]),
            malformed("Name: a relative distinguished name of several values"),
        ),
        refuse(
            "user after a group in one RDN",
            with_subject(&[multi(&[attribute(ORGANIZATION, b"b"), attribute(COMMON_NAME, b"a")])]),
            malformed("Name: a relative distinguished name of several values"),
        ),
        refuse(
            "group and user in one RDN",
            with_subject(&[multi(&[attribute(COMMON_NAME, b"a"), attribute(ORGANIZATION, b"b")])]),
            malformed("Name: a relative distinguished name of several values"),
        ),
        refuse(
            "empty RDN",
            with_subject(&[tlv(SET, &[]), cn(b"a")]),
            malformed("Name: ends before a required element"),
        ),
        refuse(
            "RDN as SEQUENCE",
            with_subject(&[seq(&[&attribute(COMMON_NAME, b"a")])]),
            malformed("Name: expected tag 0x31, found 0x30 at octet 0"),
        ),
        refuse(
            "attribute with a third element",
            with_subject(&[tlv(SET, &seq(&[&oid(COMMON_NAME), &tlv(UTF8, b"a"), &NULL]))]),
            malformed("Name: octets after the end, at octet 8"),
        ),
        refuse(
            "attribute without value",
            with_subject(&[tlv(SET, &seq(&[&oid(COMMON_NAME)]))]),
            malformed("Name: not DER (X.690) at octet 5: ASN.1 DER message is incomplete: expected 6, actual 5"),
        ),
        refuse(
            "common name by a padded identifier",
            with_subject(&[rdn(&padded, UTF8, b"a")]),
            malformed("Name: a padded OBJECT IDENTIFIER (X.690 8.19.2)"),
        ),
        refuse("empty common name", with_common_name(UTF8, b""), STRING),
        refuse("empty group", with_subject(&[o(b""), cn(b"a")]), STRING),
        refuse("common name as IA5String", with_common_name(IA5, b"a"), STRING),
        refuse("common name as TeletexString", with_common_name(TELETEX, b"a"), STRING),
        refuse("common name as BMPString", with_common_name(BMP, b"\0a"), STRING),
        refuse(
            "common name as UniversalString",
            with_common_name(UNIVERSAL, b"\0\0\0a"),
            malformed("Name: not DER (X.690) at octet 6: unknown/unsupported ASN.1 DER tag: 0x1c"),
        ),
        refuse("common name as INTEGER", with_common_name(INTEGER, &[1]), STRING),
        refuse("common name as SEQUENCE", with_common_name(SEQUENCE, &tlv(UTF8, b"a")), STRING),
        refuse(
            "common name as constructed UTF8String",
            with_common_name(UTF8 | 0x20, &tlv(UTF8, b"a")),
            malformed("Name: not DER (X.690) at octet 6: unknown/unsupported ASN.1 DER tag: 0x2c"),
        ),
        refuse("`*` in a PrintableString", with_common_name(PRINTABLE, b"*"), STRING),
        refuse("`@` in a PrintableString", with_common_name(PRINTABLE, b"a@b"), STRING),
        refuse("`_` in a PrintableString", with_common_name(PRINTABLE, b"a_b"), STRING),
        refuse("non-ASCII in a PrintableString", with_common_name(PRINTABLE, "ä".as_bytes()), STRING),
        refuse("invalid UTF-8", with_common_name(UTF8, &[b'a', 0xff]), STRING),
        refuse("overlong UTF-8", with_common_name(UTF8, &[0xc0, 0xaf]), STRING),
        refuse("surrogate in UTF-8", with_common_name(UTF8, &[0xed, 0xa0, 0x80]), STRING),
        refuse("NUL", with_common_name(UTF8, b"system:node:a\0.example"), STRING),
        refuse("line feed", with_common_name(UTF8, b"system:node:a\n"), STRING),
        refuse("C1 control", with_common_name(UTF8, "a\u{85}".as_bytes()), STRING),
        refuse(
            "common name of 2 KiB",
            with_common_name(UTF8, &[b'a'; 2 << 10]),
            malformed("Name: longer than the limit"),
        ),
        refuse(
            "a hundred groups",
            with_subject(&[o(b"g").repeat(100), cn(b"a")]),
            malformed("Name: longer than the limit"),
        ),
    ]
}

/// Extensions that no leaf may ask for, and ones that are encoded badly.
pub(crate) fn extensions() -> Vec<Case> {
    let ca = |content: &[&[u8]]| with_extensions(&[&critical_extension(BASIC_CONSTRAINTS, &seq(content))]);
    let usage = |bit_string: &[u8]| with_extensions(&[&critical_extension(KEY_USAGE, bit_string)]);
    let purposes = |content: &[&[u8]]| with_extensions(&[&extension(EXT_KEY_USAGE, &seq(content))]);
    let good = seq(&[&dns(b"a")]);
    let with_critical =
        |boolean: &[u8]| with_extensions(&[&seq(&[&oid(SUBJECT_ALT_NAME), boolean, &tlv(OCTET_STRING, &good)])]);
    vec![
        refuse("CA", ca(&[&[1, 1, 0xff]]), CERTIFICATE_AUTHORITY),
        refuse(
            "CA, not critical",
            with_extensions(&[&extension(BASIC_CONSTRAINTS, &seq(&[&[1, 1, 0xff]]))]),
            CERTIFICATE_AUTHORITY,
        ),
        refuse("CA with path length", ca(&[&[1, 1, 0xff], &[2, 1, 0]]), CERTIFICATE_AUTHORITY),
        refuse("path length without CA", ca(&[&[2, 1, 0]]), CERTIFICATE_AUTHORITY),
        refuse(
            "path length below zero",
            ca(&[&[2, 1, 0xff]]),
            malformed("basicConstraints: not DER (X.690) at octet 3: malformed ASN.1 DER value for INTEGER"),
        ),
        refuse(
            "CA FALSE encoded",
            ca(&[&[1, 1, 0]]),
            malformed("basicConstraints: a BOOLEAN that is not DER TRUE (X.690 11.1, 11.5)"),
        ),
        refuse(
            "CA by BOOLEAN 01",
            ca(&[&[1, 1, 1]]),
            malformed("basicConstraints: a BOOLEAN that is not DER TRUE (X.690 11.1, 11.5)"),
        ),
        refuse(
            "third basic constraint",
            ca(&[&[1, 1, 0xff], &[2, 1, 0], &NULL]),
            malformed("basicConstraints: octets after the end, at octet 6"),
        ),
        refuse("keyCertSign", usage(&[3, 2, 2, 0x84]), CERTIFICATE_AUTHORITY),
        refuse("keyCertSign alone", usage(&[3, 2, 2, 0x04]), CERTIFICATE_AUTHORITY),
        refuse("cRLSign", usage(&[3, 2, 1, 0x82]), CERTIFICATE_AUTHORITY),
        refuse("key usage with trailing zero bits", usage(&[3, 2, 0, 0x80]), NAMED_BITS),
        refuse("key usage with a trailing zero octet", usage(&[3, 3, 7, 0x80, 0]), NAMED_BITS),
        refuse("key usage with unused bits set", usage(&[3, 2, 5, 0xb0]), NAMED_BITS),
        refuse("key usage without any", usage(&[3, 1, 0]), NAMED_BITS),
        refuse(
            "key usage followed by an octet",
            usage(&[3, 2, 7, 0x80, 0]),
            malformed("keyUsage: octets after the end, at octet 4"),
        ),
        refuse(
            "key usage as INTEGER",
            usage(&[2, 1, 0x80]),
            malformed(
                "keyUsage: not DER (X.690) at octet 2: unexpected ASN.1 DER tag: expected BIT STRING, got INTEGER",
            ),
        ),
        refuse("code signing", purposes(&[&oid(CODE_SIGNING)]), EXTENDED_KEY_USAGE),
        refuse(
            "code signing beside serverAuth",
            purposes(&[&oid(SERVER_AUTH), &oid(CODE_SIGNING)]),
            EXTENDED_KEY_USAGE,
        ),
        refuse("any purpose", purposes(&[&oid(ANY_PURPOSE)]), EXTENDED_KEY_USAGE),
        refuse("no purpose", purposes(&[]), malformed("extKeyUsage: empty (RFC 5280 4.2.1.12)")),
        refuse(
            "purpose as INTEGER",
            purposes(&[&[2, 1, 1]]),
            malformed(
                "extKeyUsage: not DER (X.690) at octet 2: unexpected ASN.1 DER tag: expected OBJECT IDENTIFIER, got INTEGER",
            ),
        ),
        refuse(
            "unknown critical extension",
            with_extensions(&[&critical_extension(&[0x2a, 3, 4], &NULL)]),
            ("request.extension", "the request has the extension `1.2.3.4`, which no leaf has"),
        ),
        refuse(
            "unknown extension",
            with_extensions(&[&extension(&[0x2a, 3, 4], &NULL)]),
            ("request.extension", "the request has the extension `1.2.3.4`, which no leaf has"),
        ),
        refuse(
            "name constraints",
            with_extensions(&[&critical_extension(NAME_CONSTRAINTS, &seq(&[]))]),
            ("request.extension", "the request has the extension `2.5.29.30`, which no leaf has"),
        ),
        refuse(
            "subject key identifier",
            with_extensions(&[&extension(SUBJECT_KEY_ID, &tlv(OCTET_STRING, &[7; 20]))]),
            ("request.extension", "the request has the extension `2.5.29.14`, which no leaf has"),
        ),
        refuse(
            "authority key identifier",
            with_extensions(&[&extension(AUTHORITY_KEY_ID, &seq(&[&tlv(0x80, &[7; 20])]))]),
            ("request.extension", "the request has the extension `2.5.29.35`, which no leaf has"),
        ),
        refuse(
            "thousands of extensions",
            with_extensions(&[&many_extensions()]),
            malformed("Extensions: more than any certificate of a cluster has"),
        ),
        refuse(
            "same extension twice",
            with_extensions(&[&names(&[dns(b"a")]), &names(&[dns(b"b")])]),
            malformed("Extensions: one identifier stands twice (RFC 5280 4.2)"),
        ),
        refuse(
            "extension by a padded identifier",
            with_extensions(&[&extension(&[0x55, 0x1d, 0x80, 17], &good)]),
            malformed("Extension: a padded OBJECT IDENTIFIER (X.690 8.19.2)"),
        ),
        refuse(
            "extension by an empty identifier",
            with_extensions(&[&extension(&[], &good)]),
            malformed("Extension: not DER (X.690) at octet 2: malformed OID"),
        ),
        refuse("critical FALSE encoded", with_critical(&[1, 1, 0]), CRITICAL_BOOLEAN),
        refuse("critical by BOOLEAN 01", with_critical(&[1, 1, 1]), CRITICAL_BOOLEAN),
        refuse("critical of two octets", with_critical(&[1, 2, 0xff, 0xff]), CRITICAL_BOOLEAN),
        refuse(
            "octet behind the extension's value",
            with_extensions(&[&extension(SUBJECT_ALT_NAME, &[good.as_slice(), &[0]].concat())]),
            malformed("subjectAltName: octets after the end, at octet 5"),
        ),
        refuse(
            "extension without a value",
            with_extensions(&[&seq(&[&oid(SUBJECT_ALT_NAME)])]),
            malformed("Extension: ends before a required element"),
        ),
        refuse(
            "extension with a fourth element",
            with_extensions(&[&seq(&[&oid(SUBJECT_ALT_NAME), &CRITICAL, &tlv(OCTET_STRING, &good), &NULL])]),
            malformed("Extension: octets after the end, at octet 15"),
        ),
        refuse(
            "value in a constructed OCTET STRING",
            with_extensions(&[&seq(&[&oid(SUBJECT_ALT_NAME), &tlv(0x24, &tlv(OCTET_STRING, &good))])]),
            malformed("Extension: expected tag 0x04, found 0x24 at octet 5"),
        ),
    ]
}

/// As many different extensions as fit, which a search for repetitions must not take quadratic time over.
fn many_extensions() -> Vec<u8> {
    (1..=0x3fff_u16)
        .map(|number| number.to_be_bytes())
        .filter(|[high, low]| *high > 0 && *low < 0x80)
        .take(5000)
        .flat_map(|[high, low]| extension(&[0x2a, 0x80 | high, low], &[]))
        .collect()
}

/// Alternative names that are none of one host's.
pub(crate) fn alternative_names() -> Vec<Case> {
    let one_dns = |text: &[u8]| with_names(&[dns(text)]);
    let one_ip = |octets: &[u8]| with_names(&[ip(octets)]);
    let v6 = |text: &str| one_ip(&text.parse::<std::net::Ipv6Addr>().unwrap().octets());
    let other_name = tlv(CONTEXT_0, &[oid(&[0x2a, 3, 4]), tlv(CONTEXT_0, &tlv(UTF8, b"a"))].concat());
    let hundred_and_one: Vec<_> = (0..101).map(|index| dns(format!("n{index}").as_bytes())).collect();
    vec![
        refuse("wildcard", one_dns(b"*.example.com"), DNS),
        refuse("underscore", one_dns(b"a_b.example.com"), DNS),
        refuse("trailing dot", one_dns(b"a.example.com."), DNS),
        refuse("leading dot", one_dns(b".example.com"), DNS),
        refuse("upper case", one_dns(b"A.example.com"), DNS),
        refuse("space", one_dns(b" "), DNS),
        refuse("empty dNSName", one_dns(b""), DNS),
        refuse("an address as dNSName", one_dns(b"10.0.0.1"), DNS),
        refuse("label of 64 octets", one_dns(&[b'a'; 64]), DNS),
        refuse("name of 255 octets", one_dns(&b"a.".repeat(128)[..255]), DNS),
        refuse("non-ASCII", one_dns("bücher.example".as_bytes()), DNS),
        refuse("invalid UTF-8 in a name", one_dns(&[0xff]), DNS),
        refuse("NUL in a name", one_dns(b"a\0.example.com"), DNS),
        refuse("hyphen at the end", one_dns(b"a-.example.com"), DNS),
        refuse("address of no octet", one_ip(&[]), IP),
        refuse("address of 5 octets", one_ip(&[10, 0, 0, 1, 0]), IP),
        refuse("address of 8 octets, with a mask", one_ip(&[10, 0, 0, 1, 255, 0, 0, 0]), IP),
        refuse("address of 17 octets", one_ip(&[1; 17]), IP),
        refuse("0.0.0.0", one_ip(&[0; 4]), IP),
        refuse("::", one_ip(&[0; 16]), IP),
        refuse("multicast", one_ip(&[224, 0, 0, 1]), IP),
        refuse("multicast of IPv6", v6("ff02::1"), IP),
        refuse("IPv4 in the guise of IPv6", v6("::ffff:10.0.0.1"), IP),
        refuse("e-mail", with_names(&[tlv(0x81, b"a@example.com")]), OTHER_NAME),
        refuse("URI", with_names(&[tlv(0x86, b"spiffe://example.com/a")]), OTHER_NAME),
        refuse("otherName", with_names(&[other_name]), OTHER_NAME),
        refuse("directoryName", with_names(&[tlv(0xa4, &name(&[rdn(COMMON_NAME, UTF8, b"a")]))]), OTHER_NAME),
        refuse("registeredID", with_names(&[tlv(0x88, &[0x2a, 3, 4])]), OTHER_NAME),
        refuse("a good name, then an e-mail", with_names(&[dns(b"a"), tlv(0x81, b"a@example.com")]), OTHER_NAME),
        refuse("no names", with_names(&[]), malformed("subjectAltName: empty (RFC 5280 4.2.1.6)")),
        refuse("101 names", with_names(&hundred_and_one), malformed("subjectAltName: more names than the limit")),
        refuse(
            "names in a SET",
            with_extensions(&[&extension(SUBJECT_ALT_NAME, &tlv(SET, &dns(b"a")))]),
            malformed("subjectAltName: expected tag 0x30, found 0x31 at octet 0"),
        ),
    ]
}

/// Every request of this module.
pub(crate) fn corpus() -> Vec<Case> {
    [structure(), attributes(), signatures(), keys(), subjects(), extensions(), alternative_names()]
        .into_iter()
        .flatten()
        .collect()
}
