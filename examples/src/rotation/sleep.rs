//! A node that cannot be reached while stages go by, until a rotation waits for it.

use core::time::Duration;

use pki_core::NodeName;

use super::RunError;
use super::drive::Run;
use crate::report::SleepReport;
use crate::traffic::Traffic;

/// Who sleeps, and what went by.
#[derive(Debug)]
pub(super) enum Sleeper {
    Nobody,
    /// Until the first rotation begins.
    Awake(NodeName),
    Asleep(NodeName, SleepReport),
    Woken(SleepReport),
}

impl Sleeper {
    pub(super) fn new(node: Option<NodeName>) -> Self {
        node.map_or(Self::Nobody, Self::Awake)
    }

    /// A stage has ended.
    pub(super) fn ended(&mut self, stage: &str) {
        if let Self::Asleep(_, report) = self {
            report.through.push(stage.to_owned());
        }
    }

    pub(super) fn report(self) -> Option<SleepReport> {
        match self {
            Self::Asleep(_, report) | Self::Woken(report) => Some(report),
            Self::Nobody | Self::Awake(_) => None,
        }
    }
}

impl Run<'_> {
    pub(super) fn put_to_sleep(&mut self) -> Result<(), RunError> {
        if let Sleeper::Awake(node) = &self.sleeper {
            let node = node.clone();
            self.cluster.put_to_sleep(&node)?;
            self.note(format!("`{node}` falls asleep: nobody reaches it, and it does nothing"));
            let report = SleepReport { node: node.to_string(), ..SleepReport::default() };
            self.sleeper = Sleeper::Asleep(node, report);
        }
        Ok(())
    }

    /// Nothing moves any more. If that is because somebody sleeps, it waits for a while, and then they wake up.
    pub(super) fn wake_whoever_is_waited_for(
        &mut self,
        stage: &str,
        traffic: Option<&Traffic>,
    ) -> Result<bool, RunError> {
        let Sleeper::Asleep(node, report) = &self.sleeper else { return Ok(false) };
        let (node, mut report) = (node.clone(), report.clone());
        let waiting = self.machine()?.waiting();
        let names: Vec<_> = waiting.filter(|id| *id.instance() == node).map(|id| format!("`{id}`")).collect();
        if names.is_empty() {
            return Ok(false);
        }
        self.note(format!("`{stage}` waits for {}, which sleeps", names.join(", ")));
        let mut waited = Duration::ZERO;
        while let Some(traffic) = traffic
            && waited < self.options.dwell
        {
            self.linger(traffic);
            waited += Duration::from_millis(20);
        }
        self.cluster.wake(&node)?;
        self.note(format!("`{node}` is awake again, with what was on its disk"));
        report.waited_in = Some(stage.to_owned());
        self.sleeper = Sleeper::Woken(report);
        Ok(true)
    }
}
