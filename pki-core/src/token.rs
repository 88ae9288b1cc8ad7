//! Service-account tokens: the leaves of the service-account keys.
//!
//! A token is a JWT (RFC 7519) in compact form, signed through [`Signer`] and verified through the same
//! algorithms as certificates. The key set is the bundle: which public keys are accepted.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use der::asn1::UintRef;
use der::{Decode as _, Encode as _, Sequence};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use time::UtcDateTime;

use crate::signer::{SignError, Signer, sign_to_vec};
use crate::verify::{SubjectPublicKey, Verifiers};
use crate::{AuthorityId, BundleHash, DecodeError, Fingerprint, Limits, SignatureAlgorithm};

/// The public keys from which tokens are accepted.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    keys: Vec<(AuthorityId, SubjectPublicKeyInfoDer<'static>)>,
    hash: BundleHash,
}

impl TokenKeys {
    /// A set of these keys; repetitions are dropped.
    ///
    /// # Errors
    /// When one of them is not of an accepted kind.
    pub fn new(keys: impl IntoIterator<Item = SubjectPublicKeyInfoDer<'static>>) -> Result<Self, DecodeError> {
        let mut unique: Vec<(AuthorityId, SubjectPublicKeyInfoDer<'static>)> = Vec::new();
        for key in keys {
            let id = AuthorityId::of(&SubjectPublicKey::parse(&key)?);
            if !unique.iter().any(|(known, _)| *known == id) {
                unique.push((id, key));
            }
        }
        let hash = BundleHash::of(unique.iter().map(|(_, key)| Fingerprint::of(key)));
        Ok(Self { keys: unique, hash })
    }

    /// Which keys these are.
    #[must_use]
    pub const fn hash(&self) -> BundleHash {
        self.hash
    }

    /// Accepts a token at `now`: signed by a key of the set, by the issuer, for the audience, not expired.
    ///
    /// # Errors
    /// [`TokenError`]; nothing of a refused token is to be believed.
    pub fn verify(
        &self,
        token: &str,
        issuer: &str,
        audience: &str,
        limits: &Limits,
        verifiers: Verifiers<'_>,
        now: UtcDateTime,
    ) -> Result<VerifiedToken, TokenError> {
        if token.len() > limits.token_len_max {
            return Err(TokenError::TooLong { found: token.len(), max: limits.token_len_max });
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header: serde_json::Value = decode_json(header)?;
        // Extensions that must be understood, and are not (RFC 7515 4.1.11).
        if header.get("crit").is_some() {
            return Err(TokenError::Malformed);
        }
        let text = |value: &serde_json::Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
        let key_id = text(&header, "kid").ok_or(TokenError::Malformed)?;
        let (id, der) = self.keys.iter().find(|(id, _)| id.to_string() == key_id).ok_or(TokenError::UnknownKey)?;
        let key = SubjectPublicKey::parse(der).map_err(|_| TokenError::UnknownKey)?;
        // The algorithm is the key's. What the header claims must agree, and never decides.
        let algorithm = key.algorithm().certificate_signature();
        if text(&header, "alg").as_deref() != algorithm_name(algorithm) {
            return Err(TokenError::Algorithm);
        }
        let signature = BASE64.decode(signature).map_err(|_| TokenError::Malformed)?;
        let signature = to_der_signature(algorithm, &signature).ok_or(TokenError::Malformed)?;
        verifiers.verify(&key, algorithm, signed.as_bytes(), &signature).map_err(|_| TokenError::BadSignature)?;
        let claims: serde_json::Value = decode_json(claims)?;
        if text(&claims, "iss").as_deref() != Some(issuer) {
            return Err(TokenError::Issuer);
        }
        // One audience or a list of them (RFC 7519 4.1.3).
        let audiences =
            claims.get("aud").map(|aud| aud.as_array().map_or_else(|| core::slice::from_ref(aud), Vec::as_slice));
        if !audiences.unwrap_or_default().iter().any(|found| found.as_str() == Some(audience)) {
            return Err(TokenError::Audience);
        }
        let number = |name: &str| claims.get(name).and_then(serde_json::Value::as_i64).ok_or(TokenError::Malformed);
        let (not_before, expiry) = (number("nbf")?, number("exp")?);
        if !(not_before..expiry).contains(&now.unix_timestamp()) {
            return Err(TokenError::NotValidNow);
        }
        let subject = text(&claims, "sub").ok_or(TokenError::Malformed)?;
        Ok(VerifiedToken { subject, key: *id })
    }
}

/// A token that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken {
    subject: String,
    key: AuthorityId,
}

impl VerifiedToken {
    /// The service account, as `system:serviceaccount:<namespace>:<name>`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The key that signed it.
    #[must_use]
    pub const fn key(&self) -> AuthorityId {
        self.key
    }
}

/// Signs a token for `subject` to show to `audience`, valid from `not_before` until just before `expiry`, and
/// checks the fresh signature.
///
/// # Errors
/// When the signer fails or its signature does not verify, or its algorithm has no name in JOSE.
pub fn issue_token(
    signer: &dyn Signer,
    verifiers: Verifiers<'_>,
    issuer: &str,
    audience: &str,
    subject: &str,
    not_before: UtcDateTime,
    expiry: UtcDateTime,
) -> Result<String, TokenError> {
    let algorithm = signer.algorithm();
    let name = algorithm_name(algorithm).ok_or(TokenError::Algorithm)?;
    let key = SubjectPublicKey::parse(signer.public_key()).map_err(|_| TokenError::UnknownKey)?;
    let header = serde_json::json!({ "alg": name, "kid": AuthorityId::of(&key).to_string(), "typ": "JWT" });
    let claims = serde_json::json!({
        "iss": issuer,
        "sub": subject,
        "aud": [audience],
        "nbf": not_before.unix_timestamp(),
        "iat": not_before.unix_timestamp(),
        "exp": expiry.unix_timestamp(),
    });
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signature = sign_to_vec(signer, signed.as_bytes()).map_err(TokenError::Sign)?;
    verifiers.verify(&key, algorithm, signed.as_bytes(), &signature).map_err(|_| TokenError::BadSignature)?;
    let signature = from_der_signature(algorithm, &signature).ok_or(TokenError::Malformed)?;
    Ok(format!("{signed}.{}", BASE64.encode(signature)))
}

fn decode_json(part: &str) -> Result<serde_json::Value, TokenError> {
    let octets = BASE64.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&octets).map_err(|_| TokenError::Malformed)
}

/// The JOSE name (RFC 7518 3.1, RFC 8037 3.1).
const fn algorithm_name(algorithm: SignatureAlgorithm) -> Option<&'static str> {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => Some("ES256"),
        SignatureAlgorithm::EcdsaP384Sha384 => Some("ES384"),
        SignatureAlgorithm::RsaPkcs1Sha256 => Some("RS256"),
        SignatureAlgorithm::Ed25519 => Some("EdDSA"),
        SignatureAlgorithm::RsaPssSha256 => None,
    }
}

/// Octets of r and of s where JOSE writes them side by side (RFC 7518 3.4).
const fn scalar_len(algorithm: SignatureAlgorithm) -> Option<usize> {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => Some(32),
        SignatureAlgorithm::EcdsaP384Sha384 => Some(48),
        _ => None,
    }
}

/// `Ecdsa-Sig-Value` (RFC 3279 2.2.3).
#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

fn to_der_signature(algorithm: SignatureAlgorithm, signature: &[u8]) -> Option<Vec<u8>> {
    let Some(len) = scalar_len(algorithm) else { return Some(signature.to_vec()) };
    if signature.len() != 2 * len {
        return None;
    }
    let (r, s) = signature.split_at_checked(len)?;
    EcdsaSigValue { r: UintRef::new(r).ok()?, s: UintRef::new(s).ok()? }.to_der().ok()
}

fn from_der_signature(algorithm: SignatureAlgorithm, signature: &[u8]) -> Option<Vec<u8>> {
    let Some(len) = scalar_len(algorithm) else { return Some(signature.to_vec()) };
    let value = EcdsaSigValue::from_der(signature).ok()?;
    let mut out = Vec::with_capacity(2 * len);
    for scalar in [value.r.as_bytes(), value.s.as_bytes()] {
        out.resize(out.len() + len.checked_sub(scalar.len())?, 0);
        out.extend_from_slice(scalar);
    }
    Some(out)
}

/// Why a token was not accepted, or not issued. It never holds the token.
#[derive(Debug)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than [`Limits::token_len_max`], unread.
    TooLong {
        /// Octets received.
        found: usize,
        /// Octets allowed.
        max: usize,
    },
    /// Not a JWT in compact form with the claims of a service account.
    Malformed,
    /// The `kid` is none of the accepted keys.
    UnknownKey,
    /// The header's algorithm is not the key's.
    Algorithm,
    /// The signature is not the key's.
    BadSignature,
    /// Another issuer's token.
    Issuer,
    /// A token for somebody else.
    Audience,
    /// Expired, or not valid yet.
    NotValidNow,
    /// The signer failed.
    Sign(SignError),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found, max } => write!(f, "the token has {found} octets, limit {max}"),
            Self::Malformed => f.write_str("not a service-account token in compact form (RFC 7519)"),
            Self::UnknownKey => f.write_str("the token's key is not an accepted one"),
            Self::Algorithm => f.write_str("the token's algorithm is not its key's"),
            Self::BadSignature => f.write_str("the token's signature does not verify"),
            Self::Issuer => f.write_str("the token is another issuer's"),
            Self::Audience => f.write_str("the token is for another audience"),
            Self::NotValidNow => f.write_str("the token has expired or is not valid yet"),
            Self::Sign(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for TokenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Sign(error) => Some(error),
            _ => None,
        }
    }
}
