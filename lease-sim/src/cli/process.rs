use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};

/// How a worker is started.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
}

impl Recipe {
    /// This program, as a worker.
    ///
    /// # Errors
    ///
    /// If the system does not say which program this is.
    pub(super) fn own() -> io::Result<Self> {
        // The link stays right when a build has put another program into the place of this one.
        let link = Path::new("/proc/self/exe");
        let program = if link.exists() {
            link.to_owned()
        } else {
            std::env::current_exe()?
        };
        Ok(Self {
            program,
            args: vec!["worker".to_owned()],
        })
    }
}

/// A worker process. Dropping it kills it.
pub(super) struct Worker {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    last_words: Option<JoinHandle<String>>,
}

/// What a worker makes of a job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Said(String),
    /// It took too long.
    Silent,
    /// It has died: of what, and its last words.
    Died(String),
}

impl Worker {
    /// # Errors
    ///
    /// If the process cannot be started.
    pub(super) fn start(recipe: &Recipe) -> io::Result<Self> {
        let mut child = Command::new(&recipe.program)
            .args(&recipe.args)
            .env(KEEP_MEMORY.0, KEEP_MEMORY.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("a pipe to a worker is missing");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let (sender, lines) = unbounded();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            stdin,
            lines,
            last_words: Some(thread::spawn(move || last_of(stderr))),
        })
    }

    /// Gives it a job and waits for the answer. After any other answer than [`Answer::Said`] it is
    /// of no use any more.
    pub(super) fn ask(&mut self, line: &str, patience: Duration) -> Answer {
        if writeln!(self.stdin, "{line}").is_err() {
            return Answer::Died(self.obituary());
        }
        match self.lines.recv_timeout(patience) {
            Ok(line) => Answer::Said(line),
            Err(RecvTimeoutError::Timeout) => Answer::Silent,
            Err(RecvTimeoutError::Disconnected) => Answer::Died(self.obituary()),
        }
    }

    fn obituary(&mut self) -> String {
        // It has closed its standard output, so it is dead or as good as that.
        let status = match self.child.try_wait() {
            Ok(Some(status)) => status.to_string(),
            _ => match self.child.kill().and_then(|()| self.child.wait()) {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
        };
        let words = self.last_words.take().map(JoinHandle::join);
        match words {
            Some(Ok(words)) if !words.is_empty() => format!("{status}: {words}"),
            _ => status,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have died already; there is nothing that could be done about an error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last of what a worker has to say, in one line.
fn last_of(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut piece) {
        kept.extend_from_slice(&piece[..length]);
        kept.drain(..kept.len().saturating_sub(LAST_WORDS));
    }
    let text = String::from_utf8_lossy(&kept);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const LAST_WORDS: usize = 2048;

/// Memory that a world gives back is for the next one, and not for the system: it would take the pages away and
/// bring new ones. mimalloc reads it.
const KEEP_MEMORY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "-1");

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(script: &str) -> Worker {
        let recipe = Recipe {
            program: "sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
        };
        Worker::start(&recipe).expect("there is a shell")
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_worker_answers_line_by_line() {
        let mut worker = worker("while read line; do echo \"<$line>\"; done");
        for n in 0..3 {
            let answer = worker.ask(&n.to_string(), LONG);
            assert_eq!(answer, Answer::Said(format!("<{n}>")));
        }
    }

    #[test]
    fn a_worker_is_told_to_keep_its_memory() {
        let mut worker = worker("read line; echo $MIMALLOC_PURGE_DELAY");
        assert_eq!(worker.ask("", LONG), Answer::Said("-1".to_owned()));
    }

    #[test]
    fn a_silent_worker_is_told_from_a_dead_one() {
        let mut silent = worker("exec sleep 60");
        assert_eq!(silent.ask("", Duration::from_millis(20)), Answer::Silent);
        let mut dead = worker("read line; echo it is bad >&2; exit 3");
        let answer = dead.ask("", LONG);
        assert_eq!(answer, Answer::Died("exit status: 3: it is bad".to_owned()));
    }
}
