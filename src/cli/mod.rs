//! The command line: what was typed, as a type. Nothing is looked up; see [`Args`].
//!
//! The rules are those of pwru (Go's pflag): `--name value` and `--name=value`, booleans take a value only after
//! `=`, an option takes the next word whatever it looks like, the last of several wins, lists append, options and
//! words of the packet expression may be mixed, `--` ends the options.

mod args;
mod doctor;
mod filter;
mod funcs;
mod help;
mod misuse;
mod types;
mod values;

use std::ffi::OsString;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches};

use crate::clean;
pub use args::Args;
pub use doctor::DoctorArgs;
pub use filter::FilterArgs;
pub use funcs::FuncsArgs;
pub use misuse::Misuse;
pub use types::TypesArgs;
pub use values::{Backend, BadValue, Dump, Emit, EventBuffer, LinkType, Mark, Maybe, NetnsSpec, Timestamp};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Trace packets.
    Trace(Box<Args>),
    /// `whither filter`: compile, print and try packet expressions; needs neither root nor a kernel.
    Filter(Box<FilterArgs>),
    /// `whither doctor`: try what this host can do.
    Doctor(DoctorArgs),
    /// `whither funcs`: list the functions that a run with these flags would trace.
    Funcs(Box<Args>),
    /// `whither types export`: cut the types that a run uses out of a kernel's.
    Types(TypesArgs),
    /// Print this text on standard error and exit with 0, as pwru does.
    Help(String),
    /// Print this line on standard output and exit with 0.
    Version(String),
}

/// Reads the command line; `argv[0]` is the name of the program.
///
/// A first word that names a subcommand selects it. Every subcommand is named so that no packet expression starts
/// with its name.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Command, Misuse> {
    let argv: Vec<OsString> = argv.into_iter().collect();
    let program = program_name(&argv);
    if argv.get(1).is_some_and(|word| word == "filter") {
        return parse_filter(&argv[1..], &format!("{program} filter"));
    }
    if argv.get(1).is_some_and(|word| word == "doctor") {
        return parse_doctor(&argv[1..], &format!("{program} doctor"));
    }
    if argv.get(1).is_some_and(|word| word == "funcs") {
        return parse_funcs(&argv[1..], &format!("{program} funcs"));
    }
    if argv.get(1).is_some_and(|word| word == "types") {
        return parse_types(&argv[1..], &format!("{program} types export"));
    }
    let (mut args, matches) = read::<Args>(&argv, &program)?;
    if args.help {
        return Ok(Command::Help(help::text(&command::<Args>(), &program) + help::COMMANDS));
    }
    if args.version {
        return Ok(Command::Version(help::version(&program)));
    }
    args.given = given(&matches);
    args.expression = args.words.join(" ");
    for list in
        [&mut args.kmods, &mut args.filter_non_skb_funcs, &mut args.output_skb_metadata, &mut args.output_xdp_metadata]
    {
        *list = list.iter().flat_map(|items| values::list(items).unwrap_or_default()).collect();
    }
    args.netns_names_max_length = args.netns_names_max_length.max(10);
    args.filter_track_skb_by_stackid |=
        args.filter_track_bpf_helpers || args.output_bpfmap || !args.filter_non_skb_funcs.is_empty();
    Ok(Command::Trace(Box::new(args)))
}

/// Everything that can be typed, for the manual page and for completions in shells.
pub fn definition() -> clap::Command {
    let filter = command::<FilterArgs>().name("filter").about("Compile, print and try packet expressions");
    let types = command::<TypesArgs>().name("types").about("Export the part of the kernel's types that a run uses");
    let doctor = command::<DoctorArgs>().name("doctor").about("Try what this host can do");
    let funcs = command::<FuncsArgs>().name("funcs").about("List the functions that would be traced");
    let command =
        command::<Args>().about("Traces packets through the Linux kernel").subcommands([filter, doctor, funcs, types]);
    // clap would add one where a build that has more of its features, as that of the whole workspace does, knows how.
    let command = command.disable_help_subcommand(true);
    command.mut_args(|arg| {
        let is_toggle = help::is_toggle(&arg);
        let hide = help::default(&arg).is_none();
        let arg = arg.hide_default_value(hide);
        if is_toggle { arg.value_name("true|false") } else { arg }
    })
}

fn parse_doctor(argv: &[OsString], program: &str) -> Result<Command, Misuse> {
    let (args, _) = read::<DoctorArgs>(argv, program)?;
    if args.help {
        return Ok(Command::Help(help::usage(&command::<DoctorArgs>(), &format!("{program} [options]"))));
    }
    Ok(Command::Doctor(args))
}

fn parse_types(argv: &[OsString], program: &str) -> Result<Command, Misuse> {
    let (mut args, _) = read::<TypesArgs>(argv, program)?;
    if args.help {
        return Ok(Command::Help(help::usage(&command::<TypesArgs>(), &format!("{program} [options] [NAME...]"))));
    }
    if args.names.first().is_none_or(|word| word != "export") {
        return Err(Misuse::unknown_task(program));
    }
    args.names.remove(0);
    Ok(Command::Types(args))
}

fn parse_filter(argv: &[OsString], program: &str) -> Result<Command, Misuse> {
    let (mut args, _) = read::<FilterArgs>(argv, program)?;
    if args.help {
        return Ok(Command::Help(help::text(&command::<FilterArgs>(), program)));
    }
    args.expression = args.words.join(" ");
    Ok(Command::Filter(Box::new(args)))
}

fn parse_funcs(argv: &[OsString], program: &str) -> Result<Command, Misuse> {
    let (typed, _) = read::<FuncsArgs>(argv, program)?;
    if typed.help {
        return Ok(Command::Help(help::usage(&command::<FuncsArgs>(), &format!("{program} [options] [REGEX]"))));
    }
    let (mut args, _) = read::<Args>(&argv[..1], program)?;
    args.filter_func = typed.pattern.filter(|pattern| !pattern.is_empty());
    args.kmods = typed.kmods.iter().flat_map(|items| values::list(items).unwrap_or_default()).collect();
    args.all_kmods = typed.all_kmods;
    args.backend = typed.backend;
    args.kernel_btf = typed.kernel_btf;
    Ok(Command::Funcs(Box::new(args)))
}

/// Parses `argv` by the flags of `A`.
fn read<A: CommandFactory + FromArgMatches>(argv: &[OsString], program: &str) -> Result<(A, ArgMatches), Misuse> {
    let mut command = command::<A>();
    let parsed = command.try_get_matches_from_mut(argv);
    let parsed = parsed.and_then(|matches| A::from_arg_matches(&matches).map(|args| (args, matches)));
    parsed.map_err(|error| Misuse::new(&error, &command, program))
}

/// The flags of `A`, with pflag's rules for values.
fn command<A: CommandFactory>() -> clap::Command {
    A::command().mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => {
            let on = arg.get_default_values().first().is_some_and(|value| value == "true");
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value(if on { "true" } else { "false" })
                .value_parser(values::boolean)
        }
        _ if arg.is_positional() => arg,
        _ => arg.allow_hyphen_values(true),
    })
}

/// The flags that were given a value other than their default.
fn given(matches: &ArgMatches) -> Vec<String> {
    let mut names = Vec::new();
    for arg in command::<Args>().get_arguments() {
        let id = arg.get_id().as_str();
        if arg.is_positional() || matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let default = arg.get_default_values().first();
        let is_default = match matches.try_get_one::<bool>(id) {
            Ok(value) => value == default.map(|word| word == "true").as_ref(),
            Err(_) => {
                let mut typed = matches.get_raw(id).into_iter().flatten();
                typed.all(|word| word.is_empty() || default.is_some_and(|default| default.as_os_str() == word))
            }
        };
        if !is_default {
            names.extend(arg.get_long().map(|name| format!("--{name}")));
        }
    }
    names
}

fn program_name(argv: &[OsString]) -> String {
    let name = argv.first().and_then(|path| Path::new(path).file_name());
    name.map_or_else(|| "whither".into(), |name| clean::clean(name.as_encoded_bytes()).into_owned())
}
