//! What happens to the members in a round.

use std::fmt;
use std::time::Duration;

use lease_backend::testing::Prng;
use tokio::time::sleep;

use crate::cluster::{Cluster, MEMBERS};
use crate::settings::MAX_ELECTION;

/// One kill or pause.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Kill(usize),
    Start(usize),
    Pause(usize),
    GoOn(usize),
    Wait(Duration),
}

/// Steps, one after the other, after which all members run.
pub(crate) struct Fault {
    pub(crate) steps: Vec<Step>,
}

impl Fault {
    /// Draws what happens. `leader` is who leads, as far as is known.
    pub(crate) fn draw(prng: &mut Prng, leader: usize) -> Self {
        let any = 1 + prng.below(MEMBERS as u64) as usize;
        let next = |member: usize| 1 + member % MEMBERS;
        let other = if prng.one_in(2) {
            next(any)
        } else {
            next(next(any))
        };
        let mut millis =
            |from: u64, to: u64| Step::Wait(Duration::from_millis(from + prng.below(to - from)));
        // Longer than an election: whoever is paused for so long leads no more.
        let long = MAX_ELECTION.as_millis() as u64 * 2;
        let (short, away, blink) = (millis(0, 400), millis(200, 2_000), millis(20, 300));
        let (pause, moment) = (millis(long, long + 1_500), millis(50, 700));
        use Step::{GoOn, Kill, Pause, Start};
        let steps = match prng.below(12) {
            0 | 1 => vec![Kill(leader), away, Start(leader)],
            2 => vec![Kill(any), away, Start(any)],
            3 => vec![
                Kill(any),
                short,
                Kill(other),
                away,
                Start(any),
                short,
                Start(other),
            ],
            4 => {
                let kills = (1..=MEMBERS).map(Kill);
                kills
                    .chain([away])
                    .chain((1..=MEMBERS).map(Start))
                    .collect()
            }
            5 | 6 => vec![Pause(leader), pause, GoOn(leader)],
            7 => vec![Pause(any), pause, GoOn(any)],
            8 => vec![
                Pause(leader),
                moment,
                GoOn(leader),
                blink,
                Pause(leader),
                blink,
                GoOn(leader),
            ],
            // Nobody else can be elected, and who leads does not know that time has passed.
            9 => vec![
                Pause(leader),
                Kill(next(leader)),
                pause,
                GoOn(leader),
                short,
                Start(next(leader)),
            ],
            // In the middle of its start.
            10 => vec![
                Kill(any),
                Start(any),
                blink,
                Kill(any),
                Start(any),
                blink,
                Kill(any),
                away,
                Start(any),
            ],
            // The other one has to lead, and is killed when it may just do so.
            _ => vec![
                Pause(leader),
                pause,
                Kill(next(leader)),
                GoOn(leader),
                short,
                Start(next(leader)),
            ],
        };
        Self { steps }
    }

    /// Does all that.
    ///
    /// # Errors
    ///
    /// If a member does not start again.
    pub(crate) async fn happen(&self, cluster: &Cluster) -> Result<(), String> {
        for step in &self.steps {
            match *step {
                Step::Kill(id) => cluster.kill(id).await,
                Step::Start(id) => cluster.start_member(id).await?,
                Step::Pause(id) => cluster.pause(id),
                Step::GoOn(id) => cluster.go_on(id),
                Step::Wait(span) => sleep(span).await,
            }
        }
        Ok(())
    }

    pub(crate) fn count(&self, is: impl Fn(&Step) -> bool) -> u64 {
        self.steps.iter().filter(|step| is(step)).count() as u64
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match step {
                Step::Kill(id) => write!(f, "{comma}kill {id}")?,
                Step::Start(id) => write!(f, "{comma}start {id}")?,
                Step::Pause(id) => write!(f, "{comma}pause {id}")?,
                Step::GoOn(id) => write!(f, "{comma}go on {id}")?,
                Step::Wait(span) => write!(f, "{comma}{} ms", span.as_millis())?,
            }
        }
        Ok(())
    }
}
