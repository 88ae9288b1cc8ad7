//! Issuing for the signers of `certificates.k8s.io`.

use time::UtcDateTime;

use super::{
    Decided, IssueError, Issuer, LeafUsages, NameDifference, PreparedIssuance, Purpose, check_alt_names, each_once,
};
#[cfg(doc)]
use crate::kubernetes::SigningRequest;
use crate::kubernetes::{Granted, SignerName, SigningTimes};
use crate::name::DecidedSubject;
use crate::request::VerifiedRequest;
use crate::{LeafKind, Serial};

impl Issuer {
    /// Writes and lints what a signer is to sign for a request that its policy has granted.
    ///
    /// The validity is upstream's: five minutes before `now`, as long as was granted, cut at both ends of the
    /// issuer's own. A grant serves the key that it was asked for ([`SigningRequest::for_key`]) and no other. Which bits of the key usage are written depends on what the key can do.
    ///
    /// # Errors
    /// [`IssueError`], with nothing signed: this authority does not issue what the signer signs, the request is not the
    /// one that was granted or expects another extended key usage, the issuer has expired, or the finished octets have a fault.
    pub fn prepare_for_signer(
        &self,
        granted: Granted,
        request: &VerifiedRequest<'_>,
        serial: Serial,
        now: UtcDateTime,
    ) -> Result<PreparedIssuance<'_>, IssueError> {
        self.profile(leaf_of(granted.signer()))?;
        if granted.key() != Some(request.key_id()) {
            return Err(IssueError::OtherRequest);
        }
        if request.subject() != *granted.subject() {
            let (expected, found) = (granted.subject().clone(), request.subject().to_subject());
            return Err(IssueError::Subject(Box::new(NameDifference { expected, found })));
        }
        let subject_alt_names = each_once(granted.subject_alt_names());
        check_alt_names(request, &subject_alt_names)?;
        let purpose = Purpose::Signer(granted.signer().clone());
        let allowed = granted.extended_key_usages();
        if let Some(found) = request.extended_key_usage().iter().find(|usage| !allowed.contains(&usage.oid())) {
            return Err(IssueError::ExtendedKeyUsage { purpose, found: *found });
        }
        let validity = SigningTimes::UPSTREAM
            .validity(granted.ttl(), now, self.certificate.validity())
            .map_err(IssueError::SigningTimes)?;
        let usages = LeafUsages::new(granted.key_usage_bits(), granted.extended_key_usages().to_vec());
        let decided = Decided {
            purpose,
            subject: DecidedSubject::Granted(granted.subject().clone()),
            subject_alt_names,
            usages: &usages,
            validity,
        };
        self.write(decided, request, serial)
    }
}

/// Which leaf stands for a signer when it is asked whether an authority is the one to sign: whoever trusts the
/// authority for that leaf trusts what the signer signs.
const fn leaf_of(signer: &SignerName) -> LeafKind {
    match signer {
        SignerName::KubeApiServerClientKubelet => LeafKind::KubeletClient,
        SignerName::KubeletServing => LeafKind::KubeletServing,
        // The API server takes these as clients of the Kubernetes API, as it takes its administrator.
        SignerName::KubeApiServerClient | SignerName::LegacyUnknown | SignerName::Other(_) => LeafKind::Admin,
    }
}
