//! Compares the drivers that are linked into the kernel with the names on its command line, on the host.
//!
//! Invariant: never says that the table is right unless the rule that every boot goes by says so.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "boot: long before it, on the host"
)]
#![forbid(unsafe_code)]

use std::process::ExitCode;

use driver_table::{DRIVERS, DriverEntry, check_table};

fn main() -> ExitCode {
    let listed: Vec<String> = std::env::args().skip(1).collect();
    let listed: Vec<&str> = listed.iter().map(String::as_str).collect();
    let mut table: Vec<&'static DriverEntry> = DRIVERS.iter().collect();
    table.sort_by_key(|entry| entry.name);
    match check_table(&table, &listed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
