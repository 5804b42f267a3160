//! One command to send and how its replies are compared.

use super::compare::Norm;
use super::words::Words;

/// A command ready to be sent.
#[derive(Debug, Clone)]
pub struct Step {
    /// What was meant, as `SET` or `CLIENT GETNAME`: the unit of coverage.
    pub name: &'static str,
    pub args: Vec<Vec<u8>>,
    pub norm: Norm,
    /// False while CLIENT REPLY silences the connection.
    pub answered: bool,
    /// The pipeline ends after it, because the comparison asks the server more about it.
    pub last: bool,
}

impl Step {
    /// The command's own words, one per part of `name`, in random case.
    pub fn new(words: &mut Words, name: &'static str) -> Step {
        let args = name.split(' ').map(|part| words.cased(part)).collect();
        Step { name, args, norm: Norm::Exact, answered: true, last: false }
    }

    pub fn arg(mut self, arg: impl AsRef<[u8]>) -> Step {
        self.args.push(arg.as_ref().to_vec());
        self
    }

    pub fn args<A: AsRef<[u8]>>(mut self, args: impl IntoIterator<Item = A>) -> Step {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_vec()));
        self
    }

    pub fn norm(mut self, norm: Norm) -> Step {
        self.norm = norm;
        self
    }

    pub fn unanswered(mut self) -> Step {
        self.answered = false;
        self
    }

    /// As a report shows it.
    pub fn text(&self) -> String {
        let args: Vec<String> =
            self.args.iter().map(|arg| format!("\"{}\"", arg.escape_ascii())).collect();
        args.join(" ")
    }

    pub fn last(mut self) -> Step {
        self.last = true;
        self
    }
}

/// One row of a group's table: how often, under which names, and what makes the steps.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub weight: u32,
    /// What it covers; more than one when the steps are a little scene.
    pub names: &'static [&'static str],
    pub damage: Damage,
    pub make: fn(&mut Words) -> Vec<Step>,
}

/// What may be done to a valid command to make it invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Anything.
    Any,
    /// Nothing that could make up a near time to live.
    KeepTimes,
    /// Nothing: half a command would change what the test knows of the connection.
    None,
}

/// A row that makes one step.
macro_rules! row {
    ($weight:literal, $damage:ident, $name:literal, |$words:ident, $step:ident| $body:expr) => {
        $crate::oracle::step::Row {
            weight: $weight,
            names: &[$name],
            damage: $crate::oracle::step::Damage::$damage,
            make: |$words| {
                let $step = $crate::oracle::step::Step::new($words, $name);
                vec![$body]
            },
        }
    };
}
pub(super) use row;
