//! Which program a process runs, from `/proc`, in a cache of a fixed size.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::short::Short;
use crate::clean::{clean, cut_front};

/// Width of the column, in bytes.
pub const WIDTH: usize = 16;

/// The longest text: `<empty>:` and ten digits.
pub const MAX_TEXT: usize = 18;
const WAYS: usize = 4;
const SETS: usize = 512;

/// A process is looked up again when its name is older than this and cannot be checked by its command name.
const MAX_AGE_MS: u64 = 1000;

/// A process whose command name keeps changing (threads have names of their own) is looked up this often per
/// [`MAX_AGE_MS`], not at every change.
const MAX_LOOKUPS: u8 = 8;

/// Names of processes, as pwru prints them: `PATH:PID`, cut to 16 bytes.
///
/// Where pwru gives up (`<empty>:PID` for a process that has ended, a path from before an exec), the command name in
/// the record helps: it stands in for the path, and when it changes the path is read again.
#[derive(Debug)]
pub struct Processes {
    proc: PathBuf,
    entries: Vec<[Entry; WAYS]>,
    /// The idle tasks: all have number 0, and names that differ by the number of the CPU, which has its own column.
    idle: Short<MAX_TEXT>,
    now_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    pid: u32,
    /// Lookups since `checked_ms` began.
    lookups: u8,
    is_used: bool,
    text: Short<MAX_TEXT>,
    comm: [u8; 16],
    checked_ms: u64,
}

impl Processes {
    /// An empty cache of the processes in `proc`, which is `/proc` but in tests.
    pub fn new(proc: impl Into<PathBuf>) -> Processes {
        let free = Entry { pid: 0, lookups: 0, is_used: false, text: Short::new(b""), comm: [0; 16], checked_ms: 0 };
        Processes { proc: proc.into(), entries: vec![[free; WAYS]; SETS], idle: Short::new(b"swapper:0"), now_ms: 0 }
    }

    /// Tells what time it is, in milliseconds from any start.
    pub fn tick(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// The name of process `pid`, whose task `comm` (NUL-padded, empty if not recorded) was running.
    #[inline]
    pub fn text(&mut self, pid: u32, comm: &[u8; 16]) -> &Short<MAX_TEXT> {
        if pid == 0 && comm[0] != 0 {
            return &self.idle;
        }
        let set = (pid.wrapping_mul(0x9e37_79b1) >> 16) as usize % SETS;
        let found = self.entries[set].iter().position(|entry| entry.pid == pid && entry.is_used);
        let way = match found {
            Some(way) if self.entries[set][way].comm == *comm && comm[0] != 0 => way,
            _ => self.refresh(set, found, pid, comm),
        };
        &self.entries[set][way].text
    }

    /// Looks `pid` up if its entry may be wrong; the way where it then is.
    #[cold]
    fn refresh(&mut self, set: usize, found: Option<usize>, pid: u32, comm: &[u8; 16]) -> usize {
        let entries = &self.entries[set];
        let oldest = (0..WAYS).min_by_key(|&way| (entries[way].is_used, entries[way].checked_ms)).unwrap_or(0);
        let way = found.unwrap_or(oldest);
        let old = entries[way];
        let mut lookups = 0;
        if found.is_some() {
            let is_old = self.now_ms.saturating_sub(old.checked_ms) >= MAX_AGE_MS;
            let changed = comm[0] != 0;
            if !is_old && (!changed || old.lookups >= MAX_LOOKUPS) {
                return way;
            }
            lookups = if is_old { 0 } else { old.lookups + 1 };
        }
        let text = match (self.look_up(pid), found) {
            (Some(program), _) => Some(program),
            // It has ended; what was known of it is still right, unless the number went to another process since.
            (None, Some(_)) if comm[0] == 0 || old.comm[0] == 0 => None,
            (None, _) if comm[0] == 0 => Some(format!("<empty>:{pid}")),
            (None, _) => {
                let end = comm.iter().position(|&byte| byte == 0).unwrap_or(comm.len());
                Some(cut_front(&format!("{}:{pid}", clean(&comm[..end])), WIDTH).into_owned())
            }
        };
        let entry = &mut self.entries[set][way];
        if let Some(text) = text {
            entry.text = Short::new(text.as_bytes());
        }
        (entry.pid, entry.is_used, entry.comm, entry.lookups) = (pid, true, *comm, lookups);
        if lookups == 0 {
            entry.checked_ms = self.now_ms;
        }
        way
    }

    /// `PATH:PID`, or for a process without a visible executable (kernel threads) `COMM:PID`; `None` if it is gone.
    fn look_up(&self, pid: u32) -> Option<String> {
        let dir = self.proc.join(pid.to_string());
        let name = match fs::read_link(dir.join("exe")) {
            Ok(path) => {
                let path = path.as_os_str().as_bytes();
                // The kernel's remark on a file that was replaced or removed.
                clean(path.strip_suffix(b" (deleted)").unwrap_or(path)).into_owned()
            }
            Err(_) => clean(fs::read(dir.join("comm")).ok()?.trim_ascii_end()).into_owned(),
        };
        Some(cut_front(&format!("{name}:{pid}"), WIDTH).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    /// A directory that looks like `/proc`; removed at the end.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str) -> Fake {
            let dir = std::env::temp_dir().join(format!("whither-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            Fake(dir)
        }

        fn process(&self, pid: u32, exe: Option<&str>, comm: &str) {
            let dir = self.0.join(pid.to_string());
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            if let Some(exe) = exe {
                symlink(Path::new(exe), dir.join("exe")).unwrap();
            }
            fs::write(dir.join("comm"), format!("{comm}\n")).unwrap();
        }

        fn end(&self, pid: u32) {
            fs::remove_dir_all(self.0.join(pid.to_string())).unwrap();
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn comm(name: &str) -> [u8; 16] {
        let mut comm = [0; 16];
        comm[..name.len()].copy_from_slice(name.as_bytes());
        comm
    }

    #[track_caller]
    fn check(processes: &mut Processes, pid: u32, name: &str, want: &str) {
        assert_eq!(str::from_utf8(processes.text(pid, &comm(name)).as_bytes()).unwrap(), want);
    }

    #[test]
    fn a_process_is_its_executable_and_number() {
        let fake = Fake::new("exe");
        fake.process(780, Some("/usr/bin/curl"), "curl");
        fake.process(9, Some("/bin/\x1b[2J"), "x");
        fake.process(17, None, "ksoftirqd/0");
        fake.process(61, None, "kworker/0:2+events");
        fake.process(5, Some("/bin/old (deleted)"), "old");
        let mut processes = Processes::new(&fake.0);
        check(&mut processes, 780, "curl", "~sr/bin/curl:780");
        check(&mut processes, 9, "x", r"/bin/\x1b[2J:9");
        check(&mut processes, 17, "ksoftirqd/0", "ksoftirqd/0:17");
        check(&mut processes, 61, "kworker/0:2", "~r/0:2+events:61");
        check(&mut processes, 5, "", "/bin/old:5");
    }

    #[test]
    fn a_process_that_has_ended_keeps_a_name() {
        let fake = Fake::new("gone");
        fake.process(7, Some("/bin/a"), "a");
        let mut processes = Processes::new(&fake.0);
        check(&mut processes, 4194304, "", "<empty>:4194304");
        check(&mut processes, 8, "dig", "dig:8");
        check(&mut processes, 0, "swapper/0", "swapper:0");
        check(&mut processes, 0, "swapper/7", "swapper:0");
        check(&mut processes, 0, "", "<empty>:0");
        check(&mut processes, 7, "a", "/bin/a:7");
        fake.end(7);
        check(&mut processes, 7, "a", "/bin/a:7");
        processes.tick(5000);
        check(&mut processes, 7, "a", "/bin/a:7");
        check(&mut processes, 7, "b", "b:7");
    }

    #[test]
    fn a_new_command_name_is_a_new_program() {
        let fake = Fake::new("exec");
        fake.process(7, Some("/bin/sh"), "sh");
        let mut processes = Processes::new(&fake.0);
        check(&mut processes, 7, "sh", "/bin/sh:7");
        fake.process(7, Some("/bin/ip"), "ip");
        check(&mut processes, 7, "sh", "/bin/sh:7");
        check(&mut processes, 7, "ip", "/bin/ip:7");
    }

    #[test]
    fn without_command_names_a_path_is_read_again_after_a_second() {
        let fake = Fake::new("age");
        fake.process(7, Some("/bin/sh"), "sh");
        let mut processes = Processes::new(&fake.0);
        check(&mut processes, 7, "", "/bin/sh:7");
        fake.process(7, Some("/bin/ip"), "ip");
        processes.tick(MAX_AGE_MS - 1);
        check(&mut processes, 7, "", "/bin/sh:7");
        processes.tick(MAX_AGE_MS);
        check(&mut processes, 7, "", "/bin/ip:7");
        fake.end(7);
        processes.tick(MAX_AGE_MS * 2);
        check(&mut processes, 7, "", "/bin/ip:7");
    }

    #[test]
    fn changing_thread_names_do_not_cost_a_lookup_each() {
        let fake = Fake::new("threads");
        fake.process(7, Some("/bin/a"), "a");
        let mut processes = Processes::new(&fake.0);
        for round in 0..100 {
            check(&mut processes, 7, if round % 2 == 0 { "a-0" } else { "a-1" }, "/bin/a:7");
        }
        fake.process(7, Some("/bin/b"), "b");
        check(&mut processes, 7, "b", "/bin/a:7");
        processes.tick(MAX_AGE_MS);
        check(&mut processes, 7, "b", "/bin/b:7");
    }

    #[test]
    fn more_processes_than_the_cache_holds_are_still_right() {
        let fake = Fake::new("many");
        let mut processes = Processes::new(&fake.0);
        for pid in 1..(SETS * WAYS * 3) as u32 {
            check(&mut processes, pid, "x", &format!("x:{pid}"));
        }
        check(&mut processes, 1, "x", "x:1");
    }
}
