use lease_core::{LeaseId, Lessor, probe};
use lease_http::ClientError;

use super::question::{Question, Told};
use super::{Host, hear};
use crate::event::{Event, Name};
use crate::plan::End;
use crate::wire::{Ask, HttpAnswer, Message, Reply};

/// What a client asks of a member that is no primary, and that this asks the primary.
pub(super) struct Forward {
    call: u64,
    ask: Ask,
    question: Question,
    asked_ms: u64,
    wait: u64,
    until_ms: u64,
    attempt: Attempt,
}

/// One request to the member that was taken for the primary.
enum Attempt {
    UnderWay {
        call: u64,
        node: usize,
        until_ms: u64,
    },
    /// The next one is made then.
    Due { at_ms: u64 },
}

/// How long a client's request is forwarded. A client waits a little longer.
const FORWARD_MS: u64 = 3_500;

/// How long one answer is waited for: a network that loses messages does not say so.
const ATTEMPT_MS: u64 = 1_500;

/// Etcd's pause between two attempts.
const PAUSE_MS: u64 = 50;

impl Host {
    /// Asks the primary what a client asks here.
    pub(super) fn forward(&mut self, call: u64, ask: Ask, question: Question) {
        if probe::is_planted("host-answers-as-follower") {
            return self.answer_as_follower(call, question);
        }
        let now_ms = self.world.now_ms();
        let until_ms = now_ms + FORWARD_MS;
        let forward = Forward {
            call,
            ask,
            question,
            asked_ms: now_ms,
            wait: self.begin_wait(until_ms),
            until_ms,
            attempt: Attempt::Due { at_ms: now_ms },
        };
        self.forwards.push(forward);
    }

    /// Makes the attempts whose time has come, and ends what has taken too long.
    pub(super) fn poll_forwards(&mut self) {
        let now_ms = self.world.now_ms();
        let mut at = 0;
        while let Some(forward) = self.forwards.get_mut(at) {
            if forward.until_ms <= now_ms && !probe::is_planted("host-forwards-for-ever") {
                probe::mark("host: a forwarded request is given up");
                let forward = self.end_forward(at);
                self.reply(forward.call, Reply::NotPrimary);
                continue;
            }
            match forward.attempt {
                Attempt::UnderWay { until_ms, .. } if until_ms <= now_ms => {
                    probe::mark("host: a forwarded request gets no answer");
                    forward.fail(now_ms);
                }
                Attempt::Due { at_ms } if at_ms <= now_ms => {
                    if self.lessor.primary_epoch().is_some() {
                        probe::mark("host: a member that forwards becomes the primary");
                        let forward = self.end_forward(at);
                        self.serve(forward.call, forward.ask, true);
                        continue;
                    }
                    self.attempt(at);
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Takes the answer of the member that was taken for the primary.
    pub(super) fn hear_answer(&mut self, node: usize, call: u64, answer: &HttpAnswer) {
        let waiting = self.forwards.iter();
        let own = waiting.clone().position(|it| it.is_asking(call));
        if own.is_none() {
            probe::mark("host: an answer comes that nobody waits for");
        }
        let next = || waiting.clone().position(|it| it.reads_stray(node, answer));
        let Some(at) = own.or_else(next) else {
            return;
        };
        let question = self.forwards[at].question;
        match question.take(answer) {
            Ok(told) => self.pass_on(at, Some(told)),
            Err(ClientError::NotFound) => self.pass_on(at, None),
            Err(error) => {
                note_failure(&error);
                let now_ms = self.world.now_ms();
                self.forwards[at].fail(now_ms);
            }
        }
    }

    /// Tells the client what the primary has answered; nothing is "not found".
    fn pass_on(&mut self, at: usize, told: Option<Told>) {
        let forward = self.end_forward(at);
        self.note_told(forward.question.id(), forward.asked_ms, told);
        probe::mark(match (forward.question, told) {
            (_, None) => "host: a forwarded request finds no lease",
            (Question::Renew(_), _) => "host: a forwarded renewal is acknowledged",
            (Question::TimeToLive(_), _) => "host: a forwarded time to live is told",
        });
        self.reply(forward.call, forward.question.reply(told));
    }

    fn note_told(&self, id: LeaseId, asked_ms: u64, told: Option<Told>) {
        let answer = told.map(|told| {
            let name = Name::new(told.id, told.incarnation);
            (name, told.left_ms, told.ttl.as_secs() * 1000)
        });
        let event = Event::PassedOn {
            node: self.node,
            lease: id.get(),
            asked_ms,
            answer,
        };
        hear(self, event);
    }

    fn attempt(&mut self, at: usize) {
        let now_ms = self.world.now_ms();
        let primary = self.leader.map(|(_, node)| node);
        let forward = &mut self.forwards[at];
        // It waits for one if it knows none, or only itself and is none yet.
        let Some(node) = primary.filter(|node| *node != self.node) else {
            return forward.fail(now_ms);
        };
        let call = self.world.number_call();
        forward.attempt = Attempt::UnderWay {
            call,
            node,
            until_ms: now_ms + ATTEMPT_MS,
        };
        let (path, body) = forward.question.encode();
        let path = path.to_owned();
        self.send(End::Node(node), &Message::HttpRequest { call, path, body });
    }

    fn end_forward(&mut self, at: usize) -> Forward {
        let forward = self.forwards.remove(at);
        self.end_wait(forward.wait);
        forward
    }

    /// What a member that is no primary must not do.
    fn answer_as_follower(&self, call: u64, question: Question) {
        let told = self.lessor.lookup(question.id()).map(|lease| Told {
            id: lease.id(),
            incarnation: lease.incarnation(),
            left_ms: lease.ttl().as_secs() * 1000,
            ttl: lease.ttl(),
        });
        self.note_told(question.id(), self.world.now_ms(), told);
        self.reply(call, question.reply(told));
    }
}

impl Forward {
    /// When something is to be done about it.
    pub(super) fn next_ms(&self) -> u64 {
        let next_ms = match self.attempt {
            Attempt::UnderWay { until_ms, .. } => until_ms,
            Attempt::Due { at_ms } => at_ms,
        };
        next_ms.min(self.until_ms)
    }

    fn fail(&mut self, now_ms: u64) {
        let at_ms = now_ms + PAUSE_MS;
        self.attempt = Attempt::Due { at_ms };
    }

    fn is_asking(&self, exchange: u64) -> bool {
        matches!(self.attempt, Attempt::UnderWay { call, .. } if call == exchange)
    }

    /// Whether this one reads an answer that nobody waits for, as on a connection that was used again
    /// with an answer still on its way. Nothing but the id tells such a one from its own, so that of
    /// the same lease, and a refusal, which has no id, go nowhere: TCP promises that much.
    fn reads_stray(&self, from: usize, answer: &HttpAnswer) -> bool {
        let is_for_another = answer.about.is_some_and(|(id, _)| id != self.question.id());
        is_for_another && matches!(self.attempt, Attempt::UnderWay { node, .. } if node == from)
    }
}

/// Why another attempt is made.
fn note_failure(error: &ClientError) {
    assert!(error.asks_another(), "the primary answered: {error}");
    match error {
        ClientError::Demoted => probe::mark("host: a forwarded request meets no primary"),
        ClientError::NotCaughtUp => {
            probe::mark("host: a forwarded request meets a member that has not caught up");
        }
        ClientError::IdMismatch(_) => probe::mark("host: an answer for another lease is refused"),
        _ => {}
    }
}
