//! What makes a path fit for a network that others reach.

use pki_core::Path;

use crate::channel::Channel;

/// What to do about a path that does not protect itself, in the words of the flags and fields that do it.
pub(super) const fn of(channel: Channel) -> Option<&'static str> {
    Some(match channel {
        Channel::Tls(Path::ApiKubelet) => {
            "set kube-apiserver `--kubelet-certificate-authority`, `--kubelet-client-certificate` and \
             `--kubelet-client-key`, and authentication and authorization of the kubelet; where that cannot be, a tunnel: \
             Konnectivity, formerly SSH"
        }
        Channel::ApiProxyHttp | Channel::Tls(Path::ApiProxyHttps) => {
            "send it through a tunnel (Konnectivity, formerly SSH), or do not use the proxy verb: `https:` encrypts and \
             verifies nothing"
        }
        Channel::SshTunnel => "replace SSH tunnels by Konnectivity",
        Channel::LocalInsecurePort | Channel::Tls(Path::KcmApi | Path::SchedApi) => {
            "close the insecure port and call the secure port with a kubeconfig, with authentication and authorization"
        }
        Channel::Tls(Path::NodeApi) => {
            "give the kubelet the root certificate and a client certificate, by TLS bootstrapping"
        }
        Channel::Tls(Path::NodeBootstrap) => {
            "give the node the root certificate or its hash with the token, and keep the token from pods"
        }
        Channel::Tls(Path::PodApi) => "let service accounts bring the root certificate and a token into each pod",
        Channel::Tls(Path::KonnAgent) => "give agents `--ca-cert`, and let the server authenticate them",
        Channel::Tls(Path::KonnKas) => "reach the Konnectivity server through a Unix socket or mutual TLS",
        Channel::Tls(Path::ApiEtcd | Path::EtcdHealth | Path::EtcdGateway) => {
            "serve etcd's clients by TLS with `--client-cert-auth` and `--trusted-ca-file`, and set `--etcd-cafile`"
        }
        Channel::Tls(Path::EtcdPeer) => {
            "let peers speak TLS with `--peer-client-cert-auth` and `--peer-trusted-ca-file`"
        }
        Channel::Tls(Path::FrontProxy) => {
            "set `spec.caBundle` of the APIService, and an authority of its own in `--requestheader-client-ca-file`"
        }
        Channel::NodeNode => "encrypt between nodes in the network: WireGuard, IPsec, or what the infrastructure gives",
        Channel::PodPodAcrossNodes | Channel::PodPodOnNode => {
            "a service mesh or TLS of the application encrypts and authenticates, on one node too; a NetworkPolicy \
             restricts who talks"
        }
        _ => return None,
    })
}
