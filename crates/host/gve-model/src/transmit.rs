//! Transmission: descriptors to frames.

use gve_format::gqi::{self, Checksum};
use gve_format::pages;
use vfio_user::Bus;

use crate::device::{Direction, Gve};
use crate::fault::Fault;
use crate::offload::{self, Cut};
use crate::port::Port;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// A frame as it is put together.
struct Frame {
    bytes: Vec<u8>,
    first: usize,
    segmented: bool,
    checksum: Option<Checksum>,
    cut: Option<Cut>,
}

impl<P: Port, F: FnMut(String)> Gve<P, F> {
    /// The doorbell of a transmit queue: there are descriptors up to before `head`.
    pub(crate) fn transmit(&mut self, bus: &mut dyn Bus, queue: u32, head: u32) {
        let at = self.counts.doorbells;
        self.counts.doorbells += 1;
        let Some(it) = self.state.tx.get(&queue).filter(|it| !it.broken) else {
            return;
        };
        let ahead = head.wrapping_sub(it.done);
        let (block, entries) = (it.create.block, it.create.entries);
        if ahead > entries.into() {
            let detail = format_args!("queue={queue} head={head} done={}", it.done);
            self.judge.violation("tx-doorbell", detail);
            self.break_tx(queue);
            return;
        }
        while self.state.tx.get(&queue).is_some_and(|it| it.done != head) {
            if let Err(rule) = self.send_one(bus, queue, head) {
                if !rule.is_empty() {
                    self.judge.violation(rule, format_args!("queue={queue}"));
                }
                self.break_tx(queue);
                return;
            }
        }
        if self.shape.has(Fault::Spurious(at)) {
            self.judge.fault("spurious", format_args!("doorbell={at}"));
            // However much the driver gives before it looks, it has never given so many.
            if let Some(it) = self.state.tx.get_mut(&queue) {
                it.ahead = entries.into();
            }
        }
        self.count(bus, queue, head);
        self.event(bus, block);
    }

    pub(crate) fn break_tx(&mut self, queue: u32) {
        if let Some(it) = self.state.tx.get_mut(&queue) {
            it.broken = true;
        }
    }

    /// Writes the event counter of a queue of which `done` descriptors are done.
    fn count(&mut self, bus: &mut dyn Bus, queue: u32, done: u32) {
        let (_, counter) = self.place(Direction::Transmit, queue);
        let ahead = self.state.tx.get(&queue).map_or(0, |it| it.ahead);
        let value = done.wrapping_add(ahead);
        let Some(it) = &self.state.configured else {
            return;
        };
        let at = it.resources.counters_at + u64::from(counter) * 4;
        self.dma(bus).write("counter", at, &value.to_be_bytes());
    }

    /// The next descriptor of a queue.
    fn next(&mut self, bus: &mut dyn Bus, queue: u32, head: u32) -> Result<gqi::Tx, &'static str> {
        let it = self.state.tx.get_mut(&queue).ok_or("")?;
        if it.done == head {
            return Err("tx-unfinished");
        }
        let slot = it.done % u32::from(it.create.entries);
        let at = it.create.ring_at + u64::from(slot) * gqi::TX_BYTES as u64;
        it.done = it.done.wrapping_add(1);
        let mut bytes = [0; gqi::TX_BYTES];
        self.dma(bus)
            .read("tx-descriptor", at, &mut bytes)
            .ok_or("")?;
        gqi::Tx::read(&bytes).map_err(|_| "tx-descriptor")
    }

    fn send_one(&mut self, bus: &mut dyn Bus, queue: u32, head: u32) -> Result<(), &'static str> {
        let first = self.next(bus, queue, head)?;
        let gqi::Tx::Packet {
            segmented,
            checksum,
            descriptors,
            frame_bytes,
            bytes,
            at,
        } = first
        else {
            return Err("tx-order");
        };
        if descriptors == 0 {
            return Err("tx-count");
        }
        let mut frame = Frame {
            bytes: Vec::new(),
            first: bytes.into(),
            segmented,
            checksum,
            cut: None,
        };
        self.gather(bus, queue, at, bytes, &mut frame.bytes)?;
        for index in 1..descriptors {
            let next = self.next(bus, queue, head)?;
            self.further(bus, queue, next, index, &mut frame)?;
        }
        if frame.bytes.len() != usize::from(frame_bytes) {
            return Err("tx-length");
        }
        let sent = frame.finish(self.shape.mtu)?;
        for frame in &sent {
            self.port.send(frame);
            self.counts.sent += 1;
        }
        Ok(())
    }

    fn further(
        &mut self,
        bus: &mut dyn Bus,
        queue: u32,
        next: gqi::Tx,
        index: u8,
        frame: &mut Frame,
    ) -> Result<(), &'static str> {
        match next {
            gqi::Tx::Packet { .. } => Err("tx-order"),
            gqi::Tx::Metadata { .. } if index == 1 => Ok(()),
            gqi::Tx::Metadata { .. } => Err("tx-order"),
            gqi::Tx::Segment {
                ipv6,
                header,
                segment_bytes,
                bytes,
                at,
            } => {
                if ipv6 && !frame.segmented {
                    return Err("tx-segment");
                }
                let sum = frame.checksum;
                frame.cut = sum.filter(|_| frame.segmented).map(|sum| Cut {
                    layer3: usize::from(header) * 2,
                    layer4: usize::from(sum.header) * 2,
                    ipv6,
                    segment: segment_bytes.into(),
                });
                self.gather(bus, queue, at, bytes, &mut frame.bytes)
            }
        }
    }

    /// Reads a piece out of the queue's page list.
    fn gather(
        &mut self,
        bus: &mut dyn Bus,
        queue: u32,
        offset: u64,
        bytes: u16,
        frame: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let list = self
            .state
            .tx
            .get(&queue)
            .map(|it| it.create.list)
            .ok_or("")?;
        let list = self.state.lists.get(&list).ok_or("")?;
        let pieces = pages::pieces(list.len() as u32, offset, bytes.into());
        let places: Vec<(u64, usize)> = pieces
            .ok_or("tx-offset")?
            .filter_map(|piece| {
                let page = list.get(piece.page as usize)?;
                Some((page + u64::from(piece.from), piece.bytes as usize))
            })
            .collect();
        for (at, bytes) in places {
            let from = frame.len();
            frame.resize(from + bytes, 0);
            self.dma(bus)
                .read("tx-data", at, &mut frame[from..])
                .ok_or("")?;
        }
        Ok(())
    }
}

impl Frame {
    /// What goes to the wire.
    fn finish(mut self, mtu: u16) -> Result<Vec<Vec<u8>>, &'static str> {
        let most = usize::from(mtu) + ETHERNET;
        if self.bytes.len() < ETHERNET {
            return Err("tx-short");
        }
        if self.segmented {
            let cut = self.cut.filter(|cut| cut.segment > 0).ok_or("tx-segment")?;
            let headers = offload::headers(&self.bytes, &cut).ok_or("tx-headers")?;
            // The device copies the first piece before each segment.
            if self.first != headers || headers + cut.segment > most {
                return Err("tx-segment");
            }
            return offload::segments(&self.bytes, &cut).ok_or("tx-segment");
        }
        if self.bytes.len() > most {
            return Err("tx-long");
        }
        if let Some(sum) = self.checksum {
            let (start, field) = (usize::from(sum.header) * 2, usize::from(sum.field) * 2);
            // The checksum lies in the first piece.
            if start < ETHERNET || start + field + 2 > self.first {
                return Err("tx-checksum");
            }
            offload::checksum(&mut self.bytes, start, field).ok_or("tx-checksum")?;
        }
        Ok(vec![self.bytes])
    }
}
