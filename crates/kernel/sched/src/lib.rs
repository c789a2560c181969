//! Threads, run queues, timers and the switch between threads.
//!
//! Owns which task runs on which CPU and when a waiting one wakes: one run queue and one timer heap per CPU, fixed
//! priorities and what calls lend to them, a 5 ms quantum that is armed only when two tasks of one priority want the CPU,
//! direct switch, budgets of CPU time by the period, and the look in the middle of long work.
//! Invariant: it never knows why a task waits, and nothing on the way of a wake-up or a switch allocates.
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may fail"
    )
)]
#![no_std]
#![allow(unsafe_code)]

extern crate alloc;

/// By this name, so that a model can bring its own.
use core::sync::atomic as atomics;

mod budget;
mod clock;
mod core_state;
mod heap;
mod look;
mod run_queue;
mod switch;
mod task;
mod timer;

pub use budget::PERIOD_NS;
pub use clock::{NEVER, initialise as initialise_clock, now_ns, tsc_hz, tsc_to_ns};
pub use core_state::{CpuSummary, cpu_count, online, part_of, set_cpu_count, spent_by, summary};
pub use look::{Look, Unbroken, point, rest, unbroken};
pub use run_queue::PRIORITIES;
pub use switch::{
    block, block_and_switch, claim, count_time, current, exit_current, idle_loop, install_idle,
    kick, make_ready, preempt_if_needed, run_first, wake, yield_now,
};
pub use task::{Running, Taken, Task, TaskSpec};
pub use timer::{callback_at, on_interrupt as on_timer_interrupt};
