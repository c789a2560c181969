//! The loader QEMU starts with `-kernel` and GRUB with `multiboot2`; the boot package is one newc archive, the `-initrd` or
//! the first `module2`, or files that came each as a `module2` whose text is its path.
//!
//! Owns the way from 32-bit entry to 64-bit code and the split of the archive into files; everything else is `loader`.
//! Invariant: it never touches a device but the serial port it reports on, the clock and the interrupt
//! controllers, and never starts a kernel after an error.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), no_main)]
#![cfg_attr(not(test), allow(unsafe_code))]

#[cfg(not(test))]
mod entry;
#[cfg(not(test))]
mod run;

#[cfg(not(test))]
use run::main;

#[cfg(test)]
fn main() {}
