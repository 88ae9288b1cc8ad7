//! Requests to be refused, each with the refusal it must meet, built octet by octet.

use pki_core::pem::encode_pem;
use pki_core::{KeyAlgorithm, Signer, sign_to_vec};
use signer_hsm::SoftwareKey;

use crate::asked;
use crate::der::{
    BIT_STRING, CONTEXT_0, INTEGER, NULL, OCTET_STRING, SEQUENCE, SET, UTF8, bits, indefinite, oid, seq, tlv,
    tlv_with_long_length,
};
use crate::draft::*;
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

pub(crate) const fn malformed(detail: &'static str) -> Refusal {
    (MALFORMED, detail)
}

pub(crate) const fn refuse(name: &'static str, der: Vec<u8>, refusal: Refusal) -> Case {
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
            malformed("CertificationRequest: not DER (X.690) at octet 2: indefinite length disallowed/malformed"),
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
            "attribute that nobody knows",
            with_attributes(&[&attribute(&[0x2a, 3, 4], &[&NULL])]),
            ("request.attribute", "the request has the attribute `1.2.3.4`, accepted is extensionRequest"),
        ),
        refuse(
            "indefinite length inside extensionRequest",
            with_attributes(&[&attribute(EXTENSION_REQUEST, &[&indefinite(SEQUENCE, &names(&[dns(b"a")]))])]),
            malformed("extensionRequest: not DER (X.690) at octet 2: indefinite length disallowed/malformed"),
        ),
        refuse(
            "length not minimal inside extensionRequest",
            with_attributes(&[&attribute(EXTENSION_REQUEST, &[&tlv_with_long_length(SEQUENCE, &names(&[dns(b"a")]))])]),
            malformed("extensionRequest: not DER (X.690) at octet 3: incorrect length for SEQUENCE"),
        ),
        refuse(
            "nesting of 2000",
            with_attributes(&[&(0..2000).fold(Vec::new(), |inner, _| tlv(SEQUENCE, &inner))]),
            malformed("Attribute: expected tag 0x06, found 0x30 at octet 0"),
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
        refuse(
            "RSA with a negative exponent",
            with_rsa_key(&modulus(256), &[0x81, 0, 1]),
            malformed("RSAPublicKey: not DER (X.690) at octet 266: malformed ASN.1 DER value for INTEGER"),
        ),
        refuse("RSA with an exponent of 256 bits", with_rsa_key(&modulus(256), &[0x7f; 32]), EXPONENT),
        refuse(
            "RSA with the factor 3",
            include_bytes!("../data/requests/weak/factor-3.der").to_vec(),
            ("request.weak_key", "the key is weak: its modulus has a factor below 752 (Baseline Requirements 6.1.6)"),
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

/// Texts that are not the PEM of one request.
pub(crate) fn pem() -> Vec<Case> {
    const LABEL: &str = "CERTIFICATE REQUEST";
    const NONE: &str = "no PEM block, expected `CERTIFICATE REQUEST`";
    const ENCODING: &str = "PEM block 1, line 1: not base64 in lines of 64 columns (RFC 7468 2)";
    const NOT_ENDED: &str = "PEM block 1, line 1: the block has no end line";
    // Its signatures have one length, so that the number of lines is the same in every run.
    let key = key(KeyAlgorithm::Ed25519);
    let base64 = encode_pem(LABEL, &Draft::new(&key).sign_with(&key));
    let base64: String = base64.lines().filter(|line| !line.starts_with('-')).collect();
    let columns = |columns: usize| {
        base64
            .as_bytes()
            .chunks(columns)
            .map(|line| String::from_utf8(line.to_vec()).unwrap() + "\n")
            .collect::<String>()
    };
    let between =
        |begin: &str, end: &str, inside: &str| format!("-----BEGIN {begin}-----\n{inside}-----END {end}-----\n");
    let block = |inside: &str| between(LABEL, LABEL, inside);
    let good = block(&columns(64));
    let text = |name, text: String, message| refuse(name, text.into_bytes(), ("request.pem", message));
    vec![
        text("nothing", String::new(), NONE),
        text("text alone", "request\n".to_owned(), NONE),
        text("base64 alone", columns(64), NONE),
        text(
            "two blocks",
            good.repeat(2),
            "PEM block 2, line 7: one block must stand alone, there is text or a block beside it",
        ),
        text(
            "text after the block",
            format!("{good}a\n"),
            "PEM block 1, line 1: one block must stand alone, there is text or a block beside it",
        ),
        text(
            "empty line after the block",
            format!("{good}\n"),
            "PEM block 1, line 1: one block must stand alone, there is text or a block beside it",
        ),
        text(
            "text before the block",
            format!("a\n{good}"),
            "PEM block 1, line 2: one block must stand alone, there is text or a block beside it",
        ),
        text(
            "empty line before the block",
            format!("\n{good}"),
            "PEM block 1, line 2: one block must stand alone, there is text or a block beside it",
        ),
        text("byte order mark", format!("\u{feff}{good}"), NONE),
        text("76 columns", block(&columns(76)), ENCODING),
        text("63 columns", block(&columns(63)), ENCODING),
        text("one line", block(&format!("{base64}\n")), ENCODING),
        text(
            "headers",
            block(&format!("Proc-Type: 4,ENCRYPTED\n\n{}", columns(64))),
            "PEM block 1, line 1: the block has headers (RFC 7468 2)",
        ),
        text("empty line inside", block(&format!("\n{}", columns(64))), ENCODING),
        text("spaces inside", block(&format!(" {}", columns(64))), ENCODING),
        text("another alphabet", block(&columns(64).replace(['A', 'B'], "_")), ENCODING),
        text(
            "NEW CERTIFICATE REQUEST",
            good.replace(LABEL, "NEW CERTIFICATE REQUEST"),
            "PEM block 1, line 1: expected `CERTIFICATE REQUEST`, found `NEW CERTIFICATE REQUEST`",
        ),
        text(
            "a certificate",
            good.replace(LABEL, "CERTIFICATE"),
            "PEM block 1, line 1: expected `CERTIFICATE REQUEST`, found `CERTIFICATE`",
        ),
        text(
            "label in lower case",
            good.replace(LABEL, "certificate request"),
            "PEM block 1, line 1: expected `CERTIFICATE REQUEST`, found `certificate request`",
        ),
        text("other label at the end", between(LABEL, "CERTIFICATE", &columns(64)), ENCODING),
        text("no end", good.replace("-----END", "-----"), NOT_ENDED),
        text(
            "end before the beginning",
            format!("-----END {LABEL}-----\n-----BEGIN {LABEL}-----\n"),
            "PEM block 1, line 2: the block has no end line",
        ),
        text("lines that end in CR alone", good.replace('\n', "\r"), NOT_ENDED),
        text("empty block", block(""), ENCODING),
        text("1 MiB and an octet", "a".repeat((1 << 20) + 1), "the text has 1048577 octets, limit 1048576"),
        text("257 blocks", good.repeat(257), "PEM block 257, line 1537: more than 256 blocks"),
    ]
}

/// One request whose signature is accepted with either of the two values of s that every ECDSA signature has.
pub(crate) fn with_either_s() -> [Vec<u8>; 2] {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let draft = Draft::new(&KEY);
    let signature = sign_to_vec(&*KEY, &draft.info()).unwrap();
    let (r, s) = signature[2..].split_at(2 + usize::from(signature[3]));
    let mut other = [0; 33];
    let mut borrow = 0;
    let (order, s_octets) = (ORDER.iter().rev(), s[2..].iter().rev().chain(std::iter::repeat(&0)));
    for ((octet, n), s) in other.iter_mut().rev().zip(order).zip(s_octets) {
        let difference = i16::from(*n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *octet = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    let padding = other.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
    let other = tlv(INTEGER, &other[padding..]);
    [s, &other].map(|s| draft.with_signature(&bits(&seq(&[r, s]))))
}

/// Every DER request of this module and of [`asked`].
pub(crate) fn corpus() -> Vec<Case> {
    let asked = [asked::subjects(), asked::extensions(), asked::alternative_names()];
    [structure(), attributes(), signatures(), keys()].into_iter().chain(asked).flatten().collect()
}
