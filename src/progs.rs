//! BPF programs under trace: found when the run starts and while it goes on, each with a program of ours at its entry.
//!
//! That is fentry. A tail call jumps over its place, so what is in an array of programs gets a breakpoint instead, as long
//! as the processor has one: it sees both kinds of entries, and with both ways every plain entry would be shown twice.

use crate::attach::{Hooks, Kept, breakpoint, traced};
use crate::error::Error;
use crate::host::bpf_progs::{BpfProg, BpfProgs, ProgKind, Skipped, Why};
use crate::host::landing;
use crate::host::prog_arrays::{ProgArray, ProgArrays};
use crate::host::survey::Host;
use crate::load::Loaded;
use crate::names::{ProgramName, TargetKind};
use crate::plan::Plan;
use crate::program::traced::{self as emit, Context};
use crate::say::Say;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the kernel is asked for new programs and maps: two system calls if there are none.
pub const INTERVAL: Duration = Duration::from_millis(50);

/// Follows programs as they are loaded.
pub struct Progs {
    found: BpfProgs,
    arrays: ProgArrays,
    /// What is in them, as they were read last: ids of programs.
    members: BTreeMap<u32, Arc<ProgArray>>,
    traced: Vec<Traced>,
    /// The index of the next program in records.
    next: u32,
    /// The programs that got theirs in this round.
    names: Vec<ProgramName>,
    looked: Instant,
}

/// A program under trace.
struct Traced {
    prog: BpfProg,
    way: Way,
    /// Whether it was said that entries by tail calls are not shown.
    told: bool,
}

/// How its entries are seen.
enum Way {
    /// Not those by tail calls.
    Fentry(Kept),
    /// All; what is kept is to end in this order.
    Breakpoint(Vec<Kept>),
}

/// What all programs are traced with.
pub struct Tools<'a> {
    /// The plan of the run.
    pub plan: &'a Plan,
    /// Maps, and programs once they are loaded.
    pub loaded: &'a mut Loaded,
    /// What is attached.
    pub hooks: &'a mut Hooks,
    /// Who speaks.
    pub say: &'a Say,
}

impl Progs {
    /// For the tc programs, the XDP programs or both. Fails if this kernel has no fentry.
    pub fn new(tc: bool, xdp: bool, host: &Host) -> Result<Progs, Error> {
        if let Some(Err(error)) = &host.features.fentry {
            return Err(Error::NoFentry(error.to_string()));
        }
        Ok(Progs {
            found: BpfProgs::new(tc, xdp),
            arrays: ProgArrays::none_known(),
            members: BTreeMap::new(),
            traced: Vec::new(),
            next: 0,
            names: Vec::new(),
            looked: Instant::now(),
        })
    }

    /// Whether it is time to look again.
    pub fn is_due(&self) -> bool {
        self.looked.elapsed() >= INTERVAL
    }

    /// Attaches to every program that is new, and otherwise than before to those that came into an array or left it; the
    /// first gets the index `next` in records. Returns their names, in the order of their indices; what cannot be traced
    /// is said once and left alone.
    pub fn look(&mut self, next: u32, tools: &mut Tools<'_>) -> Result<Vec<ProgramName>, Error> {
        self.next = next;
        let mut found = self.found.find_new().map_err(Error::cannot("look for BPF programs"))?;
        if let Some(members) = self.arrays.look(found.is_some()).map_err(Error::cannot("look for BPF programs"))? {
            self.members = members;
            self.follow_arrays(tools)?;
        }
        while let Some(new) = found {
            match new {
                Ok(prog) => self.trace(prog, tools)?,
                Err(skipped) => tools.say.skipped(&skipped),
            }
            found = self.found.find_new().map_err(Error::cannot("look for BPF programs"))?;
        }
        self.looked = Instant::now();
        Ok(std::mem::take(&mut self.names))
    }

    /// Goes back to fentry where no tail call leads any more, then over to breakpoints where one does.
    fn follow_arrays(&mut self, tools: &mut Tools<'_>) -> Result<(), Error> {
        let mut traced = std::mem::take(&mut self.traced);
        let mut freed = false;
        for Traced { prog, way, .. } in &mut traced {
            if matches!(way, Way::Breakpoint(_)) && !self.members.contains_key(&prog.label.id) {
                // Where that is refused the breakpoint stays.
                if let Ok(fentry) = self.fentry(prog, tools)? {
                    end(std::mem::replace(way, fentry), tools.hooks);
                    freed = true;
                }
            }
        }
        for Traced { prog, way, told } in &mut traced {
            if matches!(way, Way::Fentry(_))
                && (freed || !*told)
                && let Some((breakpoint, array)) = self.breakpoint_if_in_array(prog, told, tools)?
            {
                // In this order an entry may be shown twice; in the other one it could be missed.
                end(std::mem::replace(way, breakpoint), tools.hooks);
                tools.say.traced(&prog.label, Some(&array));
            }
        }
        self.traced = traced;
        Ok(())
    }

    /// Attaches to a program that is new.
    fn trace(&mut self, prog: BpfProg, tools: &mut Tools<'_>) -> Result<(), Error> {
        let (index, mut told) = (self.next, false);
        let (way, array) = match self.breakpoint_if_in_array(&prog, &mut told, tools)? {
            Some((way, array)) => (way, Some(array)),
            None => match self.fentry(&prog, tools)? {
                Ok(way) => (way, None),
                Err(error) => {
                    tools.say.skipped(&Skipped { label: Ok(prog.label), why: Why::Refused(error) });
                    return Ok(());
                }
            },
        };
        tools.say.traced(&prog.label, array.as_deref());
        follow_frames(&prog, index, tools)?;
        self.traced.push(Traced { prog, way, told });
        Ok(())
    }

    /// Attaches by a breakpoint to a program in an array. If that cannot be done it is said, unless it was `told`.
    fn breakpoint_if_in_array(
        &mut self,
        prog: &BpfProg,
        told: &mut bool,
        tools: &mut Tools<'_>,
    ) -> Result<Option<(Way, Arc<ProgArray>)>, Error> {
        let Some(array) = self.members.get(&prog.label.id).cloned() else { return Ok(None) };
        match self.breakpoint(prog, tools)? {
            Ok(way) => Ok(Some((way, array))),
            Err(why) => {
                if !std::mem::replace(told, true) {
                    tools.say.not_behind_tail_calls(&prog.label, &array, &why);
                }
                Ok(None)
            }
        }
    }

    /// Attaches by a breakpoint; the inner error is the kernel's, in words.
    fn breakpoint(&mut self, prog: &BpfProg, tools: &mut Tools<'_>) -> Result<Result<Way, String>, Error> {
        let Some(blueprint) = emit::breakpoint(tools.plan, context(prog), self.next) else {
            return Ok(Err("the kernel lets nobody read packets from a breakpoint (lockdown=confidentiality)".into()));
        };
        let blueprint = blueprint?;
        let attached = landing::address(prog.fd.as_fd()).map_err(|error| error.to_string()).and_then(|address| {
            let program = tools.loaded.load_more(&blueprint).map_err(|error| error.to_string())?;
            let events = breakpoint::attach(&program, address).map_err(|error| error.to_string())?;
            // The program must not go before the breakpoint does: other code could take its place.
            let prog = prog.fd.try_clone().map_err(|error| error.to_string())?;
            tools.loaded.programs.push(program);
            Ok(Way::Breakpoint(events.into_iter().chain([prog]).map(|fd| tools.hooks.keep(fd)).collect()))
        });
        if attached.is_ok() {
            self.name(prog, true);
        }
        Ok(attached)
    }

    /// Attaches by fentry; the inner error is the kernel's.
    fn fentry(&mut self, prog: &BpfProg, tools: &mut Tools<'_>) -> Result<io::Result<Way>, Error> {
        let blueprint = emit::entry(tools.plan, context(prog), self.next, prog.main)?;
        let attached = tools.loaded.load_for(&blueprint, prog.fd.as_fd()).map_err(|error| error.to_string());
        let attached = attached.map_err(io::Error::other).and_then(|program| {
            let link = traced::attach(&program)?;
            tools.loaded.programs.push(program);
            Ok(Way::Fentry(tools.hooks.keep(link)))
        });
        if attached.is_ok() {
            self.name(prog, false);
        }
        Ok(attached)
    }

    /// Gives the next index to a program that is attached to.
    fn name(&mut self, prog: &BpfProg, by_breakpoint: bool) {
        self.next += 1;
        self.names.push(ProgramName {
            symbol: prog.symbol.clone(),
            kind: match prog.label.kind {
                ProgKind::Tc => TargetKind::Tc,
                ProgKind::Xdp => TargetKind::Xdp,
            },
            id: prog.label.id,
            tag: prog.label.tag,
            name: prog.label.name.clone(),
            by_breakpoint,
        });
    }
}

fn context(prog: &BpfProg) -> Context {
    match prog.label.kind {
        ProgKind::Tc => Context::Skb,
        ProgKind::Xdp => Context::Xdp,
    }
}

fn end(way: Way, hooks: &mut Hooks) {
    match way {
        Way::Fentry(kept) => hooks.end(kept),
        Way::Breakpoint(kept) => kept.into_iter().for_each(|kept| hooks.end(kept)),
    }
}

/// Attaches to the end of an XDP program where packets are followed from there on; without it the frame is shown, and not
/// followed. After a tail call it is the end of the program that was entered by itself.
fn follow_frames(prog: &BpfProg, index: u32, tools: &mut Tools<'_>) -> Result<(), Error> {
    let Some(blueprint) = emit::exit(tools.plan, index, prog.main).filter(|_| prog.label.kind == ProgKind::Xdp) else {
        return Ok(());
    };
    let blueprint = blueprint?;
    let attached = match prog.has_one_argument {
        true => tools
            .loaded
            .load_for(&blueprint, prog.fd.as_fd())
            .map_err(|error| error.to_string())
            .and_then(|program| traced::attach(&program).map_err(|error| error.to_string())),
        false => Err("its BTF does not say what its argument is".into()),
    };
    match attached {
        Ok(link) => drop(tools.hooks.keep(link)),
        Err(why) => tools.say.not_followed(&prog.label, &why),
    }
    Ok(())
}
