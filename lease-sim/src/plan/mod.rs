mod action;
mod draw;
mod parameters;

pub use action::{Action, End, Look};
pub use draw::{Engines, Profile};
pub use parameters::{Alone, Engine, Parameters, Raft};

use serde::{Deserialize, Serialize};

/// Everything that a run does: parameters, and actions at their times.
///
/// A plan is data: it is drawn from a seed, and can be written down, cut down and run again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The seed that it was drawn from.
    pub seed: u64,
    /// Seeds what is not planned: delays and losses of messages, and the order of what happens at
    /// the same time.
    pub noise: u64,
    /// What holds for the whole run.
    pub parameters: Parameters,
    /// What happens, by time.
    pub actions: Vec<Timed>,
}

/// An action and its time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Timed {
    /// Virtual milliseconds from the start.
    pub at_ms: u64,
    /// What happens.
    pub action: Action,
}

impl Plan {
    /// The plan of a seed, with any engine.
    #[must_use]
    pub fn draw(seed: u64, profile: Profile) -> Self {
        Self::draw_with(seed, profile, Engines::Both)
    }

    /// The plan of a seed, with one of these engines.
    #[must_use]
    pub fn draw_with(seed: u64, profile: Profile, engines: Engines) -> Self {
        draw::draw(seed, profile, engines)
    }

    /// Whether every number in the plan is one that a world can be made of.
    ///
    /// # Errors
    ///
    /// What is wrong, for a plan that was written by hand.
    pub fn check(&self) -> Result<(), String> {
        self.parameters.check()?;
        if !self.actions.is_sorted_by_key(|timed| timed.at_ms) {
            return Err("the actions are not in the order of their times".into());
        }
        for Timed { at_ms, action } in &self.actions {
            let is_late = *at_ms >= self.parameters.faulty_ms;
            if is_late {
                return Err(format!("{action:?} comes after the end of the faults"));
            }
            action.check(self.parameters.nodes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_data() {
        let plan = Plan::draw(7, Profile::Swarm);
        let text = serde_json::to_string(&plan).expect("plain data");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("the same"), plan);
        assert_eq!(Plan::draw(7, Profile::Swarm), plan);
        assert_ne!(Plan::draw(8, Profile::Swarm).actions, plan.actions);
    }

    #[test]
    fn every_drawn_plan_is_sound() {
        for profile in [Profile::Lite, Profile::Swarm, Profile::Heavy] {
            for seed in 0..300 {
                let plan = Plan::draw(seed, profile);
                assert_eq!(plan.check(), Ok(()), "seed {seed}");
            }
        }
    }

    #[test]
    fn an_engine_is_drawn_as_it_was_asked_for() {
        let engines = |engines| {
            let plans = (0..100).map(move |seed| Plan::draw_with(seed, Profile::Lite, engines));
            plans.map(|plan| plan.parameters.engine)
        };
        assert!(engines(Engines::Log).all(|engine| engine == Engine::Log));
        assert!(engines(Engines::Raft).all(|engine| engine == Engine::Raft));
        let mut alone = (0..100).map(|seed| Plan::draw_with(seed, Profile::Lite, Engines::Alone));
        assert!(alone.all(|plan| plan.parameters.alone.is_some()));
        for some in [Engine::Log, Engine::Raft] {
            let count = engines(Engines::Both)
                .filter(|engine| *engine == some)
                .count();
            assert!((10..90).contains(&count), "{count} of {some:?}");
        }
    }

    #[test]
    fn a_plan_that_no_world_can_run_is_refused() {
        let mut plan = Plan::draw(7, Profile::Lite);
        plan.actions = vec![Timed {
            at_ms: 0,
            action: Action::Elect { node: 99 },
        }];
        assert!(plan.check().is_err());
        plan.actions[0].action = Action::Revoke { lease: 0 };
        assert!(plan.check().is_err());
        plan.actions[0].action = Action::Revoke { lease: 1 };
        assert_eq!(plan.check(), Ok(()));
        plan.actions[0].at_ms = u64::MAX;
        assert!(plan.check().is_err());
    }
}
