//! The search: every state that can be reached, breadth first, and from each of them the way to an end.

use core::fmt;
use std::rc::Rc;

use super::known::Known;
use super::laws::{self, End, Violation};
use super::moves::Move;
use super::setup::{Config, Failure, Layout};
use super::world::{Bytes, State};

/// What a search found.
#[derive(Debug)]
pub struct Report {
    config: Config,
    states: usize,
    steps: usize,
    depth: usize,
    at_rest: usize,
    expired: usize,
    complete: bool,
    counterexample: Option<Counterexample>,
}

impl Report {
    /// Distinct states.
    #[must_use]
    pub const fn states(&self) -> usize {
        self.states
    }

    /// Moves that led from one to one.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// The most moves that it takes to reach one of them.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// Whether every state was looked at: the limit was not reached and nothing was found.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The shortest way to something that must not be.
    #[must_use]
    pub const fn counterexample(&self) -> Option<&Counterexample> {
        self.counterexample.as_ref()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, states, steps, depth, at_rest, expired, .. } = self;
        write!(f, "{config}: {states} states, {steps} steps, depth {depth}, {at_rest} at rest, {expired} expired")?;
        if self.complete { Ok(()) } else { f.write_str(", not complete") }
    }
}

/// A way to something that must not be: as short as there is.
#[derive(Debug)]
pub struct Counterexample {
    lines: Vec<String>,
    law: &'static str,
}

impl Counterexample {
    /// The law that is broken.
    #[must_use]
    pub const fn law(&self) -> &'static str {
        self.law
    }

    /// How many moves it takes.
    #[must_use]
    pub fn moves(&self) -> usize {
        self.lines.len().saturating_sub(1)
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

const LIVENESS: &str = "liveness, from everywhere there is a way to an end";

struct Search<'a> {
    layout: &'a Layout,
    known: Known,
    /// Whence each state was reached first, and by what.
    came: Vec<(u32, Move)>,
    ends: Vec<Option<End>>,
    /// What is led to when nothing is amiss, of one state after the other.
    fair: Vec<u32>,
    /// Where in that the part of each state ends.
    fair_ends: Vec<u32>,
    steps: usize,
    scratch: Bytes,
}

/// How far a search has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The moves that it takes to where it is.
    pub depth: usize,
    /// Distinct states so far.
    pub states: usize,
    /// How many of them are still to be looked at.
    pub open: usize,
}

/// Looks at every state of a small cluster.
///
/// # Errors
/// When the cluster cannot be set up.
pub fn search(config: &Config) -> Result<Report, Failure> {
    search_watched(config, |_| {})
}

/// The same, and tells how far it has got, whenever it has gone one move further.
///
/// # Errors
/// When the cluster cannot be set up.
pub fn search_watched(config: &Config, mut watch: impl FnMut(Progress)) -> Result<Report, Failure> {
    let layout = Layout::new(config)?;
    let mut search = Search {
        layout: &layout,
        known: Known::default(),
        came: Vec::new(),
        ends: Vec::new(),
        fair: Vec::new(),
        fair_ends: Vec::new(),
        steps: 0,
        scratch: Bytes::default(),
    };
    let first = State::first(&layout);
    let mut found = laws::of_state(&layout, &first).map(|violation| (vec![], violation));
    search.enter(&first, (0, Move::Tick))?;
    let (mut frontier, mut depth) = (vec![first], 0);
    while found.is_none() && !frontier.is_empty() && search.came.len() < config.limit {
        let (next, broken) = search.expand(frontier)?;
        found = broken;
        (frontier, depth) = (next, depth + 1);
        watch(Progress { depth, states: search.came.len(), open: frontier.len() });
    }
    let mut complete = frontier.is_empty() && found.is_none();
    let mut counterexample = found.map(|(moves, violation)| explain(&layout, &moves, violation.law(), &violation));
    if complete && let Some(stuck) = search.stuck() {
        complete = false;
        counterexample = Some(explain(&layout, &search.way(stuck), LIVENESS, &"from here nothing leads to an end"));
    }
    let count = |end| search.ends.iter().filter(|found| **found == Some(end)).count();
    Ok(Report {
        config: config.clone(),
        states: search.came.len(),
        steps: search.steps,
        depth,
        at_rest: count(End::AtRest),
        expired: count(End::Expired),
        complete,
        counterexample,
    })
}

type Broken = Option<(Vec<Move>, Violation)>;

impl Search<'_> {
    /// Takes a state in, if it is new.
    fn enter(&mut self, state: &State, came: (u32, Move)) -> Result<(u32, bool), Failure> {
        let key = state.key(self.layout, &mut self.scratch);
        let (number, new) = self.known.enter(key).ok_or("more states than can be numbered")?;
        if new {
            self.came.push(came);
            self.ends.push(laws::is_end(self.layout, state));
        }
        Ok((number, new))
    }

    fn judge(&self, state: &State) -> Option<Violation> {
        laws::of_state(self.layout, state).or_else(|| laws::of_health(self.layout, state))
    }

    /// Takes every state of a level, in the order of their numbers, and lets go of it when all its moves are made.
    fn expand(&mut self, frontier: Vec<State>) -> Result<(Vec<State>, Broken), Failure> {
        let mut next = Vec::new();
        for state in frontier {
            let number = u32::try_from(self.fair_ends.len())?;
            let mind = Rc::clone(&state.machine);
            let agenda = mind.agenda(self.layout);
            for what in state.moves(self.layout, agenda) {
                let Some((after, violation)) = state.after(self.layout, agenda, what) else { continue };
                self.steps += 1;
                let (to, new) = self.enter(&after, (number, what))?;
                // What is known was judged when it was new.
                let violation = violation.or_else(|| new.then(|| self.judge(&after)).flatten());
                if let Some(violation) = violation {
                    let mut moves = self.way(number);
                    moves.push(what);
                    return Ok((next, Some((moves, violation))));
                }
                if what.is_fair() && to != number {
                    self.fair.push(to);
                }
                if new {
                    self.check_replay(to, &after)?;
                    next.push(after);
                }
            }
            self.fair_ends.push(u32::try_from(self.fair.len())?);
        }
        Ok((next, None))
    }

    /// The moves by which a state was reached first.
    fn way(&self, mut number: u32) -> Vec<Move> {
        let mut moves = Vec::new();
        while number != 0 {
            let Some((from, what)) = usize::try_from(number).ok().and_then(|at| self.came.get(at)) else { break };
            moves.push(*what);
            number = *from;
        }
        moves.reverse();
        moves
    }

    /// Of one state in many: the same events from the beginning lead to it again.
    fn check_replay(&self, number: u32, state: &State) -> Result<(), Failure> {
        if !number.is_multiple_of(9_973) {
            return Ok(());
        }
        let mut replayed = State::first(self.layout);
        for what in self.way(number) {
            let mind = Rc::clone(&replayed.machine);
            let agenda = mind.agenda(self.layout);
            (replayed, _) = replayed.after(self.layout, agenda, what).ok_or("a replayed move is refused")?;
        }
        let key = |state: &State| state.key(self.layout, &mut Bytes::default());
        match key(&replayed) == key(state) && laws::after_crash(&state.machine).is_none() {
            true => Ok(()),
            false => Err(format!("state {number} is not what its journal leads to").into()),
        }
    }

    /// A state from which no fair schedule leads to an end.
    ///
    /// Swept from the last state to the first until nothing changes: most moves lead to later states, so a few sweeps do.
    fn stuck(&self) -> Option<u32> {
        let mut reaches: Vec<bool> = self.ends.iter().map(Option::is_some).collect();
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        let mut changed = true;
        while core::mem::take(&mut changed) {
            for at in (0..reaches.len()).rev() {
                if reaches.get(at) == Some(&true) {
                    continue;
                }
                let start =
                    at.checked_sub(1).and_then(|before| self.fair_ends.get(before)).copied().unwrap_or_default();
                let end = self.fair_ends.get(at).copied().unwrap_or_default();
                let led_to = self.fair.get(place(start)..place(end)).unwrap_or_default();
                if led_to.iter().any(|to| reaches.get(place(*to)) == Some(&true))
                    && let Some(reached) = reaches.get_mut(at)
                {
                    (*reached, changed) = (true, true);
                }
            }
        }
        reaches.iter().position(|reaches| !reaches).and_then(|at| u32::try_from(at).ok())
    }
}

/// A way in words: every move, and the stage when it changes.
fn explain(layout: &Layout, moves: &[Move], law: &'static str, what: &dyn fmt::Display) -> Counterexample {
    struct Described<'a>(Move, &'a Layout);
    impl fmt::Display for Described<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.describe(self.1, f)
        }
    }
    let mut state = State::first(layout);
    let stage = |state: &State| match state.machine.stage() {
        Some(stage) => format!("`{stage}`"),
        None if state.machine.completed().is_some() => "completed".to_owned(),
        None => "at rest".to_owned(),
    };
    let (mut lines, mut before) = (Vec::new(), stage(&state));
    for (number, what) in moves.iter().enumerate() {
        let mind = Rc::clone(&state.machine);
        let agenda = mind.agenda(layout);
        let mut line = format!("{:>3}. {}", number + 1, Described(*what, layout));
        if let Some((after, _)) = state.after(layout, agenda, *what) {
            state = after;
            let now = stage(&state);
            if now != before {
                line.push_str(&format!(" -> {now}"));
                before = now;
            }
        }
        lines.push(line);
    }
    lines.push(format!("  => {what}"));
    if law == LIVENESS {
        let agenda = state.machine.agenda(layout);
        lines.push(format!(
            "     pending {agenda:?} in {before}, waiting for {:?}",
            state.machine.waiting().collect::<Vec<_>>()
        ));
    }
    Counterexample { lines, law }
}
