//! Tables, and what a program holds.

use core::fmt::Write as _;

use sdk::{
    Env,
    alloc::{format, string::ToString},
    schema,
};
use shell_lang::show::{Align, Table};

use crate::Terminal;

/// Writes a table.
pub fn print(to: &mut Terminal, table: &Table) {
    for line in table.lines() {
        let _ = writeln!(to, "{}", line.trim_end());
    }
}

/// Lists what the program was given.
pub fn held(env: &Env) -> Table {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("INTERFACE", Align::Left),
        ("HANDLE", Align::Right),
    ]);
    for (name, interface, handle) in env.entries() {
        let interface = match schema::interface_name(interface) {
            Some(known) => known.to_string(),
            None => format!("{interface:#018x}"),
        };
        table.row([name.to_string(), interface, format!("{handle:#x}")]);
    }
    table
}
