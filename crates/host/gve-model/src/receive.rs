//! Reception: frames to buffers.

use gve_format::gqi::{self, rx_flag};
use gve_format::pages;
use vfio_user::Bus;

use crate::device::Gve;
use crate::fault::Fault;
use crate::offload;
use crate::port::Port;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

impl<P: Port, F: FnMut(String)> Gve<P, F> {
    /// The doorbell of a receive queue: buffers were given up to before `given`.
    pub(crate) fn post(&mut self, bus: &mut dyn Bus, queue: u32, given: u32) {
        let taken = match self.shape.format.is_gqi() {
            true => self.take_buffers(bus, queue, given),
            false => self.take_buffers_dqo(bus, queue, given),
        };
        if let Err(rule) = taken {
            if !rule.is_empty() {
                self.judge
                    .violation(rule, format_args!("queue={queue} given={given}"));
            }
            if let Some(it) = self.state.rx.get_mut(&queue) {
                it.broken = true;
            }
        }
    }

    fn take_buffers(
        &mut self,
        bus: &mut dyn Bus,
        queue: u32,
        given: u32,
    ) -> Result<(), &'static str> {
        let Some(it) = self.state.rx.get(&queue).filter(|it| !it.broken) else {
            return Ok(());
        };
        let (create, mut at) = (it.create, it.given);
        let more = given.wrapping_sub(at);
        if more > u32::from(create.entries) - it.posted.len() as u32 {
            return Err("rx-doorbell");
        }
        let list = self.state.lists.get(&create.list).ok_or("")?;
        let room = list.len() as u64 * u64::from(gve_format::PAGE_BYTES);
        for _ in 0..more {
            let slot = at % u32::from(create.entries);
            let place = create.data_at + u64::from(slot) * gqi::SLOT_BYTES as u64;
            let mut bytes = [0; gqi::SLOT_BYTES];
            self.dma(bus).read("rx-slot", place, &mut bytes).ok_or("")?;
            let offset = u64::from_be_bytes(bytes);
            let length = u64::from(create.buffer_bytes);
            if !offset.is_multiple_of(length) || offset >= room {
                return Err("rx-offset");
            }
            let it = self.state.rx.get_mut(&queue).ok_or("")?;
            if it.posted.contains(&(0, offset)) {
                return Err("rx-buffer-twice");
            }
            it.posted.push_back((0, offset));
            at = at.wrapping_add(1);
            it.given = at;
        }
        Ok(())
    }

    /// Whether a frame would find a buffer, or nobody wants one.
    pub(crate) fn has_room(&self) -> bool {
        let mut queues = self.state.rx.values();
        self.state.rx.is_empty() || queues.any(|it| !it.broken && !it.posted.is_empty())
    }

    /// A frame came: into the next buffer of its flow's queue.
    pub(crate) fn receive(&mut self, bus: &mut dyn Bus, frame: &[u8]) {
        let ready = self.state.rx.iter();
        let ready = ready.filter(|(_, it)| !it.broken && !it.posted.is_empty());
        let ready: Vec<u32> = ready.map(|(queue, _)| *queue).collect();
        let hash = flow_hash(frame);
        let queue = ready.get(hash as usize % ready.len().max(1)).copied();
        let most = usize::from(self.shape.mtu) + ETHERNET;
        let stored = match queue {
            Some(queue) if (ETHERNET..=most).contains(&frame.len()) => {
                match self.shape.format.is_gqi() {
                    true => self.store(bus, queue, frame, hash),
                    false => self.store_dqo(bus, queue, frame, hash),
                }
            }
            _ => None,
        };
        match stored {
            Some(()) => self.counts.received += 1,
            None => self.counts.dropped += 1,
        }
    }

    fn store(&mut self, bus: &mut dyn Bus, queue: u32, frame: &[u8], hash: u32) -> Option<()> {
        let it = self.state.rx.get_mut(&queue)?;
        if frame.len() + usize::from(gqi::RX_PAD) > it.create.buffer_bytes.into() {
            return None;
        }
        let (_, offset) = it.posted.pop_front()?;
        let slot = it.done % u32::from(it.create.entries);
        it.done = it.done.wrapping_add(1);
        let sequence = it.sequence;
        it.sequence = gqi::next_sequence(sequence);
        let create = it.create;
        let padded = [&[0; gqi::RX_PAD as usize], frame].concat();
        let list = self.state.lists.get(&create.list)?;
        let pieces = pages::pieces(list.len() as u32, offset, padded.len() as u32)?;
        let places: Vec<(u64, usize)> = pieces
            .filter_map(|piece| {
                let page = list.get(piece.page as usize)?;
                Some((page + u64::from(piece.from), piece.bytes as usize))
            })
            .collect();
        let mut rest = &padded[..];
        for (at, bytes) in places {
            let (now, later) = rest.split_at_checked(bytes)?;
            self.dma(bus).write("rx-data", at, now)?;
            rest = later;
        }
        let (bytes, sequence) = self.distort(padded.len() as u16, create.buffer_bytes, sequence);
        let descriptor = gqi::Rx {
            hash,
            checksum: offload::sum(frame.get(ETHERNET..)?, 0),
            bytes,
            flags: flags(frame),
            sequence,
            ..gqi::Rx::default()
        };
        let at = create.ring_at + u64::from(slot) * gqi::RX_BYTES as u64;
        let written = descriptor.bytes();
        let (body, last) = written.split_at(gqi::RX_BYTES - 2);
        let mut dma = self.dma(bus);
        dma.write("rx-descriptor", at, body)?;
        // The sequence number is what the driver looks at: it comes last.
        dma.write("rx-descriptor", at + body.len() as u64, last)?;
        self.event(bus, create.block);
        Some(())
    }

    /// Length and sequence number as they are, or as a fault has them.
    fn distort(&mut self, bytes: u16, room: u16, sequence: u8) -> (u16, u8) {
        let at = self.counts.received;
        let detail = format_args!("frame={at}");
        if self.shape.has(Fault::Short(at)) {
            self.judge.fault("short", detail);
            return (gqi::RX_PAD - 1, sequence);
        }
        if self.shape.has(Fault::Long(at)) {
            self.judge.fault("long", detail);
            return (room + 1, sequence);
        }
        if self.shape.has(Fault::Sequence(at)) {
            self.judge.fault("sequence", detail);
            return (bytes, gqi::next_sequence(sequence));
        }
        (bytes, sequence)
    }
}

fn flags(frame: &[u8]) -> u16 {
    let kind = frame.get(12..14).unwrap_or_default();
    let (layer3, protocol) = match kind {
        [8, 0] => (rx_flag::IPV4, frame.get(23)),
        [0x86, 0xdd] => (rx_flag::IPV6, frame.get(20)),
        _ => return 0,
    };
    layer3
        | match protocol {
            Some(6) => rx_flag::TCP,
            Some(17) => rx_flag::UDP,
            _ => 0,
        }
}

/// The same for the frames of a flow: FNV-1a over addresses and ports.
fn flow_hash(frame: &[u8]) -> u32 {
    let places = match frame.get(12..14).unwrap_or_default() {
        [8, 0] => 26..38,
        [0x86, 0xdd] => 22..58,
        _ => return 0,
    };
    let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let bytes = frame.get(places).unwrap_or_default();
    bytes.iter().fold(0x811c_9dc5, mix)
}
