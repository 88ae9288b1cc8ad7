//! kube-controller-manager's approver: it approves kubelets' client certificates, once an authorizer has agreed.
//!
//! The review is data for the embedder to send. Nothing is approved that was not recognised first.

use std::collections::BTreeMap;

use super::decision::SigningRequest;
use super::signer_name::SignerName;
use super::spec::CertificateSigningRequestSpec;
use super::status::{Condition, ConditionType};
use super::upstream::check;
use super::violation::quote;
use crate::PresentedNames;

/// A kind of request that may be approved automatically (Kubernetes, `approver/sarapprove.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recogniser {
    /// A kubelet renews its own client certificate.
    SelfNodeClient,
    /// Somebody asks for a kubelet's client certificate; a bootstrapping kubelet does.
    NodeClient,
}

impl Recogniser {
    /// Both, in the order in which upstream tries them.
    pub const ALL: [Self; 2] = [Self::SelfNodeClient, Self::NodeClient];

    /// The subresource that the requestor must be allowed to create.
    #[must_use]
    pub const fn subresource(self) -> &'static str {
        match self {
            Self::SelfNodeClient => "selfnodeclient",
            Self::NodeClient => "nodeclient",
        }
    }

    /// The message of the approval.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::SelfNodeClient => "Auto approving self kubelet client certificate after SubjectAccessReview.",
            Self::NodeClient => "Auto approving kubelet client certificate after SubjectAccessReview.",
        }
    }

    fn recognises(self, request: &SigningRequest<'_>) -> bool {
        let is_its_own = request.requestor.is_some_and(|user| user.username == request.names.common_name);
        request.signer == SignerName::KubeApiServerClientKubelet
            && (self == Self::NodeClient || is_its_own)
            && check(&request.signer, request.names, &request.usages).is_ok()
    }
}

/// A recognised request, and the question to ask about its requestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// As what it was recognised.
    pub recogniser: Recogniser,
    /// What to ask the authorizer.
    pub spec: SubjectAccessReviewSpec,
}

/// The specification of a SubjectAccessReview (Kubernetes, `authorization.k8s.io/v1`). With the feature `serde` it
/// writes the API's JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
pub struct SubjectAccessReviewSpec {
    /// What the user wants to do.
    pub resource_attributes: ResourceAttributes,
    /// The user's name.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub user: String,
    /// The user's groups.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub groups: Vec<String>,
    /// What else the authenticator knew of the user.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "BTreeMap::is_empty"))]
    pub extra: BTreeMap<String, Vec<String>>,
    /// The user's unique identifier.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub uid: String,
}

/// An action on a resource (Kubernetes, `authorization.k8s.io/v1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ResourceAttributes {
    /// What is done.
    pub verb: &'static str,
    /// The API group.
    pub group: &'static str,
    /// The version of the group.
    pub version: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The part of the resource.
    pub subresource: &'static str,
}

/// As what upstream's approver recognises a request, in the order in which it then asks the authorizer. Empty: it leaves
/// the request alone, as it does with one that already
/// [has a decision](super::CertificateSigningRequestStatus::awaits_approval).
#[must_use]
pub fn recognise(spec: &CertificateSigningRequestSpec, names: &PresentedNames) -> Vec<Review> {
    let Ok(request) = SigningRequest::of(spec, names) else { return Vec::new() };
    let recognised = Recogniser::ALL.into_iter().filter(|recogniser| recogniser.recognises(&request));
    let review = |recogniser: Recogniser| Review {
        recogniser,
        spec: SubjectAccessReviewSpec {
            resource_attributes: ResourceAttributes {
                verb: "create",
                group: "certificates.k8s.io",
                version: "*",
                resource: "certificatesigningrequests",
                subresource: recogniser.subresource(),
            },
            user: spec.username.clone(),
            groups: spec.groups.clone(),
            extra: spec.extra.clone(),
            uid: spec.uid.clone(),
        },
    };
    recognised.map(review).collect()
}

/// What the approver does after the authorizer's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AutoApproval {
    /// Add this condition: `Approved`, for the reason `AutoApproved`.
    Approve(Condition),
    /// Nothing was recognised: leave the request to others.
    Ignore,
    /// Recognised and not allowed: try again later. With upstream's message.
    NotApproved(String),
}

/// Decides about the request named `name` from the authorizer's answers, in the order of [`recognise`]. The first that
/// allows decides, and none after it is asked for.
#[must_use]
pub fn decide(name: &str, answers: impl IntoIterator<Item = (Recogniser, bool)>) -> AutoApproval {
    let mut tried = Vec::new();
    for (recogniser, allowed) in answers {
        if allowed {
            let approved = Condition::new(ConditionType::Approved, "AutoApproved", recogniser.message());
            return AutoApproval::Approve(approved);
        }
        tried.push(recogniser.subresource());
    }
    if tried.is_empty() {
        return AutoApproval::Ignore;
    }
    AutoApproval::NotApproved(format!(
        "recognized csr {} as [{}] but subject access review was not approved",
        quote(name),
        tried.join(" ")
    ))
}
