//! Transmission of DQO queues: descriptors to frames, and completions.

use gve_format::{PAGE_BYTES, dqo};
use vfio_user::Bus;

use crate::device::Gve;
use crate::fault::Fault;
use crate::offload::{self, Cut};
use crate::port::Port;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// What is known of a frame before its end.
#[derive(Default)]
struct Frame {
    bytes: Vec<u8>,
    pieces: usize,
    tag: Option<u16>,
    checksum: bool,
    report: bool,
    /// Bytes of payload, of a segment's payload, and of headers.
    cut: Option<(u32, u16, u8)>,
    has_context: bool,
}

impl<P: Port, F: FnMut(String)> Gve<P, F> {
    /// The doorbell of a transmit queue: there are descriptors up to before index `tail`.
    pub(crate) fn transmit_dqo(&mut self, bus: &mut dyn Bus, queue: u32, tail: u32) {
        let at = self.counts.doorbells;
        self.counts.doorbells += 1;
        let Some(it) = self.state.tx.get(&queue).filter(|it| !it.broken) else {
            return;
        };
        let block = it.create.block;
        if tail >= it.create.entries.into() {
            let detail = format_args!("queue={queue} tail={tail}");
            self.judge.violation("tx-doorbell", detail);
            self.break_tx(queue);
            return;
        }
        while self.state.tx.get(&queue).is_some_and(|it| it.done != tail) {
            if let Err(rule) = self.send_dqo(bus, queue, tail) {
                if !rule.is_empty() {
                    self.judge.violation(rule, format_args!("queue={queue}"));
                }
                self.break_tx(queue);
                return;
            }
        }
        if self.shape.has(Fault::Spurious(at)) {
            self.judge.fault("spurious", format_args!("doorbell={at}"));
            self.complete(bus, queue, dqo::TxEvent::Packet(0x7fff));
        }
        self.event(bus, block);
    }

    fn next_dqo(
        &mut self,
        bus: &mut dyn Bus,
        queue: u32,
        tail: u32,
    ) -> Result<dqo::Tx, &'static str> {
        let it = self.state.tx.get_mut(&queue).ok_or("")?;
        if it.done == tail {
            return Err("tx-unfinished");
        }
        let at = it.create.ring_at + u64::from(it.done) * dqo::TX_BYTES as u64;
        it.done = (it.done + 1) % u32::from(it.create.entries);
        it.unreported = it.unreported.saturating_add(1);
        let mut bytes = [0; dqo::TX_BYTES];
        let read = self.dma(bus).read("tx-descriptor", at, &mut bytes);
        read.ok_or("")?;
        dqo::Tx::read(&bytes).map_err(|_| "tx-descriptor")
    }

    fn send_dqo(&mut self, bus: &mut dyn Bus, queue: u32, tail: u32) -> Result<(), &'static str> {
        let mut frame = Frame::default();
        while !self.further_dqo(bus, queue, tail, &mut frame)? {}
        let tag = frame.tag.ok_or("")?;
        let (report, sent) = (frame.report, frame.finish(self.shape.mtu)?);
        for frame in &sent {
            self.port.send(frame);
            self.counts.sent += 1;
        }
        if report {
            let it = self.state.tx.get_mut(&queue).ok_or("")?;
            // The first may come at once: nothing was reported before it.
            if it.has_reported && it.unreported < dqo::MIN_REPORT_INTERVAL {
                return Err("tx-report");
            }
            (it.unreported, it.has_reported) = (0, true);
            let head = it.done as u16;
            self.complete(bus, queue, dqo::TxEvent::Descriptors(head));
        }
        self.complete(bus, queue, dqo::TxEvent::Packet(tag));
        Ok(())
    }

    /// Takes the next descriptor of a frame; whether it was the last.
    fn further_dqo(
        &mut self,
        bus: &mut dyn Bus,
        queue: u32,
        tail: u32,
        frame: &mut Frame,
    ) -> Result<bool, &'static str> {
        match self.next_dqo(bus, queue, tail)? {
            dqo::Tx::TsoContext {
                payload_bytes,
                segment_bytes,
                header_bytes,
            } => {
                if frame.pieces > 0 || frame.has_context || frame.cut.is_some() {
                    return Err("tx-order");
                }
                frame.cut = Some((payload_bytes, segment_bytes, header_bytes));
                Ok(false)
            }
            dqo::Tx::GeneralContext if frame.pieces > 0 || frame.has_context => Err("tx-order"),
            dqo::Tx::GeneralContext => {
                frame.has_context = true;
                Ok(false)
            }
            dqo::Tx::Packet {
                at,
                bytes,
                tag,
                end,
                checksum,
                report,
            } => {
                frame.pieces += 1;
                if frame.cut.is_none() && frame.pieces > dqo::MAX_PIECES {
                    return Err("tx-pieces");
                }
                if *frame.tag.get_or_insert(tag) != tag {
                    return Err("tx-tag");
                }
                if report && !end {
                    return Err("tx-report");
                }
                frame.checksum |= checksum;
                frame.report = report;
                self.gather_dqo(bus, queue, at, bytes, &mut frame.bytes)?;
                Ok(end)
            }
        }
    }

    fn gather_dqo(
        &mut self,
        bus: &mut dyn Bus,
        queue: u32,
        at: u64,
        bytes: u16,
        frame: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let list = self.state.tx.get(&queue).map(|it| it.create.list);
        if bytes == 0 || !self.may_name(list.ok_or("")?, at, bytes) {
            return Err("tx-address");
        }
        let from = frame.len();
        frame.resize(from + usize::from(bytes), 0);
        let read = self.dma(bus).read("tx-data", at, &mut frame[from..]);
        read.ok_or("")
    }

    /// Whether a queue with that list may name this: anything where there are no lists, else what lies in one of its pages.
    pub(crate) fn may_name(&self, list: u32, at: u64, bytes: u16) -> bool {
        let page = u64::from(PAGE_BYTES);
        let pages = match self.shape.format.has_lists() {
            true => self.state.lists.get(&list),
            false => return true,
        };
        let inside = at % page + u64::from(bytes) <= page;
        inside && pages.is_some_and(|pages| pages.contains(&(at / page * page)))
    }

    /// Writes a completion, its generation last.
    fn complete(&mut self, bus: &mut dyn Bus, queue: u32, event: dqo::TxEvent) {
        let Some(it) = self.state.tx.get_mut(&queue) else {
            return;
        };
        let slot = it.completed;
        let completion = dqo::TxCompletion {
            queue: queue as u16,
            event,
            generation: it.generation,
        };
        it.completed = (slot + 1) % u32::from(it.create.completions);
        it.generation ^= it.completed == 0;
        let at = it.create.completions_at + u64::from(slot) * dqo::TX_COMPLETION_BYTES as u64;
        let bytes = completion.bytes();
        let (head, rest) = bytes.split_at(2);
        let mut dma = self.dma(bus);
        dma.write("tx-completion", at + 2, rest);
        dma.write("tx-completion", at, head);
    }
}

/// Where layer 4 begins and its protocol, and whether layer 3 is IPv6; `None` where that is not to be seen.
pub fn layers(frame: &[u8]) -> Option<(usize, u8, bool)> {
    match *frame.get(12..14)? {
        [8, 0] => {
            let header = usize::from(frame.get(ETHERNET)? & 0xf) * 4;
            Some((ETHERNET + header, *frame.get(ETHERNET + 9)?, false))
        }
        [0x86, 0xdd] => Some((ETHERNET + 40, *frame.get(ETHERNET + 6)?, true)),
        _ => None,
    }
}

impl Frame {
    fn finish(mut self, mtu: u16) -> Result<Vec<Vec<u8>>, &'static str> {
        let most = usize::from(mtu) + ETHERNET;
        if let Some((payload, segment, header)) = self.cut {
            let (layer4, _, ipv6) = layers(&self.bytes).ok_or("tx-headers")?;
            let cut = Cut {
                layer3: ETHERNET,
                layer4,
                ipv6,
                segment: segment.into(),
            };
            let headers = offload::headers(&self.bytes, &cut).ok_or("tx-headers")?;
            let whole = self.bytes.len() == headers + payload as usize;
            let fits = headers + cut.segment <= most && segment >= dqo::MIN_SEGMENT_BYTES;
            if !whole || !fits || headers != usize::from(header) || !self.checksum {
                return Err("tx-segment");
            }
            return offload::segments(&self.bytes, &cut).ok_or("tx-segment");
        }
        if self.bytes.len() < ETHERNET {
            return Err("tx-short");
        }
        if self.bytes.len() > most {
            return Err("tx-long");
        }
        if self.checksum {
            let (start, protocol, _) = layers(&self.bytes).ok_or("tx-checksum")?;
            let field = match protocol {
                6 => 16,
                17 => 6,
                _ => return Err("tx-checksum"),
            };
            offload::checksum(&mut self.bytes, start, field).ok_or("tx-checksum")?;
        }
        Ok(vec![self.bytes])
    }
}
