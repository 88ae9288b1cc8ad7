//! A timeline for people.

use core::fmt;

use time::Duration;

use super::timeline::Timeline;
use crate::insight::Feasibility;
use crate::maintenance::Rfc3339;

/// How long something takes, in its two largest units that are not zero.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.whole_seconds();
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let written: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).take(2).map(|(n, of)| format!("{n} {of}")).collect();
    if written.is_empty() { "0 s".to_owned() } else { format!("{sign}{}", written.join(" ")) }
}

/// So many of what is listed one by one; of more, how many.
const LISTED: usize = 10;

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_dates(f)?;
        self.write_stages(f)?;
        self.write_work(f)?;
        let blocked = self.blocked.iter().map(|blocked| {
            let of = blocked.pool.as_ref().map(|pool| format!(" of pool {pool}")).unwrap_or_default();
            let (why, total, first) = (&blocked.why, span(blocked.total), Rfc3339(blocked.first));
            format!("{}{of}: {total}, first at {first}, {why}", blocked.step)
        });
        listed(f, "the calendar keeps waiting", blocked)?;
        listed(f, "stops for whoever does nothing", self.outages.iter().map(ToString::to_string))?;
        listed(f, "breaks on the way", self.losses.iter().map(ToString::to_string))?;
        listed(f, "to be handed out afterwards", self.deliveries.iter().map(ToString::to_string))?;
        let assumed = self.assumed_in_order.iter().map(ToString::to_string);
        listed(f, "not in order now, and taken to be when it begins", assumed)
    }
}

impl Timeline {
    fn write_dates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.emergency { "emergency".to_owned() } else { self.strategy.to_string() };
        let (cluster, unit, from, to) = (&self.cluster, self.unit, self.from, self.to);
        writeln!(f, "cluster {cluster}: {unit} from CAVersion {from} to {to}, {order}")?;
        writeln!(f, "  begins             {}", Rfc3339(self.begins))?;
        if let Some(point) = self.point_of_no_return {
            writeln!(f, "  no way back from   {}", Rfc3339(point))?;
        }
        writeln!(f, "  completes          {}  after {}", Rfc3339(self.completes), span(self.takes()))?;
        if let (Some(expiry), Some(margin)) = (self.expiry, self.margin()) {
            writeln!(f, "  credentials expire {}  margin {}", Rfc3339(expiry), span(margin))?;
        }
        if let Some(latest) = self.latest_start {
            writeln!(f, "  latest safe start  {}", Rfc3339(latest))?;
        }
        match self.feasibility() {
            Feasibility::AtRisk { .. } if self.is_at_risk() => f.write_str("  AT RISK: it does not fit\n")?,
            Feasibility::AtRisk { .. } => f.write_str("  it does not fit; a risk from the day of the insight on\n")?,
            _ => f.write_str("  it fits\n")?,
        }
        self.insight.iter().try_for_each(|insight| writeln!(f, "  {insight}"))
    }

    fn write_stages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.stages.iter().map(|stage| stage.id.to_string());
        let width = names.map(|name| name.len()).max().unwrap_or_default().max("STAGE".len());
        let head = ("STAGE", "BEGINS", "TAKES", "CLOSED", "RESTARTS", "NODES", "WORDS");
        let (a, b, c, d, e, g, h) = head;
        writeln!(f, "\n{a:width$}  {b:20}  {c:>12}  {d:>12}  {e:>8}  {g:>6}  {h:>5}")?;
        for stage in &self.stages {
            let (id, begins) = (stage.id.to_string(), Rfc3339(stage.begins).to_string());
            let (takes, closed) = (span(stage.takes()), span(stage.blocked));
            let (restarts, nodes, words) = (stage.restarts, stage.recreations, stage.words);
            writeln!(f, "{id:width$}  {begins:20}  {takes:>12}  {closed:>12}  {restarts:>8}  {nodes:>6}  {words:>5}")?;
        }
        Ok(())
    }

    fn write_work(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:24}  {:>9}  {:>8}  {:>12}", "COMPONENT", "INSTANCES", "RESTARTS", "MOST OF ONE")?;
        for work in &self.components {
            let (kind, instances, restarts, most) = (work.kind.to_string(), work.instances, work.restarts, work.most);
            writeln!(f, "{kind:24}  {instances:>9}  {restarts:>8}  {most:>12}")?;
        }
        let most = |of: fn(&super::NodeWork) -> u32| self.nodes.iter().map(of).max().unwrap_or_default();
        let (recreations, restarts) = (most(|node| node.recreations), most(|node| node.restarts));
        writeln!(f, "each node: {recreations} recreations, {restarts} restarts of its kubelet, at most")
    }
}

fn listed(f: &mut fmt::Formatter<'_>, title: &str, lines: impl ExactSizeIterator<Item = String>) -> fmt::Result {
    let count = lines.len();
    if count == 0 {
        return Ok(());
    }
    writeln!(f, "\n{title}:")?;
    let mut lines = lines;
    lines.by_ref().take(LISTED).try_for_each(|line| writeln!(f, "  {line}"))?;
    match lines.len() {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_in_their_two_largest_units() {
        for (seconds, written) in [
            (0, "0 s"),
            (59, "59 s"),
            (600, "10 min"),
            (3_661, "1 h 1 min"),
            (86_400, "1 d"),
            (90_061, "1 d 1 h"),
            (-7_200, "-2 h"),
        ] {
            assert_eq!(span(Duration::seconds(seconds)), written);
        }
    }
}
