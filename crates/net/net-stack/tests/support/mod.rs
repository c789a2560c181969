//! Two stacks on one link, which find each other at the link-local addresses that they make themselves.
#![allow(dead_code, reason = "each test uses a part of it")]

use core::net::IpAddr;

use net_config::{Keys, dhcp4};
use net_demux::{Client, Connect, Endpoint, Listen, Prefix, Protocol, Share, Socket};
use net_stack::{Limits, Options, Read, Refusal, Stack, State};
use units::Nanoseconds;

pub const SHARE: Share = Share {
    sockets: 8,
    half_open: 4,
};

/// The link and what is at its ends.
pub struct Link {
    pub stacks: [Stack; 2],
    pub clients: [Client; 2],
    pub now: Nanoseconds,
    /// Changes a frame before it arrives; `false` loses it.
    pub harm: fn(&mut Vec<u8>) -> bool,
}

fn stack(number: u8, now: Nanoseconds) -> Stack {
    let options = Options {
        hardware: [2, 0, 0, 0, 0, number],
        mtu: 1500,
        keys: Keys {
            stable: [number; 32],
            fresh: [number; 32],
        },
        secret: [number; 16],
        seed: number.into(),
        probing: dhcp4::Probing::QUICK,
        limits: Limits {
            sockets: 16,
            clients: 2,
            buffer_bytes: 4096,
            datagrams: 4,
        },
    };
    Stack::new(options, now)
}

impl Link {
    /// Two stacks that have their addresses.
    pub fn new() -> Self {
        let now = Nanoseconds::from_secs(1);
        let mut stacks = [stack(1, now), stack(2, now)];
        let clients = [0, 1].map(|at: usize| stacks[at].admit(SHARE).unwrap());
        let mut link = Self {
            stacks,
            clients,
            now,
            harm: |_| true,
        };
        link.run(Nanoseconds::from_secs(5));
        link
    }

    /// Lets so much time pass, and everything happen that happens meanwhile.
    pub fn run(&mut self, span: Nanoseconds) {
        let until = self.now.saturating_add(span);
        loop {
            let mut moved = false;
            for at in 0..2 {
                self.stacks[at].poll(self.now);
                while let Some(frame) = self.stacks[at].outgoing().map(<[u8]>::to_vec) {
                    self.stacks[at].sent(self.now);
                    let mut frame = frame;
                    if (self.harm)(&mut frame) {
                        self.stacks[1 - at].receive(self.now, &frame);
                    }
                    moved = true;
                }
            }
            if moved {
                continue;
            }
            let next = self.stacks[0].deadline().min(self.stacks[1].deadline());
            if next > until {
                self.now = until;
                return;
            }
            self.now = next.max(self.now.saturating_add(Nanoseconds::from_micros(1)));
        }
    }

    pub fn soon(&mut self) {
        self.run(Nanoseconds::from_secs(3));
    }

    pub fn address(&self, at: usize) -> IpAddr {
        let mut all = self.stacks[at].host().addresses(self.now);
        all.next().unwrap().address.into()
    }

    pub fn listen(&mut self, port: u16, backlog: u32) -> Socket {
        let local = Endpoint {
            address: core::net::Ipv6Addr::UNSPECIFIED.into(),
            port,
        };
        let all = Listen::new(Protocol::Tcp, 1, 65_535);
        self.stacks[1]
            .listen(self.clients[1], &all, local, backlog)
            .unwrap()
    }

    pub fn connect(&mut self, port: u16) -> Result<Socket, Refusal> {
        self.connect_for(self.clients[0], port)
    }

    pub fn connect_for(&mut self, client: Client, port: u16) -> Result<Socket, Refusal> {
        let remote = Endpoint {
            address: self.address(1),
            port,
        };
        let everybody = Prefix::new(core::net::Ipv6Addr::UNSPECIFIED.into(), 0).unwrap();
        let all = Connect::new(Protocol::Tcp, everybody, 1, 65_535);
        self.stacks[0].connect(client, &all, remote)
    }

    /// A connection and both its sockets.
    pub fn connected(&mut self) -> [Socket; 2] {
        let listener = self.listen(80, 4);
        let client = self.connect(80).unwrap();
        self.soon();
        assert_eq!(self.stacks[0].state(client), Ok(State::Open));
        let (server, remote) = self.stacks[1].accept(listener).unwrap().unwrap();
        assert_eq!(remote.address, self.address(0));
        [client, server]
    }

    pub fn write(
        &mut self,
        at: usize,
        socket: Socket,
        from: u64,
        bytes: &[u8],
    ) -> Result<usize, Refusal> {
        let written = self.stacks[at].write(socket, from, bytes.len(), |place, to| {
            to.copy_from_slice(&bytes[place..place + to.len()]);
            Ok::<(), ()>(())
        });
        written.map(Result::unwrap)
    }

    pub fn read(&mut self, at: usize, socket: Socket, from: u64) -> Result<Read<Vec<u8>>, Refusal> {
        self.stacks[at].read(socket, from, usize::MAX, <[u8]>::to_vec)
    }
}

/// Changes the last octet of every TCP segment.
#[allow(clippy::ptr_arg, reason = "as `Link::harm` wants it")]
pub fn spoil(frame: &mut Vec<u8>) -> bool {
    if frame[12..14] == [0x86, 0xdd] && frame[20] == 6 {
        *frame.last_mut().unwrap() ^= 1;
    }
    true
}
