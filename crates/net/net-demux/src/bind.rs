//! What clients ask for.

use core::hash::Hasher;
use core::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::key::{Endpoint, Key, Protocol, is_host};
use crate::table::{Client, Demux, In, NONE, Socket, Standing};
use crate::{Connect, Listen, Refusal};

/// RFC 6335 section 6: the ports that are nobody's.
const FIRST_DYNAMIC: u16 = 49_152;
const DYNAMIC: u16 = u16::MAX - FIRST_DYNAMIC;
/// So many are tried before the client is told that none is free.
const TRIES: u16 = 64;

impl Demux {
    /// Takes datagrams to a local end; an unspecified address is any of its family.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn udp(
        &mut self,
        client: Client,
        authority: &Listen,
        local: Endpoint,
    ) -> Result<Socket, Refusal> {
        self.bind(client, authority, Protocol::Udp, local)
    }

    /// Takes connections to a local end, with room for `backlog` that nobody has accepted yet.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn listen(
        &mut self,
        client: Client,
        authority: &Listen,
        local: Endpoint,
        backlog: u32,
    ) -> Result<Socket, Refusal> {
        let socket = self.bind(client, authority, Protocol::Tcp, local)?;
        if let Some(entry) = self.entries.get_mut(socket.place as usize) {
            entry.backlog = backlog.max(1);
        }
        Ok(socket)
    }

    fn bind(
        &mut self,
        client: Client,
        authority: &Listen,
        protocol: Protocol,
        local: Endpoint,
    ) -> Result<Socket, Refusal> {
        self.owner(client)?;
        if !authority.covers(protocol, local) {
            return Err(Refusal::NotGranted);
        }
        if !(local.address.is_unspecified() || is_host(local.address)) {
            return Err(Refusal::Address);
        }
        // Whoever has the port at any address has it at each: nobody is heard in another's place.
        if self.bound(protocol, local).is_some()
            || (local.address.is_unspecified() && self.has_port(protocol, local))
        {
            return Err(Refusal::InUse);
        }
        let standing = match protocol {
            Protocol::Tcp => Standing::Listener,
            Protocol::Udp => Standing::Udp,
        };
        let key = Key {
            protocol,
            local,
            remote: None,
        };
        let place = self.insert(client.place, key, standing)?;
        Ok(self.socket_at(place))
    }

    /// Whether somebody has the port at one address of the family. Only who wants all of them asks, so this may walk.
    fn has_port(&self, protocol: Protocol, local: Endpoint) -> bool {
        let is_same = |key: &Key| {
            key.protocol == protocol
                && key.remote.is_none()
                && key.local.port == local.port
                && key.local.address.is_ipv4() == local.address.is_ipv4()
        };
        self.entries
            .iter()
            .any(|entry| entry.key.as_ref().is_some_and(is_same))
    }

    /// A connection, or datagrams, to a remote end alone, from a port that strangers cannot guess.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn connect(
        &mut self,
        client: Client,
        authority: &Connect,
        protocol: Protocol,
        from: IpAddr,
        remote: Endpoint,
    ) -> Result<Socket, Refusal> {
        self.owner(client)?;
        if !authority.covers(protocol, remote) {
            return Err(Refusal::NotGranted);
        }
        if !(remote.is_host() && is_host(from) && from.is_ipv4() == remote.address.is_ipv4()) {
            return Err(Refusal::Address);
        }
        let offset = self.offset(from, remote);
        for _ in 0..TRIES {
            self.drawn = self.drawn.wrapping_add(1);
            let port = FIRST_DYNAMIC + offset.wrapping_add(self.drawn) % DYNAMIC;
            let local = Endpoint {
                address: from,
                port,
            };
            if self.bound(protocol, local).is_some() {
                continue;
            }
            let key = Key {
                protocol,
                local,
                remote: Some(remote),
            };
            match self.insert(client.place, key, Standing::Open) {
                Err(Refusal::InUse) => {}
                Err(refusal) => return Err(refusal),
                Ok(place) => return Ok(self.socket_at(place)),
            }
        }
        Err(Refusal::NoPort)
    }

    /// RFC 6056 section 3.3.3: where counting begins is a secret of each remote end.
    fn offset(&self, from: IpAddr, remote: Endpoint) -> u16 {
        let mut hasher = SipHasher13::new_with_key(&self.secret);
        hasher.write_u8(0xff);
        for address in [from, remote.address] {
            match address {
                IpAddr::V4(address) => hasher.write(&address.octets()),
                IpAddr::V6(address) => hasher.write(&address.octets()),
            }
        }
        hasher.write_u16(remote.port);
        hasher.finish() as u16
    }

    /// Gives the connection that has waited longest.
    ///
    /// # Errors
    /// It is closed, or no listener.
    pub fn accept(&mut self, listener: Socket) -> Result<Option<Socket>, Refusal> {
        let entry = self.entry(listener)?;
        if entry.standing != Standing::Listener {
            return Err(Refusal::Kind);
        }
        let place = entry.waiting.first;
        if place == NONE {
            return Ok(None);
        }
        self.unlink(place, In::Queue);
        if let Some(entry) = self.entries.get_mut(place as usize) {
            entry.standing = Standing::Open;
        }
        Ok(Some(self.socket_at(place)))
    }

    /// Closes a socket; a listener with what nobody has accepted, of each of which `gone` is told.
    ///
    /// # Errors
    /// It is closed already.
    pub fn close(&mut self, socket: Socket, mut gone: impl FnMut(Socket)) -> Result<(), Refusal> {
        self.entry(socket)?;
        self.remove(socket.place, &mut gone);
        Ok(())
    }
}
