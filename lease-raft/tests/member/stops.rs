//! What of a member does not stop.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use lease_core::{Backend, BackendError};
use lease_raft::{Decided, Leases, Member, ReplicaError, StateMachine, StopError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::{Cluster, PATIENCE, until};

/// Hangs at its first command, as one does that waits for a disk, until it is let go of.
#[derive(Default)]
struct Hangs {
    stage: Mutex<Stage>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Idle,
    Hangs,
    LetGo,
}

impl Hangs {
    fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.changed.notify_all();
    }
}

/// Lets go in the end, also of a test that has failed: its runtime waits for what hangs.
struct LetsGo(Arc<Hangs>);

impl Drop for LetsGo {
    fn drop(&mut self) {
        self.0.set(Stage::LetGo);
    }
}

impl StateMachine for Hangs {
    fn recover(&self, _: &dyn Backend) -> Result<(), BackendError> {
        Ok(())
    }

    fn decide(&self, _: u64, _: &[u8], _: &dyn Leases) -> Decided {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage == Stage::Idle {
            *stage = Stage::Hangs;
        }
        let hangs = |stage: &mut Stage| *stage != Stage::LetGo;
        drop(self.changed.wait_while(stage, hangs));
        Decided::default()
    }

    fn apply(&self, _: u64, _: &[u8], _: &[u8]) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_may_take_any_time_to_stop() {
    let mut cluster = Cluster::new();
    let options = cluster.options(1).stop_timeout(Duration::MAX);
    cluster.start_with(options, 1).await;
    cluster.stop(1).await;
    cluster.start(1).await;
    cluster.stop(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_does_not_stop_says_what_hangs() {
    let mut cluster = Cluster::new();
    let machine = Arc::new(Hangs::default());
    let hangs = LetsGo(machine.clone());
    let timeout = Duration::from_millis(100);
    let options = cluster.options(1).stop_timeout(timeout);
    let member = Member::start(options.machine(machine.clone())).await;
    let member = member.expect("it starts");
    let lessor = member.lessor().clone();
    let proposed = tokio::spawn(async move { lessor.propose(vec![7], PATIENCE).await });
    until("it hangs", async || machine.stage() == Stage::Hangs).await;

    let late = member.stop().await.expect_err("it hangs");
    assert!(matches!(late, StopError::Late { .. }), "{late:?}");
    assert!(late.to_string().contains("its engine applies"), "{late}");
    assert!(late.to_string().contains("100ms"), "{late}");
    let told = proposed.await.expect("no panic");
    assert_eq!(told, Err(ReplicaError::Unknown));

    drop(hangs);
    until("its file is free", async || {
        let options = cluster.options(1).machine(machine.clone());
        match Member::start(options).await {
            Ok(member) => member.stop().await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
}

/// As a member that is paused, which does not hear that the connection is to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_other_end_is_silent_keeps_no_file() {
    let mut cluster = Cluster::of(1).await;
    let mut stream = TcpStream::connect(cluster.address(1))
        .await
        .expect("it listens");
    let begins = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(begins).await.expect("it is open");
    stream.read_u8().await.expect("it speaks HTTP/2");
    for _ in 0..2 {
        cluster.stop(1).await;
        cluster.start(1).await;
    }
    cluster.stop_all().await;
}
