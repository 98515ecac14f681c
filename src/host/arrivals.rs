//! What changes about functions after they were looked for: modules come and go.

use super::kallsyms::Source;
use super::survey::{Host, Wanted, locate};
use super::{Finder, LoadError, NameSet, Roots, SkbFunction, SymbolsError, Targets, modules};
use crate::btf::{Arch, Btf};
use std::sync::Arc;

/// A module that came or went.
#[derive(Clone, Debug)]
pub enum Change {
    /// It was loaded; its functions with an skb that can be traced.
    Came(String, Vec<SkbFunction>),
    /// It was loaded, and its functions cannot be found, for this reason.
    Unknown(String, String),
    /// It was unloaded.
    Went(String),
}

/// The modules with type information, watched.
pub struct Modules {
    kernel: Arc<Btf>,
    own_types: bool,
    wanted: Wanted,
    /// Those that are watched; all if `None`.
    names: Option<Vec<String>>,
    /// Those that are there: a module that was loaded again is another file.
    known: Vec<(String, u64)>,
    roots: Roots,
}

impl Modules {
    /// Watches those called `names`, or all; `host` knows of those that are there.
    pub fn new(host: &Host, names: Option<Vec<String>>) -> Result<Modules, LoadError> {
        let roots = Roots::default();
        let mut known = modules::files(&roots.sys)?;
        known.retain(|(name, _)| host.modules.contains(name));
        let (kernel, own_types, wanted) = (host.btf.clone(), host.own_types, host.wanted.clone());
        Ok(Modules { kernel, own_types, wanted, names, known, roots })
    }

    /// What has changed since the last look. Fails where the modules cannot be listed.
    pub fn look(&mut self) -> Result<Vec<Change>, LoadError> {
        let mut now = modules::files(&self.roots.sys)?;
        now.retain(|(name, _)| self.names.as_ref().is_none_or(|names| names.contains(name)));
        if now == self.known {
            return Ok(Vec::new());
        }
        let went = self.known.iter().filter(|module| !now.contains(module));
        let mut changes: Vec<Change> = went.map(|(name, _)| Change::Went(name.clone())).collect();
        for module in now.iter().filter(|module| !self.known.contains(module)) {
            let name = module.0.clone();
            match self.functions(&name) {
                Ok(Some(functions)) => changes.push(Change::Came(name, functions)),
                Ok(None) => {}
                Err(why) => changes.push(Change::Unknown(name, why)),
            }
        }
        self.known = now;
        Ok(changes)
    }

    /// The functions of a module; `None` if it is gone again, which the next look tells.
    fn functions(&self, name: &str) -> Result<Option<Vec<SkbFunction>>, String> {
        let module = match modules::load(&self.roots.sys, name, self.kernel.clone()) {
            Err(LoadError::NotLoaded { .. }) => return Ok(None),
            module => module.map_err(|error| error.to_string())?,
        };
        let finder = Finder::new(&self.kernel, Arch::HOST).for_module(&module);
        let mut functions = Targets::default();
        functions.find(&module, &finder, Some(name.into()), |name| self.wanted.has(name));
        let located = locate(&mut functions, &self.roots, self.own_types.then_some(&*self.kernel));
        if let Some(error) = located.no_symbols {
            return Err(error.to_string());
        }
        functions.functions.retain(|function| !function.addresses.is_empty());
        Ok(Some(functions.functions))
    }
}

/// Where else functions of the same names are: the index in `functions`, which are names, modules and the addresses that
/// are known, and an address.
///
/// Reads all symbols, which takes the kernel 0.1 to 1 s.
pub fn further_places(
    roots: &Roots,
    functions: &[(&str, Option<&str>, &[u64])],
) -> Result<Vec<(u32, u64)>, SymbolsError> {
    let names = NameSet::new(functions.iter().map(|(name, ..)| *name));
    let symbols = Source::new(&roots.proc).addresses(&names)?;
    let mut further = Vec::new();
    for (index, (name, module, known)) in (0..).zip(functions) {
        let found = names.find(name.as_bytes()).map_or(&[][..], |n| symbols.of(n));
        let own = found.iter().filter(|found| found.module.as_deref() == *module);
        // Of a function without any address, a tracepoint, there are no others.
        let new = own.filter(|found| !known.is_empty() && !known.contains(&found.address));
        further.extend(new.map(|found| (index, found.address)));
    }
    Ok(further)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn modules_whose_types_cannot_be_read_are_told() {
        let directory = std::env::temp_dir().join(format!("whither-arrivals-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let types = directory.join("sys/kernel/btf");
        fs::create_dir_all(&types).unwrap();
        let kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/6.12-x86_64/sys/kernel/btf/vmlinux");
        let mut modules = Modules {
            kernel: Arc::new(Btf::parse(fs::read(kernel).unwrap(), "vmlinux").unwrap()),
            own_types: true,
            wanted: Wanted::new(None).unwrap(),
            names: None,
            known: Vec::new(),
            roots: Roots::under(&directory),
        };
        assert!(modules.look().unwrap().is_empty());
        fs::write(types.join("veth"), "no types").unwrap();
        let changes = modules.look().unwrap();
        assert!(
            matches!(&changes[..], [Change::Unknown(name, why)] if name == "veth" && why.contains("/veth")),
            "{changes:?}"
        );
        assert!(modules.look().unwrap().is_empty(), "it is told once");
        fs::remove_file(types.join("veth")).unwrap();
        assert!(matches!(&modules.look().unwrap()[..], [Change::Went(name)] if name == "veth"));
        // Where they cannot be listed none of them is taken for gone.
        modules.known = vec![("veth".into(), 1)];
        fs::remove_dir(&types).unwrap();
        fs::write(&types, "").unwrap();
        assert!(matches!(modules.look(), Err(LoadError::Unreadable(..))));
        assert_eq!(modules.known.len(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn other_functions_of_a_name_are_found() {
        let roots = Roots::under(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/6.12-x86_64"));
        let all = further_places(&roots, &[("reg_vif_xmit", None, &[1])]).unwrap();
        assert_eq!(all.len(), 2, "{all:x?}");
        let (_, first) = all[0];
        let functions: [(&str, Option<&str>, &[u64]); 4] = [
            ("ip_rcv", None, &[]),
            ("reg_vif_xmit", None, &[first]),
            ("reg_vif_xmit", Some("ip6mr"), &[first]),
            ("no_such_function", None, &[1]),
        ];
        assert_eq!(further_places(&roots, &functions).unwrap(), [(1, all[1].1)]);
    }
}
