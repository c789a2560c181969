//! The table against a list that is looked through from the front: the same answers to everything, whatever is asked.

use std::net::{IpAddr, Ipv4Addr};

use net_demux::*;
use proptest::prelude::*;
use units::Nanoseconds;

const NOW: Nanoseconds = Nanoseconds::ZERO;
const SHARES: [Share; 3] = [
    Share {
        sockets: 4,
        half_open: 2,
    },
    Share {
        sockets: 6,
        half_open: 3,
    },
    Share {
        sockets: 2,
        half_open: 2,
    },
];

#[derive(Clone, Debug)]
struct Known {
    socket: Socket,
    client: usize,
    protocol: Protocol,
    local: Endpoint,
    remote: Option<Endpoint>,
    standing: Standing,
    listener: Option<Socket>,
    backlog: u32,
}

/// The list, in the order in which sockets came; what is completed moves to the end.
#[derive(Default)]
struct Model {
    clients: Vec<Option<Client>>,
    list: Vec<Known>,
}

#[derive(Clone, Debug)]
enum Step {
    Admit(usize),
    End(usize),
    Bind(usize, Protocol, u8, u8, u32),
    Connect(usize, Protocol, u8, u8),
    Arrive(Protocol, u8, u8, u8, u8),
    /// The reply to a connection of ours, or a packet to a half-open one.
    Known(usize),
    Complete(usize),
    Accept(usize),
    Close(usize),
}

fn end(address: u8, port: u8) -> Endpoint {
    let address = match address {
        0 => Ipv4Addr::UNSPECIFIED,
        last => Ipv4Addr::new(10, 0, 0, last),
    };
    Endpoint {
        address: IpAddr::V4(address),
        port: port.into(),
    }
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0usize..3).prop_map(Step::Admit),
        1 => (0usize..3).prop_map(Step::End),
        4 => (0usize..3, protocol(), 0u8..3, 1u8..4, 1u32..3).prop_map(|(a, b, c, d, e)| Step::Bind(a, b, c, d, e)),
        2 => (0usize..3, protocol(), 1u8..4, 1u8..4).prop_map(|(a, b, c, d)| Step::Connect(a, b, c, d)),
        10 => (protocol(), 1u8..3, 1u8..4, 100u8..104, 1u8..3).prop_map(|(a, b, c, d, e)| Step::Arrive(a, b, c, d, e)),
        2 => any::<usize>().prop_map(Step::Known),
        4 => any::<usize>().prop_map(Step::Complete),
        3 => any::<usize>().prop_map(Step::Accept),
        2 => any::<usize>().prop_map(Step::Close),
    ]
}

impl Model {
    fn place(&self, socket: Socket) -> Option<usize> {
        self.list.iter().position(|known| known.socket == socket)
    }

    fn bound(&self, protocol: Protocol, local: Endpoint) -> Option<&Known> {
        let at = |address: IpAddr| {
            self.list.iter().find(|known| {
                known.protocol == protocol
                    && known.remote.is_none()
                    && known.local == Endpoint { address, ..local }
            })
        };
        at(local.address).or_else(|| at(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }

    fn count(&self, client: usize, of: impl Fn(&Known) -> bool) -> u32 {
        self.list
            .iter()
            .filter(|known| known.client == client && of(known))
            .count() as u32
    }

    fn close(&mut self, socket: Socket) {
        self.list.retain(|known| {
            let is_child = known.listener == Some(socket) && known.standing != Standing::Open;
            known.socket != socket && !is_child
        });
    }

    fn waiting(&self, listener: Socket) -> u32 {
        let waits = |known: &&Known| {
            known.listener == Some(listener) && known.standing == Standing::Waiting
        };
        self.list.iter().filter(waits).count() as u32
    }

    /// What the table must say of a SYN or a datagram; of `Begin` only which one gives way.
    fn arrive(&self, packet: &Arrival) -> Result<Verdict, Option<Socket>> {
        let exact = self.list.iter().find(|known| {
            known.protocol == packet.protocol
                && known.local == packet.local
                && known.remote == Some(packet.remote)
        });
        if let Some(known) = exact {
            return Ok(Verdict::Deliver(known.socket));
        }
        let Some(known) = self.bound(packet.protocol, packet.local) else {
            return Ok(match packet.protocol {
                Protocol::Tcp => Verdict::Reset,
                Protocol::Udp => Verdict::Unreachable,
            });
        };
        if packet.protocol == Protocol::Udp {
            return Ok(Verdict::Deliver(known.socket));
        }
        if self.waiting(known.socket) >= known.backlog {
            return Ok(Verdict::Ignore(Ignored::Backlog));
        }
        let share = SHARES[known.client];
        let is_half = |known: &Known| known.standing == Standing::HalfOpen;
        let is_full = self.count(known.client, |_| true) >= share.sockets
            || self.count(known.client, is_half) >= share.half_open;
        if !is_full {
            return Err(None);
        }
        let oldest = self
            .list
            .iter()
            .find(|other| other.client == known.client && is_half(other));
        match oldest {
            Some(oldest) => Err(Some(oldest.socket)),
            None => Ok(Verdict::Ignore(Ignored::Share)),
        }
    }
}

struct Both {
    demux: Demux,
    model: Model,
}

impl Both {
    fn add(
        &mut self,
        socket: Socket,
        client: usize,
        protocol: Protocol,
        backlog: u32,
        listener: Option<Socket>,
    ) {
        let (standing, local, remote) = self.demux.look(socket).unwrap();
        let known = Known {
            socket,
            client,
            protocol,
            local,
            remote,
            standing,
            listener,
            backlog,
        };
        self.model.list.push(known);
    }

    fn pick(&self, number: usize) -> Option<Known> {
        let count = self.model.list.len();
        (count > 0).then(|| self.model.list[number % count].clone())
    }

    fn admit(&mut self, client: usize) {
        if self.model.clients[client].is_none() {
            self.model.clients[client] = Some(self.demux.admit(SHARES[client]).unwrap());
        }
    }

    fn end(&mut self, client: usize) {
        if let Some(token) = self.model.clients[client].take() {
            let mut gone = 0;
            self.demux.end(token, |_| gone += 1).unwrap();
            let before = self.model.list.len();
            self.model.list.retain(|known| known.client != client);
            assert_eq!(gone, before - self.model.list.len());
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Admit(client) => self.admit(client),
            Step::End(client) => self.end(client),
            Step::Bind(client, protocol, address, port, backlog) => {
                self.bind(client, protocol, end(address, port), backlog)
            }
            Step::Connect(client, protocol, address, port) => {
                self.connect(client, protocol, end(address, port))
            }
            Step::Arrive(protocol, address, port, from, from_port) => {
                let flags = Flags {
                    syn: true,
                    ..Flags::default()
                };
                let packet = Arrival {
                    protocol,
                    local: end(address, port),
                    remote: end(from, from_port),
                    flags,
                };
                self.arrive(&packet);
            }
            Step::Known(number) => {
                if let Some(Known {
                    protocol,
                    local,
                    remote: Some(remote),
                    ..
                }) = self.pick(number)
                {
                    let flags = Flags {
                        ack: true,
                        ..Flags::default()
                    };
                    self.arrive(&Arrival {
                        protocol,
                        local,
                        remote,
                        flags,
                    });
                }
            }
            Step::Complete(number) => self.complete(number),
            Step::Accept(number) => self.accept(number),
            Step::Close(number) => {
                if let Some(known) = self.pick(number) {
                    let mut gone = 1;
                    self.demux.close(known.socket, |_| gone += 1).unwrap();
                    let before = self.model.list.len();
                    self.model.close(known.socket);
                    assert_eq!(gone, before - self.model.list.len());
                    let again = self.demux.close(known.socket, |_| {});
                    assert_eq!(again, Err(Refusal::Stale));
                }
            }
        }
    }

    fn bind(&mut self, client: usize, protocol: Protocol, local: Endpoint, backlog: u32) {
        let Some(token) = self.model.clients[client] else {
            return;
        };
        let authority = Listen::new(protocol, 1, 3);
        let made = match protocol {
            Protocol::Tcp => self.demux.listen(token, &authority, local, backlog),
            Protocol::Udp => self.demux.udp(token, &authority, local),
        };
        let has_port = |known: &Known| {
            let overlaps = known.local.address == local.address
                || known.local.address.is_unspecified()
                || local.address.is_unspecified();
            known.protocol == protocol
                && known.remote.is_none()
                && known.local.port == local.port
                && overlaps
        };
        if self.model.list.iter().any(has_port) {
            assert_eq!(made, Err(Refusal::InUse));
        } else if self.model.count(client, |_| true) >= SHARES[client].sockets {
            assert_eq!(made, Err(Refusal::Share));
        } else {
            self.add(made.unwrap(), client, protocol, backlog, None);
        }
    }

    fn connect(&mut self, client: usize, protocol: Protocol, remote: Endpoint) {
        let Some(token) = self.model.clients[client] else {
            return;
        };
        let to = Prefix::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 24).unwrap();
        let authority = Connect::new(protocol, to, 1, 3);
        let made = self
            .demux
            .connect(token, &authority, protocol, end(1, 0).address, remote);
        if self.model.count(client, |_| true) >= SHARES[client].sockets {
            assert_eq!(made, Err(Refusal::Share));
        } else {
            self.add(made.unwrap(), client, protocol, 0, None);
        }
    }

    fn arrive(&mut self, packet: &Arrival) {
        let expected = self.model.arrive(packet);
        let verdict = self.demux.arrive(NOW, packet);
        match (verdict, expected) {
            (Verdict::Begin(socket, gone), Err(expected)) => {
                assert_eq!(gone, expected);
                if let Some(gone) = gone {
                    self.model.close(gone);
                }
                let listener = self
                    .model
                    .bound(packet.protocol, packet.local)
                    .unwrap()
                    .clone();
                self.add(
                    socket,
                    listener.client,
                    packet.protocol,
                    0,
                    Some(listener.socket),
                );
            }
            (verdict, expected) => assert_eq!(Ok(verdict), expected),
        }
    }

    fn complete(&mut self, number: usize) {
        let Some(known) = self.pick(number) else {
            return;
        };
        let done = self.demux.complete(known.socket);
        if known.standing != Standing::HalfOpen {
            assert_eq!(done, Err(Refusal::Kind));
            return;
        }
        let listener = known.listener.unwrap();
        let backlog = self.model.list[self.model.place(listener).unwrap()].backlog;
        let is_full = self.model.waiting(listener) >= backlog;
        self.model.close(known.socket);
        if is_full {
            assert_eq!(done, Err(Refusal::Share));
        } else {
            assert_eq!(done, Ok(()));
            self.model.list.push(Known {
                standing: Standing::Waiting,
                ..known
            });
        }
    }

    fn accept(&mut self, number: usize) {
        let Some(listener) = self.pick(number) else {
            return;
        };
        let accepted = self.demux.accept(listener.socket);
        if listener.standing != Standing::Listener {
            assert_eq!(accepted, Err(Refusal::Kind));
            return;
        }
        let first = self.model.list.iter_mut().find(|known| {
            known.listener == Some(listener.socket) && known.standing == Standing::Waiting
        });
        assert_eq!(accepted, Ok(first.as_ref().map(|known| known.socket)));
        if let Some(known) = first {
            known.standing = Standing::Open;
        }
    }

    fn check(&self) {
        assert_eq!(self.demux.len() as usize, self.model.list.len());
        for known in &self.model.list {
            assert_eq!(
                self.demux.look(known.socket),
                Ok((known.standing, known.local, known.remote))
            );
            assert_eq!(
                self.demux.client_of(known.socket).ok(),
                self.model.clients[known.client]
            );
        }
        for (client, share) in SHARES.iter().enumerate() {
            assert!(self.model.count(client, |_| true) <= share.sockets);
            assert!(
                self.model
                    .count(client, |known| known.standing == Standing::HalfOpen)
                    <= share.half_open
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_table_says_what_a_list_says(steps in prop::collection::vec(step(), 1..120), secret in any::<[u8; 16]>()) {
        let limits = Limits { sockets: 12, clients: 3 };
        let answers = Bucket::new(u32::MAX, 0, NOW);
        let mut both = Both { demux: Demux::new(limits, secret, answers), model: Model::default() };
        both.model.clients = vec![None; 3];
        for client in 0..2 {
            both.step(&Step::Admit(client));
        }
        for step in &steps {
            both.step(step);
            both.check();
        }
    }
}
