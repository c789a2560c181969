//! The userspace half of the NVMe driver.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), no_main)]
#[cfg(test)]
fn main() {}
