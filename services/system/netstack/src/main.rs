//! The network stack: sockets over one interface.
//!
//! Owns one session of a `Nic`, the glue between it, `net-stack` and the clients' windows, and which facet stands for which
//! authority; every decision about a packet is `net-stack`'s. Invariant: it never parses memory that somebody else can write,
//! never does for a facet what that does not cover, and never lets one client's socket wait for another's.
//!
//! Its arguments say what its exports stand for, one after the other ([`exports`]).
#![no_std]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

mod captures;
mod datagrams;
mod exports;
mod link;
mod manager;
mod opened;
mod places;
mod rights;
mod server;
mod streams;
mod tell;
mod window;
mod words;

use net_config::{Keys, dhcp4};
use net_stack::{Limits, Options, Stack};
use provider::refuse_all;
use sdk::alloc::vec::Vec;
use sdk::net::nic_session;
use sdk::{Endpoint, EntropySource, Env, Error, NEVER, Nic, Refusal, Ring, Timer, fact, println};
use units::Nanoseconds;

use exports::Export;
use link::Link;
use server::Server;

sdk::entry!(main);

/// Receives that are out at a time: so many calls can come in with one system call.
const RECEIVES: u16 = 8;
/// Bytes of a call's message, and of the answer with events.
const SLOT_BYTES: u32 = 2048;
/// Bytes of a connection's buffer, each way.
const BUFFER_BYTES: u32 = 32 * 1024;
/// Datagrams that wait for a client, and as many on their way out.
const DATAGRAMS: u32 = 8;

/// The `user` values of the ring; those of waits count sessions, so that one of before is known.
const RECEIVE: u64 = 0;

fn main(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let nic: Nic = env.get("nic")?;
    let timer: Timer = env.get("timer")?;
    let entropy: EntropySource = env.get("entropySource")?;
    let arguments: Vec<_> = env.arguments().collect();
    let Ok(exports) = exports::read(&arguments) else {
        fact!("net.absent", refusal = Refusal::BadArgument.name());
        return refuse_all(&endpoint, Refusal::BadArgument);
    };
    let info = match nic.retrying().info() {
        Ok(info) => info,
        Err(refusal @ (Refusal::NoDevice | Refusal::NotSupported | Refusal::Quarantined)) => {
            fact!("net.absent", refusal = refusal.name());
            return refuse_all(&endpoint, Refusal::NoDevice);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let now = Nanoseconds::new(timer.now()?.ns);
    let options = match options(&entropy, &info, &exports) {
        Ok(options) => options,
        Err(refusal @ Refusal::NotSupported) => {
            // No start again would change that.
            println!("net: no network: this machine has no source of random numbers (no RDRAND)");
            fact!("net.absent", refusal = refusal.name());
            return refuse_all(&endpoint, Refusal::NoDevice);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let mut stack = Stack::new(options, now);
    let mut shared = Vec::new();
    for export in exports {
        shared.push(export.admit(&mut stack)?);
    }
    let link = Link::open(nic, &info)?;
    let server = Server::new(&endpoint, stack, shared, now);
    run(&endpoint, &timer, link, server)
}

/// What the stack is made with. Without entropy there is no stack: whoever guesses its numbers could speak in its place.
fn options(
    entropy: &EntropySource,
    info: &sdk::net::nic::InfoResults,
    exports: &[Export],
) -> Result<Options, Refusal> {
    let drawn = sdk::octets(entropy)?;
    let (secret, rest) = drawn.split_first_chunk().ok_or(Refusal::Failed)?;
    let seed = rest.first_chunk().ok_or(Refusal::Failed)?;
    let [_, _, hardware @ ..] = info.mac.to_be_bytes();
    Ok(Options {
        hardware,
        mtu: info.mtu,
        keys: Keys {
            stable: sdk::octets(entropy)?,
            fresh: sdk::octets(entropy)?,
        },
        secret: *secret,
        seed: u64::from_le_bytes(*seed),
        probing: dhcp4::Probing::QUICK,
        limits: Limits {
            sockets: exports.iter().map(Export::sockets).sum(),
            clients: exports.len() as u32,
            buffer_bytes: BUFFER_BYTES,
            datagrams: DATAGRAMS,
        },
    })
}

/// Serves until the endpoint is taken away, or the interface does not come back.
fn run(
    endpoint: &Endpoint,
    timer: &Timer,
    mut link: Link,
    mut server: Server<'_>,
) -> Result<(), Error> {
    sdk::name_unused_grants();
    let mut ring = Ring::new(RECEIVES + 4, SLOT_BYTES)?;
    let (mut receives, mut waits_in) = (0, None);
    let mut is_lost = false;
    loop {
        if is_lost {
            link.reopen(timer)?;
            is_lost = false;
        }
        server.now = Nanoseconds::new(timer.now()?.ns);
        is_lost |= server.work(&mut link).is_err();
        while receives < RECEIVES {
            ring.receive(sdk::Interface::object(endpoint), RECEIVE)?;
            receives += 1;
        }
        // One of before ends by itself: its session has gone.
        let session = link.number();
        if waits_in != Some(session) {
            ring.call::<nic_session::call::Wait>(link.object()?, link.next_wait(), session, NEVER)?;
            waits_in = Some(session);
        }
        ring.wait(
            1,
            if is_lost {
                0
            } else {
                server.deadline().as_u64()
            },
        );
        server.now = Nanoseconds::new(timer.now()?.ns);
        while let Some(completion) = ring.completed() {
            if completion.user() == RECEIVE {
                receives -= 1;
                completion.serve(&mut server)?;
                continue;
            }
            let is_current = completion.user() == link.number();
            if is_current {
                waits_in = None;
            }
            let events = completion.read::<nic_session::call::Wait, _>(link::gather);
            match events.and_then(|events| events) {
                Ok(events) if is_current => {
                    is_lost |= link.take(&events, server.now, &mut server.stack).is_err();
                }
                Ok(_) => {}
                Err(_) => is_lost |= is_current,
            }
        }
    }
}
