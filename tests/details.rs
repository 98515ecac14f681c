//! What only some runs print, from the bytes of a record to text and JSON: values of expressions by their types, whole
//! structures, stacks, callers, packets inside of tunnels, entries of maps, names of namespaces.
//!
//! Each file of `tests/details/` holds a command line (`args`), a recorded `host`, and events: fields of the record by
//! name, the packet (and the one `inner` of a tunnel) in hexadecimal from the network header on. What stands below an
//! `event` belongs to it: the bytes of each `value` (or `null`), members of the `skb` and of its `shared` info, the
//! frames of the `stack`, an entry of a `map`. `symbol`, `netns` and `interface` say what numbers are called.
//! `BLESS=1 cargo test --test details` rewrites the files. Every line of JSON is an event by the schema.
#![cfg(target_arch = "x86_64")] // as the recorded hosts are

#[path = "support/golden.rs"]
mod golden;
#[path = "support/recorded.rs"]
#[allow(dead_code)] // parts of it are enough here
mod recorded;
#[path = "lines/schema.rs"]
mod schema;

use golden::Case;
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use whither::arrivals::target_name;
use whither::decode::decode;
use whither::host::survey::Host;
use whither::names::{Interfaces, Names, NetnsNames, Reasons, Symbols};
use whither::output::{Details, Lines, Settings};
use whither::plan::maps::{Call, Value};
use whither::plan::{Backend, Plan};
use whither::record::{Dump, Field, NO_REASON, Object, map};

#[test]
fn every_record_gives_the_lines_of_its_file() {
    golden::check("details", "details", |case| {
        let (text, json) = (print(case, ""), print(case, " --output-json"));
        let schema = schema::Schema::read();
        json.lines().for_each(|line| schema.check(line));
        format!("--- text\n{text}--- json\n{json}")
    });
}

fn print(case: &Case, flag: &str) -> String {
    let args = recorded::args(&format!("{}{flag}", case.get("args")));
    let host = recorded::host(case.get("host"), &args, &[]).expect("it is recorded");
    let backend = args.backend.unwrap_or(Backend::KprobeMulti);
    let mut plan = Plan::with(&args, &host, backend, None).expect("it can be planned");
    if let Some(maps) = &mut plan.maps {
        // The recorded hosts do not have the functions that work on maps.
        maps.calls.push(Call { target: 0, value: Value::Given });
    }
    let out = Buffer::default();
    let settings = Settings { is_terminal: false, ..Settings::new(&args) };
    let mut lines = Lines::new(settings, names(case, &plan), Box::new(out.clone()));
    let mut details = Details::new(&plan, &host.btf);
    for record in records(&case.question, &plan, &host) {
        let mut event = decode(&record, &plan.layout).expect("a whole record");
        let extra = details.of(&record, &mut event, lines.names());
        assert!(lines.event_with(&event, &extra).is_continue());
    }
    lines.finish();
    String::from_utf8(out.0.take()).expect("lines are UTF-8")
}

/// What is written, to be read afterwards.
#[derive(Clone, Default)]
struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Symbols with their addresses, ascending.
struct Table(Vec<(u64, String)>);

impl Table {
    fn nearest(&self, address: u64) -> Option<&(u64, String)> {
        self.0.iter().rev().find(|(start, _)| *start <= address)
    }
}

impl Symbols for Table {
    fn write_nearest(&self, address: u64, out: &mut Vec<u8>) -> bool {
        self.nearest(address).map(|(_, name)| out.extend_from_slice(name.as_bytes())).is_some()
    }

    fn offset(&self, address: u64) -> Option<u64> {
        self.nearest(address).map(|(start, _)| address - start)
    }
}

fn names(case: &Case, plan: &Plan) -> Names {
    let words = |key| case.all(key).map(|line| line.split(' ').collect::<Vec<&str>>()).collect::<Vec<_>>();
    let targets: Vec<_> = plan.targets.iter().map(target_name).collect();
    let interfaces = words("interface");
    let interfaces = interfaces.iter().map(|words| (number(words[0]) as u32, number(words[1]) as u32, words[2]));
    let mut names = Names::fixed(&targets, Reasons::new([], []), Interfaces::fixed(interfaces));
    names.symbols = Box::new(Table(words("symbol").iter().map(|words| (number(words[0]), words[1].into())).collect()));
    names.netns = NetnsNames::fixed(words("netns").iter().map(|words| (number(words[0]) as u32, words[1].into())));
    names
}

fn records(question: &str, plan: &Plan, host: &Host) -> Vec<Vec<u8>> {
    let layout = &plan.layout;
    let mut records: Vec<Vec<u8>> = Vec::new();
    let mut places = [].iter();
    for line in question.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let pairs = || rest.split_whitespace().map(|pair| pair.split_once('=').expect("NAME=VALUE"));
        if word == "event" {
            records.push(vec![0; layout.room() as usize]);
            places = layout.values(Object::Skb).iter();
        }
        let Some(record) = records.last_mut() else { continue };
        let mut put = |at: u32, bytes: &[u8]| record[at as usize..][..bytes.len()].copy_from_slice(bytes);
        let mut set = |field: Field, bytes: &[u8]| {
            put(layout.offset(field).unwrap_or_else(|| panic!("this run has no {field:?}")), bytes);
        };
        match word {
            "event" => {
                if layout.has(Field::Reason) {
                    set(Field::Reason, &NO_REASON.to_ne_bytes());
                }
                for (name, value) in pairs() {
                    match name {
                        "function" => {
                            let index = plan.targets.iter().position(|target| target.name == value);
                            set(Field::Function, &(index.expect("it is traced") as u64 + 1).to_ne_bytes());
                        }
                        "packet" => {
                            set(Field::Headers, &bytes(value));
                            set(Field::HeaderLen, &(bytes(value).len() as u32).to_ne_bytes());
                        }
                        "inner" => {
                            set(Field::InnerHeaders, &bytes(value));
                            set(Field::InnerLen, &(bytes(value).len() as u32).to_ne_bytes());
                        }
                        "comm" => set(Field::Comm, value.as_bytes()),
                        "protocol" => set(Field::Protocol, &(number(value) as u16).to_be_bytes()),
                        _ => {
                            let is_it = |field: &Field| format!("{field:?}").eq_ignore_ascii_case(name);
                            let field = Field::ALL.into_iter().find(is_it).unwrap_or_else(|| panic!("no field {name}"));
                            set(field, &number(value).to_ne_bytes()[..field.size() as usize]);
                        }
                    }
                }
            }
            "value" => {
                let place = places.next().expect("no more values were asked for");
                if rest != "null" {
                    put(place.offset, &bytes(rest));
                    put(place.known, &[1]);
                }
            }
            "stack" => {
                let frames: Vec<u8> = rest.split(' ').flat_map(|frame| number(frame).to_ne_bytes()).collect();
                set(Field::StackLen, &(frames.len() as u32).to_ne_bytes());
                set(Field::Stack, &frames);
            }
            "skb" | "shared" => {
                let (dump, name) =
                    if word == "skb" { (Dump::Skb, "sk_buff") } else { (Dump::SharedInfo, "skb_shared_info") };
                let (start, _) = layout.dump(dump).expect("it was asked for");
                for (chain, value) in pairs() {
                    let leaf = host.btf.path(name, chain).unwrap_or_else(|error| panic!("{chain}: {error}")).leaf;
                    put(start + leaf.offset, &number(value).to_ne_bytes()[..leaf.size as usize]);
                }
            }
            "map" => {
                put(layout.size() + map::STATE.0, &1u64.to_ne_bytes());
                // Of all kinds a value that is given is the map's.
                put(layout.size() + map::KIND.0, &1u32.to_ne_bytes());
                for (name, value) in pairs() {
                    let part = match name {
                        "id" => map::ID,
                        "key_size" => map::KEY_SIZE,
                        "value_size" => map::VALUE_SIZE,
                        "name" => {
                            put(layout.size() + map::NAME.0, &golden::unescape(value));
                            continue;
                        }
                        "key" => {
                            put(layout.size() + map::KEY.0, &bytes(value));
                            continue;
                        }
                        "value" => {
                            put(layout.size() + map::STATE.0, &2u64.to_ne_bytes());
                            put(layout.size() + map::VALUE.0, &bytes(value));
                            continue;
                        }
                        other => panic!("no part {other}"),
                    };
                    put(layout.size() + part.0, &(number(value) as u32).to_ne_bytes());
                }
            }
            "#" => {}
            other => panic!("what is {other}?"),
        }
    }
    records
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("two hexadecimal digits");
    (0..hexadecimal.len()).step_by(2).map(digits).collect()
}

fn number(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).expect("hexadecimal"),
        None => text.parse().expect("a number"),
    }
}
