//! Many writers and one serial line.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sabotage::points;

use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::sabotage::{Break, Sabotage};

const PAYLOAD: &str = " abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ end";
/// Line feeds alone do not make it: the whole text must stand in one row.
const WHOLE: &str =
    "w2 line 0199 abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ end";
/// How long the host takes nothing.
const STUCK: Duration = Duration::from_secs(5);

inventory::submit! {
    Smoke {
        name: "lines",
        question: "Does each line reach the serial line whole while four processors write facts, log lines and programs' lines?",
        rows: &["CF-09"],
        manifest: "smoke/lines",
        cmdline: "log=all",
        smp: 4,
        steps: &[Step::Wait("@lines.done"), Step::Peer(all_whole)],
        sorted: true,
        required: &[
            "@lines.start cpus=4",
            WHOLE,
            "@lines.fact writer=w0 number=199",
            "@lines.fact writer=w3 number=199",
            "@lines.done kernel=badArgument blank=badArgument",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::SPLIT_LINES,
        smoke: "lines",
        breaks: Break::Missing(WHOLE),
    }
}

inventory::submit! {
    Smoke {
        name: "serial-stuck",
        question: "Does nobody but who writes wait for a serial line that takes nothing for seconds, and is nothing lost?",
        rows: &["CF-09"],
        manifest: "smoke/serial-stuck",
        smp: 2,
        sorted: true,
        steps: &[
            Step::Wait("flood line 0100"),
            Step::Peer(take_nothing),
            Step::Wait("flood line 3999"),
            Step::Peer(flood_is_whole),
        ],
        required: &["@stuck.metronome late=false victim=killed flood_ended=true"],
        forbidden: &["@kernel.panic", "@serial.lost", "@serial.gave-up"],
        ..Smoke::DEFAULT
    }
}

fn take_nothing(peer: &mut Peer<'_>) -> Result<()> {
    peer.session.hold_output(STUCK);
    Ok(())
}

/// The numbers of the rows that begin with `head`, each row whole.
fn numbers(lines: &[String], head: &str) -> Result<Vec<u32>> {
    let rows = lines.iter().filter_map(|line| line.strip_prefix(head));
    rows.map(|row| {
        let number = row.strip_suffix(PAYLOAD).context("a torn line");
        number
            .and_then(|number| Ok(number.parse()?))
            .with_context(|| format!("{head}{row}"))
    })
    .collect()
}

fn flood_is_whole(peer: &mut Peer<'_>) -> Result<()> {
    let lines = peer.session.serial().lines();
    let expected: Vec<u32> = (0..4000).collect();
    ensure!(
        numbers(lines, "flood line ")? == expected,
        "a line of the flood is missing"
    );
    numbers(lines, "victim line ")?;
    only_known(lines, &["flood line ", "victim line "])
}

/// Every row is a fact or begins as one of `heads`; the heads' rows have been looked at. The last one may be there by now.
fn only_known(lines: &[String], heads: &[&str]) -> Result<()> {
    let known = |line: &&String| {
        let mut heads = heads.iter().chain(&["@", "exit code="]);
        line.is_empty() || heads.any(|head| line.starts_with(head))
    };
    let stranger = lines.iter().find(|line| !known(line));
    ensure!(stranger.is_none(), "a piece of a line: {stranger:?}");
    Ok(())
}

fn all_whole(peer: &mut Peer<'_>) -> Result<()> {
    let lines = peer.session.serial().lines();
    let mut heads = vec!["info init: ".to_owned(), "warn init: ".to_owned()];
    let mut notes = 0;
    let mut first_halves = 0;
    for writer in ["w0", "w1", "w2", "w3"] {
        let of = |kind: &str| format!("{writer} {kind} ");
        let note = format!("info {writer}: {}", of("note"));
        let all: Vec<u32> = (0..200).collect();
        ensure!(
            numbers(lines, &of("line"))? == all,
            "a line of {writer} is missing"
        );
        // One that is written in two calls may end up on two rows, if its writer took long in between; on no more.
        let piece = of("piece");
        let (mut halves, mut wholes) = (0, 0);
        for line in lines.iter().filter(|line| line.starts_with(&piece)) {
            halves += usize::from(line.len() == piece.len() + 4);
            wholes += usize::from(line.ends_with(PAYLOAD));
        }
        first_halves += halves;
        ensure!(
            halves + wholes == 10,
            "a line of {writer} in pieces is missing"
        );
        let seen = numbers(lines, &note)?;
        ensure!(seen.is_sorted(), "the notes of {writer} are out of order");
        notes += seen.len();
        heads.extend([of("line"), piece, note]);
    }
    let second = PAYLOAD.trim_start().to_owned();
    let second_halves = lines.iter().filter(|line| **line == second).count();
    ensure!(
        first_halves == second_halves,
        "{first_halves} first halves, {second_halves} second ones"
    );
    heads.push(second);
    let lost: usize = lines
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix("@serial.lost facts~0 logs~"))
        .map_or(Ok(0), str::parse)?;
    ensure!(
        notes + lost == 800,
        "{notes} notes came and {lost} were counted as lost, of 800"
    );
    only_known(lines, &heads.iter().map(String::as_str).collect::<Vec<_>>())
}
