//! What a simulation came to.

use serde::Serialize;

/// What happened in one year.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct YearRow {
    /// The year.
    pub year: i32,
    /// Insights that were raised.
    pub insights: u64,
    /// Rotations that a user began.
    pub user_starts: u64,
    /// Rotations that began by themselves.
    pub automatic_starts: u64,
    /// Automatic starts that came to nothing, to be tried again.
    pub failed_starts: u64,
    /// Rotations that a user completed, or that ran to their end by themselves.
    pub completions: u64,
    /// Rotations that an attempt completed.
    pub automatic_completions: u64,
    /// Attempts to complete that failed, because a pool still used the old credentials.
    pub failed_completions: u64,
    /// Clusters that became DEGRADED.
    pub degraded: u64,
    /// Clusters that expired.
    pub unrecoverable: u64,
}

/// What one cluster costs, in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryReport {
    /// By the fleet's own account, once all clusters are in.
    pub per_cluster: u64,
    /// By the fleet's own account, at the end.
    pub per_cluster_at_end: u64,
    /// By what the process grew while the clusters came in (`VmRSS` in /proc/self/status, Linux), where that exists.
    pub resident_per_cluster: Option<u64>,
}

/// Rotations that were to be run on the real machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MachineReport {
    /// One completed rotation in a thousand.
    pub sampled: u64,
    /// Those that were run.
    pub rehearsed: u64,
}

/// What a simulation came to. Its shape changes only together with [`FleetReport::VERSION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FleetReport {
    /// The version of this shape.
    pub version: u32,
    /// How many clusters there were at any time.
    pub clusters: u32,
    /// How many years passed.
    pub years: u16,
    /// What the random numbers began with.
    pub seed: u64,
    /// How often a cluster was due.
    pub told: u64,
    /// Every year.
    pub by_year: Vec<YearRow>,
    /// Clusters by health at the end: healthy, insight, degraded, unrecoverable.
    pub health_at_end: [usize; 4],
    /// What a cluster costs.
    pub memory: MemoryReport,
    /// Rotations on the real machine.
    pub machine: MachineReport,
    /// How often a law was checked.
    pub checks: u64,
    /// How often one was broken.
    pub violations: u64,
    /// The first few of them.
    pub broken: Vec<String>,
}

impl FleetReport {
    /// The version of the shape.
    pub const VERSION: u32 = 1;
}
