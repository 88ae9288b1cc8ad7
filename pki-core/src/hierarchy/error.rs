//! Why parts do not make a hierarchy.

use core::fmt;

use time::Duration;

use crate::{AuthorityRole, LeafKind, Path, TrustSlot};

/// Why parts do not make a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HierarchyError {
    /// The authority has no leaf to issue.
    IssuesNothing(AuthorityRole),
    /// A lifetime is given for what is no certificate authority of the hierarchy.
    NoSuchAuthority(AuthorityRole),
    /// The leaf is given to two authorities.
    TwoIssuers {
        /// The leaf.
        leaf: LeafKind,
        /// The authorities, in the order in which they were named.
        roles: [AuthorityRole; 2],
    },
    /// The service-account keys would issue a certificate, or a CA tokens.
    WrongKind {
        /// The authority.
        role: AuthorityRole,
        /// What it cannot issue.
        leaf: LeafKind,
    },
    /// A path that the cluster must have lacks an issuer at one end.
    Hole {
        /// The path.
        path: Path,
        /// The leaf that nobody issues.
        leaf: LeafKind,
    },
    /// One trust slot would have to hold two authorities.
    TwoInOneSlot {
        /// A path on which it would.
        path: Path,
        /// The slot.
        slot: TrustSlot,
        /// The authorities.
        roles: [AuthorityRole; 2],
    },
    /// An authority of a part of etcd stands beside [`AuthorityRole::Etcd`], which is the authority of all of it.
    PartOfEtcd(AuthorityRole),
    /// An authority that etcd trusts would issue a certificate of something else, whose owner could then read and write
    /// the whole state of the cluster.
    SharedWithEtcd {
        /// The authority.
        role: AuthorityRole,
        /// The certificate that is not etcd's.
        leaf: LeafKind,
    },
    /// The authority of the aggregation layer would issue another client's certificate, whose owner could then name
    /// itself any user by `X-Remote-User`. Kubernetes lets `--requestheader-allowed-names` narrow that; a hierarchy
    /// cannot see the flag, and refuses.
    SharedWithFrontProxy {
        /// The authority.
        role: AuthorityRole,
        /// The other client's certificate.
        leaf: LeafKind,
    },
    /// The lifetime of leaves is not positive.
    LeafLifetime(Duration),
    /// A CA would not live as long as its leaves.
    CaLifetime {
        /// The authority.
        role: AuthorityRole,
        /// How long it would live.
        lifetime: Duration,
        /// How long its leaves would.
        leaf: Duration,
    },
    /// The backdating is negative.
    Backdate(Duration),
}

impl fmt::Display for HierarchyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IssuesNothing(role) => write!(f, "`{role}` has no leaf to issue"),
            Self::NoSuchAuthority(role) => {
                write!(f, "a lifetime is given for `{role}`, which is no certificate authority of the hierarchy")
            }
            Self::TwoIssuers { leaf, roles: [a, b] } => write!(f, "`{leaf}` is given to two authorities: `{a}`, `{b}`"),
            Self::WrongKind { role, leaf } if role.is_certificate_authority() => {
                write!(f, "`{role}` is a certificate authority and cannot issue `{leaf}`")
            }
            Self::WrongKind { role, leaf } => write!(f, "`{role}` is a key set and cannot issue `{leaf}`"),
            Self::Hole { path, leaf } => write!(f, "the path `{path}` needs a `{leaf}`, and nobody issues it"),
            Self::TwoInOneSlot { path, roles: [a, b], .. } => {
                write!(f, "a trust slot on the path `{path}` would have to hold two authorities: `{a}`, `{b}`")
            }
            Self::PartOfEtcd(role) => {
                write!(f, "`{role}` stands beside `etcd`, which is the authority of all of etcd")
            }
            Self::SharedWithEtcd { role, leaf } => {
                write!(f, "`{role}` vouches for etcd's clients and cannot issue `{leaf}` as well")
            }
            Self::SharedWithFrontProxy { role, leaf } => {
                write!(f, "`{role}` vouches for the front proxy and cannot issue `{leaf}` as well")
            }
            Self::LeafLifetime(found) => write!(f, "the lifetime of leaves is not positive: {found}"),
            Self::CaLifetime { role, lifetime, leaf } => {
                write!(f, "the lifetime of `{role}` is shorter than its leaves': {lifetime} of {leaf}")
            }
            Self::Backdate(found) => write!(f, "the backdating is negative: {found}"),
        }
    }
}

impl core::error::Error for HierarchyError {}
