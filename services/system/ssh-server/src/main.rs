//! SSH: people with a key come in over the network, and each gets the console of a shell.
//!
//! Owns the host key, drawn at the first start and kept on the volume `keys`, or without one drawn at each start; connections of the stack
//! below; people, whom shells accept (`ConsoleListener`, `PersonConsole`). `ssh-core` decides what is spoken. Invariant: it never
//! brings anybody to a shell without a key that the manifest names, never reaches more for a person than octets to and from the
//! shell that accepts them, and never gives a stranger more than one of a fixed number of places, for as long as a log-in may take.
//!
//! Arguments: `port=NUMBER` (22 where it is not said), and `key=LINE` for each key that may log in, as a `.pub` file has it.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

mod desk;
mod link;
mod options;

use sdk::alloc::vec::Vec;
use sdk::net::tcp_listener::call::Accept;
use sdk::net::tcp_socket::call::{Receive, Send};
use sdk::{Endpoint, EntropySource, Env, Error, NEVER, Refusal, Ring, Timer, fact, octets};
use sealed_stream::Tag;
use ssh_core::HostKey;

use desk::Desk;
use link::LINKS;
use options::Options;

sdk::entry!(main);

/// Receives that are out at a time.
const RECEIVES: u16 = 4;
/// Bytes of a message to and from this service: what a shell writes is the longest.
const SLOT_BYTES: u32 = 1024 + 128;
/// The `user` values of the ring; those of connections are [`Tag`]s.
const RECEIVE: u64 = 0;
const ACCEPT: u64 = 1 << 63;
/// Exit code of a wrong manifest.
const BAD_ARGUMENT: i64 = 2;
/// The file with the host key's secret.
const FILE: &str = "ssh.key";

fn main(env: &Env) -> Result<(), Error> {
    let arguments: Vec<&str> = env.arguments().collect();
    let options = match Options::read(&arguments) {
        Ok(options) => options,
        Err(what) => sdk::exit(BAD_ARGUMENT, format_args!("bad argument: {what}")),
    };
    let endpoint: Endpoint = env.get("endpoint")?;
    let timer: Timer = env.get("timer")?;
    let entropy: EntropySource = env.get("entropySource")?;
    guest_random::use_source(&entropy);
    let draw = || {
        let secret = octets(&entropy)?;
        Ok((HostKey::new(&secret), secret))
    };
    let kept = |secret: &[u8; 32]| Some(HostKey::new(secret));
    let (host, origin) = kept_secret::obtain(env, FILE, draw, kept)?;
    let stated = if sabotage::sabotage!(SSH_STATE_OTHER_KEY) {
        HostKey::new(&octets(&entropy)?).public().line()
    } else {
        host.public().line()
    };
    // What a client puts into its `known_hosts`.
    fact!("ssh.identity", keys = options.allowed.len(), key = origin.name(), host ~ stated.as_str());
    let mut ring = Ring::new(RECEIVES + 2 + 3 * LINKS as u16, SLOT_BYTES)?;
    let desk = Desk::new(
        &endpoint,
        host,
        options,
        &env.get("listen")?,
        &env.get("vm")?,
    )?;
    run(&endpoint, &timer, desk, &mut ring)
}

fn run(
    endpoint: &Endpoint,
    timer: &Timer,
    mut desk: Desk<'_>,
    ring: &mut Ring,
) -> Result<(), Error> {
    sdk::name_unused_grants();
    let mut receives = 0;
    loop {
        while receives < RECEIVES {
            ring.receive(sdk::Interface::object(endpoint), RECEIVE)?;
            receives += 1;
        }
        desk.now_ns = timer.now()?.ns;
        desk.work(ring);
        ring.wait(1, desk.deadline_ns().unwrap_or(NEVER));
        desk.now_ns = timer.now()?.ns;
        while let Some(completion) = ring.completed() {
            match completion.user() {
                RECEIVE => {
                    receives -= 1;
                    completion.serve(&mut desk)?;
                }
                ACCEPT => {
                    let socket = completion.read::<Accept, _>(|results| results.socket);
                    // Where the stack has gone, its next one is listened at by the next of this.
                    desk.came(socket.map_err(|_| Refusal::Stale)?);
                }
                user => match Tag::of(user) {
                    tag @ Tag { is_send: false, .. } => {
                        let count = completion.read::<Receive, _>(|results| results.bytes);
                        desk.received(tag, count);
                    }
                    tag => {
                        let count = completion.read::<Send, _>(|results| results.bytes);
                        desk.sent(tag, count);
                    }
                },
            }
        }
    }
}
