use alloc::string::String;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Table;

/// The name.
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let table = Self::try_new(name.clone());
        table.ok_or_else(|| {
            let expected = &"the name of a table that is not the lessor's own";
            D::Error::invalid_value(Unexpected::Str(&name), expected)
        })
    }
}
