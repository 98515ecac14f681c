//! Network namespaces: inode numbers, which is what the kernel's `ns.inum` holds, and names.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns {
    /// Its inode number on nsfs, `ns.inum` in the kernel.
    pub inode: u32,
    /// A file that stands for it, to enter it with.
    pub path: PathBuf,
    /// The names that `ip netns` gives it.
    pub names: Vec<String>,
}

/// The number in `net:[4026531840]`, the text of the links in `/proc/PID/ns`.
pub fn parse_link(text: &str) -> Option<u32> {
    text.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// The inode of the namespace that `path` stands for: a link in `/proc/PID/ns` or a file in `/run/netns`.
pub fn inode(path: &Path) -> io::Result<u32> {
    let other = || io::Error::new(io::ErrorKind::InvalidInput, "it is something else");
    // Links of recorded hosts point nowhere, those of living ones are followed.
    if let Some(target) = std::fs::read_link(path).ok().as_deref().and_then(Path::to_str) {
        match parse_link(target) {
            Some(inode) => return Ok(inode),
            // `mnt:[...]`, say.
            None if target.ends_with(']') => return Err(other()),
            None => {}
        }
    }
    let file = std::fs::metadata(path)?;
    // All namespaces are files of one file system, nsfs.
    match std::fs::metadata("/proc/self/ns/net") {
        Ok(ours) if ours.dev() != file.dev() => Err(other()),
        _ => u32::try_from(file.ino()).map_err(|_| other()),
    }
}

/// The namespace of this process.
pub fn current(proc: &Path) -> io::Result<u32> {
    inode(&proc.join("self/ns/net"))
}

/// All namespaces that a process is in or that have a name, sorted by inode.
///
/// Those that are held only by a socket or an open file are not found. Processes that end meanwhile are passed over.
pub fn all(proc: &Path, run: &Path) -> Vec<Netns> {
    let processes = entries(proc).filter(|(name, _)| name.bytes().all(|b| b.is_ascii_digit()));
    let processes = processes.map(|(_, path)| (None, path.join("ns/net")));
    let named = entries(&run.join("netns")).map(|(name, path)| (Some(name), path));
    collect(named.chain(processes).filter_map(|(name, path)| Some((inode(&path).ok()?, name, path))))
}

fn entries(directory: &Path) -> impl Iterator<Item = (String, PathBuf)> + use<> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut entries: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().into_string().ok()?, entry.path()))
        })
        .collect();
    // Shorter numbers first: the oldest process stands for its namespace.
    entries.sort_unstable_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    entries.into_iter()
}

/// One [`Netns`] per inode, with all its names; the first path stands for it.
fn collect(seen: impl Iterator<Item = (u32, Option<String>, PathBuf)>) -> Vec<Netns> {
    let mut all: BTreeMap<u32, Netns> = BTreeMap::new();
    for (inode, name, path) in seen {
        let netns = all.entry(inode).or_insert_with(|| Netns { inode, path, names: Vec::new() });
        netns.names.extend(name);
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        assert_eq!(parse_link("net:[4026531840]"), Some(4_026_531_840));
        for text in ["", "net:[]", "mnt:[4026531840]", "net:[4026531840", "net:[99999999999]", "net:[-1]"] {
            assert_eq!(parse_link(text), None, "{text}");
        }
    }

    #[test]
    fn namespaces_of_a_recorded_host() {
        let directory = std::env::temp_dir().join(format!("whither-netns-{}", std::process::id()));
        let (proc, run) = (directory.join("proc"), directory.join("run"));
        let links = [("1", 4_026_531_840u32), ("10", 4_026_532_500), ("9", 4_026_532_500), ("self", 4_026_531_840)];
        for (process, inode) in links {
            std::fs::create_dir_all(proc.join(process).join("ns")).unwrap();
            let link = proc.join(process).join("ns/net");
            std::os::unix::fs::symlink(format!("net:[{inode}]"), link).unwrap();
        }
        assert_eq!(current(&proc).unwrap(), 4_026_531_840);
        let found = all(&proc, &run);
        let text: Vec<_> =
            found.iter().map(|n| (n.inode, n.path.strip_prefix(&proc).unwrap().to_str().unwrap())).collect();
        assert_eq!(text, [(4_026_531_840, "1/ns/net"), (4_026_532_500, "9/ns/net")]);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn names_of_namespaces() {
        let seen = [
            (7, Some("blue".to_owned()), "/run/netns/blue".into()),
            (7, Some("azure".to_owned()), "/run/netns/azure".into()),
            (7, None, "/proc/1/ns/net".into()),
            (3, None, "/proc/2/ns/net".into()),
        ];
        let found = collect(seen.into_iter());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], Netns { inode: 3, path: "/proc/2/ns/net".into(), names: vec![] });
        assert_eq!(found[1].names, ["blue", "azure"]);
        assert_eq!(found[1].path, Path::new("/run/netns/blue"));
    }
}
