//! The three members, and which of them run.

use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use lease_backend::testing::Prng;
use tokio::time::{Instant, sleep};

use crate::process::Process;
use crate::settings::Planted;

pub(crate) const MEMBERS: usize = 3;

pub(crate) struct Cluster {
    dir: PathBuf,
    addresses: Vec<String>,
    planted: Option<Planted>,
    // The first one is member 1.
    members: RefCell<[Option<Rc<Process>>; MEMBERS]>,
    quorum: Cell<Quorum>,
}

/// Whether a majority runs, and since when.
#[derive(Clone, Copy)]
pub(crate) enum Quorum {
    There(Instant),
    Lost,
}

impl Cluster {
    pub(crate) async fn start(
        dir: &Path,
        prng: &mut Prng,
        planted: Option<Planted>,
    ) -> Result<Rc<Self>, String> {
        let cluster = Self {
            dir: dir.to_owned(),
            addresses: free_addresses(prng),
            planted,
            members: RefCell::default(),
            quorum: Cell::new(Quorum::Lost),
        };
        for id in 1..=MEMBERS {
            cluster.start_member(id).await?;
        }
        Ok(Rc::new(cluster))
    }

    /// Starts a member, the first time or again.
    ///
    /// # Errors
    ///
    /// What it has said if it does not start.
    pub(crate) async fn start_member(&self, id: usize) -> Result<(), String> {
        for _ in 0..PORT_TRIES {
            let started = Process::start(&self.dir, id, &self.addresses, self.planted).await;
            match started {
                Ok(process) => {
                    self.members.borrow_mut()[id - 1] = Some(process);
                    self.note_quorum();
                    return Ok(());
                }
                // Another process may have the port for a moment.
                Err(said) if said.contains("cannot listen") => sleep(PORT_PAUSE).await,
                Err(said) => return Err(format!("member {id} does not start: {said}")),
            }
        }
        Err(format!("the port of member {id} is taken"))
    }

    /// A member that runs, or is paused.
    pub(crate) fn member(&self, id: usize) -> Option<Rc<Process>> {
        self.members.borrow()[id - 1].clone()
    }

    pub(crate) async fn kill(&self, id: usize) {
        let process = self.members.borrow_mut()[id - 1].take();
        self.note_quorum();
        if let Some(process) = process {
            process.kill().await;
        }
    }

    pub(crate) fn pause(&self, id: usize) {
        if let Some(process) = self.member(id) {
            process.pause();
        }
        self.note_quorum();
    }

    pub(crate) fn go_on(&self, id: usize) {
        if let Some(process) = self.member(id) {
            process.go_on();
        }
        self.note_quorum();
    }

    pub(crate) fn quorum(&self) -> Quorum {
        self.quorum.get()
    }

    /// Whether a member has ended that nobody has killed.
    ///
    /// # Errors
    ///
    /// What it has said.
    pub(crate) fn check_alive(&self) -> Result<(), String> {
        for (index, process) in self.members.borrow().iter().enumerate() {
            if process.as_ref().is_some_and(|process| process.has_ended()) {
                let said = std::fs::read_to_string(self.dir.join(format!("{}.log", index + 1)));
                let said = said.unwrap_or_default();
                return Err(format!("member {} has ended by itself: {said}", index + 1));
            }
        }
        Ok(())
    }

    fn note_quorum(&self) {
        let members = self.members.borrow();
        let runs = |process: &&Option<Rc<Process>>| {
            process.as_ref().is_some_and(|process| !process.is_paused())
        };
        let count = members.iter().filter(runs).count();
        let quorum = match (self.quorum.get(), 2 * count > MEMBERS) {
            (Quorum::There(since), true) => Quorum::There(since),
            (Quorum::Lost, true) => Quorum::There(Instant::now()),
            (_, false) => Quorum::Lost,
        };
        self.quorum.set(quorum);
    }
}

/// Addresses that are free now. Not of the ports that the system gives to clients: these could be taken when a
/// member starts again.
fn free_addresses(prng: &mut Prng) -> Vec<String> {
    let mut addresses = Vec::new();
    while addresses.len() < MEMBERS {
        let address = format!("127.0.0.1:{}", 15_000 + prng.below(15_000));
        if !addresses.contains(&address) && TcpListener::bind(&address).is_ok() {
            addresses.push(address);
        }
    }
    addresses
}

const PORT_TRIES: u32 = 20;
const PORT_PAUSE: Duration = Duration::from_millis(250);
