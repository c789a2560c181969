//! Does a server with more pending RECEIVEs than one piece of the kernel's memory could hold work as one with a single?
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::sync::atomic::{AtomicU32, Ordering};

use ring_abi::{NEVER, Submission, opcode, span};
use sdk::process::thread_spawner::Shape;
use sdk::{Endpoint, Env, Error, Interface, Object, ThreadOptions, fact, spawn_thread};
use smoke::{Kit, mint, outcome, raw, wait_until};

sdk::entry!(main);

/// Threads, and RECEIVEs that each may have pending.
const RECEIVERS: u32 = 130;
const PENDING: u32 = 512;

/// How many threads have begun, times 2^24, and how many RECEIVEs wait.
static WAITING: AtomicU32 = AtomicU32::new(0);

fn main(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-receives")?;
    let endpoint: Endpoint = kit.endpoints.create()?.endpoint;
    let receive = Submission {
        opcode: opcode::RECEIVE,
        handle: endpoint.object().handle(),
        deadline_ns: NEVER,
        words: [0, span(1024, 64), 0, 0],
        ..Submission::default()
    };
    let options = ThreadOptions {
        stack_bytes: 16 * 1024,
        shape: Shape {
            submissions: 256,
            message_bytes: 8192,
            priority: 16,
            cpu: -1,
        },
    };
    let mut answered = 0;
    for begun in 1..=RECEIVERS {
        let thread = spawn_thread(options, move || {
            let (taken, _) = raw::flood(receive, PENDING + 64);
            let ended = core::iter::from_fn(raw::completion).count() as u32;
            WAITING.fetch_add(taken - ended + (1 << 24), Ordering::AcqRel);
            loop {
                raw::enter(PENDING as u16, NEVER);
            }
        })?;
        core::mem::forget(thread);
        answered += u32::from(wait_until(&kit, || {
            WAITING.load(Ordering::Acquire) >> 24 == begun
        }));
    }
    let waiting = WAITING.load(Ordering::Acquire) & 0xff_ffff;
    fact!(
        "receives.pending",
        threads = answered,
        all = waiting == RECEIVERS * PENDING,
        memory = kit.free_kib()? > 0,
        mint = outcome(&mint(&endpoint, 5, true))
    );
    sdk::exit(0, format_args!(""))
}
