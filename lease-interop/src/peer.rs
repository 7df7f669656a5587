use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::trace::Trace;

/// The process that runs etcd's half.
///
/// A trace goes to it as lines of text, and an answer comes back for each command, until `end`.
pub(crate) struct Peer {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// # Errors
    ///
    /// If the program cannot be started.
    pub(crate) fn start(program: &Path, mode: &str) -> Result<Self> {
        let mut process = Command::new(program)
            .args(["-mode", mode])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let input = process.stdin.take().context("its input is piped")?;
        let output = process.stdout.take().context("its output is piped")?;
        Ok(Self {
            process,
            input,
            output: BufReader::new(output),
        })
    }

    /// Gives it a trace to run with some shims.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub(crate) fn begin(&mut self, shims: &[&str], trace: &Trace) -> Result<()> {
        let text = format!("shims {}\n{trace}end\n", shims.join(" "));
        let written = self.input.write_all(text.as_bytes());
        written.context("etcd's half does not listen")
    }

    /// Asks it one thing in a line, and returns the line that it answers.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String> {
        writeln!(self.input, "{line}").context("etcd's half does not listen")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        let answer = answer.strip_suffix('\n');
        Ok(answer.context("etcd's half ended")?.to_owned())
    }

    /// What it answered to the trace that was begun.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub(crate) fn finish(&mut self) -> Result<Vec<String>> {
        let mut answers = Vec::new();
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line)?;
            match line.strip_suffix('\n') {
                Some("end") => return Ok(answers),
                Some(answer) => answers.push(answer.to_owned()),
                None => bail!("etcd's half ended at command {}", answers.len() + 1),
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It has nothing to keep.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
