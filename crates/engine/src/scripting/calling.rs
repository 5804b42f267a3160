//! A command that a script calls, between Lua's stack and the engine: what is kept from call to call.

use respire_resp::Out;

use super::arguments::Arguments;
use super::lend::Desk;
use super::running::Refusal;
use crate::command::Command;
use crate::dispatch::Lookup;
use crate::engine::Engine;
use crate::error::Error;
use respire_resp::Args;

const NO_ARGUMENT: Error =
    Error::fixed("ERR Please specify at least one argument for this redis lib call");
const NOT_STRINGS: Error =
    Error::fixed("ERR Lua redis lib command arguments must be strings or integers");
const TOO_LARGE: Error = Error::fixed("ERR The arguments of a command are larger than 2 GB");

/// Why a call got no reply.
pub(super) enum Unanswered {
    /// It was wrong in itself.
    Wrong(Error),
    /// The command was refused.
    Refused(Refusal),
    /// No script is running.
    Idle,
}

/// What is wrong with the arguments of a call; `whole` is whether they were all strings or numbers.
pub(super) fn check(arguments: &Arguments, whole: bool) -> Result<(), Error> {
    match () {
        () if !whole => Err(NOT_STRINGS),
        () if arguments.are_too_large() => Err(TOO_LARGE),
        () if arguments.is_empty() => Err(NO_ARGUMENT),
        () => Ok(()),
    }
}

/// The calls of commands of one function, `redis.call` or `redis.pcall`.
pub(super) struct Calls {
    pub(super) arguments: Arguments,
    /// The reply to the last command, in wire format.
    pub(super) reply: Out,
    /// Replies that are errors are raised.
    pub(super) raises: bool,
    /// Why the last call got no reply.
    pub(super) unanswered: Option<Unanswered>,
    names: Names,
    desk: Desk,
}

impl Calls {
    pub(super) fn new(desk: &Desk, raises: bool) -> Self {
        Self {
            arguments: Arguments::default(),
            reply: Out::default(),
            raises,
            unanswered: None,
            names: Names::default(),
            desk: desk.clone(),
        }
    }

    /// Executes the command that was gathered. Returns whether there is a reply.
    pub(super) fn execute(&mut self, whole: bool) -> bool {
        if let Err(error) = check(&self.arguments, whole) {
            self.unanswered = Some(Unanswered::Wrong(error));
            return false;
        }
        let (args, reply, names) = (self.arguments.args(), &mut self.reply, &mut self.names);
        let result = self.desk.with(|running| {
            let command = names.find(running.engine, &args);
            running.command(command, args, reply)
        });
        self.unanswered = match result {
            Some(Ok(())) => {
                if !self.reply.splices().is_empty() {
                    let whole = self.reply.to_vec();
                    self.reply.clear();
                    self.reply.raw(&whole);
                }
                return true;
            }
            Some(Err(refusal)) => Some(Unanswered::Refused(refusal)),
            None => Some(Unanswered::Idle),
        };
        false
    }
}

/// Commands by the names that scripts call them by.
#[derive(Default)]
struct Names([Option<Name>; Names::PLACES]);

/// A name as it was written, and what it means.
struct Name {
    text: [u8; Names::LONGEST],
    len: usize,
    command: &'static Command,
}

impl Names {
    const PLACES: usize = 16;
    const LONGEST: usize = 16;

    /// The command of a request. Only names that mean the same whatever follows are kept.
    #[inline]
    fn find(&mut self, engine: &Engine, args: &Args<'_>) -> Option<&'static Command> {
        let name = args.get(0);
        let mix = name.first().map_or(0, |first| usize::from(*first)) + 5 * name.len();
        let place = &mut self.0[mix % Self::PLACES];
        if let Some(known) = place
            && &known.text[..known.len] == name
        {
            return Some(known.command);
        }
        let Lookup::Known(command) = engine.resolve(args) else { return None };
        if command.subcommands.is_empty() && command.parent.is_none() && name.len() <= Self::LONGEST
        {
            let mut text = [0; Self::LONGEST];
            text[..name.len()].copy_from_slice(name);
            *place = Some(Name { text, len: name.len(), command });
        }
        Some(command)
    }
}
