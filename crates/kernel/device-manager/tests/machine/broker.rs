//! A broker that does what its test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use dma_ledger::ResetProof;
use driver_core::{
    Broker, BrokerIo, CommandSlot, Completed, Configured, DmaPages, DriverEntry, Mappable,
    PciMatch, Poll, Probed, QueueSpec, Refusal, Segment, Step, Window,
};

/// What the device does, and what the broker was asked to do.
pub struct State {
    /// Looks that a reset, an enabling and an opening take; `None` never ends.
    pub reset_looks: Option<u32>,
    pub enable: Result<u32, Refusal>,
    pub open_looks: Option<u32>,
    /// Looks until the device has let go of one queue; `None` never ends, and the refusal is of a broker that cannot.
    pub queue_reset: Result<Option<u32>, Refusal>,
    pub refuse_submit: Option<Refusal>,
    pub completions: VecDeque<Result<Completed, Refusal>>,
    /// Slots written and not rung yet, slots rung.
    pub written: Vec<u16>,
    pub rung: Vec<u16>,
    pub rings: u32,
    pub taken: u32,
    pub brokers: u32,
    /// The I/O BAR that the broker says it needs.
    pub port_bar: Option<u8>,
    looks: u32,
}

pub type Script = Arc<Mutex<State>>;

std::thread_local! {
    static SCRIPT: Script = Arc::new(Mutex::new(State {
        reset_looks: Some(2),
        enable: Ok(2),
        open_looks: Some(1),
        queue_reset: Err(Refusal::NotSupported),
        refuse_submit: None,
        completions: VecDeque::new(),
        written: Vec::new(),
        rung: Vec::new(),
        rings: 0,
        taken: 0,
        brokers: 0,
        port_bar: None,
        looks: 0,
    }));
}

/// The script of this test (each runs in a thread of its own).
pub fn script() -> Script {
    SCRIPT.with(Arc::clone)
}

struct Scripted {
    script: Script,
    queues: Option<DmaPages>,
}

pub static ENTRY: DriverEntry = DriverEntry {
    name: "fake",
    matches: &[PciMatch::id(0x1234, 0x0001)],
    probe,
};

/// Takes the class, and loses against the entry that names the device.
pub static OTHER: DriverEntry = DriverEntry {
    name: "class",
    matches: &[PciMatch::class(1, 8)],
    probe: |_| Err(Refusal::NotSupported),
};

fn probe(probed: &Probed) -> Result<Box<dyn Broker>, Refusal> {
    assert_eq!(probed.bar_bytes, [0x4000, 0, 0, 0, 0, 0]);
    assert!(matches!(probed.msix_vectors, 0 | 4));
    let script = script();
    script.lock().unwrap().brokers += 1;
    Ok(Box::new(Scripted {
        script,
        queues: None,
    }))
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.script.lock().unwrap().brokers -= 1;
    }
}

fn look(state: &mut State, needed: Option<u32>, step: Step) -> Poll {
    state.looks += 1;
    match needed {
        Some(needed) if state.looks > needed => Poll::Done(step),
        _ => Poll::Pending {
            after_ns: 2_000_000,
        },
    }
}

impl Broker for Scripted {
    fn windows(&self) -> &'static [Window] {
        &[
            Window {
                bar: 0,
                offset: 0x10,
                width: 4,
                mask: 0xff,
                allowed: |value| value < 0x80,
            },
            // A broker's mistake: a register of the MSI-X table.
            Window {
                bar: 0,
                offset: 0x2000,
                width: 4,
                mask: u32::MAX as u64,
                allowed: |_| true,
            },
        ]
    }

    fn readable(&self) -> &'static [(u8, u64, u64)] {
        &[(0, 0, 0x20), (0, 0x2000, 0x10), (1, 0x14, 8)]
    }

    fn mappable(&self) -> &'static [Mappable] {
        // All four pages, those of the table and of the pending bits among them.
        &[Mappable {
            bar: 0,
            offset: 0,
            bytes: 0x4000,
        }]
    }

    fn port_bar(&self) -> Option<u8> {
        self.script.lock().unwrap().port_bar
    }

    fn begin_reset(&mut self, io: &mut dyn BrokerIo) {
        if let Some(bar) = self.port_bar() {
            assert_eq!(io.ports(bar).unwrap().len(), 0x20);
        }
        assert!((2..7).all(|bar| io.ports(bar).is_err()), "no other ports");
        let mut state = self.script.lock().unwrap();
        state.looks = 0;
        state.written.clear();
        state.rung.clear();
    }

    fn poll_reset(&mut self, _: &mut dyn BrokerIo) -> Poll {
        let mut state = self.script.lock().unwrap();
        let needed = state.reset_looks;
        look(&mut state, needed, Step::Stopped(ResetProof::CstsRdyZero))
    }

    fn configure(
        &mut self,
        _: &mut dyn BrokerIo,
        request: [u64; 3],
    ) -> Result<Configured, Refusal> {
        if request[0] == 0 {
            return Err(Refusal::BadArgument);
        }
        Ok(Configured(request))
    }

    fn begin_enable(&mut self, io: &mut dyn BrokerIo) -> Result<(), Refusal> {
        self.script.lock().unwrap().looks = 0;
        if self.queues.is_none() {
            let pages = io.pages(8192)?;
            pages.write(0, b"addresses").map_err(|_| Refusal::Failed)?;
            self.queues = Some(pages);
        }
        Ok(())
    }

    fn poll_enable(&mut self, _: &mut dyn BrokerIo) -> Poll {
        let mut state = self.script.lock().unwrap();
        match state.enable {
            Ok(needed) => look(&mut state, Some(needed), Step::Ready),
            Err(refusal) => Poll::Failed(refusal),
        }
    }

    fn queue_limit(&self, kind: u16, index: u16) -> Option<u16> {
        (kind == 1 && index == 1).then_some(16)
    }

    fn begin_open(&mut self, _: &mut dyn BrokerIo, _: u16, spec: QueueSpec) -> Result<(), Refusal> {
        self.script.lock().unwrap().looks = 0;
        if spec.depth == 13 {
            return Err(Refusal::WrongState);
        }
        Ok(())
    }

    fn poll_open(&mut self, _: &mut dyn BrokerIo, _: u16) -> Poll {
        let mut state = self.script.lock().unwrap();
        let needed = state.open_looks;
        look(&mut state, needed, Step::QueueOpen)
    }

    fn begin_queue_reset(&mut self, _: &mut dyn BrokerIo, _: u16) -> Result<(), Refusal> {
        let mut state = self.script.lock().unwrap();
        state.looks = 0;
        state.queue_reset.map(drop)
    }

    fn poll_queue_reset(&mut self, _: &mut dyn BrokerIo, _: u16) -> Poll {
        let mut state = self.script.lock().unwrap();
        let needed = state.queue_reset.unwrap();
        let proof = dma_ledger::QueueProof::VirtqueueReset;
        look(&mut state, needed, Step::QueueStopped(proof))
    }

    fn begin_reopen(&mut self, _: &mut dyn BrokerIo, _: u16) -> Result<(), Refusal> {
        self.script.lock().unwrap().looks = 0;
        Ok(())
    }

    fn submit(
        &mut self,
        io: &mut dyn BrokerIo,
        _: u16,
        slot: CommandSlot,
        template: &[u8],
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        assert!(io.pages(4096).is_err(), "no pages while commands run");
        let mut state = self.script.lock().unwrap();
        if let Some(refusal) = state.refuse_submit {
            return Err(refusal);
        }
        assert_eq!(template.len(), 1);
        for segment in segments {
            assert!(!segment.pages.is_empty());
        }
        state.written.push(slot.slot);
        Ok(())
    }

    fn ring(&mut self, _: &mut dyn BrokerIo, _: u16) {
        let mut state = self.script.lock().unwrap();
        state.rings += 1;
        let mut written = std::mem::take(&mut state.written);
        state.rung.append(&mut written);
    }

    fn next_completion(
        &mut self,
        _: &mut dyn BrokerIo,
        _: u16,
    ) -> Result<Option<Completed>, Refusal> {
        self.script
            .lock()
            .unwrap()
            .completions
            .pop_front()
            .transpose()
    }

    fn completions_taken(&mut self, _: &mut dyn BrokerIo, _: u16) {
        self.script.lock().unwrap().taken += 1;
    }
}

/// A completion of a slot.
pub fn done(slot: u16) -> Result<Completed, Refusal> {
    Ok(Completed {
        slot,
        status: 0,
        result: u32::from(slot) + 100,
    })
}
