//! Is a charge or an allocation that fails refused to whoever asked, and is nothing lost then?
#![no_std]
#![cfg_attr(not(test), no_main)]

use ring_abi::{Submission, opcode, span};
use sdk::alloc::vec::Vec;
use sdk::process::virtual_memory;
use sdk::{
    Cap, Endpoint, Env, Error, Interface, Lifetime, Object, Refusal, ThreadOptions, Timer, fact,
    spawn_thread,
};
use smoke::accounts::{child, kit_of, measure};
use smoke::{Kit, give, mint, raw, role};

sdk::entry!(main);

type VirtualMemory = virtual_memory::Client<Cap>;

const PAGE: u64 = 4096;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("worker") => work(env),
        _ => fail(env),
    }
}

/// Rounds of the gate, in each of which one charge or allocation is refused.
const FAILURES: u64 = 200;
/// Of these the first one each, then some of the next ones here and there.
const FIRST: u64 = 80;
const NEXT: u64 = 240;

/// One charge or allocation after the other is refused, as far as the kernel lets a program say so: the sabotage kernel
/// does. Each time somebody hears of it, and nothing is lost.
fn fail(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-accounts-fail")?;
    let console: sdk::Console = env.get("console")?;
    let given = |at| env.arguments().nth(at).and_then(|word| word.parse().ok());
    let range = given(1).zip(given(2));
    work_once(&kit, &console, 0)?;
    work_once(&kit, &console, 0)?;
    let (before, first) = measure(&kit)?;
    let (mut refused, mut ended_otherwise, mut not_reached) = (0u64, 0u64, 0u64);
    for at in places(range) {
        let worked = work_once(&kit, &console, at)?;
        not_reached += u64::from(arm(0) != 0);
        match worked {
            Worked::All => {}
            Worked::Refused => refused += 1,
            Worked::Ended => ended_otherwise += 1,
        }
    }
    arm(0);
    let (after, last) = measure(&kit)?;
    fact!(
        "accounts.failed",
        difference_before = first,
        difference_after = last,
        kept_bytes = after as i64 - before as i64,
        works_again = matches!(work_once(&kit, &console, 0)?, Worked::All)
    );
    fact!(
        "accounts.refusals",
        none = refused + ended_otherwise == 0,
        refused ~ refused,
        programs_ended ~ ended_otherwise,
        not_reached ~ not_reached
    );
    Ok(())
}

/// How the work of a round went.
enum Worked {
    All,
    Refused,
    /// The program could not go on.
    Ended,
}

/// Which charges and allocations are refused, one in each round: those of `range`, or the gate's choice.
fn places(range: Option<(u64, u64)>) -> impl Iterator<Item = u64> {
    let (from, to) = range.unwrap_or((1, FAILURES));
    let mut seed = 7u64;
    (from..=to).map(move |round| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        match (range, round) {
            (None, FIRST..) => FIRST + 1 + (seed >> 33) % NEXT,
            _ => round,
        }
    })
}

/// Asks the sabotage kernel to refuse the `at`th charge or allocation from now on; 0: none. How many are left until the one
/// that was asked for before; 0: it was refused.
fn arm(at: u64) -> u64 {
    let done = raw::operate(&rt::sys::Operation {
        opcode: opcode::NOP,
        handle: at,
        ..rt::sys::Operation::default()
    });
    done.words[0]
}

fn work_once(kit: &Kit, console: &sdk::Console, at: u64) -> Result<Worked, Error> {
    let limits = child(2048, 300);
    arm(0);
    let endpoint = kit.endpoints.create()?.endpoint;
    let mut given = kit_of(kit);
    given.extend([give("console", console), give("endpoint", &endpoint)]);
    arm(at);
    let worker = match kit.start_within("worker", &limits, &[], &given) {
        Ok(worker) => worker,
        Err(_) => return Ok(Worked::Refused),
    };
    let ended = match kit.ended(&worker).or_else(|_| kit.ended(&worker)) {
        Ok(ended) => ended,
        Err(_) => return Ok(Worked::Refused),
    };
    Ok(match (ended.kind, ended.code) {
        ("exited", 0) => Worked::All,
        ("exited", 3) => Worked::Refused,
        _ => Worked::Ended,
    })
}

/// Something of everything that makes the kernel hold something.
fn work(env: &Env) -> Result<(), Error> {
    let refused = match try_everything(env) {
        Ok(()) => 0,
        Err(_) => 3,
    };
    sdk::exit(refused, format_args!(""))
}

fn try_everything(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-accounts-fail")?;
    let vm: VirtualMemory = env.get("vm")?;
    let endpoint: Endpoint = env.get("endpoint")?;
    let probe = mint(&endpoint, 1, Lifetime::Durable)?;
    let timer = kit.timer.object().handle();
    let soon = kit.after_ms(3)?;
    let receiver = endpoint.object().handle();
    let thread = spawn_thread(ThreadOptions::default(), move || {
        let timer = Timer::from_object(Cap::borrowed(timer));
        let receive = Submission {
            opcode: opcode::RECEIVE,
            handle: receiver,
            deadline_ns: soon,
            words: [0, span(1024, 64), 0, 0],
            ..Submission::default()
        };
        let (taken, _) = raw::flood(receive, 24);
        (taken == 24, timer.sleep(soon))
    })?;
    let memory = vm.create_memory(9 * PAGE)?.memory;
    let narrow = memory.read_only()?.memory;
    let mut places = Vec::new();
    for _ in 0..12 {
        places.push(memory.map(0, 2 * PAGE, 1)?.address);
    }
    for address in places {
        vm.unmap(address, PAGE)?;
    }
    let own = vm.map(40 * PAGE, 3)?.address;
    vm.unmap(own + 5 * PAGE, 3 * PAGE)?;
    vm.protect(own, PAGE, 1)?;
    let second = kit.endpoints.create()?.endpoint;
    let mut facets = Vec::new();
    for cookie in 0..8 {
        facets.push(mint(&second, cookie, Lifetime::Durable)?);
    }
    // A call that waits in a queue until it gives up, with something to carry.
    let gave_up = probe.with_deadline(kit.after_ms(2)?).words(1, 2);
    drop(facets);
    memory.revoke()?;
    drop(narrow);
    let (all, slept) = thread.join()?;
    slept?;
    match (all, gave_up.map(|_| ())) {
        (true, Ok(()) | Err(Refusal::TimedOut | Refusal::NoReply)) => Ok(()),
        (_, Err(refusal)) => Err(refusal.into()),
        _ => Err(Refusal::OverBudget.into()),
    }
}
