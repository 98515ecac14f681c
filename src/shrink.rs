//! From a plan to loaded programs: as it is, or with less of it where the verifier does not take it whole.

use crate::error::Error;
use crate::load::{self, LoadError, Loaded};
use crate::plan::shrink::{Blame, Part, Settled, settle};
use crate::plan::{Backend, Plan};
use crate::program::{self, BuildError};
use crate::sys::process;
use crate::sys::stop::Stop;
use std::fmt;

/// A plan whose programs are loaded.
pub struct Ready {
    /// What is left of the plan.
    pub plan: Plan,
    /// Its programs.
    pub loaded: Loaded,
    /// What had to go.
    pub given_up: Option<GivenUp>,
}

/// What a run does without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The parts.
    pub parts: Vec<Part>,
    /// Why, in one line.
    pub why: String,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("given up: ")?;
        for (n, part) in self.parts.iter().enumerate() {
            write!(f, "{}{part}", if n > 0 { ", " } else { "" })?;
        }
        write!(f, "; {}", self.why)
    }
}

/// Why a plan was not taken whole.
struct Refused {
    why: String,
    blame: Blame,
    /// `None` where some of the programs were taken.
    error: Option<Box<Error>>,
}

/// Loads the programs of `plan`, or of as much of it as the kernel takes; all of it or nothing if `strict`.
///
/// Where no part can be spared, some programs are better than none: what the others would have traced is in
/// [`Loaded::refused`].
pub fn load(plan: Plan, strict: bool, stop: &Stop) -> Result<Ready, Error> {
    let mut partial = None;
    let take = |plan: &Plan| {
        let mut loaded = program::build(plan)
            .map_err(Error::from)
            .and_then(|programs| load::load(&programs, stop).map_err(Error::from))
            .map_err(|error| Refused { why: one_line(&error), blame: blame(&error), error: Some(error.into()) })?;
        // Of functions that have a program each some are refused for reasons of their own.
        let together = matches!(plan.backend, Backend::KprobeMulti | Backend::Kprobe);
        let has_own = |target: &u32| !together || plan.maps.as_ref().is_some_and(|maps| maps.has(*target));
        let lacking = loaded.refused.iter().position(|(targets, _)| !targets.iter().all(has_own));
        match lacking.map(|at| (at, &loaded.refused[at])) {
            None => Ok(loaded),
            Some((at, _)) if strict => {
                let error = Error::from(loaded.refused.swap_remove(at).1);
                Err(Refused { why: String::new(), blame: Blame::Nothing, error: Some(error.into()) })
            }
            Some((_, (_, error))) => {
                let refused = Refused { why: one_line(error), blame: blame_code(error), error: None };
                partial.get_or_insert_with(|| (plan.clone(), loaded));
                Err(refused)
            }
        }
    };
    match settle(plan, take, |refused| if strict { Blame::Nothing } else { refused.blame }) {
        Ok(Settled { mut plan, made: mut loaded, given_up }) => {
            let given_up = given_up.map(|(parts, Refused { why, .. })| GivenUp { parts, why });
            load_trampolines(&mut plan, &mut loaded, stop);
            Ok(Ready { plan, loaded, given_up })
        }
        Err(Refused { blame, error, why }) => match (partial, error) {
            (Some((mut plan, mut loaded)), error) if error.is_none() || !matches!(blame, Blame::Nothing) => {
                load_trampolines(&mut plan, &mut loaded, stop);
                Ok(Ready { plan, loaded, given_up: None })
            }
            (_, Some(error)) => Err(*error),
            (_, None) => Err(LoadError::Encode(why).into()),
        },
    }
}

/// Loads the programs for the trampolines of `plan`, too, and keeps those that can be had. Another is one function more for
/// kprobes, and so are all where descriptors are scarce: a kprobe takes two, a trampoline four.
fn load_trampolines(plan: &mut Plan, loaded: &mut Loaded, stop: &Stop) {
    let descriptors = 2 * plan.places() + 2 * plan.trampolines.len() + OTHERS;
    let programs = program::trampolines(plan);
    let wanted = std::mem::take(&mut plan.trampolines);
    if process::nofile() < descriptors as u64 {
        return;
    }
    for (index, program) in wanted.into_iter().zip(programs).take_while(|_| !stop.is_requested()) {
        let program = program.map_err(Error::from);
        match program.and_then(|blueprint| loaded.load_more(&blueprint).map_err(Error::from)) {
            Ok(program) => {
                loaded.programs.push(program);
                plan.trampolines.push(index);
            }
            Err(error) => loaded.not_by_fentry.push((index, one_line(&error))),
        }
    }
}

/// What else of a run is open: maps, buffers, files.
const OTHERS: usize = 100;

/// Whether a smaller program may be taken.
fn blame(error: &Error) -> Blame {
    match error {
        Error::Load(error) => blame_code(error),
        Error::Program(BuildError::Asm(error)) if error.is_about_size() => by(error.behalf()),
        Error::Program(BuildError::Filter(_)) => Blame::Part(Part::Filter),
        _ => Blame::Nothing,
    }
}

fn blame_code(error: &LoadError) -> Blame {
    if error.is_about_code() { by(error.behalf()) } else { Blame::Nothing }
}

fn by(behalf: Option<&str>) -> Blame {
    behalf.and_then(Part::of).map_or(Blame::Programs, Blame::Part)
}

fn one_line(error: &dyn fmt::Display) -> String {
    error.to_string().replace("\n ", ",")
}
