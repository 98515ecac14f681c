//! The way into a program: where the skb, the identity of the function and its other arguments come from.

use crate::plan::{Memory, Plan, Target};
use crate::program::arch::{Caller, IP_AFTER_PROBE, REGISTERS};
use crate::program::capture::ROOMS;
use crate::program::read::View;
use crate::program::track::stack;
use crate::record::{Identity, NO_REASON};
use asm::{Asm, Helper, Label, R0, R1, R3, R6, R7, Slot, W1, u64};

/// Bits of a cookie above the target's index: 0 unless the function tells of a packet's end, then the position of the
/// drop reason among its arguments, or [`NO_POSITION`].
const END_SHIFT: i32 = 32;
/// Stands for a drop reason that the function does not take.
const NO_POSITION: u8 = 6;

/// How a program is entered. All variants leave the same state: R6 = context, R7 = skb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A kprobe, alone or in a kprobe-multi link: arguments are in `struct pt_regs`. One program serves all
    /// functions with the skb at the same position.
    Registers {
        /// Position of the skb, from 1; 0 if there is none.
        skb_arg: u8,
        /// How the function is told apart from the others of this program.
        identity: Identity,
        /// The positions at which functions of this program have a drop reason.
        reason_args: Vec<u8>,
    },
    /// fentry or a tracepoint: arguments are words of the context, and the program serves one target.
    Words {
        /// Index of the target.
        target: u32,
        /// Position of the skb, from 1; 0 if there is none.
        skb_arg: u8,
        /// Position of the drop reason, from 1.
        reason_arg: Option<u8>,
    },
    /// A breakpoint in a BPF program, behind the making of its frame: registers are in `struct pt_regs`, the skb is the
    /// first argument, and the program serves one target.
    Breakpoint {
        /// Index of the target.
        target: u32,
    },
}

/// Where the address is that the function returns to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerAddress {
    /// In the word that R3 points to.
    Behind,
    /// In R3.
    Here,
    /// Somewhere on the stack: the context has no registers.
    OnStack,
}

/// What a target's attach cookie holds. Never 0, which the kernel returns where it finds no cookie.
pub fn cookie(index: u32, target: &Target) -> u64 {
    let end = target.reason_arg.unwrap_or(if target.is_end() { NO_POSITION } else { 0 });
    (u64::from(index) + 1) | (u64::from(end) << END_SHIFT)
}

impl Entry {
    /// Emits the beginning of the program: R6 = context, R7 = skb, readable as the plan has it. Where the function has
    /// none it is that of the packet whose stack the function runs on.
    ///
    /// Jumps to `drop` if there is no skb. Clobbers: R0-R5, R8.
    pub fn begin(&self, a: &mut Asm, plan: &Plan, drop: Label) {
        a.mov(R6, R1);
        let found = match plan.tracking.as_ref().and_then(|tracking| tracking.stacks) {
            Some(stacks) if !self.has_skb() => {
                stack::enter(a, plan, self, &stacks, drop);
                R7
            }
            _ => {
                let to = if let Memory::Cast { .. } = plan.memory { R1 } else { R7 };
                a.note("skb");
                a.load(to, u64(R6 + self.argument(self.skb_arg())));
                to
            }
        };
        a.jeq(found, 0, drop);
        if let Memory::Cast { .. } = plan.memory {
            View::open(a, plan.memory, found, plan.kernel.skb_cast(), R7, &[]);
        }
    }

    /// Emits R0 = what [`crate::record::Field::Function`] holds. In: R6. Clobbers: R0-R5.
    pub fn identity(&self, a: &mut Asm) {
        match self {
            Entry::Registers { identity: Identity::Index, .. } => {
                a.mov(R1, R6);
                a.call(Helper::GetAttachCookie);
            }
            Entry::Registers { identity: Identity::Function, .. } => {
                a.mov(R1, R6);
                a.call(Helper::GetFuncIp);
            }
            Entry::Registers { identity: Identity::Address, .. } => {
                a.load(R0, u64(R6 + REGISTERS.ip));
                if IP_AFTER_PROBE != 0 {
                    a.sub(R0, IP_AFTER_PROBE);
                }
            }
            Entry::Words { target, .. } | Entry::Breakpoint { target } => a.mov_u64(R0, u64::from(*target) + 1),
        }
    }

    /// Emits R1 = the drop reason, or [`NO_REASON`]; some other argument for functions without one by
    /// [`Identity::Function`]. In: R6, R0 = identity. Clobbers: R0.
    pub fn reason(&self, a: &mut Asm) {
        let done = a.label();
        match self {
            Entry::Registers { identity: Identity::Index, reason_args, .. } => {
                a.rsh(R0, END_SHIFT);
                for &position in reason_args {
                    let next = a.label();
                    a.jne(R0, i32::from(position), next);
                    a.load(R1, u64(R6 + self.argument(position)));
                    a.mov(W1, W1);
                    a.jump(done);
                    a.bind(next);
                }
                a.mov(R1, NO_REASON as i64 as i32);
            }
            // For functions that take none it is some other argument, which the reader of records knows to ignore.
            Entry::Registers { identity: Identity::Function, reason_args, .. } if !reason_args.is_empty() => {
                a.load(R1, u64(R6 + self.argument(reason_args[0])));
                a.mov(W1, W1);
            }
            Entry::Words { reason_arg: Some(position), .. } => {
                a.load(R1, u64(R6 + self.argument(*position)));
                a.mov(W1, W1);
            }
            _ => a.mov(R1, NO_REASON as i64 as i32),
        }
        a.bind(done);
    }

    /// Whether a function that this program serves tells of the end of packets.
    pub fn has_end(&self, plan: &Plan) -> bool {
        match self {
            Entry::Registers { skb_arg, .. } => plan.targets.iter().any(|target| target.is_end_at(*skb_arg)),
            // Programs for BPF programs have numbers behind those of the targets.
            Entry::Words { target, .. } => plan.targets.get(*target as usize).is_some_and(Target::is_end),
            Entry::Breakpoint { .. } => false,
        }
    }

    /// Emits a jump to `other` unless the function that was hit tells of a packet's end, where [`Entry::has_end`]. In: R6.
    /// Clobbers: R0-R5.
    pub fn unless_end(&self, a: &mut Asm, plan: &Plan, other: Label) {
        match self {
            Entry::Registers { skb_arg, identity: Identity::Address, .. } => {
                let end = a.label();
                self.identity(a);
                for target in plan.targets.iter().filter(|target| target.is_end_at(*skb_arg)) {
                    for &address in &target.addresses {
                        a.mov_u64(R1, address);
                        a.jeq(R0, R1, end);
                    }
                }
                a.jump(other);
                a.bind(end);
            }
            Entry::Registers { .. } => {
                a.mov(R1, R6);
                a.call(Helper::GetAttachCookie);
                a.rsh(R0, END_SHIFT);
                a.jeq(R0, 0, other);
            }
            Entry::Words { .. } | Entry::Breakpoint { .. } => {}
        }
    }

    /// Emits R3 = where the address lies that the function returns to, or that address itself. Clobbers nothing else.
    pub fn caller(&self, a: &mut Asm) -> CallerAddress {
        match (self, &REGISTERS.caller) {
            (Entry::Registers { .. }, Caller::Behind(register)) => {
                a.load(R3, u64(R6 + *register));
                CallerAddress::Behind
            }
            (Entry::Registers { .. }, Caller::In(register)) => {
                a.load(R3, u64(R6 + *register));
                CallerAddress::Here
            }
            (Entry::Breakpoint { .. }, _) => {
                // The caller's frame pointer lies on top of it.
                a.load(R3, u64(R6 + REGISTERS.sp));
                a.add(R3, 8);
                CallerAddress::Behind
            }
            (Entry::Words { .. }, _) => CallerAddress::OnStack,
        }
    }

    /// Which of the rooms for large records is this program's. kprobes and perf events of one CPU do not nest and share
    /// one (`bpf_prog_active`).
    pub fn room(&self) -> i32 {
        match self {
            Entry::Registers { .. } | Entry::Breakpoint { .. } => 0,
            Entry::Words { target, .. } => 1 + (*target % (ROOMS - 1)) as i32,
        }
    }

    /// Emits R1 = the stack pointer, or an address near it, as a number. `scratch` is 8 bytes of the frame. In: R6.
    pub fn stack_pointer(&self, a: &mut Asm, scratch: Slot) {
        match self {
            Entry::Registers { .. } | Entry::Breakpoint { .. } => a.load(R1, u64(R6 + REGISTERS.sp)),
            Entry::Words { .. } => {
                // The context lies on the stack. Adding makes a number of it: what is no pointer can be compared.
                a.store(u64(scratch), R6);
                a.mov(R1, 0);
                a.atomic_add(u64(scratch), R1);
                a.load(R1, u64(scratch));
            }
        }
    }

    /// Whether the function has an skb.
    pub fn has_skb(&self) -> bool {
        self.skb_arg() != 0
    }

    fn skb_arg(&self) -> u8 {
        match self {
            Entry::Registers { skb_arg, .. } | Entry::Words { skb_arg, .. } => *skb_arg,
            Entry::Breakpoint { .. } => 1,
        }
    }

    /// Where argument `position` (from 1) lies in the context.
    pub(super) fn argument(&self, position: u8) -> i32 {
        match self {
            Entry::Registers { .. } | Entry::Breakpoint { .. } => REGISTERS.args[usize::from(position) - 1],
            Entry::Words { .. } => 8 * (i32::from(position) - 1),
        }
    }
}
