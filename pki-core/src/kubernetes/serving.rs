//! An approver for `kubernetes.io/kubelet-serving`, which kube-controller-manager never approves by itself: it cannot
//! prove addresses (kubernetes/kubernetes#73356).

use super::address::NodeAddresses;
use super::decision::{Granted, Refused, SignerPolicy, SigningRequest};
use super::signer_name::SignerName;
use super::strict::StrictRule;

/// What to do about a request for a serving certificate. Three ways of not approving are kept apart, as GKE's approver
/// does (kubernetes/cloud-provider-gcp, `node_csr_approver.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServingVerdict {
    /// Approve: the node asks for itself, and each name is among its known addresses.
    Approve(Box<Granted>),
    /// Deny for good: no later evidence can make this request right.
    Deny(Refused),
    /// Ask again later: nothing is known of the node's addresses yet.
    Retry,
    /// Leave it to others: another signer, or a requestor that is no node.
    Ignore,
}

/// Judges a request by the rules of a signer's policy, with evidence about the node's addresses where there is some.
///
/// Never approves without evidence, nor what a node did not ask for itself, even where the policy turns that rule off.
#[must_use]
pub fn judge_kubelet_serving(policy: &SignerPolicy, request: &SigningRequest<'_>) -> ServingVerdict {
    let is_node = request.requestor.is_some_and(|requestor| requestor.is_node());
    if request.signer != SignerName::KubeletServing || !is_node {
        return ServingVerdict::Ignore;
    }
    let knows_nothing = request.addresses.is_none_or(NodeAddresses::is_empty);
    match policy.clone().with_own_requestor().evaluate(request) {
        Err(Refused::OtherSigner(_)) => ServingVerdict::Ignore,
        Err(Refused::Strict(refusal)) if refusal.rule() == StrictRule::KnownAddress && knows_nothing => {
            ServingVerdict::Retry
        }
        Err(refused) => ServingVerdict::Deny(refused),
        Ok(_) if knows_nothing => ServingVerdict::Retry,
        Ok(granted) => ServingVerdict::Approve(Box::new(granted)),
    }
}
