//! What a run came to, for machines.

use std::collections::BTreeMap;

use serde::Serialize;

/// The content of `report.json`. Its shape changes only together with [`Report::VERSION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of this shape.
    pub version: u32,
    /// The hierarchy.
    pub preset: String,
    /// The strategy.
    pub strategy: String,
    /// Whether what users may rotate was rotated because its keys are suspect.
    pub emergency: bool,
    /// The stage in which the first rotation turned back, if it did.
    pub rolled_back_at: Option<String>,
    /// The node that slept through stages, if one did.
    pub slept: Option<SleepReport>,
    /// What held the CA keys, where whoever ran this has said.
    pub signer: Option<KeysReport>,
    /// The stages, in order; the first is the traffic before anything began.
    pub stages: Vec<StageReport>,
    /// How often each component restarted.
    pub restarts: BTreeMap<String, u64>,
    /// What each rotation asked of everybody, and what the planner had said.
    pub units: Vec<UnitReport>,
    /// The old credentials that were tried at the end.
    pub probes: ProbeReport,
    /// The connections that were held, beside the exchanges that are counted as handshakes.
    pub connections: ConnectionReport,
}

impl Report {
    /// The version of the shape.
    pub const VERSION: u32 = 4;
}

/// The keys of the authorities, and what attempts at taking them came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeysReport {
    /// Where they were: `software`, `pkcs11` or `service`.
    pub place: String,
    /// The labels of those that were left at the end.
    pub keys: Vec<String>,
    /// The attempts, a line for each key in a token. Elsewhere there is no call to try.
    pub exports: Vec<ExportReport>,
    /// The same attempts at a key that was made to be taken.
    pub control: Option<ExportReport>,
    /// What the issuing service did that was beside them, where there was one.
    pub issuing: Option<IssuingReport>,
}

/// What the log of an issuing service says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IssuingReport {
    /// Certificates that it issued.
    pub issued: u64,
    /// Requests that it refused.
    pub refused: u64,
    /// How often its epoch was switched.
    pub switches: u64,
    /// Generations that were retired there.
    pub retired: u64,
}

impl KeysReport {
    /// Whether no attempt at a key of an authority gave anything out, and each at the control key did.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let tried = self.control.is_none() || (self.exports.len() == self.keys.len() && !self.keys.is_empty());
        let control = self.control.iter().all(|control| control.octets().iter().all(|octets| *octets > 0));
        tried && control && self.exports.iter().all(|export| export.octets() == [0; 3])
    }
}

/// How many octets of a private key each attempt gave out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExportReport {
    /// The key's label.
    pub key: String,
    /// By reading `CKA_VALUE`.
    pub read: usize,
    /// By `C_WrapKey`.
    pub wrapped: usize,
    /// By `C_CopyObject` with `CKA_EXTRACTABLE`.
    pub copied: usize,
}

impl ExportReport {
    /// The three of them.
    #[must_use]
    pub const fn octets(&self) -> [usize; 3] {
        [self.read, self.wrapped, self.copied]
    }
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StageReport {
    /// The unit that rotates and the stage.
    pub id: String,
    /// Milliseconds from the beginning of the run.
    pub started_ms: u64,
    /// Milliseconds from the beginning of the run.
    pub ended_ms: u64,
    /// Every client and server of every path.
    pub paths: Vec<PathReport>,
}

impl StageReport {
    /// The sum of a count over all paths.
    #[must_use]
    pub fn sum(&self, count: impl Fn(&PathReport) -> u64) -> u64 {
        self.paths.iter().map(count).sum()
    }
}

/// One client and one server on one path, during one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PathReport {
    /// The path.
    pub path: String,
    /// Who dialled.
    pub client: String,
    /// Who answered.
    pub server: String,
    /// New, full handshakes with a request and its answer.
    pub handshakes: u64,
    /// Exchanges that failed, on either side.
    pub failed: u64,
    /// Exchanges that failed as the plan of an emergency had said.
    pub declared_losses: u64,
    /// Connections that were refused because nothing listened.
    pub unavailable: u64,
    /// The connection that was held when the stage ended.
    pub held: Option<HeldReport>,
    /// Held connections that were closed in the stage because the authority of one end was retired at the other.
    pub retired: u64,
    /// Held connections that ended in the stage because one end stopped, or left its address.
    pub stopped: u64,
}

/// A connection that is held, as a kubelet holds its watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HeldReport {
    /// The client's TCP port: another one is another connection.
    pub port: u16,
    /// The authority and generation at the top of the server's chain, as the client verified it; `external` for a CA outside
    /// the hierarchy.
    pub server_anchor: Option<String>,
    /// The authority and generation at the top of the client's chain, as the server verified it.
    pub client_anchor: Option<String>,
}

/// What became of the connections that were held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConnectionReport {
    /// How often one was dialled to be held.
    pub held: u64,
    /// Of these, how many went on when more trust was added to what one of their ends stands on.
    pub kept: u64,
    /// How many were closed because the authority of one end was retired at the other.
    pub retired: u64,
    /// How many ended because one end stopped, or left its address.
    pub stopped: u64,
    /// How many ended for any other reason. Each breaks a path.
    pub broken: u64,
    /// How many stood when all was over.
    pub remained: u64,
}

impl ConnectionReport {
    pub(crate) const fn add(&mut self, more: Self) {
        let Self { held, kept, retired, stopped, broken, remained } = more;
        self.held += held;
        self.kept += kept;
        self.retired += retired;
        self.stopped += stopped;
        self.broken += broken;
        self.remained += remained;
    }
}

/// A node that could not be reached for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SleepReport {
    /// The node.
    pub node: String,
    /// The stages that ended without it.
    pub through: Vec<String>,
    /// The stage that waited for it.
    pub waited_in: Option<String>,
}

/// One rotation: what it cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnitReport {
    /// What was rotated.
    pub unit: String,
    /// In which order: a strategy, `emergency` or `rollback`.
    pub order: String,
    /// What the planner said, in words.
    pub planned: String,
    /// Whether the planner's numbers are the most that may be: of a way back, where what was not done yet is not undone.
    pub at_most: bool,
    /// Restarts by component.
    pub components: Vec<CostReport>,
    /// Recreations of nodes.
    pub recreations: CostReport,
    /// The losses that the plan declared beforehand.
    pub losses: Vec<String>,
}

impl UnitReport {
    /// Where what was found is not what the planner had said.
    pub fn mismatches(&self) -> impl Iterator<Item = &CostReport> {
        let all = self.components.iter().chain([&self.recreations]);
        all.filter(|cost| !cost.found.values().all(|found| cost.fits(*found, self.at_most)))
    }
}

/// How often each instance of a component restarted, or each node was recreated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CostReport {
    /// The component, or `node`.
    pub of: String,
    /// How often the planner said.
    pub planned: u64,
    /// How often it happened, by instance.
    pub found: BTreeMap<String, u64>,
}

impl CostReport {
    const fn fits(&self, found: u64, at_most: bool) -> bool {
        found == self.planned || (at_most && found < self.planned)
    }
}

/// Old credentials that were tried when the rotation was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProbeReport {
    /// Refused, for the right reason.
    pub refused: u64,
    /// Tried.
    pub total: u64,
    /// Chains that servers and clients sent when all was over, looked through for what the retired generation signed.
    pub chains: u64,
    /// Sockets on retired addresses of the control plane on which nobody answers any more.
    pub closed_sockets: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(key: &str, octets: [usize; 3]) -> ExportReport {
        let [read, wrapped, copied] = octets;
        ExportReport { key: key.to_owned(), read, wrapped, copied }
    }

    #[test]
    fn keys_are_sound_where_every_attempt_was_one_and_failed() {
        let sound = KeysReport {
            place: "pkcs11".to_owned(),
            keys: vec!["a".to_owned(), "b".to_owned()],
            exports: vec![export("a", [0; 3]), export("b", [0; 3])],
            control: Some(export("control", [32; 3])),
            issuing: None,
        };
        assert!(sound.is_sound());
        for octets in [[1, 0, 0], [0, 1, 0], [0, 0, 1]] {
            assert!(
                !KeysReport { exports: vec![export("a", [0; 3]), export("b", octets)], ..sound.clone() }.is_sound()
            );
        }
        // An attempt that takes nothing from anybody is none.
        assert!(!KeysReport { control: Some(export("control", [32, 0, 32])), ..sound.clone() }.is_sound());
        assert!(!KeysReport { exports: vec![export("a", [0; 3])], ..sound.clone() }.is_sound());
        assert!(!KeysReport { keys: Vec::new(), exports: Vec::new(), ..sound }.is_sound());
    }
}
