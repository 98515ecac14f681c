//! The guest's programs: cut out of Debian packages together with exactly the libraries that they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::apt::Suite;
use super::arch;
use super::cache::{Cache, remove};
use super::elf::needed;
use crate::error::{Context, Error, Result};
use crate::matrix::Matrix;

/// Changes whenever the code below produces something else.
const FORMAT: u32 = 1;

/// The tree of the guest's programs, in the cache.
pub fn ready(cache: &Cache, matrix: &Matrix) -> Result<PathBuf> {
    let (guest, arch) = (&matrix.guest, arch::chosen()?);
    cache
        .directory("tools", &format!("{FORMAT} {guest:?} {arch:?}"), |to| {
            eprintln!("vm-tests: fetching the guest's programs from {}", guest.suite);
            let packages = to.join("packages");
            Suite::open(&guest.suite, &cache.path("apt"))?.unpack(&guest.packages, &packages)?;
            let libraries = format!("usr/lib/{}", arch.triplet);
            let plugins = guest.plugins.iter().map(|plugins| format!("{libraries}/{plugins}")).collect::<Vec<_>>();
            let mut tree = Tree { from: packages.clone(), to: to.join("root"), libraries, taken: BTreeSet::new() };
            for program in &guest.programs {
                tree.take(program)?;
            }
            for plugins in &plugins {
                for entry in fs::read_dir(packages.join(plugins)).context(plugins)? {
                    tree.take(&format!("{plugins}/{}", entry?.file_name().to_string_lossy()))?;
                }
            }
            tree.take(arch.loader)?;
            remove(&packages)
        })
        .map(|directory| directory.join("root"))
}

struct Tree {
    from: PathBuf,
    to: PathBuf,
    libraries: String,
    taken: BTreeSet<String>,
}

impl Tree {
    /// Copies one file, what it links to, and the libraries that it needs.
    fn take(&mut self, path: &str) -> Result<()> {
        if !self.taken.insert(path.to_owned()) {
            return Ok(());
        }
        let (from, to) = (self.from.join(path), self.to.join(path));
        let missing = || Error::new(format!("none of the guest's packages has /{path}"));
        let kind = fs::symlink_metadata(&from).map_err(|_| missing())?.file_type();
        fs::create_dir_all(to.parent().unwrap_or(&self.to))?;
        if kind.is_symlink() {
            let target = fs::read_link(&from)?;
            std::os::unix::fs::symlink(&target, &to)?;
            return self.take(&resolve(path, &target));
        }
        fs::copy(&from, &to)?;
        let content = fs::read(&from)?;
        if content.starts_with(b"\x7fELF") {
            for library in needed(&content).context(path)? {
                self.take(&format!("{}/{library}", self.libraries))?;
            }
        }
        Ok(())
    }
}

/// What a link at `path` with the text `target` names, relative to the root, in the layout where everything is in `usr`.
fn resolve(path: &str, target: &Path) -> String {
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    parts.pop();
    for component in target.components() {
        match component {
            Component::RootDir | Component::Prefix(_) => parts.clear(),
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
        }
    }
    if parts.first().is_some_and(|first| first != "usr") {
        parts.insert(0, "usr".to_owned());
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::resolve;
    use std::path::Path;

    #[test]
    fn links_are_followed_inside_the_tree() {
        assert_eq!(resolve("usr/lib/a/b.so", Path::new("b.so.1")), "usr/lib/a/b.so.1");
        assert_eq!(resolve("usr/lib64/ld.so", Path::new("../lib/x/ld.so")), "usr/lib/x/ld.so");
        assert_eq!(resolve("usr/bin/a", Path::new("/sbin/a")), "usr/sbin/a");
    }
}
