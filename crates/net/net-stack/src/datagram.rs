//! What clients do with datagrams.

use net_demux::{Client, Connect, Endpoint, Listen, Protocol, Socket};
use smoltcp::socket::udp::{SendError, UdpMetadata};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

use crate::Refusal;
use crate::slot::{DATAGRAM_BYTES, Part, Slot, udp_socket};
use crate::stack::Stack;

/// A datagram that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram<R> {
    /// Who sent it.
    pub from: Endpoint,
    /// Its length.
    pub bytes: usize,
    /// What became of its bytes.
    pub shown: R,
}

impl Stack {
    /// Takes datagrams to a local end; whoever sends some may be answered.
    ///
    /// # Errors
    /// See [`net_demux::Refusal`].
    pub fn bind(
        &mut self,
        client: Client,
        authority: &Listen,
        local: Endpoint,
    ) -> Result<Socket, Refusal> {
        let socket = self.demux.udp(client, authority, local)?;
        self.open_datagrams(socket, None)?;
        Ok(socket)
    }

    /// Sends datagrams to one remote end, and takes those that come from there.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn associate(
        &mut self,
        client: Client,
        authority: &Connect,
        remote: Endpoint,
    ) -> Result<Socket, Refusal> {
        if !authority.covers(Protocol::Udp, remote) {
            return Err(net_demux::Refusal::NotGranted.into());
        }
        let from = self.source(remote.address).ok_or(Refusal::NoAddress)?;
        let socket = self
            .demux
            .connect(client, authority, Protocol::Udp, from, remote)?;
        self.open_datagrams(socket, Some(remote))?;
        Ok(socket)
    }

    fn open_datagrams(&mut self, socket: Socket, remote: Option<Endpoint>) -> Result<(), Refusal> {
        let local = self.demux.look(socket)?.1;
        let mut udp = udp_socket(&self.limits);
        let address = (!local.address.is_unspecified()).then(|| local.address.into());
        let to = IpListenEndpoint {
            addr: address,
            port: local.port,
        };
        if udp.bind(to).is_err() {
            self.close_now(socket);
            return Err(net_demux::Refusal::Address.into());
        }
        let mut slot = Slot::new(socket, Part::Datagrams).with(udp);
        slot.remote = remote;
        self.put(slot);
        Ok(())
    }

    /// Shows the datagram with this number; those before it are given up. They count from 0 in the order in which they were
    /// shown first.
    ///
    /// # Errors
    /// [`Refusal::Position`] for one that was given up, or is not next; it is closed.
    pub fn take_datagram<R>(
        &mut self,
        socket: Socket,
        number: u64,
        show: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<Datagram<R>>, Refusal> {
        let slot = self.slot(socket)?;
        let taken = slot.taken;
        if number < taken || number > slot.shown {
            return Err(Refusal::Position);
        }
        let udp = slot.udp().ok_or(net_demux::Refusal::Kind)?;
        for _ in taken..number {
            let _ = udp.recv();
        }
        let shown = udp.peek().ok().map(|(bytes, about)| Datagram {
            from: Endpoint {
                address: about.endpoint.addr.into(),
                port: about.endpoint.port,
            },
            bytes: bytes.len(),
            shown: show(bytes),
        });
        slot.taken = number;
        if let Some(datagram) = &shown {
            if slot.shown == number {
                slot.know(datagram.from);
            }
            slot.shown = number + 1;
        }
        Ok(shown)
    }

    /// Sends a datagram, whose bytes `write` gives: to the one remote end, or as an answer to somebody who sent one of late.
    /// `false`: there is no room.
    ///
    /// # Errors
    /// [`net_demux::Refusal::NotGranted`] to anybody else; [`Refusal::Position`] where it is too long; it is closed.
    pub fn send_datagram<E>(
        &mut self,
        socket: Socket,
        to: Option<Endpoint>,
        length: usize,
        write: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Result<bool, E>, Refusal> {
        if length > DATAGRAM_BYTES {
            return Err(Refusal::Position);
        }
        let slot = self.slot(socket)?;
        let to = slot.answerable(to).ok_or(net_demux::Refusal::NotGranted)?;
        let udp = slot.udp().ok_or(net_demux::Refusal::Kind)?;
        let about = UdpMetadata::from(IpEndpoint::new(to.address.into(), to.port));
        let place = match udp.send(length, about) {
            Ok(place) => place,
            Err(SendError::BufferFull) => return Ok(Ok(false)),
            Err(SendError::Unaddressable) => return Err(net_demux::Refusal::Address.into()),
        };
        if let Err(error) = write(place) {
            // It is on its way already: with zeros, which is what such a client sends.
            place.fill(0);
            self.mark(socket.place());
            return Ok(Err(error));
        }
        self.mark(socket.place());
        Ok(Ok(true))
    }
}

impl Slot {
    /// Somebody sent a datagram.
    fn know(&mut self, from: Endpoint) {
        if self.remote.is_some() || self.senders.contains(&Some(from)) {
            return;
        }
        if let Some(place) = self.senders.get_mut(self.sender) {
            *place = Some(from);
        }
        self.sender = (self.sender + 1) % self.senders.len();
    }

    /// Whom a datagram may go to.
    fn answerable(&self, to: Option<Endpoint>) -> Option<Endpoint> {
        match (self.remote, to) {
            (Some(remote), None) => Some(remote),
            (Some(remote), Some(to)) => (remote == to).then_some(to),
            (None, Some(to)) => self.senders.contains(&Some(to)).then_some(to),
            (None, None) => None,
        }
    }
}
