//! The page of `cargo xtask bench --report`: every row as bars, for a person who wants to see where the system stands.
//!
//! Invariant: shows only what was measured and kept, and needs nothing but itself: no script, no font, no other file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::bench::Shares;
use crate::bench::guest::Sample;
use crate::bench::number::figure;
use crate::bench::report::{self, Results, median, spread, value_of, verdict};
use crate::bench::rows::Row;
use crate::project::Project;

/// Earlier runs that are shown.
const EARLIER: usize = 8;
/// Functions that are named.
const NAMED: usize = 8;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #6a737d; --own: #2f6feb; --old: #9db8ea; --linux: #b0b7c0;
  --must: #d9822b; --stretch: #2e9e5b; --line: #e1e4e8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --paper: #14171b; --soft: #98a2ad; --own: #5b93ff; --old: #3d5687;
  --linux: #5c646e; --line: #2c3138; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 0; font-family: ui-monospace, monospace; }
p { margin: .2rem 0 .6rem; color: var(--soft); }
.bar { display: grid; grid-template-columns: 9rem 1fr 7rem; gap: .6rem; align-items: center; margin: .15rem 0; font-size: .85rem; }
.bar span:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.track { background: var(--line); height: .8rem; border-radius: 2px; }
.fill { height: 100%; border-radius: 2px; min-width: 1px; }
.own { background: var(--own); } .old { background: var(--old); } .linux { background: var(--linux); } .must { background: var(--must); }
.stretch { background: var(--stretch); }
table { border-collapse: collapse; font-size: .85rem; } td { padding: .1rem .8rem .1rem 0; font-variant-numeric: tabular-nums; }
details { margin: .4rem 0; } code { font-family: ui-monospace, monospace; }
";

/// Writes the page; where.
pub fn write(
    project: &Project,
    qemu: &str,
    rows: &[&Row],
    results: &Results,
    shares: &Shares,
) -> Result<PathBuf> {
    let history = report::history(project, EARLIER)?;
    let path = project.target.join("bench/report.html");
    fs::write(&path, text(qemu, rows, results, shares, &history))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Medians of earlier runs, the last one first, each with its name.
type History = [(String, BTreeMap<String, f64>)];

fn text(
    qemu: &str,
    rows: &[&Row],
    results: &Results,
    shares: &Shares,
    history: &History,
) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>capOS: benchmarks</title>\n<style>{STYLE}</style>\n\
         <h1>Instructions of one operation</h1>\n<p>{}. Shorter is better. Counted by a plugin of QEMU's translator between two marks \
         that the program executes; the median of the repetitions. Linux 6.1 did the same work in the same QEMU. How it is \
         measured: <code>docs/benchmarks.md</code>.</p>\n",
        escape(qemu)
    );
    for row in rows {
        if let Some(samples) = results.samples.get(row.name) {
            section(&mut page, row, samples, shares.get(row.name), history);
        }
    }
    for reason in &results.unavailable {
        let _ = writeln!(page, "<p>Not measured: {}</p>", escape(reason));
    }
    page
}

fn section(
    page: &mut String,
    row: &Row,
    samples: &[Sample],
    functions: Option<&Vec<(String, f64)>>,
    history: &History,
) {
    let value = value_of(row, samples);
    let mut bars = vec![("own", "now".to_owned(), value)];
    let earlier = history
        .iter()
        .filter_map(|(name, medians)| Some(("old", name.clone(), *medians.get(row.name)?)));
    bars.extend(earlier);
    bars.extend(
        row.linux()
            .map(|(linux, what)| ("linux", format!("Linux: {what}"), linux)),
    );
    bars.extend(row.budget.map(|budget| ("must", "must".to_owned(), budget)));
    bars.extend(
        row.stretch
            .map(|stretch| ("stretch", "stretch".to_owned(), stretch)),
    );
    let longest = bars.iter().map(|(.., value)| *value).fold(1.0, f64::max);
    let _ = writeln!(
        page,
        "<h2>{}</h2>\n<p>{}: {}. Repetitions within {:.1} %; LOCKed {:.1}, loads of CR3 {:.1}, system calls {:.1}.</p>",
        row.name,
        escape(row.what),
        verdict(row, value),
        spread(row, samples) * 100.0,
        median(samples, |s| s.counts.locked),
        median(samples, |s| s.counts.cr3),
        median(samples, |s| s.counts.syscall),
    );
    for (class, name, value) in bars {
        let _ = writeln!(
            page,
            "<div class=\"bar\"><span>{}</span><div class=\"track\"><div class=\"fill {class}\" style=\"width:{:.2}%\"></div></div>\
             <span>{}</span></div>",
            escape(&name),
            value / longest * 100.0,
            figure(value)
        );
    }
    if let Some(functions) = functions {
        page.push_str("<details><summary>Where they go</summary><table>\n");
        for (name, each) in functions.iter().take(NAMED) {
            let _ = writeln!(
                page,
                "<tr><td>{}</td><td><code>{}</code></td></tr>",
                figure(*each),
                escape(name)
            );
        }
        page.push_str("</table></details>\n");
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{escape, text};
    use crate::bench::guest::Sample;
    use crate::bench::plugin::Counts;
    use crate::bench::report::Results;
    use crate::bench::rows;

    #[test]
    fn a_row_shows_its_figure_linux_limits_and_earlier_runs() {
        let mut results = Results::default();
        let sample = Sample {
            mark: 0,
            operations: 10,
            counts: Counts {
                kernel: 2330,
                ..Counts::default()
            },
            ticks: 0,
            places: Vec::new(),
        };
        results.samples.insert("null_call".into(), vec![sample; 3]);
        let rows = [rows::find("null_call").unwrap()];
        let shares = BTreeMap::from([("null_call", vec![("kernel: a<b>".to_owned(), 99.0)])]);
        let history = [(
            "earlier".to_owned(),
            BTreeMap::from([("null_call".to_owned(), 483.0)]),
        )];
        let page = text("QEMU 7", &rows, &results, &shares, &history);
        for part in [
            "now",
            "233",
            "earlier",
            "483",
            "getppid",
            "327",
            "must",
            "a&lt;b&gt;",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(escape("<&\">"), "&lt;&amp;&quot;&gt;");
    }
}
