//! Kernels, unpacked and cut down to what a guest needs: `vmlinuz`, `config`, and a flat directory of modules with the
//! tables that modprobe reads. Packages hold neither `modules.dep` nor `modules.alias` (a post-installation script makes
//! them), so both are made here, from what the modules say about themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::apt::Suite;
use super::cache::Cache;
use super::elf::modinfo;
use super::{output, program};
use crate::error::{Context, Error, Result};
use crate::matrix::{Kernel, Matrix, Modules, matches};

/// Changes whenever the code below produces something else.
const FORMAT: u32 = 1;

/// A kernel that can be booted.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The name in the matrix.
    pub name: String,
    /// As `uname -r` prints it.
    pub release: String,
    /// Holds `vmlinuz`, `config`, `package` and `modules/`.
    pub directory: PathBuf,
}

impl Ready {
    /// The package that it came from.
    pub fn package(&self) -> String {
        fs::read_to_string(self.directory.join("package")).unwrap_or_default()
    }
}

/// The kernels' names: those of the matrix, or the directories of `WHITHER_VM_KERNELS`.
pub fn names(matrix: &Matrix) -> Result<Vec<String>> {
    let Some(given) = given() else {
        return Ok(matrix.kernels.iter().map(|kernel| kernel.name.clone()).collect());
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(&given).context(given.display())? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ensure!(!names.is_empty(), "{} holds no directory of an unpacked kernel", given.display());
    names.sort();
    Ok(names)
}

/// Makes the kernel called `name` ready: from the cache, from `WHITHER_VM_KERNELS`, or from the mirror.
pub fn ready(cache: &Cache, matrix: &Matrix, name: &str) -> Result<Ready> {
    let directory = match given() {
        Some(given) => {
            let root = given.join(name);
            let recipe = format!("{FORMAT} {root:?} {:?}", matrix.modules);
            cache.directory(&format!("given-{name}"), &recipe, |to| select(&root, to, &matrix.modules))?
        }
        None => {
            let kernel = matrix.kernel(name)?;
            let recipe = format!("{FORMAT} {kernel:?} {:?}", matrix.modules);
            cache.directory(&format!("kernel-{name}"), &recipe, |to| fetch(cache, kernel, &matrix.modules, to))?
        }
    };
    let release = fs::read_to_string(directory.join("release"))?;
    Ok(Ready { name: name.to_owned(), release, directory })
}

fn given() -> Option<PathBuf> {
    std::env::var_os("WHITHER_VM_KERNELS").map(PathBuf::from)
}

fn fetch(cache: &Cache, kernel: &Kernel, modules: &Modules, to: &Path) -> Result<()> {
    eprintln!("vm-tests: fetching kernel {} from {}", kernel.name, kernel.suite);
    let suite = Suite::open(&kernel.suite, &cache.path("apt"))?;
    let (package, rank) = suite.newest(&kernel.packages)?;
    if rank > 0 {
        eprintln!("vm-tests: {} is not there (any more); using {package}", kernel.packages[0]);
    }
    let root = to.join("root");
    suite.unpack(&suite.with_parts(&package, &["linux-base-", "linux-binary-", "linux-modules-"])?, &root)?;
    select(&root, to, modules)?;
    fs::write(to.join("package"), &package)?;
    super::cache::remove(&root)
}

/// Copies what a guest needs from a root that kernel packages were unpacked into.
fn select(root: &Path, to: &Path, modules: &Modules) -> Result<()> {
    let missing = || Error::new(format!("{} holds no modules of a kernel", root.display()));
    let tree = ["usr/lib/modules", "lib/modules"].iter().map(|path| root.join(path)).find(|path| path.is_dir());
    let tree = fs::read_dir(tree.ok_or_else(missing)?)?.next().ok_or_else(missing)??.path();
    let release = tree.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for name in ["vmlinuz", "config"] {
        let places = [tree.join(name), root.join(format!("boot/{name}-{release}")), root.join(name)];
        let found = places.iter().find(|place| place.is_file());
        let found = found.ok_or_else(|| Error::new(format!("{} holds no {name}", root.display())))?;
        fs::copy(found, to.join(name))?;
    }
    fs::create_dir(to.join("modules"))?;
    pack_modules(&tree, &to.join("modules"), modules).context(format!("modules of {release}"))?;
    Ok(fs::write(to.join("release"), release)?)
}

fn pack_modules(tree: &Path, to: &Path, wanted: &Modules) -> Result<()> {
    let mut all = BTreeMap::new();
    find_modules(tree, &mut all)?;
    let built_in = fs::read_to_string(tree.join("modules.builtin")).unwrap_or_default();
    let is_built_in = |name: &str| built_in.lines().any(|line| module_name(line).as_deref() == Some(name));

    let mut queue: Vec<String> = Vec::new();
    for name in &wanted.required {
        ensure!(all.contains_key(name) || is_built_in(name), "there is no module `{name}`");
        queue.extend(all.contains_key(name).then(|| name.clone()));
    }
    queue.extend(all.keys().filter(|name| wanted.optional.iter().any(|pattern| matches(pattern, name))).cloned());

    let (mut seen, mut dependencies, mut aliases) = (BTreeSet::new(), String::new(), String::new());
    while let Some(name) = queue.pop() {
        let Some(path) = all.get(&name).filter(|_| seen.insert(name.clone())) else { continue };
        let module = decompress(path)?;
        let needs = modinfo(&module, "depends").context(&name)?.join(",");
        let needs: Vec<_> =
            needs.split(',').filter(|need| !need.is_empty()).map(|need| need.replace('-', "_")).collect();
        write!(dependencies, "{name}.ko:").ok();
        needs.iter().for_each(|need| write!(dependencies, " {need}.ko").unwrap_or_default());
        dependencies.push('\n');
        for alias in modinfo(&module, "alias")? {
            writeln!(aliases, "alias {alias} {name}").ok();
        }
        fs::write(to.join(format!("{name}.ko")), module)?;
        queue.extend(needs);
    }
    fs::write(to.join("modules.dep"), close(&dependencies))?;
    fs::write(to.join("modules.alias"), aliases)?;
    fs::write(to.join("modules.builtin"), built_in)?;
    Ok(())
}

/// Adds dependencies of dependencies to each line: modprobe takes a line for complete.
fn close(direct: &str) -> String {
    let direct: BTreeMap<&str, Vec<&str>> = direct
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, needs)| (name, needs.split_whitespace().collect()))
        .collect();
    let mut text = String::new();
    for name in direct.keys() {
        // Each module comes after those that need it, which is the order that modprobe loads from the end.
        let mut order: Vec<&str> = Vec::new();
        let mut queue = std::collections::VecDeque::from(direct[name].clone());
        while let Some(need) = queue.pop_front() {
            order.retain(|earlier| *earlier != need);
            order.push(need);
            queue.extend(direct.get(need).into_iter().flatten());
        }
        writeln!(text, "{name}:{}", order.iter().map(|need| format!(" {need}")).collect::<String>()).ok();
    }
    text
}

fn find_modules(directory: &Path, all: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).context(directory.display())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find_modules(&entry.path(), all)?;
        } else if let Some(name) = module_name(&entry.file_name().to_string_lossy()) {
            all.insert(name, entry.path());
        }
    }
    Ok(())
}

/// `kernel/net/foo/nft-ct.ko.xz` is `nft_ct`.
fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, suffix) = file.split_once(".ko")?;
    ["", ".xz", ".zst", ".gz"].contains(&suffix).then(|| name.replace('-', "_"))
}

fn decompress(path: &Path) -> Result<Vec<u8>> {
    let (name, package) = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => ("xz", "xz-utils"),
        Some("zst") => ("zstd", "zstd"),
        Some("gz") => ("gzip", "gzip"),
        _ => return fs::read(path).context(path.display()),
    };
    output(program(name, package)?.arg("-dc").arg(path))
}

#[cfg(test)]
mod tests {
    use super::{close, module_name};

    #[test]
    fn names_are_the_kernels() {
        assert_eq!(module_name("kernel/net/nft-ct.ko.xz").as_deref(), Some("nft_ct"));
        assert_eq!(module_name("veth.ko").as_deref(), Some("veth"));
        assert_eq!(module_name("modules.dep"), None);
        assert_eq!(module_name("veth.kow"), None);
    }

    #[test]
    fn a_dependency_stands_after_everything_that_needs_it() {
        let closed = close("a.ko: b.ko c.ko\nb.ko: c.ko\nc.ko: d.ko\nd.ko:\n");
        assert_eq!(closed, "a.ko: b.ko c.ko d.ko\nb.ko: c.ko d.ko\nc.ko: d.ko\nd.ko:\n");
    }
}
