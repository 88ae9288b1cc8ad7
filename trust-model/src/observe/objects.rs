//! Objects of the API that say how the API server calls others (`k8s.io/api/admissionregistration/v1`,
//! `k8s.io/kube-aggregator/pkg/apis/apiregistration/v1`).

use serde_json::Value;

use super::files::shown;
use super::reader::Reader;
use super::yaml::{at, kind, list, text};
use crate::fact::{Fact, Place};
use crate::model::{ApiServiceClient, Trust, WebhookClient};

/// What is known of callers, over all files: once one of them cannot be read, it is not known whom else there is.
#[derive(Debug)]
struct Callers<T> {
    /// Where the first stands.
    place: Option<Place>,
    callers: Vec<T>,
    is_broken: bool,
}

impl<T> Callers<T> {
    const fn new() -> Self {
        Self { place: None, callers: Vec::new(), is_broken: false }
    }

    fn seen(&mut self, path: &str) {
        self.place.get_or_insert_with(|| Place::file(shown(path)));
    }

    fn into_fact(self) -> Fact<Vec<T>> {
        match self.place {
            Some(place) if !self.is_broken => Fact::observed(self.callers, place),
            _ => Fact::Missing,
        }
    }
}

#[derive(Debug)]
pub(super) struct Objects {
    webhooks: Callers<WebhookClient>,
    services: Callers<ApiServiceClient>,
    /// Both kinds of webhook configurations have to be seen before it is said that there are none.
    validating: Option<Place>,
    mutating: Option<Place>,
}

impl Objects {
    pub(super) const fn new() -> Self {
        Self { webhooks: Callers::new(), services: Callers::new(), validating: None, mutating: None }
    }

    /// An object, or a list of them; how deep lists are nested is bounded by the parser.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>, path: &str, object: &Value) {
        match kind(object) {
            "List" => list(object, &["items"]).for_each(|object| self.read(reader, path, object)),
            "ValidatingWebhookConfigurationList" => {
                self.validating = Some(Place::file(shown(path)));
                self.list(reader, path, object, "ValidatingWebhookConfiguration");
            }
            "MutatingWebhookConfigurationList" => {
                self.mutating = Some(Place::file(shown(path)));
                self.list(reader, path, object, "MutatingWebhookConfiguration");
            }
            "APIServiceList" => {
                self.services.seen(path);
                self.list(reader, path, object, "APIService");
            }
            kind => self.object(reader, path, object, kind),
        }
    }

    /// Items of a list of one kind do not repeat it.
    fn list(&mut self, reader: &mut Reader<'_>, path: &str, all: &Value, kind: &str) {
        list(all, &["items"]).for_each(|object| self.object(reader, path, object, kind));
    }

    fn object(&mut self, reader: &mut Reader<'_>, path: &str, object: &Value, kind: &str) {
        let name = text(object, &["metadata", "name"]).unwrap_or_default();
        match kind {
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
                self.webhooks.seen(path);
                for webhook in list(object, &["webhooks"]) {
                    let name = format!("{kind} {name}/{}", text(webhook, &["name"]).unwrap_or_default());
                    let data = text(webhook, &["clientConfig", "caBundle"]);
                    match bundle(reader, path, &name, data) {
                        Some(trust) => {
                            let name = name.as_str().into();
                            self.webhooks.callers.push(WebhookClient { name, trust });
                        }
                        None => self.webhooks.is_broken = true,
                    }
                }
            }
            "APIService" => {
                self.services.seen(path);
                // Without a service it is the API server itself.
                if at(object, &["spec", "service"]).is_none() {
                    return;
                }
                let skips = at(object, &["spec", "insecureSkipTLSVerify"]).and_then(Value::as_bool) == Some(true);
                let trust = if skips {
                    Some(Trust::Nothing)
                } else {
                    bundle(reader, path, &format!("APIService {name}"), text(object, &["spec", "caBundle"]))
                };
                match trust {
                    Some(trust) => self.services.callers.push(ApiServiceClient { name: name.into(), trust }),
                    None => self.services.is_broken = true,
                }
            }
            _ => {}
        }
    }

    pub(super) fn into_facts(mut self) -> (Fact<Vec<WebhookClient>>, Fact<Vec<ApiServiceClient>>) {
        if self.webhooks.place.is_none() && self.mutating.is_some() {
            self.webhooks.place = self.validating;
        }
        self.webhooks.callers.sort_by(|a, b| a.name.cmp(&b.name));
        self.services.callers.sort_by(|a, b| a.name.cmp(&b.name));
        (self.webhooks.into_fact(), self.services.into_fact())
    }
}

/// What is verified: a bundle, or the roots of the system. `None` if it cannot be read.
fn bundle(reader: &mut Reader<'_>, path: &str, name: &str, data: Option<&str>) -> Option<Trust> {
    let Some(data) = data else { return Some(Trust::SystemRoots) };
    let place = Place::item(shown(path), format!("{} caBundle", shown(name)));
    reader.embedded(data, &place).map(Trust::Bundle)
}
