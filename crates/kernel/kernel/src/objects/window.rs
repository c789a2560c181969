//! `DeviceMmio`, `Interrupt`, `DmaPool`, `DmaBuffer`: what derives from a claim. Each holds the claim's token and
//! nothing that keeps the claim alive.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use frames::Grow;

use ::memory::Protection;
use cap::Epoch;
use cpu::Lock;
use device_manager::{Layout, Signal};
use dma_ledger::{BufferId, Claim, MappingId, OomPolicy, PoolId, RouteId};
use ipc::{About, KernelCall, Process, Tie};
use paging::Access;
use schema::device::{device_mmio, dma_buffer, dma_pool, interrupt};
use stub::{Answered, Refusal};

use super::audit::answer;
use super::device::about;
use super::memory::Shared;
use super::served::{Owed, Served, claimed, kernel_object};
use super::waiters::Waiting;
use crate::devices::{Window, manager};

/// The registers of one BAR.
pub struct Mmio {
    epoch: Epoch,
    claim: Claim,
    bar: u8,
    tie: Arc<Tie>,
    /// Read-only mappings made through this capability: their process, the object that only one of them maps, and the
    /// manager's hold, of which there are as many as the function's limits allow.
    maps: Lock<Vec<(Weak<Process>, Window, MappingId)>>,
}

impl Mmio {
    pub fn new(claim: Claim, bar: u8, tie: Arc<Tie>) -> Self {
        Self {
            epoch: Epoch::default(),
            claim,
            bar,
            tie,
            maps: Lock::new(Vec::new()),
        }
    }
}

kernel_object!(Mmio, device_mmio, claimed);

impl Mmio {
    fn about(&self) -> About {
        about(&self.claim)
    }
}

impl Drop for Mmio {
    fn drop(&mut self) {
        self.end();
    }
}

impl Mmio {
    fn end(&self) {
        // Taken out first: ending a mapping may give way to others, and no lock is held then.
        let maps = core::mem::take(&mut *self.maps.lock());
        for (_, _, hold) in maps {
            // A claim that ended has revoked its mappings itself.
            let _ = manager().mmio_unmap(&self.claim, hold);
        }
    }
}

impl Mmio {
    /// Takes the first entry out for which `f` holds. The list is not locked while `f` looks at the ledger of mappings.
    fn take_where(
        &self,
        f: impl Fn(&Weak<Process>, &Window) -> bool,
    ) -> Option<(Weak<Process>, Window, MappingId)> {
        for at in 0.. {
            let (process, window, hold) = self.maps.lock().get(at)?.clone();
            if f(&process, &window) {
                let mut maps = self.maps.lock();
                let at = maps.iter().position(|entry| entry.2 == hold)?;
                return Some(maps.swap_remove(at));
            }
        }
        None
    }

    /// Gives up the holds whose mappings the programs have unmapped themselves.
    fn let_go_of_unmapped(&self) {
        while let Some((.., hold)) = self.take_where(|_, window| !window.object().is_mapped()) {
            let _ = manager().mmio_unmap(&self.claim, hold);
        }
    }
}

impl<'a> device_mmio::Server<KernelCall<'a>> for Served<Mmio> {
    fn info(&mut self, reply: Owed<'a, device_mmio::call::Info>) -> Answered {
        let result = manager().mmio_info(&self.0.claim, self.0.bar);
        answer(
            reply,
            &self.0.claim,
            result.map(|info| device_mmio::InfoReply {
                bytes: info.bytes,
                mappable_pages: info.mappable_pages,
            }),
        )
    }

    fn map(
        &mut self,
        reply: Owed<'a, device_mmio::call::Map>,
        offset: u64,
        bytes: u64,
    ) -> Answered {
        let process = reply.call().process().clone();
        let result = manager()
            .mmio_map(&self.0.claim, self.0.bar, offset, bytes)
            .and_then(|(hold, window)| {
                let room = self.0.maps.lock().grow(1);
                let mapped = room.and_then(|()| {
                    let vm = &process.vm;
                    vm.map_object(window.object(), 0, bytes, Access::Read, None)
                });
                match mapped {
                    Ok(address) => {
                        self.0.let_go_of_unmapped();
                        let entry = (Arc::downgrade(&process), window, hold);
                        // Another thread may have taken the room.
                        self.0.maps.lock().add(entry).map(|()| address)
                    }
                    Err(refusal) => {
                        let _ = manager().mmio_unmap(&self.0.claim, hold);
                        Err(refusal)
                    }
                }
            });
        answer(
            reply,
            &self.0.claim,
            result.map(|address| device_mmio::MapReply { address }),
        )
    }

    fn unmap(&mut self, reply: Owed<'a, device_mmio::call::Unmap>, address: u64) -> Answered {
        let process = reply.call().process();
        // The mapping that is there now, not one that once was.
        let found = self.0.take_where(|owner, window| {
            core::ptr::eq(owner.as_ptr(), Arc::as_ptr(process))
                && process.vm.maps(address, window.object())
        });
        let result = match found {
            Some((_, window, hold)) => {
                let gone = process.vm.unmap_object(window.object());
                // Letting go of the hold revokes what is left of the mapping.
                manager()
                    .mmio_unmap(&self.0.claim, hold)
                    .and(gone.map(|_| ()))
            }
            // Of a claim that ended, the mappings are gone with it.
            None => manager()
                .mmio_info(&self.0.claim, self.0.bar)
                .and(Err(Refusal::NotFound)),
        };
        answer(reply, &self.0.claim, result)
    }

    fn read(
        &mut self,
        reply: Owed<'a, device_mmio::call::Read>,
        offset: u64,
        width: u8,
    ) -> Answered {
        let result = manager().mmio_read(&self.0.claim, self.0.bar, offset, width);
        answer(
            reply,
            &self.0.claim,
            result.map(|value| device_mmio::ReadReply { value }),
        )
    }

    fn write(
        &mut self,
        reply: Owed<'a, device_mmio::call::Write>,
        offset: u64,
        width: u8,
        value: u64,
    ) -> Answered {
        let result = manager().mmio_write(&self.0.claim, self.0.bar, offset, width, value);
        answer(
            reply,
            &self.0.claim,
            result.map(|read_back| device_mmio::WriteReply { read_back }),
        )
    }
}

/// One interrupt source.
pub struct Route {
    epoch: Epoch,
    claim: Claim,
    route: RouteId,
    tie: Arc<Tie>,
}

impl Route {
    pub fn new(claim: Claim, route: RouteId, tie: Arc<Tie>) -> Self {
        Self {
            epoch: Epoch::default(),
            claim,
            route,
            tie,
        }
    }
}

kernel_object!(Route, interrupt, claimed);

impl Route {
    fn about(&self) -> About {
        about(&self.claim)
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        self.end();
    }
}

impl Route {
    fn end(&self) {
        // Stale after a reset or the claim's end: nothing is left to close then.
        let _ = manager().interrupt_close(&self.claim, &self.route);
    }
}

impl<'a> interrupt::Server<KernelCall<'a>> for Served<Route> {
    fn info(&mut self, reply: Owed<'a, interrupt::call::Info>) -> Answered {
        let result = manager().interrupt_info(&self.0.claim, &self.0.route);
        answer(
            reply,
            &self.0.claim,
            result.map(|info| interrupt::InfoReply {
                source: info.source,
                generation: info.generation,
                delivered: info.delivered,
                masked: info.masked,
                cpu: info.cpu,
                signal: match info.signal {
                    Signal::Msix => interrupt::Signal::Msix,
                    Signal::Msi { .. } => interrupt::Signal::Msi,
                    Signal::Line { .. } => interrupt::Signal::Line,
                },
            }),
        )
    }

    fn wait(&mut self, reply: Owed<'a, interrupt::call::Wait>) -> Answered {
        match manager().interrupt_try_wait(&self.0.claim, &self.0.route) {
            Ok(Some(dispatches)) => return reply.send(interrupt::WaitReply { dispatches }),
            Err(refusal) => return reply.refuse(refusal),
            Ok(None) => {}
        }
        let (answered, later) = reply.defer();
        manager().interrupt_wait(&self.0.claim, &self.0.route, Waiting(later));
        answered
    }

    fn acknowledge(&mut self, reply: Owed<'a, interrupt::call::Acknowledge>) -> Answered {
        answer(
            reply,
            &self.0.claim,
            manager().interrupt_acknowledge(&self.0.claim, &self.0.route),
        )
    }

    fn mask(&mut self, reply: Owed<'a, interrupt::call::Mask>) -> Answered {
        answer(
            reply,
            &self.0.claim,
            manager().interrupt_mask(&self.0.claim, &self.0.route),
        )
    }

    fn unmask(&mut self, reply: Owed<'a, interrupt::call::Unmask>) -> Answered {
        answer(
            reply,
            &self.0.claim,
            manager().interrupt_unmask(&self.0.claim, &self.0.route),
        )
    }

    fn set_affinity(
        &mut self,
        reply: Owed<'a, interrupt::call::SetAffinity>,
        cpu: u16,
    ) -> Answered {
        answer(
            reply,
            &self.0.claim,
            manager().interrupt_move(&self.0.claim, &self.0.route, cpu),
        )
    }

    fn counts(&mut self, reply: Owed<'a, interrupt::call::Counts>) -> Answered {
        let result = manager().interrupt_counts(&self.0.claim, &self.0.route);
        answer(
            reply,
            &self.0.claim,
            result.map(|counts| interrupt::CountsReply {
                dispatched: counts.dispatched,
                late: counts.late,
                forwarded: counts.forwarded,
                storms: counts.storms,
            }),
        )
    }
}

/// A budget of DMA memory.
pub struct Pool {
    epoch: Epoch,
    claim: Claim,
    pool: PoolId,
    tie: Arc<Tie>,
}

impl Pool {
    pub fn new(claim: Claim, pool: PoolId, tie: Arc<Tie>) -> Self {
        Self {
            epoch: Epoch::default(),
            claim,
            pool,
            tie,
        }
    }
}

kernel_object!(Pool, dma_pool, claimed);

impl Pool {
    fn about(&self) -> About {
        about(&self.claim)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.end();
    }
}

impl Pool {
    fn end(&self) {
        // Buffers of a dropped pool stay with whoever holds them; the claim's end takes what is left.
        let _ = manager().pool_close(&self.claim, self.pool);
    }
}

impl<'a> dma_pool::Server<KernelCall<'a>> for Served<Pool> {
    fn info(&mut self, reply: Owed<'a, dma_pool::call::Info>) -> Answered {
        let result = manager().pool_info(&self.0.claim, self.0.pool);
        answer(
            reply,
            &self.0.claim,
            result.map(|info| dma_pool::InfoReply {
                budget_bytes: info.budget,
                used_bytes: info.used,
                buffers: info.buffers,
                policy: match info.oom {
                    OomPolicy::Refuse => dma_pool::OutOfMemory::Refuse,
                    OomPolicy::Revoke => dma_pool::OutOfMemory::Revoke,
                },
            }),
        )
    }

    fn set_policy(
        &mut self,
        reply: Owed<'a, dma_pool::call::SetPolicy>,
        policy: dma_pool::OutOfMemory,
    ) -> Answered {
        let policy = match policy {
            dma_pool::OutOfMemory::Refuse => OomPolicy::Refuse,
            dma_pool::OutOfMemory::Revoke => OomPolicy::Revoke,
        };
        answer(
            reply,
            &self.0.claim,
            manager().pool_policy(&self.0.claim, self.0.pool, policy),
        )
    }

    fn allocate(
        &mut self,
        reply: Owed<'a, dma_pool::call::Allocate>,
        bytes: u64,
        layout: dma_pool::Layout,
    ) -> Answered {
        let layout = match layout {
            dma_pool::Layout::Scattered => Layout::Scattered,
            dma_pool::Layout::Contiguous => Layout::Contiguous,
        };
        let process = reply.call().process().clone();
        let result = manager().buffer_allocate(&self.0.claim, self.0.pool, bytes, layout);
        answer(
            reply,
            &self.0.claim,
            result
                .and_then(|buffer| {
                    let make = |tie| Buffer::new(self.0.claim, buffer, tie);
                    let undo = || manager().buffer_release(&self.0.claim, buffer);
                    claimed(&process, &self.0.claim, &self.0.tie, make, undo)
                })
                .map(|buffer| dma_pool::AllocateReply { buffer }),
        )
    }
}

/// Pages that the device may be told to use.
pub struct Buffer {
    epoch: Epoch,
    claim: Claim,
    buffer: BufferId,
    tie: Arc<Tie>,
}

impl Buffer {
    fn new(claim: Claim, buffer: BufferId, tie: Arc<Tie>) -> Self {
        Self {
            epoch: Epoch::default(),
            claim,
            buffer,
            tie,
        }
    }

    /// The claim it belongs to, and which buffer of it.
    pub const fn identity(&self) -> (Claim, BufferId) {
        (self.claim, self.buffer)
    }
}

kernel_object!(Buffer, dma_buffer, claimed);

impl Buffer {
    fn about(&self) -> About {
        about(&self.claim)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Buffer {
    fn end(&self) {
        // Freed now, or by the manager when the last segment in flight is back.
        manager().buffer_release(&self.claim, self.buffer);
    }
}

impl<'a> dma_buffer::Server<KernelCall<'a>> for Served<Buffer> {
    fn info(&mut self, reply: Owed<'a, dma_buffer::call::Info>) -> Answered {
        let result = manager().buffer_info(&self.0.claim, self.0.buffer);
        answer(
            reply,
            &self.0.claim,
            result.map(|info| dma_buffer::InfoReply {
                bytes: info.bytes,
                generation: self.0.buffer.generation(),
                in_flight: info.in_flight,
            }),
        )
    }

    fn map(&mut self, reply: Owed<'a, dma_buffer::call::Map>, protection: u8) -> Answered {
        let process = reply.call().process().clone();
        let result = Protection(protection).access().and_then(|access| {
            if access == Access::ReadExecute {
                return Err(Refusal::WriteExecute);
            }
            let wanted = match access {
                Access::ReadWrite => device_manager::Access::ReadWrite,
                _ => device_manager::Access::Read,
            };
            let window = manager().buffer_window(&self.0.claim, self.0.buffer, wanted)?;
            let bytes = window.object().bytes();
            process
                .vm
                .map_object(window.object(), 0, bytes, access, None)
        });
        answer(
            reply,
            &self.0.claim,
            result.map(|address| dma_buffer::MapReply { address }),
        )
    }

    fn unmap(&mut self, reply: Owed<'a, dma_buffer::call::Unmap>) -> Answered {
        // What the caller's process has mapped of the buffer, the ledger of mappings knows.
        let vm = &reply.call().process().vm;
        let windows = manager().buffer_windows(&self.0.claim, self.0.buffer);
        let result = windows.and_then(|windows| {
            let mut count = 0;
            for window in windows.iter().flatten() {
                count += vm.unmap_object(window.object())?;
            }
            (count > 0).then_some(()).ok_or(Refusal::NotFound)
        });
        answer(reply, &self.0.claim, result)
    }

    fn window(
        &mut self,
        reply: Owed<'a, dma_buffer::call::Window>,
        access: dma_buffer::Access,
    ) -> Answered {
        let access = match access {
            dma_buffer::Access::Read => device_manager::Access::Read,
            dma_buffer::Access::ReadWrite => device_manager::Access::ReadWrite,
        };
        let result = manager().buffer_window(&self.0.claim, self.0.buffer, access);
        let process = reply.call().process().clone();
        answer(
            reply,
            &self.0.claim,
            result
                .and_then(|window| Shared::window(&process, window.object().clone(), access))
                .map(|memory| dma_buffer::WindowReply { memory }),
        )
    }

    fn free(&mut self, reply: Owed<'a, dma_buffer::call::Free>) -> Answered {
        let result = manager().buffer_free(&self.0.claim, self.0.buffer);
        answer(reply, &self.0.claim, result)
    }
}
