//! A member's process, as the driver sees it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::rc::Rc;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;

use crate::settings::Planted;

/// Killed when it is dropped.
pub(crate) struct Process {
    child: RefCell<Option<Child>>,
    pid: Pid,
    input: mpsc::UnboundedSender<String>,
    pending: Rc<RefCell<Pending>>,
    is_paused: Cell<bool>,
}

/// What was asked, and not answered yet.
#[derive(Default)]
struct Pending {
    last: u64,
    waiting: BTreeMap<u64, oneshot::Sender<String>>,
    has_ended: bool,
}

impl Process {
    /// Starts a member, and waits until it belongs to the cluster.
    ///
    /// # Errors
    ///
    /// What it has said when it has ended instead.
    pub(crate) async fn start(
        dir: &Path,
        id: usize,
        addresses: &[String],
        planted: Option<Planted>,
    ) -> Result<Rc<Self>, String> {
        let complaints = dir.join(format!("{id}.log"));
        let log = File::create(&complaints).map_err(|error| error.to_string())?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg("--member").arg(dir.join(id.to_string()));
        command.arg(id.to_string()).arg(&addresses[id - 1]);
        command.arg(if id == 1 { "-" } else { &addresses[0] });
        command.arg(planted.map_or("-", Planted::name));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(log).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let (Some(pid), Some(stdin), Some(stdout)) = (pid, child.stdin.take(), child.stdout.take())
        else {
            return Err("a process has no pipes".to_owned());
        };
        let (input, lines) = mpsc::unbounded_channel();
        let pending = Rc::new(RefCell::new(Pending::default()));
        let (tell, ready) = oneshot::channel();
        pending.borrow_mut().waiting.insert(0, tell);
        spawn_local(write(stdin, lines));
        spawn_local(read(stdout, Rc::clone(&pending)));
        let process = Self {
            child: RefCell::new(Some(child)),
            pid,
            input,
            pending,
            is_paused: Cell::new(false),
        };
        match ready.await {
            Ok(_) => Ok(Rc::new(process)),
            Err(_) => Err(std::fs::read_to_string(complaints).unwrap_or_default()),
        }
    }

    /// Has it do something. `None` if it has ended before it has answered.
    pub(crate) async fn ask(&self, command: &str) -> Option<String> {
        let told = {
            let mut pending = self.pending.borrow_mut();
            if pending.has_ended {
                return None;
            }
            pending.last += 1;
            let tag = pending.last;
            let (tell, told) = oneshot::channel();
            pending.waiting.insert(tag, tell);
            // If it has ended, its output says so.
            let _ = self.input.send(format!("{tag} {command}\n"));
            told
        };
        told.await.ok()
    }

    /// Whether it has ended, though nobody has killed it.
    pub(crate) fn has_ended(&self) -> bool {
        self.pending.borrow().has_ended
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.get()
    }

    /// It does nothing until it is [told](Self::go_on), and notices nothing of it.
    pub(crate) fn pause(&self) {
        if !self.has_ended() && kill_process(self.pid, Signal::STOP).is_ok() {
            self.is_paused.set(true);
        }
    }

    pub(crate) fn go_on(&self) {
        if self.is_paused.replace(false) {
            // It can only be gone.
            let _ = kill_process(self.pid, Signal::CONT);
        }
    }

    /// Ends it at once, and waits until it is gone.
    pub(crate) async fn kill(&self) {
        let child = self.child.borrow_mut().take();
        if let Some(mut child) = child {
            // It can only have ended by itself.
            let _ = child.kill().await;
        }
    }
}

async fn write(mut stdin: ChildStdin, mut lines: mpsc::UnboundedReceiver<String>) {
    while let Some(line) = lines.recv().await {
        if stdin.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
}

async fn read(stdout: ChildStdout, pending: Rc<RefCell<Pending>>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (tag, answer) = line.split_once(' ').unwrap_or((&line, ""));
        let waiter = tag
            .parse()
            .ok()
            .and_then(|tag: u64| pending.borrow_mut().waiting.remove(&tag));
        if let Some(waiter) = waiter {
            // Nobody may wait any more.
            let _ = waiter.send(answer.to_owned());
        }
    }
    let mut pending = pending.borrow_mut();
    pending.has_ended = true;
    pending.waiting.clear();
}
