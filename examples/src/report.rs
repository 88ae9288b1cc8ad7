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
    /// What held the CA keys.
    pub signer: String,
    /// The stages, in order; the first is the traffic before anything began.
    pub stages: Vec<StageReport>,
    /// How often each component restarted.
    pub restarts: BTreeMap<String, u64>,
    /// The old credentials that were tried at the end.
    pub probes: ProbeReport,
}

impl Report {
    /// The version of the shape.
    pub const VERSION: u32 = 1;
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
    /// Connections that were refused because nothing listened.
    pub unavailable: u64,
}

/// Old credentials that were tried when the rotation was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProbeReport {
    /// Refused, for the right reason.
    pub refused: u64,
    /// Tried.
    pub total: u64,
}
