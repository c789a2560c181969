//! Does a trace hold what a process calls, how that ended and how long it took, and end with its holder?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::{format, string::String, vec::Vec};
use sdk::process::process_trace::Call as Record;
use sdk::process::{entropy_source, timer};
use sdk::schema::{interface_name, method_name};
use sdk::{
    Answered, Call, EntropySource, Env, Error, HashMap, Interface, Lifetime, NEVER, ProcessTrace,
    ProcessTracer, Received, Refusal, Reply, Ring, Service, Timer, VirtualMemory, fact,
};
use smoke::{Kit, give, outcome, role};

sdk::entry!(main);

const SLEEP_NS: u64 = 100_000_000;
/// Sleeps through the ring, all at once.
const AT_ONCE: u16 = 4;
/// Calls while the trace keeps `FEW`.
const MANY: u64 = 100;
const FEW: u16 = 8;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("calls") => calls(env),
        _ => look(env),
    }
}

/// What is looked at. It is held at `gate.fill` each time until whoever looks has done so.
fn calls(env: &Env) -> Result<(), Error> {
    let clock: Timer = env.get("timer")?;
    let gate: EntropySource = env.get("gate")?;
    let memory: VirtualMemory = env.get("vm")?;
    gate.fill()?;
    for _ in 0..3 {
        clock.now()?;
    }
    clock.sleep(clock.now()?.ns + SLEEP_NS)?;
    let _ = memory.map(0, 1);
    let _ = gate.fill();
    let mut ring = Ring::new(AT_ONCE, 256)?;
    let until = clock.now()?.ns + SLEEP_NS;
    for n in 0..AT_ONCE {
        let params = timer::SleepParams { until_ns: until };
        ring.call::<timer::call::Sleep>(clock.object(), params, u64::from(n), NEVER)?;
    }
    ring.wait(AT_ONCE, NEVER);
    while ring.completed().is_some() {}
    gate.fill()?;
    for _ in 0..MANY {
        clock.now()?;
    }
    gate.fill()?;
    Ok(())
}

struct Watcher<'a> {
    kit: &'a Kit,
    tracer: ProcessTracer,
    subject: u64,
    trace: Option<ProcessTrace>,
    fills: u32,
}

fn look(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-trace")?;
    let endpoint = kit.endpoints.create()?.endpoint;
    let facet = endpoint
        .mint(1, entropy_source::INTERFACE_ID, Lifetime::Incarnation)?
        .facet;
    let gate: EntropySource = Interface::from_object(facet.into_object());
    let given = [give("timer", &kit.timer), give("gate", &gate)];
    let process = kit.start("calls", &given)?;
    let mut watcher = Watcher {
        kit: &kit,
        tracer: env.get("processTracer")?,
        subject: process.info()?.id,
        trace: None,
        fills: 0,
    };
    let over = sdk::serve(Interface::object(&endpoint), &mut watcher);
    Err(over.into())
}

struct Seen {
    dropped: u64,
    ended: bool,
    calls: Vec<Record>,
}

fn read(trace: &ProcessTrace) -> Result<Seen, Refusal> {
    let mut seen = Seen {
        dropped: 0,
        ended: false,
        calls: Vec::new(),
    };
    let mut from = 0;
    loop {
        let next = trace.read(from, |results| {
            seen.dropped += results.dropped();
            seen.ended = results.ended();
            for call in results.calls()?.iter() {
                seen.calls.push(call.value()?);
            }
            Ok(results.next())
        })??;
        if next == from {
            return Ok(seen);
        }
        from = next;
    }
}

/// How often each method ended in each way, by their names.
fn counted(calls: &[Record]) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    for call in calls {
        let interface = interface_name(call.interface_id).unwrap_or("?");
        let method = method_name(call.interface_id, call.method).unwrap_or("?");
        let how = Refusal::from_code(call.status).map_or("ok", Refusal::name);
        *counts
            .entry(format!("{interface}.{method}={how}"))
            .or_default() += 1;
    }
    counts
}

impl Watcher<'_> {
    fn begin(&mut self, records: u16) -> Result<(), Refusal> {
        self.trace = Some(self.tracer.trace(self.subject, records)?.trace);
        Ok(())
    }

    fn refusals(&self) {
        let none = self.tracer.trace(self.subject, 0).map(drop);
        let most = self.tracer.trace(self.subject, u16::MAX).map(drop);
        let nobody = self.tracer.trace(u64::MAX, FEW).map(drop);
        let twice = self.tracer.trace(self.subject, FEW).map(drop);
        fact!(
            "trace.refused",
            none = outcome(&none),
            too_many = outcome(&most),
            nobody = outcome(&nobody),
            twice = outcome(&twice)
        );
    }

    fn judge(&self) -> Result<(), Refusal> {
        let seen = read(self.trace.as_ref().ok_or(Refusal::NotFound)?)?;
        let counts = counted(&seen.calls);
        let of = |name: &str| counts.get(name).copied().unwrap_or(0);
        let sleeps = seen.calls.iter().filter(|call| {
            call.interface_id == timer::INTERFACE_ID && call.method == timer::method::SLEEP
        });
        let slept = sleeps.filter(|call| call.took_ns > SLEEP_NS / 2).count();
        let ends: Vec<u64> = seen.calls.iter().map(|c| c.began_ns + c.took_ns).collect();
        // One that ends in an interrupt and one that ends in its call may pass each other by a hair.
        let ordered = ends.is_sorted_by(|a, b| a <= &(b + 1_000_000));
        fact!(
            "trace.calls",
            now = of("Timer.now=ok"),
            sleep = of("Timer.sleep=ok"),
            slept = slept,
            map = of("VirtualMemory.map=zeroLength"),
            gate = of("EntropySource.fill=notSupported"),
            other_gate = of("EntropySource.fill=ok"),
            ordered = ordered,
            dropped = seen.dropped
        );
        Ok(())
    }

    /// After many calls into a trace of few.
    fn judge_bound(&self) -> Result<(), Refusal> {
        let seen = read(self.trace.as_ref().ok_or(Refusal::NotFound)?)?;
        let last = seen.calls.iter().rev().take(usize::from(FEW));
        let now = last.filter(|call| call.interface_id == timer::INTERFACE_ID);
        fact!(
            "trace.bound",
            kept = seen.calls.len(),
            clock = now.count(),
            lost = seen.dropped,
            ended = seen.ended
        );
        Ok(())
    }

    fn step(&mut self) -> Result<(), Refusal> {
        match self.fills {
            1 => {
                self.begin(256)?;
                self.refusals();
            }
            2 => return Err(Refusal::NotSupported),
            3 => {
                self.judge()?;
                self.trace = None;
                let again = self.begin(FEW);
                fact!("trace.again", after_the_first = outcome(&again));
                if again.is_err() {
                    // The subject would wait for a look that never comes.
                    sdk::exit(1, format_args!("the first trace is still there"));
                }
            }
            _ => self.judge_bound()?,
        }
        Ok(())
    }
}

impl Service for Watcher<'_> {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        entropy_source::dispatch(self, received, call)
    }

    fn deadline_ns(&self) -> u64 {
        match self.fills {
            4.. => self.kit.after_ms(20).unwrap_or(NEVER),
            _ => NEVER,
        }
    }

    /// The subject has passed the last gate.
    fn due(&mut self) {
        let Some(Ok(seen)) = self.trace.as_ref().map(read) else {
            return;
        };
        if seen.ended {
            fact!("trace.over", ended = true);
            sdk::exit(0, format_args!("done"));
        }
    }
}

impl<'c> entropy_source::Server<Call<'c>> for Watcher<'_> {
    fn fill(&mut self, reply: Reply<Call<'c>, entropy_source::call::Fill>) -> Answered {
        self.fills += 1;
        match self.step() {
            Ok(()) => reply.send(entropy_source::FillReply {
                a: 0,
                b: 0,
                c: 0,
                d: 0,
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }
}
