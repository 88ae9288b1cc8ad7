//! The maintenance calendar beside a scan of every minute, over leap days and the ends of years.

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rotation_fsm::{
        Availability, Calendar, CalendarError, ExclusionScope, MaintenanceExclusion, MaintenancePolicy,
        MaintenanceRule, MaintenanceWindow, Overrides, Permit, Recurrence, StepKind, Weekdays, parse_instant,
    };
    use time::{Duration, UtcDateTime, Weekday};

    const SCANNED: Duration = Duration::days(24);
    const WEEK: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];

    fn at(text: &str) -> UtcDateTime {
        parse_instant(text).unwrap()
    }

    fn minutes(minutes: i64) -> Duration {
        Duration::minutes(minutes)
    }

    /// Days around which weeks are looked at: a leap day, ends of years, a century that is no leap year and one that is.
    fn days() -> impl Strategy<Value = UtcDateTime> {
        prop::sample::select(vec![
            at("2024-02-29T00:00:00Z"),
            at("2027-12-31T00:00:00Z"),
            at("2028-02-29T00:00:00Z"),
            at("2100-02-28T00:00:00Z"),
            at("2000-02-29T00:00:00Z"),
            at("1969-12-31T00:00:00Z"),
            at("1600-02-29T00:00:00Z"),
        ])
    }

    /// A window that first starts within so many days before or after the day.
    fn window(day: UtcDateTime, spread: i64) -> impl Strategy<Value = MaintenanceWindow> {
        let rule = prop_oneof![
            Just(Recurrence::Daily),
            Just(Recurrence::Weekly),
            (1u8..128).prop_map(|bits| {
                let days = WEEK.into_iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, day)| day);
                Recurrence::WeeklyOn(Weekdays::new(days).unwrap())
            }),
        ];
        // Now and then the window fills its period.
        let length = prop_oneof![1..1_440i64, 60..300i64, Just(1_440), 1..10_080i64, Just(10_080)];
        (-spread * 1_440..spread * 1_440, length, rule).prop_filter_map(
            "overlaps itself",
            move |(ahead, length, rule)| {
                let length = [length, length / 7].map(minutes);
                let window = |length| MaintenanceWindow::lasting(day + minutes(ahead), length, rule).ok();
                length.into_iter().find_map(window)
            },
        )
    }

    fn exclusion(day: UtcDateTime, spread: i64) -> impl Strategy<Value = (i64, i64, ExclusionScope, UtcDateTime)> {
        let length = prop_oneof![1..600i64, 1..15_000i64];
        let scope = prop::sample::select(&ExclusionScope::ALL);
        (-spread * 1_440..spread * 1_440, length, scope, Just(day))
    }

    fn calendars(day: UtcDateTime, spread: i64) -> impl Strategy<Value = Calendar> {
        let windows = prop::collection::vec(window(day, spread), 0..4);
        let exclusions = prop::collection::vec(exclusion(day, spread), 0..5);
        (windows, exclusions).prop_map(|(windows, exclusions)| {
            let open = if windows.is_empty() { Calendar::always() } else { Calendar::within(windows).unwrap() };
            let exclusions = exclusions.into_iter().enumerate().map(|(number, (ahead, length, scope, day))| {
                let start = day + minutes(ahead);
                let name = format!("exclusion {number}").parse().unwrap();
                MaintenanceExclusion::new(name, start, start + minutes(length), scope).unwrap()
            });
            open.with_exclusions(exclusions).unwrap()
        })
    }

    /// Whether the calendar is open, by going back over the days from which an occurrence could still last.
    fn is_open(calendar: &Calendar, step: StepKind, now: UtcDateTime) -> bool {
        let holds = |window: &MaintenanceWindow| {
            let mut date = now.date();
            (0..=window.length().whole_days() + 1).any(|_| {
                let start = UtcDateTime::new(date, window.start().time());
                let recurs = window.days().contains(start.weekday()) && start >= window.start();
                date = date.previous_day().unwrap();
                recurs && start <= now && now < start + window.length()
            })
        };
        let excludes = |exclusion: &MaintenanceExclusion| {
            exclusion.start() <= now && now < exclusion.end() && exclusion.scope().blocks(step)
        };
        (!calendar.has_windows() || calendar.windows().iter().any(holds)) && !calendar.exclusions().iter().any(excludes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_calendar_is_what_a_scan_of_every_minute_sees(
            (day, calendar) in days().prop_flat_map(|day| (Just(day), calendars(day, 16))),
            step in prop::sample::select(&StepKind::ALL),
            asked in prop::collection::vec((0..34_560i64, prop_oneof![0..400i64, 0..5_000i64]), 12),
        ) {
            let first = day - SCANNED / 2;
            let minute = |number: usize| first + minutes(i64::try_from(number).unwrap());
            let scan: Vec<bool> = (0..34_560).map(|number| is_open(&calendar, step, minute(number))).collect();
            let change = |number: usize| scan[number..].iter().position(|open| *open != scan[number]).map(|ahead| minute(number + ahead));
            let end = minute(scan.len());

            // Only what a window or exclusion begins or ends with can differ from its neighbour, by a second.
            let mut runs = Vec::new();
            for number in 0..scan.len() {
                let began = number == 0 || scan[number] != scan[number - 1];
                if began {
                    if scan[number] {
                        runs.push((minute(number), change(number).unwrap_or(end)));
                    }
                    let opens_or_closes = minute(number) - Duration::SECOND;
                    let before = matches!(calendar.is_open(step, opens_or_closes), Availability::Open { .. });
                    prop_assert!(number == 0 || before != scan[number]);
                }
                if began || number % 7 == 0 {
                    let until = match calendar.is_open(step, minute(number)) {
                        Availability::Open { until } if scan[number] => until,
                        Availability::Closed { until, .. } if !scan[number] => until,
                        wrong => return Err(TestCaseError::fail(format!("{} {wrong:?}", minute(number)))),
                    };
                    match change(number) {
                        Some(change) => prop_assert_eq!(until, Some(change)),
                        None => prop_assert!(until.is_none_or(|until| until >= end)),
                    }
                }
            }
            let intervals: Vec<_> = calendar.open_intervals(step, first, end).map(|open| (open.start, open.end)).collect();
            prop_assert_eq!(&intervals, &runs);

            for (from, length) in asked {
                let (from, length) = (first + minutes(from), minutes(length));
                let fits = |(start, end): &(UtcDateTime, UtcDateTime)| {
                    let start = *start.max(&from);
                    (start < *end && *end - start >= length).then_some(start)
                };
                match (runs.iter().find_map(fits), calendar.next_open(step, from, length)) {
                    (Some(expected), found) => prop_assert_eq!(found, Some(expected)),
                    // What lasts beyond the scan is not seen by it.
                    (None, found) => prop_assert!(found.is_none_or(|found| found + length > end || found >= end)),
                }
            }
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// What jumps over years is what going from one interval to the next would find.
        #[test]
        fn a_jump_lands_where_a_walk_does(
            calendar in calendars(at("2027-12-31T00:00:00Z"), 400),
            step in prop::sample::select(&StepKind::ALL),
            length in prop_oneof![0..400i64, 0..3_000i64, 0..15_000i64],
            ahead in 0..400i64,
        ) {
            let (from, end) = (at("2026-12-01T00:00:00Z") + Duration::days(ahead), at("2030-01-01T00:00:00Z"));
            let length = minutes(length);
            let walked = calendar.open_intervals(step, from, end).find(|open| open.end - open.start >= length);
            let jumped = calendar.next_open(step, from, length);
            match walked {
                Some(open) => prop_assert_eq!(jumped, Some(open.start)),
                None => prop_assert!(jumped.is_none_or(|jumped| jumped + length > end)),
            }
            let deadline = at("2028-06-01T00:00:00Z");
            match (calendar.check_fits(step, from, deadline, length), jumped) {
                (Ok(found), jumped) => prop_assert!(Some(found) == jumped && found + length <= deadline),
                (Err(CalendarError::NoWindow { next, excluded_by, .. }), jumped) => {
                    prop_assert_eq!(next, jumped);
                    prop_assert!(jumped.is_none_or(|jumped| jumped + length.max(Duration::SECOND) > deadline));
                    let windows = match calendar.windows() {
                        [] => Calendar::always(),
                        windows => Calendar::within(windows.iter().copied()).unwrap(),
                    };
                    prop_assert_eq!(windows.check_fits(step, from, deadline, length).is_ok(), excluded_by.is_some());
                }
                (Err(error), _) => return Err(TestCaseError::fail(error.to_string())),
            }
        }

        #[test]
        fn a_blocked_step_is_allowed_when_it_says_and_not_a_second_before(
            calendar in calendars(at("2027-12-31T00:00:00Z"), 60),
            step in prop::sample::select(&StepKind::ALL),
            (now, expiry) in (-60..60i64, -20..90i64),
            policy in prop::sample::select(vec![
                MaintenancePolicy::respect(),
                MaintenancePolicy::gke_000(),
                MaintenancePolicy::gke_001(false),
                MaintenancePolicy::respect().with(StepKind::Complete, MaintenanceRule::IgnoreWithin(Duration::HOUR)),
            ]),
        ) {
            let day = at("2027-12-31T00:00:00Z");
            let (now, expiry) = (day + Duration::days(now), day + Duration::days(expiry));
            let decide = |now| policy.decide(&calendar, step.into(), now, expiry, &Overrides::none());
            if let Permit::Blocked { until, .. } = decide(now) {
                if let Some(until) = until {
                    prop_assert!(until > now && decide(until).is_allowed());
                    prop_assert!(!decide(until - Duration::SECOND).is_allowed());
                } else {
                    prop_assert!(!decide(UtcDateTime::MAX).is_allowed());
                }
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}", rule in "(FREQ|BYDAY|INTERVAL|COUNT)?=?[A-Z0-9,;=+-]{0,30}") {
            let _instant = parse_instant(&text);
            let _window = MaintenanceWindow::parse_daily(&text);
            for rule in [&text, &rule] {
                if let Ok(recurrence) = rule.parse::<Recurrence>() {
                    prop_assert_eq!(recurrence.to_string().parse(), Ok(recurrence));
                }
            }
        }
    }

    /// 64 windows that begin a century after each other, or an hour, and 64 exclusions, so that every question would have
    /// to look at thousands of years day by day.
    #[test]
    fn hostile_calendars_are_answered_all_the_same() {
        let start = at("0000-01-01T00:00:00Z");
        let staggered = |between: Duration| {
            (0..64i32).map(move |number| {
                let start = start + between * number + minutes(20 * i64::from(number));
                MaintenanceWindow::lasting(start, minutes(10), Recurrence::Daily).unwrap()
            })
        };
        let exclusions = || {
            (0..64i32).map(move |number| {
                let start = start + Duration::days(36_525) * number + Duration::days(7_000);
                let (name, end) = (format!("{number}").parse().unwrap(), start + Duration::days(20_000));
                MaintenanceExclusion::new(name, start, end, ExclusionScope::NoUpgrades).unwrap()
            })
        };
        for between in [Duration::days(36_525), Duration::DAY, Duration::ZERO] {
            let calendar = Calendar::within(staggered(between)).unwrap().with_exclusions(exclusions()).unwrap();
            for step in StepKind::ALL {
                for length in [Duration::minutes(11), Duration::DAY, Duration::MAX] {
                    assert_eq!(calendar.next_open(step, UtcDateTime::MIN, length), None);
                }
                assert_eq!(calendar.next_open(step, UtcDateTime::MIN, minutes(10)), Some(start));
                assert!(calendar.next_open(step, at("9999-12-31T00:00:00Z"), minutes(10)).is_some());
                assert_eq!(calendar.next_open(step, UtcDateTime::MAX, minutes(10)), None);
            }
        }
        // Only the last window is long enough, and it begins when all others have long been tried.
        let last = MaintenanceWindow::parse("9990-01-01T12:00:00Z", "9990-01-01T13:00:00Z", "FREQ=DAILY").unwrap();
        let windows = staggered(Duration::DAY).take(63).chain([last]);
        let calendar = Calendar::within(windows).unwrap().with_exclusions(exclusions()).unwrap();
        let next = calendar.next_open(StepKind::RecreateNodes, UtcDateTime::MIN, minutes(60));
        assert_eq!(next, Some(at("9990-01-01T12:00:00Z")));
    }

    #[cfg(feature = "serde")]
    mod stored {
        use serde_json::{Value, from_str, from_value, json, to_value};

        use super::*;

        fn calendar() -> Value {
            json!({
                "windows": { "within": [
                    { "start": "2026-11-21T03:00:00Z", "end": "2026-11-21T07:00:00Z", "recurrence": "FREQ=WEEKLY;BYDAY=SA,SU" },
                    { "start": "1970-01-01T22:30:00Z", "end": "1970-01-02T02:30:00Z", "recurrence": "FREQ=DAILY" },
                ]},
                "exclusions": [
                    { "name": "sale", "start": "2026-11-27T00:00:00Z", "end": "2026-11-30T00:00:00Z", "scope": "NO_UPGRADES" },
                    { "name": "audit", "start": "2026-12-01T00:00:00Z", "end": "2026-12-02T00:00:00Z",
                      "scope": "NO_MINOR_OR_NODE_UPGRADES" },
                ],
            })
        }

        fn refusal<T: serde::de::DeserializeOwned>(value: Value) -> String {
            from_value::<T>(value).map(|_| "was read").unwrap_err().to_string()
        }

        #[test]
        fn a_calendar_comes_back_as_it_was_written() {
            let read: Calendar = from_value(calendar()).unwrap();
            let windows = [
                MaintenanceWindow::parse("20261121T030000Z", "20261121T070000Z", "FREQ=WEEKLY;BYDAY=SA,SU").unwrap(),
                MaintenanceWindow::parse_daily("22:30").unwrap(),
            ];
            assert_eq!(read.windows(), windows);
            assert_eq!(read.exclusions().len(), 2);
            assert_eq!(to_value(&read).unwrap(), calendar());
            let always = json!({ "windows": "always", "exclusions": [] });
            assert_eq!(from_value::<Calendar>(always.clone()).unwrap(), Calendar::always());
            assert_eq!(to_value(Calendar::always()).unwrap(), always);
        }

        #[test]
        fn what_is_read_is_held_to_the_same_rules() {
            for (pointer, value, expected) in [
                ("/windows/within", json!([]), "the list of maintenance windows is empty"),
                ("/windows", json!({ "within": [], "always": null }), ""),
                ("/windows", json!(null), ""),
                ("/windows/within/0/start", json!("2026-11-21T03:00:00+00:00"), "at octet 19: expected `Z`"),
                ("/windows/within/0/end", json!("2026-11-21T03:00:00Z"), "the window lasts 0s"),
                ("/windows/within/0/end", json!("2026-11-22T03:00:01Z"), "expected no overlap"),
                ("/windows/within/0/recurrence", json!("FREQ=DAILY;COUNT=3"), "`COUNT=3` is outside"),
                ("/exclusions/0/scope", json!("NOTHING"), "unknown variant `NOTHING`"),
                ("/exclusions/0/name", json!(""), "the name `` of an exclusion"),
                ("/exclusions/0/name", json!("audit"), "two maintenance exclusions are named `audit`"),
                ("/exclusions/0/end", json!("2026-11-27T00:00:00Z"), "the exclusion ends at"),
            ] {
                let mut stored = calendar();
                *stored.pointer_mut(pointer).unwrap() = value;
                let error = refusal::<Calendar>(stored);
                assert!(error.contains(expected), "{pointer}: {error}");
            }
            for pointer in ["", "/windows/within/0", "/exclusions/0"] {
                let mut stored = calendar();
                let object = stored.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
                object.insert("more".to_owned(), json!(1));
                assert!(refusal::<Calendar>(stored).contains("unknown field `more`"), "{pointer}");
                let mut stored = calendar();
                let object = stored.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
                let missing = object.keys().next().unwrap().clone();
                object.remove(&missing);
                assert!(refusal::<Calendar>(stored).contains(&format!("missing field `{missing}`")), "{pointer}");
            }
        }

        #[test]
        fn a_list_without_end_is_not_read_to_its_end() {
            let window = r#"{"start":"2026-11-21T03:00:00Z","end":"2026-11-21T07:00:00Z","recurrence":"FREQ=DAILY"}"#;
            let list = |count: usize, end: &str| {
                let list = vec![window; count].join(",");
                format!(r#"{{"exclusions":[],"windows":{{"within":[{list}{end}"#)
            };
            assert!(from_str::<Calendar>(&list(64, "]}}")).is_ok());
            // What follows the first window too many is no JSON, and nobody looks at it.
            let error = from_str::<Calendar>(&list(65, ",!")).unwrap_err().to_string();
            assert!(error.starts_with("invalid length 65, expected a list of at most 64"), "{error}");
        }

        #[test]
        fn a_policy_comes_back_as_it_was_written() {
            let stored = json!({
                "start": { "ignoreWithinSeconds": 2_592_000 },
                "controlPlane": "respect",
                "recreateNodes": "respect",
                "complete": "respect",
            });
            assert_eq!(to_value(MaintenancePolicy::gke_001(false)).unwrap(), stored);
            assert_eq!(from_value::<MaintenancePolicy>(stored.clone()).unwrap(), MaintenancePolicy::gke_001(false));
            for policy in [
                MaintenancePolicy::respect(),
                MaintenancePolicy::gke_000(),
                MaintenancePolicy::respect().with(StepKind::Complete, MaintenanceRule::Ignore),
                MaintenancePolicy::respect().with(StepKind::ControlPlane, MaintenanceRule::IgnoreWithin(Duration::MAX)),
                MaintenancePolicy::respect()
                    .with(StepKind::RecreateNodes, MaintenanceRule::IgnoreWithin(Duration::MIN)),
            ] {
                assert_eq!(from_value::<MaintenancePolicy>(to_value(policy).unwrap()).unwrap(), policy);
            }
            for (rule, expected) in [
                (json!({ "ignoreWithinSeconds": -1 }), "invalid value"),
                (json!({ "ignoreWithinSeconds": u64::MAX }), "`ignoreWithinSeconds` is 18446744073709551615, limit"),
                (json!("ignoreWithinSeconds"), "invalid type"),
                (json!("perhaps"), "unknown variant `perhaps`"),
            ] {
                let mut stored = stored.clone();
                stored["start"] = rule;
                let error = refusal::<MaintenancePolicy>(stored);
                assert!(error.contains(expected), "{error}");
            }
            let mut more = stored;
            more["restart"] = json!("respect");
            assert!(refusal::<MaintenancePolicy>(more).contains("unknown field `restart`"));
        }
    }
}
