//! Kernel modules and their type information. Since Linux 5.11.

use std::fmt;
use std::fs::DirEntry;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Roots;
use super::packed::{self, PackedError};
use crate::btf::{Btf, BtfError, Composite, closest};
use crate::clean;
use crate::sys::mmap::sysfs_file;
use crate::sys::stop::Stop;

/// Why there is no type information of a module, or of the kernel.
#[derive(Debug)]
pub enum LoadError {
    /// The kernel was built without BTF: there is no such file.
    Missing(PathBuf),
    /// No types of a module that is loaded: the kernel is older than 5.11, or the module was built without.
    NoTypes(String),
    /// No such module.
    NotLoaded {
        /// The name that was asked for.
        name: String,
        /// A module that there is.
        near: Option<String>,
    },
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file is not what it should be.
    Btf(PathBuf, BtfError),
    /// The file that the user names holds no types.
    Packed(PathBuf, PackedError),
    /// The end was asked for while that file was read.
    Stopped,
}

impl LoadError {
    /// Whether the module `name` is not loaded.
    pub(super) fn is_about(&self, module: &str) -> bool {
        matches!(self, LoadError::NotLoaded { name, .. } if name == module)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Missing(path) => write!(f, "there is no {}", clean::path(path)),
            LoadError::NoTypes(name) => {
                let name = clean::clean(name.as_bytes());
                write!(f, "module `{name}` comes without types (kernels before 5.11 have none)")
            }
            LoadError::NotLoaded { name, near } => {
                write!(f, "no module `{}` is loaded", clean::clean(name.as_bytes()))?;
                near.as_ref().map_or(Ok(()), |near| write!(f, "; did you mean `{near}`?"))
            }
            LoadError::Unreadable(path, e) => write!(f, "cannot read {}: {e}", clean::path(path)),
            LoadError::Stopped => f.write_str("stopped while the kernel's types were read"),
            LoadError::Packed(path, e) => write!(f, "{}: {e}", clean::path(path)),
            LoadError::Btf(path, e) => write!(f, "{}: {e}", clean::path(path)),
        }
    }
}

impl std::error::Error for LoadError {}

/// The directory with all type information, under a `/sys`.
fn directory(sys: &Path) -> PathBuf {
    sys.join("kernel/btf")
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => LoadError::Missing(path.to_owned()),
        _ => LoadError::Unreadable(path.to_owned(), e),
    })
}

/// The kernel's own types: from `/sys/kernel/btf/vmlinux`, or from a file that the user names ([`packed`]). And whether
/// they are those of the kernel at `sys`, byte for byte. `stop` ends the wait for a file that is a pipe.
pub fn load_kernel(
    sys: &Path,
    file: Option<&Path>,
    release: &str,
    stop: Option<&Stop>,
) -> Result<(Btf, bool), LoadError> {
    let vmlinux = directory(sys).join("vmlinux");
    let Some(file) = file else {
        let label = format!("/sys/kernel/btf/vmlinux, {release}");
        let btf = match sysfs_file(&vmlinux) {
            Some(mapped) => Btf::parse(mapped, &label),
            None => Btf::parse(read(&vmlinux)?, &label),
        };
        return Ok((btf.map_err(|e| LoadError::Btf(vmlinux, e))?, true));
    };
    let bytes = packed::read(file, stop).map_err(|e| LoadError::Unreadable(file.to_owned(), e))?;
    let bytes = bytes.ok_or(LoadError::Stopped)?;
    let bytes = packed::btf(bytes).map_err(|e| LoadError::Packed(file.to_owned(), e))?;
    let length = std::fs::metadata(&vmlinux).map(|data| data.len());
    let own = length.is_ok_and(|length| length == bytes.len() as u64) && read(&vmlinux).is_ok_and(|own| own == bytes);
    let btf = Btf::parse(bytes, &clean::path(file)).map_err(|e| LoadError::Btf(file.to_owned(), e))?;
    Ok((btf, own))
}

/// Whether the kernel at `sys` has types of its own that lay packets and devices out otherwise than `btf` does. A part of
/// its types, as `whither types export` writes it, does not.
pub fn is_of_another_kernel(sys: &Path, btf: &Btf) -> bool {
    const MEMBERS: [(&str, &str); 9] = [
        ("sk_buff", "head"),
        ("sk_buff", "len"),
        ("sk_buff", "network_header"),
        ("sk_buff", "protocol"),
        ("sk_buff", "mark"),
        ("sk_buff", "dev"),
        ("net_device", "ifindex"),
        ("net_device", "mtu"),
        ("net_device", "nd_net"),
    ];
    let Ok(bytes) = read(&directory(sys).join("vmlinux")) else { return false };
    let Ok(own) = Btf::parse(bytes, "") else { return false };
    let size = |btf: &Btf, name: &str| btf.find::<Composite>(name).ok().map(Composite::size);
    let offset = |btf: &Btf, (name, member): (&str, &str)| btf.path(name, member).ok().map(|path| path.leaf.offset);
    MEMBERS
        .iter()
        .any(|&member| size(&own, member.0) != size(btf, member.0) || offset(&own, member) != offset(btf, member))
}

/// The modules with type information, sorted by name. Empty before Linux 5.11. Fails where they cannot be listed.
pub fn list(sys: &Path) -> Result<Vec<String>, LoadError> {
    Ok(files(sys)?.into_iter().map(|(name, _)| name).collect())
}

/// As [`list`], with the number of each file: a module that is loaded again has another.
pub fn files(sys: &Path) -> Result<Vec<(String, u64)>, LoadError> {
    let read = |directory: &Path| match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.collect::<io::Result<Vec<DirEntry>>>(),
    };
    let directory = directory(sys);
    let entries = read(&directory).map_err(|error| LoadError::Unreadable(directory, error))?;
    let file = |entry: DirEntry| Some((entry.file_name().into_string().ok()?, entry.ino()));
    let mut files: Vec<_> = entries.into_iter().filter_map(file).collect();
    files.retain(|(name, _)| name != "vmlinux");
    files.sort_unstable();
    Ok(files)
}

/// Whether a module called `name` can be loaded and have type information: this kernel has a file for it
/// (`/lib/modules/RELEASE/modules.dep`, depmod(8)), and has types of the modules that are loaded.
pub fn can_come(roots: &Roots, name: &str) -> bool {
    let loaded = std::fs::read(roots.proc.join("modules"));
    let has_types =
        loaded.is_ok_and(|loaded| loaded.is_empty() || list(&roots.sys).is_ok_and(|types| !types.is_empty()));
    let release = roots.release();
    let lists = ["/lib/modules", "/usr/lib/modules"].map(|tree| Path::new(tree).join(&release).join("modules.dep"));
    has_types
        && roots.is_here()
        && lists.iter().find_map(|list| std::fs::read_to_string(list).ok()).is_some_and(|list| is_listed(&list, name))
}

/// Whether a line of `modules.dep` begins with the file of the module: `kernel/net/veth.ko.xz:`. In names of files `-` may
/// stand for `_`.
fn is_listed(list: &str, name: &str) -> bool {
    list.lines().any(|line| {
        let file = line.split(':').next().unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or_default();
        file.split_once(".ko").is_some_and(|(module, _)| module.replace('-', "_") == name)
    })
}

/// The types of a module, on top of the kernel's.
pub fn load(sys: &Path, name: &str, kernel: Arc<Btf>) -> Result<Btf, LoadError> {
    let not_loaded = || {
        let modules = list(sys).unwrap_or_default();
        let near = closest(name, modules.iter().map(String::as_str)).map(str::to_owned);
        LoadError::NotLoaded { name: name.to_owned(), near }
    };
    // A name is one component: `..` and `a/b` are not modules.
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(not_loaded());
    }
    let bytes = read(&directory(sys).join(name)).map_err(|e| match e {
        LoadError::Missing(_) if sys.join("module").join(name).is_dir() => LoadError::NoTypes(name.to_owned()),
        LoadError::Missing(_) => not_loaded(),
        e => e,
    })?;
    let label = format!("/sys/kernel/btf/{name}");
    Btf::parse_split(bytes, &label, kernel).map_err(|e| LoadError::Btf(directory(sys).join(name), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_modules_are_found() {
        let list = "kernel/net/veth.ko.xz:\nkernel/drivers/net/dummy.ko:\nextra/nf-tables.ko.zst: kernel/a/b.ko.zst\n";
        for name in ["veth", "dummy", "nf_tables"] {
            assert!(is_listed(list, name), "{name}");
        }
        for name in ["vet", "net", "b", "nf-tables", "", "ko"] {
            assert!(!is_listed(list, name), "{name}");
        }
    }
}
