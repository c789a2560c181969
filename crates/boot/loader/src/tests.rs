//! One protocol fact per test; the names of the facts follow `PROTOCOL.md`.

mod answers;
mod fake;
mod maps;
mod multiboot2;
mod placement;
mod refusals;
mod start_info;
