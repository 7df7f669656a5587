use alloc::vec::Vec;
use core::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::lease::Remaining;
use crate::probe::planted;
use crate::{Incarnation, Lease, LeaseId, LeaseItem, TimeToLive, Ttl};

/// As its methods tell it.
impl Serialize for Lease {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_struct("Lease", 6)?;
        to.serialize_field("id", &self.id())?;
        to.serialize_field("ttl", &self.ttl())?;
        to.serialize_field("incarnation", &self.incarnation())?;
        to.serialize_field("remaining", &self.remaining())?;
        to.serialize_field("checkpointed_remaining", &self.checkpointed_remaining())?;
        to.serialize_field("keys", self.keys())?;
        to.end()
    }
}

#[derive(Deserialize)]
#[serde(rename = "Lease")]
struct Read {
    id: LeaseId,
    ttl: Ttl,
    incarnation: Incarnation,
    remaining: Option<Duration>,
    checkpointed_remaining: Option<Ttl>,
    keys: Vec<LeaseItem>,
}

/// The items may come in any order. What remains is rounded down to a millisecond, and is no more than
/// 584 million years.
impl<'de> Deserialize<'de> for Lease {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Read {
            id,
            ttl,
            incarnation,
            remaining,
            checkpointed_remaining,
            mut keys,
        } = Read::deserialize(from)?;
        let mut lease = Self::new(id, ttl);
        lease.incarnation = incarnation;
        lease.remaining = counted(remaining);
        if checkpointed_remaining.is_some() {
            lease.extra.get_or_insert_default().checkpointed = checkpointed_remaining;
        }
        if !planted!("alone-items-read-in-no-order") {
            keys.sort_unstable();
        }
        keys.dedup();
        lease.set_keys(keys);
        Ok(lease)
    }
}

fn counted(remaining: Option<Duration>) -> Remaining {
    remaining.map_or(Remaining::NOT_COUNTED, |remaining| {
        let millis = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
        // The largest number says that nobody counts.
        Remaining::millis(millis.min(u64::MAX - 1))
    })
}

/// As its methods tell it.
impl Serialize for TimeToLive {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_struct("TimeToLive", 2)?;
        to.serialize_field("ttl", &self.ttl())?;
        to.serialize_field("remaining", &self.remaining())?;
        to.end()
    }
}

#[derive(Deserialize)]
#[serde(rename = "TimeToLive")]
struct ReadTimeToLive {
    ttl: Ttl,
    remaining: Option<Duration>,
}

/// What remains is rounded down, as that of a [`Lease`].
impl<'de> Deserialize<'de> for TimeToLive {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let ReadTimeToLive { ttl, remaining } = Deserialize::deserialize(from)?;
        Ok(Self::new(ttl, counted(remaining)))
    }
}
