//! What a provider says to the broker, and what the broker tells it: kinds of queues, templates, and facts in words.
//!
//! Queues of [`kind::LISTS`] carry what is not a frame. A [`Template::Register`] names the pages of a queue that is opened after
//! it; it stays in flight for as long as the device has the list, so its pages stay pinned. A [`Template::Tell`] completes at
//! once, with a word of [`Facts`] as its result.

use crate::queue::QueueFormat;

/// Kinds of queues, each with index 0.
pub mod kind {
    /// Page lists, and what the device is.
    pub const LISTS: u16 = 0;
    /// Frames from the wire.
    pub const RECEIVE: u16 = 1;
    /// Frames to the wire.
    pub const TRANSMIT: u16 = 2;
}

/// Bytes of a buffer for reception: it begins at a multiple of that.
pub const BUFFER_BYTES: u16 = 2048;
/// Bytes of a template of [`kind::LISTS`].
pub const TEMPLATE_BYTES: usize = 4;
/// Words of [`Facts`].
pub const WORDS: u8 = 4;

const REGISTER: u8 = 1;
const TELL: u8 = 2;

/// What a queue of [`kind::LISTS`] takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Template {
    /// The segment's pages are those of the queue that is opened next.
    Register(Side),
    /// The word of this number, below [`WORDS`].
    Tell(u8),
}

/// One of the two queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// From the wire.
    Receive,
    /// To the wire.
    Transmit,
}

impl Template {
    /// Reads one; `None` for anything else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        match *<&[u8; TEMPLATE_BYTES]>::try_from(bytes).ok()? {
            [REGISTER, 1, 0, 0] => Some(Self::Register(Side::Receive)),
            [REGISTER, 2, 0, 0] => Some(Self::Register(Side::Transmit)),
            [TELL, word, 0, 0] if word < WORDS => Some(Self::Tell(word)),
            _ => None,
        }
    }

    /// Writes it.
    pub const fn bytes(self) -> [u8; TEMPLATE_BYTES] {
        match self {
            Self::Register(Side::Receive) => [REGISTER, 1, 0, 0],
            Self::Register(Side::Transmit) => [REGISTER, 2, 0, 0],
            Self::Tell(word) => [TELL, word, 0, 0],
        }
    }
}

/// What a provider is told of its device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// How queues look.
    pub format: QueueFormat,
    /// The address.
    pub mac: [u8; 6],
    /// The largest payload.
    pub mtu: u16,
    /// Most commands in flight of the queues, receive and transmit.
    pub depths: (u16, u16),
    /// Most pages of a list, receive and transmit; 0 where there are no lists.
    pub pages: (u16, u16),
}

impl Facts {
    /// Word number `word`.
    pub fn word(&self, word: u8) -> Option<u32> {
        let [a, b, c, d, e, f] = self.mac;
        let pair = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
        // No list is longer than 4095 pages.
        let pages = |pages: u16| u32::from(pages & 0xfff);
        Some(match word {
            0 => pair(self.mtu, u16::from_be_bytes([a, b])),
            1 => u32::from_be_bytes([c, d, e, f]),
            2 => pair(self.depths.0, self.depths.1),
            3 => {
                u32::from(self.format as u8) << 24 | pages(self.pages.0) << 12 | pages(self.pages.1)
            }
            _ => return None,
        })
    }

    /// Puts them together again; `None` for a format that there is not.
    pub fn of(words: [u32; WORDS as usize]) -> Option<Self> {
        let [first, second, third, fourth] = words;
        let [mtu_high, mtu_low, a, b] = first.to_be_bytes();
        let [c, d, e, f] = second.to_be_bytes();
        Some(Self {
            format: QueueFormat::of((fourth >> 24) as u8)?,
            mac: [a, b, c, d, e, f],
            mtu: u16::from_be_bytes([mtu_high, mtu_low]),
            depths: ((third >> 16) as u16, third as u16),
            pages: ((fourth >> 12 & 0xfff) as u16, (fourth & 0xfff) as u16),
        })
    }
}
