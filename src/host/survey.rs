//! Everything that is read before a plan is made.

use super::bpf_progs::{self, Callees};
use super::features::{Features, Lockdown};
use super::functions::{self, List};
use super::kallsyms::Source;
use super::life::LIFE;
use super::map_functions::MAP_FUNCTIONS;
use super::resolve::Reading;
use super::{
    Finder, ListError, LoadError, NameSet, Roots, SkbFunction, Symbols, SymbolsError, Targets, modules, netns,
};
use crate::btf::{Arch, Btf, Enum, Enumerator};
use crate::clean;
use crate::cli::{Args, NetnsSpec};
use crate::sys;
use crate::sys::stop::Stop;
use regex_lite::Regex;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What the kernel and the command line's names amount to on this machine. Nothing was changed.
#[derive(Debug)]
pub struct Host {
    /// The kernel's release, such as `6.12.8-amd64`.
    pub release: String,
    /// The kernel's types.
    pub btf: Arc<Btf>,
    /// Whether these are the running kernel's, byte for byte: only then do their numbers mean anything to it.
    pub own_types: bool,
    /// What programs may do.
    pub features: Features,
    /// What lockdown forbids; `None` if that cannot be read.
    pub lockdown: Option<Lockdown>,
    /// How many CPUs there may be.
    pub cpus: u32,
    /// The functions with an skb that `--filter-func` keeps.
    pub functions: Targets,
    /// The functions of [`super::life::LIFE`] that this kernel has, if packets are to be followed.
    pub life: Vec<SkbFunction>,
    /// Why the list of traceable functions was not used.
    pub no_list: Option<ListError>,
    /// Why functions have no addresses: kprobes have no place to go then.
    pub no_symbols: Option<SymbolsError>,
    /// The pattern of `--filter-func`.
    pub wanted: Wanted,
    /// Inode of the network namespace that packets must be in.
    pub netns: Option<u32>,
    /// Index of the interface that packets must be on.
    pub ifindex: Option<u32>,
    /// The modules whose functions are traced.
    pub modules: Vec<String>,
    /// What BPF programs call, with `--filter-track-bpf-helpers`.
    pub callees: Option<Callees>,
    /// Functions of `--filter-non-skb-funcs` that this kernel does not let us trace.
    pub not_traceable: Vec<String>,
    /// Whether of several functions of one name only one is known.
    pub first_only: bool,
    /// Why modules of `--kmods` are not traced yet.
    pub awaited: Vec<LoadError>,
}

/// Why packets are dropped, by number, as the kernel's types have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropReasons {
    /// `enum skb_drop_reason` and the enums of the subsystems.
    pub reasons: Vec<(u32, String)>,
    /// `enum skb_drop_reason_subsys` (Linux 6.4).
    pub subsystems: Vec<(u32, String)>,
}

/// The names that `--filter-func` keeps.
#[derive(Clone, Debug, Default)]
pub struct Wanted(Option<Regex>);

impl Wanted {
    /// Compiles the pattern; without one every name is wanted.
    pub fn new(pattern: Option<&str>) -> Result<Wanted, regex_lite::Error> {
        pattern.map(Regex::new).transpose().map(Wanted)
    }

    /// Whether the leftmost match in `name` is all of `name`. That is pwru's rule: `a|ab` does not keep `ab`.
    pub fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|pattern| pattern.find(name).is_some_and(|found| found.as_str() == name))
    }

    /// Whether there is no pattern.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }
}

/// Why the host cannot be read.
#[derive(Debug)]
pub enum HostError {
    /// `--filter-func` is no regular expression.
    Pattern(String),
    /// How many CPUs there may be is not known.
    Cpus(io::Error),
    /// No type information.
    Btf(LoadError),
    /// The file of `--kernel-btf` does not fit this kernel.
    OtherKernel(PathBuf),
    /// The namespace of `--filter-netns`.
    Netns {
        /// The file that stands for it.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },
    /// A function of `--filter-non-skb-funcs`.
    NoFunction(String),
    /// What BPF programs call cannot be found out.
    Helpers(String),
    /// `--filter-ifname` with a namespace that cannot be entered because only its number is known.
    IfnameInode,
    /// The interface of `--filter-ifname`.
    Interface {
        /// Its name.
        name: String,
        /// The kernel's answer.
        error: io::Error,
    },
}

impl HostError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            HostError::Btf(LoadError::Missing(_)) => {
                Some("the kernel needs CONFIG_DEBUG_INFO_BTF; --kernel-btf FILE takes its types from a file")
            }
            HostError::OtherKernel(_) => Some("this kernel has types of its own: leave --kernel-btf out"),
            HostError::IfnameInode => Some("name the namespace by a path, such as /proc/PID/ns/net or /run/netns/NAME"),
            _ => None,
        }
    }
}

/// Whether what was asked for may exist.
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostError::Cpus(error) => write!(f, "how many CPUs there may be is not known: {error}"),
            HostError::Pattern(text) => write!(f, "--filter-func is no regular expression: {text}"),
            HostError::Btf(error @ LoadError::Missing(_)) => write!(f, "no kernel type information (BTF): {error}"),
            HostError::Btf(error) => error.fmt(f),
            HostError::OtherKernel(path) => {
                write!(f, "{}: these are the types of another kernel", clean::path(path))
            }
            HostError::Netns { path, error } => {
                let what =
                    if is_refusal(error) { "no access to the network namespace" } else { "no network namespace" };
                write!(f, "--filter-netns: {what} at {}: {error}", clean::path(path))
            }
            HostError::Helpers(why) => write!(f, "--filter-track-bpf-helpers: {why}"),
            HostError::NoFunction(name) => {
                write!(f, "--filter-non-skb-funcs: the kernel has no function `{}`", name.escape_debug())
            }
            HostError::IfnameInode => {
                f.write_str("--filter-ifname cannot look into a network namespace that is given as inode:NUMBER")
            }
            HostError::Interface { name, error } => {
                let what = if is_refusal(error) { "no access to the namespace of" } else { "no" };
                write!(f, "--filter-ifname: {what} interface `{}`: {error}", name.escape_debug())
            }
        }
    }
}

impl std::error::Error for HostError {}

impl Host {
    /// Reads what a run with `args` needs, unless `stop` asks for the end before it is there.
    pub fn read(args: &Args, roots: &Roots, stop: Option<&Stop>) -> Result<Host, HostError> {
        let cpus = sys::bpf::possible_cpus().map_err(HostError::Cpus)? as u32;
        Host::with(args, roots, stop, cpus, |btf, own_types| match args.may_use_fentry() && own_types {
            true => Features::try_all(btf, own_types).and_fentry(btf),
            false => Features::try_all(btf, own_types),
        })
    }

    /// As [`Host::read`], but asks the running kernel nothing unless `roots` are its own: `features` says what programs
    /// may do, so that a recorded host is complete. It is told whether the types are the kernel's own.
    pub fn with(
        args: &Args,
        roots: &Roots,
        stop: Option<&Stop>,
        cpus: u32,
        features: impl FnOnce(&Btf, bool) -> Features,
    ) -> Result<Host, HostError> {
        let wanted = Wanted::new(args.filter_func.as_deref()).map_err(|error| HostError::Pattern(error.to_string()))?;
        let release = roots.release();
        let (netns, ifindex) = scope(args, roots)?;
        let (btf, own_types) =
            modules::load_kernel(&roots.sys, args.kernel_btf.as_deref(), &release, stop).map_err(HostError::Btf)?;
        if let Some(file) =
            args.kernel_btf.as_ref().filter(|_| !own_types && modules::is_of_another_kernel(&roots.sys, &btf))
        {
            return Err(HostError::OtherKernel(file.clone()));
        }
        let btf = Arc::new(btf);
        let mut functions = Targets::default();
        let finder = Finder::new(&btf, Arch::HOST);
        let mut missing: Vec<&String> = args.filter_non_skb_funcs.iter().collect();
        let follows = |name: &str| args.filter_track_skb_or_stack() && LIFE.contains(&name);
        functions.find(&btf, &finder, None, |name| wanted.has(name) || follows(name));
        missing.retain(|name| !functions.add(&btf, Arch::HOST, None, name));
        let callees = match args.filter_track_bpf_helpers && roots.is_here() {
            true => Some(helpers(roots)?),
            false => None,
        };
        for name in callees.iter().flat_map(|callees| &callees.names) {
            functions.add(&btf, Arch::HOST, None, name);
        }
        if args.output_bpfmap && args.filter_non_skb_funcs.is_empty() && callees.is_none() {
            for name in MAP_FUNCTIONS {
                functions.add(&btf, Arch::HOST, None, name);
            }
        }
        let mut module_names = match args.all_kmods {
            true => modules::list(&roots.sys).map_err(HostError::Btf)?,
            false => args.kmods.clone(),
        };
        let mut awaited = Vec::new();
        for name in &module_names {
            let module = match modules::load(&roots.sys, name, btf.clone()) {
                Err(error @ LoadError::NotLoaded { .. }) if modules::can_come(roots, name) => {
                    awaited.push(error);
                    continue;
                }
                module => module.map_err(HostError::Btf)?,
            };
            let finder = finder.for_module(&module);
            functions.find(&module, &finder, Some(name.as_str().into()), |name| wanted.has(name));
            missing.retain(|function| !functions.add(&module, Arch::HOST, Some(name.as_str().into()), function));
        }
        if let Some(name) = missing.first() {
            return Err(HostError::NoFunction((*name).clone()));
        }
        module_names.retain(|name| awaited.iter().all(|error| !error.is_about(name)));
        let Located { no_list, no_symbols, first_only } = locate(&mut functions, roots, own_types.then_some(&*btf));
        let followed = functions.functions.iter().filter(|f| f.module.is_none() && follows(&f.name));
        let life = followed.cloned().collect();
        functions.functions.retain(|f| {
            wanted.has(&f.name) || f.skb_arg == 0 || args.filter_non_skb_funcs.iter().any(|name| **name == *f.name)
        });
        let traced = |name: &&String| functions.functions.iter().any(|f| *f.name == ***name);
        let not_traceable = args.filter_non_skb_funcs.iter().filter(|name| !traced(name)).cloned().collect();
        let features = features(&btf, own_types);
        let lockdown = Lockdown::read(&roots.sys);
        Ok(Host {
            release,
            btf,
            own_types,
            features,
            lockdown,
            cpus,
            functions,
            life,
            no_list,
            no_symbols,
            wanted,
            netns,
            ifindex,
            modules: module_names,
            callees,
            not_traceable,
            first_only,
            awaited,
        })
    }
}

impl Host {
    /// The kernel's symbols, for callers and stacks.
    pub fn symbols(&self) -> Result<Symbols, SymbolsError> {
        Source::new(&Roots::default().proc).symbols()
    }

    /// The names of drop reasons (Linux 5.17); empty before.
    pub fn drop_reasons(&self) -> DropReasons {
        let table = |name: &str| -> Vec<(u32, String)> {
            let Ok(reasons) = self.btf.find::<Enum>(name) else { return Vec::new() };
            let pair = |e: Enumerator<'_>| Some((u32::try_from(e.value).ok()?, e.name.to_owned()));
            reasons.values().filter_map(pair).collect()
        };
        let mut reasons = table("skb_drop_reason");
        for subsystem in ["mac80211_drop_reason", "ovs_drop_reason", "qdisc_drop_reason"] {
            reasons.extend(table(subsystem));
        }
        DropReasons { reasons, subsystems: table("skb_drop_reason_subsys") }
    }
}

/// What BPF programs call.
fn helpers(roots: &Roots) -> Result<Callees, HostError> {
    if !cfg!(target_arch = "x86_64") {
        return Err(HostError::Helpers("only code of x86_64 can be read".into()));
    }
    let symbols = Source::new(&roots.proc).symbols().map_err(|error| HostError::Helpers(error.to_string()))?;
    bpf_progs::callees(&symbols).map_err(|error| HostError::Helpers(format!("programs cannot be listed: {error}")))
}

/// How functions were found.
#[derive(Default)]
pub(super) struct Located {
    no_list: Option<ListError>,
    pub(super) no_symbols: Option<SymbolsError>,
    first_only: bool,
}

/// Finds out which functions can be traced and where they are.
///
/// The kernel tells it fastest when a program asks ([`Targets::resolve`]). Else `available_filter_functions_addrs` says
/// both. Without it the list of names and kallsyms are read side by side: the kernel makes both texts up while they are
/// read, which takes it most of a second on a slow machine.
pub(super) fn locate(functions: &mut Targets, roots: &Roots, btf: Option<&Btf>) -> Located {
    let names = functions.names();
    if names.is_empty() {
        return Located::default();
    }
    let readings = [Some(Reading::Helper), btf.and_then(Reading::cast)];
    if roots.is_here() && readings.into_iter().flatten().any(|reading| functions.resolve(reading, Arch::HOST).is_ok()) {
        return Located { first_only: true, ..Located::default() };
    }
    let (no_list, no_symbols) = match functions::open(&roots.sys, List::Addresses) {
        Ok(_) => match functions::read(&roots.sys, &names) {
            Ok(list) => {
                functions.keep_traceable(&names, &list);
                for function in &mut functions.functions {
                    function.addresses.iter_mut().for_each(|address| *address = entry(*address));
                }
                (None, None)
            }
            Err(error) => (Some(error), place(functions, &names, roots)),
        },
        Err(_) => {
            let read = || functions::read(&roots.sys, &names);
            let (list, symbols) = std::thread::scope(|scope| {
                let list = std::thread::Builder::new().spawn_scoped(scope, read);
                let symbols = Source::new(&roots.proc).addresses(&names);
                let list = list.map_err(ListError::NoThread);
                (list.and_then(|thread| thread.join().unwrap_or(Err(ListError::NotMounted))), symbols)
            });
            let no_list = match list {
                Ok(list) => {
                    functions.keep_traceable(&names, &list);
                    None
                }
                Err(error) => Some(error),
            };
            match symbols {
                Ok(symbols) => {
                    functions.place(&names, &symbols);
                    (no_list, None)
                }
                Err(error) => (no_list, Some(error)),
            }
        }
    };
    Located { no_list, no_symbols, first_only: false }
}

/// The entry of the function whose ftrace site is at `address`.
///
/// On x86_64 the site is 4 bytes behind the entry where the function begins with `endbr64`, and cookies are found by
/// the entry (kernel/trace/bpf_trace.c `get_entry_ip`). Since Linux 6.2 functions are aligned to 16 bytes
/// (CONFIG_FUNCTION_ALIGNMENT_16B), so the address tells. Where it is wrong the kernel refuses the address.
fn entry(address: u64) -> u64 {
    if cfg!(target_arch = "x86_64") && address % 16 == 4 { address - 4 } else { address }
}

fn place(functions: &mut Targets, names: &NameSet, roots: &Roots) -> Option<SymbolsError> {
    match Source::new(&roots.proc).addresses(names) {
        Ok(symbols) => {
            functions.place(names, &symbols);
            None
        }
        Err(error) => Some(error),
    }
}

/// The index of an interface of a recorded host.
fn recorded_ifindex(name: &str, roots: &Roots) -> io::Result<u32> {
    let text = std::fs::read_to_string(roots.sys.join("class/net").join(name).join("ifindex"))?;
    text.trim().parse().map_err(io::Error::other)
}

/// The namespace and the interface that packets must be in, as numbers.
fn scope(args: &Args, roots: &Roots) -> Result<(Option<u32>, Option<u32>), HostError> {
    let inode = |path: PathBuf| match netns::inode(&path) {
        Ok(inode) => Ok(inode),
        Err(error) => Err(HostError::Netns { path, error }),
    };
    let netns = match &args.filter_netns {
        Some(NetnsSpec::Inode(inode)) => Some(*inode),
        Some(NetnsSpec::Path(path)) => Some(inode(path.clone())?),
        None => None,
    };
    let Some(name) = &args.filter_ifname else { return Ok((netns, None)) };
    let within = match &args.filter_netns {
        Some(NetnsSpec::Inode(_)) => return Err(HostError::IfnameInode),
        Some(NetnsSpec::Path(path)) => Some(path.as_path()),
        None => None,
    };
    let ifindex = match roots.is_here() {
        true => sys::process::ifindex(name, within),
        false => recorded_ifindex(name, roots),
    };
    let ifindex = ifindex.map_err(|error| HostError::Interface { name: name.clone(), error })?;
    let netns = match netns {
        Some(netns) => netns,
        None => inode(roots.proc.join("self/ns/net"))?,
    };
    Ok((Some(netns), Some(ifindex)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        let denied = || io::Error::from_raw_os_error(libc::EPERM);
        let check = |error: HostError, text: &str, hint: Option<&str>| {
            assert_eq!((error.to_string().as_str(), error.hint()), (text, hint));
        };
        check(HostError::Pattern("no end".into()), "--filter-func is no regular expression: no end", None);
        check(
            HostError::Btf(LoadError::NoTypes("veth".into())),
            "module `veth` comes without types (kernels before 5.11 have none)",
            None,
        );
        check(
            HostError::Helpers(format!("programs cannot be listed: {}", denied())),
            "--filter-track-bpf-helpers: programs cannot be listed: Operation not permitted (os error 1)",
            None,
        );
        check(
            HostError::IfnameInode,
            "--filter-ifname cannot look into a network namespace that is given as inode:NUMBER",
            Some("name the namespace by a path, such as /proc/PID/ns/net or /run/netns/NAME"),
        );
    }
}
