//! How two routines of one kind compare, measured in turns so that whatever slows the machine slows both.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds of each; the middle one of the ratios counts.
const ROUNDS: usize = 201;

/// Prints how long `ours` takes in `floor`s: the median over rounds in which each runs `times` times, in turns.
pub fn ratio<F, O>(name: &str, times: u32, mut floor: impl FnMut() -> F, mut ours: impl FnMut() -> O) {
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            // Who comes first would profit from the other's warmth, or suffer from it.
            let (floor, ours) = if round % 2 == 0 {
                let floor = clock(times, &mut floor);
                (floor, clock(times, &mut ours))
            } else {
                let ours = clock(times, &mut ours);
                (clock(times, &mut floor), ours)
            };
            ours.as_secs_f64() / floor.as_secs_f64()
        })
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let at = |part: usize| ratios.get(ROUNDS * part / 100).copied().unwrap_or(f64::NAN);
    println!("{name}: {:.3} of the floor (10 % of rounds below {:.3}, 10 % above {:.3})", at(50), at(10), at(90));
}

#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn clock<T>(times: u32, routine: &mut impl FnMut() -> T) -> Duration {
    let begin = Instant::now();
    for _ in 0..times {
        black_box(routine());
    }
    begin.elapsed()
}
