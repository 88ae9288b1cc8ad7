//! What a signing key's attributes must say: asked for when it is made, read back whenever it is opened.

use core::error::Error;
use core::fmt;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeInfo, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::types::Ulong;
use pki_core::KeyAlgorithm;

use super::error::{CallError, Pkcs11Error};

/// An attribute of a private key with which it cannot be trusted to stay where it is, or to sign and do nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeMismatch {
    attribute: &'static str,
    expected: bool,
    found: Option<bool>,
}

impl AttributeMismatch {
    /// Its name in PKCS#11.
    #[must_use]
    pub const fn attribute(&self) -> &'static str {
        self.attribute
    }

    /// What a signing key must have.
    #[must_use]
    pub const fn expected(&self) -> bool {
        self.expected
    }

    /// What this key has; `None` if the token does not say.
    #[must_use]
    pub const fn found(&self) -> Option<bool> {
        self.found
    }
}

impl fmt::Display for AttributeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of the private key must be `{}`, found ", self.attribute, self.expected)?;
        match self.found {
            Some(found) => write!(f, "`{found}`"),
            None => f.write_str("no answer"),
        }
    }
}

impl Error for AttributeMismatch {}

struct Rule {
    name: &'static str,
    kind: AttributeType,
    expected: bool,
    /// What a token that does not know the attribute means by that.
    absent_is: Option<bool>,
    /// Says that the key was made on the token and was never anything else. An imported key cannot have it.
    of_birth: bool,
}

const fn must(name: &'static str, kind: AttributeType, expected: bool) -> Rule {
    Rule { name, kind, expected, absent_is: None, of_birth: false }
}

const fn must_since_birth(name: &'static str, kind: AttributeType) -> Rule {
    Rule { name, kind, expected: true, absent_is: None, of_birth: true }
}

const fn must_not(name: &'static str, kind: AttributeType) -> Rule {
    Rule { name, kind, expected: false, absent_is: Some(false), of_birth: false }
}

const RULES: [Rule; 12] = [
    must("CKA_TOKEN", AttributeType::Token, true),
    must("CKA_PRIVATE", AttributeType::Private, true),
    must("CKA_SENSITIVE", AttributeType::Sensitive, true),
    must("CKA_EXTRACTABLE", AttributeType::Extractable, false),
    must_since_birth("CKA_ALWAYS_SENSITIVE", AttributeType::AlwaysSensitive),
    must_since_birth("CKA_NEVER_EXTRACTABLE", AttributeType::NeverExtractable),
    must_since_birth("CKA_LOCAL", AttributeType::Local),
    must("CKA_SIGN", AttributeType::Sign, true),
    must_not("CKA_DECRYPT", AttributeType::Decrypt),
    must_not("CKA_UNWRAP", AttributeType::Unwrap),
    must_not("CKA_DERIVE", AttributeType::Derive),
    must_not("CKA_ALWAYS_AUTHENTICATE", AttributeType::AlwaysAuthenticate),
];

/// Reads the private key's attributes and refuses it at the first that is not as it must be.
pub(super) fn check_private(session: &Session, key: ObjectHandle, accept_imported: bool) -> Result<(), Pkcs11Error> {
    for Rule { name, kind, expected, absent_is, of_birth } in &RULES {
        if *of_birth && accept_imported {
            continue;
        }
        let found = read_bool(session, key, *kind)?.or(*absent_is);
        if found != Some(*expected) {
            let mismatch = AttributeMismatch { attribute: name, expected: *expected, found };
            return Err(Pkcs11Error::Attribute(mismatch));
        }
    }
    Ok(())
}

/// One attribute in a call of its own: what a module leaves in a shared buffer after the first error is nobody's answer.
fn read_bool(session: &Session, object: ObjectHandle, kind: AttributeType) -> Result<Option<bool>, Pkcs11Error> {
    let Some(AttributeInfo::Available(1)) = session.get_attribute_info(object, &[kind])?.pop() else {
        return Ok(None);
    };
    Ok(match session.get_attributes(object, &[kind])?.pop() {
        Some(
            Attribute::Token(value)
            | Attribute::Private(value)
            | Attribute::Sensitive(value)
            | Attribute::Extractable(value)
            | Attribute::AlwaysSensitive(value)
            | Attribute::NeverExtractable(value)
            | Attribute::Local(value)
            | Attribute::Sign(value)
            | Attribute::Decrypt(value)
            | Attribute::Unwrap(value)
            | Attribute::Derive(value)
            | Attribute::AlwaysAuthenticate(value),
        ) => Some(value),
        _ => None,
    })
}

/// The templates that find the objects of one label or id.
pub(super) fn find_template(class: ObjectClass, label: Option<&[u8]>, id: Option<&[u8]>) -> Vec<Attribute> {
    let mut template = vec![Attribute::Class(class), Attribute::Token(true)];
    template.extend(label.map(|label| Attribute::Label(label.to_vec())));
    template.extend(id.map(|id| Attribute::Id(id.to_vec())));
    template
}

/// Named curve identifiers in DER, as `CKA_EC_PARAMS` holds them.
pub(super) const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
pub(super) const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// How PKCS#11 wrote that curve before 3.0: a `PrintableString`.
pub(super) const ED25519_BY_NAME: &[u8] = b"\x13\x0cedwards25519";
pub(super) const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// How a key pair is made.
pub(super) struct Recipe {
    pub(super) mechanism: Mechanism<'static>,
    pub(super) mechanism_name: &'static str,
    kind: KeyType,
    parameters: Vec<Vec<Attribute>>,
}

impl Recipe {
    pub(super) fn of(algorithm: KeyAlgorithm) -> Result<Self, Pkcs11Error> {
        let curve = |parameters: &[u8]| vec![Attribute::EcParams(parameters.to_vec())];
        let (mechanism, mechanism_name, kind, parameters) = match algorithm {
            KeyAlgorithm::P256 => (Mechanism::EccKeyPairGen, "CKM_EC_KEY_PAIR_GEN", KeyType::EC, vec![curve(P256)]),
            KeyAlgorithm::P384 => (Mechanism::EccKeyPairGen, "CKM_EC_KEY_PAIR_GEN", KeyType::EC, vec![curve(P384)]),
            KeyAlgorithm::Rsa2048 => rsa(Ulong::new(2048)),
            KeyAlgorithm::Rsa3072 => rsa(Ulong::new(3072)),
            KeyAlgorithm::Rsa4096 => rsa(Ulong::new(4096)),
            KeyAlgorithm::Ed25519 => (
                Mechanism::EccEdwardsKeyPairGen,
                "CKM_EC_EDWARDS_KEY_PAIR_GEN",
                KeyType::EC_EDWARDS,
                vec![curve(ED25519), curve(ED25519_BY_NAME)],
            ),
            _ => return Err(Pkcs11Error::Mechanism { needed: "a key pair generation for this algorithm" }),
        };
        Ok(Self { mechanism, mechanism_name, kind, parameters })
    }

    /// Makes the pair; the strictest template that the token takes wins. A refused template makes nothing.
    pub(super) fn generate(
        &self,
        session: &Session,
        label: &[u8],
        id: &[u8],
    ) -> Result<(ObjectHandle, ObjectHandle), Pkcs11Error> {
        let mut refusal = None;
        for strictness in Strictness::ALL {
            for parameters in &self.parameters {
                let (public, private) = self.templates(parameters, label, id, strictness);
                match session.generate_key_pair(&self.mechanism, &public, &private).map_err(CallError::from) {
                    Ok(pair) => return Ok(pair),
                    Err(call) if call.is_template_refusal() => refusal = Some(call),
                    Err(call) => return Err(Pkcs11Error::GenerationUnknown(call)),
                }
            }
        }
        Err(refusal.map_or(Pkcs11Error::Mechanism { needed: self.mechanism_name }, Pkcs11Error::Call))
    }

    fn templates(
        &self,
        parameters: &[Attribute],
        label: &[u8],
        id: &[u8],
        strictness: Strictness,
    ) -> (Vec<Attribute>, Vec<Attribute>) {
        let named = || [Attribute::Token(true), Attribute::Label(label.to_vec()), Attribute::Id(id.to_vec())];
        let mut public = vec![Attribute::KeyType(self.kind), Attribute::Private(false), Attribute::Verify(true)];
        public.extend(named());
        public.extend(parameters.iter().cloned());

        let mut private = vec![
            Attribute::KeyType(self.kind),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        private.extend(named());
        if strictness >= Strictness::SignOnly {
            private.extend([Attribute::Decrypt(false), Attribute::Unwrap(false), Attribute::Derive(false)]);
        }
        if strictness >= Strictness::Frozen {
            private.extend([Attribute::Modifiable(false), Attribute::Copyable(false)]);
            public.push(Attribute::Modifiable(false));
        }
        if strictness >= Strictness::Everything {
            private.push(Attribute::WrapWithTrusted(true));
        }
        (public, private)
    }
}

/// How much is asked of a token beyond what every one knows. What it does not take is still read back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strictness {
    Least,
    SignOnly,
    Frozen,
    Everything,
}

impl Strictness {
    const ALL: [Self; 4] = [Self::Everything, Self::Frozen, Self::SignOnly, Self::Least];
}

type Parts = (Mechanism<'static>, &'static str, KeyType, Vec<Vec<Attribute>>);

fn rsa(bits: Ulong) -> Parts {
    let parameters = vec![Attribute::ModulusBits(bits), Attribute::PublicExponent(RSA_EXPONENT.to_vec())];
    (Mechanism::RsaPkcsKeyPairGen, "CKM_RSA_PKCS_KEY_PAIR_GEN", KeyType::RSA, vec![parameters])
}
