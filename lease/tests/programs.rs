//! The programs that a newcomer starts from, run as processes: they work, are killed without warning, find
//! what they had acknowledged, and end in an orderly way at Ctrl-C.
#![cfg(unix)]
#![expect(
    clippy::disallowed_methods,
    reason = "the tests wait for processes in real time"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A program that runs, and what it says.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn start(example: &str, args: &[&str]) -> Self {
        let mut child = Command::new(path_of(example))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = child.stdout.take().expect("it is piped");
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                drop(tell.send(line));
            }
        });
        Self { child, lines }
    }

    /// Waits for a line with this in it.
    fn says(&self, what: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(LONG) {
                Ok(line) if line.contains(what) => return line,
                Ok(line) => before.push(line),
                Err(_) => panic!("it does not say {what:?}, but {before:#?}"),
            }
        }
    }

    fn type_in(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("it is piped");
        writeln!(input, "{line}").expect("it reads");
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is gone");
    }

    /// Presses Ctrl-C, and waits for the end.
    fn interrupt(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.expect("there is kill").success());
        self.says("stopped");
        assert!(self.child.wait().expect("it has ended").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Of a test that fails.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const LONG: Duration = Duration::from_secs(30);

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

fn in_a_directory(test: impl FnOnce(&Path)) {
    let directory = tempfile::tempdir().expect("there is room");
    test(directory.path());
}

#[test]
fn a_registry_survives_a_kill_with_its_items() {
    in_a_directory(|directory| {
        let file = directory.join("registry.redb");
        let file = file.to_str().expect("it is text");
        let start = || Program::start("registry", &[file]);

        let mut registry = start();
        registry.says("ready");
        registry.type_in("register web/1 10.0.0.7:8080 600");
        registry.says("web/1 is registered");
        registry.type_in("register web/2 10.0.0.8:8080 1");
        registry.says("web/2 is registered");
        registry.type_in("register web/3");
        registry.says("error: register NAME");
        registry.kill();

        let mut registry = start();
        registry.says("web/1 at 10.0.0.7:8080");
        registry.says("ready");
        registry.type_in("renew web/1");
        registry.says("web/1 is renewed");
        // Nobody renews this one, which goes with its row.
        let since = Instant::now();
        loop {
            registry.type_in("renew web/1");
            registry.type_in("list");
            registry.says("web/1 is renewed");
            registry.says("web/1 at 10.0.0.7:8080");
            registry.type_in("leave nobody");
            let next = registry.lines.recv_timeout(LONG).expect("an answer");
            if next.starts_with("error: nobody") {
                break;
            }
            registry.says("error: nobody");
            assert!(since.elapsed() < LONG, "it lives on");
            std::thread::sleep(Duration::from_millis(50));
        }
        registry.interrupt();

        let mut registry = start();
        registry.says("web/1 at 10.0.0.7:8080");
        registry.type_in("leave web/1");
        registry.says("web/1 has left");
        registry.interrupt();
        let registry = start();
        let first = registry.lines.recv_timeout(LONG);
        assert_eq!(first.as_deref(), Ok("ready"), "nobody is listed");
    });
}

#[test]
fn a_host_with_a_storage_of_its_own_survives_a_kill_with_its_keys() {
    in_a_directory(|directory| {
        let file = directory.join("keys.log");
        let file = file.to_str().expect("it is text");
        let start = || Program::start("own_storage", &[file]);

        let mut host = start();
        host.says("ready");
        host.type_in("put services/web/1 600");
        host.says("services/web/1 belongs to lease");
        host.type_in("put services/web/2 1");
        host.says("services/web/2 belongs to lease");
        host.kill();

        let mut host = start();
        host.says("services/web/1 belongs to lease");
        host.says("ready");
        host.says("has expired");
        host.type_in("renew services/web/1");
        host.says("services/web/1 is renewed");
        host.type_in("renew services/web/2");
        host.says("error: there is no such key");
        host.interrupt();

        let host = start();
        let listed = host.says("belongs to lease");
        assert!(listed.contains("services/web/1"), "{listed}");
        host.says("ready");
        host.interrupt();
    });
}

/// The same example without a file shows itself, and ends.
#[test]
fn a_host_with_a_storage_of_its_own_shows_itself() {
    let mut host = Program::start("own_storage", &[]);
    host.says("the power is back");
    host.says("has expired");
    assert!(host.child.wait().expect("it ends").success());
}

/// What the service answers: the whole text.
fn ask(address: &str, request: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let len = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {len}\r\n\r\n{body}"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn a_service_survives_a_kill_with_its_items() {
    in_a_directory(|directory| {
        let file = directory.join("service.redb");
        let file = file.to_str().expect("it is text");
        let start = || {
            let service = Program::start("service", &[file, "127.0.0.1:0"]);
            let line = service.says("http://");
            (service, line.trim_start_matches("http://").to_owned())
        };
        let (service, address) = start();
        let registered = ask(&address, "POST /register", "name=web%2F1&secs=600");
        assert!(registered.starts_with("HTTP/1.1 303"), "{registered}");
        let registered = ask(&address, "POST /register", "name=%3Cb%3E&secs=600");
        assert!(registered.starts_with("HTTP/1.1 303"), "{registered}");
        service.kill();

        let (service, address) = start();
        let page = ask(&address, "GET /", "");
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert!(page.contains("web/1"), "{page}");
        assert!(
            page.contains("&lt;b&gt;") && !page.contains("<b>"),
            "{page}"
        );
        let (_, id) = page.split_once("<code>").expect("a lease");
        let (id, _) = id.split_once("</code>").expect("its id");
        let id = format!("id={id}");
        let renewed = ask(&address, "POST /renew", &id);
        assert!(renewed.starts_with("HTTP/1.1 303"), "{renewed}");
        let revoked = ask(&address, "POST /revoke", &id);
        assert!(revoked.starts_with("HTTP/1.1 303"), "{revoked}");
        let gone = ask(&address, "POST /renew", &id);
        assert!(
            gone.starts_with("HTTP/1.1 409") && gone.contains("not found"),
            "{gone}"
        );
        service.interrupt();

        let (service, address) = start();
        let page = ask(&address, "GET /", "");
        assert_eq!(page.matches("<code>").count(), 1, "{page}");
        // A browser that keeps its connection open does not keep the service.
        let _open = TcpStream::connect(&address).expect("it listens");
        service.interrupt();
    });
}
