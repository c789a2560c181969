//! Is a server woken at its time, and are calls answered before and after?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::process::entropy_source;
use sdk::{
    Answered, Call, Env, Error, HashMap, Interface, Lifetime, Received, Reply, Service,
    ThreadOptions, Timer, fact, sleep_for, spawn_thread,
};
use smoke::Kit;

sdk::entry!(main);

/// From one tick to the next.
const TICK_NS: u64 = 20_000_000;
const TICKS: u32 = 5;
const CALLS: u64 = 6;

struct Ticker {
    timer: Timer,
    next_ns: u64,
    ticks: u32,
    early: u32,
    /// How often each number was given out.
    given: HashMap<u64, u32>,
}

fn main(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-serve-timer")?;
    let endpoint = kit.endpoints.create()?.endpoint;
    let facet = endpoint
        .mint(1, entropy_source::INTERFACE_ID, Lifetime::Incarnation)?
        .facet;
    let source: sdk::EntropySource = Interface::from_object(facet.into_object());
    let timer: Timer = env.get("timer")?;
    let client = spawn_thread(ThreadOptions::default(), move || {
        let mut sum = 0;
        for _ in 0..CALLS {
            sum += source.fill().map_or(0, |words| words.a);
            if sleep_for(&timer, TICK_NS / 2).is_err() {
                break;
            }
        }
        sum
    })?;
    let timer: Timer = env.get("timer")?;
    let next_ns = timer.now()?.ns + TICK_NS;
    let mut ticker = Ticker {
        timer,
        next_ns,
        ticks: 0,
        early: 0,
        given: HashMap::new(),
    };
    // Until the last tick revokes what the loop receives from.
    let over = sdk::serve(Interface::object(&endpoint), &mut ticker);
    let _ = client.join()?;
    Err(over.into())
}

impl Service for Ticker {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        entropy_source::dispatch(self, received, call)
    }

    fn deadline_ns(&self) -> u64 {
        self.next_ns
    }

    fn due(&mut self) {
        let now = self.timer.now().map_or(0, |now| now.ns);
        self.early += u32::from(now < self.next_ns);
        self.ticks += 1;
        self.next_ns = self.next_ns.saturating_add(TICK_NS);
        let calls: u32 = self.given.values().sum();
        // On a busy host the client is late; the ticks go on until it has called as often as it means to.
        if self.ticks >= TICKS && calls >= CALLS as u32 {
            fact!(
                "serve.ticks",
                enough = true,
                early = self.early,
                calls = calls,
                numbers = self.given.len(),
                ticks ~ self.ticks
            );
            sdk::exit(0, format_args!("done"));
        }
    }
}

impl<'c> entropy_source::Server<Call<'c>> for Ticker {
    fn fill(&mut self, reply: Reply<Call<'c>, entropy_source::call::Fill>) -> Answered {
        let number = self.given.len() as u64;
        *self.given.entry(number).or_default() += 1;
        reply.send(entropy_source::FillReply {
            a: number,
            b: 0,
            c: 0,
            d: 0,
        })
    }
}
