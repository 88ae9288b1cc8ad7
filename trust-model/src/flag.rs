//! Flags and fields by the names that their components give them.

use pki_core::TrustSlot;

/// The flag, field or file that fills a slot.
pub(crate) const fn of_slot(slot: TrustSlot) -> &'static str {
    match slot {
        TrustSlot::ApiServerClientCa => "--client-ca-file",
        TrustSlot::ApiServerRequestheaderCa => "--requestheader-client-ca-file",
        TrustSlot::ApiServerKubeletCa => "--kubelet-certificate-authority",
        TrustSlot::ApiServerEtcdCa => "--etcd-cafile",
        TrustSlot::ApiServerPeerCa => "--peer-ca-file",
        TrustSlot::ApiServerEgressCa => "EgressSelectorConfiguration caBundle",
        TrustSlot::ApiServiceCaBundle | TrustSlot::WebhookCaBundle => "caBundle",
        TrustSlot::ServiceAccountKeys => "--service-account-key-file",
        TrustSlot::EtcdTrustedCa => "--trusted-ca-file",
        TrustSlot::EtcdPeerTrustedCa => "--peer-trusted-ca-file",
        TrustSlot::EtcdProbeCa => "--cacert",
        TrustSlot::ControllerManagerKubeconfigCa
        | TrustSlot::SchedulerKubeconfigCa
        | TrustSlot::KubeletKubeconfigCa
        | TrustSlot::AdminKubeconfigCa => "kubeconfig certificate-authority",
        TrustSlot::KonnectivityServerAgentCa => "--cluster-ca-cert",
        TrustSlot::KonnectivityServerClientCa => "--server-ca-cert",
        TrustSlot::AggregatedRequestheaderCa => "extension-apiserver-authentication requestheader-client-ca-file",
        TrustSlot::KubeletClientCa => "authentication.x509.clientCAFile",
        TrustSlot::KonnectivityAgentCa => "--ca-cert",
        TrustSlot::PodRootCa => "kube-root-ca.crt",
        _ => "trust",
    }
}
