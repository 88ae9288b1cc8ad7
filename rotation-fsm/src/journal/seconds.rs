//! Durations as whole seconds.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use time::Duration;

/// What has a fraction or is negative is not written: no duration of a rotation is.
pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    match u64::try_from(duration.whole_seconds()) {
        Ok(seconds) if duration.subsec_nanoseconds() == 0 => serializer.serialize_u64(seconds),
        _ => Err(S::Error::custom(format_args!("{duration}: expected whole seconds, zero or more"))),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    let too_long = |_| D::Error::custom(format_args!("{seconds} seconds, limit {}", i64::MAX));
    Ok(Duration::seconds(i64::try_from(seconds).map_err(too_long)?))
}

pub(crate) mod option {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    /// A duration that is read as one.
    #[derive(Deserialize)]
    struct Seconds(#[serde(with = "super")] Duration);

    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Seconds>::deserialize(deserializer)?.map(|Seconds(duration)| duration))
    }
}
