//! Where fetched and built things stay: `WHITHER_VM_CACHE`, else `vm/` in the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// The cache, locked against other processes until it is dropped.
pub struct Cache {
    root: PathBuf,
    _lock: File,
}

impl Cache {
    /// Opens the cache; waits while another process fills it.
    pub fn open() -> Result<Self> {
        let root = std::env::var_os("WHITHER_VM_CACHE").map_or_else(|| target().join("vm"), PathBuf::from);
        fs::create_dir_all(&root).context(root.display())?;
        let root = fs::canonicalize(&root)?;
        let lock = File::create(root.join("lock"))?;
        lock.lock().context("the cache's lock")?;
        Ok(Self { root, _lock: lock })
    }

    /// A path in the cache.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A directory that `fill` makes once for each `recipe`; it does not exist half filled. Branches with different
    /// recipes can share a cache.
    pub fn directory(&self, name: &str, recipe: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.path(&format!("{name}-{:016x}", hash(recipe)));
        if path.is_dir() {
            return Ok(path);
        }
        let partial = self.path(&format!("{name}.partial"));
        remove(&partial)?;
        fs::create_dir_all(&partial)?;
        fill(&partial)?;
        fs::rename(&partial, &path)?;
        Ok(path)
    }
}

/// FNV-1a: the same on every machine and with every compiler.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Removes a tree that may not be there.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context(path.display()),
        _ => Ok(()),
    }
}

/// The directory of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), |set| workspace().join(set))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_hash_does_not_change() {
        assert_eq!(super::hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(super::hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
