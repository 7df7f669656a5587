use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lease::{AsyncLessor, BackendError, LeaseError, LeaseId};

use crate::on_one_thread;
use crate::support::{Mode, lessor, lessor_with, watched};

fn id(number: i64) -> LeaseId {
    LeaseId::try_from(number).expect("not zero")
}

#[test]
fn a_shutdown_ends_all_waits_in_bounded_time_though_the_store_hangs() {
    on_one_thread(async {
        let soon = Duration::from_millis(50);
        let (lessor, store) = lessor_with(|builder| builder.stop_timeout(soon));
        lessor.grant(id(1), 60).await.expect("granted");
        store.set(Mode::Closed);
        let its = lessor.clone();
        let writing = tokio::spawn(async move { watched(its.grant(id(7), 60)).await });
        store.hangs().await;
        let its = lessor.clone();
        let waiting = tokio::spawn(async move { watched(its.grant(id(8), 60)).await });
        let mut expired = lessor.expired();
        tokio::task::yield_now().await;

        watched(lessor.shutdown()).await.expect("it ends");
        assert_eq!(expired.next().await, None);
        assert_eq!(lessor.renew(id(1)).await, Err(LeaseError::Stopped));
        assert_eq!(lessor.grant(id(9), 60).await, Err(LeaseError::Stopped));
        watched(lessor.shutdown()).await.expect("again");
        // Of the one whose commit was under way nobody knows.
        let unknown = writing.await.expect("no panic");
        let is_unknown = |error: &LeaseError| {
            matches!(
                error,
                LeaseError::Backend(BackendError::Io(_)) | LeaseError::Stopped
            )
        };
        assert!(
            unknown.as_ref().is_err_and(is_unknown) || unknown.is_ok(),
            "{unknown:?}"
        );
        assert_eq!(waiting.await.expect("no panic"), Err(LeaseError::Stopped));
        store.set(Mode::Open);
    });
}

#[test]
fn a_shutdown_goes_to_its_end_without_its_future() {
    on_one_thread(async {
        let (lessor, _) = lessor();
        let timeout = tokio::time::timeout(Duration::ZERO, lessor.shutdown()).await;
        drop(timeout);
        while lessor.grant_new(60).await != Err(LeaseError::Stopped) {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn the_last_handle_is_dropped_without_blocking_the_thread() {
    on_one_thread(async {
        let (lessor, store) = lessor();
        store.set(Mode::Closed);
        let its = lessor.clone();
        let writing = tokio::spawn(async move { its.grant(id(7), 60).await });
        store.hangs().await;
        writing.abort();
        assert!(writing.await.is_err_and(|error| error.is_cancelled()));
        // To stop it takes up to five seconds.
        watched(async { drop(lessor) }).await;
        store.set(Mode::Open);
    });
}

#[test]
fn a_lessor_that_others_have_runs_on_without_the_handle() {
    on_one_thread(async {
        let (handle, _) = lessor();
        let lessor = Arc::clone(handle.lessor());
        drop(handle);
        lessor.grant(id(7), 60).expect("it was not stopped");
        let again = AsyncLessor::new(lessor).expect("there is room");
        assert_eq!(again.grant(id(7), 60).await, Err(LeaseError::LeaseExists));
    });
}

#[test]
fn the_futures_can_be_spawned() {
    fn spawnable<T: Send + 'static>(_: &T) {}
    let (lessor, _) = lessor();
    spawnable(&lessor);
    spawnable(&lessor.expired());
    fn is_send<T: Send>(_: &T) {}
    is_send(&lessor.grant_new(60));
    is_send(&lessor.attach(id(7), &[]));
    is_send(&lessor.page(None, 1));
    is_send(&lessor.shutdown());
}
