//! When a server dies: do delivered calls hear of it, do queued ones and durable facets go on with its successor?
#![no_std]
#![cfg_attr(not(test), no_main)]

use ring_abi::{opcode, span, submission_flags};
use rt::sys::Operation;
use sdk::schema::smoke::probe::{ActParams, WordsParams, call};
use sdk::{
    Endpoint, Env, Error, Interface, Lifetime, NEVER, Object, ProcessHandle, Refusal, Ring, fact,
};
use smoke::{Kit, Probe, Prober, give, mint, outcome, raw, role, serve_probe};

sdk::entry!(main);

/// `act`: never comes back.
const STALL: u64 = 1;

/// A call that is never answered.
const STALLED: ActParams = ActParams {
    what: STALL,
    word: 0,
};

const DELIVERED: u64 = 1;
const QUEUED: u64 = 2;
const QUEUED_BOUND: u64 = 3;
const QUEUED_BRIEF: u64 = 4;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("server") => {
            let timer: sdk::Timer = env.get("timer")?;
            serve_probe(env, move |_: &mut Prober, what: u64, _: u64| match what {
                STALL => timer.sleep(NEVER).map(|()| 0),
                _ => Err(Refusal::BadArgument),
            })
        }
        Some("breaks-off-receive") => break_off(env, bad_receive),
        Some("breaks-off-answer") => break_off(env, bad_answer),
        // Waits in the queue behind the stalled call when the server dies; calls again if it is told so.
        Some("caller") => {
            let answered = env.get::<Probe>("probe")?.retrying().words(20, 2);
            sdk::exit(
                answered.map_or(-1, |words| words.sum as i64),
                format_args!(""),
            )
        }
        _ => ask(env),
    }
}

fn server(kit: &Kit, endpoint: &Endpoint) -> Result<ProcessHandle, Refusal> {
    kit.start(
        "server",
        &[give("endpoint", endpoint), give("timer", &kit.timer)],
    )
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-server-death")?;
    let endpoint = kit.endpoints.create()?.endpoint;
    let first = server(&kit, &endpoint)?;
    let durable = mint(&endpoint, 1, Lifetime::Durable)?;
    let bound = mint(&endpoint, 2, Lifetime::Incarnation)?;
    let (a, b) = (durable.words(0, 0)?.before, bound.words(0, 0)?.before);
    fact!("death.before", durable = a, bound = b);

    let mut ring = Ring::new(8, 256)?;
    let brief = killed(&kit, &first, [&durable, &bound], &mut ring)?;
    let second = succeeded(&kit, &endpoint, brief, &mut ring)?;
    fact!(
        "death.after",
        durable = outcome(&durable.words(0, 0)),
        bound = outcome(&bound.words(0, 0)),
        new = outcome(&mint(&endpoint, 3, Lifetime::Incarnation)?.words(0, 0))
    );

    breaks_off(&kit)?;

    last(&kit, endpoint, &durable, &second)
}

/// The server takes the first call and stalls; the others wait in the queue. Then it dies. Returns what became of the one with a
/// deadline.
fn killed(
    kit: &Kit,
    first: &ProcessHandle,
    [durable, bound]: [&Probe; 2],
    ring: &mut Ring,
) -> Result<&'static str, Error> {
    let words = WordsParams { a: 40, b: 2 };
    ring.call::<call::Act>(durable.object(), STALLED, DELIVERED, kit.after_ms(5000)?)?;
    ring.submit();
    kit.pause_ms(5)?;
    ring.call::<call::Words>(durable.object(), words, QUEUED, NEVER)?;
    ring.call::<call::Words>(bound.object(), words, QUEUED_BOUND, NEVER)?;
    ring.call::<call::Words>(durable.object(), words, QUEUED_BRIEF, kit.after_ms(100)?)?;
    ring.submit();
    first.kill()?;
    let ended = kit.ended(first)?;
    ring.wait(1, NEVER);
    let (mut delivered, mut others) = ("pending", 0);
    while let Some(completion) = ring.completed() {
        match completion.user() {
            DELIVERED => delivered = completion.refused().map_or("ok", Refusal::name),
            _ => others += 1,
        }
    }
    fact!(
        "death.killed",
        server = ended.kind,
        delivered = delivered,
        completed_others = others
    );

    // Nobody serves for longer than the third queued call waits.
    ring.wait(1, kit.after_ms(300)?);
    Ok(match ring.completed() {
        Some(completion) if completion.user() == QUEUED_BRIEF => {
            completion.refused().map_or("ok", Refusal::name)
        }
        _ => "pending",
    })
}

/// What a successor answers of the calls that wait. Returns it.
fn succeeded(
    kit: &Kit,
    endpoint: &Endpoint,
    brief: &'static str,
    ring: &mut Ring,
) -> Result<ProcessHandle, Error> {
    let incarnation = endpoint.renew()?.incarnation;
    let second = server(kit, endpoint)?;
    let (mut queued, mut stale, mut left) = (None, None, 2);
    while left > 0 {
        ring.wait(1, NEVER);
        while let Some(completion) = ring.completed() {
            left -= 1;
            match completion.user() {
                QUEUED => {
                    queued =
                        Some(completion.read::<call::Words, _>(|words| {
                            (words.sum, words.cookie, words.before)
                        }))
                }
                _ => stale = completion.refused(),
            }
        }
    }
    fact!(
        "death.queued",
        past_deadline = brief,
        incarnation = incarnation,
        served_by_successor = queued == Some(Ok((42, 1, 0))),
        through_bound = stale.map_or("ok", Refusal::name)
    );
    Ok(second)
}

/// Deaths that a client does not notice, and the last one.
fn last(
    kit: &Kit,
    endpoint: Endpoint,
    durable: &Probe,
    second: &ProcessHandle,
) -> Result<(), Error> {
    // Another client's call, which may be made twice, gets through whatever the moment of the death.
    let mut ring = Ring::new(2, 256)?;
    ring.call::<call::Act>(durable.object(), STALLED, DELIVERED, NEVER)?;
    ring.submit();
    kit.pause_ms(5)?;
    let caller = kit.start("caller", &[give("probe", durable)])?;
    kit.pause_ms(5)?;
    second.kill()?;
    kit.ended(second)?;
    endpoint.renew()?;
    let third = server(kit, &endpoint)?;
    let retried = kit.ended(&caller)?.code;

    // With the last right to receive, the endpoint is gone, and its facets with it.
    third.kill()?;
    kit.ended(&third)?;
    let soon = kit.after_ms(50)?;
    let nobody = durable.with_deadline(soon).words(0, 0);
    drop(endpoint);
    fact!(
        "death.last",
        caller = retried,
        without_server = outcome(&nobody),
        without_endpoint = outcome(&durable.words(0, 0))
    );
    Ok(())
}

/// Servers that end in the very operation that answers: whatever they broke, their caller hears something.
fn breaks_off(kit: &Kit) -> Result<(), Error> {
    for role in ["breaks-off-receive", "breaks-off-answer"] {
        let endpoint = kit.endpoints.create()?.endpoint;
        let probe = mint(&endpoint, 1, Lifetime::Durable)?;
        let mut ring = Ring::new(1, 256)?;
        ring.call::<call::Hold>(probe.object(), (), 1, kit.after_ms(2000)?)?;
        ring.submit();
        let ended = kit.run(role, &[give("endpoint", &endpoint)])?;
        ring.wait(1, NEVER);
        let caller = ring
            .completed()
            .map(|c| c.read::<call::Hold, _>(|results| results.word));
        let caller = caller.unwrap_or(Err(Refusal::NotFound));
        let answer = caller.unwrap_or(0);
        fact!(
            "death.server",
            role = role,
            kind = ended.kind,
            caller = outcome(&caller),
            answer = answer
        );
    }
    Ok(())
}

fn break_off(env: &Env, answer: fn(u64, u64) -> Operation) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let handle = endpoint.object().handle();
    let receive = Operation {
        opcode: opcode::RECEIVE,
        handle,
        deadline_ns: NEVER,
        reply: span(raw::SAFE_OFFSET, 256),
        ..Operation::default()
    };
    let received = raw::operate(&receive);
    let refused = raw::operate(&answer(received.reply, handle)).refused();
    Err(refused.unwrap_or(Refusal::Failed).into())
}

/// The answer is good; the buffer to receive into lies nowhere.
fn bad_receive(reply: u64, endpoint: u64) -> Operation {
    Operation {
        opcode: opcode::RETURN_RECEIVE,
        flags: submission_flags::INLINE,
        handle: reply,
        deadline_ns: NEVER,
        words: [77, 0, 0, 0],
        second: endpoint,
        reply: u64::MAX,
        ..Operation::default()
    }
}

/// The answer comes with a capability whose description lies beyond the message area.
fn bad_answer(reply: u64, _: u64) -> Operation {
    Operation {
        opcode: opcode::RETURN,
        handle: reply,
        deadline_ns: NEVER,
        words: [raw::end_of_messages(16), 0, 0, 1],
        ..Operation::default()
    }
}
