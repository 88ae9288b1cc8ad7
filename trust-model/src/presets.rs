//! Clusters as documents describe them.

mod declare;
mod gdc;
mod gke;
mod kubernetes;
mod legacy;

use core::fmt;

use crate::model::ClusterModel;

/// A cluster as a document describes it.
///
/// Everything in its model is the word of that document, and prints as asserted, or is what the component does by default. What the
/// document does not speak of is missing: an audit says so and passes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// Kubernetes of the time of masters, with the insecure port on the master's loopback interface.
    Legacy,
    /// Kubernetes 1.28 without Konnectivity.
    Kubernetes128,
    /// GKE.
    Gke,
    /// GKE with Shielded GKE Nodes.
    GkeShielded,
    /// GKE with Workload Identity Federation.
    GkeWorkloadIdentity,
    /// A user cluster of Google Distributed Cloud.
    Gdc,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 6] =
        [Self::Legacy, Self::Kubernetes128, Self::Gke, Self::GkeShielded, Self::GkeWorkloadIdentity, Self::Gdc];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Kubernetes128 => "kubernetes-1.28",
            Self::Gke => "gke",
            Self::GkeShielded => "gke-shielded",
            Self::GkeWorkloadIdentity => "gke-workload-identity",
            Self::Gdc => "gdc",
        }
    }

    /// The preset of an identifier.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.id() == id)
    }

    /// Whose word it is.
    #[must_use]
    pub const fn document(self) -> &'static str {
        match self {
            Self::Legacy => "Kubernetes documentation, Master-Node communication",
            Self::Kubernetes128 => "Kubernetes 1.28 documentation, Communication between nodes and the control plane",
            Self::Gke | Self::GkeShielded | Self::GkeWorkloadIdentity => "GKE documentation, Cluster trust",
            Self::Gdc => "GDC documentation, Rotate user cluster certificate authorities",
        }
    }

    /// What the document says.
    #[must_use]
    pub fn model(self) -> ClusterModel {
        let mut model = match self {
            Self::Legacy => legacy::model(self.document()),
            Self::Kubernetes128 => kubernetes::model(self.document()),
            Self::Gke => gke::model(self.document(), true),
            Self::GkeShielded | Self::GkeWorkloadIdentity => gke::model(self.document(), false),
            Self::Gdc => gdc::model(self.document()),
        };
        self.id().clone_into(&mut model.name);
        model
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}
