//! Rows that no program measures alone: what is left of one when another is taken from it.
//!
//! Invariant: a row is derived from rows of the same run, or is not there.

use crate::bench::guest::Sample;
use crate::bench::plugin::Counts;
use crate::bench::report::Results;
use crate::bench::rows::{ROWS, Row};

/// Pages of the long buffers.
const PAGES: f64 = 64.0;
/// A page and a run of pages, without a domain and in one; a page below a unit that is asked for each.
const SOURCES: [&str; 5] = [
    "buffer_4k",
    "buffer_4k_domain",
    "buffer_64_pages",
    "buffer_64_pages_domain",
    "buffer_4k_request",
];
/// What is derived from them.
const MAP: &str = "iommu_map_4k";
const FLUSH: &str = "iommu_flush";
const REQUEST: &str = "iommu_map_4k_request";
/// Operations that a derived sample stands for, so that counts stay whole numbers.
const OPERATIONS: u64 = 1000;

/// Whether a row is one of them: no marks are around it.
pub fn is_derived(row: &Row) -> bool {
    [MAP, FLUSH, REQUEST].contains(&row.name)
}

/// Adds the rows that those among `rows` are derived from.
pub fn with_sources(rows: &mut Vec<&'static Row>) {
    if rows.iter().any(|row| is_derived(row)) {
        let all = ROWS.iter().filter(|row| SOURCES.contains(&row.name));
        let missing: Vec<_> = all
            .filter(|row| rows.iter().all(|one| one.name != row.name))
            .collect();
        rows.extend(missing);
    }
}

/// Derives, repetition by repetition, where all that it takes was measured.
pub fn derive(results: &mut Results, rows: &[&Row]) {
    for (name, samples) in of_domains(results).into_iter().chain(of_requests(results)) {
        if rows.iter().any(|row| row.name == name) {
            results.samples.insert(name.to_owned(), samples);
        }
    }
}

/// What a page takes below a unit that is asked for each.
fn of_requests(results: &Results) -> Option<(&'static str, Vec<Sample>)> {
    let [page, _, _, _, asked] = SOURCES.map(|name| results.samples.get(name));
    let all = page?.iter().zip(asked?);
    let samples = all.map(|(page, asked)| sample(&|of| each(asked, of) - each(page, of)));
    Some((REQUEST, samples.collect()))
}

/// What a page and a flush take below a unit with tables; nothing where something is missing.
fn of_domains(results: &Results) -> Vec<(&'static str, Vec<Sample>)> {
    let [Some(page), Some(page_there), Some(run), Some(run_there), _] =
        SOURCES.map(|name| results.samples.get(name))
    else {
        return Vec::new();
    };
    let all = page.iter().zip(page_there).zip(run.iter().zip(run_there));
    let (mut map, mut flush) = (Vec::new(), Vec::new());
    for ((page, page_there), (run, run_there)) in all {
        // One page and one flush; 64 pages and one flush.
        let short = |of| each(page_there, of) - each(page, of);
        let long = |of| each(run_there, of) - each(run, of);
        let mapped = |of| (long(of) - short(of)) / (PAGES - 1.0);
        map.push(sample(&mapped));
        flush.push(sample(&|of| short(of) - mapped(of)));
    }
    vec![(MAP, map), (FLUSH, flush)]
}

fn each(sample: &Sample, of: fn(&Counts) -> u64) -> f64 {
    of(&sample.counts) as f64 / sample.operations as f64
}

fn sample(of: &dyn Fn(fn(&Counts) -> u64) -> f64) -> Sample {
    let whole = |count| (of(count) * OPERATIONS as f64).round().max(0.0) as u64;
    Sample {
        mark: 0,
        operations: OPERATIONS,
        counts: Counts {
            kernel: whole(Counts::instructions),
            syscall: whole(|counts| counts.syscall),
            cr3: whole(|counts| counts.cr3),
            locked: whole(|counts| counts.locked),
            ..Counts::default()
        },
        ticks: 0,
        places: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_and_a_flush_are_told_apart() {
        let sample = |operations: u64, each: u64| Sample {
            mark: 2,
            operations,
            counts: Counts {
                kernel: operations * each,
                ..Counts::default()
            },
            ticks: 0,
            places: Vec::new(),
        };
        let mut results = Results::default();
        // A page takes 300 and a flush 700; both beside 5,000 for one page and 90,000 for 64.
        for (name, each) in SOURCES.into_iter().zip([5000, 6000, 90_000, 109_900, 7500]) {
            results
                .samples
                .insert(name.to_owned(), vec![sample(10, each)]);
        }
        let rows: Vec<&Row> = ROWS.iter().collect();
        derive(&mut results, &rows);
        let value = |name: &str| {
            let sample = results.samples[name].first().unwrap();
            sample.counts.instructions() / sample.operations
        };
        assert_eq!((value(MAP), value(FLUSH), value(REQUEST)), (300, 700, 2500));
        results.samples.remove(SOURCES[0]);
        for name in [MAP, REQUEST] {
            results.samples.remove(name);
        }
        derive(&mut results, &rows);
        assert!(!results.samples.contains_key(MAP) && !results.samples.contains_key(REQUEST));
    }
}
