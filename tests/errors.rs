//! What a user can get wrong: each file of `tests/errors/` holds command lines, what the command says on standard error
//! and how it ends. None of them gets as far as to need privilege, so none says more or less as root.
//!
//! A line that starts with `$` is a command line. Those before it that start with `<` make files for it, in the
//! directory in which it runs: a name and what is in it, `\xNN` for a byte, or `= PATH` for a copy of a file of `tests/`.
//! `BLESS=1 cargo test --test errors` rewrites the files.

#[path = "support/golden.rs"]
mod golden;

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn every_mistake_gets_its_sentence() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    golden::check_texts("errors", "errors", |text| answers(&tests, text));
}

/// The same text with every answer replaced by the one that the command gives now.
fn answers(tests: &Path, text: &str) -> String {
    let mut out = String::new();
    let mut room = Room::new();
    for line in text.lines().filter(|line| line.starts_with(['#', '<', '$'])) {
        let _ = writeln!(out, "{line}");
        if let Some(file) = line.strip_prefix("< ") {
            let (name, text) = file.split_once(' ').unwrap_or((file, ""));
            let bytes = match text.strip_prefix("= ") {
                Some(path) => fs::read(tests.join(path)).expect("the file to copy is there"),
                None => golden::unescape(text),
            };
            fs::write(room.0.join(name), bytes).expect("a file");
        } else if let Some(command) = line.strip_prefix("$ whither") {
            out += &room.run(&golden::split(command));
            room = Room::new();
        }
    }
    out
}

/// However few files may be open, a run that cannot start says why.
#[test]
fn few_open_files_end_in_one_sentence() {
    let mut hints = 0;
    for limit in 4..20 {
        let script =
            format!("ulimit -n {limit}; exec timeout 20 \"$0\" --backend tracepoint --filter-func kfree_skb icmp");
        let output = Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_whither")]).output().expect("sh runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!((output.status.code(), errors), (Some(1), 1), "with {limit} open files: {said}");
        assert!(said.contains("Too many open files") || said.contains("not permitted"), "with {limit}: {said}");
        hints += usize::from(said.ends_with("hint: `ulimit -n` bounds how many files may be open\n"));
    }
    assert!(hints > 0, "nobody is told what to do");
}

/// Whatever is typed, nothing that a terminal would act on comes back, and nothing that looks like a line of ours.
#[test]
fn what_is_typed_comes_back_without_control_characters() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let hostile = b"\x1b[31mx\x07\nerror: \xc2\x9b";
    let room = Room::new();
    for before in [
        "--",
        "-",
        "--backend ",
        "--timestamp ",
        "--output-limit-lines ",
        "--filter-netns ",
        "--filter-netns /",
        "--filter-ifname ",
        "--filter-func no-such-",
        "--filter-func (",
        "--filter-non-skb-funcs ",
        "--filter-skb-expr skb->",
        "--filter-tunnel-pcap-l2 host ",
        "--output-skb-metadata skb->",
        "--kmods ",
        "--kernel-btf ",
        "--output-file /dev/null/",
        "--output-json=",
        "",
        "host ",
        "filter ",
        "filter -r ",
        "filter --emit ",
        "filter --link-type ",
        "types ",
        "types export ",
        "types export -o /dev/null/",
        "types export --kernel-btf ",
        "funcs (",
        "funcs no-such-",
        "funcs x ",
        "doctor ",
    ] {
        let mut words: Vec<OsString> = before.split(' ').map(OsString::from).collect();
        let last = words.pop().expect("a text has one word at least").into_vec();
        words.push(OsString::from_vec([&last[..], hostile].concat()));
        let mut command = Command::new("timeout");
        let command = command.args(["-s", "INT", "20", env!("CARGO_BIN_EXE_whither")]).args(words);
        let output = command.current_dir(&room.0).stdin(Stdio::null()).output().expect("timeout runs");
        let said = String::from_utf8(output.stderr).unwrap_or_else(|error| panic!("{before}: {error}"));
        assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{before}: {said:?}");
        assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{before}: {said}");
        assert!(matches!(output.status.code(), Some(1 | 2)), "{before}: {:?}: {said}", output.status);
    }
}

/// Ctrl-C ends a command that waits for the writer of a pipe; what one writes is read.
#[test]
fn types_may_come_through_a_pipe() {
    let room = Room::new();
    let pipe = room.0.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let types = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/6.12-x86_64/sys/kernel/btf/vmlinux");
    let run = |args: &[&str], writes: bool| {
        let mut command = Command::new("timeout");
        let command = command.args(["-s", "KILL", "20", env!("CARGO_BIN_EXE_whither")]).args(args);
        let command = command.current_dir(&room.0).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().expect("timeout runs");
        // Without a reader this fails. While it is open the command waits for what is written.
        let mut open = fs::File::options();
        let open = open.write(true).custom_flags(libc::O_NONBLOCK);
        let mut writer = loop {
            match open.open(&pipe) {
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => thread::sleep(Duration::from_millis(5)),
                writer => break writer.expect("the pipe is there"),
            }
        };
        if writes {
            fs::copy(&types, &pipe).expect("the command reads it");
        } else {
            writer.write_all(b"\x9f\xeb").expect("it is read");
            // By now they are read, and more is waited for. `timeout` hands signals on.
            thread::sleep(Duration::from_millis(200));
            kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it is there");
        }
        let waits = (!writes).then_some(writer);
        let output = child.wait_with_output().expect("it ends");
        drop(waits);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let interrupted = "Received signal, exiting: 0 events shown, 0 lost\n";
    let stopped = "error: stopped while the kernel's types were read\n";
    let other = "error: pipe: these are the types of another kernel\nhint: this kernel has types of its own: leave --kernel-btf out\n";
    let sized = "155676 bytes, for --kernel-btf on a host with the same kernel\n";
    for (args, ended, without, with) in [
        (&["--kernel-btf", "pipe", "icmp"][..], Some(0), interrupted, other),
        (&["funcs", "--kernel-btf", "pipe"], Some(1), stopped, other),
        // It has no stage to end in order.
        (&["types", "export", "--kernel-btf", "pipe"], None, "", sized),
    ] {
        assert_eq!(run(args, false), (ended, without.into()), "{args:?}");
        assert_eq!(run(args, true).1, with, "{args:?}");
    }
}

/// Of a command that prints what was asked for, a full disk is a failure, and a reader that has gone away is none.
#[test]
fn output_that_goes_nowhere_is_told() {
    let types = "tests/hosts/6.12-x86_64/sys/kernel/btf/vmlinux";
    for args in [
        &["--version"][..],
        &["filter", "icmp"],
        &["types", "export", "--kernel-btf", types],
        &["--dump", "graph", "icmp"],
        &["funcs", "ip_rcv"],
        &["doctor"],
    ] {
        let run = |stdout: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_whither"));
            let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args).stdout(stdout).output();
            let output = output.expect("the command is built");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (code, said) = run(fs::File::options().write(true).open("/dev/full").expect("Linux has it").into());
        let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!((code, errors), (Some(1), 1), "{args:?}: {said}");
        // Where there is nothing to print that is the failure.
        let full = said.ends_with(": No space left on device (os error 28)\n");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let (code, said) = run(writer.into());
        let is_doctor = args == ["doctor"];
        assert!(!full || is_doctor || code == Some(0) && !said.contains("error: "), "{args:?}: {code:?}: {said}");
        assert!(full || code == Some(1), "{args:?}: {code:?}: {said}");
    }
}

/// Some may make no sockets. The test runs itself, and gives them up, with `WHITHER_NO_SOCKETS`.
#[test]
fn a_doctor_without_sockets_says_so() {
    use std::os::unix::process::CommandExt;
    use whither::sys::privilege::{close_up, filter_calls};
    const NAME: &str = "WHITHER_NO_SOCKETS";
    if std::env::var_os(NAME).is_some() {
        let step = |code: u32, jf, k| libc::sock_filter { code: code as u16, jt: 0, jf, k };
        close_up().expect("everybody may");
        filter_calls(&[
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_socket as u32),
            step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
            step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        ])
        .expect("Linux 3.17");
        let error = Command::new(env!("CARGO_BIN_EXE_whither")).arg("doctor").exec();
        panic!("{error}");
    }
    let me = std::env::current_exe().expect("a test has a name");
    let mut test = Command::new(me);
    let test = test.args(["--exact", "a_doctor_without_sockets_says_so", "--nocapture"]).env(NAME, "1");
    let output = test.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let end = "a run fails\n  no socket on the loopback device: Operation not permitted (os error 1)\n";
    assert!(said.ends_with(end), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
}

/// The directory of one command.
struct Room(PathBuf);

impl Room {
    fn new() -> Room {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("whither-errors-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a directory");
        Room(path)
    }

    fn run(&self, args: &[String]) -> String {
        // One that is no mistake would trace.
        let mut command = Command::new("timeout");
        let command = command
            .args(["20", env!("CARGO_BIN_EXE_whither")])
            .args(args)
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let output = command.stderr(Stdio::piped()).spawn().and_then(|child| child.wait_with_output());
        let output = output.expect("the command is built");
        let mut out = String::new();
        if let Some(first) = String::from_utf8_lossy(&output.stdout).lines().next() {
            let _ = writeln!(out, "    (prints) {first}");
        }
        for line in String::from_utf8(output.stderr).expect("messages are UTF-8").lines() {
            let _ = writeln!(out, "    {line}");
        }
        let _ = writeln!(out, "    (exit {})\n", output.status.code().expect("it ends by itself"));
        out
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
