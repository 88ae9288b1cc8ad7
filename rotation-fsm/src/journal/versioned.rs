//! The envelope around snapshots and events: a version that is judged before what is in it.

use core::fmt;
use core::marker::PhantomData;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::UtcDateTime;

use super::snapshot::State;
use super::{EVENT_VERSION, Record, SNAPSHOT_VERSION, Snapshot, UnknownVersion};
use crate::event::Event;

/// What was read from an envelope.
///
/// Reading fails on what is damaged; another version is an answer, so that its number is there as a value. The version
/// is written first, and what follows an unknown one is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versioned<T> {
    /// Of a version that is known.
    Known(T),
    /// Of another.
    Unknown(UnknownVersion),
}

impl<T> Versioned<T> {
    /// What was read.
    ///
    /// # Errors
    /// When it is of another version.
    pub fn known(self) -> Result<T, UnknownVersion> {
        match self {
            Self::Known(known) => Ok(known),
            Self::Unknown(version) => Err(version),
        }
    }
}

/// What stands in an envelope, read field by field.
trait Envelope: Sized {
    const WHAT: &'static str;
    const VERSION: u32;
    const FIELDS: &'static [&'static str];
    type Parts: Default;

    /// Reads the value of one of [`FIELDS`](Self::FIELDS).
    fn read<'de, A: MapAccess<'de>>(parts: &mut Self::Parts, field: &str, map: &mut A) -> Result<(), A::Error>;

    /// What the fields make, or the one that is missing.
    fn whole(parts: Self::Parts) -> Result<Self, &'static str>;
}

/// A field that is given once, read as a `T`.
fn once<'de, T: Deserialize<'de>, V, A: MapAccess<'de>>(
    slot: &mut Option<V>,
    field: &'static str,
    map: &mut A,
    value: impl FnOnce(T) -> V,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(A::Error::duplicate_field(field));
    }
    *slot = Some(value(map.next_value()?));
    Ok(())
}

impl Envelope for Snapshot {
    const WHAT: &'static str = "snapshot";
    const VERSION: u32 = SNAPSHOT_VERSION;
    const FIELDS: &'static [&'static str] = &["version", "snapshot"];
    type Parts = Option<Self>;

    fn read<'de, A: MapAccess<'de>>(parts: &mut Self::Parts, _: &str, map: &mut A) -> Result<(), A::Error> {
        once(parts, "snapshot", map, |state: State| Self(Box::new(state)))
    }

    fn whole(parts: Self::Parts) -> Result<Self, &'static str> {
        parts.ok_or("snapshot")
    }
}

/// An instant that is read as one.
#[derive(Deserialize)]
#[serde(transparent)]
struct Instant(#[serde(with = "super::instant")] UtcDateTime);

impl Envelope for Record {
    const WHAT: &'static str = "event";
    const VERSION: u32 = EVENT_VERSION;
    const FIELDS: &'static [&'static str] = &["version", "now", "clock", "event"];
    type Parts = (Option<UtcDateTime>, Option<UtcDateTime>, Option<Event>);

    fn read<'de, A: MapAccess<'de>>(parts: &mut Self::Parts, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "now" => once(&mut parts.0, "now", map, |Instant(now)| now),
            "clock" => once(&mut parts.1, "clock", map, |Instant(clock)| clock),
            _ => once(&mut parts.2, "event", map, |event| event),
        }
    }

    fn whole((now, clock, event): Self::Parts) -> Result<Self, &'static str> {
        Ok(Self { now: now.ok_or("now")?, clock, event: event.ok_or("event")? })
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Envelope> Visitor<'de> for Fields<T> {
    type Value = Versioned<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the envelope of a version of {}", T::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Versioned<T>, A::Error> {
        let (mut version, mut parts) = (None, T::Parts::default());
        while let Some(name) = map.next_key::<String>()? {
            let Some(field) = T::FIELDS.iter().find(|field| **field == name) else {
                return Err(A::Error::unknown_field(&name, T::FIELDS));
            };
            if *field != "version" {
                T::read(&mut parts, field, &mut map)?;
                continue;
            }
            once(&mut version, "version", &mut map, |version: u64| version)?;
            if let Some(found) = version.filter(|found| *found != u64::from(T::VERSION)) {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(Versioned::Unknown(UnknownVersion { what: T::WHAT, found, known: T::VERSION }));
            }
        }
        version.ok_or_else(|| A::Error::missing_field("version"))?;
        T::whole(parts).map(Versioned::Known).map_err(A::Error::missing_field)
    }
}

impl<'de> Deserialize<'de> for Versioned<Snapshot> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Versioned<Record> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Versioned::<Self>::deserialize(deserializer)?.known().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Versioned::<Self>::deserialize(deserializer)?.known().map_err(D::Error::custom)
    }
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut envelope = serializer.serialize_struct("Snapshot", 2)?;
        envelope.serialize_field("version", &SNAPSHOT_VERSION)?;
        envelope.serialize_field("snapshot", &self.0)?;
        envelope.end()
    }
}

/// An instant that is written as one.
#[derive(Serialize)]
#[serde(transparent)]
struct At(#[serde(with = "super::instant")] UtcDateTime);

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut envelope = serializer.serialize_struct("Record", 3 + usize::from(self.clock.is_some()))?;
        envelope.serialize_field("version", &EVENT_VERSION)?;
        envelope.serialize_field("now", &At(self.now))?;
        if let Some(clock) = self.clock {
            envelope.serialize_field("clock", &At(clock))?;
        }
        envelope.serialize_field("event", &self.event)?;
        envelope.end()
    }
}
