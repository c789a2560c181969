//! A class with everything: a header that the device reads or writes, segments of one direction, a status byte.
#![allow(dead_code, reason = "no test uses all of it")]

use driver_core::{Broker, BrokerIo, Direction, Probed, Refusal, Segment, Transfer};
use virtio_transport::{
    Class, Config, Device, Finished, HEADER_BYTES, Header, Plan, total, without_blocks,
};

/// Two queues: 0 the device writes, 1 it reads. The template's bytes are the header; template length 0 means none.
pub struct Everything {
    pub word: u64,
}

pub const FEATURES: u64 = 0b1110;

impl Class for Everything {
    const QUEUES: u16 = 2;
    const FEATURES: u64 = FEATURES;
    const ALWAYS: u64 = 0b1000;
    const CONFIG_BYTES: u64 = 12;

    fn learn(&mut self, config: &mut Config<'_>, _: u64) -> Result<(), Refusal> {
        self.word = config.read64(0)?;
        Ok(())
    }

    fn plan(&self, queue: u16, template: &[u8], segments: &[Segment<'_>]) -> Result<Plan, Refusal> {
        let direction = match queue {
            0 => Direction::FromDevice,
            _ => Direction::ToDevice,
        };
        total(segments, direction)?;
        let mut bytes = [0; HEADER_BYTES];
        let place = bytes[..16].get_mut(..template.len());
        place
            .ok_or(Refusal::TemplateRefused)?
            .copy_from_slice(template);
        let header = Header {
            bytes,
            length: template.len() as u8,
            device_writes: queue == 0,
        };
        Ok(Plan {
            header: (!template.is_empty()).then_some(header),
            status: template.len() == 16,
            ..Plan::BARE
        })
    }

    fn form(&self, queue: u16, transfer: &Transfer<'_>) -> Result<Plan, Refusal> {
        self.plan(queue, &[], without_blocks(transfer)?)
    }

    fn finish(
        &mut self,
        _: &mut dyn BrokerIo,
        _: u16,
        finished: Finished,
    ) -> Result<(u16, u32), Refusal> {
        if finished.status == 0xff {
            return Err(Refusal::Corrupt);
        }
        Ok((finished.status.into(), finished.written))
    }
}

pub fn make(probed: &Probed) -> Result<Box<dyn Broker>, Refusal> {
    Ok(Box::new(Device::new(Everything { word: 0 }, probed)?))
}
