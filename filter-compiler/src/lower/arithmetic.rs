//! Comparisons of numbers computed from the packet.

use super::formula::Formula;
use super::state::{Place, State, ethertype};
use super::transport::IP6_HEADER;
use super::{Lower, ip_protocol, link_protocol};
use crate::ast::*;
use crate::error::{Error, ErrorKind, Span};
use crate::graph::{Base, Comparison, Operand, Size, Test, Value, ValueId};

/// What classic BPF has for intermediate results.
const CELLS: usize = 16;

/// A number, and what has to hold before its bytes may be loaded.
type Guarded = (ValueId, Vec<Formula>);

impl Lower<'_> {
    pub fn relation(&mut self, state: &State, relation: &Relation) -> Result<Formula, Error> {
        let (left, mut parts) = self.arithmetic(state, &relation.left)?;
        let (right, guards) = self.arithmetic(state, &relation.right)?;
        parts.extend(guards);
        let right = Operand::Value(right);
        let (op, negate) = match relation.op {
            Relop::Equal => (Comparison::Equal, false),
            Relop::NotEqual => (Comparison::Equal, true),
            Relop::Greater => (Comparison::Greater, false),
            Relop::LessOrEqual => (Comparison::Greater, true),
            Relop::GreaterOrEqual => (Comparison::GreaterOrEqual, false),
            Relop::Less => (Comparison::GreaterOrEqual, true),
        };
        let test = Formula::Test(Test::Compare { op, left, right });
        parts.push(if negate { test.negate() } else { test });
        Ok(Formula::all(parts))
    }

    /// Parts stand before the operations that need them, and each is needed once.
    fn arithmetic(&mut self, state: &State, arith: &Arith) -> Result<Guarded, Error> {
        let mut done: Vec<Guarded> = Vec::with_capacity(arith.parts.len());
        for part in &arith.parts {
            let mut take = |at: usize| (done[at].0, std::mem::take(&mut done[at].1));
            let guarded = match part.kind {
                ArithKind::Number(number) => (self.values.constant(number), Vec::new()),
                ArithKind::Length => (self.values.leaf(Value::Length), Vec::new()),
                ArithKind::Negate(operand) => {
                    let (value, guards) = take(operand);
                    (self.values.negate(value), guards)
                }
                ArithKind::Binary(op, left, right) => {
                    // libpcap keeps only what the left operand asks for: `1 + ip[0] > 3` is true for any packet with a
                    // large byte there. Whoever wants IP writes `ip and`.
                    let (a, guards) = take(left);
                    let (b, _) = take(right);
                    let literal = matches!(arith.parts[right].kind, ArithKind::Number(_));
                    self.check_operation(op, a, b, literal, arith.parts[right].span)?;
                    (self.binary(op, a, b), guards)
                }
                ArithKind::Load { protocol, index, size } => {
                    let (index, guards) = take(index);
                    let size = match size {
                        1 => Size::Byte,
                        2 => Size::Half,
                        _ => Size::Word,
                    };
                    self.indexed(state, protocol, index, guards, size, part.span)?
                }
            };
            // Each further cell takes twice the operators, and `Limit::Operators` is far below 2^16.
            debug_assert!(self.values.cells(guarded.0) < CELLS);
            done.push(guarded);
        }
        Ok(done.pop().unwrap_or_else(|| (self.values.constant(0), Vec::new())))
    }

    /// A divisor or count that was typed as a number is judged at once. One that turns out to be constant is judged
    /// once it is known whether the program ever gets there.
    fn check_operation(&mut self, op: BinaryOp, a: ValueId, b: ValueId, literal: bool, at: Span) -> Result<(), Error> {
        let kind = match (op, self.values.as_const(b)) {
            (BinaryOp::Divide, Some(0)) => ErrorKind::DivisionByZero,
            (BinaryOp::Modulus, Some(0)) => ErrorKind::ModulusByZero,
            (BinaryOp::ShiftLeft | BinaryOp::ShiftRight, Some(count)) if count > 31 => ErrorKind::LongShift(count),
            _ => return Ok(()),
        };
        let is_shift = matches!(kind, ErrorKind::LongShift(_));
        let error = self.error_at(at, kind);
        if literal {
            return Err(error);
        }
        // What is constant as a whole and shifted too far is 0.
        if !is_shift || self.values.as_const(a).is_none() {
            let value = self.binary(op, a, b);
            self.doubtful.push((value, error));
        }
        Ok(())
    }

    /// `protocol[index:size]`
    fn indexed(
        &mut self,
        state: &State,
        protocol: Protocol,
        index: ValueId,
        mut guards: Vec<Formula>,
        size: Size,
        at: Span,
    ) -> Result<Guarded, Error> {
        let is_link = matches!(
            protocol,
            Protocol::Ip
                | Protocol::Ip6
                | Protocol::Arp
                | Protocol::Rarp
                | Protocol::Atalk
                | Protocol::Decnet
                | Protocol::Lat
                | Protocol::Sca
                | Protocol::Mopdl
                | Protocol::Moprc
        );
        match protocol {
            Protocol::Link => {
                let value = self.at(state.header.index, state.header.constant, index, size);
                Ok((value, guards))
            }
            _ if is_link => {
                let network = state.network();
                guards.push(self.link_type(state, link_protocol(protocol).unwrap_or_default())?);
                Ok((self.at(network.index, network.constant, index, size), guards))
            }
            Protocol::Icmp6 => {
                let network = state.network();
                guards.push(self.link_type(state, ethertype::IP6)?);
                let next = network.plus(6).load(&mut self.values, Size::Byte);
                guards.push(Formula::equal(next, 58));
                Ok((self.at(network.index, network.constant.wrapping_add(IP6_HEADER), index, size), guards))
            }
            Protocol::Tcp
            | Protocol::Udp
            | Protocol::Sctp
            | Protocol::Icmp
            | Protocol::Igmp
            | Protocol::Igrp
            | Protocol::Pim
            | Protocol::Vrrp
            | Protocol::Carp => {
                let mut all = vec![self.link_type(state, ethertype::IP)?];
                all.append(&mut guards);
                all.push(self.ip_protocol(state, ip_protocol(protocol).unwrap_or_default())?);
                all.push(self.first_fragment(state));
                let header = self.header_length(state);
                let start = match state.network().index {
                    Some(index) => self.binary(BinaryOp::Add, header, index),
                    None => header,
                };
                Ok((self.at(Some(start), state.network().constant, index, size), all))
            }
            Protocol::Radio => Err(self.other_link("radio")),
            _ => Err(self.error_at(at, ErrorKind::NoIndex(protocol.text().to_string()))),
        }
    }

    /// The bytes at a place plus an index.
    fn at(&mut self, base: Option<ValueId>, constant: u32, index: ValueId, size: Size) -> ValueId {
        // An index from before the header comes right only where the sum is computed: that of a load does not wrap.
        let wraps = |number: u32| base.is_some() && constant.wrapping_add(number) >= 1 << 31;
        if let Some(number) = self.values.as_const(index).filter(|&number| !wraps(number)) {
            return Place { index: base, constant }.plus(number).load(&mut self.values, size);
        }
        let sum = match base {
            Some(base) => self.binary(BinaryOp::Add, base, index),
            None => index,
        };
        self.load(Base::Index(sum), constant, size)
    }
}
