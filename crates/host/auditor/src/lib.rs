//! An auditor outside the machine: reads a stopped guest's memory and checks what no program inside could.
//!
//! It owns no state of the guest and asks the kernel nothing. It starts from the registers of the CPUs, walks every page
//! table it finds, and compares what the tables say with the one word that the kernel keeps for every frame. Invariant:
//! it never writes to the memory, and an image that it cannot make sense of is an error, never a clean answer.
//!
//! What it cannot see: a CPU's TLB, which may still hold what the tables no longer say; what a device keeps to itself;
//! anything between two stops.
#![forbid(unsafe_code)]

mod audit;
mod cpu;
mod image;
mod kernel;
mod rules;
mod walk;
mod words;

#[cfg(test)]
mod tests;

pub use audit::{Audit, Counts, Finding, Told, audit};
pub use cpu::{Cpu, parse_registers};
pub use image::Image;
pub use kernel::Kernel;
pub use rules::{Rule, When};
pub use words::Use;
