//! Reception of DQO queues: buffers, frames and completions.

use gve_format::{PTYPE_MAP_BYTES, dqo};
use vfio_user::Bus;

use crate::device::Gve;
use crate::dqo_transmit::layers;
use crate::fault::Fault;
use crate::port::Port;

/// Packet types of this device: layer 3 and 4 as the map has them, from type 1 on. Type 0 is unknown.
const TYPES: [(u8, u8); 6] = [(2, 2), (2, 3), (2, 4), (3, 2), (3, 3), (3, 4)];

/// The map of packet types.
pub fn ptype_map() -> Vec<u8> {
    let mut map = vec![0; PTYPE_MAP_BYTES as usize];
    for (kind, (layer3, layer4)) in TYPES.iter().enumerate() {
        map[(kind + 1) * 2] = *layer3;
        map[(kind + 1) * 2 + 1] = *layer4;
    }
    map
}

fn kind(frame: &[u8]) -> u16 {
    let Some((_, protocol, ipv6)) = layers(frame) else {
        return 0;
    };
    let place = match (protocol, ipv6) {
        (6, _) => 1,
        (17, _) => 2,
        (1, false) | (58, true) => 3,
        _ => return 0,
    };
    place + if ipv6 { 3 } else { 0 }
}

impl<P: Port, F: FnMut(String)> Gve<P, F> {
    pub(crate) fn take_buffers_dqo(
        &mut self,
        bus: &mut dyn Bus,
        queue: u32,
        tail: u32,
    ) -> Result<(), &'static str> {
        let Some(it) = self.state.rx.get(&queue).filter(|it| !it.broken) else {
            return Ok(());
        };
        let (create, mut at) = (it.create, it.given);
        if tail >= create.buffers.into() {
            return Err("rx-doorbell");
        }
        while at != tail {
            let place = create.data_at + u64::from(at) * dqo::RX_BYTES as u64;
            let mut bytes = [0; dqo::RX_BYTES];
            let read = self.dma(bus).read("rx-descriptor", place, &mut bytes);
            read.ok_or("")?;
            let buffer = dqo::Rx::read(&bytes).map_err(|_| "rx-descriptor")?;
            if buffer.headers_at != 0 || !self.may_name(create.list, buffer.at, create.buffer_bytes)
            {
                return Err("rx-address");
            }
            let it = self.state.rx.get_mut(&queue).ok_or("")?;
            if it
                .posted
                .iter()
                .any(|(id, at)| *id == buffer.buffer || *at == buffer.at)
            {
                return Err("rx-buffer-twice");
            }
            if it.posted.len() + 1 >= usize::from(create.buffers) {
                return Err("rx-doorbell");
            }
            it.posted.push_back((buffer.buffer, buffer.at));
            at = (at + 1) % u32::from(create.buffers);
            it.given = at;
        }
        Ok(())
    }

    pub(crate) fn store_dqo(
        &mut self,
        bus: &mut dyn Bus,
        queue: u32,
        frame: &[u8],
        hash: u32,
    ) -> Option<()> {
        let it = self.state.rx.get_mut(&queue)?;
        // Before anything is taken: a completion that is skipped is one that the driver waits for.
        if frame.len() > it.create.buffer_bytes.into() {
            return None;
        }
        let (mut buffer, at) = it.posted.pop_front()?;
        let (slot, generation, create) = (it.done, it.generation, it.create);
        it.done = (slot + 1) % u32::from(create.entries);
        it.generation ^= it.done == 0;
        self.dma(bus).write("rx-data", at, frame)?;
        let number = self.counts.received;
        let detail = format_args!("frame={number}");
        let mut bytes = frame.len() as u16;
        if self.shape.has(Fault::Short(number)) {
            self.judge.fault("short", detail);
            bytes = 0;
        } else if self.shape.has(Fault::Long(number)) {
            self.judge.fault("long", detail);
            bytes = create.buffer_bytes + 1;
        } else if self.shape.has(Fault::Sequence(number)) {
            self.judge.fault("sequence", detail);
            buffer = 0xffff;
        }
        let completion = dqo::RxCompletion {
            buffer,
            bytes,
            kind: kind(frame),
            hash,
            generation,
            end: true,
            error: false,
            split: false,
        };
        let at = create.ring_at + u64::from(slot) * dqo::RX_COMPLETION_BYTES as u64;
        let written = completion.bytes();
        let (start, rest) = written.split_at(4);
        let (length, rest) = rest.split_at(2);
        let mut dma = self.dma(bus);
        dma.write("rx-completion", at, start)?;
        dma.write("rx-completion", at + 6, rest)?;
        // The generation is what the driver looks at: it comes last.
        dma.write("rx-completion", at + 4, length)?;
        self.event(bus, create.block);
        Some(())
    }
}
