//! From a command line and a recorded host to programs, and from an skb to what they send.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use whither::btf::Btf;
use whither::cli::Args;
use whither::decode::{Event, decode};
use whither::expr::Source;
use whither::host::survey::Host;
use whither::late::Late;
use whither::plan::fields::Fields;
use whither::plan::fields::Shown;
use whither::plan::shrink::Part;
use whither::plan::{Backend, Memory, Plan, make};
use whither::program::{self, Blueprint, Programs};
use whither::record::{Field, Object, Place};

use super::machine::{self, Outcome, Surroundings};
use super::objects::{Objects, Skb};
use super::recorded;

/// Programs for a recorded host.
pub struct Rig {
    /// What was decided.
    pub plan: Plan,
    /// What was emitted.
    pub programs: Programs,
    btf: Arc<Btf>,
}

/// A hit of one target: what its program did.
pub struct Hit {
    /// What was sent, as it is read; `None` if the packet does not match.
    pub event: Option<Event>,
    /// Where the skb was.
    pub skb: u64,
    /// The rest.
    pub outcome: Outcome,
    /// The packet headers of the record, as far as they are captured.
    pub headers: Vec<u8>,
    /// The values of the user's expressions.
    pub values: Vec<Option<Vec<u8>>>,
}

/// Where functions are probed, and what they return to.
pub const RETURN: u64 = 0xffff_ffff_8123_4567;

/// The reason that [`Rig::hit`] passes to functions that take one.
pub const REASON: u64 = 0xdead_beef_0000_0006;

/// Reads a recorded host; the same question is answered from memory.
fn read(name: &str, args: &Args, without: &[&str]) -> Arc<Host> {
    static HOSTS: Mutex<BTreeMap<String, Arc<Host>>> = Mutex::new(BTreeMap::new());
    let Args { filter_func, filter_netns, filter_ifname, kmods, all_kmods, filter_non_skb_funcs, .. } = args;
    let follows = args.filter_track_skb_or_stack();
    let key = format!(
        "{name} {without:?} {filter_func:?} {filter_netns:?} {filter_ifname:?} {kmods:?} {all_kmods} \
         {follows} {filter_non_skb_funcs:?}"
    );
    let mut hosts = HOSTS.lock().expect("no test fails while it holds it");
    let read = || recorded::host(name, args, without).unwrap_or_else(|error| panic!("{name}: {error}"));
    hosts.entry(key).or_insert_with(|| Arc::new(read())).clone()
}

impl Rig {
    /// Programs for the first way in that the host has, or that `args` ask for.
    pub fn new(host: &str, args: &str, without: &[&str]) -> Rig {
        let parsed = recorded::args(args);
        let found = read(host, &parsed, without);
        let mut rungs = make::ladder(&parsed, &found);
        if parsed.backend.is_none() {
            rungs.retain(|backend| recorded::backends(host).contains(backend));
        }
        Rig::of(&found, args, rungs[0])
    }

    /// Programs for a host that was read with flags like those of `args`.
    pub fn of(host: &Host, args: &str, backend: Backend) -> Rig {
        let parsed = recorded::args(args);
        let plan = Plan::new(&parsed, host, backend).unwrap_or_else(|error| panic!("{args}: {error}"));
        let (tc, xdp) = (parsed.filter_trace_tc, parsed.filter_trace_xdp);
        let traced = program::traced::samples(&plan, tc, xdp);
        let mut programs = program::build(&plan).unwrap_or_else(|error| panic!("{args}: {error}"));
        let trampoline = program::trampolines(&plan).next().transpose();
        programs.programs.extend(trampoline.unwrap_or_else(|error| panic!("{args}: {error}")));
        programs.programs.extend(traced.unwrap_or_else(|error| panic!("{args}: {error}")));
        Rig { plan, programs, btf: host.btf.clone() }
    }

    /// The same with packets matched in user space; `None` if they have to be in the kernel, or are there already.
    pub fn matching_late(&self) -> Option<Rig> {
        self.plan.optional().contains(&Part::Filter).then(|| {
            let plan = self.plan.without(&[Part::Filter]);
            let programs = program::build(&plan).expect("it can be built with the expression");
            Rig { plan, programs, btf: self.btf.clone() }
        })
    }

    /// What user space makes of a hit: its event if the packet matches.
    pub fn judge(&self, hit: &Hit) -> Option<Event> {
        let mut late = Late::new(&self.plan).expect("an expression").expect("packets behind records");
        late.pass(hit.outcome.record.as_deref()?).map(|record| self.decode(record))
    }

    /// Lets only packets of a network namespace through, whatever the host was asked for.
    pub fn restrict(&mut self, netns: Option<u32>) {
        self.plan.filters.netns = netns;
        self.programs = program::build(&self.plan).expect("it could be built without");
    }

    /// The kernel's types.
    pub fn btf(&self) -> &Btf {
        &self.btf
    }

    /// Runs the program of a target on an skb.
    pub fn hit(&self, target: &str, skb: &Skb) -> Hit {
        self.hit_with(target, skb, &Surroundings::default())
    }

    /// As [`Rig::hit`], in other surroundings; cookie and loads are as the plan has them.
    pub fn hit_with(&self, target: &str, skb: &Skb, around: &Surroundings) -> Hit {
        let mut objects = Objects::new(&self.btf);
        let skb = skb.place(&mut objects);
        self.enter(target, skb, objects, around)
    }

    /// Runs the program of a target on an skb at any address.
    pub fn enter(&self, target: &str, skb: u64, mut objects: Objects<'_>, around: &Surroundings) -> Hit {
        let index = self.plan.targets.iter().position(|found| found.name == target).expect("a target of the plan");
        let found = &self.plan.targets[index];
        let blueprint = self.blueprint(index as u32);
        let around = Surroundings {
            cookie: program::cookie(index as u32, found),
            function: found.addresses.first().copied().unwrap_or_default(),
            loads: self.plan.memory != Memory::Read || self.plan.trampolines.contains(&(index as u32)),
            task: self.plan.kernel.task,
            ..around.clone()
        };
        let stack = objects.memory.add([RETURN.to_le_bytes(), [0x55; 8]].concat());
        let mut args = [0x1111_1111, 0x2222_2222, 0x3333_3333, 0x4444_4444, 0x5555_5555];
        args[usize::from(found.skb_arg) - 1] = skb;
        if let Some(position) = found.reason_arg {
            args[usize::from(position) - 1] = REASON;
        }
        let context = match blueprint.code.name().starts_with("whither_arg") {
            true => {
                let address = found.addresses[0];
                machine::registers(args, address + 1, stack)
            }
            false => machine::words(&args),
        };
        let outcome = machine::run(&blueprint.code, &context, &objects.memory, &around);
        let event = outcome.record.as_deref().map(|record| self.decode(record));
        let headers = outcome.record.as_deref().map_or(Vec::new(), |record| self.headers(record));
        let values = outcome.record.as_deref().map_or(Vec::new(), |record| self.values(record));
        Hit { event, skb, outcome, headers, values }
    }

    /// Runs the program for BPF programs of a kind, `whither_tc` or `whither_xdp`, with its argument; with `_tail` behind
    /// the name that for breakpoints in them.
    pub fn enter_traced(&self, name: &str, argument: u64, mut objects: Objects<'_>, around: &Surroundings) -> Hit {
        let blueprint = self.programs.programs.iter().find(|program| program.code.name() == name);
        let (loads, task) = (self.plan.memory != Memory::Read, self.plan.kernel.task);
        let around = Surroundings { loads, task, ..around.clone() };
        // The frame pointer of the caller comes first.
        let stack = objects.memory.add([[0x55; 8], RETURN.to_le_bytes()].concat());
        let context = match name.ends_with("_tail") {
            true => machine::registers([argument, 0x2222_2222, 0, 0, 0], 0xffff_ffff_c000_000b, stack),
            false => machine::words(&[argument, 0x2222_2222]),
        };
        let outcome = machine::run(&blueprint.expect("it was asked for").code, &context, &objects.memory, &around);
        let event = outcome.record.as_deref().map(|record| self.decode(record));
        let headers = outcome.record.as_deref().map_or(Vec::new(), |record| self.headers(record));
        let (object, fields) = match name {
            "whither_xdp" | "whither_xdp_tail" => (Object::Xdp, &self.plan.xdp),
            _ => (Object::Skb, &self.plan.skb),
        };
        let values = outcome.record.as_deref().map(|record| self.values_of(object, fields, record));
        let values = values.unwrap_or_default();
        Hit { event, skb: argument, outcome, headers, values }
    }

    /// Reads a record.
    pub fn decode(&self, record: &[u8]) -> Event {
        decode(record, &self.plan.layout).expect("the record is whole")
    }

    /// The packet headers of a record, as far as they are captured.
    pub fn headers(&self, record: &[u8]) -> Vec<u8> {
        let layout = &self.plan.layout;
        let captured = layout.number(record, Field::HeaderLen).expect("every record has it") as usize;
        let bytes = layout.bytes(record, Field::Headers).unwrap_or_default();
        bytes[..captured.min(bytes.len())].to_vec()
    }

    /// The values of the user's expressions about an skb in a record, texts without what is behind them.
    pub fn values(&self, record: &[u8]) -> Vec<Option<Vec<u8>>> {
        self.values_of(Object::Skb, &self.plan.skb, record)
    }

    fn values_of(&self, object: Object, fields: &Fields, record: &[u8]) -> Vec<Option<Vec<u8>>> {
        let layout = &self.plan.layout;
        let value = |(place, shown): (&Place, &Shown)| {
            let bytes = layout.value(record, *place)?;
            let is_text = matches!(shown.output.source, Source::Text(_));
            let end = bytes.iter().position(|&byte| is_text && byte == 0).unwrap_or(bytes.len());
            Some(bytes[..end].to_vec())
        };
        layout.values(object).iter().zip(&fields.shown).map(value).collect()
    }

    /// The program that serves a target: that of its trampoline, if it has one.
    pub fn blueprint(&self, target: u32) -> &Blueprint {
        self.programs
            .programs
            .iter()
            .rev()
            .find(|program| program.targets.contains(&target))
            .expect("every target has one")
    }
}
