//! `whither funcs`: which functions would be traced, and why others would not.

use crate::attach;
use crate::cli::{Args, Backend};
use crate::error::Error;
use crate::host::arrivals::further_places;
use crate::host::survey::{Host, HostError};
use crate::host::{Roots, SkbFunction, Targets};
use crate::load;
use crate::plan::{Plan, PlanError, Target, make};
use crate::program;
use crate::sys::process;
use crate::sys::stop::Stop;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

/// Prints the list for the flags in `args`, as a run with them would have it. Fails if no function has a name that is
/// asked for, or if nothing can be read.
pub fn run(args: &Args, stop: &Stop) -> Result<(), Error> {
    process::raise_nofile();
    process::raise_memlock();
    let mut host = Host::read(args, &Roots::default(), Some(stop))?;
    if let Some(error) = host.awaited.pop() {
        return Err(HostError::Btf(error).into());
    }
    let others = if host.first_only { add_places(&mut host.functions) } else { String::new() };
    let (plan, note) = choose(args, &host, stop)?;
    let rows = rows(&host, plan.as_ref());
    if rows.is_empty() {
        return Err(Error::NoSuchFunction(args.filter_func.clone().unwrap_or_default()));
    }
    let traced = rows.iter().filter(|row| row.why.is_none()).count();
    process::print(table(&rows).as_bytes()).map_err(Error::output)?;
    let by = plan.map_or(String::new(), |plan| format!(" by {}", plan.backend));
    let _ = writeln!(io::stderr(), "{traced} would be traced{by}, {} not{note}{others}", rows.len() - traced);
    Ok(())
}

/// Adds where other functions of the same names are, which a run finds when it traces already; a remark where it cannot.
fn add_places(functions: &mut Targets) -> String {
    let known: Vec<_> = functions.functions.iter().map(|f| (&*f.name, f.module.as_deref(), &f.addresses[..])).collect();
    let places = match further_places(&Roots::default(), &known) {
        Ok(places) => places,
        Err(error) => return format!("; other functions of the same names are missing here: {error}"),
    };
    for (index, address) in places {
        functions.functions[index as usize].addresses.push(address);
    }
    String::new()
}

/// The plan by the best way in that works, tried on one function; where none does, by the first that can be planned, and
/// a remark that says so. No plan if no function is left.
fn choose(args: &Args, host: &Host, stop: &Stop) -> Result<(Option<Plan>, String), Error> {
    let mut first: Option<Plan> = None;
    let mut failed: Option<Error> = None;
    for backend in make::ladder(args, host) {
        let plan = match Plan::with(args, host, backend, None) {
            Ok(plan) => plan,
            Err(PlanError::NoMatch { .. } | PlanError::NoFunction { .. }) => continue,
            Err(error) => {
                failed.get_or_insert(error.into());
                continue;
            }
        };
        match works(&plan, stop) {
            Ok(()) => return Ok((Some(plan), String::new())),
            Err(error) if error.is_stop() => return Err(error),
            Err(error) => {
                failed.get_or_insert(error);
                first.get_or_insert(plan);
            }
        }
    }
    let note = failed.map_or(String::new(), |error| format!("; but no way in works here: {}", error.brief()));
    Ok((first, note))
}

/// Attaches to one target, and detaches again.
fn works(plan: &Plan, stop: &Stop) -> Result<(), Error> {
    let mut one = plan.clone();
    one.targets.truncate(1);
    let one = Arc::new(one);
    let loaded = load::load(&program::build(&one)?, stop)?;
    attach::attach(&loaded, &one, stop).map(drop).map_err(Error::from)
}

/// A function or tracepoint.
struct Row {
    name: String,
    module: Option<String>,
    argument: Option<u8>,
    addresses: Vec<u64>,
    /// Why it is not traced.
    why: Option<String>,
}

fn rows(host: &Host, plan: Option<&Plan>) -> Vec<Row> {
    let key = |name: &str, module: Option<&str>| (name.to_owned(), module.map(str::to_owned));
    let mut seen: HashSet<(String, Option<String>)> = HashSet::new();
    let mut rows = Vec::new();
    for Target { name, module, addresses, skb_arg, .. } in plan.map_or(&[][..], |plan| &plan.targets) {
        seen.insert(key(name, module.as_deref()));
        let (name, module) = (name.clone(), module.clone());
        rows.push(Row { name, module, argument: Some(*skb_arg), addresses: addresses.clone(), why: None });
    }
    rows.sort_by(by_name);
    let traced = rows.len();
    for function in &host.functions.functions {
        let name = function.alias.as_deref().unwrap_or(&function.name);
        if seen.insert(key(name, function.module.as_deref())) {
            seen.insert(key(&function.name, function.module.as_deref()));
            rows.push(Row {
                name: name.to_owned(),
                module: function.module.as_deref().map(str::to_owned),
                argument: Some(function.skb_arg),
                addresses: function.addresses.clone(),
                why: Some(plan.map_or_else(String::new, |plan| beyond(plan.backend, function))),
            });
        }
    }
    for rejected in &host.functions.rejected {
        if seen.insert(key(&rejected.name, rejected.module.as_deref())) {
            rows.push(Row {
                name: rejected.name.to_string(),
                module: rejected.module.as_deref().map(str::to_owned),
                argument: None,
                addresses: Vec::new(),
                why: Some(rejected.why.to_string()),
            });
        }
    }
    // All other functions of the kernel are of interest only where they are asked for.
    if !host.wanted.is_all() {
        for function in host.btf.functions().filter(|function| host.wanted.has(function.name())) {
            if seen.insert(key(function.name(), None)) {
                rows.push(Row {
                    name: function.name().to_owned(),
                    module: None,
                    argument: None,
                    addresses: Vec::new(),
                    why: Some("no parameter is a `struct sk_buff *`".into()),
                });
            }
        }
    }
    rows[traced..].sort_by(by_name);
    rows
}

fn by_name(a: &Row, b: &Row) -> Ordering {
    (&a.name, &a.module).cmp(&(&b.name, &b.module))
}

/// Why a function that kprobes can reach is not traced by `backend`.
fn beyond(backend: Backend, function: &SkbFunction) -> String {
    let limit = match (backend, function.fentry) {
        (Backend::Tracepoint, _) => return "only tracepoints are traced here".into(),
        (_, Ok(())) => return "fentry is attached to few functions unless --backend fentry asks for all".into(),
        (_, Err(limit)) => limit,
    };
    match limit.since() {
        Some((major, minor)) => format!("out of fentry's reach before Linux {major}.{minor}: {limit}"),
        None => format!("out of fentry's reach: {limit}"),
    }
}

/// The rows as text: name, position of the skb, module, address, and why it is not traced.
fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).clamp(8, 40);
    let module = rows.iter().filter_map(|row| row.module.as_ref()).map(String::len).max().unwrap_or(0).max(6);
    let mut text = format!("{:<width$} ARG {:<module$} {:<18} NOT TRACED BECAUSE\n", "FUNCTION", "MODULE", "ADDRESS");
    for row in rows {
        let argument = row.argument.map_or("-".into(), |argument| argument.to_string());
        let addresses: Vec<String> = row.addresses.iter().map(|address| format!("{address:#x}")).collect();
        let addresses = if addresses.is_empty() { "-".into() } else { addresses.join(",") };
        let line = format!(
            "{:<width$} {argument:<3} {:<module$} {addresses:<18} {}",
            row.name,
            row.module.as_deref().unwrap_or("-"),
            row.why.as_deref().unwrap_or_default()
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::{FentryLimit, TypeId};

    #[test]
    fn a_table_has_one_line_for_each_function() {
        let row = |name: &str, module: Option<&str>, argument, addresses: &[u64], why: Option<&str>| Row {
            name: name.into(),
            module: module.map(str::to_owned),
            argument,
            addresses: addresses.to_vec(),
            why: why.map(str::to_owned),
        };
        let rows = [
            row("ip_rcv", None, Some(1), &[0xffff_ffff_8123_4560], None),
            row("veth_xmit", Some("veth"), Some(1), &[0x1000, 0x2000], None),
            row("ip_generic_getfrag", None, None, &[], Some("the skb is parameter 6")),
        ];
        let want = "\
FUNCTION           ARG MODULE ADDRESS            NOT TRACED BECAUSE
ip_rcv             1   -      0xffffffff81234560
veth_xmit          1   veth   0x1000,0x2000
ip_generic_getfrag -   -      -                  the skb is parameter 6
";
        assert_eq!(table(&rows), want);
    }

    #[test]
    fn what_is_not_traced_has_its_reason() {
        let function = |fentry| SkbFunction {
            name: "f".into(),
            module: None,
            addresses: Vec::new(),
            alias: None,
            skb_arg: 1,
            skb_register: 0,
            reason_arg: None,
            btf_id: TypeId(1),
            params: 1,
            fentry,
        };
        let check = |backend, fentry, why: &str| assert_eq!(beyond(backend, &function(fentry)), why);
        check(Backend::Tracepoint, Ok(()), "only tracepoints are traced here");
        check(Backend::Fentry, Ok(()), "fentry is attached to few functions unless --backend fentry asks for all");
        for (limit, why) in [
            (FentryLimit::Variadic, "out of fentry's reach: it takes a variable number of arguments"),
            (FentryLimit::TooMany(13), "out of fentry's reach: it has 13 parameters, more than twelve"),
            (FentryLimit::OnStack, "out of fentry's reach before Linux 6.6: it takes arguments on the stack"),
            (FentryLimit::SmallStruct, "out of fentry's reach before Linux 6.1: it takes a struct by value"),
            (
                FentryLimit::ByValue,
                "out of fentry's reach: it takes a union, a large struct or a floating-point number by value",
            ),
            (FentryLimit::Result, "out of fentry's reach: it returns a struct or a union by value"),
            (FentryLimit::Ambiguous, "out of fentry's reach: several functions have its name"),
        ] {
            check(Backend::Fentry, Err(limit), why);
        }
    }
}
