//! A sibling thread on another processor changes what the kernel is reading.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use ring_abi::{AreaHeader, StatusWord, Submission, opcode, span};
use rt::sys::Operation;
use sdk::{EndpointFactory, Env, Interface, NEVER, Object};
use smoke::raw;

use super::{granted, operate};
use crate::{Race, pinned};

/// Entries into the kernel, each with a batch of submissions.
const ROUNDS: u32 = 5_000;
const BATCH: u32 = 8;
/// Rounds between two in which the slots are written anew.
const FRESH: u32 = 50;
const CALLS: u32 = 5_000;
/// Rounds before something is flipped to what faults.
const QUIET: u32 = 500;

/// Where the attacked thread's area lies.
static AREA: AtomicU64 = AtomicU64::new(0);
static ROUND: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicBool = AtomicBool::new(false);
/// The sibling writes no more.
static STOPPED: AtomicBool = AtomicBool::new(false);
static RACE: Race = Race::new();

/// Numbers without a pattern that matters (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn one_of(&mut self, words: &[u64]) -> u64 {
        let at = self.next() as usize % words.len();
        words.get(at).copied().unwrap_or_default()
    }
}

/// Runs `attacked` on processor 0 while `flip` runs on processor 1, again and again until the first is done.
fn race(
    attacked: impl FnOnce() -> &'static str + Send + 'static,
    mut flip: impl FnMut(&mut Numbers) + Send + 'static,
) -> &'static str {
    let flipper = pinned(1, move || {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        RACE.meet(2);
        while !STOP.load(Ordering::Relaxed) {
            flip(&mut numbers);
        }
        STOPPED.store(true, Ordering::Release);
    });
    let attacked = pinned(0, move || {
        AREA.store(raw::header() as u64, Ordering::Release);
        RACE.meet(2);
        let said = attacked();
        STOP.store(true, Ordering::Relaxed);
        // The area goes with its thread.
        while !STOPPED.load(Ordering::Acquire) {
            core::hint::spin_loop();
        }
        said
    });
    let said = match attacked.map(sdk::JoinHandle::join) {
        Ok(Ok(said)) => said,
        Ok(Err(refusal)) | Err(refusal) => refusal.name(),
    };
    match flipper.map(sdk::JoinHandle::join) {
        Ok(Ok(())) => said,
        Ok(Err(refusal)) | Err(refusal) => refusal.name(),
    }
}

/// A place for messages in the attacked thread's area, whose message area is shorter than the first thread's.
const SMALL: u32 = 4096;

fn put(address: u64, word: u64) {
    // SAFETY: inside the attacked thread's area, which lives until the race is over; only the kernel and raw accesses
    // read it.
    unsafe { core::ptr::with_exposed_provenance_mut::<u64>(address as usize).write_volatile(word) };
}

fn header() -> *mut AreaHeader {
    core::ptr::with_exposed_provenance_mut(AREA.load(Ordering::Acquire) as usize)
}

fn message_at(offset: u32) -> u64 {
    // SAFETY: the header of a live area.
    let start = unsafe { (*header()).message_offset };
    header() as u64 + u64::from(start) + u64::from(offset)
}

fn slots_at() -> u64 {
    // SAFETY: as above.
    let start = unsafe { (*header()).submission_offset };
    header() as u64 + u64::from(start)
}

/// Submits calls of a method that does not exist; the sibling makes of them what it likes. Counts completions: there
/// must be one for each, and not all as they were asked for.
fn rounds(vm: u64) -> &'static str {
    let plain = Submission {
        opcode: opcode::CALL,
        method: 99,
        handle: vm,
        deadline_ns: 1,
        words: [span(0, 64), span(64, 256), 0, 0],
        ..Submission::default()
    };
    for _ in 0..16 / BATCH {
        for _ in 0..BATCH {
            raw::submit(plain);
        }
        raw::enter(BATCH as u16, NEVER);
        while raw::completion().is_some() {}
    }
    let (mut completed, mut flipped) = (0, 0);
    for round in 0..ROUNDS {
        ROUND.store(round, Ordering::Relaxed);
        for _ in 0..BATCH {
            if round % FRESH == 0 {
                raw::submit(plain);
            } else {
                // Whatever the sibling has made of the slot by now.
                let tail = raw::submission_tail();
                tail.store(
                    tail.load(Ordering::Relaxed).wrapping_add(1),
                    Ordering::Release,
                );
            }
        }
        raw::enter(BATCH as u16, NEVER);
        while let Some(completion) = raw::completion() {
            completed += 1;
            let status = StatusWord::unpack(completion.status).status;
            flipped += u32::from(status != sdk::Refusal::NoSuchMethod.code());
        }
    }
    match (completed == ROUNDS * BATCH, flipped > 100) {
        (true, true) => "40000 submissions, each completed, many flipped",
        (true, false) => "no race",
        (false, _) => "completions were lost",
    }
}

/// The handles that a flipped submission may name: its own, a stranger's, and nonsense.
fn handles(env: &Env) -> [u64; 6] {
    let spare = env
        .get::<EndpointFactory>("endpointFactory")
        .ok()
        .and_then(|factory| Some(factory.create().ok()?.endpoint));
    // Never dropped: the race may move it away.
    let spare = spare.map_or(u64::MAX, |endpoint| endpoint.into_object().into_handle());
    let (vm, probe) = (granted(env, "vm"), granted(env, "probe"));
    [vm, vm, probe, spare, 0, u64::MAX]
}

/// Changes one word of the submission that the kernel is about to read; every value is one that a program may write.
fn flip_slot(numbers: &mut Numbers, handles: &[u64; 6], spans: &[u64]) {
    let slot = slots_at() + numbers.next() % 16 * 64;
    let opcodes = [
        opcode::NOP,
        opcode::CALL,
        opcode::CALL,
        opcode::RETURN,
        opcode::CANCEL,
        opcode::UNPARK,
        opcode::REFUSE,
        77,
    ];
    let at = numbers.next() % 9;
    match at {
        0 | 8 => {
            let method = numbers.next() % 7;
            let flags = u64::from(numbers.next().is_multiple_of(16));
            let opcode = opcodes[numbers.next() as usize % opcodes.len()];
            put(slot, u64::from(opcode) | flags << 8 | method << 16);
        }
        1 => put(slot + 8, numbers.one_of(handles)),
        // Always in the past: nothing waits.
        3 => put(slot + 24, numbers.next() % 3),
        4 | 5 => put(slot + at * 8, numbers.one_of(spans)),
        6 => put(slot + 48, numbers.one_of(handles)),
        7 => put(slot + 56, numbers.one_of(&[0, 0, 1, 2, 17, u64::MAX])),
        _ => {
            let offset = numbers.next() as u32 % 64 * 8;
            let value = numbers.next();
            let nonsense = [value, value >> 32, 4 << 32, 1, 0x7000, u64::MAX];
            let word = numbers.one_of(&nonsense);
            put(message_at(offset), word);
        }
    }
}

/// Opcode, handle, deadline, spans, transfers and message change while the kernel takes the submission.
pub fn flip_words(env: &Env) -> &'static str {
    let handles = handles(env);
    race(
        move || rounds(handles[0]),
        move |numbers| {
            let spans = [
                span(0, 64),
                span(0, 8),
                span(64, 256),
                span(0, 0),
                span(SMALL - 512, 512),
            ];
            flip_slot(numbers, &handles, &spans);
        },
    )
}

/// As before, and after a while the length of the message is now and then beyond the area.
pub fn flip_length(env: &Env) -> &'static str {
    let handles = handles(env);
    race(
        move || rounds(handles[0]),
        move |numbers| {
            let quiet = ROUND.load(Ordering::Relaxed) < QUIET;
            let long = if quiet {
                span(0, 64)
            } else {
                span(64, 1 << 20)
            };
            flip_slot(numbers, &handles, &[span(0, 64), span(64, 256), long]);
        },
    )
}

/// The submission index changes, after a while to what no ring holds.
pub fn flip_tail(env: &Env) -> &'static str {
    let vm = granted(env, "vm");
    race(
        move || rounds(vm),
        |numbers| {
            if ROUND.load(Ordering::Relaxed) >= QUIET {
                // SAFETY: the index in the header of the attacked thread's live area.
                let tail = unsafe { AtomicU32::from_ptr(&raw mut (*header()).submission_tail) };
                tail.store(numbers.next() as u32 | 1 << 31, Ordering::Relaxed);
            }
        },
    )
}

/// Calls a server with a message that changes while it is copied: what arrives is checked in the copy, so each call is
/// answered or refused, and the server lives.
pub fn flip_message(env: &Env) -> &'static str {
    let probe = granted(env, "probe");
    let calls = move || {
        let mut over = 0;
        for _ in 0..CALLS {
            let outcome = operate(Operation {
                opcode: opcode::CALL,
                // Probe.echo
                method: 1,
                handle: probe,
                words: [span(0, 256), 0, 0, 0],
                reply: span(SMALL - 1024, 1024),
                ..Operation::default()
            });
            over += u32::from(
                outcome
                    .refused()
                    .is_none_or(|r| r == sdk::Refusal::BadMessage),
            );
        }
        if over == CALLS {
            "5000 calls, each answered or refused"
        } else {
            "calls ended otherwise"
        }
    };
    race(calls, |numbers| {
        let length = numbers.one_of(&[0, 8, 240, 241, 1 << 20, (1 << 29) - 1]);
        // A root struct of no words and one pointer, then a list of bytes (the encoding's list pointer: kind 1, offset,
        // element size 2, count), or nonsense.
        let (root, list) = (1 << 48, 1 | 2 << 32 | length << 35);
        let nonsense = numbers.next();
        put(message_at(0), numbers.one_of(&[root, root, root, nonsense]));
        put(message_at(8), numbers.one_of(&[list, list, nonsense]));
    })
}
