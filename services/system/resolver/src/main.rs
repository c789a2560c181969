//! Names to addresses, by asking name servers.
//!
//! Owns the questions that are under way and the answers that are kept; `dns-core` decides what is an answer. Invariant: it never
//! holds an interface, or a port but what `UdpConnectAuthority` gives; never keeps a socket from one try to the next, or asks two
//! servers from one; draws number and spelling anew for each question; and never asks for more names at once than its places.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

mod lookup;
mod parts;
mod server;

use sdk::net::udp_socket::call::Receive;
use sdk::{Endpoint, Env, Error, Interface, Ring, Timer};
use units::Nanoseconds;

use server::Server;

sdk::entry!(main);

/// Receives that are out at a time.
const RECEIVES: u16 = 4;
/// Names that are asked for at once.
pub(crate) const LOOKUPS: usize = 8;
/// Bytes of a message to and from this service.
const SLOT_BYTES: u32 = 1024;
/// The `user` value of receives; those of answers are places.
const RECEIVE: u64 = u64::MAX - 1;

fn main(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let timer: Timer = env.get("timer")?;
    let mut server = Server::new(env)?;
    sdk::name_unused_grants();
    let mut ring = Ring::new(RECEIVES + LOOKUPS as u16, SLOT_BYTES)?;
    let mut receives = 0;
    loop {
        while receives < RECEIVES {
            ring.receive(endpoint.object(), RECEIVE)?;
            receives += 1;
        }
        server.now = Nanoseconds::new(timer.now()?.ns);
        server.ask(&mut ring);
        ring.wait(1, sdk::NEVER);
        server.now = Nanoseconds::new(timer.now()?.ns);
        loop {
            let Some(completion) = ring.completed() else {
                break;
            };
            let user = completion.user();
            if user == RECEIVE {
                receives -= 1;
                completion.serve(&mut server)?;
            } else {
                let heard = completion.read::<Receive, _>(|datagram| datagram.bytes());
                server.hear(user as usize, heard);
                server.listen_on(&mut ring, user as usize);
            }
        }
    }
}
