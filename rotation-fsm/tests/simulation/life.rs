//! What a seed makes of the years of one cluster.

use core::fmt;

use pki_core::{AuthorityRole, CaVersion, Hierarchy, NodeName, Preset};
use rotation_fsm::{
    Calendar, Event, ExclusionScope, MaintenanceExclusion, MaintenancePolicy, MaintenanceWindow, PoolName, Recurrence,
    Rejected, Settings, Strategy, Trigger, Unit, units,
};
use time::{Duration, UtcDateTime};

use crate::cluster::{Cluster, at};
use crate::planted::Planted;
use crate::random::Random;
use crate::world::{Counts, Outcome, World};

/// Which cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) preset: Preset,
    pub(crate) strategy: Strategy,
    pub(crate) nodes: usize,
    pub(crate) pools: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {} nodes in {} pools", self.preset, self.strategy, self.nodes, self.pools)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chapter {
    /// A user asks, and it completes.
    Asked,
    RolledBack,
    Emergency,
    /// Nobody asks, and it begins in its time.
    ByItself,
}

/// What people have in mind: at which stage of the plan, by number.
#[derive(Debug, Default)]
struct Intent {
    back: Option<usize>,
    /// How often somebody pauses, whenever it occurs to them.
    pauses: usize,
    pool_added: Option<usize>,
    pool_removed: Option<usize>,
    frozen: Option<usize>,
    completes: bool,
}

/// Lives through several rotations, and says what is broken and how to see it again.
pub(crate) fn live(shape: Shape, seed: u64, planted: Option<Planted>) -> Result<Counts, String> {
    years(shape, seed, planted).map_err(|why| format!("{shape}: run it again with CAROUSEL_SEED={seed}: {why}"))
}

/// The generation that the authorities of a unit sign with.
fn active(world: &World, unit: Unit) -> CaVersion {
    let machine = &world.cluster.machine;
    let policies = units(machine.topology().hierarchy());
    let policy = policies.iter().find(|policy| policy.unit == unit).unwrap();
    machine.authority(*policy.roles.iter().next().unwrap()).unwrap().version
}

fn years(shape: Shape, seed: u64, planted: Option<Planted>) -> Outcome<Counts> {
    let hierarchy = Hierarchy::preset(shape.preset);
    let mut random = Random(seed);
    let gke = matches!(shape.preset, Preset::Gke(_));
    let settings =
        Settings { calendar: calendar(&mut random), ..Settings::of(&hierarchy).with_strategy(shape.strategy) };
    let settings = if gke {
        // GKE documents no way back; here somebody allows it.
        Settings { pause: true, rollback: true, maintenance: policy(&mut random), ..settings }
    } else {
        settings
    };
    let goes_back = settings.rollback;
    let lifetimes = hierarchy.clone();
    let cluster = Cluster::large(hierarchy.clone(), settings, shape.nodes, shape.pools, |role| {
        let lifetime = lifetimes.ca_lifetime(role)?;
        // A cluster of before GKE's roots lived for thirty years.
        let years = if gke && role == AuthorityRole::Cluster { Duration::days(1_825) } else { lifetime };
        let before = if gke && role != AuthorityRole::Cluster { random.between(0, 300) } else { 0 };
        Some(at(0) + years - Duration::days(before))
    });
    let policies = units(&hierarchy);
    let unit = policies.iter().find(|policy| policy.trigger == Trigger::User).ok_or("no unit for users")?.unit;
    let mut world = World::new(cluster, seed, shape.nodes, planted);
    let back = if goes_back { Chapter::RolledBack } else { Chapter::Asked };
    let mut chapters = match world.random.below(3) {
        0 => vec![back, Chapter::Asked, Chapter::Emergency, Chapter::Asked],
        1 => vec![Chapter::Emergency, back, Chapter::Asked, Chapter::Asked],
        _ => vec![Chapter::Asked, Chapter::Emergency, back, Chapter::Asked],
    };
    if gke {
        chapters.pop();
        chapters.insert(0, Chapter::ByItself);
    }
    for chapter in chapters {
        let days = world.random.between(30, 400);
        if chapter == Chapter::ByItself {
            until_it_begins(&mut world, unit)?
        } else {
            rest(&mut world, days)?
        }
        world.deaf = gke && world.random.one_in(2);
        let (event, before) = match chapter {
            Chapter::Emergency => (Event::EmergencyDeclared { unit, suspect: active(&world, unit), by: operator() }, 0),
            _ => (Event::RotationRequested { unit }, world.counts.rolled_back),
        };
        if chapter != Chapter::ByItself {
            world.submit(&event)?;
        }
        let intent = intend(&mut world, chapter);
        run(&mut world, intent)?;
        // Whoever meant to turn back may have come too late for it.
        while chapter == Chapter::RolledBack && world.counts.rolled_back == before {
            rest(&mut world, 30)?;
            world.submit(&event)?;
            let intent = intend(&mut world, chapter);
            run(&mut world, intent)?;
        }
        // A freeze outlives a rotation.
        world.submit(&Event::FreezeChanged { frozen: false })?;
        world.deaf = false;
    }
    rest(&mut world, 3)?;
    world.look_at_rest()?;
    let counts = world.counts;
    let enough = counts.completed >= 4 && counts.emergencies >= 1 && counts.rolled_back >= u32::from(goes_back);
    if enough && counts.evidence > 0 { Ok(counts) } else { Err(format!("too little happened: {counts:?}")) }
}

fn calendar(random: &mut Random) -> Calendar {
    let window = match random.below(4) {
        0 => return Calendar::always(),
        1 => (Duration::hours(4), "FREQ=DAILY"),
        2 => (Duration::hours(10), "FREQ=DAILY"),
        _ => (Duration::hours(20), "FREQ=WEEKLY;BYDAY=SA,SU,WE"),
    };
    let recurrence: Recurrence = window.1.parse().unwrap();
    let start = at(0) - Duration::days(random.between(1, 7)) + Duration::hours(random.between(0, 23));
    Calendar::within([MaintenanceWindow::lasting(start, window.0, recurrence).unwrap()]).unwrap()
}

fn policy(random: &mut Random) -> MaintenancePolicy {
    random.pick(&[MaintenancePolicy::gke_000(), MaintenancePolicy::gke_001(false), MaintenancePolicy::gke_001(true)])
}

fn intend(world: &mut World, chapter: Chapter) -> Intent {
    let Some(running) = &world.running else { return Intent::default() };
    let end = running.plan.point_of_no_return().unwrap_or(1);
    let stages = running.plan.stages().len();
    let mut drawn = |within: usize| Some(world.random.below(within));
    let back = drawn(end).filter(|_| chapter == Chapter::RolledBack);
    let (pool_added, pool_removed, frozen) = (drawn(stages), drawn(stages), drawn(stages));
    let mut sometimes = |at: Option<usize>| at.filter(|_| world.random.one_in(2));
    let (frozen, pool_removed) = (sometimes(frozen), sometimes(pool_removed));
    let pauses = world.random.below(6);
    // What begins by itself completes by itself.
    let completes = world.random.one_in(2) && chapter != Chapter::ByItself;
    Intent { back, pauses, pool_added, pool_removed, frozen, completes }
}

/// The number of the stage that runs.
fn place(world: &World) -> Option<usize> {
    let current = world.cluster.machine.stage()?.id();
    world.running.as_ref()?.plan.stages().iter().position(|stage| stage.id() == current)
}

fn operator() -> String {
    "operator".to_owned()
}

/// Until nothing is rotated.
fn run(world: &mut World, mut intent: Intent) -> Outcome {
    let mut thawed_in = 0;
    for _ in 0..60_000 {
        let Some(place) = place(world) else { return Ok(()) };
        let Some(running) = &world.running else { return Ok(()) };
        let (unit, back, emergency) = (running.policy.unit, running.back, running.emergency);
        let end = running.plan.point_of_no_return();
        let comes = |at: &mut Option<usize>| at.take_if(|at| place >= *at).is_some();
        if comes(&mut intent.pool_added) {
            add_pool(world)?;
        }
        if comes(&mut intent.pool_removed) {
            let pools: Vec<_> = world.cluster.machine.topology().pools().cloned().collect();
            let pool = world.random.pick(&pools);
            world.remove_pool(&pool)?;
        }
        if comes(&mut intent.frozen) {
            world.submit(&Event::FreezeChanged { frozen: true })?;
            thawed_in = world.random.between(2, 40);
        }
        if thawed_in > 0 {
            thawed_in -= 1;
            if thawed_in == 0 {
                world.submit(&Event::FreezeChanged { frozen: false })?;
            }
        }
        if intent.pauses > 0 && world.cluster.machine.settings().pause && world.random.one_in(20) {
            intent.pauses -= 1;
            world.submit(&Event::PauseRequested { by: operator() })?;
            for _ in 0..world.random.between(1, 30) {
                world.round()?;
            }
            pass(world)?;
            world.submit(&Event::ResumeRequested { by: operator() })?;
            continue;
        }
        if !back && comes(&mut intent.back) && Some(place) < end {
            // Some of the stage is done, but not the last before the point of no return.
            for _ in 0..world.random.between(0, 4) {
                if self::place(world).map(|place| place + 1) < end {
                    world.round()?;
                }
            }
            match world.try_submit(&Event::RollbackRequested { by: operator() })? {
                // The rounds may have led past the point.
                Ok(_) | Err(Rejected::NoWayBack { .. }) => {}
                Err(why) => return Err(format!("no way back: {why}")),
            }
            continue;
        }
        if intent.completes && !back && !emergency && world.random.one_in(20) {
            match world.try_submit(&Event::CompletionRequested { unit })? {
                Ok(_) | Err(Rejected::NotComplete(_)) => {}
                Err(why) => return Err(format!("not completed: {why}")),
            }
        }
        if !world.round()? {
            pass(world)?;
            order_by_hand(world)?;
        }
    }
    let waiting: Vec<_> = world.cluster.machine.waiting().take(3).map(ToString::to_string).collect();
    let stage = world.cluster.machine.stage().map(ToString::to_string);
    Err(format!("no end in sight in {stage:?}: {waiting:?}, blocked: {:?}", world.cluster.machine.blocked()))
}

/// Nothing can be done now, so time passes.
fn pass(world: &mut World) -> Outcome {
    let now = world.cluster.now;
    let far = now + Duration::hours(world.random.between(1, 6));
    let next = world.cluster.machine.next_change().filter(|next| *next > now);
    world.cluster.now = next.map_or(far, |next| next.min(far));
    world.wake()?;
    hurry(world)?;
    world.submit(&Event::Tick).map(|_| ())
}

/// Somebody watches the expiry, and ends in time what people alone hold up: a freeze, and nodes that nobody looks after.
fn hurry(world: &mut World) -> Outcome {
    let near = world.believed() + Duration::days(14);
    if world.cluster.machine.health().any(|health| health.expiry <= near) {
        world.asleep.clear();
        if world.frozen {
            world.submit(&Event::FreezeChanged { frozen: false })?;
        }
    }
    Ok(())
}

/// Somebody loses patience with the calendar.
fn order_by_hand(world: &mut World) -> Outcome {
    let Some(blocked) = world.cluster.machine.blocked().filter(|_| world.random.one_in(40)) else { return Ok(()) };
    let event = match blocked.pool {
        Some(pool) if world.random.one_in(2) => Event::PoolUpgradeRequested { pool },
        _ => Event::MaintenanceOverridden { step: blocked.step, by: operator() },
    };
    world.submit(&event).map(|_| ())
}

fn add_pool(world: &mut World) -> Outcome {
    let number = world.cluster.machine.epoch();
    let pool = PoolName::new(format!("pool-of-{number}").parse::<NodeName>().unwrap());
    world.submit(&Event::PoolAdded { pool: pool.clone(), max_unavailable: 25 })?;
    for node in 0..3 {
        world.join(&format!("late-{number}-{node}").parse().unwrap(), &pool, 1)?;
    }
    Ok(())
}

/// Until everybody runs with what they should.
fn settle(world: &mut World) -> Outcome {
    for _ in 0..20_000 {
        if world.running.is_some() {
            run(world, Intent::default())?;
        }
        if world.cluster.machine.is_at_rest() {
            return Ok(());
        }
        if !world.round()? {
            pass(world)?;
        }
    }
    let waiting: Vec<_> = world.cluster.machine.waiting().take(3).map(ToString::to_string).collect();
    Err(format!("no rest in sight: {waiting:?}"))
}

/// So many days go by, in which whatever is due begins by itself.
fn rest(world: &mut World, days: i64) -> Outcome {
    let until = world.cluster.now + Duration::days(days);
    while world.cluster.now < until {
        wait(world, until)?;
        settle(world)?;
    }
    if world.random.one_in(3) {
        let start = world.cluster.now + Duration::days(world.random.between(0, 3));
        let end = start + Duration::days(world.random.between(1, 25));
        let name = "holidays".to_owned().parse().unwrap();
        let scope = world.random.pick(&ExclusionScope::ALL);
        let exclusion = MaintenanceExclusion::new(name, start, end, scope).unwrap();
        let windows = world.cluster.machine.settings().calendar.windows().to_vec();
        let calendar = if windows.is_empty() { Calendar::always() } else { Calendar::within(windows).unwrap() };
        let calendar = calendar.with_exclusions([exclusion]).unwrap();
        world.submit(&Event::CalendarChanged { calendar })?;
    }
    world.calm()?;
    settle(world)?;
    world.look_at_rest()
}

/// Some days, no longer than until something changes.
fn wait(world: &mut World, until: UtcDateTime) -> Outcome {
    let now = world.cluster.now;
    let next = world.cluster.machine.next_change().filter(|next| *next > now);
    let far = now + Duration::days(world.random.between(1, 40));
    world.cluster.now = [Some(far), Some(until), next].into_iter().flatten().min().unwrap_or(far);
    world.submit(&Event::Tick).map(|_| ())
}

/// Until 30 days before the expiry to the second, and nothing but a reading of the clock begins the rotation then.
fn until_it_begins(world: &mut World, unit: Unit) -> Outcome {
    for _ in 0..2_000 {
        let facts = world.cluster.machine.facts(unit).ok_or("no facts")?;
        let due = facts.expiry() - Duration::days(30);
        settle(world)?;
        if world.believed() >= due - Duration::SECOND {
            world.cluster.now = world.believed().max(due);
            let began = world.running.is_none() && world.submit(&Event::Tick)?.started.is_some();
            let unit_began = world.running.as_ref().is_some_and(|running| running.policy.unit == unit);
            return if began && unit_began { Ok(()) } else { Err(format!("{unit} did not begin by itself at {due}")) };
        }
        wait(world, due - Duration::SECOND)?;
    }
    Err(format!("{unit} never begins"))
}
