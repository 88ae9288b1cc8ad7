//! A real etcd judges the certificates and revocation lists that this crate issues for it.

#[cfg(test)]
#[path = "support/authority.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod authority;
#[cfg(test)]
#[path = "support/der.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod der;
#[cfg(test)]
#[path = "support/drafts.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod drafts;
#[cfg(test)]
#[path = "support/etcd.rs"]
mod etcd;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "support/tools.rs"]
mod tools;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pki_core::{
        AuthorityRole, CaCertificate, CaVersion, CrlError, CrlIssuer, CrlNumber, Issuer, KeyAlgorithm, LeafKind,
        Limits, RevocationReason, RevokedCertificate, Validity, issue_crl,
    };

    use crate::authority::{Authority, CA_VALIDITY, NOW, at};
    use crate::drafts::{Draft, ca, key_usage};
    use crate::etcd::{Cluster, MemberFiles, TrustFiles, credentials, replace, trust_file};
    use crate::keys::{VERIFIERS, key};
    use crate::tools::room;

    fn mint(role: AuthorityRole) -> Authority {
        Authority::mint(role, CaVersion::FIRST, KeyAlgorithm::P256)
    }

    #[test]
    fn three_members_agree_by_our_certificates_and_take_clients_of_their_own_ca_only() {
        let room = room("etcd-cluster");
        let [api, peer, cluster] = [AuthorityRole::EtcdApi, AuthorityRole::EtcdPeer, AuthorityRole::Cluster].map(mint);
        let (client_ca, peer_ca) = (trust_file(&room, &api, "api.crt"), trust_file(&room, &peer, "peer.crt"));
        let trust = TrustFiles { client_ca: &client_ca, peer_ca: &peer_ca, client_crl: None };
        let members = [0, 1, 2].map(|index| {
            let server = credentials(&room, &api, LeafKind::EtcdServer, &format!("server-{index}"));
            (server, credentials(&room, &peer, LeafKind::EtcdPeer, &format!("peer-{index}")))
        });
        let files = members.each_ref().map(|(server, peer)| MemberFiles { server, peer: Some(peer) });
        let probe = credentials(&room, &api, LeafKind::EtcdHealthcheckClient, "healthcheck");
        let api_server = credentials(&room, &api, LeafKind::ApiServerEtcdClient, "apiserver");
        let etcd = Cluster::start(&room, &trust, &files);

        let health = etcd.eventually(&probe, &["endpoint", "health"]);
        assert_eq!(health.matches("is healthy").count(), 3, "{health}");
        let members = etcd.eventually(&api_server, &["member", "list"]);
        assert_eq!(members.matches("started").count(), 3, "{members}");
        etcd.eventually(&api_server, &["put", "a", "b"]);
        assert_eq!(etcd.eventually(&api_server, &["get", "a", "--print-value-only"]), "b\n");

        // Each is a client certificate that another authority of the cluster is right to issue.
        let strangers = [(&cluster, LeafKind::ApiServerEtcdClient), (&peer, LeafKind::EtcdPeer)];
        for (index, (authority, leaf)) in strangers.into_iter().enumerate() {
            let stranger = credentials(&room, authority, leaf, &format!("stranger-{index}"));
            let (accepted, said) = etcd.etcdctl(&stranger, &["get", "a"]);
            assert!(!accepted, "{leaf}: {said}");
        }
        etcd.await_log(0, "certificate signed by unknown authority");
        assert!(etcd.etcdctl(&api_server, &["get", "a"]).0);
    }

    #[test]
    fn a_member_of_another_peer_ca_does_not_join() {
        let room = room("etcd-foreign-peer");
        let [api, peer, cluster] = [AuthorityRole::EtcdApi, AuthorityRole::EtcdPeer, AuthorityRole::Cluster].map(mint);
        let (client_ca, peer_ca) = (trust_file(&room, &api, "api.crt"), trust_file(&room, &peer, "peer.crt"));
        let trust = TrustFiles { client_ca: &client_ca, peer_ca: &peer_ca, client_crl: None };
        let servers = [0, 1, 2].map(|index| credentials(&room, &api, LeafKind::EtcdServer, &format!("server-{index}")));
        let peers = [("peer-0", &peer), ("peer-1", &peer), ("peer-2", &cluster)];
        let peers = peers.map(|(name, authority)| credentials(&room, authority, LeafKind::EtcdPeer, name));
        let files = [0, 1, 2].map(|index| MemberFiles { server: &servers[index], peer: Some(&peers[index]) });
        let probe = credentials(&room, &api, LeafKind::EtcdHealthcheckClient, "healthcheck");
        let etcd = Cluster::start(&room, &trust, &files);
        etcd.await_log(0, "certificate signed by unknown authority");
        // Two of three are a quorum; the third is not heard.
        etcd.eventually(&probe, &["get", "a"]);
        let (healthy, said) = etcd.etcdctl(&probe, &["endpoint", "health"]);
        assert!(!healthy, "{said}");
    }

    /// One member; a client is revoked while it runs, and taken back.
    fn revoke_a_client(room: &Path, authority: &Authority, issuer: &CrlIssuer<'_>) {
        let period = Validity::new(at(NOW), at(CA_VALIDITY.1)).unwrap();
        let issue = |entries: &[RevokedCertificate], number| {
            let entries = entries.iter().copied();
            issue_crl(issuer, entries, number, period, &Limits::DEFAULT, &authority.key, VERIFIERS).unwrap()
        };
        let first = issue(&[], CrlNumber::FIRST);
        let crl = room.join("clients.crl");
        replace(&crl, first.to_pem().as_bytes());

        let ca = trust_file(room, authority, "ca.crt");
        let trust = TrustFiles { client_ca: &ca, peer_ca: &ca, client_crl: Some(&crl) };
        let server = credentials(room, authority, LeafKind::EtcdServer, "server");
        let etcd = Cluster::start(room, &trust, &[MemberFiles { server: &server, peer: None }]);
        let stays = credentials(room, authority, LeafKind::ApiServerEtcdClient, "stays");
        let leaves = credentials(room, authority, LeafKind::ApiServerEtcdClient, "leaves");
        for client in [&stays, &leaves] {
            etcd.eventually(client, &["put", "a", "b"]);
        }

        let serial = leaves.issued.serial();
        let entry = RevokedCertificate::new(serial, at(NOW)).because(RevocationReason::KeyCompromise);
        let second = issue(&[entry], first.number().next().unwrap());
        assert!(second.supersedes(&first) && second.is_revoked(serial));
        // etcd takes both forms.
        for content in [second.to_pem().into_bytes(), second.der().to_vec()] {
            replace(&crl, &content);
            let (accepted, said) = etcd.etcdctl(&leaves, &["get", "a"]);
            assert!(!accepted, "{said}");
            assert!(etcd.etcdctl(&stays, &["get", "a"]).0);
        }
        etcd.await_log(0, &format!("certificate serial {serial} revoked"));

        replace(&crl, first.to_pem().as_bytes());
        assert!(etcd.etcdctl(&leaves, &["get", "a"]).0);
    }

    #[test]
    fn a_revoked_client_is_refused_without_a_restart_and_another_still_works() {
        let authority = mint(AuthorityRole::Etcd);
        let issuer = CrlIssuer::new(authority.issuer.certificate()).unwrap();
        revoke_a_client(&room("etcd-crl"), &authority, &issuer);
    }

    #[test]
    fn the_list_of_a_ca_that_may_not_sign_lists_still_counts_for_etcd() {
        let ca_key = key(KeyAlgorithm::P256);
        let root = Draft::authority("etcd-ca", "etcd-ca").with(&[ca(), key_usage(2, 0xa4)]).sign(&ca_key, &ca_key);
        let issuer = Issuer::new(CaCertificate::parse(root).unwrap(), LeafKind::ALL).unwrap();
        let authority = Authority { key: ca_key, issuer };
        let certificate = authority.issuer.certificate();
        assert_eq!(CrlIssuer::new(certificate).unwrap_err(), CrlError::NotACrlIssuer);
        revoke_a_client(&room("etcd-crl-kubeadm"), &authority, &CrlIssuer::despite_key_usage(certificate));
    }
}
