//! DQO queues (`gve_desc_dqo.h`): little-endian, each with a ring of descriptors and one of completions, whose generation bit says
//! that one was written. Doorbells carry the index of the tail. Descriptors carry addresses even where there are page lists: a list
//! says only which pages may be named.

use crate::refusal::Refusal;

/// Bytes of a transmit descriptor.
pub const TX_BYTES: usize = 16;
/// Bytes of a transmit completion.
pub const TX_COMPLETION_BYTES: usize = 8;
/// Bytes of a descriptor of a receive buffer.
pub const RX_BYTES: usize = 32;
/// Bytes of a receive completion.
pub const RX_COMPLETION_BYTES: usize = 32;
/// Most bytes of one piece of a frame.
pub const MAX_PIECE_BYTES: u16 = (1 << 14) - 1;
/// Most pieces of a frame, or of each segment of one.
pub const MAX_PIECES: usize = 10;
/// Fewest bytes of a segment's payload.
pub const MIN_SEGMENT_BYTES: u16 = 88;
/// Descriptors from one that asks to be reported to the next, at least.
pub const MIN_REPORT_INTERVAL: u16 = 32;

const PACKET: u8 = 0x0c;
const TSO_CONTEXT: u8 = 0x05;
const GENERAL_CONTEXT: u8 = 0x04;
const TYPE_MASK: u8 = 0x1f;

/// A transmit descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tx {
    /// A piece of a frame.
    Packet {
        /// Address; where the queue has a page list, inside one of its pages.
        at: u64,
        /// Bytes of the piece, at most [`MAX_PIECE_BYTES`].
        bytes: u16,
        /// Comes back with the completion.
        tag: u16,
        /// Whether the frame ends here.
        end: bool,
        /// Whether checksums are asked for.
        checksum: bool,
        /// Whether a completion of descriptors is asked for.
        report: bool,
    },
    /// Says of the frame that follows that it is to be cut into segments.
    TsoContext {
        /// Bytes of payload, 24 bits.
        payload_bytes: u32,
        /// Payload of a segment, 14 bits.
        segment_bytes: u16,
        /// Bytes of all headers.
        header_bytes: u8,
    },
    /// Says something of the flow of the frame that follows.
    GeneralContext,
}

impl Tx {
    /// Reads one as a device gets it. The free ("flex") bytes of contexts are the driver's own.
    ///
    /// # Errors
    /// `Value` for a type that means nothing; `Reserved` where a reserved field is not zero.
    pub fn read(bytes: &[u8; TX_BYTES]) -> Result<Self, Refusal> {
        let (control, command) = (le::u8(bytes, 8), le::u16(bytes, 8));
        match control & TYPE_MASK {
            PACKET => {
                let length = le::u16(bytes, 14);
                match le::is_zero(bytes, 9, 12) && length <= MAX_PIECE_BYTES {
                    true => Ok(Self::Packet {
                        at: le::u64(bytes, 0),
                        bytes: length,
                        tag: le::u16(bytes, 12),
                        end: control & 1 << 5 != 0,
                        checksum: control & 1 << 6 != 0,
                        report: control & 1 << 7 != 0,
                    }),
                    false => Err(Refusal::Reserved),
                }
            }
            TSO_CONTEXT => {
                let segment = le::u16(bytes, 4);
                match command == u16::from(TSO_CONTEXT) | 1 << 5 && segment <= MAX_PIECE_BYTES {
                    true => Ok(Self::TsoContext {
                        payload_bytes: le::u32(bytes, 0) & 0xff_ffff,
                        segment_bytes: segment,
                        header_bytes: le::u8(bytes, 6),
                    }),
                    false => Err(Refusal::Reserved),
                }
            }
            GENERAL_CONTEXT => {
                match command == u16::from(GENERAL_CONTEXT) && le::is_zero(bytes, 10, 12) {
                    true => Ok(Self::GeneralContext),
                    false => Err(Refusal::Reserved),
                }
            }
            _ => Err(Refusal::Value),
        }
    }

    /// Writes it; free bytes are zero.
    pub fn bytes(&self) -> [u8; TX_BYTES] {
        let mut out = [0; TX_BYTES];
        match *self {
            Self::Packet {
                at,
                bytes,
                tag,
                end,
                checksum,
                report,
            } => {
                le::put(&mut out, 0, &at.to_le_bytes());
                let flags = u8::from(end) << 5 | u8::from(checksum) << 6 | u8::from(report) << 7;
                le::put(&mut out, 8, &[PACKET | flags]);
                le::put(&mut out, 12, &tag.to_le_bytes());
                le::put(&mut out, 14, &(bytes & MAX_PIECE_BYTES).to_le_bytes());
            }
            Self::TsoContext {
                payload_bytes,
                segment_bytes,
                header_bytes,
            } => {
                le::put(&mut out, 0, &(payload_bytes & 0xff_ffff).to_le_bytes());
                le::put(
                    &mut out,
                    4,
                    &(segment_bytes & MAX_PIECE_BYTES).to_le_bytes(),
                );
                le::put(&mut out, 6, &[header_bytes]);
                le::put(&mut out, 8, &[TSO_CONTEXT | 1 << 5]);
            }
            Self::GeneralContext => le::put(&mut out, 8, &[GENERAL_CONTEXT]),
        }
        out
    }
}

/// What a transmit completion says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TxEvent {
    /// A frame is done; its tag.
    Packet(u16),
    /// Descriptors were fetched up to before this index.
    Descriptors(u16),
    /// A frame took the slow path: it will come again as reinjected.
    Miss(u16),
    /// A frame that had missed is done.
    Reinjection(u16),
}

/// A transmit completion: a device wrote it, so every field is a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxCompletion {
    /// The queue, 11 bits.
    pub queue: u16,
    /// What happened.
    pub event: TxEvent,
    /// Which pass through the ring: the first writes `true`.
    pub generation: bool,
}

impl TxCompletion {
    /// The generation bit, which is to be looked at before anything else.
    pub fn generation(bytes: &[u8; TX_COMPLETION_BYTES]) -> bool {
        le::u16(bytes, 0) & 1 << 15 != 0
    }

    /// Reads one.
    ///
    /// # Errors
    /// `Value` for a type that means nothing.
    pub fn read(bytes: &[u8; TX_COMPLETION_BYTES]) -> Result<Self, Refusal> {
        let (head, value) = (le::u16(bytes, 0), le::u16(bytes, 2));
        let event = match head >> 11 & 7 {
            1 => TxEvent::Miss(value),
            2 => TxEvent::Packet(value),
            3 => TxEvent::Reinjection(value),
            4 => TxEvent::Descriptors(value),
            _ => return Err(Refusal::Value),
        };
        Ok(Self {
            queue: head & 0x7ff,
            event,
            generation: head & 1 << 15 != 0,
        })
    }

    /// Writes it.
    pub fn bytes(&self) -> [u8; TX_COMPLETION_BYTES] {
        let (kind, value) = match self.event {
            TxEvent::Miss(tag) => (1, tag),
            TxEvent::Packet(tag) => (2, tag),
            TxEvent::Reinjection(tag) => (3, tag),
            TxEvent::Descriptors(head) => (4, head),
        };
        let head = self.queue & 0x7ff | kind << 11 | u16::from(self.generation) << 15;
        let mut out = [0; TX_COMPLETION_BYTES];
        le::put(&mut out, 0, &head.to_le_bytes());
        le::put(&mut out, 2, &value.to_le_bytes());
        out
    }
}

/// A descriptor of a receive buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rx {
    /// Comes back with the completion.
    pub buffer: u16,
    /// Address; where the queue has a page list, inside one of its pages.
    pub at: u64,
    /// The same for headers; 0 where they stay with the data.
    pub headers_at: u64,
}

impl Rx {
    /// Reads one as a device gets it.
    ///
    /// # Errors
    /// `Reserved` where a reserved field is not zero.
    pub fn read(bytes: &[u8; RX_BYTES]) -> Result<Self, Refusal> {
        match le::is_zero(bytes, 2, 8) && le::is_zero(bytes, 24, 32) {
            true => Ok(Self {
                buffer: le::u16(bytes, 0),
                at: le::u64(bytes, 8),
                headers_at: le::u64(bytes, 16),
            }),
            false => Err(Refusal::Reserved),
        }
    }

    /// Writes it.
    pub fn bytes(&self) -> [u8; RX_BYTES] {
        let mut out = [0; RX_BYTES];
        le::put(&mut out, 0, &self.buffer.to_le_bytes());
        le::put(&mut out, 8, &self.at.to_le_bytes());
        le::put(&mut out, 16, &self.headers_at.to_le_bytes());
        out
    }
}

/// A receive completion: a device wrote it, so every field is a claim. What only offloads need is not here.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RxCompletion {
    /// The buffer that it is about.
    pub buffer: u16,
    /// Bytes in it, 14 bits.
    pub bytes: u16,
    /// Packet type, 10 bits: an index into the map of packet types.
    pub kind: u16,
    /// A hash of the flow.
    pub hash: u32,
    /// Which pass through the ring: the first writes `true`.
    pub generation: bool,
    /// Whether the frame ends here.
    pub end: bool,
    /// Whether the device found an error: the frame is to be dropped.
    pub error: bool,
    /// Whether headers lie in their own buffer.
    pub split: bool,
}

impl RxCompletion {
    /// The generation bit, which is to be looked at before anything else.
    pub fn generation(bytes: &[u8; RX_COMPLETION_BYTES]) -> bool {
        le::u16(bytes, 4) & 1 << 14 != 0
    }

    /// Reads one.
    ///
    /// # Errors
    /// `Value` for another kind of completion than the one that there is, for one that is not done, and for one of another queue of
    /// buffers.
    pub fn read(bytes: &[u8; RX_COMPLETION_BYTES]) -> Result<Self, Refusal> {
        let (length, status) = (le::u16(bytes, 4), le::u8(bytes, 8));
        if le::u8(bytes, 0) & 0xf != 1 || status & 1 == 0 || length & 1 << 15 != 0 {
            return Err(Refusal::Value);
        }
        Ok(Self {
            buffer: le::u16(bytes, 12),
            bytes: length & MAX_PIECE_BYTES,
            kind: le::u16(bytes, 2) & 0x3ff,
            hash: le::u32(bytes, 16),
            generation: length & 1 << 14 != 0,
            end: status & 2 != 0,
            error: le::u8(bytes, 1) & 4 != 0,
            split: le::u16(bytes, 6) & 1 << 11 != 0,
        })
    }

    /// Writes it.
    pub fn bytes(&self) -> [u8; RX_COMPLETION_BYTES] {
        let mut out = [0; RX_COMPLETION_BYTES];
        le::put(&mut out, 0, &[1, u8::from(self.error) << 2]);
        le::put(&mut out, 2, &(self.kind & 0x3ff).to_le_bytes());
        let length = self.bytes & MAX_PIECE_BYTES | u16::from(self.generation) << 14;
        le::put(&mut out, 4, &length.to_le_bytes());
        le::put(&mut out, 6, &(u16::from(self.split) << 11).to_le_bytes());
        le::put(&mut out, 8, &[1 | u8::from(self.end) << 1]);
        le::put(&mut out, 12, &self.buffer.to_le_bytes());
        le::put(&mut out, 16, &self.hash.to_le_bytes());
        out
    }
}
