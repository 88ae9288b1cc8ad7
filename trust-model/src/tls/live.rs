//! Bundles and leaves that change while connections go on.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pki_core::{AuthorityId, TrustBundle};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::tls::TlsIdentity;

/// What a verifier trusts, of which it may be told anew at any time. Clones are one and the same.
///
/// Connections that [begin](crate::tls::PathClientVerifier::admit) are counted under the anchor that vouches for their
/// peer. More trust leaves them alone; whoever takes an anchor away is told of the connections that stand on it, and
/// has to close them: TLS never looks at a certificate again after the handshake.
#[derive(Clone)]
pub struct LiveBundle {
    shared: Arc<RwLock<Shared>>,
}

struct Shared {
    bundle: Arc<TrustBundle>,
    next: u64,
    connections: BTreeMap<ConnectionId, (AuthorityId, Arc<AtomicBool>)>,
}

/// Tells the connections of one [`LiveBundle`] apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What another bundle has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the connections in it stand on an anchor that is no longer trusted: close them"]
pub struct Swapped {
    /// The authorities that are trusted from now on.
    pub added: Vec<AuthorityId>,
    /// The authorities that no longer are.
    pub retired: Vec<AuthorityId>,
    /// The connections whose peers chained to one of those, in the order in which they began.
    pub orphaned: Vec<ConnectionId>,
}

impl LiveBundle {
    /// Begins with this bundle.
    #[must_use]
    pub fn new(bundle: Arc<TrustBundle>) -> Self {
        Self { shared: Arc::new(RwLock::new(Shared { bundle, next: 0, connections: BTreeMap::new() })) }
    }

    /// What is trusted now.
    #[must_use]
    pub fn load(&self) -> Arc<TrustBundle> {
        Arc::clone(&self.read().bundle)
    }

    /// Trusts this from now on, and says whom that concerns.
    ///
    /// A handshake that is under way may end with the bundle that it began with; it is then refused by
    /// [`admit`](crate::tls::PathClientVerifier::admit), which asks again.
    pub fn swap(&self, bundle: Arc<TrustBundle>) -> Swapped {
        let mut shared = self.write();
        let (before, after) = (authorities(&shared.bundle), authorities(&bundle));
        shared.bundle = bundle;
        let mut orphaned = Vec::new();
        shared.connections.retain(|id, (anchor, is_orphaned)| {
            let trusted = after.contains(anchor);
            if !trusted {
                is_orphaned.store(true, Ordering::Release);
                orphaned.push(*id);
            }
            trusted
        });
        Swapped {
            added: after.difference(&before).copied().collect(),
            retired: before.difference(&after).copied().collect(),
            orphaned,
        }
    }

    /// How many connections stand on anchors that are trusted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.read().connections.len()
    }

    /// Counts a connection under its anchor, unless that one is trusted no longer.
    pub(super) fn register(&self, anchor: AuthorityId) -> Option<Connection> {
        let mut shared = self.write();
        if !authorities(&shared.bundle).contains(&anchor) {
            return None;
        }
        let id = ConnectionId(shared.next);
        shared.next = shared.next.wrapping_add(1);
        let is_orphaned = Arc::new(AtomicBool::new(false));
        shared.connections.insert(id, (anchor, Arc::clone(&is_orphaned)));
        Some(Connection { id, anchor, is_orphaned, live: self.clone() })
    }

    // Whoever panicked with the lock in hand has left nothing half done: every change is one assignment.
    fn read(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn authorities(bundle: &TrustBundle) -> BTreeSet<AuthorityId> {
    bundle.certificates().iter().map(pki_core::CaCertificate::id).collect()
}

impl From<Arc<TrustBundle>> for LiveBundle {
    fn from(bundle: Arc<TrustBundle>) -> Self {
        Self::new(bundle)
    }
}

impl fmt::Debug for LiveBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.read();
        f.debug_struct("LiveBundle")
            .field("bundle", &shared.bundle.hash())
            .field("connections", &shared.connections.len())
            .finish()
    }
}

/// A connection that is counted under the anchor that vouches for its peer, until this is dropped.
#[derive(Debug)]
#[must_use = "a connection that is dropped here is not counted"]
pub struct Connection {
    id: ConnectionId,
    anchor: AuthorityId,
    is_orphaned: Arc<AtomicBool>,
    live: LiveBundle,
}

impl Connection {
    /// By which [`Swapped`] names it.
    #[must_use]
    pub const fn id(&self) -> ConnectionId {
        self.id
    }

    /// The authority at the top of the peer's chain.
    #[must_use]
    pub const fn anchor(&self) -> AuthorityId {
        self.anchor
    }

    /// Whether its anchor is trusted no longer, so that it has to be closed.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        self.is_orphaned.load(Ordering::Acquire)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.live.write().connections.remove(&self.id);
    }
}

/// What an endpoint shows, which may be replaced at any time. Clones are one and the same.
///
/// Connections that stand keep what they were made with; every handshake from then on shows the new one.
#[derive(Clone)]
pub struct LiveIdentity {
    shared: Arc<RwLock<TlsIdentity>>,
}

impl LiveIdentity {
    /// Begins with this identity.
    #[must_use]
    pub fn new(identity: TlsIdentity) -> Self {
        Self { shared: Arc::new(RwLock::new(identity)) }
    }

    /// What is shown now.
    #[must_use]
    pub fn load(&self) -> TlsIdentity {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows this from now on; what was shown before comes back.
    pub fn swap(&self, identity: TlsIdentity) -> TlsIdentity {
        core::mem::replace(&mut *self.shared.write().unwrap_or_else(PoisonError::into_inner), identity)
    }

    fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(self.shared.read().unwrap_or_else(PoisonError::into_inner).certified_key())
    }
}

impl From<TlsIdentity> for LiveIdentity {
    fn from(identity: TlsIdentity) -> Self {
        Self::new(identity)
    }
}

impl From<&TlsIdentity> for LiveIdentity {
    fn from(identity: &TlsIdentity) -> Self {
        Self::new(identity.clone())
    }
}

impl fmt::Debug for LiveIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).fmt(f)
    }
}

impl ResolvesClientCert for LiveIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified_key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for LiveIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified_key())
    }
}
