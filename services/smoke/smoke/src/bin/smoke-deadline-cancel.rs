//! Does an operation end at its own deadline or cancellation, is what comes later discarded, and does the deadline of a
//! wait end only the wait?
#![no_std]
#![cfg_attr(not(test), no_main)]

use ring_abi::{NEVER, StatusWord, Submission, opcode, span, submission_flags};
use rt::sys::Operation;
use sdk::schema::smoke::probe::{WordsParams, call};
use sdk::{Env, Error, Interface, Lifetime, Object, Refusal, Ring, fact};
use smoke::{Kit, Probe, Prober, give, mint, outcome, raw, role, serve_probe};

sdk::entry!(main);

/// `act`: answers all that is held, with `word`; gives how many there were.
const ANSWER: u64 = 1;
/// `act`: how many wait.
const HELD: u64 = 2;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("server") => serve_probe(env, act),
        _ => ask(env),
    }
}

fn act(state: &mut Prober, what: u64, word: u64) -> Result<u64, Refusal> {
    let held = state.held.len() as u64;
    match what {
        ANSWER => while state.release(word) {},
        HELD => {}
        _ => return Err(Refusal::BadArgument),
    }
    Ok(held)
}

fn name(refusal: Option<Refusal>) -> &'static str {
    refusal.map_or("ok", Refusal::name)
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-deadline-cancel")?;
    let endpoint = kit.endpoints.create()?.endpoint;
    let _server = kit.start("server", &[give("endpoint", &endpoint)])?;
    let probe = mint(&endpoint, 1, Lifetime::Durable)?;

    let deadline = kit.after_ms(20)?;
    let timed = probe.with_deadline(deadline).hold();
    let early = kit.timer.now()?.ns < deadline;
    let past = probe.with_deadline(1).hold();
    fact!(
        "deadline.call",
        refused = outcome(&timed),
        early = early,
        past = outcome(&past)
    );

    // The server answers both calls now. Nobody gets that answer; the next call gets its own.
    let late = probe.act(ANSWER, 99)?.word;
    let next = probe.words(20, 3)?.sum;
    fact!("deadline.late", answered_in_vain = late, next = next);

    in_ring(&kit, &probe)?;
    receives(&kit)?;

    let until = kit.after_ms(20)?;
    kit.timer.sleep(until)?;
    let woken = kit.timer.now()?.ns;
    let cut = kit.after_ms(10)?;
    let short = kit.timer.with_deadline(cut).sleep(NEVER);
    fact!(
        "deadline.sleep",
        early = woken < until,
        within_a_second = woken < until + 1_000_000_000,
        cut_short = outcome(&short)
    );
    Ok(())
}

fn in_ring(kit: &Kit, probe: &Probe) -> Result<(), Error> {
    let mut ring = Ring::new(4, 256)?;
    // One is cancelled, one has a deadline, one waits on beyond the deadline of the entry.
    ring.call::<call::Hold>(probe.object(), (), 1, NEVER)?;
    ring.call::<call::Hold>(probe.object(), (), 2, kit.after_ms(20)?)?;
    ring.call::<call::Hold>(probe.object(), (), 3, NEVER)?;
    ring.submit();
    ring.cancel(1);
    ring.wait(1, NEVER);
    let mut ends = [None; 4];
    let mut gather = |ring: &mut Ring| {
        while let Some(completion) = ring.completed() {
            let user = completion.user() as usize;
            ends[user] = Some(completion.read::<call::Hold, _>(|results| results.word));
        }
        ends
    };
    let cancelled = gather(&mut ring)[1];
    // Long enough for the one with a deadline, which is all that comes.
    ring.wait(3, kit.after_ms(60)?);
    let after_wait = gather(&mut ring);
    let pending = after_wait[3].is_none();
    // A call of its own completes beside the pending one.
    ring.call::<call::Words>(probe.object(), WordsParams { a: 1, b: 2 }, 0, NEVER)?;
    ring.wait(1, NEVER);
    let other = ring
        .completed()
        .map(|c| c.read::<call::Words, _>(|words| words.sum));
    let held = probe.act(HELD, 0)?.word;
    probe.act(ANSWER, 7)?;
    ring.wait(1, NEVER);
    let answered = gather(&mut ring)[3];
    let word = |end: Option<Result<u64, Refusal>>| match end {
        None => "pending",
        Some(end) => outcome(&end),
    };
    fact!(
        "deadline.ring",
        cancelled = word(cancelled),
        timed = word(after_wait[2]),
        third_waits_on = pending,
        other = other == Some(Ok(3)),
        held = held,
        third = answered == Some(Ok(7))
    );
    let stray = raw::operate(&Operation {
        opcode: opcode::CANCEL,
        handle: 77,
        deadline_ns: NEVER,
        ..Operation::default()
    });
    fact!("deadline.cancel", of_nothing = name(stray.refused()));
    Ok(())
}

/// Receiving has deadlines as well.
fn receives(kit: &Kit) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let handle = endpoint.object().handle();
    let mut receive = Operation {
        opcode: opcode::RECEIVE,
        handle,
        deadline_ns: kit.after_ms(10)?,
        ..Operation::default()
    };
    let timed = raw::operate(&receive).refused();
    receive.flags = submission_flags::POLL;
    receive.deadline_ns = NEVER;
    let polled = raw::operate(&receive).refused();
    raw::submit(Submission {
        opcode: opcode::RECEIVE,
        handle,
        user_data: 5,
        deadline_ns: kit.after_ms(10)?,
        words: [0, span(raw::SAFE_OFFSET, 256), 0, 0],
        ..Submission::default()
    });
    raw::enter(1, kit.after_ms(200)?);
    let in_ring = raw::completion().map(|c| (c.user_data, StatusWord::unpack(c.status).status));
    let in_ring = match in_ring {
        Some((5, status)) => name(Refusal::from_code(status)),
        _ => "pending",
    };
    fact!(
        "deadline.receive",
        registers = name(timed),
        polled = name(polled),
        ring = in_ring
    );
    Ok(())
}
