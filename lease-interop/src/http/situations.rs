use super::members::State;

/// What a member is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Question {
    Renew(i64),
    /// So many renewals of a lease at once.
    RenewMany(i64, usize),
    /// How long a lease has left, and its keys.
    TimeToLive(i64),
    /// A body of so many zeros.
    Post(usize),
}

impl Question {
    /// As etcd's half reads it.
    pub(super) fn line(self, url: &str) -> String {
        match self {
            Self::Renew(id) => format!("renew {url} {id}"),
            Self::RenewMany(id, count) => format!("renew-many {url} {id} {count}"),
            Self::TimeToLive(id) => format!("time-to-live {url} {id}"),
            Self::Post(len) => format!("post {url} {len}"),
        }
    }
}

/// What happens between a client and a member, and what has to come of it, whosever they are.
#[derive(Debug)]
pub(super) struct Situation {
    pub(super) about: &'static str,
    pub(super) state: State,
    pub(super) question: Question,
    pub(super) expected: Expected,
}

#[derive(Debug)]
pub(super) enum Expected {
    Answer(&'static str),
    /// A lease with this id and TTL, all of which or nearly all remains, and these keys.
    Fresh(i64, i64, &'static str),
    /// Our handler's status and etcd's, whose v3.6.10 has no limit.
    Status(&'static str, &'static str),
}

impl Expected {
    pub(super) fn is(&self, answer: &str, is_server_ours: bool) -> bool {
        match self {
            Self::Answer(expected) => answer == *expected,
            Self::Status(ours, etcds) => answer == if is_server_ours { *ours } else { *etcds },
            Self::Fresh(id, ttl, keys) => (ttl - 2..=*ttl)
                .any(|left| answer == format!("id={id} left={left} granted={ttl} keys={keys}")),
        }
    }
}

const LIMIT: usize = 64 << 10;

/// The first four are etcd's own tests of v3.6.10; its later ones are of the limits.
pub(super) const SITUATIONS: &[Situation] = &[
    ask(
        "a renewal",
        State::Ready,
        Question::Renew(1),
        Expected::Answer("ttl=5"),
    ),
    ask(
        "a time to live",
        State::Ready,
        Question::TimeToLive(1),
        Expected::Fresh(1, 5, ""),
    ),
    ask(
        "a renewal at a member that is behind",
        State::Behind,
        Question::Renew(1),
        Expected::Answer("not caught up"),
    ),
    ask(
        "a time to live at a member that is behind",
        State::Behind,
        Question::TimeToLive(1),
        Expected::Answer("not caught up"),
    ),
    ask(
        "a body at the limit",
        State::Ready,
        Question::Post(LIMIT),
        Expected::Answer("400"),
    ),
    ask(
        "a body above the limit",
        State::Ready,
        Question::Post(LIMIT + 1),
        Expected::Status("413", "400"),
    ),
    ask(
        "a time to live with keys",
        State::Ready,
        Question::TimeToLive(-1),
        Expected::Fresh(-1, 60, "-,00ff,626172"),
    ),
    ask(
        "the least id",
        State::Ready,
        Question::Renew(i64::MIN),
        Expected::Answer("ttl=3600"),
    ),
    ask(
        "the largest id and TTL",
        State::Ready,
        Question::TimeToLive(i64::MAX),
        Expected::Fresh(i64::MAX, 9_000_000_000, ""),
    ),
    ask(
        "a renewal of an unknown lease",
        State::Ready,
        Question::Renew(404),
        Expected::Answer("not found"),
    ),
    ask(
        "the time to live of an unknown lease",
        State::Ready,
        Question::TimeToLive(404),
        Expected::Answer("not found"),
    ),
    ask(
        "a renewal at a demoted member",
        State::Demoted,
        Question::Renew(1),
        Expected::Answer("demoted"),
    ),
    ask(
        "a time to live at a demoted member",
        State::Demoted,
        Question::TimeToLive(1),
        Expected::Answer("demoted"),
    ),
    ask(
        "400 renewals at once",
        State::Ready,
        Question::RenewMany(-1, 400),
        Expected::Answer("400: ttl=60"),
    ),
];

const fn ask(
    about: &'static str,
    state: State,
    question: Question,
    expected: Expected,
) -> Situation {
    Situation {
        about,
        state,
        question,
        expected,
    }
}
