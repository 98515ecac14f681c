//! `--help` and `--version`.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

/// Where the comments of the flags start.
const COLUMN: usize = 36;

/// What else can be asked for, below the flags.
pub(super) const COMMANDS: &str = "
Commands
  filter [options] [pcap-filter]       compile, print and try packet expressions; needs no kernel: see filter --help
  doctor [--json]                      try what this host can do, and say what stands in the way of the rest
  funcs [options] [REGEX]              the functions that would be traced, and why others not: see funcs --help
  types export [-o FILE] [NAME...]     the part of this kernel's types that a run uses, for --kernel-btf elsewhere
";

/// Usage, then the flags in groups, one line each; hidden ones are left out.
pub(super) fn text(command: &Command, program: &str) -> String {
    usage(
        command,
        &format!(
            "{program} [options] [pcap-filter]\n    Available pcap-filter: see \"man 7 pcap-filter\"\n    Available options:"
        ),
    )
}

/// As [`text`], below a usage line of its own.
pub(super) fn usage(command: &Command, usage: &str) -> String {
    let mut text = format!("Usage: {usage}\n");
    let mut groups: Vec<(&str, String)> = Vec::new();
    for arg in command.get_arguments() {
        let Some(heading) = arg.get_help_heading().filter(|_| !arg.is_hide_set()) else { continue };
        if groups.last().is_none_or(|(last, _)| *last != heading) {
            groups.push((heading, String::new()));
        }
        if let Some((_, lines)) = groups.last_mut() {
            line(lines, arg);
        }
    }
    for (heading, lines) in groups {
        let _ = write!(text, "\n{heading}\n{lines}");
    }
    text
}

/// `      --name VALUE      what it does (default X)`
fn line(out: &mut String, arg: &Arg) {
    let short = arg.get_short().map_or("    ".into(), |short| format!("-{short}, "));
    let mut left = format!("  {short}--{}", arg.get_long().unwrap_or_default());
    if let Some(name) = arg.get_value_names().and_then(|names| names.first()).filter(|_| !is_toggle(arg)) {
        let _ = write!(left, " {name}");
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let _ = write!(out, "{left:COLUMN$} {help}");
    match default(arg).as_deref() {
        None => {}
        Some("true") => out.push_str(" (on; off with =false)"),
        Some(other) => {
            let _ = write!(out, " (default {other})");
        }
    }
    out.push('\n');
}

/// Whether `arg` is a boolean, which takes a value only after `=`.
pub(super) fn is_toggle(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set) && arg.get_num_args().is_some_and(|n| n.min_values() == 0)
}

/// The default of `arg`, if it is worth a word: not for what is off or empty.
pub(super) fn default(arg: &Arg) -> Option<String> {
    let default = arg.get_default_values().first()?.to_string_lossy();
    (!matches!(default.as_ref(), "" | "false" | "0" | "0/0" | "none")).then(|| default.into_owned())
}

/// `whither VERSION (COMMIT, TARGET)`, or with pwru's name if it was started by that name.
///
/// The commit comes from `packaging/commit.rs`.
pub(super) fn version(program: &str) -> String {
    let name = if program == "pwru" { "pwru" } else { "whither" };
    let commit = option_env!("WHITHER_COMMIT").unwrap_or("unknown commit");
    let abi = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!(
        "{name} {} ({commit}, {}-{}-{abi})",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS
    )
}
