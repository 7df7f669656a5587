//! A member's process, as the one who has started it sees it.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::Anyhow;

pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a member, and waits until it belongs to the cluster.
    pub(crate) async fn start(
        dir: &Path,
        id: u64,
        address: &str,
        known: Option<&str>,
    ) -> Anyhow<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let dir = dir.join(id.to_string());
        command.arg("member").arg(dir).arg(id.to_string());
        command.arg(address).args(known);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let input = child.stdin.take().ok_or("it has no input")?;
        let output = child.stdout.take().ok_or("it has no output")?;
        let mut process = Self {
            child,
            input,
            output: BufReader::new(output).lines(),
        };
        process.answer().await?;
        Ok(process)
    }

    /// Has it do something.
    pub(crate) async fn ask(&mut self, line: &str) -> Anyhow<String> {
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Anyhow<String> {
        let line = self.output.next_line().await?;
        let line = line.ok_or("a member has ended")?;
        match line.strip_prefix("failed: ") {
            None => Ok(line),
            Some(why) => Err(why.into()),
        }
    }

    /// Ends it at once: it can do nothing any more, as if its machine had lost its power.
    pub(crate) async fn kill(mut self) -> Anyhow<()> {
        Ok(self.child.kill().await?)
    }

    /// Ends it in an orderly way.
    pub(crate) async fn stop(mut self) -> Anyhow<()> {
        drop(self.input);
        match self.child.wait().await?.success() {
            true => Ok(()),
            false => Err("a member has not stopped as it should".into()),
        }
    }
}
