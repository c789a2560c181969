//! The table, the raw figures, and the comparison with an earlier run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use calendar::Date;

use crate::bench::guest::Sample;
use crate::bench::number::figure;
use crate::bench::rows::{ROWS, Row};
use crate::project::Project;

/// The guest's clock may differ from the count by this much: the marks and reads themselves.
const CLOCK_TOLERANCE: f64 = 0.001;
/// The columns that a comparison needs.
const KEY: &str = "commit,date,qemu,row,repetition,operations,instructions,";
const HEAD: &str = "commit,date,qemu,row,repetition,operations,instructions,user,kernel,cr3,syscall,\
                    repeat,wrmsr,port,iret,halt,ticks,locked";

/// The repetitions of every row.
#[derive(Default)]
pub struct Results {
    /// By row.
    pub samples: BTreeMap<String, Vec<Sample>>,
    /// Why others are missing.
    pub unavailable: Vec<String>,
}

/// The median of something about the repetitions of a row, for each operation.
pub fn median(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> f64 {
    let mut values: Vec<f64> = samples
        .iter()
        .map(|sample| of(sample) as f64 / sample.operations as f64)
        .collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// How far the repetitions of a row lie apart, as a share of their median.
pub fn spread(row: &Row, samples: &[Sample]) -> f64 {
    let values = samples
        .iter()
        .map(|sample| instructions(row, sample) as f64 / sample.operations as f64);
    let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    let value = value_of(row, samples);
    if value > 0.0 {
        (most - least) / value
    } else {
        0.0
    }
}

/// What a row says of its repetitions.
pub fn value_of(row: &Row, samples: &[Sample]) -> f64 {
    if row.group.is_hold() {
        return samples.iter().map(|s| s.counts.hold).max().unwrap_or(0) as f64;
    }
    median(samples, |s| s.counts.instructions())
}

/// What is written down as a repetition's instructions.
fn instructions(row: &Row, sample: &Sample) -> u64 {
    if row.group.is_hold() {
        sample.counts.hold
    } else {
        sample.counts.instructions()
    }
}

/// A figure against its row's limits.
pub fn verdict(row: &Row, value: f64) -> String {
    let Some(budget) = row.budget else {
        return "a figure".into();
    };
    if row.stretch.is_some_and(|stretch| value <= stretch) {
        return "within the stretch goal".into();
    }
    if value <= budget {
        "within budget".into()
    } else {
        format!("over by {:.0} %", (value / budget - 1.0) * 100.0)
    }
}

/// The table of `rows`, against an earlier run's medians.
pub fn table(rows: &[&Row], results: &Results, before: &BTreeMap<String, f64>) -> String {
    let mut text = format!(
        "{:<17} {:>12} {:>7} {:>8} {:>8} {:>8} {:>10} {:>10}  {:<24} {}\n",
        "row",
        "instr/op",
        "cr3/op",
        "sys/op",
        "rep/op",
        "lock/op",
        "budget",
        "stretch",
        "verdict",
        "last run"
    );
    for row in rows {
        let Some(samples) = results.samples.get(row.name) else {
            let _ = writeln!(text, "{:<17} {:>12}", row.name, "unavailable");
            continue;
        };
        let value = value_of(row, samples);
        let limit = |limit: Option<f64>| limit.map_or_else(|| "-".into(), figure);
        let change = before.get(row.name).map_or_else(
            || "-".into(),
            |last| format!("{:+.1} %", (value / last - 1.0) * 100.0),
        );
        let _ = writeln!(
            text,
            "{:<17} {:>12} {:>7.2} {:>8.2} {:>8} {:>8.2} {:>10} {:>10}  {:<24} {}",
            row.name,
            figure(value),
            median(samples, |s| s.counts.cr3),
            median(samples, |s| s.counts.syscall),
            figure(median(samples, |s| s.counts.repeat)),
            median(samples, |s| s.counts.locked),
            limit(row.budget),
            limit(row.stretch),
            verdict(row, value),
            change
        );
        if row.group.is_hold()
            && let Some(longest) = samples.iter().max_by_key(|s| s.counts.hold)
        {
            for place in &longest.places {
                let _ = writeln!(text, "  {place}");
            }
        }
        let ticks = median(samples, |s| s.ticks);
        if row.is_busy && (ticks / value - 1.0).abs() > CLOCK_TOLERANCE {
            let _ = writeln!(
                text,
                "  the guest's clock says {} for {}: do not trust this row",
                figure(ticks),
                row.name
            );
        }
    }
    for reason in &results.unavailable {
        let _ = writeln!(text, "unavailable: {reason}");
    }
    text
}

/// Writes every repetition down; where.
pub fn keep(project: &Project, qemu: &str, results: &Results) -> Result<PathBuf> {
    let commit = git(project);
    let date = date(std::time::SystemTime::now());
    let mut text = format!("{HEAD}\n");
    for row in &ROWS {
        for (number, sample) in results
            .samples
            .get(row.name)
            .into_iter()
            .flatten()
            .enumerate()
        {
            let c = &sample.counts;
            let _ = writeln!(
                text,
                "{commit},{date},{},{},{number},{},{},{},{},{},{},{},{},{},{},{},{},{}",
                qemu.replace(',', ";"),
                row.name,
                sample.operations,
                instructions(row, sample),
                c.user,
                c.kernel,
                c.cr3,
                c.syscall,
                c.repeat,
                c.wrmsr,
                c.port,
                c.iret,
                c.halt,
                sample.ticks,
                c.locked
            );
        }
    }
    let dir = project.target.join("bench");
    let path = dir.join(format!("{}-{commit}.csv", date.replace(':', "")));
    fs::write(&path, text)?;
    Ok(path)
}

fn git(project: &Project) -> String {
    Command::new("git")
        .current_dir(&project.root)
        .args(["describe", "--always", "--dirty"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_else(|| "unknown".into())
}

/// The medians of each row's last kept run.
pub fn last(project: &Project) -> Result<BTreeMap<String, f64>> {
    let mut medians = BTreeMap::new();
    for path in kept(project) {
        medians.extend(read(&path)?);
    }
    Ok(medians)
}

/// The medians of the runs before the last one, at most `most`, the newest first; each with its file's name.
pub fn history(project: &Project, most: usize) -> Result<Vec<(String, BTreeMap<String, f64>)>> {
    let paths = kept(project).into_iter().rev().skip(1).take(most);
    paths
        .map(|path| {
            let name = path.file_stem().unwrap_or_default();
            Ok((name.to_string_lossy().into_owned(), read(&path)?))
        })
        .collect()
}

/// The kept files, by time: their names begin with it.
fn kept(project: &Project) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(project.target.join("bench"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "csv"))
        .collect();
    paths.sort();
    paths
}

/// The medians of a kept file.
pub fn read(path: &Path) -> Result<BTreeMap<String, f64>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} holds no figures of a bench", path.display()))
}

fn parse(text: &str) -> Result<BTreeMap<String, f64>> {
    let mut lines = text.lines();
    // Files of earlier versions have fewer columns at their end.
    let head = lines.next().unwrap_or_default();
    anyhow::ensure!(
        head.starts_with(KEY) && HEAD.starts_with(head),
        "its first line is another one"
    );
    let mut values = BTreeMap::<String, Vec<f64>>::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let [_, _, _, row, _, operations, instructions, ..] = fields[..] else {
            anyhow::bail!("{line:?} is too short");
        };
        let value = instructions.parse::<f64>()? / operations.parse::<f64>()?;
        values.entry(row.into()).or_default().push(value);
    }
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Ok(values
        .into_iter()
        .map(|(row, values)| (row, middle(values)))
        .collect())
}

/// `2026-01-31T12:00:00Z`.
fn date(time: std::time::SystemTime) -> String {
    let seconds = time
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let Date {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = Date::of(seconds.cast_signed());
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::{HEAD, Results, date, figure, parse, table};
    use crate::bench::guest::Sample;
    use crate::bench::plugin::Counts;
    use crate::bench::rows;
    use std::collections::BTreeMap;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59Z");
    }

    #[test]
    fn kept_figures_give_their_medians() {
        let line = |n, i| format!("c,d,q,null_call,{n},10,{i},0,0,0,0,0,0,0,0,0,0");
        let text = [HEAD.to_owned(), line(0, 2000), line(1, 3000), line(2, 2500)].join("\n");
        assert_eq!(parse(&text).unwrap().get("null_call"), Some(&250.0));
        assert!(parse("something\nelse").is_err());
        assert!(parse(&format!("{HEAD}\n1,2")).is_err());
    }

    #[test]
    fn a_row_over_its_budget_says_by_how_much() {
        let mut results = Results::default();
        let sample = |kernel, ticks| Sample {
            mark: 0,
            operations: 10,
            counts: Counts {
                kernel,
                ..Counts::default()
            },
            ticks,
            places: Vec::new(),
        };
        let samples = vec![sample(5000, 5000); 3];
        results.samples.insert("null_call".into(), samples);
        results
            .samples
            .insert("ring_nop".into(), vec![sample(1000, 9000)]);
        let rows = ["null_call", "ring_nop", "ipc_rt_reg"].map(|name| rows::find(name).unwrap());
        let text = table(&rows, &results, &BTreeMap::new());
        assert!(text.contains("over by 150 %"), "{text}");
        assert!(text.contains("do not trust this row"), "{text}");
        assert!(text.contains("unavailable"), "{text}");
        assert_eq!(figure(1_234_567.0), "1.23 M");
    }
}
