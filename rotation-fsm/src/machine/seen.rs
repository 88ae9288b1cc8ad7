//! What a consumer was last seen to run with, read from its report by content.

use pki_core::AuthorityId;

use super::generations::{Authority, Tracks};
use crate::event::{Observation, ReportId};
use crate::facet::{Facet, Holding, Track};
use crate::rejected::Unreadable;
use crate::topology::{MAX_FACETS, Uses};

/// What a consumer holds, in the order of its component's facets.
pub(crate) type Held = [Holding; MAX_FACETS];

/// The last report of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) id: ReportId,
    /// Unknown while it is unseen, or said something that could not be read.
    pub(crate) held: Held,
    pub(crate) available: bool,
    /// The highest epoch of which it said that it was given something.
    pub(crate) epoch: u64,
    /// Left behind: nobody waits for it.
    pub(crate) released: bool,
}

/// Reads a report: every bundle, leaf, key and address that the component has must be in it, and be of this cluster.
pub(crate) fn read(observation: &Observation, uses: &Uses, tracks: &Tracks) -> Result<Held, Unreadable> {
    let mut held = Held::default();
    for (into, (facet, track)) in held.iter_mut().zip(&uses.facets) {
        *into = read_one(observation, *facet, *track, tracks)?;
    }
    Ok(held)
}

/// Reads one thing in a report.
pub(crate) fn read_one(
    observation: &Observation,
    facet: Facet,
    track: Track,
    tracks: &Tracks,
) -> Result<Holding, Unreadable> {
    match track {
        Track::Authority(role) => {
            of_authority(observation, facet, tracks.authority(role).ok_or(Unreadable::Incomplete)?)
        }
        Track::Address => of_address(observation, facet, tracks),
    }
}

fn of_authority(observation: &Observation, facet: Facet, authority: &Authority) -> Result<Holding, Unreadable> {
    let signer =
        |id: Option<AuthorityId>| authority.issuer(id.ok_or(Unreadable::Incomplete)?).ok_or(Unreadable::UnknownSigner);
    match facet {
        Facet::Trusts(slot) => {
            let found = observation.bundles.iter().find(|(found, _)| *found == slot);
            let (_, hash) = found.ok_or(Unreadable::Incomplete)?;
            authority.bundle(*hash).ok_or(Unreadable::UnknownBundle(slot))
        }
        Facet::Presents(leaf) => {
            let found = observation.leaves.iter().find(|found| found.leaf == leaf).ok_or(Unreadable::Incomplete)?;
            authority.leaf(found.issuer, found.through).ok_or(Unreadable::UnknownIssuer(leaf))
        }
        Facet::Signs(_) => signer(observation.signs_with),
        _ => signer(observation.csr_signer_at_restart),
    }
}

fn of_address(observation: &Observation, facet: Facet, tracks: &Tracks) -> Result<Holding, Unreadable> {
    let addresses = tracks.addresses.as_ref().ok_or(Unreadable::Incomplete)?;
    let one = |address: Option<&crate::topology::Address>| {
        addresses.holding(address.ok_or(Unreadable::Incomplete)?).ok_or(Unreadable::UnknownAddress)
    };
    match facet {
        Facet::Serves => {
            let mut served = observation.serves.iter().map(|served| {
                let holding = one(Some(&served.address))?;
                // The second address is worth nothing unless it shows the next generation: clients that move there have
                // no other.
                let shows = tracks.authorities.values().find_map(|authority| authority.issuer(served.issuer));
                let fits = holding != Holding::NEXT || shows == Some(Holding::NEXT);
                if fits { Ok(holding) } else { Err(Unreadable::UnknownAddress) }
            });
            let first = served.next().ok_or(Unreadable::Incomplete)??;
            served.try_fold(first, |all, holding| Ok(all.union(holding?)))
        }
        Facet::Service => one(observation.service.as_ref()),
        _ => one(observation.dials.as_ref()),
    }
}
