//! The programs of the guide, run as processes: each says what its page shows. After a change that is
//! meant, `UPDATE_EXPECT=1 cargo test -p lease --all-features --test guide` writes the pages' files.
#![cfg(unix)]
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use expect_test::{ExpectFile, expect_file};

/// Where cargo has built an example, beside this test.
fn path_of(example: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("it has a path");
    path.pop();
    path.pop();
    path.extend(["examples", example]);
    let line = "cargo build -p lease --all-features --examples";
    assert!(path.exists(), "build it first, or all tests: {line}");
    path
}

/// Runs a program of a page to its end, in a folder of its own, and compares what it says.
fn says(example: &str, expected: &ExpectFile) {
    let folder = tempfile::tempdir().expect("there is room");
    let output = Command::new(path_of(example))
        .current_dir(folder.path())
        .output()
        .expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example} fails: {errors}");
    expected.assert_eq(&String::from_utf8(output.stdout).expect("it is text"));
}

/// A program at a terminal.
struct Session<'a> {
    folder: &'a Path,
    running: Option<(Child, BufReader<ChildStdout>)>,
    /// What the terminal shows.
    shown: String,
}

impl<'a> Session<'a> {
    fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            running: None,
            shown: String::new(),
        }
    }

    /// Starts it, and waits for so many lines.
    fn start(&mut self, example: &str, lines: usize) {
        let mut child = Command::new(path_of(example))
            .current_dir(self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = child.stdout.take().expect("it is piped");
        self.running = Some((child, BufReader::new(output)));
        self.shown += "$ cargo run --quiet\n";
        self.read(lines);
    }

    /// Types a line that is answered by so many.
    fn types(&mut self, line: &str, lines: usize) {
        let (child, _) = self.running.as_mut().expect("it runs");
        let input = child.stdin.as_mut().expect("it is piped");
        writeln!(input, "{line}").expect("it reads");
        self.shown += &format!("{line}\n");
        self.read(lines);
    }

    fn read(&mut self, lines: usize) {
        let (_, output) = self.running.as_mut().expect("it runs");
        for _ in 0..lines {
            let read = output.read_line(&mut self.shown).expect("it is text");
            assert!(read > 0, "it says less: {}", self.shown);
        }
    }

    /// As `kill -9` does, of which the shell tells.
    fn kill(&mut self) {
        let (mut child, _) = self.running.take().expect("it runs");
        child.kill().expect("it runs");
        child.wait().expect("it is gone");
        self.shown += "Killed\n";
    }
}

#[test]
fn getting_started() {
    let folder = tempfile::tempdir().expect("there is room");
    let mut session = Session::new(folder.path());
    session.start("getting_started", 1);
    session.types("add web/1", 1);
    session.types("add web/2", 1);
    session.types("renew web/1", 1);
    session.kill();
    session.start("getting_started", 1);
    session.types("list", 2);
    session.types("renew web/2", 1);
    session.types("renew web/3", 1);
    session.kill();
    expect_file!["../../docs/guide/src/output/getting_started.txt"].assert_eq(&session.shown);
}

#[test]
fn life_of_a_lease() {
    says(
        "life_of_a_lease",
        &expect_file!["../../docs/guide/src/output/life_of_a_lease.txt"],
    );
}

#[test]
fn after_a_restart() {
    says(
        "after_a_restart",
        &expect_file!["../../docs/guide/src/output/after_a_restart.txt"],
    );
}

#[test]
fn your_own_rows() {
    says(
        "your_own_rows",
        &expect_file!["../../docs/guide/src/output/your_own_rows.txt"],
    );
}

#[test]
fn async_host() {
    says(
        "async_host",
        &expect_file!["../../docs/guide/src/output/async_host.txt"],
    );
}

#[test]
fn behind_a_log() {
    says(
        "behind_a_log",
        &expect_file!["../../docs/guide/src/output/behind_a_log.txt"],
    );
}

#[test]
fn a_backend() {
    says(
        "a_backend",
        &expect_file!["../../docs/guide/src/output/a_backend.txt"],
    );
}

#[test]
fn testing() {
    says(
        "testing",
        &expect_file!["../../docs/guide/src/output/testing.txt"],
    );
}

#[test]
fn tuning() {
    says(
        "tuning",
        &expect_file!["../../docs/guide/src/output/tuning.txt"],
    );
}

#[test]
fn from_etcd() {
    says(
        "from_etcd",
        &expect_file!["../../docs/guide/src/output/from_etcd.txt"],
    );
}
