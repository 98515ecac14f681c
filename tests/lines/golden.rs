//! Records of ours, described in `tests/lines/*.txt`, from bytes to lines.
//!
//! `args` are flags. Each `event` is a record: fields by name, `function` by name (with `(tc)` or `(xdp)` behind it),
//! `packet` as hexadecimal bytes from the network header on. `interface` is namespace, number, name; `reason` and
//! `subsystem` are number, name.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use whither::decode::decode;
use whither::names::{Interfaces, Names, Reasons, TargetKind, TargetName};
use whither::output::{Lines, Settings};
use whither::record::{Field, Identity, Layout, NO_REASON};

use super::schema::Schema;
use super::{Buffer, args};

#[test]
fn every_record_gives_the_lines_of_its_file() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lines");
    let mut files: Vec<_> = fs::read_dir(&dir).expect("goldens are there").map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = String::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("a golden is text");
        let now = run_file(&text);
        if now != text {
            if std::env::var_os("BLESS").is_some() {
                fs::write(&path, &now).expect("goldens can be written");
            } else {
                let _ = writeln!(wrong, "{}:\n--- is\n{now}--- should be\n{text}", path.display());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nBLESS=1 cargo test --test lines rewrites the files");
}

/// The same description with the lines that the code gives now.
fn run_file(text: &str) -> String {
    let input = text.split("--- ").next().unwrap_or_default();
    let mut out = input.to_owned();
    for (title, flag) in [("text", ""), ("json", " --output-json")] {
        let _ = write!(out, "--- {title}\n{}", print(input, flag));
    }
    out
}

fn print(input: &str, flag: &str) -> String {
    let layout = Layout::new(&Field::ALL, Identity::Index);
    let mut flags = "whither".to_owned();
    let (mut targets, mut interfaces, mut reasons, mut subsystems, mut records) =
        (vec![], vec![], vec![], vec![], vec![]);
    for line in input.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        match word {
            "args" => flags = format!("whither {rest}"),
            "interface" => interfaces.push((number(words[0]) as u32, number(words[1]) as u32, unescape(words[2]))),
            "reason" => reasons.push((number(words[0]) as u32, words[1])),
            "subsystem" => subsystems.push((number(words[0]) as u32, words[1])),
            "event" => records.push(record(&words, &layout, &mut targets)),
            "" | "#" => {}
            other => panic!("what is {other}?"),
        }
    }
    let interfaces = interfaces.iter().map(|(netns, ifindex, name)| (*netns, *ifindex, &**name));
    let names = Names::fixed(&targets, Reasons::new(reasons, subsystems), Interfaces::fixed(interfaces));
    let (out, notes) = (Buffer::default(), Buffer::default());
    let settings = Settings { is_terminal: false, ..Settings::new(&args(&format!("{flags}{flag}"))) };
    let mut lines = Lines::with_notes(settings, names, Box::new(out.clone()), Box::new(notes.clone()));
    for record in records {
        if lines.event(&decode(&record, &layout).expect("a whole record")).is_break() {
            break;
        }
    }
    let counts = lines.finish();
    let schema = Schema::read();
    out.text().lines().filter(|_| !flag.is_empty()).for_each(|line| schema.check(line));
    format!("{}{}({} written, {} lost)\n", out.text(), notes.text(), counts.written, counts.lost)
}

fn record(words: &[&str], layout: &Layout, targets: &mut Vec<TargetName>) -> Vec<u8> {
    let mut record = vec![0; layout.size() as usize];
    let mut put = |field: Field, bytes: &[u8]| {
        let at = layout.offset(field).expect("every field is there") as usize;
        record[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(Field::Reason, &NO_REASON.to_ne_bytes());
    for word in words {
        let (name, value) = word.split_once('=').expect("FIELD=VALUE");
        match name {
            "function" => put(Field::Function, &(target(value, targets) + 1).to_ne_bytes()),
            "packet" => {
                let bytes: Vec<u8> = (0..value.len() / 2)
                    .map(|i| u8::from_str_radix(&value[i * 2..i * 2 + 2], 16).expect("hex"))
                    .collect();
                put(Field::HeaderLen, &(bytes.len() as u32).to_ne_bytes());
                put(Field::Headers, &bytes);
            }
            "comm" => put(Field::Comm, unescape(value).as_bytes()),
            "protocol" => put(Field::Protocol, &(number(value) as u16).to_be_bytes()),
            _ => {
                let field = Field::ALL.into_iter().find(|field| format!("{field:?}").eq_ignore_ascii_case(name));
                let field = field.unwrap_or_else(|| panic!("no field {name}"));
                put(field, &number(value).to_ne_bytes()[..field.size().min(8) as usize]);
            }
        }
    }
    record
}

fn target(name: &str, targets: &mut Vec<TargetName>) -> u64 {
    let (bare, kind) = match name.split_once('(') {
        Some((bare, "tc)")) => (bare, TargetKind::Tc),
        Some((bare, "xdp)")) => (bare, TargetKind::Xdp),
        _ => (name, TargetKind::Function),
    };
    let has_reason = bare.starts_with("kfree_skb") || bare == "sk_skb_reason_drop";
    let target = TargetName { name: unescape(bare), kind, has_reason, addresses: Vec::new() };
    let at = targets.iter().position(|old| *old == target).unwrap_or(targets.len());
    if at == targets.len() {
        targets.push(target);
    }
    at as u64
}

/// `\xNN` becomes that character.
fn unescape(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push(char::from(u8::from_str_radix(&part[..2], 16).expect("hex")));
        out.push_str(&part[2..]);
    }
    out
}

fn number(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).expect("hex"),
        None => text.parse().expect("a number"),
    }
}

#[test]
fn a_failure_to_write_is_told_once() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(28))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let layout = Layout::new(&Field::ALL, Identity::Index);
    let names = Names::fixed(&[], Reasons::new([], []), Interfaces::fixed([]));
    let notes = Buffer::default();
    let settings = Settings { is_terminal: false, ..Settings::new(&args("whither")) };
    let mut lines = Lines::with_notes(settings, names, Box::new(Full), Box::new(notes.clone()));
    let record = vec![0; layout.size() as usize];
    for _ in 0..3 {
        assert!(lines.event(&decode(&record, &layout).expect("a whole record")).is_continue());
    }
    assert_eq!(lines.finish().dropped, 3);
    let text =
        "warning: lines cannot be written: No space left on device (os error 28); trying again, some may be dropped\n";
    assert_eq!(notes.text(), text);
}
