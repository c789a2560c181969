//! `top`: who uses the processors.

use core::fmt::Write as _;

use line_editor::char_cells;
use sdk::alloc::{collections::BTreeMap, format, string::ToString, vec::Vec};
use shell_lang::show::{self, Align, Table};
use terminal::{Failure, Terminal, processes::Row};

use crate::system::System;

/// From one table to the next.
const ROUND_NS: u64 = 1_000_000_000;
/// Lines of the screen that show no process: the sum, the head, and the last one, in which the cursor stands.
const OTHER_LINES: usize = 3;
/// As many processes as a script is shown.
const SHOWN: usize = 20;

/// Shows a table each second, `rounds` times or until Ctrl-C.
pub fn top(system: &System, rounds: Option<u32>, to: &mut Terminal) -> Result<(), Failure> {
    let mut before = sample(system, to)?;
    let mut left = rounds;
    while left != Some(0) {
        let _ = to.flush();
        if to.interrupted_until(before.ns.saturating_add(ROUND_NS)) {
            return Err(Failure::Interrupted);
        }
        let now = sample(system, to)?;
        if to.is_interactive() {
            // From the top left corner, over what stands there.
            let _ = to.write(b"\x1b[H\x1b[J");
        }
        show(&before, &now, to);
        before = now;
        left = left.map(|n| n - 1);
    }
    Ok(())
}

struct Sample {
    ns: u64,
    rows: Vec<Row>,
}

fn sample(system: &System, to: &Terminal) -> Result<Sample, Failure> {
    let ns = to.now_ns().ok_or_else(|| Failure::not_held("Timer"))?;
    let rows = system.rows()?;
    Ok(Sample { ns, rows })
}

fn show(before: &Sample, now: &Sample, to: &mut Terminal) {
    let earlier: BTreeMap<u64, u64> = before.rows.iter().map(|row| (row.id, row.cpu_ns)).collect();
    let span = now.ns.saturating_sub(before.ns).max(1);
    let mut used: Vec<(u64, &Row)> = now
        .rows
        .iter()
        // A process that began meanwhile has used all of it meanwhile.
        .map(|row| {
            let then = earlier.get(&row.id).copied().unwrap_or(0);
            (row.cpu_ns.saturating_sub(then), row)
        })
        .collect();
    used.sort_by_key(|(ns, row)| (core::cmp::Reverse(*ns), row.id));
    let mut table = Table::new(&[
        ("ID", Align::Right),
        ("NAME", Align::Left),
        ("PRIORITY", Align::Right),
        ("CPU %", Align::Right),
        ("OF", Align::Right),
        ("CPU s", Align::Right),
        ("MEMORY", Align::Right),
        ("RESTARTS", Align::Right),
        ("STATE", Align::Left),
    ]);
    let all: u64 = used.iter().map(|(ns, _)| ns).sum();
    let screen = to.is_interactive().then(|| to.size());
    let shown = screen.map_or(SHOWN, |size| {
        usize::from(size.rows).saturating_sub(OTHER_LINES).max(1)
    });
    for (ns, row) in used.iter().take(shown) {
        table.row([
            row.id.to_string(),
            row.name.to_string(),
            row.priority.to_string(),
            percent(*ns, span),
            row.cpu_limit(),
            show::seconds(row.cpu_ns),
            show::size(u64::from(row.pages) * 4096),
            row.restarts.to_string(),
            row.state(),
        ]);
    }
    let sum = format!(
        "{} of one processor in use by {} processes",
        percent(all, span) + " %",
        used.len()
    );
    // A line that went on in the next row would push the first one out.
    let columns = screen.map_or(usize::MAX, |size| {
        usize::from(size.columns).saturating_sub(1)
    });
    for line in core::iter::once(sum).chain(table.lines()) {
        let _ = writeln!(to, "{}", first_cells(line.trim_end(), columns));
    }
}

/// As much of a line as so many columns have room for.
fn first_cells(line: &str, columns: usize) -> &str {
    let mut left = columns;
    let end = line.char_indices().find(|(_, char)| {
        let cells = char_cells(*char);
        let is_over = cells > left;
        left = left.saturating_sub(cells);
        is_over
    });
    line.get(..end.map_or(line.len(), |(at, _)| at))
        .unwrap_or_default()
}

/// With one digit behind the point.
fn percent(part: u64, whole: u64) -> sdk::alloc::string::String {
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    format!("{}.{}", tenths / 10, tenths % 10)
}
