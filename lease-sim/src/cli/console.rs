use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process;
use std::time::{Duration, Instant};

/// Says a result, on standard output.
pub(super) fn say(line: impl Display) {
    if writeln!(io::stdout().lock(), "{line}").is_err() {
        // Whoever has read that far has seen enough, as `head` has.
        process::exit(2);
    }
}

/// Says something beside the result, on standard error.
pub(super) fn note(line: impl Display) {
    // Nobody may be listening, which is no reason to stop.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Says why a command cannot be obeyed, on standard error and in one line.
pub(super) fn complain(why: &str) {
    note(why.split_whitespace().collect::<Vec<_>>().join(" "));
}

/// How many of something there are: `1 violation`, `2 violations`.
pub(super) fn counted(count: u64, what: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {what}{end}")
}

/// How far a verb has come, on standard error: a line that is written over on a terminal, a new line
/// now and then elsewhere.
pub(super) struct Progress {
    is_terminal: bool,
    due: Instant,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self {
            is_terminal,
            due: Instant::now() + pause(is_terminal),
            is_shown: false,
        }
    }

    /// Shows the line, if it is time for one.
    pub(super) fn show<L: Display>(&mut self, line: impl FnOnce() -> L) {
        let now = Instant::now();
        if now < self.due {
            return;
        }
        self.due = now + pause(self.is_terminal);
        self.is_shown = true;
        let mut err = io::stderr().lock();
        // Nobody may be looking, which is no reason to stop.
        let _ = if self.is_terminal {
            write!(err, "\r\x1b[2K{}", line()).and_then(|()| err.flush())
        } else {
            writeln!(err, "{}", line())
        };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal && self.is_shown {
            // The results take its place.
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }
}

fn pause(is_terminal: bool) -> Duration {
    Duration::from_millis(if is_terminal { 100 } else { 5_000 })
}
