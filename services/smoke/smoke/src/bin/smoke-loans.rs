//! Does what a call lends its server end with the call, whichever way the call ends?
//!
//! A server of low priority computes for good on processor 0. Beside it a bystander of middle priority sleeps a
//! millisecond at a time: it runs exactly if nobody lends the server more than the bystander has.
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ring_abi::{NEVER, Submission, opcode, span, submission_flags};
use rt::Cap;
use rt::sys::{Operation, Outcome};
use sdk::process::process_spawner::Limits;
use sdk::process::thread_spawner::Shape;
use sdk::{
    CapArg, Endpoint, Env, Error, Interface, JoinHandle, Lifetime, Object, Refusal, ThreadOptions,
    Timer, fact, spawn_thread,
};
use smoke::{Kit, Probe, give, mint, raw, role, wait_for, wait_until};

sdk::entry!(main);

/// Priorities of server, bystander and client.
const SERVER: u8 = 4;
const BYSTANDER: u8 = 10;
const CLIENT: u8 = 16;
/// Beats of the bystander that show that it runs.
const BEATS_WANTED: u64 = 5;
/// Calls that are tried until a server has one.
const CALLS: u32 = 50;

/// How far the server is: 1 has a call, 2 has done what it does with it.
static STAGE: AtomicU64 = AtomicU64::new(0);
static BEATS: AtomicU64 = AtomicU64::new(0);
static OVER: AtomicBool = AtomicBool::new(false);
/// A reply right that another thread is to use.
static RIGHT: AtomicU64 = AtomicU64::new(0);

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("client") => {
            let probe: Probe = env.get("probe")?;
            let outcome = call(probe.object().handle(), NEVER);
            sdk::exit(i64::from(outcome.refused().is_some()), format_args!(""))
        }
        _ => ask(env),
    }
}

fn at(cpu: i16, priority: u8) -> ThreadOptions {
    ThreadOptions {
        stack_bytes: 32 * 1024,
        shape: Shape {
            submissions: 8,
            message_bytes: 8192,
            priority,
            cpu,
        },
    }
}

/// Calls in registers; the answer lies in the thread's own area.
fn call(facet: u64, deadline_ns: u64) -> Outcome {
    raw::operate(&Operation {
        opcode: opcode::CALL,
        flags: submission_flags::INLINE,
        handle: facet,
        deadline_ns,
        reply: span(1024, 512),
        ..Operation::default()
    })
}

fn receive(endpoint: u64) -> Outcome {
    raw::operate(&Operation {
        opcode: opcode::RECEIVE,
        handle: endpoint,
        deadline_ns: NEVER,
        reply: span(1024, 512),
        ..Operation::default()
    })
}

/// An operation on a reply right.
fn use_right(what: u8, right: u64) -> Outcome {
    raw::operate(&Operation {
        opcode: what,
        flags: submission_flags::INLINE,
        handle: right,
        deadline_ns: NEVER,
        ..Operation::default()
    })
}

fn word(outcome: &Outcome) -> &'static str {
    outcome.refused().map_or("answered", Refusal::name)
}

fn stage(at_least: u64) -> impl FnMut() -> bool {
    move || STAGE.load(Ordering::Acquire) >= at_least
}

fn spin_until_over() {
    while !OVER.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
}

/// One round: a fresh endpoint, the bystander, and a server that does `then` with the first call it gets.
struct Round<'k> {
    kit: &'k Kit,
    endpoint: Endpoint,
    probe: Probe,
    bystander: JoinHandle<()>,
    server: JoinHandle<()>,
}

impl<'k> Round<'k> {
    fn begin(kit: &'k Kit, then: impl FnOnce(u64, u64) + Send + 'static) -> Result<Self, Error> {
        OVER.store(false, Ordering::Release);
        STAGE.store(0, Ordering::Release);
        RIGHT.store(0, Ordering::Release);
        let endpoint = kit.endpoints.create()?.endpoint;
        let probe = mint(&endpoint, 1, Lifetime::Durable)?;
        let end = endpoint.object().handle();
        let server = spawn_thread(at(0, SERVER), move || {
            let got = receive(end);
            STAGE.store(1, Ordering::Release);
            then(end, got.reply);
            STAGE.store(2, Ordering::Release);
            spin_until_over();
        })?;
        let timer = kit.timer.object().handle();
        let bystander = spawn_thread(at(0, BYSTANDER), move || {
            let timer = Timer::from_object(Cap::borrowed(timer));
            while !OVER.load(Ordering::Acquire) {
                let Ok(now) = timer.now() else { return };
                let _ = timer.sleep(now.ns + 1_000_000);
                BEATS.fetch_add(1, Ordering::AcqRel);
            }
        })?;
        Ok(Self {
            kit,
            endpoint,
            probe,
            bystander,
            server,
        })
    }

    fn facet(&self) -> u64 {
        self.probe.object().handle()
    }

    /// A client on the other processor.
    fn client(&self, deadline_ns: u64) -> Result<JoinHandle<&'static str>, Error> {
        let facet = self.facet();
        Ok(spawn_thread(at(1, CLIENT), move || {
            word(&call(facet, deadline_ns))
        })?)
    }

    /// Whether the bystander runs.
    fn bystander(&self) -> &'static str {
        let before = BEATS.load(Ordering::Acquire);
        let runs = wait_until(self.kit, || {
            BEATS.load(Ordering::Acquire) >= before + BEATS_WANTED
        });
        if runs { "runs" } else { "starves" }
    }

    /// Whether it does not for a while: one beat may have been under way.
    fn waits(&self) -> Result<bool, Error> {
        let before = BEATS.load(Ordering::Acquire);
        self.kit.pause_ms(50)?;
        Ok(BEATS.load(Ordering::Acquire) <= before + 1)
    }

    fn end(self) -> Result<(), Error> {
        OVER.store(true, Ordering::Release);
        self.server.join()?;
        self.bystander.join()?;
        Ok(())
    }
}

fn nothing(_: u64, _: u64) {}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-loans")?;
    lasts(&kit)?;
    timed_out(&kit)?;
    cancelled(&kit)?;
    client_killed(&kit)?;
    revoked(&kit)?;
    dropped(&kit)?;
    answered_elsewhere(&kit)?;
    moved(&kit)?;
    one_of_two(&kit)?;
    chain(&kit, SERVER)?;
    chain(&kit, BYSTANDER + 1)?;
    through_ring(&kit)
}

/// What the others rest on: while a call lasts, its server has its caller's priority.
fn lasts(kit: &Kit) -> Result<(), Error> {
    let round = Round::begin(kit, nothing)?;
    let client = round.client(kit.after_ms(1500)?)?;
    wait_until(kit, stage(2));
    let waits = round.waits()?;
    let client = client.join()?;
    fact!("loans.lasts", bystander_waits = waits, client = client);
    round.end()
}

fn timed_out(kit: &Kit) -> Result<(), Error> {
    let round = Round::begin(kit, nothing)?;
    let mut client = "answered";
    // On a busy host a call's time can be over before the server has it: then it has lent nothing.
    for _ in 0..CALLS {
        client = round.client(kit.after_ms(20)?)?.join()?;
        if client != "timedOut" || wait_for(kit, 200, stage(1)) {
            break;
        }
    }
    fact!(
        "loans.timed-out",
        client = client,
        bystander = round.bystander()
    );
    round.end()
}

/// Submits a call through the ring, whose answer nobody takes.
fn call_in_ring(facet: u64, user_data: u64) {
    raw::put(1024, 4 << 32);
    raw::submit(Submission {
        opcode: opcode::CALL,
        handle: facet,
        deadline_ns: NEVER,
        user_data,
        words: [span(1024, 40), span(2048, 512), 0, 0],
        ..Submission::default()
    });
    raw::enter(0, NEVER);
}

fn cancelled(kit: &Kit) -> Result<(), Error> {
    let round = Round::begin(kit, nothing)?;
    let facet = round.facet();
    let client = spawn_thread(at(1, CLIENT), move || {
        call_in_ring(facet, 9);
        while STAGE.load(Ordering::Acquire) < 2 {
            core::hint::spin_loop();
        }
        let ended = raw::operate(&Operation {
            opcode: opcode::CANCEL,
            handle: 9,
            deadline_ns: NEVER,
            ..Operation::default()
        });
        ended.refused().map_or("cancelled", Refusal::name)
    })?
    .join()?;
    fact!(
        "loans.cancelled",
        client = client,
        bystander = round.bystander()
    );
    round.end()
}

fn client_killed(kit: &Kit) -> Result<(), Error> {
    let round = Round::begin(kit, nothing)?;
    let limits = Limits {
        priority: CLIENT,
        ..Limits::default()
    };
    let client = kit.start_within("client", &limits, &[], &[give("probe", &round.probe)])?;
    wait_until(kit, stage(2));
    client.kill()?;
    let ended = kit.ended(&client)?;
    fact!(
        "loans.client-killed",
        client = ended.kind,
        bystander = round.bystander()
    );
    round.end()
}

fn revoked(kit: &Kit) -> Result<(), Error> {
    let round = Round::begin(kit, nothing)?;
    let client = round.client(NEVER)?;
    wait_until(kit, stage(2));
    round.endpoint.revoke_facet(CapArg::copy(round.facet()))?;
    let client = client.join()?;
    fact!(
        "loans.revoked",
        client = client,
        bystander = round.bystander()
    );
    round.end()
}

fn dropped(kit: &Kit) -> Result<(), Error> {
    let round = Round::begin(kit, |_, right| {
        use_right(opcode::RELEASE, right);
    })?;
    let client = round.client(NEVER)?.join()?;
    fact!(
        "loans.dropped",
        client = client,
        bystander = round.bystander()
    );
    round.end()
}

/// Another thread of the server answers.
fn answered_elsewhere(kit: &Kit) -> Result<(), Error> {
    let round = Round::begin(kit, |_, right| RIGHT.store(right, Ordering::Release))?;
    let client = round.client(NEVER)?;
    wait_until(kit, stage(2));
    use_right(opcode::RETURN, RIGHT.load(Ordering::Acquire));
    let client = client.join()?;
    fact!(
        "loans.answered-elsewhere",
        client = client,
        bystander = round.bystander()
    );
    round.end()
}

/// The reply right goes to another server, and with it what the call lends.
fn moved(kit: &Kit) -> Result<(), Error> {
    let other = kit.endpoints.create()?.endpoint;
    let facet = mint(&other, 2, Lifetime::Durable)?;
    let (other_end, through) = (other.object().handle(), facet.object().handle());
    let timer = kit.timer.object().handle();
    let keeper = spawn_thread(at(1, CLIENT), move || {
        let got = receive(other_end);
        let right = raw::get(1024 + 8);
        use_right(opcode::RETURN, got.reply);
        wait_until_told(timer);
        word(&use_right(opcode::RETURN, right))
    })?;
    let round = Round::begin(kit, move |_, right| {
        // An empty root struct, then the transfer: the right, moved.
        raw::put(2048, 0);
        raw::put(2056, right);
        raw::put(2064, 1);
        raw::operate(&Operation {
            opcode: opcode::CALL,
            handle: through,
            deadline_ns: NEVER,
            words: [span(2048, 8), 0, 0, 1],
            reply: span(1024, 512),
            ..Operation::default()
        });
    })?;
    let client = round.client(NEVER)?;
    wait_until(kit, stage(2));
    let bystander = round.bystander();
    RIGHT.store(1, Ordering::Release);
    let (keeper, client) = (keeper.join()?, client.join()?);
    fact!(
        "loans.moved",
        bystander = bystander,
        keeper = keeper,
        client = client
    );
    round.end()
}

/// Leaves processor 1 to others meanwhile.
fn wait_until_told(timer: u64) {
    let timer = Timer::from_object(Cap::borrowed(timer));
    while RIGHT.load(Ordering::Acquire) == 0 {
        let now = timer.now().map_or(0, |now| now.ns);
        let _ = timer.sleep(now + 1_000_000);
    }
}

/// Two clients: what the second lends outlasts the first.
fn one_of_two(kit: &Kit) -> Result<(), Error> {
    let round = Round::begin(kit, |end, _| {
        receive(end);
    })?;
    let first = round.client(kit.after_ms(500)?)?;
    wait_until(kit, stage(1));
    let second = round.client(kit.after_ms(3000)?)?;
    wait_until(kit, stage(2));
    let first = first.join()?;
    let waits = round.waits()?;
    let second = second.join()?;
    fact!(
        "loans.one-of-two",
        first = first,
        bystander_waits = waits,
        second = second,
        bystander = round.bystander()
    );
    round.end()
}

/// A client calls a server that calls another one: when the client gives up, the last in the row has less, too, and no less than
/// the one between has by itself.
fn chain(kit: &Kit, own: u8) -> Result<(), Error> {
    let round = Round::begin(kit, nothing)?;
    let middle = kit.endpoints.create()?.endpoint;
    let facet = mint(&middle, 3, Lifetime::Durable)?;
    let (end, through, last) = (
        middle.object().handle(),
        facet.object().handle(),
        round.facet(),
    );
    let until = kit.after_ms(10_000)?;
    let between = spawn_thread(at(1, own), move || {
        receive(end);
        word(&call(last, until))
    })?;
    let client = spawn_thread(at(1, CLIENT), move || word(&call(through, NEVER)))?;
    wait_until(kit, stage(2));
    let waits = round.waits()?;
    middle.revoke_facet(CapArg::copy(through))?;
    let client = client.join()?;
    let still_waits = own > BYSTANDER && round.waits()?;
    let mut bystander = "waits";
    if !still_waits {
        bystander = round.bystander();
    }
    round.endpoint.revoke_facet(CapArg::copy(last))?;
    let between = between.join()?;
    fact!(
        "loans.chain",
        own = own,
        bystander_waits = waits,
        client = client,
        bystander = bystander,
        between = between
    );
    round.end()
}

/// A server that was lent a priority calls on through its ring: it does not wait for that, and lends its own priority alone.
fn through_ring(kit: &Kit) -> Result<(), Error> {
    let round = Round::begin(kit, nothing)?;
    let middle = kit.endpoints.create()?.endpoint;
    let facet = mint(&middle, 3, Lifetime::Durable)?;
    let (end, through) = (middle.object().handle(), facet.object().handle());
    let last = round.facet();
    let between = spawn_thread(at(1, SERVER + 1), move || {
        let got = receive(end);
        call_in_ring(last, 1);
        while STAGE.load(Ordering::Acquire) < 2 {
            core::hint::spin_loop();
        }
        while RIGHT.load(Ordering::Acquire) == 0 {
            core::hint::spin_loop();
        }
        word(&use_right(opcode::RETURN, got.reply))
    })?;
    let client = spawn_thread(at(-1, CLIENT), move || word(&call(through, NEVER)))?;
    let served = wait_until(kit, stage(2));
    let bystander = round.bystander();
    RIGHT.store(1, Ordering::Release);
    let (between, client) = (between.join()?, client.join()?);
    fact!(
        "loans.through-ring",
        served = served,
        bystander = bystander,
        between = between,
        client = client
    );
    round.end()
}
