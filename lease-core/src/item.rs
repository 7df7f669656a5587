use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;

/// A resource that lives as long as its lease: in etcd a key, here any bytes, empty ones included.
///
/// ```
/// use lease_core::LeaseItem;
///
/// let item = LeaseItem::from("services/web/10.0.0.7");
/// assert_eq!(item.as_bytes(), b"services/web/10.0.0.7");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LeaseItem(Box<[u8]>);

impl LeaseItem {
    /// No lease takes a longer item: 1 GiB, far above what etcd lets a request carry, and little
    /// enough for a length of 32 bits.
    pub const MAX_LEN: usize = 1 << 30;

    /// The item with these bytes.
    ///
    /// ```
    /// use lease_core::LeaseItem;
    ///
    /// let item = LeaseItem::new(*b"key\xff");
    /// assert_eq!(item.to_string(), r"key\xff");
    /// ```
    #[must_use]
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    ///
    /// ```
    /// use lease_core::LeaseItem;
    ///
    /// assert_eq!(LeaseItem::from("key").as_bytes(), b"key");
    /// ```
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, without a copy.
    ///
    /// ```
    /// use lease_core::LeaseItem;
    ///
    /// let bytes = LeaseItem::from("key").into_bytes().into_vec();
    /// assert_eq!(bytes, b"key");
    /// ```
    #[must_use]
    pub fn into_bytes(self) -> Box<[u8]> {
        self.0
    }
}

impl AsRef<[u8]> for LeaseItem {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for LeaseItem {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for LeaseItem {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<&str> for LeaseItem {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<String> for LeaseItem {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for LeaseItem {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// The bytes as text, with what is not printable ASCII escaped.
impl fmt::Display for LeaseItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for LeaseItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseItem(\"{}\")", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_an_item_is_made_its_bytes_come_back() {
        let items = [
            LeaseItem::new(*b"a\xff"),
            LeaseItem::from(&b"a\xff"[..]),
            LeaseItem::from(Vec::from(b"a\xff")),
        ];
        for item in items {
            assert_eq!(item.as_bytes(), b"a\xff");
            assert_eq!(AsRef::<[u8]>::as_ref(&item), b"a\xff");
            assert_eq!(Borrow::<[u8]>::borrow(&item), b"a\xff");
            assert_eq!(*item.into_bytes(), *b"a\xff");
        }
        assert_eq!(
            LeaseItem::from("text"),
            LeaseItem::from(String::from("text"))
        );
        assert_eq!(LeaseItem::from("text").as_bytes(), b"text");
    }
}
