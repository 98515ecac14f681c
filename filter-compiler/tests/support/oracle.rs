//! What libpcap makes of an expression, by way of the installed tcpdump.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use filter_compiler::cbpf::Program;

use super::packets::Link;

/// What tells the developer how to get the oracle.
pub const INSTALL: &str = "the differential tests compare with libpcap through tcpdump, which did not start: \
                           apt-get install tcpdump (or set WHITHER_NO_ORACLE=1 to leave them out)";

/// Whether tests were asked to do without libpcap.
pub fn is_left_out() -> bool {
    std::env::var_os("WHITHER_NO_ORACLE").is_some()
}

/// libpcap asks the system for these; we have those that everybody uses built in.
const NAMES: [&str; 2] = ["/etc/services", "/etc/protocols"];

/// The version line of the installed libpcap; `None` if the tests were asked to do without.
///
/// Panics with the command to install what is missing: a silent skip would hide that nothing was compared.
pub fn version() -> Option<&'static str> {
    static VERSION: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        if is_left_out() {
            return None;
        }
        let output = Command::new("tcpdump").arg("--version").output().expect(INSTALL);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        for file in NAMES {
            assert!(
                Path::new(file).exists(),
                "libpcap knows no names of ports without {file}: apt-get install netbase"
            );
        }
        let line = text.lines().find(|line| line.contains("libpcap")).expect("tcpdump --version names libpcap");
        Some(line.to_owned())
    };
    VERSION.get_or_init(read).as_deref()
}

/// libpcap's program for `expression`, or its message. `optimise` is tcpdump's default.
pub fn compile(expression: &str, link: Link, optimise: bool) -> Result<Program, String> {
    let link = match link {
        Link::Ethernet => "EN10MB",
        Link::Raw => "RAW",
    };
    let mut command = Command::new("tcpdump");
    command.args(["-ddd", "-y", link, "-s", "262144"]);
    if !optimise {
        command.arg("-O");
    }
    let output = command.arg("--").arg(expression).output().expect(INSTALL);
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let message = text.lines().find_map(|line| line.strip_prefix("tcpdump: ")).unwrap_or("no message");
        return Err(message.to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.parse().unwrap_or_else(|error| panic!("tcpdump -ddd {expression:?}: {error}")))
}

/// The bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
