//! What was typed to what it means: names, members, types, and C's conversions.

use std::fmt;

use crate::btf::look::{self, Form, Target};
use crate::btf::path::Cursor;
use crate::btf::{
    self, Btf, BtfError, Composite, Enum, FindError, Int, Kind, Leaf, Look, PathErrorKind, Type, TypeId, Typedef, View,
};

use super::ast::{Binary, Expr, ExprKind, Span, Tag, TypeName, Unary};
use super::error::{Error, ErrorKind};
use super::lexer::Number;
use super::parser::parse;
use super::tree::{BinaryOp, Cmp, Cond, Load, UnaryOp, Value, Width, extend};

/// The object that an expression is about.
#[derive(Clone, Copy, Debug)]
pub struct Root<'a> {
    /// What the user calls it: `skb`, `xdp`. It is a pointer.
    pub name: &'a str,
    /// What it points to.
    pub ty: Type<'a>,
}

/// The meaning of `text` as a condition.
pub fn condition(text: &str, root: Root<'_>) -> Result<Cond, Error> {
    let expr = parse(text)?;
    let resolver = Resolver { text, root, btf: root.ty.btf() };
    resolver.condition(&expr)
}

/// A value to be shown with every event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The last name in the text, as pwru labels it.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// How many bytes it has; of a string, how many are looked at.
    pub size: u32,
    /// How the bytes are shown.
    pub look: Look,
}

/// Where a value to be shown comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A number of at most 8 bytes; of something in memory its bytes as a little-endian number, not swapped and not
    /// extended.
    Number(Value),
    /// The bytes of an object.
    Bytes {
        /// Its address, or that of a larger one; NULL: no value.
        base: Value,
        /// Bytes from there.
        offset: u32,
    },
    /// The string at this address, up to its NUL or as much of it as there is room for.
    Text(Value),
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = ", self.name)?;
        match &self.source {
            Source::Number(value) => value.fmt(f)?,
            Source::Bytes { base, offset } => write!(f, "bytes[{base} + {offset}]")?,
            Source::Text(value) => write!(f, "text[{value}]")?,
        }
        write!(f, ", {} bytes: {}", self.size, self.look)
    }
}

/// The longest value that can be shown, in bytes.
pub const MAX_OUTPUT: u32 = 1024;

/// How much of a string behind a pointer is shown, in bytes.
pub const MAX_TEXT: u32 = 64;

/// How much of it is looked at, so that it is known whether there is more; with its NUL.
const TEXT: u32 = 72;

/// The meaning of `text` as a value to be shown.
pub fn output(text: &str, root: Root<'_>) -> Result<Output, Error> {
    let expr = parse(text)?;
    let resolver = Resolver { text, root, btf: root.ty.btf() };
    resolver.output(&expr)
}

struct Resolver<'a> {
    text: &'a str,
    root: Root<'a>,
    btf: &'a Btf,
}

/// The type of a value, after C's promotion: nothing is narrower than 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ty {
    Int(Width, bool),
    /// A pointer to this type; `void` is 0.
    Pointer(TypeId),
}

const INT: Ty = Ty::Int(Width::W32, true);

impl Ty {
    fn width(self) -> Width {
        match self {
            Ty::Int(width, _) => width,
            Ty::Pointer(_) => Width::W64,
        }
    }

    fn signed(self) -> bool {
        matches!(self, Ty::Int(_, true))
    }
}

/// What an expression is.
enum Operand<'a> {
    /// Something in memory.
    Place(Place<'a>),
    /// A number or a pointer.
    Value(Value, Ty),
}

/// Something in memory: part of an object whose address is known.
#[derive(Clone)]
struct Place<'a> {
    base: Value,
    object: Type<'a>,
    cursor: Cursor<'a>,
}

impl<'a> Place<'a> {
    fn new(base: Value, object: Type<'a>) -> Place<'a> {
        Place { base, object, cursor: Cursor::new(object) }
    }
}

impl<'a> Resolver<'a> {
    fn error(&self, kind: ErrorKind, span: &Span) -> Error {
        Error::new(kind, span.clone(), self.text)
    }

    /// Makes an error of the types one of this place in the text.
    fn at<T>(&self, span: &Span, result: Result<T, BtfError>) -> Result<T, Error> {
        result.map_err(|e| self.error(ErrorKind::Btf(e), span))
    }

    fn path<T>(&self, span: &Span, result: Result<T, PathErrorKind>) -> Result<T, Error> {
        result.map_err(|e| self.error(ErrorKind::Path(e), span))
    }

    fn condition(&self, expr: &Expr) -> Result<Cond, Error> {
        match &expr.kind {
            ExprKind::Unary(Unary::Not, of) => Ok(self.condition(of)?.negate()),
            ExprKind::Binary(Binary::LogicalAnd, left, right) => Ok(self.condition(left)?.and(self.condition(right)?)),
            ExprKind::Binary(Binary::LogicalOr, left, right) => Ok(self.condition(left)?.or(self.condition(right)?)),
            ExprKind::Binary(op, left, right) if comparison(*op).is_some() => {
                self.compare(comparison(*op).unwrap_or(Cmp::Eq), op.symbol(), left, right)
            }
            _ => {
                let (value, ty) = self.value(expr)?;
                Ok(Cond::compare(Cmp::Ne, ty.width(), false, value, Value::Const(0)))
            }
        }
    }

    fn compare(&self, op: Cmp, symbol: &'static str, left: &Expr, right: &Expr) -> Result<Cond, Error> {
        // An enumerator is first looked for in the enum that it is compared with.
        let known = |expr: &Expr| match &expr.kind {
            ExprKind::Name(name) if name != self.root.name => Ok(None),
            _ => self.operand(expr).map(Some),
        };
        let (l, r) = (known(left)?, known(right)?);
        let (left_enum, right_enum) = (self.enum_of(&l, &left.span)?, self.enum_of(&r, &right.span)?);
        let (l, lt) = self.value_in(left, l, right_enum)?;
        let (r, rt) = self.value_in(right, r, left_enum)?;
        let (width, signed) = match (lt, rt) {
            (Ty::Int(..), Ty::Int(..)) => common(lt, rt),
            _ => (Width::W64, false),
        };
        // A pointer is compared with another one or with a constant.
        for (expr, ty, value, other) in [(left, lt, &l, rt), (right, rt, &r, lt)] {
            if matches!((ty, other), (Ty::Int(..), Ty::Pointer(_))) && !matches!(value, Value::Const(_)) {
                let found = self.describe(ty);
                return Err(self.error(ErrorKind::Operands { operator: symbol, found }, &expr.span));
            }
        }
        Ok(Cond::compare(op, width, signed, convert(l, lt, width), convert(r, rt, width)))
    }

    /// The enum that something in memory is a value of.
    fn enum_of(&self, operand: &Option<Operand<'a>>, span: &Span) -> Result<Option<Enum<'a>>, Error> {
        match operand {
            Some(Operand::Place(place)) => Ok(Enum::from_type(self.at(span, place.cursor.ty().peel())?)),
            _ => Ok(None),
        }
    }

    /// The value of `expr`, which is `operand` unless it is a name: that can be an enumerator of `of`.
    fn value_in(&self, expr: &Expr, operand: Option<Operand<'a>>, of: Option<Enum<'a>>) -> Result<(Value, Ty), Error> {
        match (operand, &expr.kind) {
            (Some(operand), _) => self.value_of(operand, &expr.span),
            (None, ExprKind::Name(name)) => match of.and_then(|e| e.value(name)) {
                Some(value) => Ok(enumerator(value)),
                None => self.value(expr),
            },
            (None, _) => self.value(expr),
        }
    }

    fn value(&self, expr: &Expr) -> Result<(Value, Ty), Error> {
        self.value_of(self.operand(expr)?, &expr.span)
    }

    fn value_of(&self, operand: Operand<'a>, span: &Span) -> Result<(Value, Ty), Error> {
        match operand {
            Operand::Value(value, ty) => Ok((value, ty)),
            Operand::Place(place) => self.load(place, span),
        }
    }

    fn operand(&self, expr: &Expr) -> Result<Operand<'a>, Error> {
        let span = &expr.span;
        match &expr.kind {
            ExprKind::Name(name) => self.name(name, span),
            ExprKind::Number(number) => Ok(constant(*number)),
            ExprKind::Member { of, name, name_span } => {
                let mut place = self.object(of, "->")?;
                self.path(name_span, place.cursor.member(name))?;
                Ok(Operand::Place(place))
            }
            ExprKind::Index { of, index } => self.index(of, index, span),
            ExprKind::Unary(Unary::Deref, of) => Ok(Operand::Place(self.object(of, "*")?)),
            ExprKind::Unary(Unary::Address, of) => match self.operand(of)? {
                Operand::Place(place) => {
                    let (value, ty) = self.address(&place, span)?;
                    Ok(Operand::Value(value, ty))
                }
                Operand::Value(..) => Err(self.error(ErrorKind::NoAddress, &of.span)),
            },
            ExprKind::Unary(op @ (Unary::Minus | Unary::Plus | Unary::Complement), of) => {
                let (value, ty) = self.integer(of, op.symbol())?;
                let value = match op {
                    Unary::Minus => Value::unary(UnaryOp::Neg, ty.width(), value),
                    Unary::Complement => Value::unary(UnaryOp::Not, ty.width(), value),
                    _ => value,
                };
                Ok(Operand::Value(value, ty))
            }
            ExprKind::Cast { to, of } => self.cast(to, of),
            ExprKind::Unary(Unary::Not, _) => Ok(Operand::Value(Value::bool(self.condition(expr)?), INT)),
            ExprKind::Binary(op, left, right) => match arithmetic(*op) {
                Some(arithmetic) => self.binary(arithmetic, op.symbol(), left, right, span),
                None => Ok(Operand::Value(Value::bool(self.condition(expr)?), INT)),
            },
        }
    }

    fn name(&self, name: &str, span: &Span) -> Result<Operand<'a>, Error> {
        if name == self.root.name {
            return Ok(Operand::Value(Value::Root, Ty::Pointer(self.root.ty.id())));
        }
        let mut found = None;
        for e in self.enums() {
            match (e.value(name), found) {
                (Some(value), None) => found = Some(value),
                (Some(value), Some(before)) if value != before => {
                    return Err(self.error(ErrorKind::AmbiguousEnumerator(name.to_owned()), span));
                }
                _ => {}
            }
        }
        let value = found.or(match name {
            "NULL" | "false" => Some(0),
            "true" => Some(1),
            _ => None,
        });
        if let Some(value) = value {
            let (value, ty) = enumerator(value);
            return Ok(Operand::Value(value, ty));
        }
        let near = match Cursor::new(self.root.ty).member(name) {
            Ok(()) => Some(format!("{}->{name}", self.root.name)),
            Err(_) => {
                let names = self.enums().flat_map(|e| e.values().map(|value| value.name));
                btf::closest(name, names.chain([self.root.name])).map(str::to_owned)
            }
        };
        let (name, root) = (name.to_owned(), self.root.name.to_owned());
        Err(self.error(ErrorKind::Unknown { name, root, near }, span))
    }

    fn enums(&self) -> impl Iterator<Item = Enum<'a>> {
        let base = self.btf.base().map(|base| &**base);
        base.into_iter().chain([self.btf]).flat_map(|btf| btf.own_types().filter_map(Enum::from_type))
    }

    /// The object that `of` points to; of an array its first element; of anything else in memory the thing itself,
    /// if members are asked for.
    fn object(&self, of: &Expr, operator: &'static str) -> Result<Place<'a>, Error> {
        let refuse = |found| Err(self.error(ErrorKind::Operands { operator, found }, &of.span));
        let (value, ty) = match self.operand(of)? {
            Operand::Value(value, ty) => (value, ty),
            Operand::Place(mut place) => {
                let t = self.at(&of.span, place.cursor.ty().peel())?;
                match t.kind() {
                    Kind::Ptr => self.load(place, &of.span)?,
                    Kind::Array if operator == "*" => {
                        self.path(&of.span, place.cursor.index(0))?;
                        return Ok(place);
                    }
                    _ if operator == "->" => return Ok(place),
                    _ => return refuse(t.title()),
                }
            }
        };
        match ty {
            Ty::Pointer(pointee) => Ok(Place::new(value, self.at(&of.span, self.btf.get(pointee))?)),
            Ty::Int(..) => refuse(self.describe(ty)),
        }
    }

    fn index(&self, of: &Expr, index: &Expr, span: &Span) -> Result<Operand<'a>, Error> {
        let (n, n_ty) = self.integer(index, "[]")?;
        let array = self.operand(of)?;
        if let (Operand::Place(place), &Value::Const(n)) = (&array, &n)
            && self.at(&of.span, place.cursor.ty().peel())?.kind() == Kind::Array
        {
            let mut place = place.clone();
            self.path(&index.span, place.cursor.index(count_of(n, n_ty) as u64))?;
            return Ok(Operand::Place(place));
        }
        let (value, ty) = self.value_of(array, &of.span)?;
        let Ty::Pointer(element) = ty else {
            let found = self.describe(ty);
            return Err(self.error(ErrorKind::Operands { operator: "[]", found }, &of.span));
        };
        let address = self.advance(BinaryOp::Add, value, element, convert(n, n_ty, Width::W64), span)?;
        Ok(Operand::Place(Place::new(address, self.at(span, self.btf.get(element))?)))
    }

    /// `pointer + n` or `pointer - n`, in elements.
    fn advance(&self, op: BinaryOp, pointer: Value, element: TypeId, n: Value, span: &Span) -> Result<Value, Error> {
        let size = self.element_size(element, span)?;
        let bytes = Value::binary(BinaryOp::Mul, Width::W64, n, Value::Const(size.into()));
        Ok(Value::binary(op, Width::W64, pointer, bytes))
    }

    /// The bytes between one element and the next; `void` and functions count as bytes.
    fn element_size(&self, element: TypeId, span: &Span) -> Result<u32, Error> {
        let t = self.at(span, self.btf.get(element))?;
        match self.at(span, t.peel())?.kind() {
            Kind::Void | Kind::FuncProto => Ok(1),
            Kind::Fwd => {
                // The error of a path that ends here says it best.
                self.path(span, Cursor::new(t).finish())?;
                Ok(1)
            }
            _ => self.at(span, t.size()),
        }
    }

    fn leaf(&self, place: &Place<'a>, span: &Span) -> Result<Leaf, Error> {
        // A place is within one object: no pointers are left to follow.
        Ok(self.path(span, place.cursor.clone().finish())?.leaf)
    }

    fn address(&self, place: &Place<'a>, span: &Span) -> Result<(Value, Ty), Error> {
        let leaf = self.leaf(place, span)?;
        if leaf.bits.is_some() {
            return Err(self.error(ErrorKind::NoAddress, span));
        }
        let offset = Value::Const(leaf.offset.into());
        Ok((Value::binary(BinaryOp::Add, Width::W64, place.base.clone(), offset), Ty::Pointer(leaf.ty)))
    }

    /// The value in memory; of an array its address.
    fn load(&self, place: Place<'a>, span: &Span) -> Result<(Value, Ty), Error> {
        let t = self.at(span, place.cursor.ty().peel())?;
        if let Some(array) = btf::Array::from_type(t) {
            let (value, _) = self.address(&place, span)?;
            return Ok((value, Ty::Pointer(array.element())));
        }
        let not_a_value = || self.error(ErrorKind::NotAValue(place.cursor.ty().title()), span);
        if t.kind() == Kind::Void {
            return Err(not_a_value());
        }
        let leaf = self.leaf(&place, span)?;
        let Ok(size @ (1 | 2 | 4 | 8)) = u8::try_from(leaf.size) else { return Err(not_a_value()) };
        let bits = leaf.bits.map_or(u32::from(size) * 8, |bits| bits.width.into());
        let (signed, ty) = match leaf.value {
            btf::Value::Pointer(_) => (false, Ty::Pointer(t.target().unwrap_or(TypeId::VOID))),
            btf::Value::Aggregate | btf::Value::Float => return Err(not_a_value()),
            value if bits > 32 => (value.is_signed(), Ty::Int(Width::W64, value.is_signed())),
            value if bits == 32 => (value.is_signed(), Ty::Int(Width::W32, value.is_signed())),
            // Everything narrower fits an `int`.
            value => (value.is_signed(), INT),
        };
        let object = self.at(span, place.object.peel())?;
        let object = if Composite::from_type(object).is_some() { object.id() } else { TypeId::VOID };
        let load = Load {
            base: Box::new(place.base),
            object,
            offset: leaf.offset,
            size,
            swap: leaf.big_endian && size > 1,
            bits: leaf.bits,
            signed,
            to: ty.width(),
        };
        Ok((Value::Load(load), ty))
    }

    /// An integer, no pointer.
    fn integer(&self, expr: &Expr, operator: &'static str) -> Result<(Value, Ty), Error> {
        let (value, ty) = self.value(expr)?;
        match ty {
            Ty::Int(..) => Ok((value, ty)),
            Ty::Pointer(_) => Err(self.error(ErrorKind::Operands { operator, found: self.describe(ty) }, &expr.span)),
        }
    }

    fn binary(
        &self,
        op: Binary,
        symbol: &'static str,
        left: &Expr,
        right: &Expr,
        span: &Span,
    ) -> Result<Operand<'a>, Error> {
        let (l, lt) = self.value(left)?;
        let (r, rt) = self.value(right)?;
        let refuse = |expr: &Expr, ty| {
            Err(self.error(ErrorKind::Operands { operator: symbol, found: self.describe(ty) }, &expr.span))
        };
        let wide = |value, ty| convert(value, ty, Width::W64);
        match (op, lt, rt) {
            (Binary::Add, Ty::Pointer(element), Ty::Int(..)) => {
                Ok(Operand::Value(self.advance(BinaryOp::Add, l, element, wide(r, rt), span)?, lt))
            }
            (Binary::Add, Ty::Int(..), Ty::Pointer(element)) => {
                Ok(Operand::Value(self.advance(BinaryOp::Add, r, element, wide(l, lt), span)?, rt))
            }
            (Binary::Sub, Ty::Pointer(element), Ty::Int(..)) => {
                Ok(Operand::Value(self.advance(BinaryOp::Sub, l, element, wide(r, rt), span)?, lt))
            }
            (Binary::Sub, Ty::Pointer(element), Ty::Pointer(other)) => {
                let size = self.element_size(element, &left.span)?;
                if size != self.element_size(other, &right.span)? || size == 0 {
                    return refuse(right, rt);
                }
                let bytes = Value::binary(BinaryOp::Sub, Width::W64, l, r);
                let elements = match size {
                    1 => bytes,
                    _ => Value::binary(BinaryOp::SDiv, Width::W64, bytes, Value::Const(size.into())),
                };
                Ok(Operand::Value(elements, Ty::Int(Width::W64, true)))
            }
            (_, Ty::Pointer(_), _) => refuse(left, lt),
            (_, _, Ty::Pointer(_)) => refuse(right, rt),
            (Binary::Shl | Binary::Shr, Ty::Int(width, signed), _) => {
                let op = match op {
                    Binary::Shl => BinaryOp::Shl,
                    _ if signed => BinaryOp::Sar,
                    _ => BinaryOp::Shr,
                };
                if let Value::Const(count) = r
                    && count >= u64::from(width.bits())
                {
                    let count = count_of(count, rt);
                    return Err(self.error(ErrorKind::LongShift { count, bits: width.bits() }, &right.span));
                }
                Ok(Operand::Value(Value::binary(op, width, l, convert(r, rt, width)), lt))
            }
            _ => {
                let (width, signed) = common(lt, rt);
                let (l, r) = (convert(l, lt, width), convert(r, rt, width));
                let op = match op {
                    Binary::Mul => BinaryOp::Mul,
                    Binary::Div if signed => BinaryOp::SDiv,
                    Binary::Div => BinaryOp::Div,
                    Binary::Rem if signed => BinaryOp::SRem,
                    Binary::Rem => BinaryOp::Rem,
                    Binary::Sub => BinaryOp::Sub,
                    Binary::And => BinaryOp::And,
                    Binary::Xor => BinaryOp::Xor,
                    Binary::Or => BinaryOp::Or,
                    _ => BinaryOp::Add,
                };
                let divides = matches!(op, BinaryOp::Div | BinaryOp::Rem | BinaryOp::SDiv | BinaryOp::SRem);
                if divides && r == Value::Const(0) {
                    return Err(self.error(ErrorKind::DivisionByZero, &right.span));
                }
                Ok(Operand::Value(Value::binary(op, width, l, r), Ty::Int(width, signed)))
            }
        }
    }

    fn cast(&self, to: &TypeName, of: &Expr) -> Result<Operand<'a>, Error> {
        let (value, ty) = self.value(of)?;
        if let (Tag::None, false, Some((size, signed))) = (to.tag, to.pointer, c_integer(&to.name)) {
            let (value, ty) = to_integer(value, ty, size, signed);
            return Ok(Operand::Value(value, ty));
        }
        let target = self.type_named(to)?;
        if to.pointer {
            return Ok(Operand::Value(convert(value, ty, Width::W64), Ty::Pointer(target)));
        }
        let t = self.at(&to.span, self.btf.get(target))?;
        let peeled = self.at(&to.span, t.peel())?;
        let (size, signed, is_bool) = match (Int::from_type(peeled), Enum::from_type(peeled), peeled.kind()) {
            (Some(int), ..) => (int.size(), int.signed(), int.is_bool()),
            (_, Some(e), _) => (e.size(), e.signed(), false),
            (_, _, Kind::Ptr) => {
                let pointee = peeled.target().unwrap_or(TypeId::VOID);
                return Ok(Operand::Value(convert(value, ty, Width::W64), Ty::Pointer(pointee)));
            }
            _ => return Err(self.error(ErrorKind::NotAValue(t.title()), &to.span)),
        };
        if is_bool {
            let cond = Cond::compare(Cmp::Ne, ty.width(), false, value, Value::Const(0));
            return Ok(Operand::Value(Value::bool(cond), INT));
        }
        if !matches!(size, 1 | 2 | 4 | 8) {
            return Err(self.error(ErrorKind::NotAValue(t.title()), &to.span));
        }
        let (value, ty) = to_integer(value, ty, size, signed);
        Ok(Operand::Value(value, ty))
    }

    fn type_named(&self, name: &TypeName) -> Result<TypeId, Error> {
        let found = match name.tag {
            Tag::Struct => self.btf.find::<btf::Struct>(&name.name).map(|t| t.id()),
            Tag::Union => self.btf.find::<btf::Union>(&name.name).map(|t| t.id()),
            Tag::Enum => self.btf.find::<Enum>(&name.name).map(|t| t.id()),
            Tag::None if name.name == "void" && name.pointer => return Ok(TypeId::VOID),
            Tag::None => match self.btf.find::<Typedef>(&name.name) {
                Ok(t) => Ok(t.id()),
                Err(error @ FindError::Ambiguous { .. }) => self.same_integer(&name.name).ok_or(error),
                Err(_) => spellings(&name.name)
                    .iter()
                    .find_map(|spelling| self.btf.find::<Int>(spelling).ok())
                    .map_or_else(|| self.btf.find::<Typedef>(&name.name).map(|t| t.id()), |t| Ok(t.id())),
            },
        };
        found.map_err(|e| self.error(ErrorKind::Type(e), &name.span))
    }

    /// The first of several typedefs of one name that all stand for the same integer: parts of the kernel have their own
    /// `u8`.
    fn same_integer(&self, name: &str) -> Option<TypeId> {
        let meaning = |t: &Typedef| {
            let int = Int::from_type(t.as_type().peel().ok()?)?;
            Some((int.size(), int.signed(), int.is_bool()))
        };
        let found = self.btf.find_all::<Typedef>(name);
        let first = found.first()?;
        let integer = Some(meaning(first)?);
        found.iter().all(|t| meaning(t) == integer).then(|| first.id())
    }

    fn describe(&self, ty: Ty) -> String {
        match ty {
            Ty::Int(Width::W32, true) => "int".to_owned(),
            Ty::Int(Width::W32, false) => "unsigned int".to_owned(),
            Ty::Int(Width::W64, true) => "long".to_owned(),
            Ty::Int(Width::W64, false) => "unsigned long".to_owned(),
            Ty::Pointer(pointee) => btf::dump::declaration(self.btf, pointee, "*"),
        }
    }

    fn output(&self, expr: &Expr) -> Result<Output, Error> {
        let span = &expr.span;
        let name = last_name(expr).unwrap_or_else(|| self.text.trim().to_owned());
        let place = match self.operand(expr)? {
            Operand::Place(place) => place,
            Operand::Value(value, ty) => return self.computed(name, value, ty, span),
        };
        let t = self.at(span, place.cursor.ty().peel())?;
        if let (Kind::Ptr, Some(pointee)) = (t.kind(), t.target())
            && let Some(target) = Target::of(self.at(span, self.btf.get(pointee))?, &name)
        {
            let (value, _) = self.load(place, span)?;
            return Ok(pointed(name, value, target));
        }
        if matches!(t.kind(), Kind::Void | Kind::FuncProto) {
            return Err(self.error(ErrorKind::NotAValue(t.title()), span));
        }
        let leaf = self.leaf(&place, span)?;
        let look = Look::of(place.cursor.ty(), &name, leaf.bits);
        let (Look::Number(_), Ok(size @ (1 | 2 | 4 | 8))) = (&look, u8::try_from(leaf.size)) else {
            if leaf.size == 0 || leaf.size > MAX_OUTPUT {
                return Err(self.error(ErrorKind::TooWide(leaf.size), span));
            }
            let source = Source::Bytes { base: place.base, offset: leaf.offset };
            return Ok(Output { name, source, size: leaf.size, look });
        };
        let object = self.at(span, place.object.peel())?;
        let whole = matches!(leaf.value, btf::Value::Aggregate) || Composite::from_type(object).is_none();
        let object = if whole { TypeId::VOID } else { object.id() };
        let base = Box::new(place.base);
        let load =
            Load { base, object, offset: leaf.offset, size, swap: false, bits: None, signed: false, to: Width::W64 };
        Ok(Output { name, source: Source::Number(Value::Load(load)), size: leaf.size, look })
    }

    /// A value that is in no memory.
    fn computed(&self, name: String, value: Value, ty: Ty, span: &Span) -> Result<Output, Error> {
        if let Ty::Pointer(pointee) = ty
            && let Some(target) = Target::of(self.at(span, self.btf.get(pointee))?, &name)
        {
            return Ok(pointed(name, value, target));
        }
        let form = match (ty, &value) {
            (Ty::Pointer(_), _) => Form::Pointer,
            (_, Value::Bool(_)) => Form::Bool,
            _ => Form::Decimal,
        };
        let signed = ty.signed() && form == Form::Decimal;
        let look = Look::Number(look::Number { form, ..look::Number::decimal(signed) });
        Ok(Output { name, source: Source::Number(value), size: ty.width().bits() / 8, look })
    }
}

/// What a pointer leads to.
fn pointed(name: String, pointer: Value, target: Target) -> Output {
    match target {
        Target::Text => Output { name, source: Source::Text(pointer), size: TEXT, look: Look::Text },
        Target::Mac => Output { name, source: Source::Bytes { base: pointer, offset: 0 }, size: 6, look: Look::Mac },
    }
}

/// The last name of a chain of members.
fn last_name(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Name(name) | ExprKind::Member { name, .. } => Some(name.clone()),
        ExprKind::Index { of, .. } => last_name(of),
        _ => None,
    }
}

fn comparison(op: Binary) -> Option<Cmp> {
    match op {
        Binary::Eq => Some(Cmp::Eq),
        Binary::Ne => Some(Cmp::Ne),
        Binary::Lt => Some(Cmp::Lt),
        Binary::Le => Some(Cmp::Le),
        Binary::Gt => Some(Cmp::Gt),
        Binary::Ge => Some(Cmp::Ge),
        _ => None,
    }
}

/// The operator itself, if it computes a number.
fn arithmetic(op: Binary) -> Option<Binary> {
    let is_logical = matches!(op, Binary::LogicalAnd | Binary::LogicalOr);
    (!is_logical && comparison(op).is_none()).then_some(op)
}

/// C's usual arithmetic conversions: the wider type, and of two equally wide ones the unsigned one.
fn common(left: Ty, right: Ty) -> (Width, bool) {
    match (left.width(), right.width()) {
        (Width::W64, Width::W32) => (Width::W64, left.signed()),
        (Width::W32, Width::W64) => (Width::W64, right.signed()),
        (width, _) => (width, left.signed() && right.signed()),
    }
}

/// The value with another width.
fn convert(value: Value, ty: Ty, width: Width) -> Value {
    match (ty.width(), width) {
        (Width::W32, Width::W64) if ty.signed() => Value::extend(32, true, Width::W64, value),
        // The upper half is zero already.
        (Width::W32, Width::W64) => value,
        (Width::W64, Width::W32) => Value::extend(32, false, Width::W32, value),
        _ => value,
    }
}

/// What a constant of type `ty` counts: negative if it is.
fn count_of(value: u64, ty: Ty) -> i64 {
    extend(ty.width().bits() as u8, ty.signed(), Width::W64, value) as i64
}

/// The value as an integer of 1, 2, 4 or 8 bytes, promoted again.
fn to_integer(value: Value, ty: Ty, size: u32, signed: bool) -> (Value, Ty) {
    match size {
        8 => (convert(value, ty, Width::W64), Ty::Int(Width::W64, signed)),
        4 => (convert(value, ty, Width::W32), Ty::Int(Width::W32, signed)),
        _ => (Value::extend(size as u8 * 8, signed, Width::W32, value), INT),
    }
}

/// Size and sign of C's own integer types, except `char`, whose sign depends on the kernel.
fn c_integer(name: &str) -> Option<(u32, bool)> {
    Some(match name {
        "signed char" => (1, true),
        "unsigned char" => (1, false),
        "short int" => (2, true),
        "short unsigned int" => (2, false),
        "int" => (4, true),
        "unsigned int" => (4, false),
        "long int" | "long long int" => (8, true),
        "long unsigned int" | "long long unsigned int" => (8, false),
        _ => return None,
    })
}

/// A constant with the type that C gives it: the first that holds it of `int`, `unsigned` (if not decimal), `long`,
/// `unsigned long`.
fn constant(number: Number) -> Operand<'static> {
    let Number { value, hex, unsigned, long } = number;
    let fits = |bits: u32| value >> bits == 0;
    let ty = match (unsigned, long) {
        (false, false) if fits(31) => INT,
        (true, false) if fits(32) => Ty::Int(Width::W32, false),
        (false, false) if hex && fits(32) => Ty::Int(Width::W32, false),
        (false, _) if fits(63) => Ty::Int(Width::W64, true),
        _ => Ty::Int(Width::W64, false),
    };
    Operand::Value(Value::Const(value), ty)
}

fn enumerator(value: i128) -> (Value, Ty) {
    let ty = match value {
        _ if i32::try_from(value).is_ok() => INT,
        _ if u32::try_from(value).is_ok() => Ty::Int(Width::W32, false),
        _ if i64::try_from(value).is_ok() => Ty::Int(Width::W64, true),
        _ => Ty::Int(Width::W64, false),
    };
    (Value::Const(ty.width().cut(value as u64)), ty)
}

/// How compilers spell C's own integer types: gcc's way, which the parser uses, then clang's.
fn spellings(name: &str) -> Vec<&str> {
    let other = match name {
        "short int" => "short",
        "short unsigned int" => "unsigned short",
        "long int" => "long",
        "long unsigned int" => "unsigned long",
        "long long int" => "long long",
        "long long unsigned int" => "unsigned long long",
        _ => name,
    };
    vec![name, other]
}
