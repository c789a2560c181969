//! Local APIC, I/O APIC and interrupt vectors.
//!
//! Owns the interrupt controllers and the machine's one pool of vectors, whose rules are `vector_pool`'s. Invariant: it
//! never decides who is woken by an interrupt, never leaves an I/O APIC entry unmasked that nobody asked for, and never
//! hands out a vector on which an interrupt of its last owner may still arrive.
#![no_std]
#![allow(unsafe_code)]

mod io;
mod local;
mod vectors;

pub use io::{End, IoApic, IoApicError, Pin, Redirection};
pub use local::{
    Mode, enable_local, end_of_interrupt, initialise_local, is_requested, local_id, mode,
    send_init, send_ipi, send_startup, set_timer_frequency, timer_arm, timer_frequency, timer_stop,
    timer_ticks,
};
pub use vector_pool::{Counters, PoolError, Slot, VectorSet};
pub use vectors::{
    Routed, add_cpu, allocate as allocate_vector, counters as vector_counters,
    dying as dying_vectors, load as vector_load, retire as retire_vector, settle as settle_vector,
};

/// Vectors with a fixed meaning.
pub mod vector {
    /// Local APIC timer.
    pub const TIMER: u8 = 0xf0;
    /// Another CPU asks this one to drop translations.
    pub const SHOOTDOWN: u8 = 0xf1;
    /// Another CPU made a thread runnable here.
    pub const RESCHEDULE: u8 = 0xf2;
    /// A panicking CPU stops the others.
    pub const STOP: u8 = 0xf3;
    /// Spurious interrupts of the local APIC.
    pub const SPURIOUS: u8 = 0xff;
    /// A CPU is asked to look whether its dying vectors are quiet. Below every device vector, so that those that are
    /// pending on that CPU are taken first.
    pub const DRAIN: u8 = 0x2f;
    /// First vector for devices.
    pub const DEVICE_FIRST: u8 = 0x30;
    /// Last vector for devices.
    pub const DEVICE_LAST: u8 = 0xef;
}

/// Message-signalled interrupt to one CPU: the address and data a device writes (Intel SDM vol. 3, 11.11).
pub const fn message(apic_id: u32, vector: u8) -> (u64, u32) {
    (0xfee0_0000 | ((apic_id as u64 & 0xff) << 12), vector as u32)
}
