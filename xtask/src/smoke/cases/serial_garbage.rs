//! What no terminal sends.

use anyhow::Result;

use sabotage::points;

use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::sabotage::{Break, Sabotage};

/// Bytes of noise.
const NOISE_BYTES: usize = 128 << 10;
/// What the console says when it has read every one of [`LINES`] lines, and no other.
const COUNTED: &str = "@diagnostics.status unknown_lines=4012";
/// Lines sent at once, with more bytes than the kernel keeps.
const LINES: usize = 4000;
/// Lines before them that keep the reader busy.
const SLOW_LINES: usize = 12;

/// Sends lines much faster than they are read.
fn many_lines(peer: &mut Peer<'_>) -> Result<()> {
    // What is typed at the start of a line has the rest of it drawn again with each byte.
    let mut slow = vec![b'y'; 120];
    slow.push(0x01);
    slow.extend([b'x'; 120]);
    slow.push(b'\r');
    peer.session.send(&slow.repeat(SLOW_LINES))?;
    peer.session.send(&b"x\r".repeat(LINES))
}

/// Sends `count` bytes that are the same in every run. One byte value is left out: a line that begins with it would be
/// taken for evidence by whoever reads the transcript.
fn noise(peer: &mut Peer<'_>) -> Result<()> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(NOISE_BYTES);
    while bytes.len() < NOISE_BYTES {
        // Marsaglia, "Xorshift RNGs", 2003: the triple (13, 7, 17).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes().iter().filter(|byte| **byte != b'@'));
    }
    // In pieces: a guest that is being talked to is not silent.
    for piece in bytes.chunks(16 * 1024) {
        peer.session.send(piece)?;
    }
    Ok(())
}

fn long_lines(peer: &mut Peer<'_>) -> Result<()> {
    peer.session.send(&[b'x'; 5000])?;
    peer.session.send(b"\r")?;
    peer.session.send("\u{1f600}".repeat(2000).as_bytes())?;
    peer.session.send(b"\r")
}

inventory::submit! {
    Smoke {
        name: "serial-garbage",
        question: "Does the console lose no byte of what comes faster than it reads, and answer after 128 KiB of noise, lines without end, and every kind of broken sequence?",
        rows: &["SD-01", "SD-03", "SD-07", "SD-15"],
        manifest: "diagnostics",
        steps: &[
            Step::Type("help halt"),
            Step::Prompt,
            Step::Peer(many_lines),
            Step::Type("status"),
            Step::Prompt,
            // NULs and other control characters, escape sequences without an end, pieces of characters.
            Step::Send(b"\0\0\0\x01\x02\x07\x0b\x0c\x1a\x1c\x7f\x7f\x7f\r"),
            Step::Send(b"\x1b[999999999999999999999999999999999C\x1b[;;;;;;;;;;;;H\x1b]0;title\x07\x1b[\r"),
            Step::Send(b"\xf0\x9f\x98 \xc3 \xe6\x97 \xff\xfe \xed\xa0\x80 \xc0\xaf\r"),
            Step::Peer(long_lines),
            Step::Peer(noise),
            // Behind all of it: the answer shows that what came before has been read.
            Step::Send(b"\r\x03logs 201\r"),
            Step::Wait("logs: \"201\" is not a number from 1 to 200"),
            Step::Prompt,
            Step::Type("status"),
            Step::Type("mem"),
            Step::Type("halt"),
        ],
        required: &[
            "@diagnostics.ready called=false",
            COUNTED,
            "the line is longer than 256 bytes and was not run; no command is that long",
            "@diagnostics.status cpus=1",
            "@diagnostics.mem adds_up=true",
        ],
        forbidden: &["@kernel.panic", "@process.ended name=diagnostics", "@service.ended"],
        limit_s: 540,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::DROP_INPUT,
        smoke: "serial-garbage",
        breaks: Break::Missing(COUNTED),
    }
}
