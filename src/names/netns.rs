//! Names of network namespaces, from `/run/netns`, where `ip netns` puts them.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::clean::clean;

/// The directory is read again when an answer is older than this.
const MAX_AGE_MS: u64 = 5000;

/// The directory is read again for an unknown namespace at most this often.
const RETRY_MS: u64 = 200;

/// Namespaces by inode number.
#[derive(Debug)]
pub struct NetnsNames {
    dir: PathBuf,
    names: HashMap<u32, Box<str>>,
    read_ms: Option<u64>,
    now_ms: u64,
}

impl NetnsNames {
    /// The namespaces that have a file in `dir`, which is `/run/netns` but in tests. Nothing is read yet.
    pub fn new(dir: impl Into<PathBuf>) -> NetnsNames {
        NetnsNames { dir: dir.into(), names: HashMap::new(), read_ms: None, now_ms: 0 }
    }

    /// These names and no others.
    pub fn fixed(names: impl IntoIterator<Item = (u32, String)>) -> NetnsNames {
        let names = names.into_iter().map(|(inode, name)| (inode, name.into())).collect();
        NetnsNames { dir: PathBuf::new(), names, read_ms: Some(u64::MAX), now_ms: 0 }
    }

    /// Tells what time it is, in milliseconds from any start.
    pub fn tick(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// The name of the namespace with this inode number.
    pub fn get(&mut self, inode: u32) -> Option<&str> {
        let age = self.read_ms.map(|at| self.now_ms.saturating_sub(at));
        let limit = if self.names.contains_key(&inode) { MAX_AGE_MS } else { RETRY_MS };
        if age.is_none_or(|age| age >= limit) {
            self.read();
        }
        self.names.get(&inode).map(|name| &**name)
    }

    fn read(&mut self) {
        self.read_ms = Some(self.now_ms);
        self.names.clear();
        // No directory, no names: nobody has used `ip netns` here.
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if let Ok(file) = fs::metadata(entry.path()) {
                let name = clean(entry.file_name().as_bytes()).into_owned();
                self.names.insert(file.ino() as u32, name.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_found() {
        let dir = std::env::temp_dir().join(format!("whither-netns-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let mut names = NetnsNames::new(&dir);
        assert_eq!(names.get(1), None);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("blue"), "").unwrap();
        let inode = fs::metadata(dir.join("blue")).unwrap().ino() as u32;
        assert_eq!(names.get(inode), None, "it was read just now");
        names.tick(RETRY_MS);
        assert_eq!(names.get(inode), Some("blue"));
        fs::rename(dir.join("blue"), dir.join("red")).unwrap();
        names.tick(RETRY_MS * 2);
        assert_eq!(names.get(inode), Some("blue"));
        names.tick(RETRY_MS + MAX_AGE_MS);
        assert_eq!(names.get(inode), Some("red"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
