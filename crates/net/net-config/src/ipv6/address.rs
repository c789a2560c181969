//! The addresses of an interface, and the look for duplicates before one is used: RFC 4862 section 5.4, RFC 7527, RFC 7217.

use core::net::Ipv6Addr;

use arrayvec::ArrayVec;
use units::Nanoseconds;

use crate::random::Random;
use crate::{LinkAddress, Refusal};

/// The most addresses that an interface has: its link-local one, one by DHCPv6, the rest from advertised prefixes.
pub const MOST_ADDRESSES: usize = 8;
/// Of which are made from advertised prefixes.
const MOST_ADVERTISED: usize = MOST_ADDRESSES - 2;
/// RFC 7217 section 6, IDGEN_RETRIES: so often another identifier is tried.
const RETRIES: u8 = 3;
/// RFC 4862 section 5.1: one solicitation, and RetransTimer of RFC 4861 section 10.
const TRANSMITS: u8 = 1;
const RETRANSMIT: Nanoseconds = Nanoseconds::from_secs(1);
/// RFC 4861 section 10, MAX_RTR_SOLICITATION_DELAY; also IDGEN_DELAY.
const DELAY: Nanoseconds = Nanoseconds::from_secs(1);
/// RFC 4862 section 5.5.3 (e).
const TWO_HOURS: Nanoseconds = Nanoseconds::from_secs(7200);

pub(super) const LINK_LOCAL: [u8; 8] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0];

/// Where an address comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Made for the link alone.
    LinkLocal,
    /// Made from a prefix that a router advertised.
    Advertised,
    /// Given by a DHCPv6 server.
    Dhcp,
}

/// What an address is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Nothing yet: somebody may object.
    Tentative,
    /// Everything.
    Preferred,
    /// What goes on already, and nothing new.
    Deprecated,
    /// Nothing: somebody else has it, and so it was with the others that were tried.
    Duplicate,
}

/// An address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// The address.
    pub address: Ipv6Addr,
    /// How many of its bits it shares with others on the link: 64, or 128 where it says nothing of the link.
    pub prefix: u8,
    /// Where it comes from.
    pub origin: Origin,
    /// What it is good for now.
    pub standing: Standing,
    /// Until when it is for new connections.
    pub preferred_until: Nanoseconds,
    /// Until when it is ours.
    pub valid_until: Nanoseconds,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Probing { sent: u8, due: Nanoseconds },
    Ready,
    Failed,
}

#[derive(Debug)]
struct Entry {
    address: Ipv6Addr,
    origin: Origin,
    stage: Stage,
    duplicates: u8,
    nonce: [u8; 6],
    preferred_until: Nanoseconds,
    valid_until: Nanoseconds,
}

impl Entry {
    fn is_of(&self, prefix: [u8; 8]) -> bool {
        self.origin == Origin::Advertised && self.address.octets()[..8] == prefix
    }

    fn shown(&self, now: Nanoseconds) -> Address {
        let standing = match self.stage {
            Stage::Probing { .. } => Standing::Tentative,
            Stage::Failed => Standing::Duplicate,
            Stage::Ready if self.preferred_until.has_passed(now) => Standing::Deprecated,
            Stage::Ready => Standing::Preferred,
        };
        Address {
            address: self.address,
            // RFC 8415 section 21.6 and RFC 5942: an address by DHCPv6 says nothing of what is on the link.
            prefix: if self.origin == Origin::Dhcp { 128 } else { 64 },
            origin: self.origin,
            standing,
            preferred_until: self.preferred_until,
            valid_until: self.valid_until,
        }
    }

    /// When something is due without a packet: another standing, or the end.
    fn deadline(&self, now: Nanoseconds) -> Nanoseconds {
        let own = match self.stage {
            Stage::Probing { due, .. } => due,
            Stage::Ready if !self.preferred_until.has_passed(now) => self.preferred_until,
            Stage::Ready | Stage::Failed => Nanoseconds::NEVER,
        };
        own.min(self.valid_until)
    }
}

/// What somebody's claim of an address meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Conflict {
    /// It is none of those that are looked for.
    None,
    /// Another one is tried, or none any more.
    Own,
    /// It is the one that DHCPv6 gave.
    Given(Ipv6Addr),
}

/// All addresses of an interface.
#[derive(Debug)]
pub(super) struct Addresses {
    hardware: LinkAddress,
    list: ArrayVec<Entry, MOST_ADDRESSES>,
}

impl Addresses {
    /// With a link-local address that is looked for at once.
    pub(super) fn new(hardware: LinkAddress, random: &mut Random, now: Nanoseconds) -> Self {
        let mut this = Self {
            hardware,
            list: ArrayVec::new_const(),
        };
        let address = joined(LINK_LOCAL, random.identifier(LINK_LOCAL, hardware, 0));
        let times = (Nanoseconds::NEVER, Nanoseconds::NEVER);
        this.push(address, Origin::LinkLocal, times, random, now);
        this
    }

    pub(super) fn all(&self, now: Nanoseconds) -> impl Iterator<Item = Address> + '_ {
        self.list.iter().map(move |entry| entry.shown(now))
    }

    /// Whether packets with this source may be ours.
    pub(super) fn is_in_use(&self, address: Ipv6Addr) -> bool {
        let is_it = |entry: &Entry| entry.address == address && matches!(entry.stage, Stage::Ready);
        self.list.iter().any(is_it)
    }

    pub(super) fn link_local(&self) -> Option<Ipv6Addr> {
        let is_it = |entry: &&Entry| {
            entry.origin == Origin::LinkLocal && matches!(entry.stage, Stage::Ready)
        };
        self.list.iter().find(is_it).map(|entry| entry.address)
    }

    pub(super) fn deadline(&self, now: Nanoseconds) -> Nanoseconds {
        let deadlines = self.list.iter().map(|entry| entry.deadline(now));
        deadlines.min().unwrap_or(Nanoseconds::NEVER)
    }

    fn push(
        &mut self,
        address: Ipv6Addr,
        origin: Origin,
        (preferred_until, valid_until): (Nanoseconds, Nanoseconds),
        random: &mut Random,
        now: Nanoseconds,
    ) -> bool {
        let entry = Entry {
            address,
            origin,
            stage: Stage::Probing {
                sent: 0,
                due: now.saturating_add(random.up_to(DELAY)),
            },
            duplicates: 0,
            nonce: nonce(random),
            preferred_until,
            valid_until,
        };
        self.list.try_push(entry).is_ok()
    }

    /// A prefix for addresses of one's own was advertised with these lifetimes: RFC 4862 section 5.5.3 (d) and (e). Whether
    /// anything changed but a time.
    pub(super) fn advertised(
        &mut self,
        prefix: [u8; 8],
        (preferred, valid): (Nanoseconds, Nanoseconds),
        random: &mut Random,
        now: Nanoseconds,
    ) -> Result<bool, Refusal> {
        let (preferred_until, valid_until) =
            (now.saturating_add(preferred), now.saturating_add(valid));
        if let Some(entry) = self.list.iter_mut().find(|entry| entry.is_of(prefix)) {
            let was_deprecated = entry.preferred_until.has_passed(now);
            let left = entry.valid_until.since(now);
            entry.preferred_until = preferred_until;
            let changed = was_deprecated != preferred_until.has_passed(now);
            if valid > TWO_HOURS || valid > left {
                entry.valid_until = valid_until;
            } else if left > TWO_HOURS {
                entry.valid_until = now.saturating_add(TWO_HOURS);
                return Err(Refusal::RaShortened);
            } else if valid < left {
                return Err(Refusal::RaShortened);
            }
            return Ok(changed);
        }
        if valid == Nanoseconds::ZERO {
            return Ok(false);
        }
        let advertised = self
            .list
            .iter()
            .filter(|entry| entry.origin == Origin::Advertised)
            .count();
        let address = joined(prefix, random.identifier(prefix, self.hardware, 0));
        let times = (preferred_until, valid_until);
        if advertised >= MOST_ADVERTISED
            || !self.push(address, Origin::Advertised, times, random, now)
        {
            return Err(Refusal::RaFull);
        }
        Ok(true)
    }

    /// DHCPv6 gave an address, or more time for it.
    pub(super) fn given(
        &mut self,
        address: Ipv6Addr,
        times: (Nanoseconds, Nanoseconds),
        random: &mut Random,
        now: Nanoseconds,
    ) {
        let same = |entry: &&mut Entry| entry.origin == Origin::Dhcp && entry.address == address;
        if let Some(entry) = self.list.iter_mut().find(same) {
            (entry.preferred_until, entry.valid_until) = times;
            return;
        }
        self.taken();
        self.push(address, Origin::Dhcp, times, random, now);
    }

    /// What DHCPv6 gave is ours no more. Whether it was.
    pub(super) fn taken(&mut self) -> bool {
        let before = self.list.len();
        self.list.retain(|entry| entry.origin != Origin::Dhcp);
        self.list.len() != before
    }

    /// Somebody wants or has an address. A solicitation with our own nonce is our own, sent back to us.
    pub(super) fn claimed(
        &mut self,
        target: Ipv6Addr,
        nonce_seen: Option<&[u8]>,
        random: &mut Random,
        now: Nanoseconds,
    ) -> Conflict {
        let hardware = self.hardware;
        let is_it = |entry: &&mut Entry| {
            entry.address == target && matches!(entry.stage, Stage::Probing { .. })
        };
        let Some(entry) = self.list.iter_mut().find(is_it) else {
            return Conflict::None;
        };
        if nonce_seen.is_some_and(|seen| seen == entry.nonce) {
            return Conflict::None;
        }
        if entry.origin == Origin::Dhcp {
            self.taken();
            return Conflict::Given(target);
        }
        entry.duplicates += 1;
        if entry.duplicates > RETRIES {
            entry.stage = Stage::Failed;
            return Conflict::Own;
        }
        let mut prefix = [0; 8];
        prefix.copy_from_slice(&entry.address.octets()[..8]);
        entry.address = joined(
            prefix,
            random.identifier(prefix, hardware, entry.duplicates),
        );
        entry.nonce = nonce(random);
        entry.stage = Stage::Probing {
            sent: 0,
            due: now.saturating_add(random.up_to(DELAY)),
        };
        Conflict::Own
    }

    /// What time brings; how many addresses changed their standing or went.
    pub(super) fn advance(&mut self, last: Nanoseconds, now: Nanoseconds) -> u64 {
        let mut changes = 0;
        self.list.retain(|entry| {
            let stays = !entry.valid_until.has_passed(now);
            changes += u64::from(!stays);
            stays
        });
        for entry in &mut self.list {
            match entry.stage {
                Stage::Probing { sent, due } if sent >= TRANSMITS && due.has_passed(now) => {
                    entry.stage = Stage::Ready;
                    changes += 1;
                }
                Stage::Ready
                    if entry.preferred_until.has_passed(now)
                        && !entry.preferred_until.has_passed(last) =>
                {
                    changes += 1;
                }
                _ => {}
            }
        }
        changes
    }

    /// The address that is to be solicited now, with its nonce.
    pub(super) fn probe(&mut self, now: Nanoseconds) -> Option<(Ipv6Addr, [u8; 6])> {
        for entry in &mut self.list {
            if let Stage::Probing { sent, due } = &mut entry.stage
                && *sent < TRANSMITS
                && due.has_passed(now)
            {
                *sent += 1;
                *due = now.saturating_add(RETRANSMIT);
                return Some((entry.address, entry.nonce));
            }
        }
        None
    }
}

fn nonce(random: &mut Random) -> [u8; 6] {
    let mut nonce = [0; 6];
    nonce.copy_from_slice(&random.draw().to_be_bytes()[..6]);
    nonce
}

pub(super) fn joined(prefix: [u8; 8], identifier: [u8; 8]) -> Ipv6Addr {
    let [high, low] = [prefix, identifier].map(u64::from_be_bytes);
    Ipv6Addr::from(u128::from(high) << 64 | u128::from(low))
}
