//! When a cluster is open to a step: inside a window, and in no exclusion that keeps the step away.

use core::fmt;

use time::{Duration, UtcDateTime};

use super::StepKind;
use super::exclusion::{ExclusionName, MaintenanceExclusion};
use super::instant::{Rfc3339, instant, second_from, second_of, seconds_for};
use super::timetable::{FOREVER, Run, Timetable};
use super::window::MaintenanceWindow;

/// The maintenance windows and exclusions of a cluster.
///
/// Without windows maintenance may happen at any time, as GKE has it; that is [`Calendar::always`], never an empty list of
/// windows. With windows it may happen while at least one of them is open. An exclusion beats every window.
///
/// No question looks at one day after the other: each takes time by the number of windows and exclusions, whatever lies
/// between two of them. The calendar ends with the year 9999; what would begin after that is never.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "super::stored::Calendar", into = "super::stored::Calendar"))]
pub struct Calendar {
    /// Empty exactly when there is no timetable.
    windows: Vec<MaintenanceWindow>,
    timetable: Option<Timetable>,
    /// By start.
    exclusions: Vec<MaintenanceExclusion>,
}

impl Calendar {
    /// The most windows of a calendar. GKE has one per cluster; the limit is ours.
    pub const MAX_WINDOWS: usize = 64;
    /// The most exclusions of a calendar. The limit is ours.
    pub const MAX_EXCLUSIONS: usize = 64;

    /// Open at any time.
    #[must_use]
    pub const fn always() -> Self {
        Self { windows: Vec::new(), timetable: None, exclusions: Vec::new() }
    }

    /// Open in these windows.
    ///
    /// # Errors
    /// [`CalendarError::NoWindows`] and [`CalendarError::TooManyWindows`].
    pub fn within(windows: impl IntoIterator<Item = MaintenanceWindow>) -> Result<Self, CalendarError> {
        let windows: Vec<_> = windows.into_iter().take(Self::MAX_WINDOWS + 1).collect();
        match windows.len() {
            0 => Err(CalendarError::NoWindows),
            1..=Self::MAX_WINDOWS => {
                Ok(Self { timetable: Some(Timetable::new(&windows)), windows, exclusions: Vec::new() })
            }
            _ => Err(CalendarError::TooManyWindows),
        }
    }

    /// The same calendar with these exclusions added. They may overlap; each has a name of its own.
    ///
    /// # Errors
    /// [`CalendarError::TooManyExclusions`] and [`CalendarError::DuplicateExclusion`].
    pub fn with_exclusions(
        mut self,
        exclusions: impl IntoIterator<Item = MaintenanceExclusion>,
    ) -> Result<Self, CalendarError> {
        for exclusion in exclusions {
            if self.exclusions.len() == Self::MAX_EXCLUSIONS {
                return Err(CalendarError::TooManyExclusions);
            }
            if self.exclusions.iter().any(|other| other.name() == exclusion.name()) {
                return Err(CalendarError::DuplicateExclusion(exclusion.name().clone()));
            }
            self.exclusions.push(exclusion);
        }
        self.exclusions.sort_by(|one, other| (one.start(), one.name()).cmp(&(other.start(), other.name())));
        Ok(self)
    }

    /// The windows; none when the calendar is open at any time.
    #[must_use]
    pub fn windows(&self) -> &[MaintenanceWindow] {
        &self.windows
    }

    /// The exclusions, by their start.
    #[must_use]
    pub fn exclusions(&self) -> &[MaintenanceExclusion] {
        &self.exclusions
    }

    /// Whether the calendar has windows. One without is open whenever no exclusion holds.
    #[must_use]
    pub const fn has_windows(&self) -> bool {
        self.timetable.is_some()
    }

    /// Whether the calendar is open to a step in the second of `now`, and until when that stays so.
    #[must_use]
    pub fn is_open(&self, step: StepKind, now: UtcDateTime) -> Availability {
        let second = second_of(now);
        match self.open_run(step, second, 1) {
            Some(run) if run.start == second => Availability::Open { until: instant(run.end) },
            opens => {
                let until = opens.and_then(|run| instant(run.start));
                Availability::Closed { until, why: self.closure(step, second) }
            }
        }
    }

    /// The first instant, in whole seconds and not before `from`, from which on the calendar is open to a step for at
    /// least `at_least`; a duration of zero or less asks for an open second. `None` when there is none, which is certain.
    #[must_use]
    pub fn next_open(&self, step: StepKind, from: UtcDateTime, at_least: Duration) -> Option<UtcDateTime> {
        self.open_run(step, second_from(from), seconds_for(at_least).max(1)).and_then(|run| instant(run.start))
    }

    /// The stretches between two instants in which the calendar is open to a step, in order, each as long as it can be
    /// and cut to the two instants. They are found as they are asked for.
    #[must_use]
    pub const fn open_intervals(&self, step: StepKind, from: UtcDateTime, until: UtcDateTime) -> OpenIntervals<'_> {
        OpenIntervals { calendar: self, step, next: second_from(from), until: second_of(until) }
    }

    /// The first instant at which work of the length `at_least` can begin, so that it is done by `deadline`.
    ///
    /// # Errors
    /// [`CalendarError::NoWindow`], when no window is long enough, or exclusions cover every window up to then.
    pub fn check_fits(
        &self,
        step: StepKind,
        from: UtcDateTime,
        deadline: UtcDateTime,
        at_least: Duration,
    ) -> Result<UtcDateTime, CalendarError> {
        let seconds = seconds_for(at_least).max(1);
        let in_time = |start: i64| start.saturating_add(seconds) <= second_of(deadline);
        let next = self.open_run(step, second_from(from), seconds).map(|run| run.start);
        if let Some(start) = next.filter(|start| in_time(*start)).and_then(instant) {
            return Ok(start);
        }
        // What would fit if nothing were excluded, and what keeps it from that.
        let unblocked = self.window_run(second_from(from), seconds).filter(|run| in_time(run.start));
        let in_the_way = unblocked.and_then(|run| self.next_exclusion(step, run.start));
        Err(CalendarError::NoWindow {
            step,
            from,
            deadline,
            at_least,
            next: next.and_then(instant),
            excluded_by: in_the_way.map(|exclusion| exclusion.name().clone()),
        })
    }

    /// The first run at or after `second`, or what is left of it, that lasts at least so many seconds.
    fn open_run(&self, step: StepKind, mut second: i64, seconds: i64) -> Option<Run> {
        loop {
            let run = self.window_run(second, seconds)?;
            let Some(exclusion) = self.next_exclusion(step, run.start) else { return Some(run) };
            let free = Run { end: run.end.min(second_of(exclusion.start())), ..run };
            if free.lasts(seconds) {
                return Some(free);
            }
            // The windows are open up to the exclusion, so nothing else lies before its end; and each is passed once.
            second = second_of(exclusion.end());
        }
    }

    fn window_run(&self, second: i64, seconds: i64) -> Option<Run> {
        match &self.timetable {
            None => Some(Run { start: second, end: FOREVER }),
            Some(timetable) => timetable.first_run(second, seconds),
        }
    }

    /// The first exclusion that ends after `second` and keeps the step away.
    fn next_exclusion(&self, step: StepKind, second: i64) -> Option<&MaintenanceExclusion> {
        let mut blocking = self.exclusions.iter().filter(|exclusion| exclusion.scope().blocks(step));
        blocking.find(|exclusion| second_of(exclusion.end()) > second)
    }

    /// The exclusion that keeps the step away in a second; of several the one that ends last.
    fn exclusion_at(&self, step: StepKind, second: i64) -> Option<&MaintenanceExclusion> {
        let holds = |exclusion: &&MaintenanceExclusion| {
            (second_of(exclusion.start())..second_of(exclusion.end())).contains(&second)
        };
        let blocking = self.exclusions.iter().filter(|exclusion| exclusion.scope().blocks(step));
        blocking.filter(holds).max_by_key(|exclusion| exclusion.end())
    }

    fn closure(&self, step: StepKind, second: i64) -> Closure {
        let exclusion = self.exclusion_at(step, second);
        exclusion.map_or(Closure::OutsideWindow, |exclusion| Closure::Exclusion(exclusion.name().clone()))
    }
}

/// Whether a calendar is open to a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Availability {
    /// It is.
    Open {
        /// The first second in which it no longer is; `None` when it stays open.
        until: Option<UtcDateTime>,
    },
    /// It is not.
    Closed {
        /// The first second in which it is again; `None` when it stays closed.
        until: Option<UtcDateTime>,
        /// What keeps it closed now.
        why: Closure,
    },
}

/// What keeps a calendar closed to a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Closure {
    /// No window is open.
    OutsideWindow,
    /// This exclusion holds, whatever the windows say; of several the one that ends last.
    Exclusion(ExclusionName),
}

impl fmt::Display for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideWindow => f.write_str("outside of every maintenance window"),
            Self::Exclusion(name) => write!(f, "in the maintenance exclusion `{name}`"),
        }
    }
}

/// A stretch of open time, with its first second and without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpenInterval {
    /// The first second.
    pub start: UtcDateTime,
    /// The first second after it.
    pub end: UtcDateTime,
}

/// The open stretches of a calendar. Made by [`Calendar::open_intervals`].
#[derive(Clone, Debug)]
pub struct OpenIntervals<'a> {
    calendar: &'a Calendar,
    step: StepKind,
    next: i64,
    until: i64,
}

impl Iterator for OpenIntervals<'_> {
    type Item = OpenInterval;

    fn next(&mut self) -> Option<OpenInterval> {
        if self.next >= self.until {
            return None;
        }
        let run = self.calendar.open_run(self.step, self.next, 1).filter(|run| run.start < self.until);
        self.next = run.map_or(self.until, |run| run.end.min(self.until));
        Some(OpenInterval { start: instant(run?.start)?, end: instant(self.next)? })
    }
}

impl core::iter::FusedIterator for OpenIntervals<'_> {}

/// Why there is no such calendar, or no time in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CalendarError {
    /// A list of windows is empty. A calendar that is open at any time is [`Calendar::always`].
    NoWindows,
    /// More windows than [`Calendar::MAX_WINDOWS`].
    TooManyWindows,
    /// More exclusions than [`Calendar::MAX_EXCLUSIONS`].
    TooManyExclusions,
    /// Two exclusions have this name.
    DuplicateExclusion(ExclusionName),
    /// The calendar has no room for the work before its deadline.
    NoWindow {
        /// The step.
        step: StepKind,
        /// When it could begin.
        from: UtcDateTime,
        /// When it has to be done.
        deadline: UtcDateTime,
        /// How long it takes.
        at_least: Duration,
        /// When the calendar has room for it, too late; `None` for never.
        next: Option<UtcDateTime>,
        /// The exclusion but for which there would be room in time, the first of them; `None` when the windows
        /// themselves have none.
        excluded_by: Option<ExclusionName>,
    },
}

impl fmt::Display for CalendarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWindows => {
                f.write_str("the list of maintenance windows is empty: expected one, or a calendar always open")
            }
            Self::TooManyWindows => write!(f, "more maintenance windows than the limit {}", Calendar::MAX_WINDOWS),
            Self::TooManyExclusions => {
                write!(f, "more maintenance exclusions than the limit {}", Calendar::MAX_EXCLUSIONS)
            }
            Self::DuplicateExclusion(name) => write!(f, "two maintenance exclusions are named `{name}`"),
            Self::NoWindow { step, from, deadline, at_least, next, excluded_by } => {
                let (from, deadline) = (Rfc3339(*from), Rfc3339(*deadline));
                write!(f, "no maintenance window for `{step}` of {at_least} from {from} to {deadline}: ")?;
                match excluded_by {
                    Some(name) => write!(f, "the exclusion `{name}` is in the way")?,
                    None => f.write_str("no window is long enough in time")?,
                }
                match next {
                    Some(next) => write!(f, ", the first is at {}", Rfc3339(*next)),
                    None => f.write_str(", and none comes later"),
                }
            }
        }
    }
}

impl core::error::Error for CalendarError {}

#[cfg(test)]
mod tests {
    use super::super::instant::parse_instant;
    use super::*;

    fn at(text: &str) -> UtcDateTime {
        parse_instant(text).unwrap()
    }

    fn exclusion(name: &str, start: &str, end: &str, scope: &str) -> MaintenanceExclusion {
        MaintenanceExclusion::parse(name, start, end, scope).unwrap()
    }

    /// Weekends of UTC from 03:00 to 07:00; 2026-11-21 is a Saturday.
    fn weekends() -> Calendar {
        let (start, end) = ("2026-11-21T03:00:00Z", "2026-11-21T07:00:00Z");
        Calendar::within([MaintenanceWindow::parse(start, end, "FREQ=WEEKLY;BYDAY=SA,SU").unwrap()]).unwrap()
    }

    fn open(until: &str) -> Availability {
        Availability::Open { until: Some(at(until)) }
    }

    fn outside(until: &str) -> Availability {
        Availability::Closed { until: Some(at(until)), why: Closure::OutsideWindow }
    }

    #[test]
    fn a_window_holds_its_first_second_and_not_its_end() {
        let calendar = weekends();
        for step in StepKind::ALL {
            for (now, expected) in [
                ("2020-01-04T03:00:00Z", outside("2026-11-21T03:00:00Z")),
                ("2026-11-21T02:59:59Z", outside("2026-11-21T03:00:00Z")),
                ("2026-11-21T03:00:00Z", open("2026-11-21T07:00:00Z")),
                ("2026-11-21T06:59:59Z", open("2026-11-21T07:00:00Z")),
                ("2026-11-21T07:00:00Z", outside("2026-11-22T03:00:00Z")),
                ("2026-11-22T07:00:00Z", outside("2026-11-28T03:00:00Z")),
                ("2028-02-27T06:59:59Z", open("2028-02-27T07:00:00Z")),
                ("2028-02-29T05:00:00Z", outside("2028-03-04T03:00:00Z")),
                ("2100-02-28T05:00:00Z", open("2100-02-28T07:00:00Z")),
                ("2100-03-01T05:00:00Z", outside("2100-03-06T03:00:00Z")),
            ] {
                assert_eq!(calendar.is_open(step, at(now)), expected, "{now}");
            }
        }
        let last = at("2026-11-21T06:59:59Z").replace_nanosecond(999_999_999).unwrap();
        assert_eq!(calendar.is_open(StepKind::Start, last), open("2026-11-21T07:00:00Z"));
        // Not an instant before `from` is named, so the second has to be whole.
        let asked = at("2026-11-21T03:00:00Z").replace_nanosecond(1).unwrap();
        assert_eq!(calendar.next_open(StepKind::Start, asked, Duration::ZERO), Some(at("2026-11-21T03:00:01Z")));
    }

    #[test]
    fn any_time_is_not_no_window() {
        let now = at("2026-11-21T03:00:00Z");
        let always = Calendar::always();
        assert_eq!(always.is_open(StepKind::Start, now), Availability::Open { until: None });
        for length in [Duration::MIN, Duration::ZERO, Duration::days(3_000_000), Duration::MAX] {
            assert_eq!(always.next_open(StepKind::Start, now, length), Some(now));
        }
        assert!(!always.has_windows() && weekends().has_windows());
        assert_eq!(Calendar::within([]), Err(CalendarError::NoWindows));
        let freeze = exclusion("freeze", "2026-11-20T00:00:00Z", "9999-12-31T23:59:59Z", "NO_UPGRADES");
        let closed = always.with_exclusions([freeze]).unwrap();
        let why = Closure::Exclusion("freeze".parse().unwrap());
        let until = Some(at("9999-12-31T23:59:59Z"));
        assert_eq!(closed.is_open(StepKind::Complete, now), Availability::Closed { until, why });
    }

    #[test]
    fn an_exclusion_beats_a_window_for_the_steps_of_its_scope() {
        let (start, end) = ("2026-11-21T05:00:00Z", "2026-11-22T04:00:00Z");
        let of_scope = |scope| weekends().with_exclusions([exclusion("sale", start, end, scope)]).unwrap();
        let excluded = Availability::Closed {
            until: Some(at("2026-11-22T04:00:00Z")),
            why: Closure::Exclusion("sale".parse().unwrap()),
        };
        for scope in ["NO_UPGRADES", "NO_MINOR_UPGRADES", "NO_MINOR_OR_NODE_UPGRADES"] {
            let calendar = of_scope(scope);
            for step in StepKind::ALL {
                let blocked = match scope {
                    "NO_UPGRADES" => true,
                    "NO_MINOR_UPGRADES" => false,
                    _ => step == StepKind::RecreateNodes,
                };
                let is_open = |now: &str| calendar.is_open(step, at(now));
                let free = |until| open(if blocked { until } else { "2026-11-21T07:00:00Z" });
                assert_eq!(is_open("2026-11-21T03:00:00Z"), free("2026-11-21T05:00:00Z"), "{scope} {step}");
                assert_eq!(is_open("2026-11-21T04:59:59Z"), free("2026-11-21T05:00:00Z"));
                let inside = if blocked { excluded.clone() } else { open("2026-11-21T07:00:00Z") };
                assert_eq!(is_open("2026-11-21T05:00:00Z"), inside);
                assert_eq!(is_open("2026-11-22T04:00:00Z"), open("2026-11-22T07:00:00Z"));
                let next = calendar.next_open(step, at("2026-11-21T04:00:00Z"), Duration::hours(3));
                let expected = if blocked { "2026-11-22T04:00:00Z" } else { "2026-11-21T04:00:00Z" };
                assert_eq!(next, Some(at(expected)));
            }
        }
    }

    #[test]
    fn exclusions_that_meet_are_one() {
        let calendar = weekends()
            .with_exclusions([
                exclusion("c", "2026-11-28T06:00:00Z", "2026-11-28T06:30:00Z", "NO_MINOR_OR_NODE_UPGRADES"),
                exclusion("b", "2026-11-22T00:00:00Z", "2026-11-28T04:00:00Z", "NO_UPGRADES"),
                exclusion("a", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "NO_UPGRADES"),
                exclusion("inside", "2026-11-21T01:00:00Z", "2026-11-21T02:00:00Z", "NO_UPGRADES"),
            ])
            .unwrap();
        let names: Vec<_> = calendar.exclusions().iter().map(|exclusion| exclusion.name().as_str()).collect();
        assert_eq!(names, ["a", "inside", "b", "c"]);
        let now = at("2026-11-21T03:00:00Z");
        for step in StepKind::ALL {
            let why = Closure::Exclusion("a".parse().unwrap());
            let until = Some(at("2026-11-28T04:00:00Z"));
            assert_eq!(calendar.is_open(step, now), Availability::Closed { until, why });
            // Where two hold, the one that ends last is named.
            let both = calendar.is_open(step, at("2026-11-21T01:30:00Z"));
            assert_eq!(both, calendar.is_open(step, now));
            let until = at("2026-11-30T00:00:00Z");
            let intervals: Vec<_> = calendar.open_intervals(step, now, until).collect();
            let interval = |start: &str, end: &str| OpenInterval { start: at(start), end: at(end) };
            let sunday = interval("2026-11-29T03:00:00Z", "2026-11-29T07:00:00Z");
            if step == StepKind::RecreateNodes {
                let (first, second) = (
                    interval("2026-11-28T04:00:00Z", "2026-11-28T06:00:00Z"),
                    interval("2026-11-28T06:30:00Z", "2026-11-28T07:00:00Z"),
                );
                assert_eq!(intervals, [first, second, sunday]);
            } else {
                assert_eq!(intervals, [interval("2026-11-28T04:00:00Z", "2026-11-28T07:00:00Z"), sunday]);
            }
        }
    }

    #[test]
    fn intervals_are_cut_to_what_was_asked() {
        let calendar = weekends();
        let intervals =
            |from: &str, until: &str| calendar.open_intervals(StepKind::Start, at(from), at(until)).collect::<Vec<_>>();
        let (start, end) = (at("2026-11-21T04:00:00Z"), at("2026-11-21T05:00:00Z"));
        assert_eq!(intervals("2026-11-21T04:00:00Z", "2026-11-21T05:00:00Z"), [OpenInterval { start, end }]);
        assert_eq!(intervals("2026-11-21T07:00:00Z", "2026-11-22T03:00:00Z"), []);
        assert_eq!(intervals("2026-11-21T05:00:00Z", "2026-11-21T05:00:00Z"), []);
        assert_eq!(intervals("2026-11-21T06:00:00Z", "2026-11-21T05:00:00Z"), []);
        let all = OpenInterval { start, end };
        let always = Calendar::always();
        let mut open = always.open_intervals(StepKind::Start, start, end);
        assert_eq!((open.next(), open.next(), open.next()), (Some(all), None, None));
        // Until the last second of the calendar, and not beyond.
        let last = always.open_intervals(StepKind::Start, start, UtcDateTime::MAX).last().unwrap();
        assert_eq!(last.end, at("9999-12-31T23:59:59Z"));
        let late = calendar.open_intervals(StepKind::Start, at("9999-12-01T00:00:00Z"), UtcDateTime::MAX);
        assert_eq!(late.last().unwrap().end, at("9999-12-26T07:00:00Z"));
        assert_eq!(calendar.next_open(StepKind::Start, at("9999-12-26T07:00:00Z"), Duration::ZERO), None);
    }

    #[test]
    fn work_fits_before_its_deadline_or_says_what_is_in_the_way() {
        let (from, step) = (at("2026-11-21T08:00:00Z"), StepKind::RecreateNodes);
        let hours = Duration::hours(4);
        let calendar = weekends();
        let fits =
            |calendar: &Calendar, deadline: &str, at_least| calendar.check_fits(step, from, at(deadline), at_least);
        assert_eq!(fits(&calendar, "2026-11-22T07:00:00Z", hours), Ok(at("2026-11-22T03:00:00Z")));
        let none = |deadline: &str, at_least, next: Option<&str>, excluded_by: Option<&str>| {
            Err(CalendarError::NoWindow {
                step,
                from,
                deadline: at(deadline),
                at_least,
                next: next.map(at),
                excluded_by: excluded_by.map(|name| name.parse().unwrap()),
            })
        };
        let early = "2026-11-22T06:59:59Z";
        assert_eq!(fits(&calendar, early, hours), none(early, hours, Some("2026-11-22T03:00:00Z"), None));
        let long = hours + Duration::SECOND;
        assert_eq!(fits(&calendar, "2030-01-01T00:00:00Z", long), none("2030-01-01T00:00:00Z", long, None, None));

        let covered = weekends()
            .with_exclusions([
                exclusion("one", "2026-11-22T06:00:00Z", "2026-11-23T00:00:00Z", "NO_MINOR_OR_NODE_UPGRADES"),
                exclusion("two", "2026-11-28T00:00:00Z", "2026-12-01T00:00:00Z", "NO_UPGRADES"),
            ])
            .unwrap();
        let (deadline, next) = ("2026-12-01T00:00:00Z", "2026-12-05T03:00:00Z");
        let refused = fits(&covered, deadline, hours);
        assert_eq!(refused, none(deadline, hours, Some(next), Some("one")));
        assert_eq!(
            refused.unwrap_err().to_string(),
            "no maintenance window for `recreate-nodes` of 4h from 2026-11-21T08:00:00Z to 2026-12-01T00:00:00Z: the \
             exclusion `one` is in the way, the first is at 2026-12-05T03:00:00Z"
        );
        assert_eq!(fits(&covered, deadline, Duration::hours(3)), Ok(at("2026-11-22T03:00:00Z")));
        assert_eq!(fits(&covered, "2026-12-05T07:00:00Z", hours), Ok(at(next)));
        assert_eq!(covered.check_fits(StepKind::Complete, from, at(deadline), hours), Ok(at("2026-11-22T03:00:00Z")));
    }

    #[test]
    fn a_calendar_has_limits() {
        let window = weekends().windows()[0];
        assert!(Calendar::within([window; 64]).is_ok());
        assert_eq!(Calendar::within([window; 65]), Err(CalendarError::TooManyWindows));
        assert_eq!(Calendar::within(core::iter::repeat(window)), Err(CalendarError::TooManyWindows));
        let named =
            |name: usize| exclusion(&name.to_string(), "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z", "NO_UPGRADES");
        let full = Calendar::always().with_exclusions((0..64).map(named)).unwrap();
        assert_eq!(full.clone().with_exclusions([named(64)]), Err(CalendarError::TooManyExclusions));
        assert_eq!(Calendar::always().with_exclusions((0..).map(named)), Err(CalendarError::TooManyExclusions));
        let twice = Calendar::always().with_exclusions([named(1)]).unwrap().with_exclusions([named(1)]);
        assert_eq!(twice, Err(CalendarError::DuplicateExclusion("1".parse().unwrap())));
    }
}
