//! Blueprints past the verifier: descriptors of maps and programs.

use crate::program::{Blueprint, MapSpec, Programs};
use crate::sys::bpf::{self, ProgLoad, ProgType};
use crate::sys::stop::Stop;
use asm::MapRef;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::Location;

/// Everything that was loaded; dropping it unloads what nothing else holds.
#[derive(Debug)]
pub struct Loaded {
    maps: Vec<(MapRef, OwnedFd)>,
    /// The programs, in the order of the blueprints.
    pub programs: Vec<Program>,
    /// The targets of each program that the kernel refused, and why; others were loaded.
    pub refused: Vec<(Vec<u32>, LoadError)>,
    /// The targets whose trampolines' programs the kernel refused, which the programs for kprobes serve, and why.
    pub not_by_fentry: Vec<(u32, String)>,
    /// What follows packets, in the order of the plan's trackers: the kernel need not take all.
    pub trackers: Vec<Result<Program, LoadError>>,
}

/// A loaded program and what it is to be attached to.
#[derive(Debug)]
pub struct Program {
    /// The program.
    pub fd: OwnedFd,
    /// Its name.
    pub name: String,
    /// Kind of program.
    pub kind: ProgType,
    /// Indices into the plan's targets.
    pub targets: Vec<u32>,
}

impl Loaded {
    /// The map that programs know as `map`.
    pub fn map(&self, map: MapRef) -> BorrowedFd<'_> {
        descriptor(&self.maps, map).as_fd()
    }
}

/// Why a map or program was not loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The kernel did not make a map.
    Map {
        /// Name of the map.
        name: &'static str,
        /// Its answer.
        error: io::Error,
    },
    /// The kernel did not take a program.
    Program {
        /// Name of the program.
        name: String,
        /// Its answer.
        error: io::Error,
        /// What the verifier said, if it said anything.
        refusal: Option<Box<Refusal>>,
    },
    /// Our own mistake: the program cannot be encoded.
    Encode(String),
    /// The end was asked for.
    Stopped,
}

/// The verifier's complaint, traced back to our source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The line that says what is wrong.
    pub message: String,
    /// The instruction that it is about, as the verifier prints it.
    pub instruction: Option<String>,
    /// Where that instruction was emitted.
    pub source: Option<&'static Location<'static>>,
    /// On whose behalf: a flag of the user's, perhaps with its value, or the packet expression.
    pub behalf: Option<String>,
    /// The whole log.
    pub log: String,
}

impl LoadError {
    /// The kernel's answer, if it was the kernel that refused.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            LoadError::Map { error, .. } | LoadError::Program { error, .. } => Some(error),
            LoadError::Encode(_) | LoadError::Stopped => None,
        }
    }

    /// Whether the verifier did not take the instructions as they are: others may do better.
    pub fn is_about_code(&self) -> bool {
        match self {
            LoadError::Program { error, refusal, .. } => {
                let is_too_long = error.raw_os_error() == Some(libc::E2BIG);
                is_too_long || refusal.as_ref().is_some_and(|refusal| refusal.instruction.is_some())
            }
            _ => false,
        }
    }

    /// On whose behalf the refused instruction was emitted, if that is known.
    pub fn behalf(&self) -> Option<&str> {
        match self {
            LoadError::Program { refusal: Some(refusal), .. } => refusal.behalf.as_deref(),
            _ => None,
        }
    }
}

impl LoadError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            LoadError::Program { refusal: Some(_), .. } => Some("--dump=verifier prints the whole log"),
            LoadError::Map { name, error } if matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::E2BIG)) => {
                match *name {
                    "whither_tracked" => Some("--track-table-size says for how many packets it has room"),
                    "whither_events" => Some("--buffer-size says how large it is"),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Map { name, error } => write!(f, "the kernel made no map `{name}`: {error}"),
            LoadError::Program { name, refusal: Some(refusal), .. } => {
                write!(f, "the kernel refused program `{name}`: {}", refusal.message)?;
                if let Some(instruction) = &refusal.instruction {
                    write!(f, "\n  at {instruction}")?;
                    if let Some(source) = refusal.source {
                        write!(f, ", emitted by {}:{}", source.file(), source.line())?;
                    }
                    if let Some(behalf) = &refusal.behalf {
                        write!(f, " for {behalf}")?;
                    }
                }
                Ok(())
            }
            LoadError::Program { name, error, refusal: None } => {
                write!(f, "the kernel refused program `{name}`: {error}")
            }
            LoadError::Encode(text) => write!(f, "a program cannot be encoded: {text}"),
            LoadError::Stopped => f.write_str("stopped while programs were loaded"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Creates the maps and loads the programs, unless `stop` is asked for meanwhile.
pub fn load(blueprints: &Programs, stop: &Stop) -> Result<Loaded, LoadError> {
    let maps = create_maps(blueprints)?;
    let (mut programs, mut refused) = (Vec::new(), Vec::new());
    for blueprint in &blueprints.programs {
        if stop.is_requested() {
            return Err(LoadError::Stopped);
        }
        match (load_program(blueprint, &maps, None), &blueprint.targets[..]) {
            (Ok(fd), _) => programs.push(program(blueprint, fd)),
            (Err(error), targets) if blueprint.own_target || error.is_about_code() => {
                refused.push((targets.to_vec(), error));
                // Nobody waits for hundreds of refusals of one and the same kind.
                if programs.is_empty() && refused.len() >= HOPELESS {
                    break;
                }
            }
            (Err(error), _) => return Err(error),
        }
    }
    let follow = |blueprint: &Blueprint| {
        let fd = load_program(blueprint, &maps, None)?;
        Ok(program(blueprint, fd))
    };
    let trackers = blueprints.trackers.iter().map(follow).collect();
    if programs.is_empty() && !refused.is_empty() {
        return Err(refused.swap_remove(0).1);
    }
    Ok(Loaded { maps, programs, refused, not_by_fentry: Vec::new(), trackers })
}

fn program(blueprint: &Blueprint, fd: OwnedFd) -> Program {
    let (kind, targets) = (blueprint.kind, blueprint.targets.clone());
    Program { fd, name: blueprint.code.name().to_owned(), kind, targets }
}

/// After so many programs of one target, and not one that loads, the others are not tried.
const HOPELESS: usize = 8;

/// The map that programs know as `map`, which they can only name if it is there.
fn descriptor(maps: &[(MapRef, OwnedFd)], map: MapRef) -> &OwnedFd {
    &maps.iter().find(|(id, _)| *id == map).expect("programs name only maps that they come with").1
}

impl Loaded {
    /// Loads one more program, with the maps of the others.
    pub fn load_more(&self, blueprint: &Blueprint) -> Result<Program, LoadError> {
        Ok(program(blueprint, load_program(blueprint, &self.maps, None)?))
    }

    /// Loads one more program, which traces the BPF program `traced`, with the maps of the others.
    pub fn load_for(&self, blueprint: &Blueprint, traced: BorrowedFd<'_>) -> Result<Program, LoadError> {
        let fd = load_program(blueprint, &self.maps, Some(traced))?;
        Ok(program(blueprint, fd))
    }
}

fn create_maps(blueprints: &Programs) -> Result<Vec<(MapRef, OwnedFd)>, LoadError> {
    let create = |map: &MapSpec| {
        bpf::map_create(map.kind, map.name, map.key, map.value, map.entries)
            .map(|fd| (map.id, fd))
            .map_err(|error| LoadError::Map { name: map.name, error })
    };
    blueprints.maps.iter().map(create).collect()
}

fn encode(blueprint: &Blueprint, maps: &[(MapRef, OwnedFd)]) -> Result<Vec<u64>, LoadError> {
    blueprint.code.encode(|map| descriptor(maps, map).as_raw_fd()).map_err(|error| LoadError::Encode(error.to_string()))
}

fn load_of<'a>(blueprint: &'a Blueprint, code: &'a [u64], attach_to: Option<BorrowedFd<'a>>) -> ProgLoad<'a> {
    ProgLoad {
        kind: blueprint.kind,
        attach: blueprint.attach,
        name: blueprint.code.name(),
        code,
        attach_btf_id: blueprint.btf_id,
        attach_to,
    }
}

/// The verifier's log of every program, those that it takes included.
pub fn verifier_log(blueprints: &Programs) -> Result<String, LoadError> {
    let mut text = String::new();
    let maps = create_maps(blueprints)?;
    for blueprint in blueprints.programs.iter().chain(&blueprints.trackers) {
        let code = encode(blueprint, &maps)?;
        let mut log = vec![0; LOG_BYTES];
        let module = module_types(blueprint)?;
        let answer = bpf::prog_load(&load_of(blueprint, &code, module.as_ref().map(AsFd::as_fd)), &mut log);
        let log = log.split(|&byte| byte == 0).next().unwrap_or(&[]);
        let verdict = answer.map_or_else(|error| format!("refused: {error}"), |_| "accepted".to_owned());
        text += &format!("program  {}: {verdict}\n{}", blueprint.code.name(), String::from_utf8_lossy(log));
    }
    Ok(text)
}

/// The types that a program for a function of a module is checked against.
fn module_types(blueprint: &Blueprint) -> Result<Option<OwnedFd>, LoadError> {
    let refused = |error| LoadError::Program { name: blueprint.code.name().to_owned(), error, refusal: None };
    blueprint.module.as_deref().map(bpf::module_btf).transpose().map_err(refused)
}

/// How much text of the verifier is asked for. It keeps the end of a longer one since Linux 6.4; before, it cuts.
const LOG_BYTES: usize = 4 << 20;

fn load_program(
    blueprint: &Blueprint,
    maps: &[(MapRef, OwnedFd)],
    traced: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, LoadError> {
    let code = encode(blueprint, maps)?;
    let module = module_types(blueprint)?;
    let program = load_of(blueprint, &code, traced.or(module.as_ref().map(AsFd::as_fd)));
    bpf::prog_load(&program, &mut []).or_else(|error| {
        let mut log = vec![0; LOG_BYTES];
        // The kernel may take it now (memory was short): then all is well.
        bpf::prog_load(&program, &mut log).map_err(|_| LoadError::Program {
            name: blueprint.code.name().to_owned(),
            error,
            refusal: refusal(&log, &blueprint.code).map(Box::new),
        })
    })
}

/// Finds the line of the verifier's `log` that matters.
fn refusal(log: &[u8], code: &asm::Program) -> Option<Refusal> {
    let text = log.split(|&byte| byte == 0).next().unwrap_or(&[]);
    let log = String::from_utf8_lossy(text).into_owned();
    let lines: Vec<&str> = log.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let statistics = ["processed ", "verification time", "stack depth"];
    let at = lines.iter().rposition(|line| !statistics.iter().any(|start| line.starts_with(start)))?;
    let instruction = lines[..=at].iter().rev().find(|line| slot(line).is_some());
    let emitted = instruction.and_then(|line| code.insn_at(slot(line)?));
    Some(Refusal {
        message: lines[at].to_owned(),
        instruction: instruction.map(|line| line.split(" ; ").next().unwrap_or(line).trim().to_owned()),
        source: emitted.and_then(asm::Insn::source),
        behalf: emitted.and_then(asm::Insn::behalf).map(str::to_owned),
        log: log.clone(),
    })
}

/// The slot number of a line such as `14: (61) r1 = *(u32 *)(r10 -4)`.
fn slot(line: &str) -> Option<usize> {
    let (number, rest) = line.split_once(": ")?;
    if rest.starts_with('(') { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use asm::{Asm, R0};

    #[test]
    fn refusals_are_sentences() {
        let mut a = Asm::new("entry");
        a.on_behalf_of(Some("--output-stack".into()));
        a.mov(R0, 0);
        let line = line!() - 1;
        a.exit();
        let code = a.finish().expect("it is whole");
        let log = b"0: R1=ctx() R10=fp0\n0: (b7) r0 = 0 ; note\nR0 is not to its taste\nprocessed 1 insns\n\0";
        let refused = |refusal: Option<Refusal>| {
            let error = io::Error::from_raw_os_error(libc::EACCES);
            LoadError::Program { name: "entry".into(), error, refusal: refusal.map(Box::new) }
        };
        let told = refused(refusal(log, &code));
        let text = format!(
            "the kernel refused program `entry`: R0 is not to its taste
  at 0: (b7) r0 = 0, emitted by src/load.rs:{line} for --output-stack"
        );
        assert_eq!(told.to_string(), text);
        assert_eq!(told.hint(), Some("--dump=verifier prints the whole log"));
        assert!(told.is_about_code() && told.behalf() == Some("--output-stack"));
        let silent = refused(refusal(b"\0", &code));
        assert_eq!(silent.to_string(), "the kernel refused program `entry`: Permission denied (os error 13)");
        assert!(silent.hint().is_none() && !silent.is_about_code());
    }
}
