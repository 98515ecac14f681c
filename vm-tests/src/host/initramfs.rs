//! The guest's root: a base per kernel that is made once, and an overlay per run with the agent, `whither`, the job and
//! files from the machine. The kernel unpacks one after the other.

use std::fs;
use std::path::{Path, PathBuf};

use super::binaries::Binaries;
use super::cache::Cache;
use super::cpio::Archive;
use super::kernels::Ready;
use crate::error::{Context, Result};
use crate::protocol::{FILES, JOB, Job};

/// Changes whenever the code below produces something else.
const FORMAT: u32 = 2;

/// Makes the base for `kernel` with the programs of `tools`; returns the path of the archive.
pub fn base(cache: &Cache, kernel: &Ready, tools: &Path) -> Result<PathBuf> {
    // Both directories are named after what they were made from.
    let recipe = format!("{FORMAT} {} {}", kernel.directory.display(), tools.display());
    let made = cache.directory(&format!("base-{}", kernel.name), &recipe, |to| {
        let mut archive = Archive::default();
        for directory in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "usr/lib", "var"] {
            archive.directory(directory);
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            archive.link(link, &format!("usr/{link}"));
        }
        archive.device("dev/console", 5, 1);
        archive.device("dev/null", 1, 3);
        archive.file("etc/passwd", 0o644, b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n");
        archive.file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");
        archive.file("etc/hosts", 0o644, b"127.0.0.1 localhost\n::1 localhost\n");
        archive.tree("", tools)?;
        // The kernel runs /sbin/modprobe when a device, a table or a protocol is asked for by name.
        archive.link("usr/sbin/modprobe", "../bin/busybox");
        // The shell of busybox runs its own applets before the programs in PATH.
        archive.link("usr/bin/sh", "dash");
        for name in ["iptables", "ip6tables"] {
            archive.link(&format!("usr/sbin/{name}"), &format!("{name}-nft"));
        }
        archive.tree(&format!("usr/lib/modules/{}", kernel.release), &kernel.directory.join("modules"))?;
        archive.file("boot/config", 0o644, &fs::read(kernel.directory.join("config"))?);
        Ok(fs::write(to.join("base.cpio"), archive.finish())?)
    })?;
    Ok(made.join("base.cpio"))
}

/// A file of the machine for the guest: `from` here, `to` there.
#[derive(Debug, Clone)]
pub struct Extra {
    /// The path on this machine.
    pub from: PathBuf,
    /// The absolute path in the guest.
    pub to: String,
}

impl Extra {
    /// Reads `HOST:GUEST`; without `:GUEST` the file goes to [`FILES`] under its own name, executable as it is here.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((from, to)) => Self { from: from.into(), to: to.to_owned() },
            None => {
                let from = PathBuf::from(text);
                let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Self { from, to: format!("{FILES}/{name}") }
            }
        }
    }
}

/// Writes the image of one run to `image`: `base`, then the overlay.
pub fn image(image: &Path, base: &Path, binaries: &Binaries, job: &Job, extras: &[Extra]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut overlay = Archive::default();
    overlay.directory(FILES);
    overlay.file("init", 0o755, &fs::read(&binaries.agent).context(binaries.agent.display())?);
    if let Some(whither) = &binaries.whither {
        overlay.file("usr/bin/whither", 0o755, &fs::read(whither).context(whither.display())?);
    }
    overlay.file(JOB.trim_start_matches('/'), 0o644, &serde_json::to_vec(job)?);
    for extra in extras {
        let path = extra.to.trim_start_matches('/');
        if extra.from.is_dir() {
            overlay.directory(path);
            overlay.tree(path, &extra.from)?;
        } else {
            let content = fs::read(&extra.from).context(extra.from.display())?;
            overlay.file(path, fs::metadata(&extra.from)?.permissions().mode() & 0o7777, &content);
        }
    }
    fs::copy(base, image).context(base.display())?;
    let mut file = fs::OpenOptions::new().append(true).open(image)?;
    Ok(std::io::Write::write_all(&mut file, &overlay.finish())?)
}
