//! A cluster by numbers and a calendar from a command line: what `rehearse_rotation` goes through.

mod picture;

use core::fmt;
use core::str::FromStr;

use pki_core::verify::SubjectPublicKey;
use pki_core::{AuthorityId, CaVersion, ComponentKind, DecodeError, Fingerprint, Hierarchy, NameError, Plane, Preset};
use rotation_fsm::{
    Assumptions, AuthorityRecord, Calendar, CalendarError, ConsumerId, ExclusionError, InstantError, Machine,
    MaintenanceExclusion, MaintenanceWindow, PoolName, RecurrenceError, Rehearsal, RehearsalError, Rejected, Settings,
    SetupError, Strategy, StrategyError, Timeline, Topology, TopologyError, Unit, UnknownScope, WindowError,
    parse_instant, rehearse, units,
};
use time::{Duration, UtcDateTime};

pub use picture::picture;

/// What is rehearsed, and on which cluster.
#[derive(Clone, Debug)]
pub struct RehearsalOrder {
    /// The cluster's hierarchy.
    pub preset: Preset,
    /// The order of the stages; `None` for the one that the preset is known for.
    pub strategy: Option<Strategy>,
    /// How many nodes.
    pub nodes: u32,
    /// In how many pools.
    pub pools: u32,
    /// How many nodes of a pool may be away at once.
    pub max_unavailable: u32,
    /// When maintenance may happen; at any time without any.
    pub windows: Vec<WindowArgument>,
    /// When it may not.
    pub exclusions: Vec<ExclusionArgument>,
    /// When the rotation is asked for.
    pub start: UtcDateTime,
    /// The last second of every CA.
    pub expiry: UtcDateTime,
    /// Which unit; `None` for the preset's first.
    pub unit: Option<Unit>,
    /// Whether the keys are suspect.
    pub emergency: bool,
}

/// A recurring window: `RULE@START/END` or `RULE@START/PTnHnM`, such as
/// `FREQ=WEEKLY;BYDAY=SA,SU@2026-01-03T02:00:00Z/PT6H`.
#[derive(Clone, Copy, Debug)]
pub struct WindowArgument(MaintenanceWindow);

impl FromStr for WindowArgument {
    type Err = OrderError;

    fn from_str(text: &str) -> Result<Self, OrderError> {
        let parts = text.split_once('@').and_then(|(rule, span)| Some((rule, span.split_once('/')?)));
        let (rule, (start, end)) = parts.ok_or(OrderError::WindowForm)?;
        let start = parse_instant(start).map_err(OrderError::Instant)?;
        let end = match end.strip_prefix("PT") {
            Some(length) => start.saturating_add(hours_and_minutes(length).ok_or(OrderError::WindowForm)?),
            None => parse_instant(end).map_err(OrderError::Instant)?,
        };
        let rule = rule.parse().map_err(OrderError::Rule)?;
        MaintenanceWindow::new(start, end, rule).map(Self).map_err(OrderError::Window)
    }
}

/// `6H`, `30M` or `6H30M`, as ISO 8601 has it after `PT`.
fn hours_and_minutes(text: &str) -> Option<Duration> {
    let number = |digits: &str| digits.parse::<u16>().ok().map(i64::from);
    let (hours, rest) = text.split_once('H').map_or((None, text), |(hours, rest)| (Some(hours), rest));
    let minutes = if rest.is_empty() { None } else { Some(rest.strip_suffix('M')?) };
    let hours = hours.map_or(Some(0), number)?;
    let minutes = minutes.map_or(Some(0), number)?;
    Some(Duration::hours(hours) + Duration::minutes(minutes))
}

/// An exclusion: `NAME,START,END,SCOPE`.
#[derive(Clone, Debug)]
pub struct ExclusionArgument(MaintenanceExclusion);

impl FromStr for ExclusionArgument {
    type Err = OrderError;

    fn from_str(text: &str) -> Result<Self, OrderError> {
        let parts: Vec<&str> = text.split(',').collect();
        let [name, start, end, scope] = parts.as_slice() else { return Err(OrderError::ExclusionForm) };
        let name = name.parse().map_err(OrderError::Exclusion)?;
        let (start, end) = (parse_instant(start), parse_instant(end));
        let (start, end) = (start.map_err(OrderError::Instant)?, end.map_err(OrderError::Instant)?);
        let scope = scope.parse().map_err(OrderError::Scope)?;
        MaintenanceExclusion::new(name, start, end, scope).map(Self).map_err(OrderError::Exclusion)
    }
}

/// A rehearsal that came to its end, and the calendar that it was held against.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// What it found.
    pub timeline: Timeline,
    /// The calendar.
    pub calendar: Calendar,
}

/// Why there is no rehearsal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OrderError {
    /// A window is not `RULE@START/END`.
    WindowForm,
    /// An exclusion has not four parts.
    ExclusionForm,
    /// A date cannot be read.
    Instant(InstantError),
    /// A rule cannot be read.
    Rule(RecurrenceError),
    /// There is no such window.
    Window(WindowError),
    /// There is no such exclusion.
    Exclusion(ExclusionError),
    /// There is no such scope.
    Scope(UnknownScope),
    /// There is no such calendar.
    Calendar(CalendarError),
    /// The preset has no such unit.
    Unit(Preset, Unit),
    /// A cluster without nodes or pools, or with more pools than nodes.
    Size,
    /// The credentials have expired when the rotation is asked for.
    Expired,
    /// The cluster cannot be set up.
    Name(NameError),
    /// The cluster cannot be set up.
    Topology(TopologyError),
    /// The cluster cannot be set up.
    Authority(DecodeError),
    /// The cluster cannot be set up.
    Setup(SetupError),
    /// The rehearsal does not come to its end.
    Rehearsal(RehearsalError),
}

wraps! { OrderError:
    CalendarError => Calendar,
    NameError => Name,
    TopologyError => Topology,
    DecodeError => Authority,
    SetupError => Setup,
    RehearsalError => Rehearsal,
}

impl OrderError {
    /// Whether the order itself is at fault, and not the rotation that it asks for.
    #[must_use]
    pub const fn is_unusable(&self) -> bool {
        match self {
            Self::Rehearsal(RehearsalError::Rejected(Rejected::Strategy(StrategyError::NotAllowed { .. })))
            | Self::Rehearsal(RehearsalError::BeforeSnapshot { .. }) => true,
            Self::Rehearsal(_) => false,
            _ => true,
        }
    }
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WindowForm => f.write_str(
                "a window is RULE@START/END, such as FREQ=WEEKLY;BYDAY=SA,SU@2026-01-03T02:00:00Z/PT6H, the end an \
                 instant or a length in hours and minutes",
            ),
            Self::ExclusionForm => f.write_str("an exclusion is NAME,START,END,SCOPE"),
            Self::Instant(error) => write!(f, "{error}"),
            Self::Rule(error) => write!(f, "{error}"),
            Self::Window(error) => write!(f, "{error}"),
            Self::Exclusion(error) => write!(f, "{error}"),
            Self::Scope(error) => write!(f, "{error}"),
            Self::Calendar(error) => write!(f, "{error}"),
            Self::Unit(preset, unit) => {
                let hierarchy = Hierarchy::preset(*preset);
                let known: Vec<_> = units(&hierarchy).iter().map(|policy| format!("`{}`", policy.unit)).collect();
                write!(f, "`{preset}` has no unit `{unit}`: expected {}", known.join(", "))
            }
            Self::Size => f.write_str("a cluster has at least one pool, and no fewer nodes than pools"),
            Self::Expired => f.write_str("the credentials have expired by the start: what is left is recovery"),
            Self::Name(error) => write!(f, "{error}"),
            Self::Topology(error) => write!(f, "{error}"),
            Self::Authority(error) => write!(f, "{error}"),
            Self::Setup(error) => write!(f, "{error}"),
            Self::Rehearsal(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for OrderError {}

/// The units of all presets, by name.
#[must_use]
pub fn unit(text: &str) -> Option<Unit> {
    let mut presets = Preset::ALL.into_iter().map(Hierarchy::preset);
    presets.find_map(|hierarchy| units(&hierarchy).iter().map(|policy| policy.unit).find(|unit| unit.id() == text))
}

/// Sets the cluster up and goes through its rotation.
///
/// # Errors
/// When there is no such cluster, or its rotation would not begin or never end.
pub fn rehearse_order(order: &RehearsalOrder) -> Result<Rehearsed, OrderError> {
    let hierarchy = Hierarchy::preset(order.preset);
    let policies = units(&hierarchy);
    let unit = match order.unit {
        Some(unit) => policies.iter().map(|policy| policy.unit).find(|known| *known == unit),
        None => policies.first().map(|policy| policy.unit),
    };
    let unit = unit.ok_or_else(|| OrderError::Unit(order.preset, order.unit.unwrap_or(Unit::Ca)))?;
    if order.pools == 0 || order.nodes < order.pools {
        return Err(OrderError::Size);
    }
    if order.start >= order.expiry {
        return Err(OrderError::Expired);
    }
    let calendar = match order.windows.as_slice() {
        [] => Calendar::always(),
        windows => Calendar::within(windows.iter().map(|window| window.0))?,
    };
    let calendar = calendar.with_exclusions(order.exclusions.iter().map(|exclusion| exclusion.0.clone()))?;
    let known_for = if matches!(order.preset, Preset::Gke(_)) { Strategy::DualEndpoint } else { Strategy::Staged };
    let strategy = order.strategy.unwrap_or(known_for);
    let settings = Settings { calendar: calendar.clone(), ..Settings::of(&hierarchy).with_strategy(strategy) };
    let assumptions = Assumptions::of(&settings);

    let mut authorities = Vec::new();
    for role in hierarchy.roles() {
        let not_after = hierarchy.ca_lifetime(*role).map(|_| order.expiry);
        authorities.push((*role, record(&format!("{role}/1"), not_after)?));
    }
    let topology = topology(&hierarchy, order)?;
    let machine = Machine::new("rehearsed".parse()?, topology, settings, authorities, order.start)?;
    let what = Rehearsal::of(&machine, unit);
    let what = if order.emergency { what.in_an_emergency() } else { what };
    let mut timeline = rehearse(&machine, &what, &assumptions, order.start)?;
    // Nobody ever saw this cluster: that everybody is in order is what the tool assumes, not what it found.
    timeline.assumed_in_order.clear();
    Ok(Rehearsed { timeline, calendar })
}

/// Three members of etcd, two API servers, one of everything else; a kubelet on every node, with an agent where the
/// preset has one, and a pod on the first node of each pool.
fn topology(hierarchy: &Hierarchy, order: &RehearsalOrder) -> Result<Topology, OrderError> {
    let mut topology = Topology::with_address(hierarchy.clone(), "192.0.2.1".parse().map_err(|_| OrderError::Size)?);
    let mut pools = Vec::new();
    for number in 1..=order.pools {
        let pool = PoolName::new(format!("pool-{number}").parse()?);
        topology.add_pool(pool.clone(), usize::try_from(order.max_unavailable).unwrap_or(usize::MAX))?;
        pools.push(pool);
    }
    let mut add = |kind: ComponentKind, name: String, pool: Option<PoolName>| -> Result<(), OrderError> {
        match topology.add(ConsumerId::new(kind, name.parse()?), pool) {
            // What the preset has no path for is not part of its clusters.
            Ok(()) | Err(TopologyError::NoPath(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    };
    for kind in ComponentKind::ALL.into_iter().filter(|kind| kind.plane() != Plane::Data) {
        let count = match kind {
            ComponentKind::Etcd => 3,
            ComponentKind::KubeApiServer => 2,
            _ => 1,
        };
        (0..count).try_for_each(|index| add(kind, index.to_string(), None))?;
    }
    let (mut pool_of, mut first) = (pools.iter().cycle(), pools.len());
    for number in 1..=order.nodes {
        let (name, pool) = (format!("node-{number}"), pool_of.next().cloned());
        add(ComponentKind::Kubelet, name.clone(), pool.clone())?;
        add(ComponentKind::KonnectivityAgent, name.clone(), pool.clone())?;
        if first > 0 {
            add(ComponentKind::Pod, name, pool)?;
            first -= 1;
        }
    }
    Ok(topology)
}

/// A generation that nobody signs with: 32 octets in the form of an Ed25519 key (RFC 8410 4).
fn record(name: &str, not_after: Option<UtcDateTime>) -> Result<AuthorityRecord, DecodeError> {
    let mut key = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    key.extend_from_slice(Fingerprint::of(name.as_bytes()).as_bytes());
    let id = AuthorityId::of(&SubjectPublicKey::parse(&key)?);
    Ok(AuthorityRecord { version: CaVersion::FIRST, id, anchor: Fingerprint::of(&key), not_after })
}
