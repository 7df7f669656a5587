//! A lessor on a redb file that survives `kill -9`.
//!
//! The example starts itself as a child that grants leases and attaches keys, kills it without
//! warning, opens the file again and shows what is left of each lease.
//!
//! Run it with `cargo run -p lease-backend --example embedded`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example talks and waits"
)]

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lease_backend::RedbBackend;
use lease_core::{
    Backend, BackendLessor, BoxError, ExpiryMode, LeaseId, Lessor, LessorConfig, Table,
    TableDeleter, WriteBatch,
};

fn main() -> Result<(), BoxError> {
    if let Some(file) = env::args().nth(1) {
        return serve(Path::new(&file));
    }
    let directory = env::temp_dir().join(format!("lease-embedded-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let file = directory.join("leases.redb");

    let mut child = Command::new(env::current_exe()?)
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("the child's output is piped")?;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        println!("child: {line}");
        if line.starts_with("ready") {
            break;
        }
    }
    println!("parent: kill -9");
    child.kill()?;
    child.wait()?;

    after_the_crash(&file)?;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

fn open(file: &Path) -> Result<(BackendLessor, Arc<RedbBackend>), BoxError> {
    let backend = Arc::new(RedbBackend::open(file)?);
    let lessor = BackendLessor::builder(backend.clone())
        .config(LessorConfig {
            // Write down every second what remains of the longer leases.
            checkpoint_interval: Duration::from_secs(1),
            ..LessorConfig::default()
        })
        .expiry(ExpiryMode::AutoRevoke)
        .range_deleter(Arc::new(TableDeleter::new(keys())))
        .build()?;
    Ok((lessor, backend))
}

fn keys() -> Table {
    Table::new("keys")
}

/// The child: grants, attaches, waits to be killed.
fn serve(file: &Path) -> Result<(), BoxError> {
    let (lessor, _) = open(file)?;
    lessor.promote(Duration::ZERO)?;
    for (number, ttl) in [(1, 5), (2, 60), (3, 3600)] {
        let id = LeaseId::try_from(number)?;
        let key = format!("services/{number}");
        lessor.grant(id, ttl)?;
        let mut writes = WriteBatch::default();
        writes.put(keys(), key.as_bytes(), number.to_be_bytes());
        lessor.attach_with(id, &[key.into()], writes)?;
        println!("granted lease {id} for {ttl} s with one key");
    }
    thread::sleep(Duration::from_millis(3500));
    println!("ready, 3.5 s have passed");
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

/// The parent: what the file still knows.
fn after_the_crash(file: &Path) -> Result<(), BoxError> {
    let (lessor, backend) = open(file)?;
    println!("parent: opened the file again");
    backend.scan(&keys(), &mut |key, lease| {
        let number = lease.try_into().map(i64::from_be_bytes);
        if let Some(id) = number.ok().and_then(LeaseId::new) {
            // A key whose lease is gone went with it, in one transaction.
            let attached = lessor.attach(id, &[key.into()]);
            attached.expect("a key's lease is in the file");
        }
    })?;
    lessor.promote(Duration::ZERO)?;
    for lease in lessor.leases() {
        println!(
            "  lease {}: granted {} s, {:?} remain, keys {:?}",
            lease.id(),
            lease.ttl().as_secs(),
            lease.remaining().unwrap_or_default(),
            lease.keys()
        );
    }
    thread::sleep(Duration::from_secs(3));
    println!("parent: 3 s later");
    for lease in lessor.leases() {
        println!("  lease {} is alive", lease.id());
    }
    let mut left = 0;
    backend.scan(&keys(), &mut |_, _| left += 1)?;
    println!("  {left} keys are left: those of the expired lease went with it");
    Ok(())
}
