//! Connections: records in, records out, and the octets between.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig,
    UnbufferedServerConnection,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::unbuffered::{ConnectionState, EncodeError, InsufficientSizeError};
use rustls::version::TLS13;

use crate::Identity;
use crate::provider::{Key, provider};

/// Octets of records that are kept until they are whole: one of the longest (RFC 8446 section 5.2), and the beginning of the next.
const INCOMING_BYTES: usize = 20 * 1024;
/// Octets that wait for whoever serves; there is no room for more while as many do.
const PLAIN_BYTES: usize = 16 * 1024;
/// Octets of records that wait to be sent, before nothing more is taken to be sealed.
const OUTGOING_BYTES: usize = 16 * 1024;
/// What a record, and what a closing alert may add at most.
const RECORD_BYTES: usize = 64;

/// Why a connection is of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The other end broke the protocol, speaks none of what is spoken here, or damaged a record.
    Protocol,
    /// A record or a message of the handshake is longer than there is room.
    TooLong,
}

/// What all connections of a server share.
pub struct Server(Arc<ServerConfig>);

#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Nothing here asks for the time: no client's certificate, no ticket.
#[derive(Debug)]
struct NoTime;

impl TimeProvider for NoTime {
    fn current_time(&self) -> Option<UnixTime> {
        None
    }
}

impl Server {
    /// A server with this identity, and random numbers out of this seed, which is used for nothing else.
    ///
    /// # Errors
    /// rustls finds the identity or the cryptography to be of no use.
    pub fn new(identity: &Identity, seed: [u8; 32]) -> Result<Self, Failure> {
        let certificate = CertificateDer::from(identity.certificate().to_vec());
        let key = Arc::new(Key(identity.key().clone()));
        let certified = CertifiedKey::new(vec![certificate], key);
        let provider = Arc::new(provider(seed));
        let mut config = ServerConfig::builder_with_details(provider, Arc::new(NoTime))
            .with_protocol_versions(&[&TLS13])
            .map_err(|_| Failure::Protocol)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(One(Arc::new(certified))));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Self(Arc::new(config)))
    }
}

/// A connection.
pub struct Connection {
    tls: UnbufferedServerConnection,
    incoming: Vec<u8>,
    plain: Vec<u8>,
    outgoing: Vec<u8>,
    is_open: bool,
    has_ended: bool,
    is_closed: bool,
    has_failed: bool,
}

/// What is left to do for now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Again,
    Wait,
    Fail,
}

impl Connection {
    /// A connection whose other end has said nothing yet.
    ///
    /// # Errors
    /// As [`Server::new`].
    pub fn new(server: &Server) -> Result<Self, Failure> {
        let tls = UnbufferedServerConnection::new(Arc::clone(&server.0));
        Ok(Self {
            tls: tls.map_err(|_| Failure::Protocol)?,
            incoming: Vec::new(),
            plain: Vec::new(),
            outgoing: Vec::new(),
            is_open: false,
            has_ended: false,
            is_closed: false,
            has_failed: false,
        })
    }

    /// Whether the handshake is done: octets can be sent, and are what they seem.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether the other end has said that nothing more comes. Where a stream ends without that, it was cut off.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How many octets of the stream below can be taken now.
    #[must_use]
    pub const fn room(&self) -> usize {
        if self.plain.len() >= PLAIN_BYTES || self.has_ended {
            return 0;
        }
        INCOMING_BYTES.saturating_sub(self.incoming.len())
    }

    /// Takes what came, no more than there is [`Self::room`] for.
    ///
    /// # Errors
    /// The connection is of no more use; what is to be sent first, an alert that says why, is [`Self::outgoing`].
    pub fn receive(&mut self, octets: &[u8]) -> Result<(), Failure> {
        if octets.len() > self.room() {
            return Err(Failure::TooLong);
        }
        self.incoming.extend_from_slice(octets);
        self.process()?;
        // What is not a whole record by now never will be.
        match self.incoming.len() >= INCOMING_BYTES && self.plain.is_empty() {
            true => Err(Failure::TooLong),
            false => Ok(()),
        }
    }

    /// What came, without its seals.
    #[must_use]
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Forgets so many octets of [`Self::plain`], and looks whether there are more.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn take(&mut self, count: usize) -> Result<(), Failure> {
        self.plain.drain(..count.min(self.plain.len()));
        self.process()
    }

    /// Seals some of these octets, and says how many: none where too much waits to be sent, or nothing can be yet.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn write(&mut self, octets: &[u8]) -> Result<usize, Failure> {
        if !self.is_open || self.is_closed {
            return Ok(0);
        }
        let room = OUTGOING_BYTES.saturating_sub(self.outgoing.len());
        let piece = octets.get(..octets.len().min(room)).unwrap_or_default();
        if piece.is_empty() {
            return Ok(0);
        }
        self.process()?;
        let status = self.tls.process_tls_records(&mut self.incoming);
        let discard = status.discard;
        let sealed = match status.state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let at = self.outgoing.len();
                self.outgoing.resize(at + piece.len() + 2 * RECORD_BYTES, 0);
                let place = self.outgoing.get_mut(at..).unwrap_or_default();
                let sealed = traffic.encrypt(piece, place);
                let end = at + sealed.as_ref().copied().unwrap_or_default();
                self.outgoing.truncate(end);
                sealed.map(|_| piece.len()).map_err(|_| Failure::Protocol)
            }
            // More has come for who serves first.
            Ok(_) => Ok(0),
            Err(_) => Err(Failure::Protocol),
        };
        self.incoming.drain(..discard);
        sealed
    }

    /// Says that nothing more is sent.
    pub fn close(&mut self) {
        if self.is_closed || !self.is_open || self.process().is_err() {
            return;
        }
        let status = self.tls.process_tls_records(&mut self.incoming);
        let discard = status.discard;
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            let at = self.outgoing.len();
            self.outgoing.resize(at + 2 * RECORD_BYTES, 0);
            let place = self.outgoing.get_mut(at..).unwrap_or_default();
            let length = traffic.queue_close_notify(place).unwrap_or_default();
            self.outgoing.truncate(at + length);
            self.is_closed = true;
        }
        self.incoming.drain(..discard);
    }

    /// What is to be sent.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// Forgets so many octets of [`Self::outgoing`].
    pub fn sent(&mut self, count: usize) {
        self.outgoing.drain(..count.min(self.outgoing.len()));
    }

    fn process(&mut self) -> Result<(), Failure> {
        if self.has_failed {
            return Err(Failure::Protocol);
        }
        while self.plain.len() < PLAIN_BYTES {
            match self.step() {
                Next::Again => {}
                Next::Wait => return Ok(()),
                Next::Fail => {
                    // The alert that says why is the one thing that waits by now. Further steps would read again what was refused.
                    self.has_failed = true;
                    let _ = self.step();
                    return Err(Failure::Protocol);
                }
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Next {
        let status = self.tls.process_tls_records(&mut self.incoming);
        let mut discard = status.discard;
        let next = match status.state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    Some(Ok(record)) => {
                        discard += record.discard;
                        self.plain.extend_from_slice(record.payload);
                    }
                    Some(Err(_)) => break Next::Fail,
                    None => break Next::Again,
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                let at = self.outgoing.len();
                if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
                    data.encode(&mut [])
                {
                    self.outgoing.resize(at + required_size, 0);
                    let place = self.outgoing.get_mut(at..).unwrap_or_default();
                    let length = data.encode(place).unwrap_or_default();
                    self.outgoing.truncate(at + length);
                }
                Next::Again
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Next::Again
            }
            Ok(ConnectionState::PeerClosed) => {
                self.has_ended = true;
                Next::Again
            }
            Ok(ConnectionState::WriteTraffic(_)) => {
                self.is_open = true;
                Next::Wait
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Next::Wait,
            Ok(_) | Err(_) => Next::Fail,
        };
        self.incoming.drain(..discard);
        next
    }
}
