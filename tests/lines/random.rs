//! Any bytes in records and names: one clean line each, and JSON that others can read.

use whither::decode::decode;
use whither::names::{Interfaces, Names, Reasons, TargetKind, TargetName};
use whither::output::{Lines, Settings};
use whither::record::{Field, Identity, Layout};

use super::{Buffer, args};

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn name(&mut self) -> String {
        let length = self.next() % 40;
        let chars = (0..length).map(|_| match self.next() % 4 {
            0 => char::from((self.next() % 0x20) as u8),
            1 => ['"', '\\', '\u{7f}', '\u{202e}', '\u{9b}'][(self.next() % 5) as usize],
            2 => char::from_u32((self.next() % 0x11_0000) as u32).unwrap_or('\u{fffd}'),
            _ => char::from(b'a' + (self.next() % 26) as u8),
        });
        chars.collect()
    }
}

#[test]
fn any_record_gives_one_clean_line() {
    for flags in [
        "",
        "--output-tcp-flags --timestamp relative --output-caller --output-skb-cb --output-tunnel",
        "--timestamp absolute --output-meta=false --output-netns-names",
        "--output-json",
        "--output-json --output-tcp-flags --timestamp absolute --output-caller --output-skb-cb --output-tunnel",
        "--output-json --timestamp relative --output-netns-names --output-tuple=false",
    ] {
        let mut random = Random(0x0123_4567_89ab_cdef);
        for identity in [Identity::Index, Identity::Address] {
            check(flags, identity, &mut random);
        }
    }
}

fn check(flags: &str, identity: Identity, random: &mut Random) {
    let targets: Vec<_> = (0..16)
        .map(|n| TargetName {
            name: random.name(),
            kind: [TargetKind::Function, TargetKind::Tc, TargetKind::Xdp][n % 3],
            has_reason: n % 2 == 0,
            addresses: vec![random.next()],
        })
        .collect();
    let reasons: Vec<_> = (0..8).map(|number| (number, random.name())).collect();
    let reasons = Reasons::new(reasons.iter().map(|(number, name)| (*number, &**name)), []);
    let interfaces: Vec<_> = (0..8).map(|ifindex| (1, ifindex, random.name())).collect();
    let interfaces = Interfaces::fixed(interfaces.iter().map(|(netns, ifindex, name)| (*netns, *ifindex, &**name)));
    let out = Buffer::default();
    let args = args(&format!("whither {flags}"));
    let settings = Settings { is_terminal: false, ..Settings::new(&args) };
    let names = Names::fixed(&targets, reasons, interfaces);
    let mut lines = Lines::with_notes(settings, names, Box::new(out.clone()), Box::new(Buffer::default()));
    let layout = Layout::new(&Field::ALL, identity);
    let rounds = 2000;
    for round in 0..rounds {
        let mut record: Vec<u8> = (0..layout.size()).map(|_| random.next() as u8).collect();
        let mut small = |field, limit: u64| {
            let at = layout.offset(field).expect("every field is there") as usize;
            record[at..at + 4].copy_from_slice(&((random.next() % limit) as u32).to_ne_bytes());
        };
        if round % 2 == 0 {
            small(Field::Function, 18);
            small(Field::Reason, 9);
            small(Field::Netns, 2);
            small(Field::Ifindex, 9);
            small(Field::HeaderLen, 90);
        }
        let event = decode(&record, &layout).expect("a whole record");
        assert!(lines.event(&event).is_continue());
    }
    assert_eq!(lines.finish().written, rounds);
    let text = out.text();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
    assert_eq!(text.lines().count() as u64, rounds + u64::from(!args.output_json));
    for line in text.lines().filter(|_| args.output_json) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(value["skb"].is_string());
    }
}
