//! The first two frames of a DHCP exchange: DISCOVER, and the OFFER that answers it.
//!
//! Source: RFC 2131 (messages), RFC 2132 (options), RFC 791 and 768 (headers).

/// Bytes of the DISCOVER: Ethernet, IPv4, UDP, the fixed part of the message, the cookie, and the options.
pub const DISCOVER_BYTES: usize = IP + 20 + 8 + 236 + 4 + OPTIONS.len();

/// Offsets in a frame.
const IP: usize = 14;
const UDP: usize = IP + 20;
const MESSAGE: usize = UDP + 8;
const OPTIONS_AT: usize = MESSAGE + 240;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Message type DISCOVER (53), parameters 1 and 3 wanted (55), end.
const OPTIONS: [u8; 8] = [53, 1, 1, 55, 2, 1, 3, 255];

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The message type: 2 is OFFER.
    pub kind: u8,
    /// The address that is offered.
    pub address: [u8; 4],
}

/// A DISCOVER of `mac`, sent to everybody, with this transaction number; the answer is to be sent to everybody too.
pub fn discover(mac: [u8; 6], transaction: u32) -> [u8; DISCOVER_BYTES] {
    let mut frame = [0; DISCOVER_BYTES];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in frame.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(0, &[0xff; 6]);
    put(6, &mac);
    put(12, &[0x08, 0x00]);
    let total = (DISCOVER_BYTES - IP) as u16;
    put(IP, &[0x45, 0]);
    put(IP + 2, &total.to_be_bytes());
    put(IP + 8, &[64, 17]);
    put(IP + 16, &[0xff; 4]);
    put(UDP, &[0, 68, 0, 67]);
    put(UDP + 4, &(total - 20).to_be_bytes());
    // BOOTREQUEST over Ethernet, addresses of 6 bytes; the flag asks for a broadcast.
    put(MESSAGE, &[1, 1, 6, 0]);
    put(MESSAGE + 4, &transaction.to_be_bytes());
    put(MESSAGE + 10, &[0x80, 0]);
    put(MESSAGE + 28, &mac);
    put(MESSAGE + 236, &COOKIE);
    put(OPTIONS_AT, &OPTIONS);
    let sum = checksum(frame.get(IP..UDP).unwrap_or_default());
    if let Some(field) = frame.get_mut(IP + 10..IP + 12) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

/// The internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks_exact(2)
        .map(|pair| {
            pair.iter()
                .fold(0, |word, byte| word << 8 | u32::from(*byte))
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The answer in `frame` to the transaction of `mac`; `None` where it is anything else.
pub fn answer(frame: &[u8], mac: [u8; 6], transaction: u32) -> Option<Answer> {
    let is = |at: usize, bytes: &[u8]| frame.get(at..at + bytes.len()) == Some(bytes);
    let expected = is(12, &[0x08, 0x00])
        && is(IP, &[0x45])
        && is(IP + 9, &[17])
        && is(UDP, &[0, 67, 0, 68])
        && is(MESSAGE, &[2, 1, 6])
        && is(MESSAGE + 4, &transaction.to_be_bytes())
        && is(MESSAGE + 28, &mac)
        && is(MESSAGE + 236, &COOKIE);
    if !expected {
        return None;
    }
    let address = frame.get(MESSAGE + 16..MESSAGE + 20)?.try_into().ok()?;
    let mut at = OPTIONS_AT;
    loop {
        match *frame.get(at)? {
            0 => at += 1,
            255 => return None,
            53 => {
                let kind = *frame.get(at + 2)?;
                return Some(Answer { kind, address });
            }
            _ => at += 2 + usize::from(*frame.get(at + 1)?),
        }
    }
}
