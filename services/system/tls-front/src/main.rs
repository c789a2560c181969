//! TLS in front of a service: whoever serves listens here as it would at the network stack, and gets octets without their seals.
//!
//! Owns the key, which is drawn at the first start and kept on the volume `keys`, or without one drawn at each start; connections of the stack below; the same interfaces above
//! (`TcpListenAuthority`, `TcpListener`, `TcpSocket`). `tls-core` decides what is spoken. Invariant: it never lets an octet pass, in
//! either direction, before a handshake is done or without a seal, never tells the end of a stream that the other end has not told
//! itself, and never gives a stranger more than one of a fixed number of places, for so long as a handshake may take.
//!
//! Arguments: `names=NAME,...`, what the certificate is for. Whoever else is granted the volume has the key, too: it is to be granted
//! to this service alone.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

mod front;
mod key;
mod link;
mod options;

use base64::engine::{Engine as _, general_purpose::STANDARD};
use sdk::alloc::vec::Vec;
use sdk::net::tcp_listener::call::Accept;
use sdk::net::tcp_socket::call::{Receive, Send};
use sdk::{Endpoint, EntropySource, Env, Error, NEVER, Refusal, Ring, Timer, fact, octets};
use sealed_stream::Tag;
use tls_core::Server as Tls;

use front::Front;
use link::LINKS;

sdk::entry!(main);

/// Receives that are out at a time.
const RECEIVES: u16 = 4;
/// Bytes of a message to and from this service.
const SLOT_BYTES: u32 = 384;
/// The `user` values of the ring; those of connections are [`Tag`]s. That of accepting has the listener's number besides.
const RECEIVE: u64 = 0;
const ACCEPT: u64 = 1 << 63;
/// Exit code of a wrong manifest.
const BAD_ARGUMENT: i64 = 2;
fn main(env: &Env) -> Result<(), Error> {
    let arguments: Vec<&str> = env.arguments().collect();
    let names = match options::names(&arguments) {
        Ok(names) => names,
        Err(what) => sdk::exit(BAD_ARGUMENT, format_args!("bad argument: {what}")),
    };
    let endpoint: Endpoint = env.get("endpoint")?;
    let timer: Timer = env.get("timer")?;
    let entropy: EntropySource = env.get("entropySource")?;
    let found = key::identity(env, &entropy, &names);
    let (identity, origin) = found.inspect_err(|error| {
        if error.why() == sdk::Why::Refused(Refusal::Corrupt) {
            sdk::error!("the file tls.key holds no key: put back the one that was there, or remove it and tell the clients of the next one");
        }
    })?;
    let stated = if sabotage::sabotage!(TLS_STATE_OTHER_KEY) {
        key::draw(&entropy, &names)?.public_hash()
    } else {
        identity.public_hash()
    };
    let stated = STANDARD.encode(stated);
    // What a client pins: SHA-256 of the certificate's SubjectPublicKeyInfo.
    fact!("tls.identity", scheme = "ecdsa-p256", names = names.len(), key = origin.name(), spki ~ stated.as_str());
    let tls = Tls::new(&identity, octets(&entropy)?).map_err(|_| Refusal::Failed)?;
    let front = Front::new(&endpoint, tls, env.get("listen")?, env.get("vm")?);
    run(&endpoint, &timer, front)
}

fn run(endpoint: &Endpoint, timer: &Timer, mut front: Front<'_>) -> Result<(), Error> {
    sdk::name_unused_grants();
    let mut ring = Ring::new(RECEIVES + 2 + 3 * LINKS as u16, SLOT_BYTES)?;
    let mut receives = 0;
    loop {
        while receives < RECEIVES {
            ring.receive(sdk::Interface::object(endpoint), RECEIVE)?;
            receives += 1;
        }
        front.now_ns = timer.now()?.ns;
        front.work(&mut ring);
        ring.wait(1, front.deadline_ns().unwrap_or(NEVER));
        front.now_ns = timer.now()?.ns;
        while let Some(completion) = ring.completed() {
            match completion.user() {
                RECEIVE => {
                    receives -= 1;
                    completion.serve(&mut front)?;
                }
                user if user & ACCEPT != 0 => {
                    front.came(user, completion.read::<Accept, _>(|results| results.socket));
                }
                user => match Tag::of(user) {
                    tag @ Tag { is_send: false, .. } => {
                        let count = completion.read::<Receive, _>(|results| results.bytes);
                        front.received(tag, count);
                    }
                    tag => {
                        let count = completion.read::<Send, _>(|results| results.bytes);
                        front.sent(tag, count);
                    }
                },
            }
        }
    }
}
