//! Which authorities there are, what they issued that nothing uses, and where keys lie.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pki_core::inspect::IssuerIndex;
use pki_core::{AuthorityRole, Fingerprint, TrustSlot};

use super::files::shown;
use super::kubeconfig::{self, Kubeconfig};
use super::reader::{Machine, Reader, chain};
use crate::fact::{Fact, Place};
use crate::model::{Authority, Bundle, Certificate, ClusterModel, KeyFile, Leaf, Trust};

/// Where an authority's certificate lies, as `pki_core::Layout` names it; where it is not there, the slot of a component
/// whose bundle holds it.
const AUTHORITIES: [(AuthorityRole, &str, Option<TrustSlot>); 8] = [
    (AuthorityRole::Cluster, "pki/ca.crt", Some(TrustSlot::ApiServerClientCa)),
    (AuthorityRole::Client, "pki/client-ca.crt", None),
    (AuthorityRole::Kubelet, "pki/kubelet-ca.crt", None),
    (AuthorityRole::AggregatedApi, "pki/aggregated-api-ca.crt", None),
    (AuthorityRole::Etcd, "pki/etcd/ca.crt", Some(TrustSlot::ApiServerEtcdCa)),
    (AuthorityRole::EtcdPeer, "pki/etcd/peer-ca.crt", None),
    (AuthorityRole::FrontProxy, "pki/front-proxy-ca.crt", Some(TrustSlot::ApiServerRequestheaderCa)),
    (AuthorityRole::Konnectivity, "pki/konnectivity-ca.crt", None),
];

/// The authorities. Nodes have copies of some; the files of machines of the control plane, and where there is none, of
/// all, are what counts.
pub(super) fn observe(
    reader: &mut Reader<'_>,
    machines: &[Machine],
    model: &ClusterModel,
    signing: &[String],
) -> BTreeMap<AuthorityRole, Fact<Authority>> {
    let controls = |machine: &&Machine| {
        machine.prefix.is_empty() || reader.files.below(&format!("{}manifests/", machine.prefix)).next().is_some()
    };
    let mut places: Vec<Machine> = machines.iter().filter(controls).cloned().collect();
    let has_authority = |machine: &Machine| reader.files.get(&format!("{}pki/ca.crt", machine.prefix)).is_some();
    if !places.iter().any(has_authority) {
        places = machines.to_vec();
    }
    let mut authorities = BTreeMap::new();
    let splits_etcd =
        places.iter().any(|machine| reader.files.get(&format!("{}pki/etcd/peer-ca.crt", machine.prefix)).is_some());
    for (role, file, slot) in AUTHORITIES {
        let role = if role == AuthorityRole::Etcd && splits_etcd { AuthorityRole::EtcdApi } else { role };
        let (mut live, mut first) = (Vec::new(), None);
        for machine in &places {
            let path = format!("{}{file}", machine.prefix);
            if reader.files.get(&path).is_some()
                && let Some(bundle) = reader.certificates(&path)
            {
                first.get_or_insert_with(|| Place::file(shown(&path)));
                add(&mut live, &bundle);
            }
        }
        if role == AuthorityRole::Cluster {
            for path in signing {
                if let Some(bundle) = reader.certificates(path) {
                    first.get_or_insert_with(|| Place::file(shown(path)));
                    add(&mut live, &bundle);
                }
            }
        }
        if live.is_empty()
            && let Some(slot) = slot
        {
            for api in &model.api_servers {
                let Some(Trust::Bundle(bundle)) = api.trust(slot).value() else { continue };
                add(&mut live, bundle);
            }
            first = live.first().map(|certificate: &Arc<Certificate>| certificate.place().clone());
        }
        if let Some(place) = first.filter(|_| !live.is_empty()) {
            authorities.insert(role, Fact::observed(Authority { live, retired: Vec::new() }, place));
        }
    }
    authorities
}

fn add(live: &mut Vec<Arc<Certificate>>, bundle: &Bundle) {
    for certificate in bundle.certificates().iter().filter(|certificate| certificate.view().is_ca()) {
        if !live.iter().any(|known| known.fingerprint() == certificate.fingerprint()) {
            live.push(Arc::clone(certificate));
        }
    }
}

/// What a machine keeps of former times: kubeadm's backups, and certificates that a kubelet has replaced.
pub(super) fn is_former(path: &str) -> bool {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let in_backup = directory.split('/').any(|part| part == "tmp");
    let is_replaced = ["kubelet-client-", "kubelet-server-"].iter().any(|kind| name.starts_with(kind));
    in_backup || (is_replaced && directory.ends_with("kubelet/pki"))
}

/// Leaves that lie about: an authority of the cluster issued them, and nothing that was read uses them. `None` where no
/// authority is known.
pub(super) fn unclaimed(reader: &mut Reader<'_>, machines: &[Machine], model: &ClusterModel) -> Option<Vec<Leaf>> {
    let mut claimed: BTreeSet<Fingerprint> = model
        .all_holders()
        .flat_map(|holder| holder.leaves.values())
        .filter_map(|leaf| leaf.value().and_then(Leaf::certificate).map(|leaf| leaf.fingerprint()))
        .collect();
    // Kubeconfigs that only delegate, as `--authentication-kubeconfig` does.
    let used: Vec<_> = reader.kubeconfigs.iter().cloned().collect();
    for path in used {
        if let Some(machine) = machine_of(machines, &path)
            && let Some(kubeconfig) = Kubeconfig::read(reader, machine, &path)
        {
            claimed.extend(kubeconfig.leaf.value().and_then(Leaf::certificate).map(|leaf| leaf.fingerprint()));
        }
    }
    claimed.extend(reader.used.iter().copied());
    let authorities: Vec<_> = model.authorities.values().filter_map(Fact::value).flat_map(|one| &one.live).collect();
    let index = IssuerIndex::of(authorities.iter().map(|certificate| certificate.view()));
    let paths: Vec<_> = reader.files.paths().filter(|path| !is_former(path)).map(str::to_owned).collect();
    let mut unclaimed = Vec::new();
    for path in paths {
        let found = if super::is_yaml(&path) {
            let is_other = !reader.kubeconfigs.contains(&path) && super::may_be_yaml(reader, &path);
            let is_other = is_other && reader.documents(&path).iter().any(kubeconfig::is_kubeconfig);
            let machine = machine_of(machines, &path).filter(|_| is_other);
            let kubeconfig = machine.and_then(|machine| Kubeconfig::read(reader, machine, &path));
            kubeconfig.and_then(|kubeconfig| kubeconfig.leaf.value().cloned())
        } else if path.ends_with(".crt") || holds(reader, &path, b"CERTIFICATE-----") {
            reader.certificates(&path).map(|bundle| chain(&bundle))
        } else {
            None
        };
        let Some(leaf) = found else { continue };
        let Some(certificate) = leaf.certificate().cloned() else { continue };
        let view = certificate.view();
        if !view.is_ca() && index.issuer_of(view).is_some() && claimed.insert(certificate.fingerprint()) {
            unclaimed.push(leaf);
        }
    }
    // Without an authority each of them would be a stranger's.
    (!authorities.is_empty()).then_some(unclaimed)
}

fn machine_of<'m>(machines: &'m [Machine], path: &str) -> Option<&'m Machine> {
    let prefix = super::prefix_of(path);
    machines.binary_search_by(|machine| machine.prefix.as_str().cmp(prefix)).ok().and_then(|found| machines.get(found))
}

fn holds(reader: &mut Reader<'_>, path: &str, mark: &[u8]) -> bool {
    let octets = reader.octets(path).unwrap_or_default();
    octets
        .split(|octet| *octet == b'\n')
        .any(|line| line.starts_with(b"-----BEGIN ") && line.trim_ascii_end().ends_with(mark))
}

/// Files in which a private key lies.
pub(super) fn keys(reader: &mut Reader<'_>) -> Vec<KeyFile> {
    let paths: Vec<_> = reader.files.paths().map(str::to_owned).collect();
    let mut keys = Vec::new();
    for path in paths {
        let item = if super::is_yaml(&path) {
            let embeds = super::may_be_yaml(reader, &path)
                && reader
                    .documents(&path)
                    .iter()
                    .any(|one| kubeconfig::is_kubeconfig(one) && kubeconfig::embeds_key(one));
            embeds.then_some(Some("client-key-data"))
        } else {
            holds(reader, &path, b"PRIVATE KEY-----").then_some(None)
        };
        let Some(item) = item else { continue };
        let file = Place::file(shown(&path));
        let mode = reader.files.get(&path).and_then(|file| file.mode);
        keys.push(KeyFile {
            place: Place { item: item.map(str::to_owned), ..file.clone() },
            mode: mode.map_or(Fact::Missing, |mode| Fact::observed(mode & 0o7777, file)),
        });
    }
    keys
}
