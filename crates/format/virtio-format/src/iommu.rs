//! The IOMMU device (Virtio 1.2, 5.13): requests that make it map, what it answers, what it tells of.

/// Feature: the range of device addresses is in the configuration.
pub const F_INPUT_RANGE: u64 = 1;
/// Feature: so is the range of domains.
pub const F_DOMAIN_RANGE: u64 = 1 << 1;
/// Feature: it can be told to map and unmap.
pub const F_MAP_UNMAP: u64 = 1 << 2;
/// Feature: endpoints without a domain pass. Never accepted.
pub const F_BYPASS: u64 = 1 << 3;
/// Feature: it can be asked what an endpoint reserves.
pub const F_PROBE: u64 = 1 << 4;
/// Feature: mappings can be of registers.
pub const F_MMIO: u64 = 1 << 5;
/// Feature: whether endpoints without a domain pass is in the configuration.
pub const F_BYPASS_CONFIG: u64 = 1 << 6;

/// The queue of requests.
pub const REQUESTS: u16 = 0;
/// The queue of events.
pub const EVENTS: u16 = 1;

/// Offsets in the configuration, in bytes (5.13.4).
pub mod config {
    /// Page sizes, a bit each; 64 bits.
    pub const PAGE_SIZES: u64 = 0;
    /// First and last device address; 64 bits each.
    pub const INPUT: u64 = 8;
    /// First and last domain; 32 bits each.
    pub const DOMAINS: u64 = 24;
    /// Bytes of what a probe is answered; 32 bits.
    pub const PROBE_BYTES: u64 = 32;
    /// Whether endpoints without a domain pass; 8 bits.
    pub const BYPASS: u64 = 36;
    /// Bytes of all fields up to there.
    pub const BYTES: u64 = 37;
}

/// What the configuration held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// Page sizes, a bit each.
    pub page_sizes: u64,
    /// First and last device address.
    pub input: (u64, u64),
    /// First and last domain.
    pub domains: (u32, u32),
    /// Bytes of the properties that a probe is answered.
    pub probe_bytes: u32,
    /// Whether endpoints without a domain pass.
    pub bypass: u8,
}

impl Config {
    /// First and last device address; the field means nothing without its feature.
    pub const fn input(&self, features: u64) -> (u64, u64) {
        match features & F_INPUT_RANGE {
            0 => (0, u64::MAX),
            _ => self.input,
        }
    }

    /// First and last domain; the field means nothing without its feature.
    pub const fn domains(&self, features: u64) -> (u32, u32) {
        match features & F_DOMAIN_RANGE {
            0 => (0, u32::MAX),
            _ => self.domains,
        }
    }
}

/// What the device is asked (5.13.6). Domains are numbers of the device, endpoints are what it calls functions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Leads an endpoint to a domain, which begins with its first endpoint.
    Attach {
        /// The domain.
        domain: u32,
        /// The endpoint.
        endpoint: u32,
    },
    /// Leads it there no more. A domain ends with its last endpoint.
    Detach {
        /// The domain.
        domain: u32,
        /// The endpoint.
        endpoint: u32,
    },
    /// Maps a range for reading, and for writing too where that is said.
    Map {
        /// The domain.
        domain: u32,
        /// First and last device address.
        iova: (u64, u64),
        /// Where the first one leads.
        physical: u64,
        /// For writing too.
        writable: bool,
    },
    /// Unmaps every mapping in a range. One that is only partly in it makes the request fail.
    Unmap {
        /// The domain.
        domain: u32,
        /// First and last device address.
        iova: (u64, u64),
    },
    /// Asks what an endpoint reserves.
    Probe {
        /// The endpoint.
        endpoint: u32,
    },
}

/// Most bytes of a request without its answer.
pub const REQUEST_BYTES: usize = 72;
/// Most bytes of properties that a device may answer a probe with, of those that are used.
pub const MAX_PROBE_BYTES: usize = 1024;
/// Bytes at the end of each answer: the status, and three that are reserved.
pub const TAIL_BYTES: usize = 4;

const ATTACH: u8 = 1;
const DETACH: u8 = 2;
const MAP: u8 = 3;
const UNMAP: u8 = 4;
const PROBE: u8 = 5;
const READ: u32 = 1;

impl Request {
    /// What the device reads, and how many bytes of it count.
    pub fn bytes(self) -> ([u8; REQUEST_BYTES], usize) {
        let mut bytes = [0; REQUEST_BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + field.len()) {
                place.copy_from_slice(field);
            }
            at += field.len();
        };
        let head = |kind| [kind, 0, 0, 0];
        match self {
            Self::Attach { domain, endpoint } => {
                put(&head(ATTACH));
                put(&domain.to_le_bytes());
                put(&endpoint.to_le_bytes());
                put(&[0; 8]);
            }
            Self::Detach { domain, endpoint } => {
                put(&head(DETACH));
                put(&domain.to_le_bytes());
                put(&endpoint.to_le_bytes());
                put(&[0; 8]);
            }
            Self::Map {
                domain,
                iova: (first, last),
                physical,
                writable,
            } => {
                put(&head(MAP));
                put(&domain.to_le_bytes());
                put(&first.to_le_bytes());
                put(&last.to_le_bytes());
                put(&physical.to_le_bytes());
                put(&(READ | u32::from(writable) << 1).to_le_bytes());
            }
            Self::Unmap {
                domain,
                iova: (first, last),
            } => {
                put(&head(UNMAP));
                put(&domain.to_le_bytes());
                put(&first.to_le_bytes());
                put(&last.to_le_bytes());
                put(&[0; 4]);
            }
            Self::Probe { endpoint } => {
                put(&head(PROBE));
                put(&endpoint.to_le_bytes());
                put(&[0; 64]);
            }
        }
        (bytes, at)
    }
}

/// How the device answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It has done it.
    Done,
    /// It has no resources for it, and did nothing.
    NoMemory,
    /// It refused, or failed, with this number.
    Failed(u8),
}

impl Status {
    /// Reads the first byte of a tail.
    pub const fn read(byte: u8) -> Self {
        match byte {
            0 => Self::Done,
            8 => Self::NoMemory,
            other => Self::Failed(other),
        }
    }
}

/// Whether a device reserves addresses of an endpoint that a domain might use.
///
/// `properties` is what a probe was answered. Of addresses for messages, those at which x86 has them count as none: no domain
/// uses these. A property of another kind says nothing of addresses.
///
/// # Errors
/// [`BadProperty`].
pub fn reserves(properties: &[u8], used: (u64, u64)) -> Result<bool, BadProperty> {
    const MESSAGES: (u64, u64) = (0xfee0_0000, 0xfeef_ffff);
    let mut rest = properties;
    let mut found = false;
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let [k0, k1, l0, l1] = *head;
        let kind = u16::from_le_bytes([k0, k1]) & 0xfff;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        if kind == 0 {
            break;
        }
        let (value, next) = after.split_at_checked(length).ok_or(BadProperty)?;
        rest = next;
        if kind != RESERVED_MEMORY {
            continue;
        }
        let word = |at: usize| {
            let bytes = value.get(at..)?.first_chunk::<8>()?;
            Some(u64::from_le_bytes(*bytes))
        };
        let (Some(first), Some(last)) = (word(4), word(12)) else {
            return Err(BadProperty);
        };
        if last < first {
            return Err(BadProperty);
        }
        let inside = MESSAGES.0 <= first && last <= MESSAGES.1;
        found |= !inside && first <= used.1 && used.0 <= last;
    }
    Ok(found)
}

/// A property reaches past the end of what was answered, or a range ends before it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadProperty;

/// A range of reserved addresses (5.13.6.8).
const RESERVED_MEMORY: u16 = 1;

/// Bytes of an event.
pub const FAULT_BYTES: usize = 24;

/// A request of an endpoint that the device refused (5.13.6.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Why.
    pub reason: FaultReason,
    /// The endpoint.
    pub endpoint: u32,
    /// Whether it wanted to write; `None` where the device does not say.
    pub write: Option<bool>,
    /// The device address, where the device says it.
    pub address: Option<u64>,
}

/// Why a request was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultReason {
    /// The endpoint has no domain.
    Domain,
    /// Nothing is mapped there, or not for that.
    Mapping,
    /// Something else.
    Other,
}

impl FaultReason {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Domain => "no-domain",
            Self::Mapping => "not-mapped",
            Self::Other => "other",
        }
    }
}

impl Fault {
    /// Reads an event, as three little-endian words.
    pub const fn read([first, second, address]: [u64; 3]) -> Self {
        let flags = (first >> 32) as u32;
        Self {
            reason: match first as u8 {
                1 => FaultReason::Domain,
                2 => FaultReason::Mapping,
                _ => FaultReason::Other,
            },
            endpoint: second as u32,
            write: match flags & 3 {
                1 => Some(false),
                2 => Some(true),
                _ => None,
            },
            address: match flags & 1 << 8 {
                0 => None,
                _ => Some(address),
            },
        }
    }
}

#[cfg(test)]
mod tests;
