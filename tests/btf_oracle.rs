//! Our BTF reader against btf-rs: every type, name, member and parameter must be the same in both.
//!
//! The recorded hosts, this machine, and what `BTF_ROOTS` lists (directories with `sys/kernel/btf`, separated by `:`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use whither::btf::{
    Array, Btf, Composite, DataSec, DeclTag, Enum, Float, FuncProto, Int, Kind, Struct, Type, TypeId, Typedef, Union,
    Var, View,
};

/// One type in a form that both readers can be brought to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plain {
    kind: &'static str,
    name: String,
    size: u64,
    target: u32,
    extra: Vec<i64>,
    /// Members, enumerators, parameters, variables: name, type, two numbers.
    parts: Vec<(String, u32, i128, u64)>,
}

fn ours(t: Type<'_>) -> Plain {
    let mut plain = Plain { name: t.name().to_owned(), ..Plain::default() };
    plain.target = t.target().map_or(0, |id| id.0);
    plain.kind = match t.kind() {
        Kind::Void => "void",
        Kind::Int => "int",
        Kind::Ptr => "ptr",
        Kind::Array => "array",
        Kind::Struct => "struct",
        Kind::Union => "union",
        Kind::Enum => "enum",
        Kind::Fwd => "fwd",
        Kind::Typedef => "typedef",
        Kind::Volatile => "volatile",
        Kind::Const => "const",
        Kind::Restrict => "restrict",
        Kind::Func => "func",
        Kind::FuncProto => "func-proto",
        Kind::Var => "var",
        Kind::DataSec => "datasec",
        Kind::Float => "float",
        Kind::DeclTag => "decl-tag",
        Kind::TypeTag => "type-tag",
        Kind::Enum64 => "enum64",
    };
    if let Some(int) = Int::from_type(t) {
        plain.size = int.size().into();
        plain.extra = vec![int.signed().into(), int.is_char().into(), int.is_bool().into()];
    } else if Float::from_type(t).is_some() {
        plain.size = t.size().unwrap().into();
    } else if let Some(array) = Array::from_type(t) {
        plain.size = array.len().into();
    } else if let Some(c) = Composite::from_type(t) {
        plain.size = c.size().into();
        plain.parts = c.members().map(|m| (m.name.into(), m.ty.0, m.bit_offset.into(), m.bit_size.into())).collect();
    } else if let Some(e) = Enum::from_type(t) {
        plain.size = e.size().into();
        plain.extra = vec![e.signed().into()];
        plain.parts = e.values().map(|v| (v.name.to_owned(), 0, v.value, 0)).collect();
    } else if let Some(proto) = FuncProto::from_type(t) {
        plain.target = proto.result().0;
        plain.extra = vec![proto.is_variadic().into()];
        plain.parts = proto.params().map(|p| (p.name.to_owned(), p.ty.0, 0, 0)).collect();
    } else if let Some(section) = DataSec::from_type(t) {
        plain.size = t.size().unwrap().into();
        plain.parts = section.vars().map(|v| (String::new(), v.ty.0, v.offset.into(), v.size.into())).collect();
    } else if let Some(tag) = DeclTag::from_type(t) {
        plain.extra = vec![tag.component().map_or(-1, i64::from)];
    } else if let Some(var) = Var::from_type(t) {
        plain.extra = vec![var.linkage().into()];
    } else if let Some(f) = whither::btf::Func::from_type(t) {
        plain.extra = vec![f.linkage() as i64];
    } else if t.kind() == Kind::Fwd {
        plain.extra = vec![t.title().starts_with("union").into()];
    }
    plain
}

fn theirs(btf: &btf_rs::Btf, t: &btf_rs::Type) -> Plain {
    use btf_rs::Type as T;
    let name = |t: &dyn btf_rs::BtfType| match t.get_name_offset() {
        Some(_) => btf.resolve_name(t).unwrap(),
        None => String::new(),
    };
    let id = |t: &dyn btf_rs::BtfType| t.get_type_id().unwrap_or(0);
    let mut plain = Plain { kind: t.name(), ..Plain::default() };
    if let Some(t) = t.as_btf_type() {
        plain.name = name(t);
        plain.target = id(t);
    }
    match t {
        T::Int(int) => {
            plain.size = int.size() as u64;
            plain.extra = vec![int.is_signed().into(), int.is_char().into(), int.is_bool().into()];
        }
        T::Float(f) => plain.size = f.size() as u64,
        T::Array(a) => (plain.size, plain.target) = (a.len() as u64, 0),
        T::Struct(c) | T::Union(c) => {
            plain.size = c.size() as u64;
            let bits = |m: &btf_rs::Member| u64::from(m.bitfield_size().unwrap_or(0));
            plain.parts = c.members.iter().map(|m| (name(m), id(m), m.bit_offset().into(), bits(m))).collect();
        }
        T::Enum(e) => {
            plain.size = e.size() as u64;
            plain.extra = vec![e.is_signed().into()];
            let value = |v: u32| if e.is_signed() { i128::from(v as i32) } else { v.into() };
            plain.parts = e.members.iter().map(|m| (name(m), 0, value(m.val()), 0)).collect();
        }
        T::Enum64(e) => {
            plain.size = e.size() as u64;
            plain.extra = vec![e.is_signed().into()];
            let value = |v: u64| if e.is_signed() { i128::from(v as i64) } else { v.into() };
            plain.parts = e.members.iter().map(|m| (name(m), 0, value(m.val()), 0)).collect();
        }
        T::FuncProto(p) => {
            plain.target = p.return_type_id();
            plain.extra = vec![p.parameters.iter().any(btf_rs::Parameter::is_variadic).into()];
            let named = p.parameters.iter().filter(|p| !p.is_variadic());
            plain.parts = named.map(|p| (name(p), id(p), 0, 0)).collect();
        }
        T::Datasec(s) => {
            plain.size = s.size() as u64;
            let part = |v: &btf_rs::VarSecinfo| (String::new(), id(v), v.offset().into(), v.size() as u64);
            plain.parts = s.variables.iter().map(part).collect();
        }
        T::DeclTag(tag) => plain.extra = vec![tag.component_index().map_or(-1, i64::from)],
        T::Var(v) => plain.extra = vec![if v.is_static() { 0 } else { 1 + i64::from(v.is_extern()) }],
        T::Func(f) => plain.extra = vec![if f.is_static() { 0 } else { 1 + i64::from(f.is_extern()) }],
        T::Fwd(f) => plain.extra = vec![f.is_union().into()],
        _ => {}
    }
    plain
}

/// Compares all types that `ours` has itself, and finds every `step`th named one by name.
fn compare(btf: &Btf, oracle: &btf_rs::Btf, step: usize) {
    let mut count = 0;
    for t in btf.own_types() {
        let other = oracle.resolve_type_by_id(t.id().0).unwrap();
        assert_eq!(ours(t), theirs(oracle, &other), "type {} of {}", t.id(), btf.label());
        count += 1;
    }
    assert!(oracle.resolve_type_by_id(btf.end()).is_err(), "btf-rs has a type after our last one, {}", btf.end());
    for t in btf.own_types().filter(|t| t.is_named()).step_by(step) {
        let name = t.name();
        let mut expected = oracle.resolve_ids_by_name(name).unwrap();
        expected.retain(|&id| {
            let kind = btf.get(TypeId(id)).unwrap().kind();
            !matches!(kind, Kind::DeclTag | Kind::TypeTag | Kind::Fwd | Kind::DataSec)
        });
        expected.sort();
        let mut found: Vec<u32> = Vec::new();
        found.extend(btf.find_all::<Int>(name).iter().map(|t| t.id().0));
        found.extend(btf.find_all::<Float>(name).iter().map(|t| t.id().0));
        found.extend(btf.find_all::<Struct>(name).iter().map(|t| t.id().0));
        found.extend(btf.find_all::<Union>(name).iter().map(|t| t.id().0));
        found.extend(btf.find_all::<Enum>(name).iter().map(|t| t.id().0));
        found.extend(btf.find_all::<Typedef>(name).iter().map(|t| t.id().0));
        found.extend(btf.find_all::<Var>(name).iter().map(|t| t.id().0));
        found.extend(btf.find_all::<whither::btf::Func>(name).iter().map(|t| t.id().0));
        found.sort();
        assert_eq!(found, expected, "{name} in {}", btf.label());
    }
    eprintln!("{}: {count} types are the same", btf.label());
}

fn directories() -> Vec<PathBuf> {
    let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts");
    let mut all: Vec<PathBuf> = fs::read_dir(hosts).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|path| path.is_dir());
    all.push("/".into());
    all.extend(std::env::var_os("BTF_ROOTS").iter().flat_map(std::env::split_paths));
    all
}

#[test]
fn same_as_btf_rs() {
    for directory in directories() {
        let types = directory.join("sys/kernel/btf");
        let Ok(bytes) = fs::read(types.join("vmlinux")) else {
            eprintln!("skipped: {} cannot be read", types.display());
            continue;
        };
        let oracle = btf_rs::Btf::from_bytes(&bytes).unwrap();
        let btf = Arc::new(Btf::parse(bytes, &types.display().to_string()).unwrap());
        compare(&btf, &oracle, if btf.end() > 50_000 { 499 } else { 29 });
        for entry in fs::read_dir(&types).unwrap().map(|e| e.unwrap()).filter(|e| e.file_name() != "vmlinux") {
            let bytes = fs::read(entry.path()).unwrap();
            let oracle = btf_rs::Btf::from_split_bytes(&bytes, &oracle).unwrap();
            let btf = Btf::parse_split(bytes, &entry.path().display().to_string(), btf.clone()).unwrap();
            compare(&btf, &oracle, 7);
        }
    }
}
