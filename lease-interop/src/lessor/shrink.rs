use std::fmt;

use anyhow::Result;

use super::compare::Difference;
use super::pair::Pair;
use crate::trace::Trace;

/// A trace that nothing can be taken from without the difference.
pub(crate) struct Shrunk {
    trace: Trace,
    difference: Difference,
}

/// Takes commands away as long as something differs.
///
/// # Errors
///
/// If a trace cannot be run.
pub(crate) fn shrink(
    pair: &mut Pair,
    shims: &[&str],
    mut difference: Difference,
) -> Result<Shrunk> {
    let mut trace = difference.trace.clone();
    trace.commands.truncate(difference.at + 1);
    let mut chunk = trace.commands.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        let mut has_shrunk = false;
        while at < trace.commands.len() {
            let mut smaller = trace.clone();
            let end = (at + chunk).min(trace.commands.len());
            smaller.commands.drain(at..end);
            match pair.run(shims, &smaller)? {
                Some(still) => {
                    smaller = still.trace.clone();
                    smaller.commands.truncate(still.at + 1);
                    (trace, difference, has_shrunk) = (smaller, still, true);
                }
                None => at += chunk,
            }
        }
        if chunk == 1 && !has_shrunk {
            break;
        }
        chunk = if chunk == 1 { 1 } else { chunk / 2 };
    }
    Ok(Shrunk { trace, difference })
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a shortest trace that differs:\n{}{}",
            self.trace, self.difference
        )
    }
}
