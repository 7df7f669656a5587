use alloc::string::String;
use core::error::Error;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::HostError;

/// As its text, and those of its sources behind it: the error itself is of a type of the host's.
impl Serialize for HostError {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Chain(self))
    }
}

/// An error that is its text and nothing else.
impl<'de> Deserialize<'de> for HostError {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

struct Chain<'a>(&'a HostError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
