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

    /// A directory that `fill` made once for `recipe`; it is made again when the recipe changes, and does not exist
    /// half filled.
    pub fn directory(&self, name: &str, recipe: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.path(name);
        let stamp = path.join("recipe");
        if fs::read_to_string(&stamp).is_ok_and(|made| made == recipe) {
            return Ok(path);
        }
        remove(&path)?;
        let partial = self.path(&format!("{name}.partial"));
        remove(&partial)?;
        fs::create_dir_all(&partial)?;
        fill(&partial)?;
        fs::write(partial.join("recipe"), recipe)?;
        fs::rename(&partial, &path)?;
        Ok(path)
    }
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
