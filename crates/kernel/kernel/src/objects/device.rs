//! `DeviceRegistry` and `Device`: what is plugged in, and a claim on one function of it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use frames::Grow;

use cap::Epoch;
use device_manager::{DeviceState, FunctionView, Rings};
use dma_ledger::{Claim, OwnerId, QueueId};
use driver_core::{NvmeSettings, QueueSpec, Settings, VirtioSettings};
use ipc::{About, Held, KernelCall, Process, Slot, Tie};
use sabotage::sabotage;
use schema::device::{device, device_registry};
use stub::{Answered, Refusal};

use super::audit::answer;
use super::queue::{self, Queue};
use super::served::{self, Owed, Served, claimed, kernel_object, or_refuse};
use super::waiters::{Acting, Claiming, LaterQueue, OfClaim, Opening};
use super::window::{Mmio, Pool, Route};
use crate::devices::manager;

/// The registry.
pub struct Registry {
    epoch: Epoch,
}

impl Registry {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
        })
    }
}

kernel_object!(Registry, device_registry);

/// One function, copied out of the manager.
pub struct Row {
    address: u32,
    vendor: u16,
    device: u16,
    class: u32,
    driver: &'static str,
    claimed: bool,
    quarantined: bool,
    msix_vectors: u16,
    msi: bool,
    bars: ArrayVec<device_registry::Bar, BARS>,
}

impl Row {
    /// As it is told.
    pub fn told(&self) -> device_registry::Function<'_> {
        device_registry::Function {
            address: self.address,
            vendor: self.vendor,
            device: self.device,
            class: self.class,
            driver: self.driver,
            claimed: self.claimed,
            quarantined: self.quarantined,
            bars: &self.bars,
            msix_vectors: self.msix_vectors,
            msi: self.msi,
        }
    }
}

/// Base address registers of a function (PCI Local Bus 3.0, 6.2.5.1).
const BARS: usize = 6;

/// Functions per answer, at most.
const FUNCTIONS: usize = 24;

/// Copies a function out of the manager.
#[expect(clippy::disallowed_methods, reason = "stack: into an array")]
pub fn row(v: &FunctionView<'_>) -> Row {
    use pci_format::BarKind;
    let bars = v
        .bars
        .iter()
        .take(BARS)
        .map(|bar| device_registry::Bar {
            index: bar.index,
            kind: match bar.kind {
                BarKind::Memory32 => device_registry::Kind::Memory32,
                BarKind::Memory64 => device_registry::Kind::Memory64,
                BarKind::Io => device_registry::Kind::Io,
            },
            bytes: bar.size_bytes,
        })
        .collect();
    let driver = crate::drivers::table()
        .iter()
        .map(|e| e.name)
        .find(|n| *n == v.driver);
    Row {
        address: v.address,
        vendor: v.vendor,
        device: v.device,
        class: v.class,
        driver: driver.unwrap_or(""),
        claimed: v.claimed,
        quarantined: v.quarantined,
        msix_vectors: v.msix_vectors,
        msi: v.msi,
        bars,
    }
}

impl<'a> device_registry::Server<KernelCall<'a>> for Served<Registry> {
    fn list(&mut self, reply: Owed<'a, device_registry::call::List>, from: u32) -> Answered {
        let mut rows = Vec::new();
        or_refuse!(reply, rows.grow(FUNCTIONS));
        let next = manager().list(from, &mut |view| rows.put(row(view)).is_ok());
        let functions = or_refuse!(reply, frames::list(rows.iter().map(Row::told)));
        reply.send(device_registry::ListReply {
            next,
            functions: &functions,
        })
    }

    fn claim(
        &mut self,
        reply: Owed<'a, device_registry::call::Claim>,
        driver: &str,
        nth: u32,
    ) -> Answered {
        let owner = OwnerId(reply.call().process().id);
        let (answered, later) = reply.defer();
        let waiter = Claiming {
            later,
            object: device,
            release,
        };
        manager().claim(driver, nth, owner, waiter);
        answered
    }

    fn interrupts(
        &mut self,
        reply: Owed<'a, device_registry::call::Interrupts>,
        cpu: u16,
    ) -> Answered {
        let online = usize::from(cpu) < sched::cpu_count();
        let counts = crate::arrivals::at(usize::from(cpu)).filter(|_| online);
        let result = counts.map(|counts| device_registry::InterruptsReply {
            device: counts.device,
            spurious: counts.spurious,
            unowned: counts.unowned,
            vectors: apic::vector_load(cpu).unwrap_or(0),
        });
        reply.answer(result.ok_or(Refusal::OutOfRange))
    }
}

/// A claimed function. When its last handle goes, or who claimed it ends, everything that derives from it goes too.
pub struct Device {
    epoch: Epoch,
    claim: Claim,
    /// Shared by all that derives from the claim and that its owner asked for.
    tie: Arc<Tie>,
}

kernel_object!(Device, device, claimed);

impl Device {
    fn about(&self) -> About {
        let (address, held) = function(&self.claim);
        About::Claim(address, held)
    }

    /// The account has ended that pays for the claim.
    fn end(&self) {
        release(self.claim);
    }
}

/// The function of a claim, and whether the claim still holds.
fn function(claim: &Claim) -> (u32, Held) {
    let held = match manager().info(claim) {
        Ok(info) if info.state != DeviceState::Dead => Held::Still,
        _ => Held::NoMore,
    };
    (manager().address_of(claim), held)
}

/// What a capability stands for that derives from a claim.
pub fn about(claim: &Claim) -> About {
    let (address, held) = function(claim);
    About::Function(address, held)
}

/// A claim as a capability.
fn device(process: &Process, claim: Claim) -> Result<Slot, Refusal> {
    let make = |tie| Device {
        epoch: Epoch::default(),
        claim,
        tie,
    };
    let made = process.bank.object(make);
    made.inspect_err(|_| release(claim))
}

/// Gives up a claim of which no object was made.
fn release(claim: Claim) {
    let _ = manager().release(&claim);
}

/// An open queue as a capability.
fn open_queue(process: &Process, (claim, tie): &OfClaim, queue: QueueId) -> Result<Slot, Refusal> {
    let make = |tie| Queue::new(*claim, queue, tie);
    let undo = || manager().queue_close(claim, queue);
    claimed(process, claim, tie, make, undo)
}

impl Device {
    /// Who waits for a queue of this claim.
    fn opening(&self, later: LaterQueue) -> Opening {
        Opening {
            later,
            of: (self.claim, self.tie.clone()),
            object: open_queue,
            close: |claim, queue| manager().queue_close(claim, queue),
        }
    }
}

/// A queue as it is asked for.
fn spec(kind: u16, index: u16, depth: u16, source: u16) -> QueueSpec {
    QueueSpec {
        kind,
        index,
        depth,
        vector: (source != NO_SOURCE).then_some(source),
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if sabotage!(KEEP_CLAIM) {
            return;
        }
        // A claim that ended already, by quarantine, has nothing left to release.
        let _ = manager().release(&self.claim);
    }
}

/// No source: completions raise no interrupt.
const NO_SOURCE: u16 = 0xffff;

impl<'a> device::Server<KernelCall<'a>> for Served<Device> {
    fn info(&mut self, reply: Owed<'a, device::call::Info>) -> Answered {
        let result = manager().info(&self.0.claim).and_then(|info| {
            Ok(device::InfoReply {
                address: info.address,
                generation: info.generation,
                state: device::State::from_u16(info.state as u16)?,
            })
        });
        answer(reply, &self.0.claim, result)
    }

    fn read_config(&mut self, reply: Owed<'a, device::call::ReadConfig>, offset: u16) -> Answered {
        let result = manager().read_config(&self.0.claim, offset);
        answer(
            reply,
            &self.0.claim,
            result.map(|value| device::ReadConfigReply { value }),
        )
    }

    fn reset(&mut self, reply: Owed<'a, device::call::Reset>) -> Answered {
        let (answered, later) = reply.defer();
        manager().reset(&self.0.claim, Acting::Reset(later));
        answered
    }

    fn configure(&mut self, reply: Owed<'a, device::call::Configure>) -> Answered {
        let result = manager().configure(&self.0.claim, Settings::Plain);
        answer(reply, &self.0.claim, result)
    }

    fn configure_nvme(
        &mut self,
        reply: Owed<'a, device::call::ConfigureNvme>,
        admin_depth: u16,
        pairs: u16,
        page_shift: u32,
    ) -> Answered {
        let mut chosen = NvmeSettings {
            admin_depth,
            pairs,
            page_shift,
        };
        let result = manager().configure(&self.0.claim, Settings::Nvme(&mut chosen));
        let result = result.map(|()| device::ConfigureNvmeReply {
            admin_depth: chosen.admin_depth,
            pairs: chosen.pairs,
            page_shift: chosen.page_shift,
        });
        answer(reply, &self.0.claim, result)
    }

    fn configure_virtio(
        &mut self,
        reply: Owed<'a, device::call::ConfigureVirtio>,
        features: u64,
        queues: u16,
        depth: u16,
    ) -> Answered {
        let mut chosen = VirtioSettings {
            features,
            queues,
            depth,
            config: None,
        };
        let result = manager().configure(&self.0.claim, Settings::Virtio(&mut chosen));
        let result = result.map(|()| device::ConfigureVirtioReply {
            features: chosen.features,
            queues: chosen.queues,
            depth: chosen.depth,
            config_bar: chosen.config.map_or(0, |config| config.bar),
            config_offset: chosen.config.map_or(0, |config| config.offset),
            config_bytes: chosen.config.map_or(0, |config| config.bytes),
        });
        answer(reply, &self.0.claim, result)
    }

    fn enable(&mut self, reply: Owed<'a, device::call::Enable>) -> Answered {
        let (answered, later) = reply.defer();
        manager().enable(&self.0.claim, Acting::Enable(later));
        answered
    }

    fn mmio(&mut self, reply: Owed<'a, device::call::Mmio>, bar: u8) -> Answered {
        let process = reply.call().process().clone();
        let result = manager().mmio_info(&self.0.claim, bar);
        answer(
            reply,
            &self.0.claim,
            result
                .and_then(|_| {
                    let make = |tie| Mmio::new(self.0.claim, bar, tie);
                    claimed(&process, &self.0.claim, &self.0.tie, make, || ())
                })
                .map(|mmio| device::MmioReply { mmio }),
        )
    }

    fn interrupt(&mut self, reply: Owed<'a, device::call::Interrupt>, source: u16) -> Answered {
        let process = reply.call().process().clone();
        let result = manager().interrupt_open(&self.0.claim, source);
        answer(
            reply,
            &self.0.claim,
            result
                .and_then(|route| {
                    let make = |tie| Route::new(self.0.claim, route, tie);
                    let undo = || _ = manager().interrupt_close(&self.0.claim, &route);
                    claimed(&process, &self.0.claim, &self.0.tie, make, undo)
                })
                .map(|interrupt| device::InterruptReply { interrupt }),
        )
    }

    fn pool(&mut self, reply: Owed<'a, device::call::Pool>, budget_bytes: u64) -> Answered {
        let process = reply.call().process().clone();
        let result = manager().pool_create(&self.0.claim, budget_bytes);
        answer(
            reply,
            &self.0.claim,
            result
                .and_then(|pool| {
                    let make = |tie| Pool::new(self.0.claim, pool, tie);
                    let undo = || _ = manager().pool_close(&self.0.claim, pool);
                    claimed(&process, &self.0.claim, &self.0.tie, make, undo)
                })
                .map(|pool| device::PoolReply { pool }),
        )
    }

    fn queue(
        &mut self,
        reply: Owed<'a, device::call::Queue>,
        kind: u16,
        index: u16,
        depth: u16,
        source: u16,
    ) -> Answered {
        let (answered, later) = reply.defer();
        let waiter = self.0.opening(LaterQueue::Queue(later));
        manager().queue_open(&self.0.claim, spec(kind, index, depth, source), waiter);
        answered
    }

    fn direct(
        &mut self,
        reply: Owed<'a, device::call::Direct>,
        kind: u16,
        index: u16,
        depth: u16,
        source: u16,
        submissions: u64,
        completions: u64,
    ) -> Answered {
        let claim = self.0.claim;
        let process = reply.call().process().clone();
        let ring = |handle| queue::buffer(&process, &claim, handle);
        let rings = ring(submissions).and_then(|submissions| {
            Ok(Rings {
                submissions,
                completions: ring(completions)?,
            })
        });
        let rings = match rings {
            Ok(rings) => rings,
            Err(refusal) => return answer(reply, &claim, Err(refusal)),
        };
        let (answered, later) = reply.defer();
        let waiter = self.0.opening(LaterQueue::Direct(later));
        let spec = spec(kind, index, depth, source);
        manager().queue_open_direct(&claim, spec, rings, waiter);
        answered
    }
}
