//! The example that a person can watch, run as a program.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[test]
fn the_example_shows_what_it_promises() {
    let output = Command::new(path()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    for part in [
        "member 3 joins it",
        "leads, and is killed",
        "leads: an answer",
        "15 are kept alive, 0 of the abandoned are left",
        "starts again from its file, and has 15 leases",
        "Every lease that was kept alive has survived, every abandoned one has gone in time.",
    ] {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

#[test]
fn the_example_finds_leases_that_are_lost() {
    let output = Command::new(path()).arg("careless").output();
    let output = output.expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("leases are left of those that are kept alive"),
        "{said}"
    );
    let strange = Command::new(path()).arg("strange").output();
    assert!(!strange.expect("it starts").status.success());
}

/// As when its output goes to `head`.
#[test]
fn the_example_ends_quietly_when_nobody_reads_on() {
    let mut command = Command::new(path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("it talks");
    assert!(line.starts_with("Three members"), "{line}");
    drop(output);
    let mut complained = String::new();
    let mut errors = child.stderr.take().expect("piped");
    errors.read_to_string(&mut complained).expect("text");
    assert!(child.wait().expect("it ends").success(), "{complained}");
    assert_eq!(complained, "");
}

fn path() -> PathBuf {
    let mut path = std::env::current_exe().expect("it has a path");
    path.pop();
    path.pop();
    path.extend(["examples", "cluster"]);
    path.set_extension(std::env::consts::EXE_EXTENSION);
    let line = "cargo build -p lease-raft --examples";
    assert!(path.exists(), "build it first, or all tests: {line}");
    path
}
