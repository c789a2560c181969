//! The processes, and the end of one.

use sdk::{
    alloc::{format, string::ToString},
    fact,
};
use shell_lang::{
    ProcessName,
    show::{self, Align, Table},
};
use terminal::processes;

use crate::held::Held;
use crate::output::{Outcome, Output};

/// How long the end of a process is waited for.
const PATIENCE_NS: u64 = 2_000_000_000;
/// How often it is looked for meanwhile.
const ROUND_NS: u64 = 10_000_000;

/// Lists the processes.
pub fn list(held: &Held, to: &mut Output<'_>) -> Outcome {
    let mut table = Table::new(&[
        ("PROCESS", Align::Left),
        ("PRIORITY", Align::Right),
        ("THREADS", Align::Right),
        ("CPU s", Align::Right),
        ("OF", Align::Right),
        ("STATE", Align::Left),
    ]);
    let rows = processes::list(held.info.as_ref())?;
    for row in &rows {
        table.row([
            format!("{} {}", row.id, row.name),
            row.priority.to_string(),
            row.threads.to_string(),
            show::seconds(row.cpu_ns),
            row.cpu_limit(),
            row.state().to_string(),
        ]);
    }
    let used: u64 = rows.iter().map(|row| row.cpu_ns).sum();
    fact!("diagnostics.ps", processes = rows.len(), cpu_ns ~ used);
    to.listing(table.lines(), 1)
}

/// Ends a process, and says whether it is gone.
pub fn end(held: &Held, whom: &ProcessName, to: &mut Output<'_>) -> Outcome {
    let info = held.info.as_ref();
    let id = processes::find(info, whom)?;
    processes::end(held.processes.as_ref(), id)?;
    let begun = to.now_ns();
    let gone = loop {
        if !processes::list(info)?.iter().any(|row| row.id == id) {
            break true;
        }
        let late = match (begun, to.now_ns()) {
            (Some(begun), Some(now)) => now.saturating_sub(begun) > PATIENCE_NS,
            // Without a clock nobody waits.
            _ => true,
        };
        if late {
            break false;
        }
        to.pause(ROUND_NS)?;
    };
    to.line(&match gone {
        true => format!("process {id} is ended"),
        false => format!("process {id} is told to end, and is still there; ps lists it"),
    });
    fact!("diagnostics.end", id ~ id, gone = gone);
    Ok(())
}
