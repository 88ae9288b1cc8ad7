//! All windows of a calendar as one repeating week, so that a question costs the same however far it looks.
//!
//! A window never ends, so from the last first start on the weeks are all alike, and before it there are as many kinds of
//! week as windows that begin. Each begins with the start of an occurrence, and its open hours hold those of the kind
//! before. Between two beginnings, looking at one week is looking at all.

use super::instant::second_of;
use super::window::MaintenanceWindow;

const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;

/// The end of a run that has none.
pub(super) const FOREVER: i64 = i64::MAX;

/// Open seconds without a gap: the first, and the first that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Run {
    /// What is left of it from `second` on.
    fn from(self, second: i64) -> Self {
        Self { start: self.start.max(second), ..self }
    }

    /// Whether it lasts at least so many seconds.
    pub(super) const fn lasts(self, seconds: i64) -> bool {
        self.end == FOREVER || self.end.saturating_sub(self.start) >= seconds
    }

    const fn moved(self, by: i64) -> Self {
        Self { start: self.start + by, end: self.end + by }
    }
}

/// The open seconds of a week that repeats, counted from Monday's first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Week {
    /// All of them.
    Full,
    /// In order, with gaps between them, and a gap somewhere. Each starts in the week; the last may reach into the next.
    Runs(Vec<Run>),
}

impl Week {
    fn of(windows: &[MaintenanceWindow]) -> Self {
        let mut occurrences: Vec<Run> = windows.iter().flat_map(occurrences).collect();
        occurrences.sort_unstable_by_key(|run| run.start);
        let mut runs: Vec<Run> = Vec::with_capacity(occurrences.len());
        for occurrence in occurrences {
            match runs.last_mut() {
                Some(last) if occurrence.start <= last.end => last.end = last.end.max(occurrence.end),
                _ => runs.push(occurrence),
            }
        }
        // Only the last can reach into the next week, where it meets the first ones.
        let Some(mut last) = runs.pop() else { return Self::Runs(runs) };
        let mut met = 0;
        for run in &runs {
            if run.start + WEEK > last.end {
                break;
            }
            last.end = last.end.max(run.end + WEEK);
            met += 1;
        }
        if last.lasts(WEEK) {
            return Self::Full;
        }
        runs.drain(..met);
        runs.push(last);
        Self::Runs(runs)
    }

    /// The first run at or after `second`, or what is left of it, that lasts at least so many seconds, of which there is
    /// at least one.
    fn first_run(&self, second: i64, seconds: i64) -> Option<Run> {
        let Self::Runs(runs) = self else { return Some(Run { start: second, end: FOREVER }) };
        // One run may reach over from the week before. Until the end of the week after, each is seen whole.
        let monday = second - of_week(second);
        let weeks = [monday - WEEK, monday, monday + WEEK];
        let all = weeks.into_iter().flat_map(|monday| runs.iter().map(move |run| run.moved(monday)));
        all.filter(|run| run.end > second).map(|run| run.from(second)).find(|run| run.lasts(seconds))
    }

    /// The whole run in which `second` lies.
    fn around(&self, second: i64) -> Option<Run> {
        let Self::Runs(runs) = self else { return Some(Run { start: i64::MIN, end: FOREVER }) };
        let monday = second - of_week(second);
        let all = [monday - WEEK, monday].into_iter().flat_map(|monday| runs.iter().map(move |run| run.moved(monday)));
        all.into_iter().find(|run| (run.start..run.end).contains(&second))
    }
}

/// The seconds since Monday. The first day of 1970 was a Thursday.
const fn of_week(second: i64) -> i64 {
    (second + 3 * DAY).rem_euclid(WEEK)
}

/// The occurrences of a window that start in one week.
fn occurrences(window: &MaintenanceWindow) -> impl Iterator<Item = Run> {
    let (length, time) = (window.length().whole_seconds(), second_of(window.start()).rem_euclid(DAY));
    window.days().iter().map(move |day| {
        let start = i64::from(day.number_days_from_monday()) * DAY + time;
        Run { start, end: start + length }
    })
}

/// When at least one of several windows is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Timetable(Vec<Kind>);

/// A kind of week, and the second from which on it holds, until the next kind does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    from: i64,
    week: Week,
}

impl Timetable {
    pub(super) fn new(windows: &[MaintenanceWindow]) -> Self {
        let mut windows = windows.to_vec();
        windows.sort_by_key(MaintenanceWindow::start);
        let mut kinds: Vec<Kind> = Vec::new();
        let mut begun = Vec::with_capacity(windows.len());
        for together in windows.chunk_by(|one, other| one.start() == other.start()) {
            begun.extend_from_slice(together);
            let week = Week::of(&begun);
            if let Some(first) = together.first().filter(|_| kinds.last().is_none_or(|kind| kind.week != week)) {
                kinds.push(Kind { from: second_of(first.start()), week });
            }
        }
        Self(kinds)
    }

    /// The first run at or after `second`, or what is left of it, that lasts at least so many seconds. `None` when there
    /// is none, ever.
    pub(super) fn first_run(&self, second: i64, seconds: i64) -> Option<Run> {
        let mut second = second;
        for (index, kind) in self.0.iter().enumerate() {
            let next = self.0.get(index + 1).map_or(FOREVER, |kind| kind.from);
            if next <= second {
                continue;
            }
            second = second.max(kind.from);
            if let Some(run) = kind.week.first_run(second, seconds).filter(|run| run.start < next) {
                return Some(self.prolonged(run, index));
            }
            if next == FOREVER {
                break;
            }
            // Of the runs before the next kind only the one that meets it can become longer.
            let meets = kind.week.around(next - 1).map(|run| self.prolonged(run.from(second), index));
            if let Some(run) = meets.filter(|run| run.lasts(seconds)) {
                return Some(run);
            }
            second = next;
        }
        None
    }

    /// A run of one kind of week, to its end in the kinds after it.
    fn prolonged(&self, mut run: Run, index: usize) -> Run {
        for kind in self.0.iter().skip(index + 1) {
            if run.end == FOREVER || run.end < kind.from {
                break;
            }
            // A kind begins with an occurrence, and what was open before stays open.
            let second = kind.from.max(run.end - 1);
            run.end = kind.week.around(second).map_or(run.end, |longer| longer.end);
        }
        run
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::super::instant::{instant, parse_instant};
    use super::*;

    const HOUR: i64 = 3_600;

    fn window(start: &str, hours: i64, rule: &str) -> MaintenanceWindow {
        MaintenanceWindow::lasting(parse_instant(start).unwrap(), Duration::hours(hours), rule.parse().unwrap())
            .unwrap()
    }

    fn second(text: &str) -> i64 {
        second_of(parse_instant(text).unwrap())
    }

    /// As `[start, end)`, or `[start,` for ever.
    fn show(run: Option<Run>) -> String {
        let show = |second| instant(second).unwrap().to_string().replace(" +00", "").replace(":00.0", "");
        match run {
            None => "never".to_owned(),
            Some(Run { start, end: FOREVER }) => format!("{} for ever", show(start)),
            Some(Run { start, end }) => format!("{} to {}", show(start), show(end)),
        }
    }

    #[test]
    fn occurrences_that_meet_are_one_run_over_the_end_of_the_week_too() {
        // 2027-01-02 is a Saturday. Whole Saturdays, Sundays and Mondays are one run of three days.
        let table = Timetable::new(&[window("2027-01-02T00:00:00Z", 24, "FREQ=WEEKLY;BYDAY=MO,SA,SU")]);
        for (from, expected) in [
            ("2026-12-01T00:00:00Z", "2027-01-02 0:00 to 2027-01-05 0:00"),
            ("2027-01-04T23:59:59Z", "2027-01-04 23:59:59.0 to 2027-01-05 0:00"),
            ("2027-01-05T00:00:00Z", "2027-01-09 0:00 to 2027-01-12 0:00"),
        ] {
            assert_eq!(show(table.first_run(second(from), 1)), expected, "{from}");
        }
        let from = second("2027-01-02T00:00:01Z");
        assert_eq!(show(table.first_run(from, 72 * HOUR)), "2027-01-09 0:00 to 2027-01-12 0:00");
        assert_eq!(table.first_run(from, 72 * HOUR + 1), None);
    }

    #[test]
    fn days_that_leave_no_gap_are_open_for_ever() {
        let day = window("2027-01-02T05:00:00Z", 24, "FREQ=DAILY");
        for seconds in [1, WEEK * 1_000, i64::MAX] {
            assert_eq!(show(Timetable::new(&[day]).first_run(0, seconds)), "2027-01-02 5:00 for ever");
        }
        let week = window("2027-01-02T05:00:00Z", 168, "FREQ=WEEKLY");
        assert_eq!(Timetable::new(&[week]), Timetable::new(&[day]));
        let almost =
            MaintenanceWindow::lasting(day.start(), Duration::DAY - Duration::SECOND, day.recurrence()).unwrap();
        assert_eq!(Timetable::new(&[almost]).first_run(0, DAY), None);
        // Two halves that meet each other in both directions.
        let halves =
            [window("2027-01-02T05:00:00Z", 12, "FREQ=DAILY"), window("2027-01-02T17:00:00Z", 12, "FREQ=DAILY")];
        assert_eq!(show(Timetable::new(&halves).first_run(0, WEEK)), "2027-01-02 5:00 for ever");
    }

    #[test]
    fn a_run_goes_on_into_windows_that_begin_later() {
        let early = window("2027-01-02T00:00:00Z", 4, "FREQ=DAILY");
        let late = window("2099-12-31T04:00:00Z", 2, "FREQ=DAILY");
        let later = window("2199-12-31T06:00:00Z", 18, "FREQ=DAILY");
        let table = Timetable::new(&[later, early, late]);
        for (hours, expected) in [
            (4, "2027-01-02 0:00 to 2027-01-02 4:00"),
            (6, "2099-12-31 0:00 to 2099-12-31 6:00"),
            (7, "2199-12-31 0:00 for ever"),
        ] {
            assert_eq!(show(table.first_run(0, hours * HOUR)), expected);
        }
        assert_eq!(show(table.first_run(0, i64::MAX)), "2199-12-31 0:00 for ever");
        // From the middle of the run that the next window prolongs.
        assert_eq!(
            show(table.first_run(second("2099-12-31T02:00:00Z"), 4 * HOUR)),
            "2099-12-31 2:00 to 2099-12-31 6:00"
        );
        assert_eq!(
            show(table.first_run(second("2099-12-31T02:00:01Z"), 4 * HOUR)),
            "2100-01-01 0:00 to 2100-01-01 6:00"
        );
    }

    #[test]
    fn a_run_over_the_end_of_the_week_holds_what_it_meets_there() {
        // From Saturday over Monday noon, which holds four hours of Monday morning. 2027-01-02 is a Saturday.
        let weekend = window("2027-01-02T00:00:00Z", 60, "FREQ=WEEKLY");
        let table = Timetable::new(&[weekend, window("2027-01-04T03:00:00Z", 4, "FREQ=WEEKLY")]);
        assert_eq!(table, Timetable::new(&[weekend]));
        // From Sunday evening on, prolonged by a window that begins on Monday.
        let evening = window("2027-01-03T22:00:00Z", 6, "FREQ=WEEKLY");
        let table = Timetable::new(&[evening, window("2027-03-01T04:00:00Z", 2, "FREQ=WEEKLY")]);
        assert_eq!(show(table.first_run(0, 8 * HOUR)), "2027-02-28 22:00 to 2027-03-01 6:00");
    }

    #[test]
    fn a_window_that_adds_nothing_makes_no_new_kind_of_week() {
        let wide = window("2027-01-02T00:00:00Z", 6, "FREQ=DAILY");
        let narrow = window("2028-01-02T01:00:00Z", 2, "FREQ=DAILY");
        assert_eq!(Timetable::new(&[wide, narrow]), Timetable::new(&[wide]));
        assert_eq!(Timetable::new(&[wide, wide]), Timetable::new(&[wide]));
        assert_eq!(Timetable::new(&[narrow, wide]).0.len(), 1);
    }
}
