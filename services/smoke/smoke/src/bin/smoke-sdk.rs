//! Do the SDK's tasks, lists, channels, locks and heap figures do in a guest what their pages say?
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::future::{pending, ready};
use core::pin::pin;

use sdk::alloc::sync::Arc;
use sdk::alloc::vec::Vec;
use sdk::process::timer::{self, SleepParams};
use sdk::schema::smoke::probe::{GiveParams, SumsParams, SumsResults, WordsParams, call};
use sdk::tasks::{Either, Group, either, join, join_all};
use sdk::{
    Bell, Condvar, Env, Error, HashMap, Lifetime, Mutex, Refusal, Tasks, ThreadOptions,
    ThreadSpawner, Timer, channel, fact, heap_figures, sleep_for, spawn_thread,
};
use smoke::{Kit, Probe, Prober, give, mint, outcome, role, serve_probe, wait_until};

sdk::entry!(main);

const MS: u64 = 1_000_000;
/// Slots of the tasks: fewer than what some of the questions begin.
const SLOTS: u16 = 4;
/// How many numbers are put where memory must grow.
const MANY: usize = 20_000;
/// What the server of the probe is asked for: how many calls it holds, how many of its facets are gone.
const HELD: u64 = 1;
const GONE: u64 = 2;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("server") => return serve_probe(env, act),
        Some("stuck") => return Tasks::new(1, 80)?.run(pending()),
        _ => {}
    }
    let kit = Kit::new(env, "smoke-sdk")?;
    let threads: ThreadSpawner = env.get("threads")?;
    let bell = threads.bell()?.bell;
    let timer: Timer = env.get("timer")?;
    memory();
    between_threads(&timer)?;

    let tasks = Tasks::new(SLOTS, 256)?;
    sleeps(&tasks, &timer)?;
    in_turn(&tasks, &bell)?;
    first_of_two(&tasks, &timer, &bell)?;

    let endpoint = kit.endpoints.create()?.endpoint;
    let probe = mint(&endpoint, 9, Lifetime::Durable)?;
    let server = kit.start("server", &[give("endpoint", &endpoint)])?;
    calls(&tasks, &probe)?;
    lists(&tasks, &probe)?;
    given_up(&kit, &tasks, &timer, &probe)?;
    drop(tasks);
    server.kill()?;

    let stuck = kit.run("stuck", &[])?;
    let is_named = stuck.text.contains("nothing under way");
    fact!("sdk.stuck", kind = stuck.kind, named = is_named);
    Ok(())
}

fn act(state: &mut Prober, what: u64, _: u64) -> Result<u64, Refusal> {
    match what {
        HELD => Ok(state.held.len() as u64),
        GONE => Ok(state.dropped.len() as u64),
        _ => Err(Refusal::BadArgument),
    }
}

/// A list that grows is moved whole, and the heap's figures say what is given out, and that it came back.
fn memory() {
    let before = heap_figures();
    let mut list: Vec<u64> = Vec::new();
    (0..MANY as u64).for_each(|number| list.push(number));
    let whole = (0..).zip(&list).all(|(index, &number)| index == number);
    let with = heap_figures();
    let given = with.used_bytes - before.used_bytes == list.capacity() * size_of::<u64>();
    let blocks = with.blocks - before.blocks;
    let mapped = with.mapped_bytes >= MANY * size_of::<u64>();
    drop(list);
    let mut counts: HashMap<u64, u32> = HashMap::new();
    (0..MANY as u64).for_each(|number| *counts.entry(number % 100).or_default() += 1);
    let even = counts.len() == 100 && counts.values().all(|&count| count == MANY as u32 / 100);
    drop(counts);
    let after = heap_figures();
    let back = (after.used_bytes, after.blocks) == (before.used_bytes, before.blocks);
    fact!(
        "sdk.memory",
        whole = whole,
        given = given,
        blocks = blocks,
        mapped = mapped,
        even = even,
        back = back
    );
}

/// Values through a channel with room for two, and a condition that two threads make true.
fn between_threads(timer: &Timer) -> Result<(), Error> {
    let (sender, receiver) = channel::channel(2);
    let state = Arc::new((Mutex::new(0_u32), Condvar::new()));
    let mut senders = Vec::new();
    for first in [0, 100_u64] {
        let (sender, state) = (sender.clone(), Arc::clone(&state));
        senders.push(spawn_thread(ThreadOptions::default(), move || {
            let sent = (first..first + 100).all(|number| sender.send(number).is_ok());
            *state.0.lock() += 1;
            state.1.notify_all();
            sent
        })?);
    }
    drop(sender);
    let mut last = [None; 2];
    let (mut count, mut in_order) = (0, true);
    while let Some(number) = receiver.receive() {
        let of = &mut last[(number / 100) as usize];
        in_order &= of.is_none_or(|before| before < number);
        *of = Some(number);
        count += 1;
    }
    let mut done = state.0.lock();
    while *done < 2 {
        done = state.1.wait(done);
    }
    let done = *done;
    let mut sent = true;
    for sender in senders {
        sent &= sender.join()?;
    }
    let begun = timer.now()?.ns;
    sleep_for(timer, 5 * MS)?;
    let slept = timer.now()?.ns - begun >= 5 * MS;
    fact!(
        "sdk.threads",
        received = count,
        in_order = in_order,
        sent = sent,
        done = done,
        slept = slept
    );
    Ok(())
}

/// More sleepers than slots: all sleep, none too short, and not one after the other.
fn sleeps(tasks: &Tasks, timer: &Timer) -> Result<(), Error> {
    let begun = timer.now()?.ns;
    let until = begun + 20 * MS;
    let done = tasks.run(join_all((0..2 * SLOTS).map(|_| tasks.sleep(timer, until))));
    let slept = done.iter().filter(|done| done.is_ok()).count();
    let early = timer.now()?.ns < until;
    let late = tasks.run(tasks.call_by::<timer::call::Sleep, _>(
        begun,
        timer,
        SleepParams { until_ns: u64::MAX },
        |()| (),
    ));
    fact!(
        "sdk.sleep",
        slept = slept,
        early = early,
        late = outcome(&late)
    );
    Ok(())
}

/// Three tasks that wait for each other: they end in the order of their bells and not in that of their beginning.
fn in_turn(tasks: &Tasks, bell: &Bell) -> Result<(), Error> {
    let turn = async |bit: u32| {
        let rung = tasks.wait(bell, 1 << bit).await;
        let next = bell.ring(1 << (bit + 1));
        rung.and(next).map(|()| bit)
    };
    let order = tasks.run(async {
        let mut group = Group::new();
        [3, 2, 1].into_iter().for_each(|bit| group.add(turn(bit)));
        let mut order = 0;
        let begin = async { bell.ring(0b10) };
        let follow = async {
            while let Some(bit) = group.next().await {
                order = order * 10 + bit.unwrap_or(9);
            }
            order
        };
        join(follow, begin).await.0
    });
    let left = bell.wait(u64::MAX)?.bits;
    fact!("sdk.turns", order = order, left = left);
    Ok(())
}

/// A bell or a time, whichever comes first; what did not come leaves nothing behind.
fn first_of_two(tasks: &Tasks, timer: &Timer, bell: &Bell) -> Result<(), Error> {
    bell.ring(1)?;
    let hour = 3_600_000 * MS;
    let rung = tasks.run(either(tasks.wait(bell, 1), tasks.sleep_for(timer, hour)));
    let silent = tasks.run(either(tasks.wait(bell, 1), tasks.sleep_for(timer, 5 * MS)));
    // A wait that was given up takes no bit.
    bell.ring(1)?;
    let left = tasks.run(tasks.wait(bell, 1))?;
    fact!(
        "sdk.either",
        rung = rung == Either::First(Ok(1)),
        silent = silent == Either::Second(Ok(())),
        left = left,
        under_way = tasks.under_way()
    );
    Ok(())
}

/// More calls than slots, each with its own answer.
fn calls(tasks: &Tasks, probe: &Probe) -> Result<(), Error> {
    let ask = async |a: u64| {
        let params = WordsParams { a, b: 1000 };
        let asked = tasks.call::<call::Words, _>(probe, params, |results| results.sum);
        asked.await
    };
    let answers = tasks.run(join_all((0..32).map(ask)));
    let own = (0..).zip(&answers).filter(|(a, sum)| **sum == Ok(1000 + a));
    let own = own.count();
    let long = [0; 256];
    let refused = tasks.run(tasks.call::<call::Echo, _>(
        probe,
        sdk::schema::smoke::probe::EchoParams { bytes: &long },
        |_| (),
    ));
    fact!("sdk.calls", own = own, too_long = outcome(&refused));
    Ok(())
}

/// Lists of integers to a server and back, through the ring and without it.
fn lists(tasks: &Tasks, probe: &Probe) -> Result<(), Error> {
    let signed = [i64::MIN, -1, 7];
    let params = SumsParams {
        small: &[1, 2, u16::MAX],
        signed: &signed[1..],
        bytes: &[200, 100],
    };
    let seen = |results: SumsResults<'_>| -> Result<(Vec<u32>, Vec<i64>, i64), Refusal> {
        let sums = results.sums()?.iter().collect();
        Ok((sums, results.signed()?.iter().collect(), results.total()))
    };
    let ring = tasks.run(tasks.call::<call::Sums, _>(probe, params, seen))??;
    let (sums, back, total) = probe.sums(params.small, params.signed, params.bytes, seen)??;
    let same = ring == (sums, back, total);
    let (sums, back, _) = ring;
    let none = probe.sums(&[], &signed[..1], &[], seen)??;
    fact!(
        "sdk.lists",
        same = same,
        sums = sums == [0, 1, 3],
        back = back == [-1, 7],
        total = total,
        empty = none.0.is_empty(),
        least = none.1 == [i64::MIN]
    );
    Ok(())
}

/// Calls that are given up: before their answer, and after it came and nobody had looked.
fn given_up(kit: &Kit, tasks: &Tasks, timer: &Timer, probe: &Probe) -> Result<(), Error> {
    let hold = tasks.call::<call::Hold, _>(probe, (), |results| results.word);
    let held = tasks.run(either(hold, tasks.sleep_for(timer, 5 * MS)));
    let is_held = probe.act(HELD, 0)?.word;
    let params = GiveParams { what: 5 };
    let gone = tasks.run(async {
        let mut give = pin!(tasks.call::<call::Give, _>(probe, params, |results| results.cap));
        let begun = either(give.as_mut(), ready(())).await;
        tasks.sleep_for(timer, 20 * MS).await?;
        let before = probe.act(GONE, 0)?.word;
        Ok::<_, Refusal>((matches!(begun, Either::Second(())), before))
    })?;
    let given_back = wait_until(kit, || probe.act(GONE, 0).is_ok_and(|gone| gone.word == 1));
    let again = tasks.run(tasks.call::<call::Give, _>(probe, params, |results| results.cap));
    fact!(
        "sdk.given-up",
        silent = held == Either::Second(Ok(())),
        held = is_held,
        begun = gone.0,
        gone_before = gone.1,
        given_back = given_back,
        again = outcome(&again),
        under_way = tasks.under_way()
    );
    Ok(())
}
