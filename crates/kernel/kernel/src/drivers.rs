//! The driver table, checked once at boot against what the manifest lists.
#![expect(clippy::disallowed_methods, reason = "boot: drivers are listed once")]

use alloc::vec::Vec;

use driver_table::{DRIVERS, DriverEntry, TableError, check_table};
use sabotage::sabotage;

use crate::refusal::boot_error;

/// The table in name order: link order means nothing.
pub fn table() -> Vec<&'static DriverEntry> {
    let mut table: Vec<&'static DriverEntry> = DRIVERS.iter().collect();
    table.sort_by_key(|entry| entry.name);
    if sabotage!(DROP_DRIVER) {
        table.pop();
    }
    table
}

/// Stops the boot when the table is not exactly what the manifest lists. A manifest that cannot be read is init's to
/// refuse: then only the table itself is checked.
pub fn check(manifest: Option<&[u8]>) {
    let table = table();
    let manifest = manifest.and_then(|bytes| manifest::read(bytes).ok());
    let own: Vec<&str> = table.iter().map(|entry| entry.name).collect();
    let listed = match &manifest {
        Some(m) => m.drivers.iter().map(|d| d.as_str()).collect(),
        None => own.clone(),
    };
    let Err(error) = check_table(&table, &listed) else {
        let mut names = crate::line::Line::new();
        for (i, name) in own.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = core::fmt::Write::write_fmt(&mut names, format_args!("{comma}{name}"));
        }
        // Volatile, so that a new driver changes no snapshot: the list that it must equal stands in the manifest.
        crate::fact!("drivers.table", count ~ own.len(), names ~ names.text());
        return;
    };
    let (rule, name, other) = match &error {
        TableError::Missing(name) => ("missing", *name, ""),
        TableError::Extra(name) => ("extra", *name, ""),
        TableError::Duplicate(name) => ("duplicate", *name, ""),
        TableError::Overlap(name, other, _) => ("overlap", *name, *other),
        TableError::Empty(name) => ("empty", *name, ""),
    };
    crate::fact!("drivers.refused", rule = rule, name = name, other = other);
    boot_error(format_args!("{error}"))
}
