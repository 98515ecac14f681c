//! One run of the program under ptrace.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

#[path = "call.rs"]
mod call;
#[path = "stopped.rs"]
mod stopped;

pub use call::Call;
use call::PROG_LOAD;
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use stopped::Stopped;

/// A call of the main thread is answered by an error.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What is called.
    pub call: Call,
    /// How many such calls are answered as usual before, counted from [`FIRST`] on. Calls of other kinds do not count: how
    /// often a lock is waited for differs from run to run.
    pub after: usize,
    /// The answer.
    pub errno: Errno,
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Ended {
    /// Exit status of the program; `None` after a signal, or if it had to be killed.
    pub code: Option<i32>,
    /// What it said.
    pub stderr: String,
    calls: Vec<Call>,
    ready: Option<usize>,
    /// Whether the fault was met with.
    pub failed: bool,
    /// Whether system calls were filtered.
    pub confined: bool,
    /// What any thread or child called once system calls were filtered: numbers and first arguments.
    pub confined_calls: BTreeSet<(i64, u64)>,
}

impl Ended {
    /// Whether it got so far as to trace.
    pub fn is_ready(&self) -> bool {
        self.stderr.contains(READY)
    }

    /// The calls of the main thread, from its first own one until it listens; `None` if it never did.
    pub fn calls_until_ready(&self) -> Option<&[Call]> {
        self.ready.map(|count| &self.calls[..count])
    }
}

const READY: &str = "Listening for events";
/// The first call that is whither's and not the run-time's.
const FIRST: i64 = libc::SYS_signalfd4;
/// A run takes a fraction of a second, on a loaded machine several.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `whither`, its path and arguments, until it listens; then interrupts it.
pub fn run(whither: &[&str], fault: Option<Fault>) -> Ended {
    start(whither, fault, None, Box::new(|main| kill(main, Signal::SIGINT).expect("it is there")))
}

/// Runs `whither`. When it listens `then` is called with its number, on a thread of its own.
pub fn run_with(whither: &[&str], then: impl FnOnce(Pid) + Send + 'static) -> Ended {
    start(whither, None, None, Box::new(then))
}

/// As [`run_with`], on a kernel whose verifier refuses every program with an instruction that `refuses` holds for.
pub fn run_refusing(whither: &[&str], refuses: fn(u64) -> bool, then: impl FnOnce(Pid) + Send + 'static) -> Ended {
    start(whither, None, Some(refuses), Box::new(then))
}

#[expect(clippy::zombie_processes, reason = "Traced::follow waits for it")]
fn start(
    whither: &[&str],
    fault: Option<Fault>,
    refuses: Option<fn(u64) -> bool>,
    then: Box<dyn FnOnce(Pid) + Send>,
) -> Ended {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let path = std::env::temp_dir().join(format!(
        "whither-fault-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    ));
    let stderr = File::create(&path).expect("a file");
    // The shell stops itself, so that nothing is missed between the start and the tracing of it.
    let child = Command::new("sh")
        .args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""])
        .args(whither)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .expect("sh runs");
    let mut traced = Traced {
        main: Pid::from_raw(child.id() as i32),
        fault,
        said: path.clone(),
        inside: Vec::new(),
        answer: None,
        ended: Ended::default(),
        counting: false,
        then: Some(then),
        refuses,
    };
    traced.follow();
    let mut ended = traced.ended;
    File::open(&path).and_then(|mut file| file.read_to_string(&mut ended.stderr)).expect("it is text");
    fs::remove_file(&path).expect("it is ours");
    ended
}

struct Traced {
    main: Pid,
    fault: Option<Fault>,
    said: std::path::PathBuf,
    /// Threads that are between entry and exit of a call.
    inside: Vec<Pid>,
    /// What the main thread is to get for its call.
    answer: Option<Errno>,
    ended: Ended,
    counting: bool,
    /// What is to be done when it listens.
    then: Option<Box<dyn FnOnce(Pid) + Send>>,
    refuses: Option<fn(u64) -> bool>,
}

impl Traced {
    fn follow(&mut self) {
        // A run that hangs is killed; the sender is dropped when this returns.
        let (_running, over) = mpsc::channel::<()>();
        let main = self.main;
        thread::spawn(move || {
            if over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = killpg(main, Signal::SIGKILL);
            }
        });
        waitpid(self.main, Some(WaitPidFlag::WUNTRACED)).expect("it stops itself");
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(self.main, options).expect("our own child can be traced");
        kill(self.main, Signal::SIGCONT).expect("it is there");
        loop {
            // Those of this thread alone: others trace runs of their own.
            let status = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD));
            match status {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.main => self.ended.code = Some(code),
                Ok(WaitStatus::PtraceSyscall(pid)) => {
                    self.call(pid);
                    let _ = ptrace::syscall(pid, None);
                }
                Ok(WaitStatus::PtraceEvent(pid, ..)) => {
                    let _ = ptrace::syscall(pid, None);
                }
                Ok(WaitStatus::Stopped(pid, signal)) => {
                    let pass = !matches!(signal, Signal::SIGSTOP | Signal::SIGTRAP | Signal::SIGCONT);
                    let _ = ptrace::syscall(pid, pass.then_some(signal));
                }
                Ok(_) => {}
                // The program and the children that it left behind, which close what is slow to close, have ended.
                Err(Errno::ECHILD) => return,
                Err(error) => panic!("waiting for the child: {error}"),
            }
        }
    }

    /// A thread enters or leaves a call.
    fn call(&mut self, pid: Pid) {
        let Some(mut at) = Stopped::new(pid) else { return };
        let number = at.number();
        if let Some(place) = self.inside.iter().position(|&inside| inside == pid) {
            self.inside.swap_remove(place);
            if number == libc::SYS_seccomp && at.result() == 0 {
                self.ended.confined = true;
            }
            if pid == self.main {
                if let Some(errno) = self.answer.take() {
                    at.answer(errno);
                }
                self.look(number);
            }
            return;
        }
        self.inside.push(pid);
        let arguments = at.arguments();
        let [first, second, ..] = arguments;
        if self.ended.confined {
            self.ended.confined_calls.insert((number, first));
        }
        if pid != self.main || self.ended.ready.is_some() {
            return;
        }
        self.counting |= number == FIRST;
        if !self.counting {
            return;
        }
        let call = Call::new(pid, number, arguments);
        let before = || self.ended.calls.iter().filter(|&earlier| *earlier == call).count();
        if let Some(fault) = self.fault.as_ref().filter(|fault| fault.call == call && fault.after == before()) {
            at.skip();
            self.answer = Some(fault.errno);
            self.ended.failed = true;
        }
        if call.is_bpf()
            && first == PROG_LOAD
            && self.refuses.is_some_and(|refuses| refuse(pid, second, refuses).expect("its memory"))
        {
            at.skip();
            self.answer = Some(Errno::EACCES);
        }
        self.ended.calls.push(call);
    }

    /// Whether it listens now; then it is interrupted.
    fn look(&mut self, number: i64) {
        if self.then.is_none() || number != libc::SYS_write {
            return;
        }
        if fs::read_to_string(&self.said).is_ok_and(|said| said.contains(READY)) {
            self.ended.ready = Some(self.ended.calls.len());
            let (then, main) = (self.then.take(), self.main);
            thread::spawn(move || then.expect("it was there")(main));
        }
    }
}

/// Whether the program at `attributes` (`bpf_attr.prog_load`) is refused; then the verifier's words are in its log.
fn refuse(pid: Pid, attributes: u64, refuses: fn(u64) -> bool) -> std::io::Result<bool> {
    let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
    let word = |at: u64| -> std::io::Result<u64> {
        let mut bytes = [0; 8];
        memory.read_exact_at(&mut bytes, at)?;
        Ok(u64::from_ne_bytes(bytes))
    };
    let (count, code) = (word(attributes)? >> 32, word(attributes + 8)?);
    for slot in 0..count {
        if refuses(word(code + 8 * slot)?) {
            let (level, log) = (word(attributes + 24)? as u32, word(attributes + 32)?);
            if level > 0 {
                let text = format!("{slot}: (00) as it is\nthis verifier wants none of that\nprocessed 1 insns\n\0");
                memory.write_all_at(text.as_bytes(), log)?;
            }
            return Ok(true);
        }
    }
    Ok(false)
}
