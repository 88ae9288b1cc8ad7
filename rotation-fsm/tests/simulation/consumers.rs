//! What the consumers of a simulated cluster really do and hold, beside what anybody was told of it.

use std::collections::BTreeSet;

use pki_core::{AuthorityRole, CaVersion, ComponentKind, LeafKind};
use rotation_fsm::{Change, ConsumerId, ConsumerTarget, Facet, Holding, Reload, VersionRange};

use crate::cluster::{Cluster, Held, Leaf};
use crate::planted::Planted;

/// The private keys that exist.
pub(crate) type Keys = BTreeSet<(AuthorityRole, CaVersion)>;

pub(crate) fn disturbs(reload: Reload) -> bool {
    matches!(reload, Reload::Restart | Reload::Recreate)
}

impl Cluster {
    /// Who signs now, whatever anybody believes of it.
    fn signing(&self, kind: ComponentKind) -> Option<(AuthorityRole, CaVersion)> {
        // In the order of kinds the control plane comes first, so this looks at few.
        let from = self.held.iter().skip_while(|(id, _)| id.kind() < kind);
        let signs: Vec<_> = from.take_while(|(id, _)| id.kind() == kind).map(|(_, held)| held.signs).collect();
        signs.get(self.leader % signs.len().max(1)).copied().flatten()
    }

    /// Does what it is told, unless it was given something of a higher epoch, or nobody can sign what it asks for.
    pub(crate) fn obey(&mut self, target: &ConsumerTarget, keys: &Keys, planted: Option<Planted>) -> bool {
        let (certificates, tokens) =
            (self.signing(ComponentKind::ControllerManager), self.signing(ComponentKind::KubeApiServer));
        let Some(held) = self.held.get_mut(&target.consumer) else { return false };
        if target.epoch < held.epoch && planted != Some(Planted::EpochsIgnored) {
            return false;
        }
        let mut leaves = Vec::new();
        for leaf in &target.leaves {
            let signer = match leaf.leaf {
                LeafKind::KubeletClient | LeafKind::KubeletServing => certificates,
                LeafKind::ServiceAccountToken => tokens,
                _ => None,
            };
            let signer = signer.filter(|(role, _)| *role == leaf.role);
            let issuer = signer.map_or(leaf.issuer, |(_, version)| version);
            if !keys.contains(&(leaf.role, issuer)) {
                return false;
            }
            leaves.push((leaf.leaf, Leaf { role: leaf.role, issuer, through: leaf.through }));
        }
        held.epoch = held.epoch.max(target.epoch);
        held.restarts += u32::from(disturbs(target.reload));
        held.leaves.extend(leaves);
        for bundle in &target.bundles {
            let early = planted == Some(Planted::TrustDroppedEarly) && target.consumer.kind() == ComponentKind::Kubelet;
            let versions = if early { VersionRange::only(bundle.versions.last()) } else { bundle.versions };
            held.bundles.insert(bundle.slot, (bundle.role, versions));
        }
        held.signs = target.signs.or(held.signs);
        if !target.serves.is_empty() {
            held.serves.clone_from(&target.serves);
        }
        held.service = target.service.clone().or_else(|| held.service.take());
        held.dials = target.dials.clone().or_else(|| held.dials.take());
        if target.consumer.kind() == ComponentKind::Kubelet && disturbs(target.reload) {
            held.csr_signer_at_restart = certificates.map(|(_, version)| version);
        }
        true
    }

    /// Comes up with nothing; what it is told from now on is of this epoch at least.
    pub(crate) fn come_up(&mut self, consumer: &ConsumerId, incarnation: u64, epoch: u64) {
        self.held.insert(consumer.clone(), Held { incarnation, epoch, ..Held::default() });
    }

    /// Whether a consumer really holds what a stage asked of it.
    pub(crate) fn has_taken_up(&self, held: &Held, change: &Change, from: CaVersion, to: CaVersion) -> bool {
        let wanted = match change.to {
            Holding::BOTH => VersionRange::between(from, to),
            Holding::CURRENT => VersionRange::only(from),
            _ => VersionRange::only(to),
        };
        let through = (change.to == Holding::NEXT_CHAINED).then_some(from);
        match change.facet {
            Facet::Trusts(slot) => held.bundles.get(&slot).is_some_and(|(_, versions)| *versions == wanted),
            Facet::Presents(leaf) => {
                held.leaves.get(&leaf).is_some_and(|leaf| leaf.issuer == wanted.last() && leaf.through == through)
            }
            Facet::Signs(role) => held.signs == Some((role, wanted.last())),
            Facet::RestartedUnder => held.csr_signer_at_restart == Some(wanted.last()),
            // Where it serves and dials is what the paths show.
            _ => true,
        }
    }

    /// Who shows something that this key signed, signs with it, or trusts it.
    pub(crate) fn minds_key(&self, role: AuthorityRole, version: CaVersion) -> impl Iterator<Item = &ConsumerId> {
        let minds = move |held: &Held| {
            let (mut leaves, mut bundles) = (held.leaves.values(), held.bundles.values());
            held.signs == Some((role, version))
                || leaves.any(|leaf| leaf.role == role && leaf.issuer == version)
                || bundles.any(|(of, versions)| *of == role && versions.contains(VersionRange::only(version)))
        };
        self.held.iter().filter(move |(_, held)| minds(held)).map(|(consumer, _)| consumer)
    }

    /// Who runs with anything but the active generations.
    pub(crate) fn lingering(&self) -> impl Iterator<Item = &ConsumerId> {
        let active = |role| self.machine.authority(role).map(|record| record.version);
        let current = move |held: &Held| {
            held.bundles.values().all(|(role, versions)| active(*role).map(VersionRange::only) == Some(*versions))
                && held.leaves.values().all(|leaf| active(leaf.role) == Some(leaf.issuer) && leaf.through.is_none())
                && held.signs.is_none_or(|(role, version)| active(role) == Some(version))
        };
        self.held.iter().filter(move |(_, held)| !current(held)).map(|(consumer, _)| consumer)
    }
}
