use std::fmt;

/// What a lessor is made with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    pub(crate) min_ttl: i64,
    pub(crate) checkpoint_interval_ms: u64,
    pub(crate) retry_interval_ms: u64,
    pub(crate) persist: bool,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) has_deleter: bool,
    pub(crate) clock_lag_ms: u64,
    pub(crate) max_leases: Option<usize>,
    pub(crate) max_items: Option<usize>,
}

/// What the host does with checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Checkpoints {
    /// It has no checkpointer.
    None,
    /// It applies them at once.
    Direct,
    /// It applies them when the trace says so.
    Deferred,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checkpointer = match self.checkpoints {
            Checkpoints::None => "none",
            Checkpoints::Direct => "direct",
            Checkpoints::Deferred => "deferred",
        };
        write!(
            f,
            "settings min_ttl={} checkpoint_interval_ms={} retry_interval_ms={} persist={} \
             checkpointer={checkpointer} deleter={} clock_lag_ms={} max_leases={} max_items={}",
            self.min_ttl,
            self.checkpoint_interval_ms,
            self.retry_interval_ms,
            self.persist,
            self.has_deleter,
            self.clock_lag_ms,
            self.max_leases.unwrap_or(0),
            self.max_items.unwrap_or(0),
        )
    }
}
