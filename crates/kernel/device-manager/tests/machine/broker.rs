//! A broker that does what its test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use dma_ledger::ResetProof;
use driver_core::{
    Access, Broker, BrokerIo, CommandSlot, Completed, Counts, DmaPages, DriverEntry, Mappable,
    Operation, PciMatch, Poll, Probed, QueuePlace, QueueSpec, Refusal, Segment, Settings, Step,
    Transfer, Window,
};

/// What the device does, and what the broker was asked to do.
pub struct State {
    /// Looks that a reset, an enabling and an opening take; `None` never ends.
    pub reset_looks: Option<u32>,
    pub enable: Result<u32, Refusal>,
    pub open_looks: Option<u32>,
    /// Pages that an opening takes before it begins, one by one, and those that were taken.
    pub prepare: u32,
    pub prepared: u32,
    /// Looks until the device has let go of one queue; `None` never ends, and the refusal is of a broker that cannot.
    pub queue_reset: Result<Option<u32>, Refusal>,
    pub refuse_submit: Option<Refusal>,
    pub completions: VecDeque<Result<Completed, Refusal>>,
    /// Slots written and not rung yet, slots rung.
    pub written: Vec<u16>,
    pub rung: Vec<u16>,
    pub rings: u32,
    pub taken: u32,
    /// A queue was opened whose holder writes its entries, and what it told.
    pub direct: bool,
    /// It is too much for its rings.
    pub short_rings: bool,
    pub told: Vec<(u16, u16)>,
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
        prepare: 0,
        prepared: 0,
        queue_reset: Err(Refusal::NotSupported),
        refuse_submit: None,
        completions: VecDeque::new(),
        written: Vec::new(),
        rung: Vec::new(),
        rings: 0,
        taken: 0,
        direct: false,
        short_rings: false,
        told: Vec::new(),
        brokers: 0,
        port_bar: None,
        looks: 0,
    }));
}

/// The script of this test (each runs in a thread of its own).
pub fn script() -> Script {
    SCRIPT.with(Arc::clone)
}

/// Pairs that it has, whatever is asked for.
pub const PAIRS: u16 = 2;

/// The one queue.
const QUEUE: QueuePlace = QueuePlace { kind: 1, index: 1 };

const WINDOWS: &[Window] = &[
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
];

/// All four pages, those of the table and of the pending bits among them.
const MAPPABLE: &[Mappable] = &[Mappable {
    bar: 0,
    offset: 0,
    bytes: 0x4000,
}];

struct Scripted {
    script: Script,
    access: Access,
    under_way: Option<Operation>,
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
    let ports = script.lock().unwrap().port_bar;
    let readable = [(0, 0, 0x20), (0, 0x2000, 0x10), (1, 0x14, 8)];
    Ok(Box::new(Scripted {
        script,
        access: Access {
            windows: WINDOWS,
            readable: readable.into_iter().collect(),
            mappable: MAPPABLE,
            ports,
        },
        under_way: None,
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
    fn access(&self) -> &Access {
        &self.access
    }

    fn configure(&mut self, _: &mut dyn BrokerIo, settings: Settings<'_>) -> Result<(), Refusal> {
        let Settings::Nvme(chosen) = settings else {
            return settings.plain();
        };
        if chosen.admin_depth == 0 {
            return Err(Refusal::BadArgument);
        }
        chosen.pairs = chosen.pairs.min(PAIRS);
        Ok(())
    }

    fn queue_limit(&self, queue: QueuePlace) -> Option<u16> {
        (queue == QUEUE).then_some(16)
    }

    fn begin(&mut self, io: &mut dyn BrokerIo, operation: Operation) -> Result<(), Refusal> {
        self.script.lock().unwrap().looks = 0;
        match operation {
            Operation::Reset => {
                if let Some(bar) = self.access.ports {
                    assert_eq!(io.ports(bar).unwrap().len(), 0x20);
                }
                assert!((2..7).all(|bar| io.ports(bar).is_err()), "no other ports");
                let mut state = self.script.lock().unwrap();
                state.written.clear();
                state.rung.clear();
            }
            _ if self.under_way.is_some() => return Err(Refusal::Busy),
            Operation::Enable if self.queues.is_none() => {
                let pages = io.pages(8192)?;
                pages.write(0, b"addresses").map_err(|_| Refusal::Failed)?;
                self.queues = Some(pages);
            }
            Operation::Open(spec) if spec.depth == 13 => return Err(Refusal::WrongState),
            Operation::Stop(_) => {
                self.script.lock().unwrap().queue_reset?;
            }
            Operation::OpenDirect(spec) => {
                let mut state = self.script.lock().unwrap();
                if state.short_rings {
                    return Err(Refusal::OutOfRange);
                }
                assert!(spec.submissions.bytes >= 4096);
                state.direct = true;
            }
            Operation::Enable | Operation::Open(_) | Operation::Reopen(_) => {}
        }
        self.under_way = Some(operation);
        Ok(())
    }

    fn prepare(&mut self, io: &mut dyn BrokerIo, _: QueueSpec) -> Result<bool, Refusal> {
        let mut state = self.script.lock().unwrap();
        if state.prepared == state.prepare {
            return Ok(true);
        }
        io.read_only_pages(4096)?;
        state.prepared += 1;
        Ok(false)
    }

    fn poll(&mut self, _: &mut dyn BrokerIo) -> Poll {
        let mut state = self.script.lock().unwrap();
        let state = &mut *state;
        let poll = match self.under_way {
            None => Poll::Failed(Refusal::WrongState),
            Some(Operation::Reset) => {
                let needed = state.reset_looks;
                look(state, needed, Step::Stopped(ResetProof::CstsRdyZero))
            }
            Some(Operation::Enable) => match state.enable {
                Ok(needed) => look(state, Some(needed), Step::Ready),
                Err(refusal) => Poll::Failed(refusal),
            },
            Some(Operation::Open(_) | Operation::OpenDirect(_) | Operation::Reopen(_)) => {
                let needed = state.open_looks;
                look(state, needed, Step::QueueOpen)
            }
            Some(Operation::Stop(_)) => {
                let needed = state.queue_reset.unwrap();
                let proof = dma_ledger::QueueProof::VirtqueueReset;
                look(state, needed, Step::QueueStopped(proof))
            }
        };
        if !matches!(poll, Poll::Pending { .. }) {
            self.under_way = None;
        }
        poll
    }

    fn submit(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: QueuePlace,
        slot: CommandSlot,
        template: &[u8],
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        assert_eq!(queue, QUEUE);
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

    fn transfer(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: QueuePlace,
        slot: CommandSlot,
        transfer: &Transfer<'_>,
    ) -> Result<(), Refusal> {
        // Unit 9 is one that no template could name.
        if transfer.unit == 9 {
            return Err(Refusal::OutOfRange);
        }
        self.submit(io, queue, slot, &[0], transfer.data.as_slice())
    }

    fn ring(&mut self, _: &mut dyn BrokerIo, _: QueuePlace) {
        let mut state = self.script.lock().unwrap();
        state.rings += 1;
        let mut written = std::mem::take(&mut state.written);
        state.rung.append(&mut written);
    }

    fn doorbell(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: QueuePlace,
        counts: Counts,
    ) -> Result<(), Refusal> {
        assert_eq!(queue, QUEUE);
        let mut state = self.script.lock().unwrap();
        if !state.direct {
            return Err(Refusal::NotSupported);
        }
        state.told.push((counts.tail, counts.head));
        Ok(())
    }

    fn next_completion(
        &mut self,
        _: &mut dyn BrokerIo,
        _: QueuePlace,
    ) -> Result<Option<Completed>, Refusal> {
        self.script
            .lock()
            .unwrap()
            .completions
            .pop_front()
            .transpose()
    }

    fn completions_taken(&mut self, _: &mut dyn BrokerIo, _: QueuePlace) {
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
