//! `PacketTrace`: what passes the interface, for who was granted to see it.

use net_stack::{FILE_HEAD, Trace};
use sdk::alloc::rc::Rc;
use sdk::alloc::vec;
use sdk::net::{packet_capture, packet_trace};
use sdk::{Answered, Call, Cap, CapArg, Refusal, Reply, fact};

use crate::exports::Right;
use crate::opened::{Capture, Opened};
use crate::server::Server;
use crate::window::map;

impl Server<'_> {
    fn begin_capture(
        &mut self,
        cookie: u64,
        window: Cap,
        (snap, ring): (u16, u32),
    ) -> Result<CapArg, Refusal> {
        let (Right::Trace(most), _) = self.right(cookie)? else {
            return Err(Refusal::WrongKind);
        };
        if snap > most && !sabotage::sabotage!(NET_TRACE_PAYLOAD) {
            return Err(Refusal::NotGranted);
        }
        if self.stack.is_traced() {
            return Err(Refusal::Busy);
        }
        let trace = Trace::new(ring as usize, snap.into()).ok_or(Refusal::OutOfRange)?;
        let window = map(window)?;
        if window.len() < LEAST {
            return Err(Refusal::OutOfRange);
        }
        let cookie = self.next_cookie();
        let interface = packet_capture::INTERFACE_ID;
        let capture = Capture {
            window: Rc::clone(&window),
        };
        let facet = self.facet(cookie, interface, Opened::Capture(capture))?;
        self.stack.set_trace(Some(trace));
        // Whoever reads the log learns that somebody looks.
        fact!("net.traced", snap = snap, ring = ring);
        Ok(facet)
    }

    /// Nobody looks any more.
    pub(crate) fn end_capture(&mut self) {
        self.stack.set_trace(None);
        fact!("net.untraced");
    }

    fn read_capture(&self, cookie: u64, from: u64) -> Result<packet_capture::ReadReply, Refusal> {
        let Some(Opened::Capture(capture)) = self.opened.get(&cookie) else {
            return Err(Refusal::Stale);
        };
        let room = usize::try_from(capture.window.len()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; room.min(MOST)];
        let taken = self.stack.read_trace(from, &mut bytes);
        let records = bytes.get(..taken.bytes).unwrap_or_default();
        capture.window.write(0, records)?;
        Ok(packet_capture::ReadReply {
            bytes: taken.bytes as u32,
            next: taken.next,
            dropped: taken.dropped,
        })
    }
}

/// Bytes of a window: any record fits.
const LEAST: u64 = 2048;
/// Bytes that one call gives, at most.
const MOST: usize = 64 * 1024;

impl<'c> packet_trace::Server<Call<'c>> for Server<'_> {
    fn info(&mut self, reply: Reply<Call<'c>, packet_trace::call::Info>) -> Answered {
        let right = self.right(reply.cookie());
        reply.answer(match right {
            Ok((Right::Trace(snap_bytes), _)) => Ok(packet_trace::InfoReply { snap_bytes }),
            _ => Err(Refusal::Stale),
        })
    }

    fn open(
        &mut self,
        reply: Reply<Call<'c>, packet_trace::call::Open>,
        window: Cap,
        snap_bytes: u16,
        ring_bytes: u32,
    ) -> Answered {
        let opened = self.begin_capture(reply.cookie(), window, (snap_bytes, ring_bytes));
        reply.answer(opened.map(|capture| packet_trace::OpenReply { capture }))
    }
}

impl<'c> packet_capture::Server<Call<'c>> for Server<'_> {
    fn head(&mut self, reply: Reply<Call<'c>, packet_capture::call::Head>) -> Answered {
        reply.send(packet_capture::HeadReply { head: &FILE_HEAD })
    }

    fn read(&mut self, reply: Reply<Call<'c>, packet_capture::call::Read>, from: u64) -> Answered {
        let read = self.read_capture(reply.cookie(), from);
        reply.answer(read)
    }
}
