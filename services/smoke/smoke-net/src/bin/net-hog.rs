//! A client that takes all it can get: narrower rights, sockets, listeners; then it holds its sockets and goes on asking and sending
//! for ever.
//!
//! Its argument is the first port that it listens at. Invariant: it never states what it did not see.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::vec::Vec;
use sdk::{
    Env, Error, MemoryObject, Refusal, TcpListenAuthority, UdpConnectAuthority, VirtualMemory, fact,
};
use smoke::outcome;

sdk::entry!(main);

/// More than anybody is promised.
const TRIES: usize = 256;
const GATEWAY: [u8; 4] = [10, 0, 2, 2];
/// Nobody takes datagrams there.
const PORT: u16 = 9;
const DATAGRAM_BYTES: u32 = 1472;

/// Asks until it is refused; what it got, and how the refusal is called.
fn all<T>(ask: impl Fn(usize) -> Result<T, Refusal>) -> (Vec<T>, &'static str) {
    let mut got = Vec::new();
    for at in 0..TRIES {
        match ask(at) {
            Ok(one) => got.push(one),
            Err(refusal) => return (got, refusal.name()),
        }
    }
    (got, "none")
}

struct Hog {
    first_port: u16,
    memory: MemoryObject,
    listen: TcpListenAuthority,
    udp: UdpConnectAuthority,
}

fn main(env: &Env) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let first_port = env.arguments().next().and_then(|text| text.parse().ok());
    let hog = Hog {
        first_port: first_port.ok_or(Refusal::BadArgument)?,
        memory: vm.create_memory(4096)?.memory,
        listen: env.get("listen")?,
        udp: env.get("udp")?,
    };
    let network = env.get("network")?;
    smoke_net::wait_for_network(&network)?;
    for round in 1..=2 {
        hog.bounds(round);
    }
    hog.go_on()
}

impl Hog {
    /// How much of each there is, twice the same: what is dropped comes back.
    fn bounds(&self, round: u32) {
        let (narrower, no_narrower) =
            all(|_| self.listen.narrow(&[], self.first_port, self.first_port));
        let (listeners, no_listener) = all(|at| {
            let port = self.first_port + at as u16;
            self.listen.listen(self.memory.cap(), &[], port, u16::MAX)
        });
        let (sockets, no_socket) = all(|_| self.udp.connect(self.memory.cap(), &GATEWAY, PORT));
        fact!(
            "hog.bounds",
            round = round,
            narrower = narrower.len(),
            then = no_narrower,
            listeners = listeners.len(),
            no_listener = no_listener,
            sockets = sockets.len(),
            no_socket = no_socket,
        );
    }

    fn go_on(&self) -> Result<(), Error> {
        let (listeners, _) = all(|at| {
            let port = self.first_port + at as u16;
            self.listen.listen(self.memory.cap(), &[], port, u16::MAX)
        });
        let (sockets, _) = all(|_| self.udp.connect(self.memory.cap(), &GATEWAY, PORT));
        fact!(
            "hog.holds",
            listeners = listeners.len(),
            sockets = sockets.len()
        );
        loop {
            for socket in &sockets {
                let socket = &socket.socket;
                let sent = socket.send(&[], 0, 0, DATAGRAM_BYTES);
                let lies = [
                    outcome(&sent),
                    outcome(&socket.send(&[], 0, u32::MAX, u32::MAX)),
                    outcome(&socket.receive(u64::MAX, 0, 1, |_| ())),
                    outcome(&self.udp.connect(self.memory.cap(), &GATEWAY, PORT)),
                ];
                if lies.iter().skip(1).any(|outcome| *outcome == "ok") {
                    fact!(
                        "hog.won",
                        sent = lies[0],
                        range = lies[1],
                        number = lies[2],
                        more = lies[3]
                    );
                }
            }
        }
    }
}
