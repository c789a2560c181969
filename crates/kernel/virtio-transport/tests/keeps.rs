//! A class that keeps a page of its own: it takes it when it learns of the device, and looks at it when a command ends.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod model;

use driver_core::{
    Broker, BrokerIo, Direction, DmaPages, Probed, Refusal, Segment, release_to_device,
};
use model::{Harness, KINDS, Piece, TO, usual};
use virtio_transport::{Class, Config, Device, Finished, Plan, total};

/// What the class writes into its page.
const KEPT: u64 = 40;

#[derive(Default)]
struct Keeper {
    page: Option<DmaPages>,
}

impl Class for Keeper {
    const QUEUES: u16 = 1;
    const FEATURES: u64 = 0;
    const ALWAYS: u64 = 0;
    const CONFIG_BYTES: u64 = 0;

    fn learn(&mut self, config: &mut Config<'_>, _: u64) -> Result<(), Refusal> {
        if self.page.is_none() {
            self.page = Some(config.io().pages(4096)?);
        }
        let page = self.page.as_ref().ok_or(Refusal::NoMemory)?;
        page.store64(8, KEPT)?;
        release_to_device();
        Ok(())
    }

    fn plan(&self, _: u16, _: &[u8], segments: &[Segment<'_>]) -> Result<Plan, Refusal> {
        total(segments, Direction::ToDevice)?;
        Ok(Plan::BARE)
    }

    fn finish(
        &mut self,
        io: &mut dyn BrokerIo,
        _: u16,
        _: Finished,
    ) -> Result<(u16, u32), Refusal> {
        let page = self.page.as_ref().ok_or(Refusal::Corrupt)?;
        Ok((page.load64(8)? as u16, io.now_ns() as u32))
    }
}

fn make(probed: &Probed) -> Result<Box<dyn Broker>, Refusal> {
    Ok(Box::new(Device::new(Keeper::default(), probed)?))
}

#[test]
fn what_a_class_learns_it_keeps_and_finds_when_a_command_ends() {
    for kind in KINDS {
        let mut one = Harness::new(kind, &[8], make);
        let mut runs = Vec::new();
        for _ in 0..2 {
            one.up(usual());
            one.open(0, 8).unwrap();
            runs.push(one.io.runs);
            let buffer = one.buffer(1);
            one.submit(0, 1, &[], &[Piece(&buffer, 0, 64, TO)]).unwrap();
            one.ring(0);
            let (head, _) = one.state().take(0).unwrap();
            one.state().post(0, head.into(), 0);
            let done = one.next(0).unwrap().unwrap();
            let now = one.io.now_ns as u32;
            assert_eq!((done.status, done.result), (KEPT as u16, now));
        }
        assert_eq!(runs[0], runs[1], "pages are kept over a reset");
    }
}
