//! A user cluster of Google Distributed Cloud.

use pki_core::{AuthorityRole, Hierarchy, Path, Printable, TrustSlot};

use super::declare::{Declared, any};
use crate::fact::Fact;
use crate::model::{ApiAccess, ApiServiceClient, ClusterModel, InsecurePort, Transport, Trust};

pub(super) fn model(document: &'static str) -> ClusterModel {
    let mut say = Declared::by(document, Hierarchy::gdc());
    say.authenticated(&[
        Path::NodeApi,
        Path::KcmApi,
        Path::SchedApi,
        Path::AdminApi,
        Path::ApiEtcd,
        Path::EtcdPeer,
        Path::FrontProxy,
    ]);
    let (yes, secure, through_tls) = (say.fact(true), say.fact(ApiAccess::Secure), say.fact(Transport::Tls));
    let trust = Trust::Authority(AuthorityRole::FrontProxy);
    let aggregated = say.fact(vec![ApiServiceClient { name: Printable::new(b"aggregated APIs"), trust }]);
    let front_proxy = say.fact(Trust::Authority(AuthorityRole::FrontProxy));
    let mut model = say.model;
    model.api_services = aggregated;
    if let Some(api) = any(&mut model.api_servers) {
        api.settings.insecure_port = Fact::default_of(InsecurePort::Closed);
        api.trusts.insert(TrustSlot::ApiServerRequestheaderCa, front_proxy);
        api.settings.calls_peers = Fact::default_of(false);
        api.settings.etcd_transport = through_tls.clone();
    }
    if let Some(manager) = any(&mut model.controller_managers) {
        manager.settings.access = secure.clone();
    }
    if let Some(scheduler) = any(&mut model.schedulers) {
        scheduler.settings.access = secure;
    }
    if let Some(etcd) = any(&mut model.etcd) {
        etcd.settings.client_transport = through_tls.clone();
        etcd.settings.peer_transport = through_tls;
        etcd.settings.client_cert_auth = yes.clone();
        etcd.settings.peer_client_cert_auth = yes;
    }
    model
}
