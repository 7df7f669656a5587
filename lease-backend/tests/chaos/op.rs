use std::fmt;
use std::str::FromStr;

/// What a thread does to its leases, in one command. It is said as a line of text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// Grants a lease, with a row of the host's that says when.
    Grant { id: i64, stamp: u64 },
    /// Revokes a lease: its keys go, and the host's row with it.
    Revoke { id: i64 },
    /// Attaches a key to a lease, which takes it from the one that had it, with the key's row.
    Attach { id: i64, key: u64 },
    /// Detaches a key, and removes its row.
    Detach { id: i64, key: u64 },
    /// Sets what remains of a lease.
    Checkpoint { id: i64, remaining: i64 },
    /// Brings everything before it to the disk.
    Flush,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant { id, stamp } => write!(f, "grant {id} {stamp}"),
            Self::Revoke { id } => write!(f, "revoke {id} 0"),
            Self::Attach { id, key } => write!(f, "attach {id} {key}"),
            Self::Detach { id, key } => write!(f, "detach {id} {key}"),
            Self::Checkpoint { id, remaining } => write!(f, "checkpoint {id} {remaining}"),
            Self::Flush => write!(f, "flush 0 0"),
        }
    }
}

impl FromStr for Op {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let wrong = || format!("{line:?} is no operation");
        let mut words = line.split(' ');
        let (Some(name), Some(id), Some(number)) = (words.next(), words.next(), words.next())
        else {
            return Err(wrong());
        };
        let id = id.parse().map_err(|_| wrong())?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        Ok(match name {
            "grant" => Self::Grant { id, stamp: number },
            "revoke" => Self::Revoke { id },
            "attach" => Self::Attach { id, key: number },
            "detach" => Self::Detach { id, key: number },
            "checkpoint" => Self::Checkpoint {
                id,
                remaining: number as i64,
            },
            "flush" => Self::Flush,
            _ => return Err(wrong()),
        })
    }
}
