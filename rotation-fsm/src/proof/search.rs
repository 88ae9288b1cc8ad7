//! The search: every state that can be reached, breadth first, and from each of them the way to an end.

use core::fmt;
use std::collections::HashMap;

use super::laws::{self, End, Violation};
use super::moves::{Agenda, Move};
use super::setup::{Config, Failure, Layout};
use super::world::State;

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
    known: HashMap<u128, u32>,
    /// Whence each state was reached first, and by what.
    came: Vec<(u32, Move)>,
    /// What leads where when nothing is amiss.
    fair: Vec<(u32, u32)>,
    ends: Vec<Option<End>>,
    steps: usize,
}

/// Looks at every state of a small cluster.
///
/// # Errors
/// When the cluster cannot be set up.
pub fn search(config: &Config) -> Result<Report, Failure> {
    let layout = Layout::new(config)?;
    let mut search = Search {
        layout: &layout,
        known: HashMap::new(),
        came: Vec::new(),
        fair: Vec::new(),
        ends: Vec::new(),
        steps: 0,
    };
    let first = State::first(&layout);
    let mut found = laws::of_state(&layout, &first).map(|violation| (vec![], violation));
    search.enter(&first, (0, Move::Tick));
    let (mut frontier, mut depth) = (vec![(0_u32, first)], 0);
    while found.is_none() && !frontier.is_empty() && search.came.len() < config.limit {
        let (next, broken) = search.expand(&frontier)?;
        found = broken;
        (frontier, depth) = (next, depth + 1);
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

type Frontier = Vec<(u32, State)>;
type Broken = Option<(Vec<Move>, Violation)>;

impl Search<'_> {
    /// Takes a state in, if it is new.
    fn enter(&mut self, state: &State, came: (u32, Move)) -> (u32, bool) {
        let number = u32::try_from(self.came.len()).unwrap_or(u32::MAX);
        let known = *self.known.entry(state.key(self.layout)).or_insert(number);
        if known != number {
            return (known, false);
        }
        self.came.push(came);
        self.ends.push(laws::is_end(self.layout, state));
        (number, true)
    }

    fn expand(&mut self, frontier: &Frontier) -> Result<(Frontier, Broken), Failure> {
        let mut next = Vec::new();
        for (number, state) in frontier {
            let agenda = Agenda::of(self.layout, &state.machine);
            for what in state.moves(self.layout, &agenda) {
                let Some((after, violation)) = state.after(self.layout, &agenda, what) else { continue };
                self.steps += 1;
                let violation = violation.or_else(|| laws::of_state(self.layout, &after));
                let violation = violation.or_else(|| laws::of_health(self.layout, &after));
                if let Some(violation) = violation {
                    let mut moves = self.way(*number);
                    moves.push(what);
                    return Ok((next, Some((moves, violation))));
                }
                let (to, new) = self.enter(&after, (*number, what));
                if what.is_fair() && to != *number {
                    self.fair.push((*number, to));
                }
                if new {
                    self.check_replay(to, &after)?;
                    next.push((to, after));
                }
            }
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
            let agenda = Agenda::of(self.layout, &replayed.machine);
            (replayed, _) = replayed.after(self.layout, &agenda, what).ok_or("a replayed move is refused")?;
        }
        match replayed.key(self.layout) == state.key(self.layout) && laws::after_crash(&state.machine).is_none() {
            true => Ok(()),
            false => Err(format!("state {number} is not what its journal leads to").into()),
        }
    }

    /// A state from which no fair schedule leads to an end.
    fn stuck(&self) -> Option<u32> {
        let count = self.came.len();
        let mut starts = vec![0_u32; count + 1];
        for (_, to) in &self.fair {
            *starts.get_mut(usize::try_from(*to).ok()? + 1)? += 1;
        }
        for at in 1..starts.len() {
            let before = *starts.get(at - 1)?;
            *starts.get_mut(at)? += before;
        }
        let (mut places, mut backwards) = (starts.clone(), vec![0_u32; self.fair.len()]);
        for (from, to) in &self.fair {
            let place = places.get_mut(usize::try_from(*to).ok()?)?;
            *backwards.get_mut(usize::try_from(*place).ok()?)? = *from;
            *place += 1;
        }
        let mut reaches: Vec<bool> = self.ends.iter().map(Option::is_some).collect();
        let mut open: Vec<usize> = (0..count).filter(|at| reaches.get(*at) == Some(&true)).collect();
        while let Some(at) = open.pop() {
            let range = usize::try_from(*starts.get(at)?).ok()?..usize::try_from(*starts.get(at + 1)?).ok()?;
            for from in backwards.get(range)? {
                let from = usize::try_from(*from).ok()?;
                let reached = reaches.get_mut(from)?;
                if !*reached {
                    *reached = true;
                    open.push(from);
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
        let agenda = Agenda::of(layout, &state.machine);
        let mut line = format!("{:>3}. {}", number + 1, Described(*what, layout));
        if let Some((after, _)) = state.after(layout, &agenda, *what) {
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
        let agenda = Agenda::of(layout, &state.machine);
        lines.push(format!(
            "     pending {agenda:?} in {before}, waiting for {:?}",
            state.machine.waiting().collect::<Vec<_>>()
        ));
    }
    Counterexample { lines, law }
}
