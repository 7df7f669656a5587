use std::fmt;

use crate::trace::Trace;

/// The first command of a trace that the two lessors answered differently.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Difference {
    pub(crate) trace: Trace,
    pub(crate) store: &'static str,
    pub(crate) at: usize,
    pub(crate) command: String,
    pub(crate) ours: String,
    pub(crate) etcds: String,
}

/// Compares the answers to a trace, ours over the store of that name.
pub(crate) fn compare(
    trace: &Trace,
    store: &'static str,
    ours: &[String],
    etcds: &[String],
) -> Option<Difference> {
    let text = |answers: &[String], at: usize| {
        let answer = answers.get(at).map(String::as_str);
        answer.unwrap_or("(no answer)").to_owned()
    };
    let at = (0..trace.commands.len()).find(|at| ours.get(*at) != etcds.get(*at))?;
    Some(Difference {
        trace: trace.clone(),
        store,
        at,
        command: trace.commands[at].to_string(),
        ours: text(ours, at),
        etcds: text(etcds, at),
    })
}

/// How much of an answer is shown before and behind the place where it differs.
const SHOWN: (usize, usize) = (200, 400);

impl Difference {
    /// Both answers, without most of what is alike in long ones. They are ASCII.
    fn clipped(&self) -> [String; 2] {
        let (ours, etcds) = (self.ours.as_bytes(), self.etcds.as_bytes());
        let alike = ours.iter().zip(etcds).take_while(|(a, b)| a == b).count();
        let from = alike.saturating_sub(SHOWN.0);
        [ours, etcds].map(|answer| {
            let to = answer.len().min(alike + SHOWN.1);
            let text = String::from_utf8_lossy(&answer[from..to]);
            let before = if from > 0 { "…" } else { "" };
            let behind = if to < answer.len() { "…" } else { "" };
            format!("{before}{text}{behind}")
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ours, etcds] = self.clipped();
        writeln!(f, "command {}: {}", self.at + 1, self.command)?;
        writeln!(f, "  ours ({}): {ours}", self.store)?;
        write!(f, "  etcd: {etcds}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Command, generate};

    #[test]
    fn the_first_difference_is_found_and_long_answers_are_cut() {
        let trace = Trace {
            commands: vec![Command::List, Command::Rows],
            ..generate(1)
        };
        let ours = [
            "x".to_owned(),
            format!("{}a{}", "y".repeat(1000), "z".repeat(1000)),
        ];
        assert_eq!(compare(&trace, "memory", &ours, &ours), None);
        let etcds = ["x".to_owned(), ours[1].replace('a', "b")];
        let difference = compare(&trace, "memory", &ours, &etcds).expect("a and b");
        assert_eq!(difference.at, 1);
        let text = difference.to_string();
        assert!(text.contains("yya") && text.contains("yyb") && text.len() < 1_500);
        let cut = compare(&trace, "memory", &ours, &ours[..1]).expect("an answer is missing");
        assert_eq!(cut.etcds, "(no answer)");
    }
}
