//! YAML of strangers, within bounds.

use serde_json::Value;
use serde_saphyr::{Error as YamlError, MergeKeyPolicy};

use super::files::ObserveLimits;

/// The documents of a file. The parser's own words are left out of the reason: they quote the file, in which keys stand.
pub(super) fn documents(octets: &[u8], limits: &ObserveLimits) -> Result<Vec<Value>, String> {
    let text = core::str::from_utf8(octets).map_err(|_| "not UTF-8 (YAML 1.2.2, 5.2)".to_owned())?;
    let (max_nodes, max_depth) = (limits.yaml_nodes_max, limits.yaml_depth_max);
    // Nothing of Kubernetes writes aliases into these files, and each use of one is another copy of what it stands for.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: max_nodes,
            max_depth: max_depth,
            flow_nesting_limit: max_depth,
            max_aliases: 0,
            max_anchors: 0,
            max_total_scalar_bytes: limits.file_len_max,
        },
        merge_keys: MergeKeyPolicy::Error,
        with_snippet: false,
        emit_comments: false,
        ignore_binary_tag_for_string: true,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let at = error.location().map_or_else(String::new, |location| format!("line {}: ", location.line()));
        match error {
            YamlError::Budget { .. } => {
                format!("{at}an alias or anchor, more than {max_nodes} nodes, or nested deeper than {max_depth}")
            }
            YamlError::DuplicateMappingKey { .. } => format!("{at}a key stands twice"),
            _ => format!("{at}not YAML"),
        }
    })
}

/// A field of a field of a value.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name)).filter(|value| !value.is_null())
}

/// A text there. Kubernetes takes an empty one for none.
pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path)?.as_str().filter(|text| !text.is_empty())
}

/// The elements there.
pub(super) fn list<'a>(value: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> + use<'a> {
    at(value, path).and_then(Value::as_array).into_iter().flatten()
}

/// The texts there. Numbers and booleans that nobody quoted are texts too.
pub(super) fn texts<'a>(value: &'a Value, path: &[&str]) -> impl Iterator<Item = String> + use<'a> {
    list(value, path).filter_map(|value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    })
}

/// What kind of object this is.
pub(super) fn kind(value: &Value) -> &str {
    text(value, &["kind"]).unwrap_or_default()
}
