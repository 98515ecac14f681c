//! Packages of any Debian suite, fetched with the machine's own apt and mirror, but with lists, sources and cache of our
//! own: nothing on the machine changes.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::arch::{self, Arch};
use super::{output, program};
use crate::error::{Context, Error, Result};
use crate::matrix::matches;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Suites that only Debian has, so that the address of one is the address of all.
const SUITES: &[&str] = &[
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "sid",
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
];

/// One suite, with its package lists read.
pub struct Suite {
    name: String,
    arch: &'static Arch,
    directory: PathBuf,
}

impl Suite {
    /// Fetches the package lists of `suite` into `directory`.
    pub fn open(suite: &str, directory: &Path) -> Result<Self> {
        let arch = arch::chosen()?;
        let opened = Self { name: suite.to_owned(), arch, directory: directory.join(arch.debian).join(suite) };
        for needed in ["lists/partial", "archives/partial", "state"] {
            fs::create_dir_all(opened.directory.join(needed))?;
        }
        fs::write(opened.directory.join("status"), "")?;
        let trusted = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        fs::write(opened.directory.join("sources.list"), format!("deb {trusted}{} {suite} main\n", mirror()?))?;
        fs::write(opened.directory.join("apt.conf"), opened.configuration())?;
        output(opened.command("apt-get")?.args(["-q", "update"])).context(format!("package lists of {suite}"))?;
        Ok(opened)
    }

    /// The newest package that the first pattern with any match gives, and which pattern that was.
    pub fn newest(&self, patterns: &[String]) -> Result<(String, usize)> {
        let listed = output(self.command("apt-cache")?.args(["pkgnames", "linux-image-"]))?;
        let listed = String::from_utf8_lossy(&listed);
        for (rank, pattern) in patterns.iter().enumerate() {
            let found = listed.lines().filter(|name| matches(pattern, name)).max_by(|a, b| natural(a, b));
            if let Some(name) = found {
                return Ok((name.to_owned(), rank));
            }
        }
        Err(Error::new(format!("suite {} has none of {}", self.name, patterns.join(", "))))
    }

    /// `package` and those of its dependencies whose names start with one of `prefixes`.
    pub fn with_parts(&self, package: &str, prefixes: &[&str]) -> Result<Vec<String>> {
        let shown = output(self.command("apt-cache")?.args(["depends", "--important", package]))?;
        let shown = String::from_utf8_lossy(&shown);
        let parts = shown
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)));
        Ok(std::iter::once(package).chain(parts).map(str::to_owned).collect())
    }

    /// Unpacks `packages` into `root`.
    pub fn unpack(&self, packages: &[String], root: &Path) -> Result<()> {
        let archives = self.directory.join("archives");
        fs::create_dir_all(root)?;
        output(self.command("apt-get")?.current_dir(&archives).args(["-q", "download"]).args(packages))
            .context(format!("packages of {}", self.name))?;
        for entry in fs::read_dir(&archives)? {
            let archive = entry?.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                output(program("dpkg-deb", "dpkg")?.arg("-x").arg(&archive).arg(root))?;
                fs::remove_file(&archive)?;
            }
        }
        Ok(())
    }

    fn command(&self, name: &str) -> Result<Command> {
        let mut command = program(name, "apt")?;
        command.arg("-c").arg(self.directory.join("apt.conf"));
        Ok(command)
    }

    /// Read after the machine's own configuration, whose proxies stay in force and whose hooks do not. Lists must be signed,
    /// but may be old: those of sid are good for a week, and a mirror can be further behind than that.
    fn configuration(&self) -> String {
        let (at, arch) = (self.directory.display(), self.arch.debian);
        format!(
            r#"Dir::Etc::sourcelist "{at}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Dir::State "{at}/state";
Dir::State::lists "{at}/lists";
Dir::State::status "{at}/status";
Dir::Cache "{at}";
Dir::Cache::archives "{at}/archives";
APT::Architecture "{arch}";
APT::Sandbox::User "root";
Acquire::Check-Date "false";
Acquire::Check-Valid-Until "false";
Acquire::Retries "3";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"#
        )
    }
}

/// The address of a Debian mirror: `WHITHER_VM_MIRROR`, else what the machine's apt uses.
fn mirror() -> Result<String> {
    if let Ok(given) = std::env::var("WHITHER_VM_MIRROR") {
        return Ok(given);
    }
    let hint = "set WHITHER_VM_MIRROR to the address of a Debian mirror, or WHITHER_VM_KERNELS to unpacked kernels";
    let targets = output(program("apt-get", "apt")?.args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]))
    .map_err(|error| error.hint(hint))?;
    String::from_utf8_lossy(&targets)
        .lines()
        .filter_map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().ok())
        .find(|[_, release, component]: &[&str; 3]| SUITES.contains(release) && *component == "main")
        .map(|[address, ..]| address.to_owned())
        .ok_or_else(|| Error::new("apt of this machine names no Debian mirror").hint(hint))
}

/// Compares names with the numbers in them taken as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    let number = |text: &mut &[u8]| {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (value, rest) = text.split_at(digits);
        *text = rest;
        value.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    };
    loop {
        let order = match (a.first(), b.first()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => number(&mut a).cmp(&number(&mut b)),
            (Some(x), Some(y)) => {
                let order = x.cmp(y);
                (a, b) = (&a[1..], &b[1..]);
                order
            }
            (x, y) => return x.is_some().cmp(&y.is_some()),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::natural;
    use std::cmp::Ordering;

    #[test]
    fn numbers_count_as_numbers() {
        assert_eq!(natural("linux-image-6.12.94+deb13", "linux-image-6.12.107+deb13"), Ordering::Less);
        assert_eq!(natural("a-9", "a-10"), Ordering::Less);
        assert_eq!(natural("a-10", "a-10"), Ordering::Equal);
        assert_eq!(natural("a-10b", "a-10"), Ordering::Greater);
    }
}
