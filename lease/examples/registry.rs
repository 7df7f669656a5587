//! A registry of services on a file: who does not renew in time is gone, and `kill -9` loses nothing that
//! was acknowledged. Ctrl-C, or the end of the input, ends it in an orderly way.
//!
//! Run it with `cargo run -p lease --example registry`, and type
//!
//! ```text
//! register web/1 10.0.0.7:8080 60
//! renew web/1
//! list
//! leave web/1
//! ```
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example talks, and reads what is typed in a thread of its own"
)]

use std::error::Error;
use std::io::{BufRead, stdin};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use lease::prelude::*;
use lease::{Backend, Table, TableDeleter, WriteBatch};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1);
    let registry = Registry::open(path.as_deref().unwrap_or("registry.redb"))?;
    registry.list()?;

    let (lines, typed) = channel();
    let at_ctrl_c = lines.clone();
    ctrlc::set_handler(move || drop(at_ctrl_c.send(None)))?;
    std::thread::spawn(move || read(&lines));
    println!("ready");
    // Until Ctrl-C or the end of the input.
    while let Ok(Some(line)) = typed.recv() {
        match registry.run(&line) {
            Ok(()) => {}
            Err(error) => println!("error: {error}"),
        }
    }
    registry.lessor.stop();
    println!("stopped");
    Ok(())
}

fn read(lines: &Sender<Option<String>>) {
    for line in stdin().lock().lines().map_while(Result::ok) {
        drop(lines.send(Some(line)));
    }
    drop(lines.send(None));
}

struct Registry {
    store: Arc<RedbBackend>,
    lessor: BackendLessor,
}

impl Registry {
    /// Opens the file, or makes it.
    fn open(path: &str) -> Result<Self, Box<dyn Error>> {
        let store = Arc::new(RedbBackend::open(path)?);
        // Attached items are in the file too, and what has expired is revoked without our help.
        let lessor = BackendLessor::standalone(store.clone())?;
        // The row of a service goes with its lease, in one transaction.
        lessor.set_range_deleter(Arc::new(TableDeleter::new(services())));
        Ok(Self { store, lessor })
    }

    fn run(&self, line: &str) -> Result<(), Box<dyn Error>> {
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["register", name, address, secs] => self.register(name, address, secs.parse()?),
            ["renew", name] => {
                let ttl = self.lessor.renew(self.lease_of(name)?)?;
                println!("{name} is renewed for {ttl}");
                Ok(())
            }
            ["leave", name] => {
                self.lessor.revoke(self.lease_of(name)?)?;
                println!("{name} has left");
                Ok(())
            }
            ["list"] => self.list(),
            [] => Ok(()),
            _ => Err("register NAME ADDRESS SECONDS, renew NAME, leave NAME, list".into()),
        }
    }

    /// Registers a service until `secs` have passed, or instead of who had the name.
    fn register(&self, name: &str, address: &str, secs: u64) -> Result<(), Box<dyn Error>> {
        let before = self.lessor.get_lease(name.as_bytes());
        let id = self.lessor.grant_new(Duration::from_secs(secs))?.id();
        let mut writes = WriteBatch::default();
        writes.put(services(), name, address);
        // The item and the row come to be together, or neither does.
        self.lessor.attach_with(id, &[name.into()], writes)?;
        if let Some(before) = before {
            // It has nothing any more: the item was moved.
            drop(self.lessor.revoke(before));
        }
        println!("{name} is registered with lease {id}");
        Ok(())
    }

    fn lease_of(&self, name: &str) -> Result<LeaseId, String> {
        let lease = self.lessor.get_lease(name.as_bytes());
        lease.ok_or_else(|| format!("{name} is not registered"))
    }

    fn list(&self) -> Result<(), Box<dyn Error>> {
        self.store.scan(&services(), &mut |name, address| {
            let left = self.lessor.get_lease(name);
            let left = left.and_then(|id| self.lessor.time_to_live(id)?.remaining());
            let (name, address) = (text(name), text(address));
            println!(
                "{name} at {address}, {} s left",
                left.unwrap_or_default().as_secs()
            );
        })?;
        Ok(())
    }
}

fn services() -> Table {
    Table::new("services")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
