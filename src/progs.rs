//! BPF programs under trace: found when the run starts and while it goes on, each with a program of ours at its entry.

use crate::attach::{Hooks, traced};
use crate::error::Error;
use crate::host::bpf_progs::{BpfProg, BpfProgs, ProgKind, Skipped, Why};
use crate::host::survey::Host;
use crate::load::Loaded;
use crate::names::{ProgramName, TargetKind};
use crate::plan::Plan;
use crate::program::traced::{Context, entry, exit};
use crate::say::Say;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How often the kernel is asked for new programs: one system call if there are none.
pub const INTERVAL: Duration = Duration::from_millis(50);

/// Follows programs as they are loaded.
pub struct Progs {
    found: BpfProgs,
    /// The index of the next program in records.
    next: u32,
    looked: Instant,
}

impl Progs {
    /// For the tc programs, the XDP programs or both. Fails if this kernel has no fentry.
    pub fn new(tc: bool, xdp: bool, host: &Host) -> Result<Progs, Error> {
        if let Some(Err(error)) = &host.features.fentry {
            return Err(Error::NoFentry(error.to_string()));
        }
        Ok(Progs { found: BpfProgs::new(tc, xdp), next: 0, looked: Instant::now() })
    }

    /// Whether it is time to look again.
    pub fn is_due(&self) -> bool {
        self.looked.elapsed() >= INTERVAL
    }

    /// Attaches to every program that is new; the first gets the index `next` in records. Returns their names, in the order of their indices; what cannot be traced
    /// is said once and left alone.
    pub fn look(
        &mut self,
        next: u32,
        plan: &Plan,
        loaded: &mut Loaded,
        hooks: &mut Hooks,
        say: &Say,
    ) -> Result<Vec<ProgramName>, Error> {
        self.next = next;
        let mut names = Vec::new();
        loop {
            match self.found.find_new() {
                Ok(Some(Ok(prog))) => match self.trace(&prog, plan, loaded, hooks, say)? {
                    Ok(name) => {
                        self.next += 1;
                        say.traced(&prog.label);
                        names.push(name);
                    }
                    Err(error) => say.skipped(&Skipped { label: Ok(prog.label), why: Why::Refused(error) }),
                },
                Ok(Some(Err(skipped))) => say.skipped(&skipped),
                Ok(None) => break,
                Err(error) => return Err(Error::Io(error)),
            }
        }
        self.looked = Instant::now();
        Ok(names)
    }

    /// Attaches to one program; the inner error is the kernel's.
    fn trace(
        &self,
        prog: &BpfProg,
        plan: &Plan,
        loaded: &mut Loaded,
        hooks: &mut Hooks,
        say: &Say,
    ) -> Result<Result<ProgramName, io::Error>, Error> {
        let (context, kind) = match prog.label.kind {
            ProgKind::Tc => (Context::Skb, TargetKind::Tc),
            ProgKind::Xdp => (Context::Xdp, TargetKind::Xdp),
        };
        let blueprint = entry(plan, context, self.next, prog.main)?;
        let program = match loaded.load_for(&blueprint, prog.fd.as_fd()) {
            Ok(program) => program,
            Err(error) => return Ok(Err(io::Error::other(error.to_string()))),
        };
        match traced::attach(&program) {
            Ok(link) => hooks.keep(link),
            Err(error) => return Ok(Err(error)),
        }
        loaded.programs.push(program);
        if let Some(blueprint) = exit(plan, self.next, prog.main).filter(|_| kind == TargetKind::Xdp) {
            let blueprint = blueprint?;
            // Without it the frame is shown, and not followed.
            let attached = match prog.has_one_argument {
                true => loaded
                    .load_for(&blueprint, prog.fd.as_fd())
                    .map_err(|error| error.to_string())
                    .and_then(|program| traced::attach(&program).map_err(|error| error.to_string())),
                false => Err("its BTF does not say what its argument is".into()),
            };
            match attached {
                Ok(link) => hooks.keep(link),
                Err(why) => say.not_followed(&prog.label, &why),
            }
        }
        Ok(Ok(ProgramName {
            symbol: prog.symbol.clone(),
            kind,
            id: prog.label.id,
            tag: prog.label.tag,
            name: prog.label.name.clone(),
        }))
    }
}
