//! What an attacker calls and must not hit by mistake: it would end the test.
//!
//! Invariant: these handles are never among those of `pool`, so that no message carries one and no call for another interface
//! reaches one; whoever holds one changes no bit of a handle either.

use sdk::schema::methods::Interface as Called;

use crate::pool::Held;
use crate::random::Random;

const PROCESS_CONTROL: u64 = sdk::process::process_control::INTERFACE_ID;
/// The interface that ends the machine.
pub const SYSTEM_CONTROL: u64 = sdk::process::system_control::INTERFACE_ID;

/// The handles; 0 for one that was not given.
#[derive(Clone, Copy, Default)]
pub struct Guarded {
    /// `ProcessControl`: ends every process, the one that runs the test too.
    control: u64,
    /// `SystemControl`.
    power: u64,
}

impl Guarded {
    /// Takes a handle that is one of them. `false`: it is none.
    pub fn keep(&mut self, held: Held) -> bool {
        match held.kind {
            PROCESS_CONTROL => self.control = held.handle,
            SYSTEM_CONTROL => self.power = held.handle,
            _ => return false,
        }
        true
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.control == 0 && self.power == 0
    }

    /// What a call of an interface is for: the guarded handle where it is of a guarded kind, `other` elsewhere.
    pub fn instead(&self, kind: u64, other: Held) -> Held {
        match kind {
            PROCESS_CONTROL => Held {
                handle: self.control,
                kind,
            },
            SYSTEM_CONTROL => Held {
                handle: self.power,
                kind,
            },
            _ => other,
        }
    }

    /// The number to call `method` by. Every method of `SystemControl` ends the machine, so it is called by numbers that name none:
    /// also by those that would name one if a bit got lost.
    pub fn number(random: &mut Random, of: &Called, method: u16) -> u16 {
        if of.id != SYSTEM_CONTROL {
            return method;
        }
        let first = of.methods.len() as u16;
        let number = match random.below(4) {
            0 => first + random.below(6) as u16,
            1 => method | 1 << (1 + random.below(15)),
            2 => u16::MAX - random.below(4) as u16,
            _ => random.next() as u16,
        };
        number.max(first)
    }
}
