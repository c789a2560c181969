//! The packets of a reader: twelve bytes each, numbers in big-endian order.

/// Bytes of every packet.
pub const PACKET_BYTES: usize = 12;
/// One packet.
pub type Packet = [u8; PACKET_BYTES];
/// Bytes of the answer to [`REQUEST_SENSE`].
pub const SENSE_BYTES: usize = 18;
/// Bytes of the answer to [`READ_CAPACITY`].
pub const CAPACITY_BYTES: usize = 8;

/// Whether the drive can read (SPC-2, 7.25).
pub const TEST_UNIT_READY: Packet = [0; PACKET_BYTES];
/// Why the command before failed (SPC-2, 7.20).
pub const REQUEST_SENSE: Packet = {
    let mut packet = [0; PACKET_BYTES];
    packet[0] = 0x03;
    packet[4] = SENSE_BYTES as u8;
    packet
};
/// The last sector and the bytes of one, READ CAPACITY (10) (MMC-3, 6.22).
pub const READ_CAPACITY: Packet = {
    let mut packet = [0; PACKET_BYTES];
    packet[0] = 0x25;
    packet
};

/// Reads `count` sectors from `lba` on, READ (12) (MMC-3, 6.21).
#[must_use]
pub const fn read(lba: u32, count: u32) -> Packet {
    let [l0, l1, l2, l3] = lba.to_be_bytes();
    let [c0, c1, c2, c3] = count.to_be_bytes();
    [0xa8, 0, l0, l1, l2, l3, c0, c1, c2, c3, 0, 0]
}

/// Last sector and bytes per sector of an answer to [`READ_CAPACITY`].
#[must_use]
pub const fn capacity(answer: [u8; CAPACITY_BYTES]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = answer;
    (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    )
}
