//! The written form of what has a name: the name that it prints.

/// Writes a closed set of named things by `id`, and reads them among `ALL`: whoever reads a journal beside a report finds one
/// name for one thing.
macro_rules! written_by_id {
    ($type:ident, $what:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.id())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Name;

                impl serde::de::Visitor<'_> for Name {
                    type Value = $type;

                    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                        f.write_str(concat!($what, ", one of"))?;
                        $type::ALL.iter().try_for_each(|one| write!(f, " `{}`", one.id()))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        let named = $type::ALL.into_iter().find(|one| one.id() == text);
                        named.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
                    }
                }

                deserializer.deserialize_str(Name)
            }
        }
    };
}

use crate::{ComponentKind, LeafKind};

written_by_id!(ComponentKind, "a kind of component");
written_by_id!(LeafKind, "a kind of leaf");

#[cfg(test)]
mod tests {
    use core::fmt::Debug;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::{AuthorityRole, ComponentKind, LeafKind, Path};

    fn is_written_as_it_prints<T>(all: impl IntoIterator<Item = T>)
    where
        T: Serialize + DeserializeOwned + ToString + PartialEq + Debug,
    {
        for one in all {
            let text = serde_json::to_string(&one).unwrap();
            assert_eq!(text, format!("\"{}\"", one.to_string()));
            assert_eq!(serde_json::from_str::<T>(&text).unwrap(), one);
        }
    }

    #[test]
    fn every_name_is_written_as_it_prints() {
        is_written_as_it_prints(ComponentKind::ALL);
        is_written_as_it_prints(LeafKind::ALL);
        is_written_as_it_prints(AuthorityRole::ALL);
        is_written_as_it_prints(Path::ALL);
    }

    #[test]
    fn the_names_of_components_are_those_of_upstream() {
        let written = |kind: ComponentKind| serde_json::to_value(kind).unwrap();
        assert_eq!(written(ComponentKind::KubeApiServer), "kube-apiserver");
        assert_eq!(written(ComponentKind::ControllerManager), "kube-controller-manager");
        assert_eq!(written(ComponentKind::Scheduler), "kube-scheduler");
        assert_eq!(written(ComponentKind::ExternalClient), "kubectl");
    }

    #[test]
    fn another_name_is_refused_with_those_that_there_are() {
        for other in ["kube-api-server", "KUBELET", "", "kubelet "] {
            let error = serde_json::from_value::<ComponentKind>(other.into()).unwrap_err().to_string();
            let expected = format!("invalid value: string {other:?}, expected a kind of component, one of `etcd` ");
            assert!(error.starts_with(&expected), "{error}");
        }
        assert!(serde_json::from_str::<LeafKind>("7").is_err());
    }
}
