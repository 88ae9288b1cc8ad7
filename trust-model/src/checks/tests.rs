//! What holds for all checks: each stands in its file and in the registry, says what it misses, and is in the catalogue.

use core::fmt::Write as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;

use pki_core::{AuthorityRole, TrustSlot};

use super::REGISTRY;
use super::testing::{Case, outcomes};
use crate::channel::Channel;
use crate::check::Check;
use crate::fact::Fact;
use crate::model::{ApiServiceClient, ClusterModel, Egress, Transport, Trust};

/// Families that weaken no path of their own, and why.
const FAMILIES_WITHOUT_CHANNELS: &[(&str, &str)] = &[
    ("anchor", "whichever path its bundle verifies"),
    ("authority", "every path that the authority vouches for"),
    ("bundle", "the paths that it names"),
    ("certificate", "whichever path it is presented on"),
    ("key", "whichever path its certificate is presented on"),
    ("leaf", "whichever path it is presented on"),
];

/// Checks that weaken no path of their own, and why.
const WITHOUT_CHANNELS: &[(&str, &str)] = &[
    ("input.broken", "whatever it would have told of"),
    ("input.unknown_setting", "whatever it would have told of"),
    ("network.control_plane_unconfined", "each path that it names is judged by itself, and the others are in order"),
    ("waiver.stale", "it is about a decision"),
];

fn why_no_channel(check: &Check) -> Option<&'static str> {
    let own = WITHOUT_CHANNELS.iter().find(|(id, _)| *id == check.id);
    let of_family = || FAMILIES_WITHOUT_CHANNELS.iter().find(|(family, _)| *family == check.family());
    own.or_else(of_family).map(|(_, why)| *why)
}

/// Paths that no check weakens, and why.
const UNCHECKED: &[(Channel, &str)] = &[];

/// Checks of which some findings weaken further paths, and which.
const FURTHER_CHANNELS: &[(&str, &str)] =
    &[("etcd.client_plaintext", "`etcd-health` and `etcd-gateway`, where it is a port of etcd")];

/// Checks that miss nothing where nothing is known, and why.
const MISSING_NOTHING: &[(&str, &str)] = &[
    ("input.broken", "looks at what was read"),
    ("input.unknown_setting", "looks at what was read"),
    ("key.readable_by_others", "looks at the key files that were read"),
    ("waiver.stale", "looks at the waivers of the audit itself"),
];

/// Checks without tests in their files, and why.
const TESTED_ELSEWHERE: &[(&str, &str)] = &[("waiver.stale", "the audit runs it")];

fn ids() -> Vec<&'static str> {
    REGISTRY.iter().map(|check| check.id).collect()
}

/// The checks by the files that they stand in, with their text.
fn files() -> BTreeMap<String, String> {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("src/checks");
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(&root).unwrap() {
        let family = entry.unwrap().path();
        if !family.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&family).unwrap() {
            let file = entry.unwrap().path();
            let name = |path: &FilePath| path.file_stem().unwrap().to_str().unwrap().to_owned();
            assert_eq!(file.extension().unwrap(), "rs", "{}", file.display());
            let text = std::fs::read_to_string(&file).unwrap();
            files.insert(format!("{}.{}", name(&family), name(&file)), text);
        }
    }
    files
}

#[test]
fn names_are_unique_and_in_order() {
    let mut sorted = ids();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(ids(), sorted);
}

#[test]
fn every_check_stands_in_the_file_of_its_name() {
    let files = files();
    assert!(!files.is_empty(), "the walk saw no file");
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), ids(), "files, then the registry");
    for (id, text) in &files {
        assert!(text.contains(&format!("    id: \"{id}\",\n")), "{id} is not the name in its file");
        let is_excused = TESTED_ELSEWHERE.iter().any(|(excused, _)| excused == id);
        assert_ne!(text.contains("#[test]"), is_excused, "{id} has tests, or a reason why not");
    }
}

#[test]
fn every_check_says_all_that_it_has_to() {
    for check in REGISTRY {
        let Check { id, summary, applies_to, rationale, remediation, source, .. } = check;
        for text in [summary, applies_to, rationale, remediation, source] {
            assert!(!text.is_empty() && text.trim() == *text && !text.contains("  "), "{id}: `{text}`");
        }
        for sentence in [rationale, remediation] {
            assert!(sentence.ends_with('.'), "{id}: `{sentence}`");
        }
        for phrase in [summary, applies_to, source] {
            assert!(!phrase.ends_with('.'), "{id}: `{phrase}`");
        }
        assert_eq!(id.split_once('.').unwrap().0, check.family());
    }
}

#[test]
fn every_check_weakens_a_path_or_says_why_not() {
    for check in REGISTRY {
        let reason = WITHOUT_CHANNELS.iter().find(|(id, _)| *id == check.id);
        assert!(check.channels.is_empty() || reason.is_none(), "{}", check.id);
        assert!(!check.channels.is_empty() || why_no_channel(check).is_some(), "{}", check.id);
        let channels: BTreeSet<_> = check.channels.iter().collect();
        assert_eq!(channels.len(), check.channels.len(), "{} names a path twice", check.id);
    }
    assert!(WITHOUT_CHANNELS.iter().chain(FURTHER_CHANNELS).all(|(id, _)| ids().contains(id)));
}

#[test]
fn every_path_has_a_check_or_says_why_not() {
    for channel in Channel::ALL {
        let is_checked = REGISTRY.iter().any(|check| check.channels.contains(&channel));
        assert_ne!(is_checked, UNCHECKED.iter().any(|(unchecked, _)| *unchecked == channel), "{channel}");
    }
}

/// Nothing known is neither in order nor wrong.
#[test]
fn what_is_not_known_is_not_evaluated() {
    let mut missing_nothing = Vec::new();
    for check in REGISTRY {
        let outcomes = outcomes(check, &Case::bare().model, None);
        assert_eq!((outcomes.passed, outcomes.failed.len()), (0, 0), "{}", check.id);
        if outcomes.missing.is_empty() {
            missing_nothing.push(check.id);
        }
    }
    assert_eq!(missing_nothing, MISSING_NOTHING.iter().map(|(id, _)| *id).collect::<Vec<_>>());
}

#[test]
fn an_empty_cluster_has_no_findings() {
    for check in REGISTRY {
        let outcomes = outcomes(check, &ClusterModel::default(), None);
        assert_eq!((outcomes.passed, outcomes.failed.len()), (0, 0), "{}", check.id);
    }
}

/// What each check asks for, and what it asks for next when it is told: the questions follow from the checks themselves.
fn questions() -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut cases = vec![Case::bare()];
    let mut case = Case::bare();
    let trust = || Trust::Authority(AuthorityRole::Cluster);
    case.model.infrastructure.proxy_is_used = Fact::default_of(true);
    case.model.infrastructure.control_plane_is_confined = Fact::default_of(false);
    case.model.api_services = Fact::default_of(vec![ApiServiceClient { name: "one".into(), trust: trust() }]);
    case.model.api_servers[0].trusts.insert(TrustSlot::ApiServerKubeletCa, Fact::default_of(trust()));
    case.model.konnectivity_servers[0].settings.server_transport = Fact::default_of(Transport::Tls);
    case.model.etcd[0].settings.auto_tls = Fact::default_of(true);
    case.model.etcd[0].settings.peer_auto_tls = Fact::default_of(true);
    case.model.controller_managers[0].settings.signing_certificates = Fact::default_of(0);
    cases.push(case);
    let mut case = Case::bare();
    case.model.api_servers[0].trusts.insert(TrustSlot::ApiServerKubeletCa, Fact::default_of(trust()));
    case.model.kubelets[0].settings.server_tls_bootstrap = Fact::default_of(false);
    case.model.api_servers[0].settings.egress = Fact::default_of(Egress::Konnectivity(Transport::Tls));
    cases.push(case);
    let mut questions: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for case in &cases {
        for check in REGISTRY {
            questions.entry(check.id).or_default().extend(outcomes(check, &case.model, None).missing);
        }
    }
    questions
}

/// The page that says what every check is.
fn catalogue() -> String {
    let mut page = String::new();
    page.push_str("# The checks of `trust-model`\n\n");
    page.push_str(
        "The registry writes this page: `UPDATE_GOLDEN=1 cargo test -p trust-model --features audit catalogue`.\n\n",
    );
    page.push_str("An `error` lets somebody in or breaks something, a `warn` weakens a protection or will break something, a `notice` informs.\n");
    page.push_str("Where what a check asks for is not known, it is not evaluated; it never passes for that.\n\n");
    page.push_str("| Check | Severity | What is wrong |\n|---|---|---|\n");
    for Check { id, severity, summary, .. } in REGISTRY {
        writeln!(page, "| [`{id}`](#{}) | {severity} | {summary} |", id.replace('.', "")).unwrap();
    }
    let questions = questions();
    for check in REGISTRY {
        let Check { id, severity, summary, applies_to, rationale, remediation, source, channels, .. } = check;
        let paths = match why_no_channel(check).filter(|_| channels.is_empty()) {
            Some(reason) => format!("none of its own: {reason}"),
            None => {
                let all = channels.iter().map(|channel| format!("`{channel}`"));
                let further = FURTHER_CHANNELS.iter().filter(|(other, _)| other == id);
                all.chain(further.map(|(_, further)| (*further).to_owned())).collect::<Vec<_>>().join(", ")
            }
        };
        let missing = match MISSING_NOTHING.iter().find(|(other, _)| other == id) {
            Some((_, reason)) => format!("nothing: it {reason}"),
            None => questions[id].iter().cloned().collect::<Vec<_>>().join("; "),
        };
        writeln!(
            page,
            "\n## {id}\n\n**{severity}**: {summary}.\n\n{rationale}\n\n\
             - Applies to: {applies_to}\n- Paths: {paths}\n- Remediation: {remediation}\n- Source: {source}\n\
             - Not evaluated without: {missing}"
        )
        .unwrap();
    }
    page
}

#[test]
fn the_catalogue_says_what_the_registry_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CHECKS.md");
    let page = catalogue();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), page, "run with UPDATE_GOLDEN=1 and read the diff");
}
