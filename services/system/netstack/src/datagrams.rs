//! Datagrams: the rights to them, and their bytes through the clients' windows.

use net_demux::{Endpoint, Socket};
use net_stack::Datagram;
use sdk::alloc::rc::Rc;
use sdk::net::{udp_bind_authority, udp_connect_authority, udp_socket};
use sdk::{Answered, Call, Cap, CapArg, Refusal, Reply, Window, ip};

use crate::opened::{Datagrams, Opened, Place};
use crate::server::Server;
use crate::window::{check_range, map};
use crate::words::{octets_of, refusal};

impl Server<'_> {
    fn datagrams(&mut self, cookie: u64) -> Result<&mut Datagrams, Refusal> {
        match self.opened.get_mut(&cookie) {
            Some(Opened::Datagrams(datagrams)) => Ok(datagrams),
            _ => Err(Refusal::Stale),
        }
    }

    fn open_datagrams(&mut self, socket: Socket, window: Rc<Window>) -> Result<CapArg, Refusal> {
        let cookie = self.next_cookie();
        self.stack.set_owner(socket, cookie);
        let datagrams = Datagrams {
            socket,
            window,
            receive: None,
        };
        let interface = udp_socket::INTERFACE_ID;
        self.facet(cookie, interface, Opened::Datagrams(datagrams))
    }

    fn take_now(
        &mut self,
        cookie: u64,
        place: Place,
    ) -> Result<Option<Datagram<Result<(), Refusal>>>, Refusal> {
        let datagrams = self.datagrams(cookie)?;
        let (socket, window) = (datagrams.socket, Rc::clone(&datagrams.window));
        check_range(&window, place.offset, place.length)?;
        let taken = self.stack.take_datagram(socket, place.number, |bytes| {
            let shown = bytes.get(..place.length as usize).unwrap_or(bytes);
            window.write(place.offset.into(), shown)
        });
        taken.map_err(refusal)
    }

    fn send_datagram(
        &mut self,
        cookie: u64,
        to: Option<Endpoint>,
        offset: u32,
        length: u32,
    ) -> Result<(), Refusal> {
        let datagrams = self.datagrams(cookie)?;
        let (socket, window) = (datagrams.socket, Rc::clone(&datagrams.window));
        check_range(&window, offset, length)?;
        let sent = self
            .stack
            .send_datagram(socket, to, length as usize, |place| {
                window.read(offset.into(), place)
            });
        if sent.map_err(refusal)?? {
            Ok(())
        } else {
            Err(Refusal::QueueFull)
        }
    }

    /// Answers the call that waits for a datagram, if there is one by now.
    pub(crate) fn answer_datagrams(&mut self, cookie: u64) {
        let Some((late, place)) = self
            .datagrams(cookie)
            .ok()
            .and_then(|datagrams| datagrams.receive.take())
        else {
            return;
        };
        match self.take_now(cookie, place) {
            Ok(None) => {
                if let Ok(datagrams) = self.datagrams(cookie) {
                    datagrams.receive = Some((late, place));
                }
            }
            Ok(Some(datagram)) => {
                let (octets, port) = octets_of(Some(datagram.from));
                late.answer(datagram.shown.map(|()| udp_socket::ReceiveReply {
                    bytes: datagram.bytes as u32,
                    address: &octets,
                    port,
                }));
            }
            Err(refusal) => late.refuse(refusal),
        }
    }
}

impl<'c> udp_bind_authority::Server<Call<'c>> for Server<'_> {
    fn info(&mut self, reply: Reply<Call<'c>, udp_bind_authority::call::Info>) -> Answered {
        match self.ports(reply.cookie()) {
            Ok((ports, _)) => {
                let octets = ip::octets(ports.at);
                reply.send(udp_bind_authority::InfoReply {
                    address: &octets,
                    first_port: ports.ports.0,
                    last_port: ports.ports.1,
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn narrow(
        &mut self,
        reply: Reply<Call<'c>, udp_bind_authority::call::Narrow>,
        at: &[u8],
        first_port: u16,
        last_port: u16,
    ) -> Answered {
        let narrowed = self.narrow_ports(reply.cookie(), at, (first_port, last_port));
        reply.answer(narrowed.map(|authority| udp_bind_authority::NarrowReply { authority }))
    }

    fn bind(
        &mut self,
        reply: Reply<Call<'c>, udp_bind_authority::call::Bind>,
        window: Cap,
        at: &[u8],
        port: u16,
    ) -> Answered {
        let held = self.ports(reply.cookie());
        let opened = held.and_then(|(ports, client)| {
            let address = ip::read_one(at)?;
            let window = map(window)?;
            let local = Endpoint { address, port };
            let bound = self.stack.bind(client, &ports.listen, local);
            self.open_datagrams(bound.map_err(refusal)?, window)
        });
        reply.answer(opened.map(|socket| udp_bind_authority::BindReply { socket }))
    }
}

impl<'c> udp_connect_authority::Server<Call<'c>> for Server<'_> {
    fn info(&mut self, reply: Reply<Call<'c>, udp_connect_authority::call::Info>) -> Answered {
        match self.reach(reply.cookie()) {
            Ok((reach, _)) => {
                let to = reach.to.map(|(to, bits)| (ip::octets(to), bits));
                let (octets, prefix_bits) = to.unwrap_or_default();
                reply.send(udp_connect_authority::InfoReply {
                    address: &octets,
                    prefix_bits,
                    first_port: reach.ports.0,
                    last_port: reach.ports.1,
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn narrow(
        &mut self,
        reply: Reply<Call<'c>, udp_connect_authority::call::Narrow>,
        to: &[u8],
        prefix_bits: u8,
        first_port: u16,
        last_port: u16,
    ) -> Answered {
        let ports = (first_port, last_port);
        let narrowed = self.narrow_reach(reply.cookie(), (to, prefix_bits), ports);
        reply.answer(narrowed.map(|authority| udp_connect_authority::NarrowReply { authority }))
    }

    fn connect(
        &mut self,
        reply: Reply<Call<'c>, udp_connect_authority::call::Connect>,
        window: Cap,
        to: &[u8],
        port: u16,
    ) -> Answered {
        let held = self.reach(reply.cookie());
        let opened = held.and_then(|(reach, client)| {
            let address = ip::read_one(to)?;
            let remote = Endpoint { address, port };
            let connect = reach.covering(remote);
            let connect = connect.ok_or(Refusal::NotGranted)?;
            let window = map(window)?;
            let socket = self.stack.associate(client, &connect, remote);
            self.open_datagrams(socket.map_err(refusal)?, window)
        });
        reply.answer(opened.map(|socket| udp_connect_authority::ConnectReply { socket }))
    }
}

impl<'c> udp_socket::Server<Call<'c>> for Server<'_> {
    fn info(&mut self, reply: Reply<Call<'c>, udp_socket::call::Info>) -> Answered {
        let found = self.datagrams(reply.cookie()).map(|found| found.socket);
        match found.and_then(|socket| self.stack.ends(socket).map_err(refusal)) {
            Ok((local, remote)) => {
                let (local, remote) = (octets_of(Some(local)), octets_of(remote));
                reply.send(udp_socket::InfoReply {
                    local_address: &local.0,
                    local_port: local.1,
                    remote_address: &remote.0,
                    remote_port: remote.1,
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn send(
        &mut self,
        reply: Reply<Call<'c>, udp_socket::call::Send>,
        to: &[u8],
        port: u16,
        offset: u32,
        length: u32,
    ) -> Answered {
        let sent = ip::read(to).and_then(|to| {
            let to = to.map(|address| Endpoint { address, port });
            self.send_datagram(reply.cookie(), to, offset, length)
        });
        reply.answer(sent)
    }

    fn receive(
        &mut self,
        reply: Reply<Call<'c>, udp_socket::call::Receive>,
        number: u64,
        offset: u32,
        length: u32,
    ) -> Answered {
        let place = Place {
            number,
            offset,
            length,
        };
        let cookie = reply.cookie();
        match self.take_now(cookie, place) {
            Ok(Some(datagram)) => {
                let (octets, port) = octets_of(Some(datagram.from));
                return reply.answer(datagram.shown.map(|()| udp_socket::ReceiveReply {
                    bytes: datagram.bytes as u32,
                    address: &octets,
                    port,
                }));
            }
            Err(refusal) => return reply.refuse(refusal),
            Ok(None) => {}
        }
        let (answered, late) = reply.defer();
        let before = self
            .datagrams(cookie)
            .map(|d| d.receive.replace((late, place)));
        if let Ok(Some((before, _))) = before {
            before.refuse(Refusal::Cancelled);
        }
        answered
    }
}
