//! Whether a signer signs a request, and what it then writes.

use core::fmt;

use const_oid::ObjectIdentifier;
use time::Duration;

use super::address::NodeAddresses;
use super::duration::{DurationError, REQUESTED_MIN, SIGNING_DURATION_DEFAULT, requested_duration};
use super::signer_name::SignerName;
use super::spec::{CertificateSigningRequestSpec, Requestor};
use super::status::Condition;
use super::strict::{ApprovedByAddress, StrictRefusal, StrictRules};
use super::upstream::{UpstreamRefusal, check, check_subject_restriction, signer_validation_failure};
use super::usage::Usages;
use super::violation::Violations;
use crate::verify::SubjectPublicKey;
use crate::{AuthorityId, PresentedNames, Subject, SubjectAltName};

/// One request, as a signer sees it: who is asked, for what, by whom, under which names.
#[derive(Clone, Debug)]
pub struct SigningRequest<'a> {
    pub(super) signer: SignerName,
    pub(super) usages: Usages,
    pub(super) expiration_seconds: Option<i32>,
    pub(super) requestor: Option<Requestor<'a>>,
    pub(super) names: &'a PresentedNames,
    pub(super) addresses: Option<&'a NodeAddresses>,
    key: Option<AuthorityId>,
}

impl<'a> SigningRequest<'a> {
    /// A request from its parts, by an unknown requestor.
    #[must_use]
    pub const fn new(signer: SignerName, usages: Usages, names: &'a PresentedNames) -> Self {
        Self { signer, usages, expiration_seconds: None, requestor: None, names, addresses: None, key: None }
    }

    /// The request of an object of the API, whose `spec.request` presents these names.
    ///
    /// # Errors
    /// When the signer name or the usages are none.
    pub fn of(spec: &'a CertificateSigningRequestSpec, names: &'a PresentedNames) -> Result<Self, Violations> {
        let usages = Usages::parse(spec.usages.iter().map(String::as_str));
        let signer = spec.signer_name.parse::<SignerName>();
        let (usages, signer) = match (usages, signer) {
            (Ok(usages), Ok(signer)) => (usages, signer),
            (usages, signer) => return Err(Violations::of_both(usages.err(), signer.err())),
        };
        let request = Self::new(signer, usages, names).lasting(spec.expiration_seconds);
        Ok(Self { requestor: spec.requestor(), ..request })
    }

    /// With a life asked for, in seconds.
    #[must_use]
    pub const fn lasting(mut self, expiration_seconds: Option<i32>) -> Self {
        self.expiration_seconds = expiration_seconds;
        self
    }

    /// By this user.
    #[must_use]
    pub const fn by(mut self, requestor: Requestor<'a>) -> Self {
        self.requestor = Some(requestor);
        self
    }

    /// For this key: what is granted says so, and serves no request of another key.
    #[must_use]
    pub fn for_key(mut self, key: &SubjectPublicKey<'_>) -> Self {
        self.key = Some(AuthorityId::of(key));
        self
    }

    /// With what is known of the node's addresses. Only `kubernetes.io/kubelet-serving` looks at it.
    #[must_use]
    pub const fn with_addresses(mut self, addresses: &'a NodeAddresses) -> Self {
        self.addresses = Some(addresses);
        self
    }
}

/// What one signer signs, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerPolicy {
    signer: SignerName,
    signing_duration: Duration,
    strict: StrictRules,
}

impl SignerPolicy {
    /// The policy of one of the four signers of kube-controller-manager, with every strict rule, and certificates of at
    /// most 8760 hours (the default of `--cluster-signing-duration`).
    ///
    /// # Errors
    /// [`UpstreamRefusal::UnrecognizedSigner`] for any other signer: nobody has said what it may sign.
    pub fn new(signer: SignerName) -> Result<Self, UpstreamRefusal> {
        match signer {
            SignerName::Other(_) => Err(UpstreamRefusal::UnrecognizedSigner(signer)),
            signer => Ok(Self { signer, signing_duration: SIGNING_DURATION_DEFAULT, strict: StrictRules::ALL }),
        }
    }

    /// With another limit of a certificate's life.
    ///
    /// # Errors
    /// Below ten minutes, which is the least that can be asked for.
    pub fn with_signing_duration(mut self, signing_duration: Duration) -> Result<Self, DurationError> {
        if signing_duration < REQUESTED_MIN {
            return Err(DurationError::SigningDuration(signing_duration));
        }
        self.signing_duration = signing_duration;
        Ok(self)
    }

    /// With these strict rules. What turning one off risks stands at its field.
    #[must_use]
    pub const fn with_rules(mut self, strict: StrictRules) -> Self {
        self.strict = strict;
        self
    }

    /// With the rules about the requestor, whatever the others are.
    pub(super) const fn with_own_requestor(mut self) -> Self {
        self.strict.requestor = true;
        self
    }

    /// Whose policy this is.
    #[must_use]
    pub const fn signer(&self) -> &SignerName {
        &self.signer
    }

    /// Decides: first as upstream does, admission and then signer, then by the strict rules.
    ///
    /// That the request is approved is not decided here;
    /// [`CertificateSigningRequestStatus`](super::CertificateSigningRequestStatus) knows it.
    ///
    /// # Errors
    /// [`Refused`], by the first rule that is broken.
    pub fn evaluate(&self, request: &SigningRequest<'_>) -> Result<Granted, Refused> {
        if request.signer != self.signer {
            return Err(Refused::OtherSigner(request.signer.clone()));
        }
        check_subject_restriction(&request.signer, request.names)
            .or_else(|refusal| if self.strict.system_masters { Err(refusal) } else { Ok(()) })
            .and_then(|()| check(&request.signer, request.names, &request.usages))
            .map_err(Refused::Upstream)?;
        let examined = self.strict.examine(request).map_err(Refused::Strict)?;
        let PresentedNames { common_name, organizations, .. } = request.names.clone();
        Ok(Granted {
            signer: self.signer.clone(),
            subject: Subject::from_parts(common_name, organizations),
            subject_alt_names: examined.subject_alt_names,
            key_usage_bits: request.usages.key_usage_bits(),
            extended_key_usages: request.usages.extended_key_usages(),
            ttl: requested_duration(request.expiration_seconds, self.signing_duration),
            approved_by_address: examined.approved_by_address,
            key: request.key,
        })
    }
}

/// What a signer may write into one certificate. Only [`SignerPolicy::evaluate`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Granted {
    signer: SignerName,
    subject: Subject,
    subject_alt_names: Vec<SubjectAltName>,
    key_usage_bits: u16,
    extended_key_usages: Vec<ObjectIdentifier>,
    ttl: Duration,
    approved_by_address: Option<ApprovedByAddress>,
    key: Option<AuthorityId>,
}

impl Granted {
    /// For which signer.
    #[must_use]
    pub const fn signer(&self) -> &SignerName {
        &self.signer
    }

    /// Common name and organizations.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The alternative names, each once, DNS names before addresses, else in the order of the request.
    #[must_use]
    pub fn subject_alt_names(&self) -> &[SubjectAltName] {
        &self.subject_alt_names
    }

    /// The key usage: bit `i` is the named bit `i` of RFC 5280 4.2.1.3. Zero: no extension.
    ///
    /// What the key cannot do is still in it: keyEncipherment is for RSA keys only (RFC 8813 3, RFC 8410 5).
    #[must_use]
    pub const fn key_usage_bits(&self) -> u16 {
        self.key_usage_bits
    }

    /// The purposes of the extended key usage, in upstream's order. Empty: no extension.
    #[must_use]
    pub fn extended_key_usages(&self) -> &[ObjectIdentifier] {
        &self.extended_key_usages
    }

    /// How long the certificate lives; [`SigningTimes::validity`](super::SigningTimes::validity) makes two times of it.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether the names of a server were proven, which only a kubelet's can be; `None` for what is no server.
    #[must_use]
    pub const fn approved_by_address(&self) -> Option<ApprovedByAddress> {
        self.approved_by_address
    }

    /// Which key it is for, where the request was [`for_key`](SigningRequest::for_key).
    #[must_use]
    pub const fn key(&self) -> Option<AuthorityId> {
        self.key
    }
}

/// Why a signer does not sign. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The request is for another signer, and left to that one.
    OtherSigner(SignerName),
    /// A rule of kube-apiserver or kube-controller-manager.
    Upstream(UpstreamRefusal),
    /// A rule of this crate.
    Strict(StrictRefusal),
}

/// Whose rule a refusal is by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalFamily {
    /// Nobody's: the request is for somebody else.
    Signer,
    /// kube-apiserver's or kube-controller-manager's.
    Upstream,
    /// This crate's.
    Strict,
}

impl Refused {
    /// Whose rule it is.
    #[must_use]
    pub const fn family(&self) -> RefusalFamily {
        match self {
            Self::OtherSigner(_) => RefusalFamily::Signer,
            Self::Upstream(_) => RefusalFamily::Upstream,
            Self::Strict(_) => RefusalFamily::Strict,
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OtherSigner(_) => "signer.other",
            Self::Upstream(refusal) => refusal.code(),
            Self::Strict(refusal) => refusal.rule().code(),
        }
    }

    /// The condition to add to the request: `Failed`, for the reason `SignerValidationFailure`, as upstream's signer
    /// does. `None` when the request is to be left alone.
    #[must_use]
    pub fn condition(&self) -> Option<Condition> {
        match self {
            Self::OtherSigner(_) => None,
            Self::Upstream(refusal) => refusal.condition(),
            Self::Strict(refusal) => Some(signer_validation_failure(refusal)),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSigner(signer) => write!(f, "the request is for the signer {signer}"),
            Self::Upstream(refusal) => write!(f, "{refusal}"),
            Self::Strict(refusal) => write!(f, "{refusal}"),
        }
    }
}

impl core::error::Error for Refused {}
