//! What passes the interface, as a pcap file in hexadecimal digits.

use core::fmt::Write as _;

use sdk::alloc::string::String;
use sdk::alloc::vec;
use sdk::{Access, Window};
use terminal::{Failure, Terminal};

use crate::net::{LOOK_NS, Network, Outcome};

/// Bytes of the ring of a trace, and of what is read of it at once.
const TRACE_BYTES: u64 = 64 * 1024;

fn digits(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = core::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
    }
    text
}

/// The records of a pcap file: 16 bytes, of which the third word is the length of the frame that follows.
fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let word = bytes.get(8..12)?.try_into().ok()?;
        let length = 16 + u32::from_le_bytes(word) as usize;
        let (record, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        Some(record)
    })
}

/// Shows what passes, until so many frames have or Ctrl-C.
pub fn show(network: &Network, count: u32, to: &mut Terminal) -> Outcome {
    let trace = network.trace.as_ref();
    let trace = trace.ok_or_else(|| Failure::not_held("PacketTrace"))?;
    let timer = network.timer.as_ref();
    let timer = timer.ok_or_else(|| Failure::not_held("Timer"))?;
    let failed = |refusal| Failure::about("packets")(refusal);
    let memory = network
        .memory()?
        .create_memory(TRACE_BYTES)
        .map_err(failed)?;
    let window = Window::map(memory.memory, TRACE_BYTES, Access::Read).map_err(failed)?;
    let snap = trace.info().map_err(failed)?.snap_bytes;
    let memory = window.memory().cap();
    let capture = trace
        .open(memory, snap, TRACE_BYTES as u32)
        .map_err(failed)?;
    let capture = capture.capture;
    let head = capture.head(|results| results.head().map(digits));
    let head = head.and_then(|head| head).map_err(failed)?;
    let _ = writeln!(to, "pcap {head}");
    let (mut from, mut shown) = (0, 0);
    while shown < count {
        let read = capture.read(from).map_err(failed)?;
        let mut bytes = vec![0; read.bytes as usize];
        window.read(0, &mut bytes).map_err(failed)?;
        if read.dropped > 0 {
            let _ = writeln!(
                to,
                "{} frames are gone: more came than were kept",
                read.dropped
            );
        }
        for record in records(&bytes).take((count - shown) as usize) {
            let _ = writeln!(to, "pcap {}", digits(record));
            shown += 1;
        }
        from = read.next;
        let _ = to.flush();
        if to.interrupted() {
            return Err(Failure::Interrupted);
        }
        if shown < count {
            let _ = sdk::sleep_for(timer, LOOK_NS);
        }
    }
    let _ = writeln!(to, "{shown} frames");
    Ok(())
}
