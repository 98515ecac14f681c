//! How a command ends that fails: what every error says last on standard error, and the exit code.
//!
//! `tests/endings/errors.txt` has each variant of each enum that can become a [`whither::error::Error`]; a new one does not
//! compile before it is here. `BLESS=1 cargo test --test endings` rewrites the file. What can be caused by a command line alone
//! is in `tests/errors/`, too, where the program really runs.

#[path = "support/golden.rs"]
mod golden;

use asm::{Asm, R0};
use filter_compiler::ebpf::{Error as Code, Metadata};
use filter_compiler::names::{Files, LookupError, Names, Texts, Transport};
use filter_compiler::{LinkType, compile};
use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use whither::attach::AttachError;
use whither::btf::{BtfError, FindError, PathError, PathErrorKind, TypeId, TypeName};
use whither::cli;
use whither::decode::DecodeError;
use whither::error::Error;
use whither::expr::{self, ErrorKind};
use whither::filter_command::capture::CaptureError;
use whither::filter_command::{self, EmitError};
use whither::host::packed::PackedError;
use whither::host::survey::HostError;
use whither::host::{self, SymbolsError};
use whither::load::{self, Refusal};
use whither::plan::{Backend, PlanError};
use whither::program::BuildError;
use whither::types_command;

/// Adds an example or more for each variant of an enum to `$out`, made into an [`Error`] by `$whole`.
macro_rules! variants {
    ($out:ident, $kind:ident, $whole:expr, { $($variant:ident: $($example:expr),+;)* }) => {
        let variant = |error: &$kind| match error {
            $($kind::$variant { .. } => stringify!($variant),)*
        };
        $($(
            let example = $example;
            assert_eq!(variant(&example), stringify!($variant));
            ending(&mut $out, concat!(stringify!($kind), "::", stringify!($variant)), &$whole(example));
        )+)*
    };
}

fn ending(out: &mut String, name: &str, error: &Error) {
    let _ = write!(out, "{name}\n{}exit {}\n\n", error.last_words(), error.exit_code());
}

#[test]
fn every_error_ends_with_a_sentence_and_an_exit_code() {
    golden::check_texts("endings", "endings", |_| endings());
}

fn endings() -> String {
    use host::LoadError as TypesError;
    use load::LoadError;
    use types_command::Error as ExportError;
    use {filter_command::Error as FilterError, types_command::Error::Types};
    let denied = || io::Error::from_raw_os_error(libc::EPERM);
    let file = || "/some/file".into();
    let mut out = String::new();

    variants!(out, Error, std::convert::identity, {
        Misuse: cli::parse(["whither", "--output-jsom"].map(Into::into)).unwrap_err().into();
        Host: HostError::IfnameInode.into();
        Symbols: SymbolsError::Hidden(None).into();
        Plan: PlanError::ForeignTypes.into();
        Program: BuildError::Asm(too_large()).into();
        Load: LoadError::Stopped.into();
        Attach: AttachError::Stopped.into();
        NoSuchFunction: Error::NoSuchFunction("ip_rcvv".into());
        NoFentry: Error::NoFentry("no BTF".into());
        NoBackend:
            Error::NoBackend(vec![refused(Backend::Kprobe, libc::EPERM), refused(Backend::Tracepoint, libc::ENOENT)]),
            Error::NoBackend(vec![refused(Backend::Kprobe, libc::ENOENT), refused(Backend::Tracepoint, libc::EPERM)]);
        File: Error::File { path: file(), error: denied() }, Error::output(io::ErrorKind::StorageFull.into());
        Record: DecodeError::Short { have: 12, need: 40 }.into();
        Io: Error::cannot("wait for signals")(denied()), Error::cannot("read what was lost")(denied()),
            Error::cannot("look for BPF programs")(denied()),
            Error::cannot("start the thread that finds names of interfaces")(denied()),
            Error::cannot("start the thread that looks for functions")(denied()),
            Error::cannot("watch standard output")(denied()),
            Error::cannot("follow events")(io::Error::from_raw_os_error(libc::EMFILE));
        Filter: FilterError::Tasks.into();
        Types: ExportError::Terminal.into();
    });

    // The host.
    variants!(out, HostError, Error::from, {
        Pattern: HostError::Pattern("found open group without closing ')'".into());
        Cpus: HostError::Cpus(denied());
        Btf: HostError::Btf(TypesError::Missing(file()));
        OtherKernel: HostError::OtherKernel(file());
        Netns: HostError::Netns { path: file(), error: denied() };
        NoFunction: HostError::NoFunction("ip_rcvv".into());
        Helpers: HostError::Helpers("programs cannot be listed: no".into());
        IfnameInode: HostError::IfnameInode;
        Interface: HostError::Interface { name: "eth7".into(), error: denied() };
    });
    let types = |error| Error::from(HostError::Btf(error));
    variants!(out, TypesError, types, {
        Missing: TypesError::Missing(file());
        NoTypes: TypesError::NoTypes("veth".into());
        NotLoaded: TypesError::NotLoaded { name: "veht".into(), near: None },
            TypesError::NotLoaded { name: "veht".into(), near: Some("veth".into()) };
        Unreadable: TypesError::Unreadable(file(), denied());
        Btf: TypesError::Btf(file(), BtfError::NotBtf);
        Packed: TypesError::Packed(file(), PackedError::BadElf);
        Stopped: TypesError::Stopped;
    });
    variants!(out, PackedError, |error| types(TypesError::Packed(file(), error)), {
        Unknown: PackedError::Unknown;
        BootImage: PackedError::BootImage;
        NoSection: PackedError::NoSection;
        BadElf: PackedError::BadElf;
        Unpack: PackedError::Unpack("gzip", "it ends early".into());
        TooLarge: PackedError::TooLarge;
        EmptyArchive: PackedError::EmptyArchive;
    });
    variants!(out, BtfError, |error| types(TypesError::Btf(file(), error)), {
        Truncated: BtfError::Truncated { what: "the header", need: 24, have: 7 };
        NotBtf: BtfError::NotBtf;
        BigEndian: BtfError::BigEndian;
        Version: BtfError::Version(2);
        Unaligned: BtfError::Unaligned;
        Strings: BtfError::Strings;
        UnknownKind: BtfError::UnknownKind { id: TypeId(9), kind: 31 };
        RecordTooLong: BtfError::RecordTooLong(TypeId(9));
        NoSuchType: BtfError::NoSuchType(TypeId(9));
        Malformed: BtfError::Malformed { id: TypeId(9), what: "its size overflows" };
    });
    variants!(out, SymbolsError, Error::from, {
        Unreadable: SymbolsError::Unreadable("/proc/kallsyms".into(), denied());
        Hidden: SymbolsError::Hidden(None), SymbolsError::Hidden(Some(2));
        Empty: SymbolsError::Empty("/proc/kallsyms".into());
    });

    // The plan.
    let wrong = || compile("tcp port", LinkType::En10Mb, &Files::default()).unwrap_err();
    let inner = || compile("ether host 1:2:3:4:5:6", LinkType::Raw, &Files::default()).unwrap_err();
    let at = |kind: ErrorKind| expr::Error { kind: Box::new(kind), span: 5..9, text: "skb->makr == 1".into() };
    let hidden = SymbolsError::Hidden(Some(2));
    variants!(out, PlanError, Error::from, {
        NoMaps: PlanError::NoMaps { why: "no BTF".into() };
        Expression: PlanError::Expression(wrong());
        Inner: PlanError::Inner { flag: "--filter-tunnel-pcap-l3", error: inner() };
        Field: PlanError::Field { flag: "--filter-skb-expr", error: at(ErrorKind::Call) };
        NoType: PlanError::NoType { flag: "--filter-xdp-expr", error: "no struct is named `xdp_buff` (vmlinux)".into() };
        Untyped: PlanError::Untyped { flag: "--output-skb" };
        Kernel: PlanError::Kernel(PathError { kind: PathErrorKind::BitField, span: 0..0 });
        NoFunction: PlanError::NoFunction { backend: "fentry" };
        NoTracking: PlanError::NoTracking { why: "where they end cannot be hooked" };
        NoMatch: PlanError::NoMatch { backend: None }, PlanError::NoMatch { backend: Some("fentry") };
        NoAddresses: PlanError::NoAddresses { why: hidden.to_string(), hint: hidden.hint() };
        ForeignTypes: PlanError::ForeignTypes;
        Unreadable: PlanError::Unreadable { why: "lockdown=confidentiality forbids it".into() };
    });
    let field = |kind| Error::from(PlanError::Field { flag: "--filter-skb-expr", error: at(kind) });
    variants!(out, ErrorKind, field, {
        Character: ErrorKind::Character('$');
        BadNumber: ErrorKind::BadNumber("0x".into());
        NumberTooLarge: ErrorKind::NumberTooLarge("0x10000000000000000".into());
        BadCharacter: ErrorKind::BadCharacter;
        Expected: ErrorKind::Expected { wanted: "a type", found: None },
            ErrorKind::Expected { wanted: "a type", found: Some(")".into()) };
        Operator: ErrorKind::Operator("+=".into());
        Call: ErrorKind::Call;
        TooDeep: ErrorKind::TooDeep;
        Unknown: ErrorKind::Unknown { name: "sbk".into(), root: "skb".into(), near: None };
        AmbiguousEnumerator: ErrorKind::AmbiguousEnumerator("FIRST".into());
        Type: ErrorKind::Type(missing("struct"));
        Path: ErrorKind::Path(no_field());
        NotAValue: ErrorKind::NotAValue("struct sock".into());
        Operands: ErrorKind::Operands { operator: "%", found: "struct sock *".into() };
        NoAddress: ErrorKind::NoAddress;
        DivisionByZero: ErrorKind::DivisionByZero;
        LongShift: ErrorKind::LongShift { count: 64, bits: 32 };
        Btf: ErrorKind::Btf(BtfError::NoSuchType(TypeId(9)));
        TooWide: ErrorKind::TooWide(1000);
    });
    let owner = || TypeName { name: "struct sock".into(), source: "vmlinux".into() };
    variants!(out, PathErrorKind, |kind| field(ErrorKind::Path(kind)), {
        Root: PathErrorKind::Root(missing("struct or union"));
        NoField: no_field();
        NoFields: PathErrorKind::NoFields { owner: owner(), field: "makr".into() };
        Incomplete: PathErrorKind::Incomplete(owner());
        NotAnArray: PathErrorKind::NotAnArray(owner());
        OutOfArray: PathErrorKind::OutOfArray { index: 48, len: 48 };
        BitField: PathErrorKind::BitField;
        Expected: PathErrorKind::Expected("a number");
        Btf: PathErrorKind::Btf(BtfError::NoSuchType(TypeId(9)));
    });
    variants!(out, FindError, |error| field(ErrorKind::Type(error)), {
        None: missing("struct");
        Ambiguous: FindError::Ambiguous {
            what: "struct",
            name: "sock".into(),
            source: "vmlinux".into(),
            ids: vec![TypeId(7), TypeId(9)],
        };
    });

    // Programs.
    variants!(out, BuildError, Error::from, {
        Asm: BuildError::Asm(too_large());
        Filter: BuildError::Filter(Code::TooLong(1000)),
            BuildError::Filter(Code::TooDeep(8)),
            BuildError::Filter(Code::Missing(Metadata::Length)),
            BuildError::Filter(Code::Missing(Metadata::PacketType)),
            BuildError::Filter(Code::Missing(Metadata::Interface));
    });
    let refusal = || Refusal {
        message: "R0 is not to its taste".into(),
        instruction: Some("7: (b7) r0 = 0".into()),
        source: None,
        behalf: Some("--output-stack".into()),
        log: String::new(),
    };
    let program = |refusal: Option<Refusal>| LoadError::Program {
        name: "entry".into(),
        error: denied(),
        refusal: refusal.map(Box::new),
    };
    variants!(out, LoadError, Error::from, {
        Map: LoadError::Map { name: "events", error: denied() },
            LoadError::Map { name: "whither_tracked", error: io::Error::from_raw_os_error(libc::E2BIG) },
            LoadError::Map { name: "whither_events", error: io::Error::from_raw_os_error(libc::ENOMEM) };
        Program: program(Some(refusal())), program(None);
        Encode: LoadError::Encode("there is no descriptor".into());
        Stopped: LoadError::Stopped;
    });
    let backend = Backend::Kprobe;
    variants!(out, AttachError, Error::from, {
        Backend: AttachError::Backend { backend, what: "opening a probe", error: denied() },
            AttachError::Backend { backend: Backend::KprobeMulti, what: "creating the link", error: denied() },
            AttachError::Backend { backend, what: "copying a descriptor", error: io::Error::from_raw_os_error(libc::EMFILE) },
            AttachError::Backend { backend, what: "starting a thread", error: io::Error::from_raw_os_error(libc::EAGAIN) };
        Nothing: AttachError::Nothing { backend, count: 1, error: denied() },
            AttachError::Nothing { backend, count: 7, error: io::ErrorKind::NotFound.into() };
        Stopped: AttachError::Stopped;
    });
    variants!(out, DecodeError, Error::from, {
        Short: DecodeError::Short { have: 12, need: 40 };
    });

    // Commands beside the run.
    variants!(out, FilterError, Error::from, {
        Expression: FilterError::Expression(wrong());
        Emit: FilterError::Emit(EmitError::Filter(Code::TooLong(1000)));
        Untold: FilterError::Untold(Metadata::PacketType), FilterError::Untold(Metadata::Interface);
        Tasks: FilterError::Tasks;
        Expressions: FilterError::Expressions;
        Open: FilterError::Open { path: "trace".into(), error: denied() };
        Capture: FilterError::Capture { path: "trace".into(), seen: 0, matched: 0, error: CaptureError::NotACapture },
            FilterError::Capture { path: "trace".into(), seen: 7, matched: 2, error: CaptureError::Truncated };
        Read: FilterError::Read(denied());
        Write: FilterError::Write(io::ErrorKind::StorageFull.into());
    });
    variants!(out, EmitError, |error| FilterError::Emit(error).into(), {
        Filter: EmitError::Filter(Code::TooDeep(8)), EmitError::Filter(Code::Missing(Metadata::Length));
        Program: EmitError::Program(too_large());
    });
    let capture = |error| FilterError::Capture { path: "trace".into(), seen: 7, matched: 2, error }.into();
    variants!(out, CaptureError, capture, {
        NotACapture: CaptureError::NotACapture;
        Truncated: CaptureError::Truncated;
        Malformed: CaptureError::Malformed("a packet has more bytes than any can have");
        Link: CaptureError::Link(105), CaptureError::Link(290);
        Io: CaptureError::Io(denied());
    });
    variants!(out, ExportError, Error::from, {
        Types: Types(HostError::Btf(TypesError::Missing(file())));
        Cut: ExportError::Cut(BtfError::NoSuchType(TypeId(9)));
        NoKernel: ExportError::NoKernel("/some/file".into());
        NoType: ExportError::NoType("sk_bufff".into());
        Terminal: ExportError::Terminal;
        Write: ExportError::Write(file(), denied());
    });
    let here = too_large().source().map(|place| format!("{}:{}", place.file(), place.line())).expect("it has a place");
    out.replace(&here, "FILE:LINE")
}

fn missing(what: &'static str) -> FindError {
    FindError::None { what, name: "sokc".into(), source: "vmlinux".into() }
}

fn no_field() -> PathErrorKind {
    let owner = TypeName { name: "struct sk_buff".into(), source: "vmlinux".into() };
    PathErrorKind::NoField { owner, field: "makr".into(), near: Some("mark".into()) }
}

fn refused(backend: Backend, code: i32) -> (Backend, Error) {
    let error = io::Error::from_raw_os_error(code);
    (backend, AttachError::Backend { backend, what: "opening a probe", error }.into())
}

/// A program with more stack than there is.
fn too_large() -> asm::Error {
    let mut a = Asm::new("entry");
    a.stack(400);
    a.stack(400);
    a.mov(R0, 0);
    a.exit();
    a.finish().expect_err("a program has 512 bytes")
}

/// What is wrong with an expression is wrong in every place where one can be typed.
#[test]
fn every_wrong_expression_is_misuse() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("filter-compiler/tests/reject");
    let names = Files::parse(&Texts::default());
    let mut tried = 0;
    for file in std::fs::read_dir(root).expect("the goldens are there") {
        let text = std::fs::read_to_string(file.expect("it is there").path()).expect("a golden is text");
        let link = if text.lines().any(|line| line == "link     raw") { LinkType::Raw } else { LinkType::En10Mb };
        for filter in text.lines().filter_map(|line| line.strip_prefix("filter   ")) {
            let Err(error) = compile(filter, link, &names) else { continue };
            let words = format!("{}\n", error.render());
            let flagged = words.replacen("error: ", "error: --filter-tunnel-pcap-l2: ", 1);
            let inner = PlanError::Inner { flag: "--filter-tunnel-pcap-l2", error: error.clone() };
            let filter = filter_command::Error::Expression(error.clone());
            for (error, words) in
                [(PlanError::Expression(error).into(), &words), (inner.into(), &flagged), (filter.into(), &words)]
            {
                let error: Error = error;
                assert_eq!((&error.last_words(), error.exit_code()), (words, 2));
            }
            tried += 1;
        }
    }
    assert!(tried > 100, "only {tried} expressions are wrong");
}

/// A name server that does not answer makes no name wrong.
#[test]
fn a_name_that_nobody_could_look_up_is_a_failure() {
    struct Failing(LookupError);
    impl Names for Failing {
        fn host(&self, _name: &str) -> Result<Vec<IpAddr>, LookupError> {
            Err(self.0)
        }

        fn port(&self, _name: &str, _transport: Transport) -> Option<u16> {
            None
        }

        fn protocol(&self, _name: &str) -> Option<u32> {
            None
        }
    }
    for (why, sentence, code) in [
        (LookupError::NotFound, "no host is named `db`", 2),
        (LookupError::NoServer, "host `db` is not in /etc/hosts, and /etc/resolv.conf names no name server", 1),
        (LookupError::NoAnswer, "no name server answered about host `db`", 1),
        (LookupError::Failure, "the name servers failed to look up host `db`", 1),
    ] {
        let error = compile("host db", LinkType::En10Mb, &Failing(why)).expect_err("nobody knows it");
        for error in [
            Error::from(PlanError::Expression(error.clone())),
            PlanError::Inner { flag: "--filter-tunnel-pcap-l3", error: error.clone() }.into(),
            filter_command::Error::Expression(error).into(),
        ] {
            assert!(error.last_words().contains(sentence), "{}", error.last_words());
            assert_eq!(error.exit_code(), code, "{}", error.last_words());
        }
    }
}
