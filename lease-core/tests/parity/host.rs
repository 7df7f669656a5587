//! A host with a log: one command, one transaction, and what fails in it.

use lease_core::{
    Answer, Backend, Checkpoint, Command, Epoch, Grant, LeaseError, Revocation, Table, Ttl,
    WriteBatch,
};

use crate::{id, primary};

fn index(number: u64) -> WriteBatch {
    let mut host = WriteBatch::default();
    host.put(Table::new("meta"), "applied", number.to_be_bytes());
    host
}

/// Whichever write fails, memory is what is on disk, and the same command works afterwards.
#[test]
fn each_command_survives_the_failure_of_its_commit() {
    let bench = primary(|builder| builder);
    let commands = [
        Command::Grant(Grant::new(id(1), Ttl::MAX)),
        Command::Checkpoint(vec![Checkpoint::new(id(1), Some(Ttl::MIN))]),
        Command::Checkpoint(vec![Checkpoint::new(id(1), None)]),
        Command::BeginEpoch(Epoch::new(7)),
        Command::Revoke(vec![Revocation::by_user(id(1)), Revocation::by_user(id(2))]),
    ];
    for (number, command) in (1..).zip(&commands) {
        let before = bench.lessor.rows();
        bench.backend.store().fail_after = Some(0);
        let failed = bench.lessor.apply(command, index(number));
        assert!(matches!(failed, Err(LeaseError::Backend(_))), "{failed:?}");
        assert_eq!(bench.lessor.rows(), before);
        bench.assert_memory_is_disk();
        bench.lessor.apply(command, index(number)).expect("works");
        bench.assert_memory_is_disk();
        let applied = bench.backend.get(&Table::new("meta"), b"applied");
        assert_eq!(applied, Ok(Some(number.to_be_bytes().to_vec())));
    }
}

/// Lists without anything in them are commands like others: the host's index moves on.
#[test]
fn empty_commands_commit_the_hosts_writes() {
    let bench = primary(|builder| builder);
    let empty = [
        (Command::Revoke(Vec::new()), Answer::Revoked(Vec::new())),
        (
            Command::Checkpoint(Vec::new()),
            Answer::Checkpointed(Vec::new()),
        ),
        (
            Command::BeginEpoch(Epoch::ZERO),
            Answer::Epoch(Ok(Epoch::new(1))),
        ),
    ];
    for (number, (command, answer)) in (1..).zip(empty) {
        assert_eq!(bench.lessor.apply(&command, index(number)), Ok(answer));
        let applied = bench.backend.get(&Table::new("meta"), b"applied");
        assert_eq!(applied, Ok(Some(number.to_be_bytes().to_vec())));
    }
    assert_eq!(bench.backend.store().epoch, Epoch::new(1));
}
