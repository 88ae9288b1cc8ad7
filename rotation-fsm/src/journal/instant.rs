//! Instants as RFC 3339 writes them, in whole seconds of UTC.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use time::UtcDateTime;

use crate::maintenance::{Rfc3339, is_writable, parse_instant};

/// What has a fraction or no year of four digits is not written: it would not come back as it was.
pub(crate) fn serialize<S: Serializer>(time: &UtcDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    if *time != time.truncate_to_second() || !is_writable(*time) {
        return Err(S::Error::custom(format_args!("{time}: expected a whole second of the years 0000 to 9999")));
    }
    serializer.collect_str(&Rfc3339(*time))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UtcDateTime, D::Error> {
    parse_instant(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(crate) mod option {
    use super::{Deserialize, Deserializer, Serializer, UtcDateTime};

    /// An instant that is read as one.
    #[derive(Deserialize)]
    struct Instant(#[serde(with = "super")] UtcDateTime);

    pub(crate) fn serialize<S: Serializer>(time: &Option<UtcDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UtcDateTime>, D::Error> {
        Ok(Option::<Instant>::deserialize(deserializer)?.map(|Instant(time)| time))
    }
}
