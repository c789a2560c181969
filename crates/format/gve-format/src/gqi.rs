//! GQI queues (`gve_desc.h`): big-endian, a sequence number says that a receive descriptor was written, an event counter how
//! many transmit descriptors are done.

use crate::be;
use crate::refusal::Refusal;

/// Bytes of a transmit descriptor.
pub const TX_BYTES: usize = 16;
/// Bytes of a receive descriptor.
pub const RX_BYTES: usize = 64;
/// Bytes of a data slot of a receive queue: where a buffer is.
pub const SLOT_BYTES: usize = 8;
/// Bytes before a frame in its buffer, which a descriptor's length counts.
pub const RX_PAD: u16 = 2;

const STANDARD: u8 = 0;
const TSO: u8 = 1;
const SEGMENT: u8 = 2;
const METADATA: u8 = 3;
const FLAG_CHECKSUM: u8 = 1;
const FLAG_IPV6: u8 = 2;

/// Where a checksum goes that the device is asked for, in units of two bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checksum {
    /// From the frame's start to the header of layer 4, where the sum begins.
    pub header: u8,
    /// From there to the checksum.
    pub field: u8,
}

/// A transmit descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tx {
    /// The first of a frame.
    Packet {
        /// Whether the device cuts it into segments.
        segmented: bool,
        /// The checksum, if one is asked for.
        checksum: Option<Checksum>,
        /// Descriptors of the frame, this one among them.
        descriptors: u8,
        /// Bytes of the frame.
        frame_bytes: u16,
        /// Bytes of this descriptor's piece.
        bytes: u16,
        /// Offset or address of the piece.
        at: u64,
    },
    /// A further piece. Linux writes what is only for segmented frames for these alone, and two reserved bytes never: what the ring
    /// had there before stays. So both mean nothing elsewhere, whatever they are.
    Segment {
        /// Segmented frames: whether it is IPv6.
        ipv6: bool,
        /// Segmented frames: from the frame's start to its header of layer 3, in units of two bytes.
        header: u8,
        /// Segmented frames: payload of a segment.
        segment_bytes: u16,
        /// Bytes of this descriptor's piece.
        bytes: u16,
        /// Offset or address of the piece.
        at: u64,
    },
    /// What the host says of the flow. It carries no piece.
    Metadata {
        /// The state and the kind of hash.
        state: u8,
        /// The hash.
        hash: u32,
    },
}

impl Tx {
    /// Reads one as a device gets it.
    ///
    /// # Errors
    /// `Value` for a type or flag that means nothing; `Reserved` where a field that means nothing is not zero.
    pub fn read(bytes: &[u8; TX_BYTES]) -> Result<Self, Refusal> {
        let [kind, second, third, fourth, ..] = *bytes;
        let (piece, at) = (be::u16(bytes, 6), be::u64(bytes, 8));
        let (kind, flags) = (kind >> 4, kind & 0xf);
        match kind {
            STANDARD | TSO => {
                let sum = Checksum {
                    header: third,
                    field: second,
                };
                let checksum = match flags {
                    0 if second == 0 && third == 0 => None,
                    0 => return Err(Refusal::Reserved),
                    FLAG_CHECKSUM => Some(sum),
                    _ => return Err(Refusal::Value),
                };
                Ok(Self::Packet {
                    segmented: kind == TSO,
                    checksum,
                    descriptors: fourth,
                    frame_bytes: be::u16(bytes, 4),
                    bytes: piece,
                    at,
                })
            }
            SEGMENT if flags & !FLAG_IPV6 != 0 => Err(Refusal::Value),
            SEGMENT => Ok(Self::Segment {
                ipv6: flags & FLAG_IPV6 != 0,
                header: second,
                segment_bytes: be::u16(bytes, 4),
                bytes: piece,
                at,
            }),
            METADATA if flags != 0 => Err(Refusal::Value),
            METADATA if third != 0 || fourth != 0 || at != 0 => Err(Refusal::Reserved),
            METADATA => Ok(Self::Metadata {
                state: second,
                hash: be::u32(bytes, 4),
            }),
            _ => Err(Refusal::Value),
        }
    }

    /// Writes it.
    pub fn bytes(&self) -> [u8; TX_BYTES] {
        let mut out = [0; TX_BYTES];
        match *self {
            Self::Packet {
                segmented,
                checksum,
                descriptors,
                frame_bytes,
                bytes,
                at,
            } => {
                let kind = if segmented { TSO } else { STANDARD };
                let sum = checksum.unwrap_or(Checksum {
                    header: 0,
                    field: 0,
                });
                let flags = if checksum.is_some() { FLAG_CHECKSUM } else { 0 };
                let head = [kind << 4 | flags, sum.field, sum.header, descriptors];
                le::put(&mut out, 0, &head);
                be::put16(&mut out, 4, frame_bytes);
                be::put16(&mut out, 6, bytes);
                be::put64(&mut out, 8, at);
            }
            Self::Segment {
                ipv6,
                header,
                segment_bytes,
                bytes,
                at,
            } => {
                let flags = if ipv6 { FLAG_IPV6 } else { 0 };
                le::put(&mut out, 0, &[SEGMENT << 4 | flags, header]);
                be::put16(&mut out, 4, segment_bytes);
                be::put16(&mut out, 6, bytes);
                be::put64(&mut out, 8, at);
            }
            Self::Metadata { state, hash } => {
                le::put(&mut out, 0, &[METADATA << 4, state]);
                be::put32(&mut out, 4, hash);
            }
        }
        out
    }
}

/// Bits of a receive descriptor's flags.
pub mod rx_flag {
    /// A fragment.
    pub const FRAGMENT: u16 = 1 << 6;
    /// IPv4.
    pub const IPV4: u16 = 1 << 7;
    /// IPv6.
    pub const IPV6: u16 = 1 << 8;
    /// TCP.
    pub const TCP: u16 = 1 << 9;
    /// UDP.
    pub const UDP: u16 = 1 << 10;
    /// There is an error: the frame is to be dropped.
    pub const ERROR: u16 = 1 << 11;
    /// The frame goes on in the next buffer.
    pub const CONTINUES: u16 = 1 << 13;
}

/// A receive descriptor: a device wrote it, so every field is a claim.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rx {
    /// A hash of the flow.
    pub hash: u32,
    /// Payload of the segments that were put together.
    pub segment_bytes: u16,
    /// Bytes of the headers, with the padding.
    pub header_bytes: u8,
    /// Where in the buffer it begins, in units of 64 bytes.
    pub header_at: u8,
    /// The ones' complement sum of what follows the Ethernet header; 0 where it was not made.
    pub checksum: u16,
    /// Bytes of the frame with [`RX_PAD`].
    pub bytes: u16,
    /// Bits of [`rx_flag`].
    pub flags: u16,
    /// 1 to 7, in turn, for each descriptor that was written. 0 is never written.
    pub sequence: u8,
}

impl Rx {
    /// Reads one.
    pub fn read(bytes: &[u8; RX_BYTES]) -> Self {
        let last = be::u16(bytes, 62);
        Self {
            hash: be::u32(bytes, 48),
            segment_bytes: be::u16(bytes, 52),
            header_bytes: le::u8(bytes, 56),
            header_at: le::u8(bytes, 57),
            checksum: be::u16(bytes, 58),
            bytes: be::u16(bytes, 60),
            flags: last & !7,
            sequence: last as u8 & 7,
        }
    }

    /// Writes it.
    pub fn bytes(&self) -> [u8; RX_BYTES] {
        let mut out = [0; RX_BYTES];
        be::put32(&mut out, 48, self.hash);
        be::put16(&mut out, 52, self.segment_bytes);
        le::put(&mut out, 56, &[self.header_bytes, self.header_at]);
        be::put16(&mut out, 58, self.checksum);
        be::put16(&mut out, 60, self.bytes);
        be::put16(&mut out, 62, self.flags & !7 | u16::from(self.sequence & 7));
        out
    }

    /// Bytes of the frame in a buffer of `room` bytes; `None` where the descriptor claims less than its padding or more than fits.
    pub const fn frame_bytes(&self, room: u16) -> Option<u16> {
        match self.bytes.checked_sub(RX_PAD) {
            Some(frame) if frame > 0 && self.bytes <= room => Some(frame),
            _ => None,
        }
    }
}

/// The sequence number after this one.
pub const fn next_sequence(sequence: u8) -> u8 {
    match sequence {
        7.. => 1,
        other => other + 1,
    }
}
