//! Which readings of a clock are believed.

use core::fmt;

use time::{Duration, UtcDateTime};

/// When a jump of the clock is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct ClockRule {
    /// The longest step forward that is believed at once while a rotation runs.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::seconds"))]
    pub step: Duration,
    /// How long the clock must stand by a longer one.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::seconds"))]
    pub stand: Duration,
}

impl ClockRule {
    /// A day at once, and anything longer when the clock has stood by it for an hour. Ours: time alone removes nothing,
    /// but in GKE's preset it leaves clients outside behind.
    pub const DEFAULT: Self = Self { step: Duration::DAY, stand: Duration::HOUR };
}

/// A clock that never steps back by itself, and steps far only when it is sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HighWater {
    mark: UtcDateTime,
    doubted: Option<UtcDateTime>,
}

/// A reading that is not believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockDoubt {
    /// What was believed before.
    pub from: UtcDateTime,
    /// The first reading that was not.
    pub to: UtcDateTime,
}

impl fmt::Display for ClockDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the clock jumped from {} to {}, which is not believed yet", self.from, self.to)
    }
}

impl HighWater {
    pub(crate) const fn new(now: UtcDateTime) -> Self {
        Self { mark: now, doubted: None }
    }

    /// The latest time that is believed.
    pub(crate) const fn now(self) -> UtcDateTime {
        self.mark
    }

    /// Whether a reading is waiting to be believed.
    pub(crate) fn doubt(self) -> Option<ClockDoubt> {
        self.doubted.map(|to| ClockDoubt { from: self.mark, to })
    }

    /// A reading. Back is no news; far ahead is doubted until later readings stand by it.
    pub(crate) fn read(&mut self, reading: UtcDateTime, rule: Option<ClockRule>) {
        let Some(rule) = rule else { return self.believe(reading) };
        if reading <= self.mark.saturating_add(rule.step) {
            return self.believe(reading);
        }
        match self.doubted {
            // Earlier than what was doubted: that one was wrong, and this one is no better.
            Some(doubted) if reading < doubted => self.doubted = Some(reading),
            Some(doubted) if reading >= doubted.saturating_add(rule.stand) => self.believe(reading),
            Some(_) => {}
            None => self.doubted = Some(reading),
        }
    }

    /// Goes where it was when this was recorded: no earlier, and while a jump is doubted it stands.
    pub(crate) fn advance(&mut self, to: UtcDateTime) -> Result<(), ()> {
        if to < self.mark || (to > self.mark && self.doubted.is_some()) {
            return Err(());
        }
        self.mark = to;
        Ok(())
    }

    /// What is kept of it.
    pub(crate) const fn parts(self) -> (UtcDateTime, Option<UtcDateTime>) {
        (self.mark, self.doubted)
    }

    /// The clock of these parts; `None` when it would doubt what it has passed.
    pub(crate) fn of_parts(mark: UtcDateTime, doubted: Option<UtcDateTime>) -> Option<Self> {
        doubted.is_none_or(|doubted| doubted > mark).then_some(Self { mark, doubted })
    }

    /// Takes a reading because nothing depends on it, or because it is near.
    pub(crate) fn believe(&mut self, reading: UtcDateTime) {
        self.mark = self.mark.max(reading);
        self.doubted = None;
    }

    /// Takes a reading on somebody's word, back too: a clock that once ran far ahead would count for ever otherwise.
    pub(crate) const fn confirm(&mut self, reading: UtcDateTime) {
        self.mark = reading;
        self.doubted = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Option<ClockRule> = Some(ClockRule::DEFAULT);

    fn at(hours: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(1_700_000_000 + hours * 3_600).unwrap()
    }

    #[test]
    fn small_steps_are_believed_and_steps_back_are_no_news() {
        let mut clock = HighWater::new(at(0));
        for (reading, believed) in [(1, 1), (25, 25), (3, 25), (49, 49)] {
            clock.read(at(reading), RULE);
            assert_eq!((clock.now(), clock.doubt()), (at(believed), None));
        }
    }

    #[test]
    fn a_jump_is_believed_when_the_clock_has_stood_by_it() {
        let mut clock = HighWater::new(at(0));
        clock.read(at(200), RULE);
        assert_eq!(clock.doubt(), Some(ClockDoubt { from: at(0), to: at(200) }));
        clock.read(at(201) - Duration::SECOND, RULE);
        assert_eq!(clock.now(), at(0));
        clock.read(at(201), RULE);
        assert_eq!((clock.now(), clock.doubt()), (at(201), None));
    }

    #[test]
    fn a_jump_that_is_taken_back_is_forgotten() {
        let mut clock = HighWater::new(at(0));
        clock.read(at(200), RULE);
        clock.read(at(1), RULE);
        assert_eq!((clock.now(), clock.doubt()), (at(1), None));
        // The next one has to stand for itself.
        clock.read(at(201), RULE);
        assert_eq!(clock.now(), at(1));
        // So does one that is smaller, and still too far.
        clock.read(at(100), RULE);
        clock.read(at(101) - Duration::SECOND, RULE);
        assert_eq!(clock.now(), at(1));
        clock.read(at(101), RULE);
        assert_eq!(clock.now(), at(101));
    }

    #[test]
    fn somebodys_word_is_enough() {
        let mut clock = HighWater::new(at(0));
        clock.read(at(200), RULE);
        clock.confirm(at(200));
        assert_eq!((clock.now(), clock.doubt()), (at(200), None));
        clock.confirm(at(2));
        assert_eq!((clock.now(), clock.doubt()), (at(2), None));
    }
}
