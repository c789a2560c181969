//! Dates and times of day, and what the registers of a PC's real-time clock say.
//!
//! Owns the one conversion between seconds since 1970 and dates of the proleptic Gregorian calendar, in UTC and without leap
//! seconds; what of a real-time clock's registers is believed; and the time of day as many read it while somebody sets it.
//!
//! Invariant: this crate never reads a clock, knows no zone, and takes no date that the calendar does not have.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod date;
mod registers;
#[cfg(test)]
mod tests;
mod wall;

pub use date::{Date, NS_PER_SECOND, unix_time};
pub use registers::{Registers, settled};
pub use wall::{Setting, Wall};
