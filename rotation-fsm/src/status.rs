//! The state of a rotation in GDC's words, as the `Display` of typed values.

use core::fmt;

use pki_core::{AuthorityRole, CaVersion, Origin, Plane, Preset};

use crate::delivery::ClusterVersion;
use crate::machine::{Machine, Phase};
use crate::plan::VersionRange;

/// That a rotation has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationStarted(pub CaVersion);

impl fmt::Display for RotationStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "successfully started the CA rotation with CAVersion {}, use gkectl update credentials \
             certificate-authorities status command to view the current state of CA rotation",
            self.0
        )
    }
}

/// That a second rotation was asked for while one is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionDenied;

impl fmt::Display for AdmissionDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "Exit with error: admission webhook \"vonpremusercluster.onprem.cluster.gke.io\" denied the request: \
             requests must not modify CAVersion when cluster is not ready: ready condition is not true: \
             ClusterCreateOrUpdate: Creating or updating user cluster control plane workloads",
        )
    }
}

/// Why the status is what it is. The status writes it after the kind of rotation, as in `CARotationCompleted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The rotation is running.
    Progressed,
    /// The rotation has completed.
    Completed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Progressed => "Progressed",
            Self::Completed => "Completed",
        })
    }
}

/// Which generations one plane runs with. Until all of it has moved it counts as not moved: the
/// oldest leaf, and of bundles what everybody has while they grow and anybody has while they shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneState {
    /// The generations in its bundles.
    pub bundle: Option<VersionRange>,
    /// The generation that issued its oldest leaf.
    pub leaves: Option<CaVersion>,
}

/// Where the rotation of a unit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    version: CaVersion,
    reason: Reason,
    key_set: bool,
    control_plane: PlaneState,
    data_plane: PlaneState,
    /// The CSR signer, or the token signer of a unit that is the service-account keys alone.
    signer: Option<CaVersion>,
    csr_signer_at_last_restart: Option<CaVersion>,
    last_leaf_renewal: Option<ClusterVersion>,
}

impl Status {
    /// The status of the rotation that is running, or else of the last one that completed.
    pub(crate) fn of(machine: &Machine) -> Option<Self> {
        let (version, roles, reason) = match machine.phase() {
            Phase::Rotating(rotating) => (rotating.to(), rotating.roles(), Reason::Progressed),
            Phase::Stable => {
                let completed = machine.completed()?;
                (completed.to, &*completed.roles, Reason::Completed)
            }
        };
        // Of a unit with certificate authorities the message speaks of those; its key set follows them.
        let key_set = !roles.iter().any(|role| role.is_certificate_authority());
        let spoken: Vec<_> = roles.iter().copied().filter(|role| key_set || role.is_certificate_authority()).collect();
        let (control_plane, signer, _) = plane_state(machine, Plane::Control, &spoken);
        let (data_plane, _, csr_signer_at_last_restart) = plane_state(machine, Plane::Data, &spoken);
        // GDC alone renews leaves with an upgrade, and has a sentence for it.
        let gdc = machine.topology().hierarchy().origin() == Origin::Preset(Preset::Gdc);
        let last_leaf_renewal = machine.leaf_renewal.last.clone().filter(|_| gdc);
        Some(Self {
            version,
            reason,
            key_set,
            control_plane,
            data_plane,
            signer,
            csr_signer_at_last_restart,
            last_leaf_renewal,
        })
    }

    /// The CAVersion that the rotation leads to.
    #[must_use]
    pub const fn version(&self) -> CaVersion {
        self.version
    }

    /// Whether the rotation has completed.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self.reason, Reason::Completed)
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The control plane.
    #[must_use]
    pub const fn control_plane(&self) -> PlaneState {
        self.control_plane
    }

    /// The nodes.
    #[must_use]
    pub const fn data_plane(&self) -> PlaneState {
        self.data_plane
    }

    /// Who signs at run time: the CSR signer.
    #[must_use]
    pub const fn signer(&self) -> Option<CaVersion> {
        self.signer
    }

    /// Who was CSR signer when the node that restarted longest ago did so.
    #[must_use]
    pub const fn csr_signer_at_last_restart(&self) -> Option<CaVersion> {
        self.csr_signer_at_last_restart
    }

    /// In GDC's preset, the version of the upgrade after which the leaves were last renewed, which is done within ten
    /// hours.
    #[must_use]
    pub const fn last_leaf_renewal(&self) -> Option<&ClusterVersion> {
        self.last_leaf_renewal.as_ref()
    }
}

fn plane_state(
    machine: &Machine,
    plane: Plane,
    roles: &[AuthorityRole],
) -> (PlaneState, Option<CaVersion>, Option<CaVersion>) {
    let least = |a: Option<CaVersion>, b: Option<CaVersion>| a.into_iter().chain(b).min();
    machine.seen_on(plane, roles).fold(Default::default(), |(state, signer, at_restart), seen| {
        let bundle = seen
            .bundles
            .into_iter()
            .chain(state.bundle)
            .reduce(|a, b| VersionRange::between(a.first().min(b.first()), a.last().min(b.last())));
        let leaves = least(state.leaves, seen.oldest_leaf);
        (PlaneState { bundle, leaves }, least(signer, seen.signs), least(at_restart, seen.csr_signer_at_restart))
    })
}

impl fmt::Display for Status {
    /// GDC's line, word for word where the unit has what it speaks of; a clause without a subject is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = if self.is_complete() { "True" } else { "False" };
        let rotation = if self.key_set { "KeyRotation" } else { "CARotation" };
        write!(
            f,
            "State of {rotation} with CAVersion {} is - status: {status}, reason: {rotation}{}, message: ",
            self.version, self.reason
        )?;
        let (set, generation, signer) =
            if self.key_set { ("key set", "key", "token signer") } else { ("CA bundle", "CA", "CSR signer") };
        let mut clauses = Clauses { f, plane: "Control plane has", begun: false, any: false };
        clauses.put(self.control_plane.bundle.map(|bundle| format!("{set} {bundle}")))?;
        clauses.put(self.control_plane.leaves.map(|version| format!("certs from {generation} {version}")))?;
        clauses.put_free(self.signer.map(|version| format!("{generation} {version} is {signer}")))?;
        clauses.next_plane("Data plane has")?;
        clauses.put(self.data_plane.bundle.map(|bundle| format!("{set} {bundle}")))?;
        match self.csr_signer_at_last_restart {
            Some(version) => {
                clauses.put_free(Some(format!("{generation} {version} was CSR signer at last restart")))?
            }
            None => {
                let noun = if self.key_set { "tokens" } else { "certs" };
                clauses.put(self.data_plane.leaves.map(|version| format!("{noun} from {generation} {version}")))?;
            }
        }
        clauses.end()?;
        match &self.last_leaf_renewal {
            Some(version) => write!(f, " Last Leaf Certificates Rotation Version: {version}."),
            None => Ok(()),
        }
    }
}

/// Clauses of one sentence per plane, joined by commas; a plane without any is not mentioned.
struct Clauses<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    plane: &'static str,
    begun: bool,
    any: bool,
}

impl Clauses<'_, '_> {
    /// A clause that the plane "has".
    fn put(&mut self, clause: Option<String>) -> fmt::Result {
        let Some(clause) = clause else { return Ok(()) };
        if self.begun {
            write!(self.f, ", {clause}")
        } else {
            let space = if self.any { " " } else { "" };
            (self.begun, self.any) = (true, true);
            write!(self.f, "{space}{} {clause}", self.plane)
        }
    }

    /// A clause with a subject of its own.
    fn put_free(&mut self, clause: Option<String>) -> fmt::Result {
        let Some(clause) = clause else { return Ok(()) };
        let joint = match (self.begun, self.any) {
            (true, _) => ", ",
            (false, true) => " ",
            (false, false) => "",
        };
        (self.begun, self.any) = (true, true);
        write!(self.f, "{joint}{clause}")
    }

    fn next_plane(&mut self, plane: &'static str) -> fmt::Result {
        if self.begun {
            self.f.write_str(".")?;
        }
        (self.plane, self.begun) = (plane, false);
        Ok(())
    }

    fn end(self) -> fmt::Result {
        if self.begun { self.f.write_str(".") } else { Ok(()) }
    }
}
