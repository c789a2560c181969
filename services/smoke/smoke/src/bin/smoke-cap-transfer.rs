//! Do capabilities travel with messages as one transaction: all or none, moved ones away from the sender?
#![no_std]
#![cfg_attr(not(test), no_main)]

use ring_abi::{MAX_TRANSFERS, NEVER, NO_HANDLE, opcode, span, submission_flags};
use rt::sys::Operation;
use sdk::process::process_spawner::Limits;
use sdk::schema::smoke::probe::method;
use sdk::{
    CapArg, Endpoint, Env, Error, Interface, Lifetime, Object, Refusal, alloc::vec::Vec, fact,
};
use smoke::{Kit, Probe, Prober, give, mint, outcome, raw, role, serve_probe};

sdk::entry!(main);

/// `act`: calls the capability that was taken last; gives the sum.
const USE_LAST: u64 = 1;
/// `act`: answers the call whose reply right was taken last, with `word`.
const ANSWER_LAST: u64 = 2;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("keeper") => serve_probe(env, act),
        // Ends with the word that its call was answered with.
        Some("caller") => {
            let probe: Probe = env.get("probe")?;
            sdk::exit(
                probe.hold().map_or(-1, |results| results.word as i64),
                format_args!(""),
            )
        }
        _ => ask(env),
    }
}

fn act(state: &mut Prober, what: u64, word: u64) -> Result<u64, Refusal> {
    let last = state.taken.pop().ok_or(Refusal::NotFound)?;
    match what {
        USE_LAST => Ok(Probe::from_object(last).words(word, 1)?.sum),
        ANSWER_LAST => {
            let answer = Operation {
                opcode: opcode::RETURN,
                flags: submission_flags::INLINE,
                handle: last.into_handle(),
                deadline_ns: NEVER,
                words: [word, 0, 0, 0],
                ..Operation::default()
            };
            raw::operate(&answer).refused().map_or(Ok(word), Err)
        }
        _ => Err(Refusal::BadArgument),
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-cap-transfer")?;
    let home = kit.endpoints.create()?.endpoint;
    let _home = kit.start("keeper", &[give("endpoint", &home)])?;
    let away = kit.endpoints.create()?.endpoint;
    let _keeper = kit.start("keeper", &[give("endpoint", &away)])?;
    // Calls through it end at `home`; capabilities to it are sent through `keeper`.
    let target = mint(&home, 1, Lifetime::Durable)?;
    let keeper = mint(&away, 2, Lifetime::Durable)?;
    let take = |caps: &[CapArg]| keeper.take(b"caps", caps).map(|results| results.taken);
    let uses = |probe: &Probe| outcome(&probe.words(0, 0));
    let away_uses = || keeper.act(USE_LAST, 41).map_or(0, |results| results.word);

    let taken = take(&[target.cap()])?;
    fact!(
        "transfer.copied",
        taken = taken,
        sender = uses(&target),
        receiver = away_uses()
    );

    let moving = mint(&home, 3, Lifetime::Durable)?;
    let taken = take(&[CapArg::moved(moving.object().handle())])?;
    fact!(
        "transfer.moved",
        taken = taken,
        sender = uses(&moving),
        receiver = away_uses()
    );

    let most = [target.cap(); MAX_TRANSFERS];
    let taken = take(&most)?;
    fact!(
        "transfer.many",
        taken = taken,
        one_more = take_raw(
            &keeper,
            target.object().handle(),
            0,
            MAX_TRANSFERS as u32 + 1
        )
    );

    let twice = CapArg::moved(target.object().handle());
    let doubled = outcome(&take(&[twice, twice]));
    let mixed = outcome(&take(&[twice, target.cap()]));
    let stale = outcome(&take(&[CapArg::copy(moving.object().handle())]));
    fact!(
        "transfer.refused",
        doubled = doubled,
        moved_and_copied = mixed,
        stale = stale,
        no_mode = take_raw(&keeper, target.object().handle(), 2, 1),
        still = uses(&target)
    );

    reply_right(&kit, &take, &keeper)?;
    over_quota(&kit, &home)
}

/// Sends `count` transfers of a mode, without the client library that would not send more than a message carries, or a mode that
/// there is not.
fn take_raw(keeper: &Probe, handle: u64, mode: u64, count: u32) -> &'static str {
    let at = raw::SAFE_OFFSET;
    // A root struct with one empty pointer: an empty tag.
    raw::put(at, 1 << 48);
    raw::put(at + 8, 0);
    for i in 0..count {
        raw::put(at + 16 + i * 16, handle);
        raw::put(at + 24 + i * 16, mode);
    }
    let call = Operation {
        opcode: opcode::CALL,
        method: method::TAKE,
        handle: keeper.object().handle(),
        deadline_ns: NEVER,
        words: [span(at, 16), 0, 0, count.into()],
        reply: span(at + 1024, 256),
        ..Operation::default()
    };
    raw::operate(&call).refused().map_or("ok", Refusal::name)
}

/// The right to answer a call goes to another process, which answers.
fn reply_right(
    kit: &Kit,
    take: &impl Fn(&[CapArg]) -> Result<u64, Refusal>,
    keeper: &Probe,
) -> Result<(), Error> {
    let own: Endpoint = kit.endpoints.create()?.endpoint;
    let probe = mint(&own, 4, Lifetime::Durable)?;
    let caller = kit.start("caller", &[give("probe", &probe)])?;
    let receive = Operation {
        opcode: opcode::RECEIVE,
        handle: own.object().handle(),
        deadline_ns: NEVER,
        ..Operation::default()
    };
    let received = raw::operate(&receive);
    let right = received.reply;
    let copied = outcome(&take(&[CapArg::copy(right)]));
    // Neither a copy nor a move.
    let otherwise = take_raw(keeper, right, 2, 1);
    let moved = take(&[CapArg::moved(right)])?;
    let again = Operation {
        opcode: opcode::RETURN,
        flags: submission_flags::INLINE,
        handle: right,
        deadline_ns: NEVER,
        ..Operation::default()
    };
    let sender = raw::operate(&again).refused().map_or("ok", Refusal::name);
    let _ = keeper.act(ANSWER_LAST, 77)?;
    let ended = kit.ended(&caller)?;
    fact!(
        "transfer.reply-right",
        present = right != NO_HANDLE,
        copied = copied,
        otherwise = otherwise,
        moved = moved,
        sender = sender,
        answered = ended.code
    );
    Ok(())
}

/// A receiver with room for two more capabilities gets four: nothing moves. Then it gets two.
fn over_quota(kit: &Kit, home: &Endpoint) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    // Its own two, its endpoint, the right to answer, and two.
    let limits = Limits {
        handles: 6,
        ..Limits::default()
    };
    let small = kit.start_within("keeper", &limits, &[], &[give("endpoint", &endpoint)])?;
    let id = small.info()?.id;
    let probe = mint(&endpoint, 5, Lifetime::Durable)?;
    probe.words(0, 0)?;
    let held = kit.handles_of(id)?;
    let four: Vec<Probe> = (0..4)
        .map(|cookie| mint(home, cookie, Lifetime::Durable))
        .collect::<Result<_, _>>()?;
    let moved: Vec<CapArg> = four
        .iter()
        .map(|probe| CapArg::moved(probe.object().handle()))
        .collect();
    let refused = outcome(&probe.take(b"four", &moved));
    let lost = four
        .iter()
        .filter(|probe| probe.words(0, 0).is_err())
        .count();
    let gained = kit.handles_of(id)? - held;
    fact!(
        "transfer.over-quota",
        refused = refused,
        sender_lost = lost,
        receiver_gained = gained
    );
    let taken = probe.take(b"two", &moved[..2])?.taken;
    let lost = four
        .iter()
        .filter(|probe| probe.words(0, 0).is_err())
        .count();
    let gained = kit.handles_of(id)? - held;
    fact!(
        "transfer.within-quota",
        taken = taken,
        sender_lost = lost,
        receiver_gained = gained
    );
    Ok(())
}
