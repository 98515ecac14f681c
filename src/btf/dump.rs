//! Types printed as C declares them, for messages and documentation.

use super::raw::{Btf, Kind, TypeId};
use super::types::{Array, Composite, Enum, FuncProto, MAX_DEPTH, Type, View};

/// A type whose parts have more letters than this is cut short with `...`.
const MAX_TEXT: usize = 1 << 20;

/// Anonymous structs and function pointers within each other, deeper than this, are cut short too.
const MAX_NESTING: u32 = 24;

/// `name` declared with the type: `const struct sk_buff *skb`, `int (*func)(void *, u32)`. With an empty name, the type
/// alone. The parts of a struct without a name are not shown.
pub fn declaration(btf: &Btf, id: TypeId, name: &str) -> String {
    Printer { btf, room: MAX_TEXT, nesting: 0 }.declare(id, name, None)
}

/// The whole definition of a type, several lines for a struct, a union or an enum, without a last line end. Named types
/// within it appear by name, others are written out.
pub fn definition(btf: &Btf, id: TypeId) -> String {
    let mut printer = Printer { btf, room: MAX_TEXT, nesting: 0 };
    let Ok(t) = btf.get(id) else { return format!("/* no type {id} */") };
    let target = t.target().unwrap_or(TypeId::VOID);
    let text = match t.kind() {
        Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => printer.body(t, 0),
        Kind::Typedef => format!("typedef {}", printer.declare(target, t.name(), Some(0))),
        Kind::Func | Kind::Var => printer.declare(target, t.name(), Some(0)),
        _ => printer.declare(id, "", Some(0)),
    };
    text + ";"
}

struct Printer<'a> {
    btf: &'a Btf,
    room: usize,
    nesting: u32,
}

impl<'a> Printer<'a> {
    /// With `level`, what has no name is written out, its lines indented by so many tabs.
    fn declare(&mut self, id: TypeId, name: &str, level: Option<usize>) -> String {
        let mut declarator = name.to_owned();
        let mut qualifiers = String::new();
        let mut next = id;
        for _ in 0..MAX_DEPTH {
            let Ok(t) = self.btf.get(next) else { return join(&format!("/* no type {next} */"), &declarator) };
            if self.spend(t.name()) {
                break;
            }
            match (t.kind(), t.target()) {
                (Kind::Ptr, Some(target)) => {
                    let between = if qualifiers.is_empty() || declarator.is_empty() { "" } else { " " };
                    declarator = format!("*{}{between}{declarator}", qualifiers.trim_end());
                    qualifiers.clear();
                    next = target;
                }
                (Kind::Const, Some(target)) => (qualifiers, next) = (format!("const {qualifiers}"), target),
                (Kind::Volatile, Some(target)) => (qualifiers, next) = (format!("volatile {qualifiers}"), target),
                (Kind::Restrict, Some(target)) => (qualifiers, next) = (format!("restrict {qualifiers}"), target),
                (Kind::TypeTag, Some(target)) => next = target,
                (Kind::Array, _) => {
                    let len = Array(t).len();
                    declarator = format!("{}[{len}]", parenthesised(declarator));
                    next = Array(t).element();
                }
                (Kind::FuncProto, _) => {
                    declarator = format!("{}({})", parenthesised(declarator), self.params(FuncProto(t)));
                    next = FuncProto(t).result();
                }
                _ => return join(&format!("{qualifiers}{}", self.base(t, level)), &declarator),
            }
        }
        join("...", &declarator)
    }

    fn params(&mut self, proto: FuncProto<'a>) -> String {
        if self.nesting == MAX_NESTING {
            return "...".to_owned();
        }
        self.nesting += 1;
        let mut params: Vec<String> = Vec::new();
        for param in proto.params() {
            if self.spend(param.name) {
                break;
            }
            params.push(self.declare(param.ty, param.name, None));
        }
        self.nesting -= 1;
        if proto.is_variadic() || self.room == 0 {
            params.push("...".to_owned());
        } else if params.is_empty() {
            params.push("void".to_owned());
        }
        params.join(", ")
    }

    /// What stands at the left of a declaration.
    fn base(&mut self, t: Type<'a>, level: Option<usize>) -> String {
        match (t.kind(), level) {
            (Kind::Void, _) => "void".to_owned(),
            (Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64, Some(level)) if !t.is_named() => {
                self.body(t, level)
            }
            (Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Fwd, _) => t.title(),
            _ => t.name().to_owned(),
        }
    }

    fn body(&mut self, t: Type<'a>, level: usize) -> String {
        let title = if t.is_named() { t.title() } else { t.title().replace(" (anonymous)", "") };
        if self.nesting == MAX_NESTING {
            return format!("{title} {{ ... }}");
        }
        self.nesting += 1;
        let indent = "\t".repeat(level + 1);
        let mut lines = Vec::new();
        if let Some(e) = Enum::from_type(t) {
            for value in e.values().take_while(|value| !self.spend(value.name)) {
                lines.push(format!("{indent}{} = {},", value.name, value.value));
            }
        }
        if let Some(c) = Composite::from_type(t) {
            for member in c.members() {
                if self.spend(member.name) {
                    lines.push(format!("{indent}..."));
                    break;
                }
                let mut line = self.declare(member.ty, member.name, Some(level + 1));
                if member.bit_size != 0 {
                    line += &format!(" : {}", member.bit_size);
                }
                lines.push(format!("{indent}{line};"));
            }
        }
        self.nesting -= 1;
        lines.insert(0, format!("{title} {{"));
        lines.push(format!("{}}}", "\t".repeat(level)));
        lines.join("\n")
    }

    /// Counts one part with this name; true if there is no more room.
    fn spend(&mut self, name: &str) -> bool {
        self.room = self.room.saturating_sub(name.len() + 8);
        self.room == 0
    }
}

fn join(base: &str, declarator: &str) -> String {
    if declarator.is_empty() { base.to_owned() } else { format!("{base} {declarator}") }
}

/// A pointer binds less tightly than the brackets that follow.
fn parenthesised(declarator: String) -> String {
    if declarator.starts_with('*') { format!("({declarator})") } else { declarator }
}
