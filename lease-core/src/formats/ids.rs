use alloc::borrow::Cow;
use core::fmt;
use core::str::FromStr;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Epoch, Incarnation, LeaseId, Ttl};

/// As text in formats that people read: as numbers most would be rounded by who keeps numbers in
/// 53 bits, and a rounded id is another lease's. Else as the number.
impl Serialize for LeaseId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            to.serialize_i64(self.get())
        }
    }
}

impl<'de> Deserialize<'de> for LeaseId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            text(from)?.parse().map_err(D::Error::custom)
        } else {
            Self::try_from(i64::deserialize(from)?).map_err(D::Error::custom)
        }
    }
}

/// As text in formats that people read, see [`LeaseId`]; else as it goes over a wire.
impl Serialize for Incarnation {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            to.serialize_u64(self.get())
        }
    }
}

impl<'de> Deserialize<'de> for Incarnation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return u64::deserialize(from).map(Self::from_wire);
        }
        let text = text(from)?;
        let incarnation = read_incarnation(&text);
        incarnation.ok_or_else(|| {
            let expected = &"an incarnation: a number, or an epoch and a number";
            D::Error::invalid_value(Unexpected::Str(&text), expected)
        })
    }
}

/// What [`Display`](fmt::Display) writes.
fn read_incarnation(text: &str) -> Option<Incarnation> {
    let number = |digits: &str| {
        let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then(|| u64::from_str(digits).ok()).flatten()
    };
    let Some((epoch, n)) = text.split_once('.') else {
        return Incarnation::supplied(number(text)?);
    };
    let (epoch, n) = (number(epoch)?, number(n)?);
    let counted = Incarnation::counted(Epoch::new(epoch), n);
    // Else one of them is out of range.
    (counted.counted_parts() == (epoch, n)).then_some(counted)
}

/// Seconds.
impl Serialize for Ttl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(self.get())
    }
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// A string, borrowed where the format can lend it.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Cow<'de, str>, D::Error> {
    struct Visitor;

    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.into()))
        }
    }

    from.deserialize_str(Visitor)
}
