//! The registry: every check there is, one file each.

mod anchor;
mod etcd;
mod kubelet;
mod waiver;

use crate::check::Check;

pub(crate) use self::waiver::stale::CHECK as STALE_WAIVER;

/// Every check, by family.
pub(crate) static REGISTRY: &[&Check] =
    &[&anchor::expired::CHECK, &etcd::client_cert_auth_off::CHECK, &kubelet::serving_unverified::CHECK, &STALE_WAIVER];

/// Every check, by family.
#[must_use]
pub fn checks() -> &'static [&'static Check] {
    REGISTRY
}

#[cfg(test)]
pub(crate) mod testing {
    use pki_core::Limits;
    use time::UtcDateTime;

    use super::Check;
    use crate::check::{Context, Outcomes};
    use crate::model::{ApiServer, ClusterModel, Component, Etcd, Kubelet};

    /// 2026-01-01.
    pub(crate) const NOW: i64 = 1_767_225_600;

    /// A cluster of what a test puts there.
    #[derive(Debug, Default)]
    pub(crate) struct Case {
        pub(crate) model: ClusterModel,
    }

    impl Case {
        pub(crate) fn api_server(&mut self) -> &mut Component<ApiServer> {
            add(&mut self.model.api_servers, "cp-1")
        }

        pub(crate) fn etcd(&mut self) -> &mut Component<Etcd> {
            add(&mut self.model.etcd, "cp-1")
        }

        pub(crate) fn kubelet(&mut self) -> &mut Component<Kubelet> {
            add(&mut self.model.kubelets, "node-1")
        }
    }

    fn add<'a, S: Default>(to: &'a mut Vec<Component<S>>, name: &str) -> &'a mut Component<S> {
        to.push(Component { name: name.to_owned(), ..Component::default() });
        to.last_mut().unwrap()
    }

    /// What a check says, a line each: findings, then what it misses.
    pub(crate) fn run(check: &Check, case: &Case) -> Vec<String> {
        let limits = Limits::DEFAULT;
        let now = UtcDateTime::from_unix_timestamp(NOW).unwrap();
        let context = Context { model: &case.model, now, limits: &limits, verifiers: None };
        let mut outcomes = Outcomes::default();
        (check.run)(&context, &mut outcomes);
        let mut lines = Vec::new();
        for (evidence, subjects) in &outcomes.failed {
            for subject in subjects {
                lines.push(format!("{}: expected {}, found {}", subject.name, evidence.expected, evidence.found));
            }
        }
        lines.extend(outcomes.missing.iter().map(|what| format!("not evaluated: {what}")));
        lines
    }

    #[test]
    fn names_are_unique_and_in_order() {
        let names: Vec<_> = super::REGISTRY.iter().map(|check| check.id).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
    }
}
