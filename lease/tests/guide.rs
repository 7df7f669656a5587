//! The programs of the guide, run as processes: each says what its page shows. After a change that is
//! meant, `cargo xtask guide --write` writes it into the page.
#![cfg(unix)]
#![expect(
    clippy::disallowed_methods,
    reason = "whether to write is asked of the environment"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

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

/// Compares what a program has said with what the page shows behind `<!-- output: EXAMPLE -->`, or writes it
/// there.
fn shows(page: &str, example: &str, said: &str) {
    let page = Path::new(PAGES).join(page);
    let text = fs::read_to_string(&page).expect("there is the page");
    let mark = format!("<!-- output: {example} -->\n```text\n");
    let parts = text.split_once(&mark);
    let (before, block) = parts.expect("the page shows what it says");
    let (shown, _) = block.split_once("```\n").expect("the block ends");
    if shown == said {
        return;
    }
    let is_to_be_written = std::env::var_os("UPDATE_EXPECT").is_some();
    let page_shows = format!("{} shows\n{shown}", page.display());
    assert!(is_to_be_written, "{example} says\n{said}\nand {page_shows}");
    let after = &block[shown.len()..];
    fs::write(page, [before, &mark, said, after].concat()).expect("it is written");
}

const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/src");

/// Runs a program of a page to its end, in a folder of its own, and compares what it says.
fn says(example: &str, page: &str) {
    let folder = tempfile::tempdir().expect("there is room");
    let output = Command::new(path_of(example))
        .current_dir(folder.path())
        .output()
        .expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example} fails: {errors}");
    shows(
        page,
        example,
        &String::from_utf8(output.stdout).expect("it is text"),
    );
}

/// A program at a terminal.
struct Session<'a> {
    folder: &'a Path,
    /// What stands before each line of it.
    name: &'static str,
    running: Option<(Child, BufReader<ChildStdout>)>,
    /// What the terminal shows.
    shown: String,
}

impl<'a> Session<'a> {
    fn new(folder: &'a Path) -> Self {
        Self::named(folder, "")
    }

    fn named(folder: &'a Path, name: &'static str) -> Self {
        Self {
            folder,
            name,
            running: None,
            shown: String::new(),
        }
    }

    /// Starts it, and waits for so many lines.
    fn start(&mut self, example: &str, args: &[&str], lines: usize) {
        let mut child = Command::new(path_of(example))
            .args(args)
            .current_dir(self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = child.stdout.take().expect("it is piped");
        self.running = Some((child, BufReader::new(output)));
        let behind = if args.is_empty() { "" } else { " -- " };
        let (name, args) = (self.name, args.join(" "));
        self.shown += &format!("{name}$ cargo run --quiet{behind}{args}\n");
        self.read(lines);
    }

    /// Types a line that is answered by so many.
    fn types(&mut self, line: &str, lines: usize) {
        let (child, _) = self.running.as_mut().expect("it runs");
        let input = child.stdin.as_mut().expect("it is piped");
        writeln!(input, "{line}").expect("it reads");
        let mark = if self.name.is_empty() { "" } else { "> " };
        self.shown += &format!("{}{mark}{line}\n", self.name);
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
        let mark = if self.name.is_empty() { "" } else { ": " };
        self.shown += &format!("{}{mark}Killed\n", self.name);
    }

    /// Waits until it has ended by itself, while its input stays open, and shows what it has said then.
    fn ends(&mut self) {
        let (mut child, mut output) = self.running.take().expect("it runs");
        let has_ended = (0..6_000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            child.try_wait().expect("it is a child").is_some()
        });
        if !has_ended {
            child.kill().expect("it runs");
            panic!("{} does not end by itself", self.name);
        }
        let mut said = String::new();
        output.read_to_string(&mut said).expect("it is text");
        self.shown += &format!("{}: {said}", self.name);
    }

    /// What was shown since it was asked last.
    fn take(&mut self) -> String {
        std::mem::take(&mut self.shown)
    }
}

#[test]
fn getting_started() {
    let folder = tempfile::tempdir().expect("there is room");
    let mut session = Session::new(folder.path());
    session.start("getting_started", &[], 1);
    session.types("add web/1", 1);
    session.types("add web/2", 1);
    session.types("renew web/1", 1);
    session.kill();
    session.start("getting_started", &[], 1);
    session.types("list", 2);
    session.types("renew web/2", 1);
    session.types("renew web/3", 1);
    session.kill();
    shows("getting-started.md", "getting_started", &session.shown);
}

#[test]
fn life_of_a_lease() {
    says("life_of_a_lease", "life-of-a-lease.md");
}

#[test]
fn after_a_restart() {
    says("after_a_restart", "after-a-restart.md");
}

#[test]
fn your_own_rows() {
    says("your_own_rows", "your-own-rows.md");
}

#[test]
fn async_host() {
    says("async_host", "async-hosts.md");
}

#[test]
fn three_machines() {
    const EXAMPLE: &str = "three_machines";
    let folder = tempfile::tempdir().expect("there is room");
    let addresses = free_addresses();
    let [one, two, three] = &addresses;
    let names = ["one", "two", "three"];
    let [mut first, mut second, mut third] = names.map(|name| Session::named(folder.path(), name));
    let mut shown = String::new();
    let knows_one = format!("1={one}");
    first.start(EXAMPLE, &["1", one], 1);
    shown += &first.take();
    second.start(EXAMPLE, &["2", two, &knows_one], 1);
    shown += &second.take();
    third.start(EXAMPLE, &["3", three, &knows_one], 1);
    third.types("grant 7 60", 1);
    third.types("members", 1);
    shown += &third.take();
    first.kill();
    shown += &first.take();
    second.types("renew 7", 1);
    shown += &second.take();
    first.start(EXAMPLE, &["1", one, &format!("2={two}")], 1);
    first.types("list", 1);
    first.types("remove 3", 1);
    shown += &first.take();
    third.ends();
    shown += &third.take();
    for (number, address) in (1..).zip(&addresses) {
        shown = shown.replace(address, &format!("10.0.0.{number}:7351"));
    }
    for session in [&mut first, &mut second] {
        session.kill();
    }
    shows("three-machines.md", EXAMPLE, &shown);
}

fn free_addresses() -> [String; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("bound").to_string())
}

#[test]
fn behind_a_log() {
    says("behind_a_log", "behind-a-log.md");
}

#[test]
fn a_backend() {
    says("a_backend", "writing-a-backend.md");
}

#[test]
fn testing() {
    says("testing", "testing.md");
}

#[test]
fn tuning() {
    says("tuning", "tuning.md");
    says("settings", "tuning.md");
}

#[test]
fn from_etcd() {
    says("from_etcd", "from-etcd.md");
}
