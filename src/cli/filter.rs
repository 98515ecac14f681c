//! `whither filter`: the flags of the filter compiler as a command.

use std::path::PathBuf;

use clap::Parser;

use super::values::{Emit, LinkType, Maybe, file, maybe};

/// The command line of `whither filter [options] [EXPR]`.
#[derive(Clone, Debug, Parser)]
#[command(name = "whither filter", disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
pub struct FilterArgs {
    #[arg(value_name = "pcap-filter")]
    pub(super) words: Vec<String>,

    /// The packet expression: all words that belong to no flag, joined by one space.
    #[arg(skip)]
    pub expression: String,

    /// what a packet starts with: EN10MB (Ethernet) or RAW (IP)
    #[arg(long, value_name = "NAME", default_value = "EN10MB", help_heading = "Options")]
    pub link_type: LinkType,

    /// print the filter as cbpf (numbers), listing, ebpf or graph
    #[arg(long, value_name = "FORM", value_parser = maybe::<Emit>, default_value = "", help_heading = "Options")]
    pub emit: Maybe<Emit>,

    /// read expressions from standard input, one per line
    #[arg(long, help_heading = "Options")]
    pub batch: bool,

    /// print the numbers of the packets of this capture file (pcap, pcapng) that match
    #[arg(short = 'r', long, value_name = "FILE", value_parser = file(), default_value = "", help_heading = "Options")]
    pub pcap: Maybe<PathBuf>,

    /// print this and end
    #[arg(short, long, help_heading = "Options")]
    pub(super) help: bool,
}
