use std::time::Duration;

/// How long a request may take in each of its parts.
///
/// Any release may add a part: take the default for what is not named.
///
/// ```
/// use lease_http::Timeouts;
/// use std::time::Duration;
///
/// let timeouts = Timeouts::default();
/// assert_eq!(timeouts.applied, Duration::from_secs(1)); // etcd's
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Timeouts {
    /// For its body to come: 5 s by default. Then 400.
    pub body: Duration,
    /// For this member to have applied what is committed: 1 s by default, as in etcd. Then 408.
    pub applied: Duration,
    /// For what the lease itself makes it wait for: its end if it has expired, the reset of its
    /// checkpoint, the commands that go on while its many items are copied. 5 s by default, where
    /// etcd has no limit. Then 400 for a renewal, 500 for the time to live.
    pub lease: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            body: Duration::from_secs(5),
            applied: Duration::from_secs(1),
            lease: Duration::from_secs(5),
        }
    }
}
