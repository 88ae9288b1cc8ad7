//! What a rehearsal takes for granted.

use time::Duration;

use crate::settings::{Release, Settings};
use crate::topology::Address;

/// How long things take, what people do, and what exists outside that no machine can see.
///
/// No source states how long a restart takes; the durations are ours, and long rather than short for a cluster of ordinary
/// machines. Measure your own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Assumptions {
    /// Until a process that was restarted is seen to be ready: 2 minutes.
    pub restart: Duration,
    /// Until a node that is recreated is seen to be ready, drained before that: 10 minutes.
    pub recreation: Duration,
    /// Until a consumer that watches its files is seen to have loaded a new one: 5 minutes, the longest that client-go was
    /// measured to take.
    pub reload: Duration,
    /// Until an authority is minted or cross-signed, an address allocated, or a key destroyed: 5 minutes.
    pub authority: Duration,
    /// Until somebody says that a client outside has what it needs; `None` when nobody ever does.
    pub word: Option<Duration>,
    /// Until a user asks to complete what is ready to; `None` when nobody does, and the attempts are waited for.
    pub completion: Option<Duration>,
    /// How often the clock is read: what the time alone allows begins up to so much later. 1 minute.
    pub tick: Duration,
    /// Static credentials of service accounts that are known to be in use, by any name.
    pub static_tokens: Vec<String>,
    /// Places in which the address of the control plane is written down.
    pub hard_coded: Vec<HardCoded>,
}

/// A place in which an address of the control plane is written down: a script, a DNS record, a firewall rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HardCoded {
    /// Where, by any name.
    pub place: String,
    /// Which address.
    pub address: Address,
}

impl Assumptions {
    /// What is assumed where nobody says otherwise.
    ///
    /// Where clients outside are waited for, somebody gives them what they need within a day. Where they are left behind
    /// at completion (GKE) nobody does, so that the rehearsal lists them all. Nobody asks to complete: GKE's attempts do.
    #[must_use]
    pub const fn of(settings: &Settings) -> Self {
        let word = match settings.release {
            Release::ByWord => Some(Duration::DAY),
            Release::AtCompletion => None,
        };
        Self {
            restart: Duration::minutes(2),
            recreation: Duration::minutes(10),
            reload: Duration::minutes(5),
            authority: Duration::minutes(5),
            word,
            completion: None,
            tick: Duration::MINUTE,
            static_tokens: Vec::new(),
            hard_coded: Vec::new(),
        }
    }
}
