//! Bytes: text where people read them, with what is no text escaped, else bytes.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Error, SeqAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::LeaseItem;

impl Serialize for LeaseItem {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serialize(self, to)
    }
}

impl<'de> Deserialize<'de> for LeaseItem {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        deserialize(from).map(Self::from)
    }
}

pub(crate) fn serialize<S: Serializer>(
    bytes: &(impl AsRef<[u8]> + ?Sized),
    to: S,
) -> Result<S::Ok, S::Error> {
    let bytes = bytes.as_ref();
    if to.is_human_readable() {
        to.collect_str(&Escaped(bytes))
    } else {
        to.serialize_bytes(bytes)
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    if from.is_human_readable() {
        from.deserialize_str(Readable)
    } else {
        from.deserialize_byte_buf(Compact)
    }
}

/// UTF-8 as it is, a backslash twice, and any other byte as `\xff`.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let mut parts = chunk.valid().split('\\');
            f.write_str(parts.next().unwrap_or_default())?;
            for part in parts {
                write!(f, r"\\{part}")?;
            }
            for byte in chunk.invalid() {
                write!(f, r"\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// What was escaped, or `None` if that is no such text.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('\\');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    while let Some(part) = parts.next() {
        if let Some(hex) = part.strip_prefix('x') {
            let (digits, rest) = hex.split_at_checked(2)?;
            let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let byte = are_digits.then(|| u8::from_str_radix(digits, 16).ok());
            bytes.push(byte.flatten()?);
            bytes.extend_from_slice(rest.as_bytes());
        } else {
            // Nothing stands between the two of a backslash.
            let rest = part.is_empty().then(|| parts.next()).flatten()?;
            bytes.push(b'\\');
            bytes.extend_from_slice(rest.as_bytes());
        }
    }
    Some(bytes)
}

struct Readable;

impl serde::de::Visitor<'_> for Readable {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r"text in which a backslash is \\ and a byte that is no UTF-8 is \xff")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        let unexpected = serde::de::Unexpected::Str(text);
        unescape(text).ok_or_else(|| E::invalid_value(unexpected, &self))
    }
}

struct Compact;

impl<'de> serde::de::Visitor<'de> for Compact {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_owned())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = from.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn any_bytes_come_back_and_text_stays_readable() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"services/web/1", "services/web/1"),
            ("caf\u{e9}\n".as_bytes(), "caf\u{e9}\n"),
            (br"a\\b\", r"a\\\\b\\"),
            (b"\xff\\x\x80", r"\xff\\x\x80"),
            (b"\xe2\x82", r"\xe2\x82"),
        ] {
            assert_eq!(Escaped(bytes).to_string(), text);
            assert_eq!(unescape(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(unescape(r"\x61").as_deref(), Some(&b"a"[..]));
    }

    #[test]
    fn what_is_no_escape_is_refused() {
        for text in [
            r"\",
            r"a\",
            r"\n",
            r"\x",
            r"\xf",
            r"\x+f",
            r"\xfg",
            r"\\\",
            "\\x\u{e9}",
        ] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }
}
