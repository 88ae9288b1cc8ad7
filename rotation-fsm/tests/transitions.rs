//! The transition table: what every event does in every stage of every plan, and the graph of the stages. Both are
//! generated from the shipped machine and kept as goldens; the graph is in the documentation.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

#[cfg(test)]
mod transitions {
    use std::fmt::Write as _;

    use pki_core::{CaVersion, ComponentKind, Hierarchy, Preset};
    use rotation_fsm::{
        AuthorityRecord, ClusterVersion, ConsumerId, CrossRecord, Delivery, Event, Machine, Phase, Plan, PoolName,
        ReportId, Settings, StepKind, Strategy, Trigger, Unit, UnitPolicy, units,
    };
    use svg::Document;
    use svg::node::element::{Line, Rectangle, Style, Text, Title};
    use time::Duration;

    use super::cluster::{Cluster, address, at, golden};

    /// One event of every kind, as somebody might send it in any stage.
    fn events(cluster: &mut Cluster, policy: &UnitPolicy) -> Vec<(&'static str, Event)> {
        let unit = policy.unit;
        let by = || "operator".to_owned();
        let api_server = cluster.consumer(ComponentKind::KubeApiServer, "0");
        let stranger = ConsumerId::new(ComponentKind::KubeApiServer, "stranger".parse().unwrap());
        let role = policy.roles[0];
        let record = |version| AuthorityRecord { not_after: None, ..cluster.record(role, version) };
        let (third, ninth) = (record(CaVersion::new(3).unwrap()), CaVersion::new(9).unwrap());
        let (pool, version) =
            (PoolName::new("pool-a".parse().unwrap()), "1.16.0-gke.0".parse::<ClusterVersion>().unwrap());
        let (now, stage) = (cluster.now, cluster.machine.stage().map(|stage| stage.id().clone()));
        let cross = CrossRecord { version: ninth, by: CaVersion::FIRST, not_before: now, not_after: now };
        let again = Event::Observed(cluster.observation(&api_server));
        let mut events = vec![
            ("RotationRequested", Event::RotationRequested { unit }),
            ("EmergencyDeclared", Event::EmergencyDeclared { unit, suspect: CaVersion::FIRST, by: by() }),
            ("CompletionRequested", Event::CompletionRequested { unit }),
            ("PoolUpgradeRequested", Event::PoolUpgradeRequested { pool: pool.clone() }),
            ("MaintenanceOverridden", Event::MaintenanceOverridden { step: StepKind::ControlPlane, by: by() }),
            ("FreezeChanged", Event::FreezeChanged { frozen: true }),
            ("PauseRequested", Event::PauseRequested { by: by() }),
            ("ResumeRequested", Event::ResumeRequested { by: by() }),
            ("RollbackRequested", Event::RollbackRequested { by: by() }),
            ("Tick", Event::Tick),
            ("ClockConfirmed", Event::ClockConfirmed { by: by() }),
            ("AuthorityMinted, of version 3", Event::AuthorityMinted { role, record: third }),
            ("CrossSigned, of version 9", Event::CrossSigned { role, record: cross }),
            ("AddressAllocated", Event::AddressAllocated { address: address(7) }),
            ("Observed, the same again", again),
            ("TakenDown", Event::TakenDown { consumer: api_server.clone(), after: ReportId::default() }),
            ("PoolAdded", Event::PoolAdded { pool: PoolName::new("pool-c".parse().unwrap()), max_unavailable: 1 }),
            ("ConsumerJoined", Event::ConsumerJoined { consumer: stranger.clone(), pool: None, incarnation: 1 }),
            ("ConsumerRemoved, a stranger", Event::ConsumerRemoved { consumer: stranger }),
            ("KeyDestroyed, of version 1", Event::KeyDestroyed { role, version: CaVersion::FIRST }),
            ("Delivered", Event::Delivered { delivery: Delivery::Oidc, version: CaVersion::FIRST }),
            ("ClusterUpgraded", Event::ClusterUpgraded { version: version.clone() }),
            ("LeavesRenewed", Event::LeavesRenewed { version }),
        ];
        events.extend(stage.map(|stage| {
            let consumer = api_server;
            (
                "Acknowledged, for one who can be seen",
                Event::Acknowledged { consumer, unit, to: ninth, stage, by: by() },
            )
        }));
        events
    }

    /// What the event does, on a copy.
    fn outcome(machine: &Machine, event: &Event, now: time::UtcDateTime) -> String {
        let mut copy = machine.clone();
        match copy.apply(event, now) {
            Err(rejected) => format!("rejected: {rejected}"),
            Ok(applied) if !applied.changed => "taken, changes nothing".to_owned(),
            Ok(applied) => {
                let ended: Vec<_> = applied.stages_ended.iter().map(ToString::to_string).collect();
                match (copy.stage().map(ToString::to_string), ended.is_empty()) {
                    (_, true) => "taken".to_owned(),
                    (Some(next), _) => format!("taken: {} ends, {next} begins", ended.join(", ")),
                    (None, _) => format!("taken: {} ends, the rotation is over", ended.join(", ")),
                }
            }
        }
    }

    fn row(cluster: &mut Cluster, policy: &UnitPolicy, table: &mut String) {
        let stage = cluster.machine.stage().map_or_else(|| "at rest".to_owned(), ToString::to_string);
        writeln!(table, "{stage}").unwrap();
        if let Phase::Rotating(rotating) = cluster.machine.phase() {
            let opens = match cluster.machine.stage().map(|stage| stage.changes().is_empty()) {
                Some(true) => "what it names has happened for every authority of the unit",
                _ => "everybody with a part in the unit was seen to hold what it asks for",
            };
            let gate = rotating.plan().point_of_no_return();
            let here = rotating.plan().stages().iter().position(|one| Some(one) == rotating.stage());
            let past = here.zip(gate).is_some_and(|(here, gate)| here >= gate);
            writeln!(table, "    ends when {opens}{}", if past { "; past the point of no return" } else { "" })
                .unwrap();
        }
        for (name, event) in events(cluster, policy) {
            writeln!(table, "    {name}: {}", outcome(&cluster.machine, &event, cluster.now)).unwrap();
        }
    }

    fn begin(cluster: &mut Cluster, policy: &UnitPolicy) {
        if policy.trigger == Trigger::User {
            cluster.start(policy.unit);
        } else {
            cluster.now = at(0) + Duration::days(5 * 365 - 29);
            assert!(cluster.apply(&Event::Tick).unwrap().started.is_some());
        }
    }

    #[test]
    fn what_every_event_does_in_every_stage_is_written_down() {
        for preset in Preset::ALL {
            let hierarchy = Hierarchy::preset(preset);
            for strategy in Strategy::ALL.into_iter().filter(|strategy| strategy.is_allowed(hierarchy.origin())) {
                let mut cluster = Cluster::with_strategy(hierarchy.clone(), strategy);
                // One unit that a user begins says what all of them do; the others differ in their stages alone.
                let units = units(&hierarchy);
                let policy = units.first().unwrap();
                let mut table = format!("{preset}, {strategy}, `{}`\n\n", policy.unit);
                row(&mut cluster, policy, &mut table);
                begin(&mut cluster, policy);
                let mut stages = 0;
                cluster.run_with(|cluster| {
                    row(cluster, policy, &mut table);
                    stages += 1;
                });
                assert!(stages > 8, "{preset} {strategy}");
                golden(&format!("transitions-{preset}-{strategy}.txt"), &table);
            }
        }
    }

    const STYLE: &str = "text { font: 13px sans-serif; fill: #222 } .head { font-weight: bold } \
        .quiet { fill: #667; font-size: 11px } .box { fill: #eef3fb; stroke: #4a6fa5 } .past { fill: #fbeeee; stroke: #a54a4a } \
        .edge { stroke: #4a6fa5 } .back { stroke: #a58a4a; stroke-dasharray: 4 3 } .ground { fill: #fff }";
    const COLUMN: i32 = 270;
    const STEP: i32 = 34;
    const TOP: i32 = 84;

    fn label(class: &str, x: i32, y: i32, words: impl Into<String>) -> Text {
        Text::new(words.into()).set("class", class).set("x", x).set("y", y)
    }

    fn column(mut document: Document, left: i32, name: &str, plan: &Plan) -> Document {
        document = document.add(label("head", left, TOP - 34, name));
        let past = plan.point_of_no_return().unwrap_or_else(|| plan.stages().len());
        for (index, stage) in plan.stages().iter().enumerate() {
            let y = TOP + i32::try_from(index).unwrap() * STEP;
            let class = if index < past { "box" } else { "past" };
            let frame = Rectangle::new().set("class", class).set("x", left).set("y", y).set("rx", 4);
            document = document.add(frame.set("width", COLUMN - 70).set("height", STEP - 12));
            document = document.add(label("", left + 8, y + 15, stage.to_string()));
            if index + 1 < plan.stages().len() {
                let edge = Line::new().set("class", "edge").set("x1", left + 20).set("x2", left + 20);
                document = document.add(edge.set("y1", y + STEP - 12).set("y2", y + STEP));
            }
            // The way back, from every stage that has one.
            if index < past {
                let (from, to) = (left + COLUMN - 70, left + COLUMN - 46);
                let edge = Line::new().set("class", "back").set("x1", from).set("x2", to);
                document = document.add(edge.set("y1", y + 11).set("y2", y + 11));
            }
        }
        let (x, last) = (left + COLUMN - 46, TOP + i32::try_from(past.saturating_sub(1)).unwrap() * STEP + 11);
        let rail = Line::new().set("class", "back").set("x1", x).set("x2", x).set("y1", TOP - 12).set("y2", last);
        document.add(rail).add(label("quiet", x - 44, TOP - 16, "rolled back"))
    }

    fn graph() -> String {
        let hierarchy = Hierarchy::kubeadm();
        let plans = Strategy::ALL.map(|strategy| {
            let settings = Settings::of(&hierarchy).with_strategy(strategy);
            let cluster = Cluster::with(hierarchy.clone(), settings);
            (strategy.id(), cluster.machine.plan(Unit::Ca, strategy).unwrap())
        });
        let longest = plans.iter().map(|(_, plan)| plan.stages().len()).max().unwrap();
        let height = TOP + i32::try_from(longest).unwrap() * STEP + 40;
        let width = COLUMN * i32::try_from(plans.len()).unwrap() + 20;
        let mut document = Document::new()
            .set("viewBox", (0, 0, width, height))
            .set("width", width)
            .set("height", height)
            .set("role", "img")
            .add(Title::new("The stages of a rotation by each strategy"))
            .add(Style::new(STYLE))
            .add(Rectangle::new().set("class", "ground").set("width", width).set("height", height))
            .add(label("head", 20, 26, "kubeadm, every authority: from stage to stage on evidence alone"));
        for (left, (name, plan)) in (20..).step_by(usize::try_from(COLUMN).unwrap()).zip(&plans) {
            document = column(document, left, name, plan);
        }
        let words = "Blue: there is a way back (dashed). Red: past the point of no return. After the last stage the cluster is at rest.";
        document.add(label("quiet", 20, height - 14, words)).to_string() + "\n"
    }

    #[test]
    fn the_graph_in_the_documentation_is_the_one_of_the_plans() {
        let (path, found) = (concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/transitions.svg"), graph());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &found).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), found, "run with UPDATE_GOLDEN=1 and look at the picture");
        assert!(found.contains("close-address") && found.contains("cross-sign"));
    }
}
