//! Programs that may hang, and what they write.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    /// With `None` it took too long, or died of a signal.
    pub(crate) code: Option<i32>,
    pub(crate) is_late: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program with all that it starts, at most this long.
///
/// # Errors
///
/// If it cannot be started.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Ended> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let stdout = child.stdout.take().map(read);
    let stderr = child.stderr.take().map(read);
    let start = Instant::now();
    let mut is_late = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() >= limit {
            is_late = true;
            end_group(&child);
            break child.wait()?;
        }
        thread::sleep(PAUSE);
    };
    // What it has started and left alone, so that the pipes end too.
    end_group(&child);
    let text = |pipe: Option<thread::JoinHandle<String>>| {
        pipe.and_then(|pipe| pipe.join().ok()).unwrap_or_default()
    };
    Ok(Ended {
        code: status.code(),
        is_late,
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

const PAUSE: Duration = Duration::from_millis(10);

/// The same with a limit of memory for each program that it starts, which a shell sets: a loop that does not end
/// may also take more and more.
pub(crate) fn limited(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", LIMITED]).arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        shell.current_dir(dir);
    }
    shell
}

// In KiB.
const LIMITED: &str = r#"ulimit -v 6291456; exec "$0" "$@""#;

// The group has no other process than those: it was made for this one.
fn end_group(child: &Child) {
    let group = format!("-{}", child.id());
    let mut kill = Command::new("kill");
    let kill = kill.args(["-s", "KILL", "--", &group]);
    // If there is none left, all is well.
    let _ = kill.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn read(mut pipe: impl std::io::Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is all that there is.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("LEASE_WORD", "word");
        run(&mut limited(&command), limit).expect("there is a shell")
    }

    #[test]
    fn an_end_is_told_from_a_hang() {
        let long = Duration::from_secs(60);
        let ended = sh("echo out; echo err >&2; exit 3", long);
        assert_eq!((ended.code, ended.is_late), (Some(3), false));
        assert_eq!((&*ended.stdout, &*ended.stderr), ("out\n", "err\n"));
        let late = sh("echo out; sleep 60", Duration::from_millis(50));
        assert_eq!((late.code, late.is_late), (None, true));
        assert_eq!(late.stdout, "out\n");
    }

    #[test]
    fn it_has_its_variables_and_a_limit_of_memory() {
        let ended = sh("echo $LEASE_WORD; ulimit -v", Duration::from_secs(60));
        assert_eq!(ended.stdout, "word\n6291456\n");
    }

    #[test]
    fn what_was_started_ends_too() {
        let start = Instant::now();
        // The pipe stays open as long as the other process lives.
        let ended = sh("sleep 60 & echo out", Duration::from_secs(60));
        assert_eq!(ended.code, Some(0));
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
