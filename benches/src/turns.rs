//! Several ways of doing the same, measured in turns so that whatever slows the machine slows all of them.

use std::fmt;
use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::requests::Case;
use crate::{Outside, Setup};

/// How much of one way runs before it is the next one's turn: long enough that reading the clock is nothing, short enough that
/// a round sees one state of the machine.
const SLICE: Duration = Duration::from_millis(8);

/// How often a way runs at the beginning of its turn, uncounted: what ran before has the caches and the branch predictor.
const WARMING: u32 = 2;

/// How often a way runs in a turn, however fast or slow it is.
const TIMES_MIN: u32 = 8;
const TIMES_MAX: u32 = 256;

/// What can be read as a certificate in DER.
pub trait Der {
    /// The octets.
    ///
    /// # Errors
    /// When a library cannot write them.
    fn into_der(self) -> Setup<Vec<u8>>;
}

impl Der for Vec<u8> {
    fn into_der(self) -> Setup<Vec<u8>> {
        Ok(self)
    }
}

/// PEM.
impl Der for String {
    fn into_der(self) -> Setup<Vec<u8>> {
        Ok(CertificateDer::from_pem_slice(self.as_bytes())?.to_vec())
    }
}

/// The certificate for the request of a number.
type Show<'a> = Box<dyn FnMut(u32) -> Setup<Vec<u8>> + 'a>;

/// A way from requests to certificates, or a part of one, over cases that come round again only after all the others.
pub struct Way<'a> {
    name: String,
    run: Box<dyn FnMut(u32, u32) -> Setup<Duration> + 'a>,
    show: Option<Show<'a>>,
}

impl<'a> Way<'a> {
    /// Something that brings forth no certificate.
    pub fn part<T>(name: &str, cases: &'a [Case], mut routine: impl FnMut(&'a Case) -> Setup<T> + 'a) -> Self {
        let run = Box::new(move |from, times| {
            let begin = cpu_time();
            for case in turning(cases, from, times) {
                black_box(routine(case)?);
            }
            Ok(cpu_time().saturating_sub(begin))
        });
        Self { name: name.to_owned(), run, show: None }
    }

    /// Something that brings forth a certificate.
    pub fn issuing<T: Der>(name: &str, cases: &'a [Case], routine: impl Fn(&'a Case) -> Setup<T> + Copy + 'a) -> Self {
        let show: Show<'a> = Box::new(move |number| {
            let case = turning(cases, number, 1).next().ok_or("there are requests")?;
            routine(case)?.into_der()
        });
        Self { show: Some(show), ..Self::part(name, cases, routine) }
    }

    /// Another program.
    pub fn outside(name: &str, peer: &'a Outside) -> Self {
        Self {
            name: name.to_owned(),
            run: Box::new(move |from, times| peer.run(from, times)),
            show: Some(Box::new(move |number| peer.show(number))),
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The certificate that it makes of this request, if it makes any.
    ///
    /// # Errors
    /// When it fails.
    pub fn show(&mut self, number: u32) -> Setup<Option<Vec<u8>>> {
        self.show.as_mut().map(|show| show(number)).transpose()
    }

    fn times(&mut self) -> Setup<u32> {
        // The first run is slow: nothing is warm.
        (self.run)(0, TIMES_MIN)?;
        let each = (self.run)(0, TIMES_MIN)? / TIMES_MIN;
        let times = SLICE.as_nanos().checked_div(each.as_nanos()).unwrap_or_default();
        Ok(u32::try_from(times).unwrap_or(TIMES_MAX).clamp(TIMES_MIN, TIMES_MAX))
    }
}

impl fmt::Debug for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("name", &self.name).finish_non_exhaustive()
    }
}

fn turning(cases: &[Case], from: u32, times: u32) -> impl Iterator<Item = &Case> {
    let from = usize::try_from(from).unwrap_or_default();
    let times = usize::try_from(times).unwrap_or_default();
    cases.iter().cycle().skip(from.checked_rem(cases.len()).unwrap_or_default()).take(times)
}

/// The time that this thread has had a processor: other programs on the machine do not count.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// What one way took, round for round.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the way is called.
    pub name: String,
    /// Seconds for one certificate.
    rounds: Vec<f64>,
}

/// The middle of what was seen, and where the outer tenths begin.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// A tenth is below.
    pub low: f64,
    /// The median.
    pub middle: f64,
    /// A tenth is above.
    pub high: f64,
}

impl Spread {
    /// Of these samples.
    #[must_use]
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| samples.get(samples.len() * part / 100).copied().unwrap_or(f64::NAN);
        Self { low: at(10), middle: at(50), high: at(90) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { low, middle, high } = self;
        // Factors need no third digit.
        let digits = if *middle < 2.0 { 3 } else { 2 };
        write!(f, "{middle:.digits$} ({low:.digits$} to {high:.digits$})")
    }
}

impl Series {
    /// The median, in microseconds.
    #[must_use]
    pub fn micros(&self) -> f64 {
        Spread::of(self.rounds.clone()).middle * 1e6
    }

    /// How many times as long as `floor` it took, of the rounds.
    #[must_use]
    pub fn over(&self, floor: &Self) -> Spread {
        Spread::of(self.rounds.iter().zip(&floor.rounds).map(|(ours, floor)| ours / floor).collect())
    }

    /// One after the other.
    #[must_use]
    pub fn and(&self, other: &Self, name: &str) -> Self {
        let rounds = self.rounds.iter().zip(&other.rounds).map(|(first, second)| first + second).collect();
        Self { name: name.to_owned(), rounds }
    }
}

/// Measures these ways in turns: in every round each runs for a few milliseconds over the next requests, and every other round goes
/// through them backwards, because who comes first would profit from the other's warmth, or suffer from it.
///
/// # Errors
/// When a way fails.
pub fn measure(ways: &mut [Way<'_>], rounds: u32) -> Setup<Vec<Series>> {
    let mut measured: Vec<_> = ways.iter().map(|way| Series { name: way.name.clone(), rounds: Vec::new() }).collect();
    let mut turns = Vec::new();
    for (way, series) in ways.iter_mut().zip(&mut measured) {
        turns.push((way.times()?, way, series));
    }
    for round in 0..rounds {
        let mut turn = |(times, way, series): &mut (u32, &mut Way<'_>, &mut Series)| -> Setup<()> {
            let from = round.wrapping_mul(*times);
            (way.run)(from.wrapping_sub(WARMING), WARMING)?;
            let took = (way.run)(from, *times)?;
            series.rounds.push(took.as_secs_f64() / f64::from(*times));
            Ok(())
        };
        if round % 2 == 0 {
            turns.iter_mut().try_for_each(&mut turn)?;
        } else {
            turns.iter_mut().rev().try_for_each(&mut turn)?;
        }
    }
    drop(turns);
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_leaves_a_tenth_on_either_side() {
        let spread = Spread::of((0..100).rev().map(f64::from).collect());
        assert_eq!((spread.low, spread.middle, spread.high), (10.0, 50.0, 90.0));
        assert_eq!(Spread { low: 1.0, middle: 1.05, high: 1.1 }.to_string(), "1.050 (1.000 to 1.100)");
    }

    #[test]
    fn ratios_are_of_one_round_each() {
        let series = |rounds: &[f64]| Series { name: String::new(), rounds: rounds.to_vec() };
        // The machine became ten times as slow in the second round, and nothing else changed.
        let (floor, ours) = (series(&[1e-6, 1e-5, 1e-6]), series(&[2e-6, 2e-5, 2e-6]));
        assert_eq!(ours.over(&floor).high, 2.0);
        assert_eq!(ours.micros(), 2.0);
        assert_eq!(floor.and(&ours, "both").over(&floor).middle, 3.0);
    }

    #[test]
    fn every_round_takes_the_next_requests_and_the_direction_alternates() {
        let asked = std::cell::RefCell::new(Vec::new());
        let asked = &asked;
        let way = |name: &'static str| Way {
            name: name.to_owned(),
            run: Box::new(move |from, times| {
                asked.borrow_mut().push((name, from, times));
                Ok(SLICE)
            }),
            show: None,
        };
        let mut ways = [way("a"), way("b")];
        measure(&mut ways, 2).unwrap();
        drop(ways);
        let turns: Vec<_> = asked.borrow_mut().split_off(4).into_iter().filter(|turn| turn.2 != WARMING).collect();
        assert_eq!(turns, [("a", 0, 8), ("b", 0, 8), ("b", 8, 8), ("a", 8, 8)]);
    }
}
