use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::site::Site;

/// What is known of a file: its sites, and where they stand in its text.
#[derive(Debug, Default)]
pub(super) struct Sites {
    pub(super) sites: Vec<Site>,
    pub(super) groups: Vec<Group>,
    /// Functions whose `const` is commented out, or nothing in them could ask the switch.
    pub(super) consts: Vec<ConstFn>,
    /// In the order of the walk, which at one place of the text is the order of the rewriting.
    pub(super) events: Vec<(usize, Event)>,
    /// Modules that it declares, in files of their own, which are in builds of tests alone.
    pub(super) absent: Vec<String>,
}

/// Mutants of the same piece of the text.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) form: Form,
    /// The index of the site, and the text that takes the place.
    pub(super) variants: Vec<(usize, String)>,
    pub(super) const_fn: Option<usize>,
}

#[derive(Debug)]
pub(super) struct ConstFn {
    pub(super) name: String,
}

/// How a group is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An expression with others in its place.
    Expression,
    /// A statement with others, or none, in its place.
    Statement,
    /// A condition that may be taken for `true` or `false`.
    Condition,
    /// A condition with a `let`, or the place before the arrow of an arm: may be taken for `false`.
    Unless,
    /// As before, where no condition stands.
    Guard,
    /// Returns at the start of a function.
    Entry,
    /// Watches the start of a block.
    Watch,
    /// Watches an expression.
    WatchExpression,
    /// Watches the way around a block.
    WatchElse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Open(usize),
    Close(usize),
    ConstOpen(usize),
    ConstClose(usize),
}

/// What does not compile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dropped {
    /// By their numbers.
    pub(super) sites: BTreeSet<u32>,
    /// Names of functions that have to be `const`.
    pub(super) consts: BTreeSet<String>,
}

/// A text with its mutants, and where in it they are.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    pub(super) text: String,
    /// The ranges of what was written for one site alone.
    variants: Vec<(Range<usize>, u32)>,
    /// The ranges of groups with all that is in them, inner ones first.
    groups: Vec<(Range<usize>, Vec<u32>)>,
}

impl Sites {
    /// Writes the mutants into the text, those that compile.
    pub(super) fn rewrite(&self, text: &str, dropped: &Dropped) -> Rewritten {
        let mut events: Vec<_> = self.events.iter().collect();
        events.sort_by_key(|(at, _)| *at);
        let mut out = Rewritten::default();
        let mut starts = vec![0; self.groups.len()];
        let mut done = 0;
        for &&(at, event) in &events {
            out.text.push_str(&text[done..at]);
            done = at;
            match event {
                Event::Open(group) => {
                    starts[group] = out.text.len();
                    self.open(group, dropped, &mut out);
                }
                Event::Close(group) => self.close(group, dropped, starts[group], &mut out),
                Event::ConstOpen(index) if !self.is_const(index, dropped) => {
                    out.text.push_str("/*");
                }
                Event::ConstClose(index) if !self.is_const(index, dropped) => {
                    out.text.push_str("*/");
                }
                Event::ConstOpen(_) | Event::ConstClose(_) => {}
            }
        }
        out.text.push_str(&text[done..]);
        out
    }

    /// Whether the function stays `const`, so that nothing in it changes.
    fn is_const(&self, index: usize, dropped: &Dropped) -> bool {
        dropped.consts.contains(&self.consts[index].name)
    }

    /// Whether a site is in the text that is compiled.
    pub(super) fn live(&self, dropped: &Dropped) -> impl Iterator<Item = &Site> {
        let groups = self.groups.iter();
        let variants = groups.flat_map(|group| self.live_of(group, dropped));
        variants.map(|(site, _)| &self.sites[site])
    }

    fn live_of<'a>(&self, group: &'a Group, dropped: &Dropped) -> Vec<(usize, &'a str)> {
        if group.const_fn.is_some_and(|it| self.is_const(it, dropped)) {
            return Vec::new();
        }
        let variants = group.variants.iter();
        variants
            .filter(|(site, _)| !dropped.sites.contains(&self.sites[*site].number))
            .map(|(site, text)| (*site, text.as_str()))
            .collect()
    }

    fn open(&self, group: usize, dropped: &Dropped, out: &mut Rewritten) {
        let group = &self.groups[group];
        let live = self.live_of(group, dropped);
        if live.is_empty() {
            return;
        }
        let numbers = live.iter().map(|(site, _)| self.sites[*site].number);
        match group.form {
            Form::Expression | Form::Statement => {
                let paren = if group.form == Form::Expression {
                    "("
                } else {
                    ""
                };
                out.text.push_str(paren);
                for ((_, text), number) in live.iter().zip(numbers) {
                    out.variant(number, &format!("if {} {{ {text} }} else ", is(number)));
                }
                out.text.push_str("{ ");
            }
            Form::Condition => {
                out.text.push('(');
                for ((_, text), number) in live.iter().zip(numbers) {
                    let not = if text == &"true" { "" } else { "!" };
                    let then = if text == &"true" { "||" } else { "&&" };
                    out.variant(number, &format!("{not}{} {then} (", is(number)));
                }
            }
            Form::Unless => {
                for number in numbers {
                    out.variant(number, &format!("!{} && ", is(number)));
                }
            }
            Form::Guard => {
                for number in numbers {
                    out.variant(number, &format!(" if !{} ", is(number)));
                }
            }
            Form::Entry => {
                for ((_, text), number) in live.iter().zip(numbers) {
                    out.variant(number, &format!(" if {} {{ return {text}; }} ", is(number)));
                }
            }
            Form::Watch => {
                for number in numbers {
                    out.variant(number, &format!(" {} ", reach(number)));
                }
            }
            Form::WatchExpression => {
                for number in numbers {
                    out.variant(number, &format!("{{ {} ", reach(number)));
                }
            }
            Form::WatchElse => {
                for number in numbers {
                    out.variant(number, &format!(" else {{ {} }}", reach(number)));
                }
            }
        }
    }

    fn close(&self, group: usize, dropped: &Dropped, start: usize, out: &mut Rewritten) {
        let group = &self.groups[group];
        let live = self.live_of(group, dropped);
        if live.is_empty() {
            return;
        }
        let end = match group.form {
            Form::Expression => " })",
            Form::Statement | Form::WatchExpression => " }",
            Form::Condition => &")".repeat(live.len() + 1),
            _ => "",
        };
        out.text.push_str(end);
        let numbers = live.iter().map(|(site, _)| self.sites[*site].number);
        out.groups.push((start..out.text.len(), numbers.collect()));
    }
}

fn is(number: u32) -> String {
    format!("crate::mutant::is({number})")
}

fn reach(number: u32) -> String {
    format!("crate::mutant::reach({number});")
}

impl Rewritten {
    fn variant(&mut self, number: u32, text: &str) {
        let start = self.text.len();
        let _ = self.text.write_str(text);
        self.variants.push((start..self.text.len(), number));
    }

    /// The sites that an error at this place of the text is the fault of; with none it is nobody's.
    pub(super) fn blame(&self, place: &Range<usize>) -> Vec<u32> {
        let holds = |range: &Range<usize>| range.start <= place.start && place.end <= range.end;
        // A variant has no other within.
        if let Some((_, number)) = self.variants.iter().find(|(range, _)| holds(range)) {
            return vec![*number];
        }
        // The innermost one comes first.
        let group = self.groups.iter().find(|(range, _)| holds(range));
        group
            .map(|(_, numbers)| numbers.clone())
            .unwrap_or_default()
    }

    /// The sites that an error may be the fault of that touches this place.
    pub(super) fn suspect(&self, place: &Range<usize>) -> Vec<u32> {
        let touches = |range: &Range<usize>| range.start < place.end && place.start < range.end;
        let variants = self.variants.iter().filter(|(range, _)| touches(range));
        variants.map(|(_, number)| *number).collect()
    }
}
