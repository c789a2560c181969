//! Records, journals, and what a loss of power leaves of them.

mod disk;
mod journal;
mod records;
