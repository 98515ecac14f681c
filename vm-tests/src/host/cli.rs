//! The command line of this crate.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use super::binaries;
use super::cache::Cache;
use super::initramfs::{self, Extra};
use super::kernels;
use super::qemu::{Event, Machine, Running};
use super::tools;
use crate::bench::measure::Figures;
use crate::bench::table;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::protocol::{FILES, Job, Report, Task};

const USAGE: &str = "\
usage: vm-tests fetch [KERNEL...]                        fetch and unpack kernels and the guest's programs
       vm-tests list                                     kernels of the matrix, and what they are taken from
       vm-tests run [OPTIONS] KERNEL [--] COMMAND...     run a command in a guest; print its output, pass on its status
       vm-tests shell [OPTIONS] KERNEL                   a shell in a guest; it ends with the shell
       vm-tests bench [OPTIONS] KERNEL...                what tracing costs, beside what is promised
options:
  --file HOST[:GUEST]   put a file or directory into the guest (default: /files/NAME, which is in PATH); repeatable
  --cmdline TEXT        add to the kernel's command line, for example lockdown=confidentiality
  --no-whither          do not build whither for the guest
  --smp N               number of processors (default 2)
  --icount              guest time is a count of instructions (with --smp 1)
  --console             show the kernel's messages, too
  --time SECONDS        give up after this long (default 600; bench: 3600)
options of bench:
  --against PATH        measure this tracer, too: static, with pwru's command line
  --options TEXT        options of the tracer, for example '--backend kprobe'
environment:
  WHITHER_VM_ARCH       processor of the guests: amd64 (the default) or arm64
  WHITHER_VM_CACHE      where fetched kernels are kept (default: vm/ in the target directory)
  WHITHER_VM_KERNELS    a directory of unpacked kernels, one directory each, instead of the matrix
  WHITHER_VM_MIRROR     a Debian mirror, if apt of this machine has none
  WHITHER_VM_ACCEL      qemu's accelerator (default: tcg)
  WHITHER_VM_WHITHER    a static whither for the guest, instead of building one
  WHITHER_VM_JOBS       how many machines tests run at once (default: 2)
  WHITHER_VM_TIMES      set: tests print what each case took, and at once why it failed";

/// Runs the command line; the status is the guest command's, 1 for an error of ours, 2 for misuse.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((command, rest)) => match command.as_str() {
            "fetch" => fetch(rest),
            "list" => list(),
            "run" => Options::parse(rest, true).and_then(|options| run(&options)),
            "bench" => bench(rest),
            "shell" => Options::parse(rest, false).and_then(|options| shell(&options)),
            "--help" | "-h" | "help" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            other => Err(Misuse(format!("no command is named `{other}`")).into()),
        },
        None => Err(Misuse("a command is missing".to_owned()).into()),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(Failure::Ours(error)) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
        Err(Failure::Theirs(Misuse(text))) => {
            eprintln!("error: {text}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

struct Misuse(String);

enum Failure {
    Ours(Error),
    Theirs(Misuse),
}

impl From<Misuse> for Failure {
    fn from(misuse: Misuse) -> Self {
        Self::Theirs(misuse)
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

struct Options {
    kernel: String,
    command: Vec<String>,
    extras: Vec<Extra>,
    append: String,
    whither: bool,
    cpus: u32,
    icount: bool,
    console: bool,
    limit: Duration,
}

impl Options {
    fn parse(arguments: &[String], takes_command: bool) -> Result<Self, Failure> {
        let mut options = Self {
            kernel: String::new(),
            command: Vec::new(),
            extras: Vec::new(),
            append: String::new(),
            whither: true,
            cpus: 2,
            icount: false,
            console: false,
            limit: Duration::from_secs(600),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| Misuse(format!("{argument} needs a value")));
            match argument.as_str() {
                "--file" => options.extras.push(Extra::parse(value()?)),
                "--cmdline" => options.append = value()?.clone(),
                "--smp" => options.cpus = number(value()?)?,
                "--time" => options.limit = Duration::from_secs(number(value()?)?.into()),
                "--no-whither" => options.whither = false,
                "--icount" => options.icount = true,
                "--console" => options.console = true,
                "--" => {
                    options.command.extend(rest.cloned());
                    break;
                }
                flag if flag.starts_with('-') => return Err(Misuse(format!("no option is named `{flag}`")).into()),
                kernel if options.kernel.is_empty() => options.kernel = kernel.to_owned(),
                word => {
                    options.command.push(word.to_owned());
                    options.command.extend(rest.cloned());
                    break;
                }
            }
        }
        if options.kernel.is_empty() {
            return Err(Misuse("a kernel's name is missing".to_owned()).into());
        }
        if takes_command == options.command.is_empty() {
            let text = if takes_command { "a command for the guest is missing" } else { "a shell takes no command" };
            return Err(Misuse(text.to_owned()).into());
        }
        Ok(options)
    }
}

fn bench(arguments: &[String]) -> Result<u8, Failure> {
    let (mut kernels, mut against, mut tracer) = (Vec::new(), None, String::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| Misuse(format!("{argument} needs a value")));
        match argument.as_str() {
            "--against" => against = Some(value()?.clone()),
            "--options" => tracer = value()?.clone(),
            flag if flag.starts_with('-') => return Err(Misuse(format!("no option is named `{flag}`")).into()),
            kernel => kernels.push(kernel.to_owned()),
        }
    }
    if kernels.is_empty() {
        return Err(Misuse("a kernel's name is missing".to_owned()).into());
    }
    for kernel in kernels {
        let ours = measure(&kernel, None, &tracer)?;
        let theirs = against.as_deref().map(|path| measure(&kernel, Some(path), &tracer)).transpose()?;
        let multi = ours.get("empty_is_multi").is_some_and(|multi| *multi > 0.0);
        println!("{}", table::render(&kernel, multi, &ours, theirs.as_ref()));
    }
    Ok(0)
}

/// Measures whither, or the tracer at `path` of this machine, in a machine of its own.
fn measure(kernel: &str, path: Option<&str>, tracer: &str) -> Result<Figures> {
    let extras: Vec<_> =
        path.map(|path| Extra { from: path.into(), to: format!("{FILES}/tracer") }).into_iter().collect();
    let inside = path.map_or_else(|| "/usr/bin/whither".to_owned(), |_| format!("{FILES}/tracer"));
    let options = Options {
        kernel: kernel.to_owned(),
        command: Vec::new(),
        extras,
        append: String::new(),
        whither: path.is_none(),
        cpus: 1,
        icount: true,
        console: false,
        limit: Duration::from_secs(3600),
    };
    let task = Task::Bench { path: inside, options: tracer.to_owned() };
    prepared(&options, task, |machine| {
        let (mut running, _) = machine.boot()?;
        let end = std::time::Instant::now() + options.limit;
        loop {
            match running.next(end.saturating_duration_since(std::time::Instant::now())) {
                Some(Event::Report(Report::Measured(figures))) => return Ok(figures?),
                Some(Event::Console(line)) if Running::is_fatal(&line) => {
                    crate::fail!("the guest's kernel broke:\n{}", running.console());
                }
                Some(Event::Gone) => crate::fail!("the machine ended:\n{}", running.console()),
                Some(Event::Report(_) | Event::Console(_)) => {}
                None => crate::fail!("no end after {} seconds", options.limit.as_secs()),
            }
        }
    })
}

fn number(text: &str) -> Result<u32, Misuse> {
    text.parse().map_err(|_| Misuse(format!("`{text}` is not a number")))
}

fn fetch(names: &[String]) -> Result<u8, Failure> {
    let matrix = Matrix::load()?;
    let cache = Cache::open()?;
    let names = if names.is_empty() { kernels::names(&matrix)? } else { names.to_vec() };
    let tools = tools::ready(&cache, &matrix)?;
    for name in names {
        let kernel = kernels::ready(&cache, &matrix, &name)?;
        initramfs::base(&cache, &kernel, &tools)?;
        println!("{name:<8} {:<28} {}", kernel.release, kernel.package());
    }
    Ok(0)
}

fn list() -> Result<u8, Failure> {
    let matrix = Matrix::load()?;
    for name in kernels::names(&matrix)? {
        let wanted = matrix.kernel(&name).map(|kernel| format!("{} {}", kernel.suite, kernel.packages.join(" or ")));
        println!("{name:<8} {}", wanted.unwrap_or_default());
    }
    Ok(0)
}

/// Makes everything ready that a machine with `options` needs and hands it to `with`.
fn prepared<T>(options: &Options, task: Task, with: impl FnOnce(&Machine) -> Result<T>) -> Result<T> {
    let matrix = Matrix::load()?;
    let (kernel, base) = {
        let cache = Cache::open()?;
        let tools = tools::ready(&cache, &matrix)?;
        let kernel = kernels::ready(&cache, &matrix, &options.kernel)?;
        let base = initramfs::base(&cache, &kernel, &tools)?;
        (kernel, base)
    };
    let binaries = binaries::build(options.whither)?;
    let job = Job { kernel: options.kernel.clone(), task };
    with(&Machine {
        kernel: &kernel,
        base: &base,
        binaries: &binaries,
        job: &job,
        extras: &options.extras,
        append: &options.append,
        cpus: if options.icount { 1 } else { options.cpus },
        icount: options.icount,
    })
}

fn shell(options: &Options) -> Result<u8, Failure> {
    prepared(options, Task::Shell, |machine| machine.interactive())?;
    Ok(0)
}

fn run(options: &Options) -> Result<u8, Failure> {
    let task = Task::Command(options.command.clone());
    let code = prepared(options, task, |machine| {
        let (mut running, _) = machine.boot()?;
        follow(&mut running, options)
    })?;
    Ok(code)
}

/// Prints what the command prints, until it ends.
fn follow(running: &mut Running, options: &Options) -> Result<u8> {
    let end = std::time::Instant::now() + options.limit;
    loop {
        let left = end.saturating_duration_since(std::time::Instant::now());
        match running.next(left) {
            Some(Event::Report(Report::Output { stderr: false, text })) => {
                std::io::stdout().write_all(text.as_bytes())?;
                std::io::stdout().flush()?;
            }
            Some(Event::Report(Report::Output { stderr: true, text })) => eprint!("{text}"),
            Some(Event::Report(Report::Exited { code })) => return Ok(u8::try_from(code).unwrap_or(255)),
            Some(Event::Console(line)) if Running::is_fatal(&line) => {
                crate::fail!("the guest's kernel broke:\n{}", running.console());
            }
            Some(Event::Console(line)) if options.console => eprintln!("console: {line}"),
            Some(Event::Gone) => crate::fail!("the machine ended before the command:\n{}", running.console()),
            Some(Event::Report(_) | Event::Console(_)) => {}
            None => crate::fail!("no end after {} seconds", options.limit.as_secs()),
        }
    }
}
