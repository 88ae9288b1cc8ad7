//! What the API server forwards to nodes, pods and services.

pub(super) mod https_unverified;
pub(super) mod plaintext;

use crate::check::{Context, Outcomes};
use crate::model::Egress;
use crate::posture::tunnel;

/// Fails for every API server that forwards outside a tunnel: nothing else protects what it forwards.
fn judge(context: &Context<'_>, found: &str, outcomes: &mut Outcomes) {
    let is_used = &context.model.infrastructure.proxy_is_used;
    let Some((is_used, origin)) = outcomes.need(is_used, "whether the proxy verb is used") else { return };
    if !is_used || tunnel(context.model, &|_| false).is_some() {
        return outcomes.pass();
    }
    let what = "kube-apiserver --egress-selector-config-file";
    if context.model.api_servers.is_empty() {
        outcomes.missing(what);
    }
    for api in &context.model.api_servers {
        match outcomes.need(&api.settings.egress, what) {
            Some((Egress::Direct, _)) => {
                outcomes.fail(format_args!("kube-apiserver {}", api.name), origin, "a tunnel around it", found);
            }
            Some((Egress::Konnectivity(_), _)) => outcomes.pass(),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::Case;
    use crate::fact::Fact;

    pub(super) fn with(is_used: Fact<bool>, egress: Fact<Egress>) -> Case {
        let mut case = Case::default();
        case.model.infrastructure.proxy_is_used = is_used;
        case.api_server().settings.egress = egress;
        case
    }
}
