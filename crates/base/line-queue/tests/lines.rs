//! What comes out, against what went in.

use line_queue::{Form, Full, HOLD_NS, LineQueue, Lost, Rank, UNIT_BYTES, Writer};
use proptest::prelude::*;

type Queue = LineQueue<{ 16 * 1024 }, 8192>;

const KERNEL: Writer = Writer(0);

fn taken(queue: &mut Queue, now: u64) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = [0; 7];
    loop {
        match queue.take(&mut piece, now) {
            0 => return all,
            len => all.extend_from_slice(&piece[..len]),
        }
    }
}

fn text(queue: &mut Queue, now: u64) -> String {
    String::from_utf8(taken(queue, now)).unwrap()
}

fn raw(queue: &mut Queue, writer: u64, text: &str, now: u64) {
    let pushed = queue.push(
        Rank::Program,
        Writer(writer),
        Form::Raw,
        text.as_bytes(),
        now,
    );
    pushed.unwrap();
}

fn fact(queue: &mut Queue, text: &str, now: u64) -> Result<(), Full> {
    queue.push(Rank::Fact, KERNEL, Form::Line, text.as_bytes(), now)
}

#[test]
fn a_fact_behind_a_prompt_begins_a_row() {
    let mut queue = Queue::new();
    raw(&mut queue, 1, "capos> ", 0);
    assert_eq!(text(&mut queue, 0), "capos> ");
    fact(&mut queue, "@a", HOLD_NS).unwrap();
    assert_eq!(text(&mut queue, HOLD_NS), "\r\n@a\r\n");
}

#[test]
fn a_line_written_in_pieces_stays_whole() {
    let mut queue = Queue::new();
    raw(&mut queue, 1, "one ", 0);
    fact(&mut queue, "@a", 1).unwrap();
    raw(&mut queue, 2, "other\n", 2);
    raw(&mut queue, 1, "line\n", 3);
    assert_eq!(text(&mut queue, 3), "one line\n@a\r\nother\n");
}

#[test]
fn an_open_row_is_waited_for_only_so_long() {
    let mut queue = Queue::new();
    raw(&mut queue, 1, "half", 5);
    fact(&mut queue, "@a", 6).unwrap();
    assert_eq!(queue.held_until_ns(), Some(5 + HOLD_NS));
    assert_eq!(text(&mut queue, 4 + HOLD_NS), "half");
    assert_eq!(text(&mut queue, 5 + HOLD_NS), "\r\n@a\r\n");
    raw(&mut queue, 1, " a line\n", 6 + HOLD_NS);
    assert_eq!(text(&mut queue, 6 + HOLD_NS), " a line\n");
}

#[test]
fn a_line_is_one_row_whatever_is_in_it() {
    let mut queue = Queue::new();
    queue
        .push(Rank::Log, Writer(3), Form::Line, b"a\nb\r\x1b[2Jc\x7f", 0)
        .unwrap();
    assert_eq!(text(&mut queue, 0), "a?b??[2Jc?\r\n");
}

#[test]
fn programs_leave_room_for_logs_and_logs_for_facts() {
    let mut queue = Queue::new();
    let line = [b'x'; 100];
    let mut fill = |rank, writer| {
        let mut count = 0;
        while queue
            .push(rank, Writer(writer), Form::Line, &line, 0)
            .is_ok()
        {
            count += 1;
        }
        count
    };
    assert!(fill(Rank::Program, 1) > 50);
    assert!(fill(Rank::Log, 2) > 30);
    assert!(fill(Rank::Fact, 0) > 30);
    assert_eq!(queue.lost(), Lost { facts: 1, logs: 1 });
    // The gap is said where it is, and the last line finds room in any case.
    queue.close(b"exit code=0", 0);
    let text = text(&mut queue, 0);
    let rows: Vec<&str> = text.lines().collect();
    let [.., notice, last] = rows.as_slice() else {
        panic!("no rows")
    };
    assert_eq!(*notice, "@serial.lost facts~1 logs~1");
    assert_eq!(*last, "exit code=0");
    let is_whole = |row: &&str| row.len() == 100 || *row == "@serial.lost facts~0 logs~1";
    assert!(rows[..rows.len() - 2].iter().all(is_whole));
    assert_eq!(fact(&mut queue, "@late", 0), Ok(()));
    assert_eq!(taken(&mut queue, 0), b"", "nothing follows the last line");
}

#[test]
fn a_unit_that_is_too_long_is_refused_whole() {
    let mut queue = Queue::new();
    let long = vec![b'x'; UNIT_BYTES + 1];
    let pushed = queue.push(Rank::Program, Writer(1), Form::Raw, &long, 0);
    assert_eq!(pushed, Err(Full));
    assert!(queue.is_drained());
    raw(&mut queue, 1, &"y".repeat(UNIT_BYTES), 0);
    assert_eq!(taken(&mut queue, 0).len(), UNIT_BYTES);
}

#[test]
fn what_waits_can_be_forgotten() {
    let mut queue = Queue::new();
    raw(&mut queue, 1, "a\nb\nc", 0);
    fact(&mut queue, "@held", 0).unwrap();
    assert_eq!(queue.forget(), 3);
    queue.close(b"end", 0);
    assert_eq!(text(&mut queue, 0), "\r\nend\r\n");
}

#[derive(Clone, Debug)]
enum Act {
    Line(u64, u8, usize),
    Raw(u64, usize),
    Pieces(u64, usize),
    Take(usize),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..4_u64, 0..3_u8, 0..300_usize).prop_map(|(w, rank, len)| Act::Line(w, rank, len)),
        (1..4_u64, 1..3000_usize).prop_map(|(w, len)| Act::Raw(w, len)),
        (1..4_u64, 1..40_usize).prop_map(|(w, len)| Act::Pieces(w, len)),
        (1..5000_usize).prop_map(Act::Take),
        (0..2 * HOLD_NS).prop_map(Act::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every row that comes out is one that went in, each writer's in their order; what was taken and is not lost is there.
    #[test]
    fn rows_are_whole_and_in_order(acts in proptest::collection::vec(act(), 1..80)) {
        let mut queue = Queue::new();
        let (mut now, mut number) = (0, 0);
        let mut expected: [Vec<String>; 4] = Default::default();
        let mut out = Vec::new();
        let mut lost = Lost::default();
        for act in acts {
            number += 1;
            match act {
                Act::Line(w, rank, len) => {
                    let rank = [Rank::Fact, Rank::Log, Rank::Program][usize::from(rank)];
                    let row = format!("{w}:{number}:{}", "l".repeat(len));
                    match queue.push(rank, Writer(w), Form::Line, row.as_bytes(), now) {
                        Ok(()) => expected[w as usize].push(row),
                        Err(Full) => match rank {
                            Rank::Fact => lost.facts += 1,
                            Rank::Log => lost.logs += 1,
                            Rank::Program => {}
                        },
                    }
                }
                Act::Raw(w, len) => {
                    let row = format!("{w}:{number}:{}", "r".repeat(len));
                    let text = format!("{row}\n");
                    if queue.push(Rank::Program, Writer(w), Form::Raw, text.as_bytes(), now).is_ok() {
                        expected[w as usize].push(row);
                    }
                }
                Act::Pieces(w, len) => {
                    // Somebody else writes between the pieces, at the same moment.
                    let row = format!("{w}:{number}:{}", "p".repeat(len));
                    let (a, b) = row.split_at(row.len() / 2);
                    if queue.push(Rank::Program, Writer(w), Form::Raw, a.as_bytes(), now).is_ok() {
                        let other = format!("0:{number}:k");
                        if fact(&mut queue, &other, now).is_ok() {
                            expected[0].push(other);
                        } else {
                            lost.facts += 1;
                        }
                        // A program that is refused waits; here the line is taken meanwhile.
                        let rest = format!("{b}\n");
                        while queue.push(Rank::Program, Writer(w), Form::Raw, rest.as_bytes(), now).is_err() {
                            out.extend(taken(&mut queue, now));
                        }
                        expected[w as usize].push(row);
                    }
                }
                Act::Take(len) => {
                    let mut piece = vec![0; len];
                    let len = queue.take(&mut piece, now);
                    out.extend_from_slice(&piece[..len]);
                }
                Act::Pass(ns) => now += ns,
            }
        }
        prop_assert_eq!(queue.lost(), lost);
        out.extend(taken(&mut queue, now + HOLD_NS));
        let out = String::from_utf8(out).unwrap();
        let mut seen: [Vec<String>; 4] = Default::default();
        for row in out.lines().filter(|row| !row.starts_with("@serial.lost")) {
            let writer: usize = row[..1].parse().unwrap();
            seen[writer].push(row.to_owned());
        }
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn nothing_panics(acts in proptest::collection::vec((0..6_u8, any::<u64>(), proptest::collection::vec(any::<u8>(), 0..4200)), 1..12)) {
        let mut queue = Queue::new();
        for (what, number, bytes) in acts {
            let rank = [Rank::Fact, Rank::Log, Rank::Program][(number % 3) as usize];
            match what {
                0 => drop(queue.push(rank, Writer(number), Form::Line, &bytes, number)),
                1 | 2 => drop(queue.push(rank, Writer(number % 3), Form::Raw, &bytes, number)),
                3 => drop(taken(&mut queue, number)),
                4 => queue.close(&bytes[..bytes.len().min(100)], number),
                _ => drop(queue.forget()),
            }
        }
    }
}
