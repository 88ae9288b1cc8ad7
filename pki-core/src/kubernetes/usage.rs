//! The usages of `spec.usages`: upstream's 23 spellings and what each becomes in a certificate.

use core::fmt;
use core::str::FromStr;
use std::collections::{BTreeSet, HashSet};

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ANY_EXTENDED_KEY_USAGE, ID_KP_CLIENT_AUTH, ID_KP_CODE_SIGNING, ID_KP_EMAIL_PROTECTION, ID_KP_OCSP_SIGNING,
    ID_KP_SERVER_AUTH, ID_KP_TIME_STAMPING,
};

use super::violation::{Gathered, Violation, Violations};

/// id-kp-ipsecEndSystem (RFC 2459 4.2.1.13; later made obsolete by RFC 4945).
const ID_KP_IPSEC_END_SYSTEM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.5");
/// id-kp-ipsecTunnel (RFC 2459 4.2.1.13).
const ID_KP_IPSEC_TUNNEL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.6");
/// id-kp-ipsecUser (RFC 2459 4.2.1.13).
const ID_KP_IPSEC_USER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.7");
/// Microsoft server gated cryptography, as Go's crypto/x509 has it.
const MICROSOFT_SGC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.10.3.3");
/// Netscape server gated cryptography, as Go's crypto/x509 has it.
const NETSCAPE_SGC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113730.4.1");

/// What a usage becomes in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A named bit of the key usage, counted as in RFC 5280 4.2.1.3.
    KeyUsage(u8),
    /// A purpose of the extended key usage (RFC 5280 4.2.1.12).
    ExtendedKeyUsage(ObjectIdentifier),
}

macro_rules! usages {
    ($($variant:ident $text:literal $meaning:expr, $doc:literal;)*) => {
        /// A usage as `certificates.k8s.io/v1` spells it (Kubernetes, `KeyUsage`).
        ///
        /// Two pairs mean the same: `signing` and `digital signature` are one bit, `s/mime` and `email protection`
        /// one purpose. They stay two usages all the same: upstream's signer rules compare the spelling.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Usage {
            $(#[doc = $doc] $variant,)*
        }

        impl Usage {
            /// Every usage. Purposes stand in the order of Go's `x509.ExtKeyUsage`, in which upstream sorts them.
            pub const ALL: [Self; 23] = [$(Self::$variant,)*];

            /// The spelling in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// What it becomes in a certificate (Kubernetes, `authority/policies.go`).
            #[must_use]
            pub const fn meaning(self) -> Meaning {
                use Meaning::{ExtendedKeyUsage, KeyUsage};
                match self {
                    $(Self::$variant => $meaning,)*
                }
            }
        }
    };
}

usages! {
    Signing "signing" KeyUsage(0), "digitalSignature, by an older name.";
    DigitalSignature "digital signature" KeyUsage(0), "digitalSignature.";
    ContentCommitment "content commitment" KeyUsage(1), "nonRepudiation.";
    KeyEncipherment "key encipherment" KeyUsage(2), "keyEncipherment.";
    DataEncipherment "data encipherment" KeyUsage(3), "dataEncipherment.";
    KeyAgreement "key agreement" KeyUsage(4), "keyAgreement.";
    CertSign "cert sign" KeyUsage(5), "keyCertSign.";
    CrlSign "crl sign" KeyUsage(6), "cRLSign.";
    EncipherOnly "encipher only" KeyUsage(7), "encipherOnly.";
    DecipherOnly "decipher only" KeyUsage(8), "decipherOnly.";
    Any "any" ExtendedKeyUsage(ANY_EXTENDED_KEY_USAGE), "anyExtendedKeyUsage.";
    ServerAuth "server auth" ExtendedKeyUsage(ID_KP_SERVER_AUTH), "id-kp-serverAuth.";
    ClientAuth "client auth" ExtendedKeyUsage(ID_KP_CLIENT_AUTH), "id-kp-clientAuth.";
    CodeSigning "code signing" ExtendedKeyUsage(ID_KP_CODE_SIGNING), "id-kp-codeSigning.";
    EmailProtection "email protection" ExtendedKeyUsage(ID_KP_EMAIL_PROTECTION), "id-kp-emailProtection.";
    Smime "s/mime" ExtendedKeyUsage(ID_KP_EMAIL_PROTECTION), "id-kp-emailProtection, by another name.";
    IpsecEndSystem "ipsec end system" ExtendedKeyUsage(ID_KP_IPSEC_END_SYSTEM), "id-kp-ipsecEndSystem.";
    IpsecTunnel "ipsec tunnel" ExtendedKeyUsage(ID_KP_IPSEC_TUNNEL), "id-kp-ipsecTunnel.";
    IpsecUser "ipsec user" ExtendedKeyUsage(ID_KP_IPSEC_USER), "id-kp-ipsecUser.";
    Timestamping "timestamping" ExtendedKeyUsage(ID_KP_TIME_STAMPING), "id-kp-timeStamping.";
    OcspSigning "ocsp signing" ExtendedKeyUsage(ID_KP_OCSP_SIGNING), "id-kp-OCSPSigning.";
    MicrosoftSgc "microsoft sgc" ExtendedKeyUsage(MICROSOFT_SGC), "Microsoft server gated cryptography.";
    NetscapeSgc "netscape sgc" ExtendedKeyUsage(NETSCAPE_SGC), "Netscape server gated cryptography.";
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Usage {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        Self::find(text).ok_or_else(|| unsupported("spec.usages", text))
    }
}

impl Usage {
    fn find(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|usage| usage.as_str() == text)
    }
}

fn unsupported(field: &str, text: &str) -> Violation {
    Violation::unsupported(field, text, &Usage::ALL.map(Usage::as_str))
}

/// The usages of one request: at least one, each once, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usages(Vec<Usage>);

impl Usages {
    /// Reads what stands in `spec.usages`.
    ///
    /// # Errors
    /// Every rule of the v1 API that is broken (Kubernetes, `validation.go`): there is none, one is unknown, one
    /// stands twice.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Violations> {
        const FIELD: &str = "spec.usages";
        let texts: Vec<&str> = texts.into_iter().collect();
        let mut gathered = Gathered::default();
        if texts.is_empty() {
            gathered.push(Violation::required(FIELD));
        }
        let mut usages = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match Usage::find(text) {
                Some(usage) => usages.push(usage),
                None if gathered.is_full() => break,
                None => gathered.push(unsupported(&format!("{FIELD}[{index}]"), text)),
            }
        }
        let mut seen = HashSet::new();
        for (index, text) in texts.iter().enumerate() {
            if gathered.is_full() {
                break;
            }
            if !seen.insert(*text) {
                gathered.push(Violation::duplicate(format!("{FIELD}[{index}]"), text));
            }
        }
        gathered.finish()?;
        Ok(Self(usages))
    }

    /// The usages, in the order of the request.
    pub fn iter(&self) -> impl Iterator<Item = Usage> + '_ {
        self.0.iter().copied()
    }

    /// Whether the usage is among them, by its spelling.
    #[must_use]
    pub fn contains(&self, usage: Usage) -> bool {
        self.0.contains(&usage)
    }

    /// Whether these usages, in any order, are all of them.
    pub(super) fn are_exactly(&self, usages: &[Usage]) -> bool {
        self.0.len() == usages.len() && usages.iter().all(|usage| self.contains(*usage))
    }

    /// The key usage: bit `i`, counted from the least significant, is the named bit `i` of RFC 5280 4.2.1.3.
    /// Zero when no usage sets one; there is no extension then.
    #[must_use]
    pub fn key_usage_bits(&self) -> u16 {
        self.iter().fold(0, |bits, usage| match usage.meaning() {
            Meaning::KeyUsage(bit) => bits | 1 << bit,
            Meaning::ExtendedKeyUsage(_) => bits,
        })
    }

    /// The purposes of the extended key usage, each once, in upstream's order: that of Go's `x509.ExtKeyUsage`.
    #[must_use]
    pub fn extended_key_usages(&self) -> Vec<ObjectIdentifier> {
        let in_order: BTreeSet<Usage> = self.iter().collect();
        let purpose = |usage: Usage| match usage.meaning() {
            Meaning::ExtendedKeyUsage(purpose) => Some(purpose),
            Meaning::KeyUsage(_) => None,
        };
        let mut purposes: Vec<ObjectIdentifier> = in_order.into_iter().filter_map(purpose).collect();
        // The two spellings of one purpose are neighbours.
        purposes.dedup();
        purposes
    }
}

impl fmt::Display for Usages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.iter().map(Usage::as_str).collect();
        f.write_str(&texts.join(", "))
    }
}
