//! Messages of DHCPv6 as bytes: RFC 8415 sections 8 and 21, RFC 3646.

use core::net::Ipv6Addr;

use arrayvec::ArrayVec;

use crate::packet::{MAX_MESSAGE, is_host6};
use crate::{Counters, Refusal};

/// RFC 8415 section 11.1: a type of two octets and at most 128 more.
pub const MAX_DUID: usize = 130;
/// No more name servers are kept.
pub const MOST_SERVERS: usize = 4;
/// No more options of one message, or of one association, are looked at.
const MOST_OPTIONS: usize = 64;

/// Message types: RFC 8415 section 7.3.
pub(super) mod kind {
    pub const SOLICIT: u8 = 1;
    pub const ADVERTISE: u8 = 2;
    pub const REQUEST: u8 = 3;
    pub const RENEW: u8 = 5;
    pub const REBIND: u8 = 6;
    pub const REPLY: u8 = 7;
    pub const RELEASE: u8 = 8;
    pub const DECLINE: u8 = 9;
    pub const INFORMATION_REQUEST: u8 = 11;
}

/// Options: RFC 8415 section 21, RFC 3646 section 3.
mod option {
    pub const CLIENT: u16 = 1;
    pub const SERVER: u16 = 2;
    pub const ASSOCIATION: u16 = 3;
    pub const ADDRESS: u16 = 5;
    pub const REQUESTED: u16 = 6;
    pub const PREFERENCE: u16 = 7;
    pub const ELAPSED: u16 = 8;
    pub const STATUS: u16 = 13;
    pub const NAME_SERVERS: u16 = 23;
    pub const REFRESH: u16 = 32;
}

/// Status codes: RFC 8415 section 21.13.
pub(super) mod status {
    pub const NO_ADDRESSES: u16 = 2;
    pub const NO_BINDING: u16 = 3;
    pub const NOT_ON_LINK: u16 = 4;
}

/// Who a client or a server is.
pub type Duid = ArrayVec<u8, MAX_DUID>;

/// The options of a message or an association, of which none leaves it.
#[derive(Clone, Copy)]
struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    fn checked(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let (mut rest, mut count) = (bytes, 0);
        while !rest.is_empty() {
            let (_, _, after) = split(rest).ok_or(Refusal::D6Option)?;
            rest = after;
            count += 1;
            if count > MOST_OPTIONS {
                return Err(Refusal::D6Oversized);
            }
        }
        Ok(Self(bytes))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (code, value, rest) = split(self.0)?;
        self.0 = rest;
        Some((code, value))
    }
}

fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(4)?;
    let [code, length] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
    let (value, rest) = rest.split_at_checked(length.into())?;
    Some((code, value, rest))
}

/// What a server says to us.
#[derive(Debug)]
pub(super) struct Answer {
    pub kind: u8,
    pub server: Duid,
    pub preference: u8,
    pub status: u16,
    pub association: Option<Association>,
    pub name_servers: ArrayVec<Ipv6Addr, MOST_SERVERS>,
    pub refresh_secs: Option<u32>,
}

/// What it says of our addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Association {
    pub status: u16,
    pub t1: u32,
    pub t2: u32,
    pub address: Option<Given>,
}

/// An address with its lifetimes in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Given {
    pub address: Ipv6Addr,
    pub preferred: u32,
    pub valid: u32,
}

/// Reads an answer to `transaction` of `client` about its association `identity`.
pub(super) fn read(
    message: &[u8],
    transaction: Option<[u8; 3]>,
    client: &[u8],
    identity: [u8; 4],
    counters: &mut Counters,
) -> Result<Answer, Refusal> {
    let (kind, options) = begin(message, transaction)?;
    let mut answer = Answer {
        kind,
        server: Duid::new(),
        preference: 0,
        status: 0,
        association: None,
        name_servers: ArrayVec::new(),
        refresh_secs: None,
    };
    let mut seen = 0u8;
    let mut once = |bit: u8| {
        let is_first = seen & bit == 0;
        seen |= bit;
        is_first.then_some(()).ok_or(Refusal::D6Option)
    };
    for (code, value) in options {
        match code {
            option::CLIENT => {
                once(1)?;
                if value != client {
                    return Err(Refusal::D6Client);
                }
            }
            option::SERVER => {
                once(2)?;
                answer.server = duid(value)?;
            }
            option::ASSOCIATION => {
                once(4)?;
                answer.association = Some(association(value, identity, counters)?);
            }
            option::PREFERENCE => {
                once(8)?;
                answer.preference = *value
                    .first()
                    .filter(|_| value.len() == 1)
                    .ok_or(Refusal::D6Option)?;
            }
            option::STATUS => {
                once(16)?;
                answer.status = status_of(value)?;
            }
            option::NAME_SERVERS => name_servers(value, &mut answer.name_servers, counters)?,
            option::REFRESH => answer.refresh_secs = Some(number(value)?),
            _ => {}
        }
    }
    // RFC 8415 sections 16.3 and 16.10: both identifiers are there.
    if seen & 1 == 0 {
        return Err(Refusal::D6Client);
    }
    if seen & 2 == 0 {
        return Err(Refusal::D6Server);
    }
    Ok(answer)
}

/// The type and the options of an answer to `transaction`.
fn begin(message: &[u8], transaction: Option<[u8; 3]>) -> Result<(u8, Options<'_>), Refusal> {
    let (head, rest) = message.split_at_checked(4).ok_or(Refusal::D6Header)?;
    let kind = head[0];
    if kind != kind::ADVERTISE && kind != kind::REPLY {
        return Err(Refusal::D6Type);
    }
    if transaction.is_none_or(|expected| head[1..] != expected)
        && !sabotage::sabotage!(DHCP_TAKE_ANY_TRANSACTION)
    {
        return Err(Refusal::D6Transaction);
    }
    Ok((kind, Options::checked(rest)?))
}

fn duid(value: &[u8]) -> Result<Duid, Refusal> {
    if value.len() < 3 {
        return Err(Refusal::D6Server);
    }
    Duid::try_from(value).map_err(|_| Refusal::D6Oversized)
}

fn number(value: &[u8]) -> Result<u32, Refusal> {
    value
        .try_into()
        .map(u32::from_be_bytes)
        .map_err(|_| Refusal::D6Option)
}

fn status_of(value: &[u8]) -> Result<u16, Refusal> {
    match value {
        [high, low, ..] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(Refusal::D6Option),
    }
}

fn name_servers(
    value: &[u8],
    list: &mut ArrayVec<Ipv6Addr, MOST_SERVERS>,
    counters: &mut Counters,
) -> Result<(), Refusal> {
    let (entries, rest) = value.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(Refusal::D6Option);
    }
    for entry in entries.iter().map(|octets| Ipv6Addr::from(*octets)) {
        if !is_host6(entry) {
            counters.count(Refusal::D6Address);
        } else if !list.contains(&entry) && list.try_push(entry).is_err() {
            counters.count(Refusal::D6Oversized);
            break;
        }
    }
    Ok(())
}

/// RFC 8415 section 21.4: the first usable address counts; one that contradicts itself is passed over.
fn association(
    value: &[u8],
    identity: [u8; 4],
    counters: &mut Counters,
) -> Result<Association, Refusal> {
    let (head, rest) = value.split_at_checked(12).ok_or(Refusal::D6Option)?;
    if head[..4] != identity {
        return Err(Refusal::D6Association);
    }
    let mut association = Association {
        status: 0,
        t1: number(&head[4..8])?,
        t2: number(&head[8..12])?,
        address: None,
    };
    // The same section: such an association is discarded.
    if association.t1 > association.t2 && association.t2 > 0 {
        return Err(Refusal::D6Times);
    }
    for (code, value) in Options::checked(rest)? {
        match code {
            option::STATUS => association.status = status_of(value)?,
            option::ADDRESS if association.address.is_none() => match given(value) {
                Ok(given) => association.address = Some(given),
                Err(Refusal::D6Option) => return Err(Refusal::D6Option),
                Err(refusal) => counters.count(refusal),
            },
            _ => {}
        }
    }
    Ok(association)
}

/// RFC 8415 section 21.6.
fn given(value: &[u8]) -> Result<Given, Refusal> {
    let (head, rest) = value.split_at_checked(24).ok_or(Refusal::D6Option)?;
    let octets: [u8; 16] = head[..16].try_into().map_err(|_| Refusal::D6Option)?;
    let given = Given {
        address: Ipv6Addr::from(octets),
        preferred: number(&head[16..20])?,
        valid: number(&head[20..24])?,
    };
    if !is_host6(given.address) || given.address.is_unicast_link_local() {
        return Err(Refusal::D6Address);
    }
    if given.preferred > given.valid {
        return Err(Refusal::D6Lifetimes);
    }
    for (code, value) in Options::checked(rest)? {
        if code == option::STATUS && status_of(value)? != 0 {
            return Err(Refusal::D6Status);
        }
    }
    Ok(given)
}

/// A message of ours while it is written.
pub(super) struct Writer {
    bytes: ArrayVec<u8, MAX_MESSAGE>,
    is_whole: bool,
}

impl Writer {
    pub(super) fn new(kind: u8, transaction: [u8; 3]) -> Self {
        let mut this = Self {
            bytes: ArrayVec::new(),
            is_whole: true,
        };
        this.put(&[kind]);
        this.put(&transaction);
        this
    }

    fn put(&mut self, bytes: &[u8]) {
        self.is_whole &= self.bytes.try_extend_from_slice(bytes).is_ok();
    }

    fn option(&mut self, code: u16, length: usize) {
        self.put(&code.to_be_bytes());
        self.put(&(length as u16).to_be_bytes());
    }

    pub(super) fn client(&mut self, client: &[u8]) {
        self.option(option::CLIENT, client.len());
        self.put(client);
    }

    pub(super) fn server(&mut self, server: &[u8]) {
        self.option(option::SERVER, server.len());
        self.put(server);
    }

    /// In hundredths of a second: RFC 8415 section 21.9.
    pub(super) fn elapsed(&mut self, hundredths: u16) {
        self.option(option::ELAPSED, 2);
        self.put(&hundredths.to_be_bytes());
    }

    /// Name servers, and how often to ask for them.
    pub(super) fn requested(&mut self) {
        self.option(option::REQUESTED, 4);
        self.put(&option::NAME_SERVERS.to_be_bytes());
        self.put(&option::REFRESH.to_be_bytes());
    }

    /// Our association, with the address that it is about.
    pub(super) fn association(&mut self, identity: [u8; 4], address: Option<Ipv6Addr>) {
        self.option(option::ASSOCIATION, if address.is_some() { 40 } else { 12 });
        self.put(&identity);
        self.put(&[0; 8]);
        if let Some(address) = address {
            self.option(option::ADDRESS, 24);
            self.put(&address.octets());
            self.put(&[0; 8]);
        }
    }

    /// The message, if there was room for all of it.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.is_whole.then_some(&self.bytes)
    }
}
