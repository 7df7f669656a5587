//! Which mutant of this build is alive, and which places were reached. Only the copy of the tree that
//! `cargo xtask sim mutants` makes has this file: it holds all mutants, and one is chosen at the start.

extern crate std;

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::{env, process};

/// Whether this mutant is the one that is alive.
#[inline]
#[must_use]
pub fn is(number: u32) -> bool {
    let alive = ALIVE.load(Relaxed);
    if alive < RECORDING {
        return alive == number;
    }
    ask(alive, number)
}

/// Notes that this place was reached, if that is asked for.
#[inline]
pub fn reach(number: u32) {
    let alive = ALIVE.load(Relaxed);
    if alive >= RECORDING {
        ask(alive, number);
    }
}

/// No mutant: each place that is reached is written to a file.
const RECORDING: u32 = u32::MAX - 1;
const UNKNOWN: u32 = u32::MAX;

static ALIVE: AtomicU32 = AtomicU32::new(UNKNOWN);

#[cold]
#[inline(never)]
fn ask(alive: u32, number: u32) -> bool {
    if alive == UNKNOWN {
        let chosen = env::var("LEASE_MUTANT").ok();
        let chosen = chosen.map_or(0, |it| it.parse().expect("LEASE_MUTANT is a number"));
        let records = env::var_os("LEASE_REACHED").is_some();
        ALIVE.store(if records { RECORDING } else { chosen }, Relaxed);
        return is(number);
    }
    record(number);
    false
}

// A line for each place, in one write: several processes write to one file.
fn record(number: u32) {
    static SEEN: [AtomicBool; PLACES] = [const { AtomicBool::new(false) }; PLACES];
    static FILE: OnceLock<std::fs::File> = OnceLock::new();
    let seen = &SEEN[number as usize];
    if seen.load(Relaxed) || seen.swap(true, Relaxed) {
        return;
    }
    let mut file = FILE.get_or_init(|| {
        let path = env::var_os("LEASE_REACHED").expect("it was there");
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.expect("the file of what is reached can be written")
    });
    if file.write_all(std::format!("{number}\n").as_bytes()).is_err() {
        process::abort();
    }
}

const PLACES: usize = 1 << 16;
