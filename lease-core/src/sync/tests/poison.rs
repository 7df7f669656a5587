//! Panics under the lock. One thread only: under shuttle all of them seem to panic if one does.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::check_alone;
use crate::sync::SharedLock;

type Lock = SharedLock<u64>;

fn message(panics: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(panics)).expect_err("no panic");
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .expect("a text")
}

fn poisoned() -> Lock {
    let lock = Lock::new(0);
    let text = message(|| {
        let _value = lock.write();
        panic!("on purpose");
    });
    assert_eq!(text, "on purpose");
    lock
}

#[test]
fn a_panic_of_a_writer_is_one_of_all_who_follow() {
    check_alone(|| {
        let lock = poisoned();
        // Twice: who has found the lock poisoned leaves it as it was.
        for _ in 0..2 {
            assert!(lock.is_poisoned());
            let texts = [
                message(|| drop(lock.read())),
                message(|| drop(lock.write())),
            ];
            let expected = "nothing that runs under the lessor's lock panics";
            assert_eq!(texts, [expected, expected]);
        }
    });
}

#[test]
fn a_panic_of_a_reader_does_no_harm() {
    check_alone(|| {
        let lock = Lock::new(7);
        message(|| {
            let _value = lock.read();
            panic!("on purpose");
        });
        assert!(!lock.is_poisoned());
        assert_eq!(*lock.write(), 7);
    });
}

#[test]
fn who_takes_the_lock_while_unwinding_does_not_poison_it() {
    struct Writes<'a>(&'a Lock);
    impl Drop for Writes<'_> {
        fn drop(&mut self) {
            *self.0.write() += 1;
        }
    }
    check_alone(|| {
        let lock = Lock::new(0);
        message(|| {
            let _writes = Writes(&lock);
            panic!("on purpose");
        });
        assert!(!lock.is_poisoned());
        assert_eq!(*lock.read(), 1);
    });
}
