//! The committed figures: tables in `docs/benchmarks.md` that the tool writes and the gate compares with.
//!
//! Invariant: never changes a row that was not measured, nor anything outside its marks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::bench::Shares;
use crate::bench::derived::is_derived;
use crate::bench::guest::Sample;
use crate::bench::number::figure;
use crate::bench::report::{Results, median, spread, value_of, verdict};
use crate::bench::rows::{Group, ROWS, Row};
use crate::project::Project;

/// The page that holds them.
pub const PAGE: &str = "docs/benchmarks.md";
/// How far a figure may move without being written down anew.
const TOLERANCE: f64 = 0.05;
/// The same where the host's timing decides how many requests a batch has, and for what two rows differ by: the allocators that
/// these find are in different states.
const LOOSE_TOLERANCE: f64 = 0.15;
/// Repetitions that lie further apart than this are no row to be exact about.
const STEADY: f64 = 0.01;
/// How many functions are named for each row.
const NAMED: usize = 5;
const END: &str = "<!-- end of figures -->";

/// The tables, by what their rows are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Table {
    Operations,
    Holds,
    PowerOn,
}

const TABLES: [Table; 3] = [Table::Operations, Table::Holds, Table::PowerOn];

impl Table {
    fn of(row: &Row) -> Self {
        match row.group {
            Group::Hold | Group::HoldTwo | Group::HoldDomain => Self::Holds,
            Group::Reset(_) => Self::PowerOn,
            Group::Boot
            | Group::BootUefi
            | Group::Calls
            | Group::Block
            | Group::Device
            | Group::Domain
            | Group::Requests => Self::Operations,
        }
    }

    fn begin(self) -> String {
        format!("<!-- figures: {self:?}, by `cargo xtask bench --write` -->")
    }

    fn head(self) -> &'static str {
        match self {
            Self::Operations => {
                "| row | instructions | spread | LOCKed | CR3 loads | system calls | must | stretch | Linux 6.1 | |\n\
                 |---|---|---|---|---|---|---|---|---|---|"
            }
            Self::Holds => "| row | instructions | what is asked | |\n|---|---|---|---|",
            Self::PowerOn => "| row | instructions | path | Linux 6.1 |\n|---|---|---|---|",
        }
    }

    fn line(self, row: &Row, samples: &[Sample]) -> String {
        let value = value_of(row, samples);
        let start = format!("| `{}` | {} |", row.name, exact(value));
        let limit = |limit: Option<f64>| limit.map_or_else(|| "-".into(), figure);
        let linux = limit(row.linux().map(|(value, _)| value));
        match self {
            Self::Operations => format!(
                "{start} {:.1} % | {:.1} | {:.1} | {:.1} | {} | {} | {linux} | {} |",
                spread(row, samples) * 100.0,
                median(samples, |s| s.counts.locked),
                median(samples, |s| s.counts.cr3),
                median(samples, |s| s.counts.syscall),
                limit(row.budget),
                limit(row.stretch),
                verdict(row, value)
            ),
            Self::Holds => format!("{start} {} | {} |", row.what, verdict(row, value)),
            Self::PowerOn => format!("{start} {} | {linux} |", row.what),
        }
    }
}

const SHARES: &str = "<!-- figures: Shares, by `cargo xtask bench --write` -->";

/// What a committed line says.
#[derive(Clone, Debug, PartialEq)]
struct Committed {
    value: f64,
    spread: f64,
}

/// Writes what was measured into the page.
pub fn write(project: &Project, qemu: &str, results: &Results, shares: &Shares) -> Result<()> {
    let path = project.root.join(PAGE);
    let mut page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    for table in TABLES {
        page = replace(&page, &table.begin(), |old| renew(table, old, results))?;
    }
    page = replace(&page, SHARES, |old| renew_shares(old, shares))?;
    let version = qemu.split_whitespace().nth(3).unwrap_or(qemu);
    page = replace(&page, "<!-- figures: QEMU -->", |_| {
        format!("Measured with QEMU {version}.\n")
    })?;
    fs::write(&path, page).with_context(|| format!("cannot write {PAGE}"))
}

/// Refuses rows that are not as the page has them.
pub fn compare(project: &Project, rows: &[&Row], results: &Results) -> Result<()> {
    let path = project.root.join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let committed = committed(&page)?;
    let moved: Vec<String> = rows
        .iter()
        .filter_map(|row| judge(row, results.samples.get(row.name), committed.get(row.name)))
        .collect();
    ensure!(
        moved.is_empty(),
        "{}\n{PAGE} says otherwise. If it is meant, say why in the commit and write it down: cargo xtask bench --write",
        moved.join("\n")
    );
    Ok(())
}

/// What is wrong with a row, if anything.
fn judge(
    row: &Row,
    samples: Option<&Vec<Sample>>,
    committed: Option<&Committed>,
) -> Option<String> {
    let Some(samples) = samples else {
        return Some(format!("{}: could not be measured", row.name));
    };
    let value = value_of(row, samples);
    if row.group.is_hold() {
        // A promise, and no figure that is written down: where a stretch begins and ends moves with every change.
        let budget = row.budget.filter(|budget| value > *budget)?;
        return Some(format!(
            "{}: {} with interrupts off, and {} are promised",
            row.name,
            exact(value),
            exact(budget)
        ));
    }
    let Some(committed) = committed else {
        return Some(format!(
            "{}: {} now, and no figure yet",
            row.name,
            exact(value)
        ));
    };
    let change = value / committed.value - 1.0;
    let apart = committed.spread.max(spread(row, samples));
    let tolerance = match row.waits() || is_derived(row) {
        true => LOOSE_TOLERANCE,
        false => TOLERANCE,
    };
    let allowed = tolerance + if apart < STEADY { 0.0 } else { apart };
    (change.abs() > allowed).then(|| {
        format!(
            "{}: {} stands there, {} was measured ({:+.1} %)",
            row.name,
            exact(committed.value),
            exact(value),
            change * 100.0
        )
    })
}

/// The figures on the page, by row.
fn committed(page: &str) -> Result<BTreeMap<String, Committed>> {
    let mut found = BTreeMap::new();
    for table in TABLES {
        for (name, line) in lines(between(page, &table.begin())?.1) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let number = |cell: Option<&&str>| {
                let text = cell.map(|cell| cell.replace([',', '%', ' '], ""));
                text.and_then(|text| text.parse::<f64>().ok())
            };
            let value = number(cells.get(2))
                .filter(|value| *value > 0.0)
                .with_context(|| format!("{PAGE}: {line:?} has no figure"))?;
            let spread = match table {
                Table::Operations => number(cells.get(3)).unwrap_or(0.0) / 100.0,
                Table::Holds | Table::PowerOn => 0.0,
            };
            found.insert(name.to_owned(), Committed { value, spread });
        }
    }
    Ok(found)
}

/// The lines of a table's rows, by name.
fn lines(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let rows = table
        .lines()
        .filter_map(|line| Some((line.strip_prefix("| `")?, line)));
    rows.filter_map(|(rest, line)| Some((rest.split_once('`')?.0, line)))
}

fn renew(table: Table, old: &str, results: &Results) -> String {
    let old: BTreeMap<&str, &str> = lines(old).collect();
    let mut text = format!("{}\n", table.head());
    for row in ROWS.iter().filter(|row| Table::of(row) == table) {
        let line = match results.samples.get(row.name) {
            Some(samples) => table.line(row, samples),
            None => match old.get(row.name) {
                Some(line) => (*line).to_owned(),
                None => continue,
            },
        };
        let _ = writeln!(text, "{line}");
    }
    text
}

fn renew_shares(old: &str, shares: &Shares) -> String {
    let old: BTreeMap<&str, &str> = lines(old).collect();
    let mut text = "| row | instructions of an operation, by function |\n|---|---|\n".to_owned();
    for row in &ROWS {
        let line = match shares.get(row.name) {
            Some(functions) => {
                let named = functions.iter().take(NAMED);
                let named: Vec<String> = named
                    .map(|(name, each)| format!("`{}` {}", name.replace('|', "\\|"), figure(*each)))
                    .collect();
                format!("| `{}` | {} |", row.name, named.join(", "))
            }
            None => match old.get(row.name) {
                Some(line) => (*line).to_owned(),
                None => continue,
            },
        };
        let _ = writeln!(text, "{line}");
    }
    text
}

/// What stands before, between and behind the marks.
fn between<'a>(page: &'a str, begin: &str) -> Result<(&'a str, &'a str, &'a str)> {
    let Some((before, rest)) = page.split_once(begin) else {
        bail!("{PAGE} has no {begin:?}");
    };
    let Some((inner, after)) = rest.split_once(END) else {
        bail!("{PAGE} has no {END:?} behind {begin:?}");
    };
    Ok((before, inner, after))
}

fn replace(page: &str, begin: &str, new: impl FnOnce(&str) -> String) -> Result<String> {
    let (before, inner, after) = between(page, begin)?;
    Ok(format!("{before}{begin}\n\n{}\n{END}{after}", new(inner)))
}

/// A figure in full, in groups of three digits; small ones with a digit behind the point.
fn exact(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Table, committed, exact, judge, renew, replace};
    use crate::bench::guest::Sample;
    use crate::bench::plugin::Counts;
    use crate::bench::report::Results;
    use crate::bench::rows;

    fn sample(kernel: u64) -> Sample {
        Sample {
            mark: 0,
            operations: 10,
            counts: Counts {
                kernel,
                ..Counts::default()
            },
            ticks: 0,
            places: Vec::new(),
        }
    }

    fn page(results: &Results) -> String {
        let mut page = String::from("before\n");
        for table in super::TABLES {
            page += &format!("{}\n\n{}\n{}\n", table.begin(), table.head(), super::END);
        }
        replace(&page, &Table::Operations.begin(), |old| {
            renew(Table::Operations, old, results)
        })
        .unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_a_move_is_refused() {
        let mut results = Results::default();
        let samples = vec![sample(12_345_670); 3];
        results.samples.insert("teardown_1000".into(), samples);
        let page = page(&results);
        assert!(page.starts_with("before\n"));
        let found = committed(&page).unwrap();
        let row = rows::find("teardown_1000").unwrap();
        let said = found.get(row.name);
        assert_eq!(said.unwrap().value, 1_234_567.0);
        let moved = |kernel| judge(row, Some(&vec![sample(kernel); 3]), said);
        assert_eq!(moved(12_900_000), None);
        assert!(moved(13_000_000).unwrap().contains("+5.3 %"));
        assert!(moved(11_000_000).is_some(), "a fall is to be written, too");
        assert!(judge(row, None, said).is_some());
        assert!(judge(row, Some(&vec![sample(1)]), None).is_some());
    }

    #[test]
    fn a_row_whose_repetitions_lie_apart_may_move_by_that_much_more() {
        let row = rows::find("map_revoke_1000").unwrap();
        let said = super::Committed {
            value: 1000.0,
            spread: 0.0,
        };
        let apart = vec![sample(10_000), sample(10_800), sample(11_000)];
        assert_eq!(judge(row, Some(&apart), Some(&said)), None);
        let steady = vec![sample(10_800); 3];
        assert!(judge(row, Some(&steady), Some(&said)).is_some());
        let waiting = rows::find("blk_4k_qd32").unwrap();
        assert_eq!(judge(waiting, Some(&steady), Some(&said)), None);
    }

    #[test]
    fn the_longest_stretch_is_held_to_its_promise() {
        let row = rows::find("hold_max").unwrap();
        let held = |hold| {
            let mut one = sample(1);
            one.counts.hold = hold;
            judge(row, Some(&vec![one]), None)
        };
        assert_eq!(held(50_000), None);
        assert!(held(50_001).unwrap().contains("promised"));
    }

    #[test]
    fn rows_that_were_not_measured_keep_their_lines() {
        let mut results = Results::default();
        let samples = vec![sample(2330); 3];
        results.samples.insert("null_call".into(), samples);
        let first = page(&results);
        let second = replace(&first, &Table::Operations.begin(), |old| {
            renew(Table::Operations, old, &Results::default())
        });
        let found: BTreeMap<_, _> = committed(&second.unwrap()).unwrap();
        assert_eq!(found.get("null_call").unwrap().value, 233.0);
        assert!(committed("nothing").is_err());
    }

    #[test]
    fn figures_are_grouped() {
        assert_eq!(exact(1_234_567.4), "1,234,567");
        assert_eq!(exact(233.0), "233");
        assert_eq!(exact(12.04), "12.0");
        assert_eq!(exact(100_000.0), "100,000");
    }
}
