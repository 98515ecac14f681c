//! The processor of the guests: this machine's, or another one that QEMU emulates.

use crate::error::{Error, Result};

/// What depends on the processor.
#[derive(Debug)]
pub struct Arch {
    /// Debian's name.
    pub debian: &'static str,
    /// The directory of Debian's libraries, under `usr/lib`.
    pub triplet: &'static str,
    /// The loader of shared libraries.
    pub loader: &'static str,
    /// What the guest's own programs are built for.
    pub target: &'static str,
    /// How cargo builds whither for it, statically.
    pub build: &'static [&'static str],
    /// QEMU's program, and the package that has it.
    pub qemu: [&'static str; 2],
    /// The processor that is emulated.
    pub cpu: &'static str,
    /// What QEMU is told of the machine.
    pub machine: &'static [&'static str],
    /// The second serial port, for reports: the device, if the machine lacks one.
    pub port: &'static [&'static str],
    /// What the kernel is told of the console and the clock.
    pub append: &'static str,
}

const ARCHES: [Arch; 2] = [
    Arch {
        debian: "amd64",
        triplet: "x86_64-linux-gnu",
        loader: "usr/lib64/ld-linux-x86-64.so.2",
        target: "x86_64-unknown-linux-gnu",
        build: &["static"],
        qemu: ["qemu-system-x86_64", "qemu-system-x86"],
        cpu: "max",
        machine: &[],
        port: &["-serial", "chardev:reports"],
        // A triple fault is the quickest way out. The guest's clock under emulation upsets the TSC watchdog.
        append: "console=ttyS0 reboot=t tsc=reliable",
    },
    Arch {
        debian: "arm64",
        triplet: "aarch64-linux-gnu",
        loader: "usr/lib/ld-linux-aarch64.so.1",
        target: "aarch64-unknown-linux-musl",
        build: &["build", "--release", "--target", "aarch64-unknown-linux-musl"],
        qemu: ["qemu-system-aarch64", "qemu-system-arm"],
        cpu: "neoverse-n1",
        machine: &["-machine", "virt,gic-version=3"],
        port: &["-device", "pci-serial,chardev=reports"],
        append: "console=ttyAMA0",
    },
];

impl Arch {
    /// Whether every case must run on it.
    pub fn is_usual(&self) -> bool {
        self.debian == ARCHES[0].debian
    }
}

/// The one that `WHITHER_VM_ARCH` names, by Debian's name; else amd64.
pub fn chosen() -> Result<&'static Arch> {
    let name = std::env::var("WHITHER_VM_ARCH").unwrap_or_else(|_| ARCHES[0].debian.to_owned());
    ARCHES.iter().find(|arch| arch.debian == name).ok_or_else(|| {
        let known = ARCHES.map(|arch| arch.debian).join(", ");
        Error::new(format!("WHITHER_VM_ARCH is `{name}`, which guests cannot have"))
            .hint(format!("they can have {known}"))
    })
}
