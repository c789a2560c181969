//! What lies between a program and the kernel: entry, system calls, message area, ring, threads, heap.
//!
//! Owns every register and address of the user side of the ABI in `ring-abi`. Invariant: it never decides what a
//! program may do; it only sends what the program asks for, and what it cannot send it refuses without a system call.
//!
//! A program that the manifest gives the FPU is built for the host's target, which has registers for it, and with `cfg(guest)`;
//! any other for the guest's own, without an operating system.
//!
//! A program is `#![no_std] #![no_main]`, has a `fn main(env: &rt::Env)`, and says [`entry!`]`(main)`.
#![no_std]
// System calls, the thread area and the heap are what this crate is for.
#![allow(unsafe_code)]
// The host has no first thread and no heap of a program's own.
#![cfg_attr(not(any(target_os = "none", guest)), allow(dead_code))]

extern crate alloc;
// On the host: a stand-in for the kernel, and what a program without `std` needs to be linked or checked there.
#[cfg(not(any(target_os = "none", guest)))]
extern crate std;

mod area;
mod cap;
pub mod channel;
mod env;
mod heap;
#[cfg(not(any(target_os = "none", guest)))]
pub mod host;
#[cfg(all(guest, not(target_os = "none")))]
mod mem;
mod ring;
mod server;
mod start;
mod sync;
pub mod sys;
mod thread;
mod window;
mod words;

pub use area::message_bytes_free;
pub use cap::Cap;
pub use env::{Arguments, Env, EnvError, note_asked, unused_grants};
pub use heap::{HeapFigures, heap_figures};
pub use ring::{Completion, Ring};
pub use ring_abi::{CALLERS, NEVER, Refusal};
pub use server::{Call, LateReply, Received, Service, serve};
pub use start::{Exit, exit, start};
pub use sync::{Condvar, Mutex, MutexGuard};
pub use thread::{JoinHandle, ThreadOptions, spawn_thread};
pub use window::{Access, Window};
pub use words::Words;
