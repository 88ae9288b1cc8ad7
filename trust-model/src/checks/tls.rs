//! Which versions of TLS servers speak.

pub(super) mod minimum_below_1_2;
pub(super) mod no_1_3;

use pki_core::{ComponentKind, Path};

use crate::channel::Channel;
use crate::check::{Context, Outcomes};
use crate::model::TlsRange;

/// The paths whose servers have versions to judge: those of webhooks, aggregated and proxied servers are not known.
const CHANNELS: &[Channel] = &[
    Channel::Tls(Path::NodeApi),
    Channel::Tls(Path::NodeBootstrap),
    Channel::Tls(Path::PodApi),
    Channel::Tls(Path::KcmApi),
    Channel::Tls(Path::SchedApi),
    Channel::Tls(Path::AdminApi),
    Channel::Tls(Path::ApiKubelet),
    Channel::Tls(Path::KonnAgent),
    Channel::Tls(Path::KonnKas),
    Channel::Tls(Path::ApiEtcd),
    Channel::Tls(Path::EtcdPeer),
    Channel::Tls(Path::EtcdHealth),
    Channel::Tls(Path::EtcdGateway),
    Channel::Tls(Path::CpInternal),
];

/// Those who answer on a path must say which versions they speak; others are judged if they do.
fn judge(context: &Context<'_>, expected: &str, is_good: fn(&TlsRange) -> bool, outcomes: &mut Outcomes) {
    let (mut kind, mut what) = (None, String::new());
    for holder in context.model.all_holders() {
        if !is_server(holder.kind) && holder.tls.value().is_none() {
            continue;
        }
        if kind.replace(holder.kind) != Some(holder.kind) {
            what = format!("{} versions of TLS", holder.kind);
        }
        let subject = format_args!("{} {}", holder.kind, holder.name);
        outcomes.judge(subject, holder.tls, &what, expected, is_good, ToString::to_string);
    }
}

/// A pod may answer the proxy verb; what it speaks is its own affair.
fn is_server(kind: ComponentKind) -> bool {
    CHANNELS.iter().any(|channel| channel.path().is_some_and(|path| path.server() == kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::Case;
    use crate::fact::Fact;

    #[test]
    fn every_path_to_a_component_that_has_settings_is_named() {
        let bare = Case::bare();
        for path in Path::ALL {
            let is_known = path.server() != ComponentKind::Pod && bare.model.holders(path.server()).next().is_some();
            assert_eq!(CHANNELS.contains(&Channel::Tls(path)), is_known, "{path}");
        }
    }

    pub(super) fn with(tls: Fact<TlsRange>) -> Case {
        let mut case = Case::default();
        case.kubelet().tls = tls;
        case
    }

    /// One that answers on no path, and says what it speaks all the same.
    pub(super) fn of_scheduler(tls: Fact<TlsRange>) -> Case {
        let mut case = Case::default();
        case.scheduler().tls = tls;
        case
    }
}
