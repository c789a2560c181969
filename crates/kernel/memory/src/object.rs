use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use cpu::{Guard, Lock};
use frames::{FRAME_BYTES, Frames, ShootdownReceipt};
use mmio::SharedBytes;
use paging::Access;
use ring_abi::Refusal;

use crate::{Charge, Vm};

#[derive(Debug)]
enum Backing {
    /// Pages of its own, freed with the object.
    Owned(Vec<Frames>),
    /// Pages that `device-manager` owns: a window over a DMA buffer.
    Borrowed,
    /// Device registers: mapped uncached, and only for reading.
    Registers,
}

#[derive(Debug, Default)]
struct Mappings {
    revoked: bool,
    list: Vec<(Weak<Vm>, u64)>,
}

/// Pages that can be mapped, by one process or several.
#[derive(Debug)]
pub struct MemoryObject {
    pages: Vec<u64>,
    backing: Backing,
    writable: bool,
    mappings: Lock<Mappings>,
    gone: AtomicBool,
    _charge: Option<Charge>,
}

impl MemoryObject {
    /// Makes an object of `pages` zeroed pages, paid for by `charge`.
    ///
    /// # Errors
    /// `NoMemory`; nothing is held then.
    pub fn new(pages: u32, charge: Option<Charge>) -> Result<Arc<Self>, Refusal> {
        let mut owned = Vec::new();
        let mut addresses = Vec::new();
        let wanted = pages as usize;
        owned
            .try_reserve_exact(wanted)
            .map_err(|_| Refusal::NoMemory)?;
        addresses
            .try_reserve_exact(wanted)
            .map_err(|_| Refusal::NoMemory)?;
        for _ in 0..pages {
            match frames::allocate_for_program(0) {
                Some(frame) => {
                    addresses.push(frame.address());
                    owned.push(frame);
                }
                None => {
                    owned.into_iter().for_each(Frames::free_unmapped);
                    return Err(Refusal::NoMemory);
                }
            }
        }
        Ok(Self::build(addresses, Backing::Owned(owned), true, charge))
    }

    /// Makes an object from one physically contiguous run, which it owns from now on.
    pub fn from_run(run: Frames, pages: u32, charge: Option<Charge>) -> Arc<Self> {
        let addresses = (0..u64::from(pages))
            .map(|p| run.address() + p * FRAME_BYTES)
            .collect();
        Self::build(addresses, Backing::Owned(alloc::vec![run]), true, charge)
    }

    /// Makes an object over pages that somebody else owns and outlives: they must be revoked from this object before
    /// their owner frees them.
    pub fn borrowed(addresses: Vec<u64>, writable: bool) -> Arc<Self> {
        Self::build(addresses, Backing::Borrowed, writable, None)
    }

    /// Makes an object over register pages, read-only and uncached.
    pub fn registers(addresses: Vec<u64>) -> Arc<Self> {
        Self::build(addresses, Backing::Registers, false, None)
    }

    /// The access that pages of this object get where `wanted` is asked for.
    pub(crate) const fn page_access(&self, wanted: Access) -> Access {
        match self.backing {
            Backing::Registers => Access::DeviceRead,
            _ => wanted,
        }
    }

    /// Whether its pages are memory, which the direct map covers.
    pub(crate) const fn is_memory(&self) -> bool {
        !matches!(self.backing, Backing::Registers)
    }

    fn build(
        pages: Vec<u64>,
        backing: Backing,
        writable: bool,
        charge: Option<Charge>,
    ) -> Arc<Self> {
        Arc::new(Self {
            pages,
            backing,
            writable,
            mappings: Lock::new(Mappings::default()),
            gone: AtomicBool::new(false),
            _charge: charge,
        })
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        self.pages.len() as u64 * FRAME_BYTES
    }

    /// Whether it may be mapped for writing.
    pub const fn writable(&self) -> bool {
        self.writable
    }

    /// Whether it was revoked.
    pub fn is_revoked(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Physical address of page `at`.
    pub(crate) fn page(&self, at: u64) -> Option<u64> {
        self.pages.get(usize::try_from(at).ok()?).copied()
    }

    /// Copies bytes in through the direct map, page by page.
    ///
    /// # Errors
    /// `OutOfRange`; `Revoked` where another owner may have freed the pages.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let _held = self.hold()?;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let inside = (at % FRAME_BYTES) as usize;
            let n = (bytes.len() - done).min(FRAME_BYTES as usize - inside);
            let page = self.view(at / FRAME_BYTES)?;
            page.write(inside, &bytes[done..done + n])
                .map_err(|_| Refusal::OutOfRange)?;
            done += n;
        }
        Ok(())
    }

    /// Copies bytes out, as [`Self::write`] copies them in.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Refusal> {
        let _held = self.hold()?;
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let inside = (at % FRAME_BYTES) as usize;
            let n = (out.len() - done).min(FRAME_BYTES as usize - inside);
            let page = self.view(at / FRAME_BYTES)?;
            page.read(inside, &mut out[done..done + n])
                .map_err(|_| Refusal::OutOfRange)?;
            done += n;
        }
        Ok(())
    }

    /// Keeps pages of another owner from being freed while they are copied: that owner revokes first.
    fn hold(&self) -> Result<Option<Guard<'_, Mappings>>, Refusal> {
        if matches!(self.backing, Backing::Owned(_)) {
            return Ok(None);
        }
        let mappings = self.mappings.lock();
        if mappings.revoked {
            return Err(Refusal::Revoked);
        }
        Ok(Some(mappings))
    }

    fn view(&self, page: u64) -> Result<SharedBytes, Refusal> {
        if !self.is_memory() {
            return Err(Refusal::NotSupported);
        }
        let physical = self.page(page).ok_or(Refusal::OutOfRange)?;
        // SAFETY: the page is held by this object (or by its owner, who outlives it) and in the direct map; user
        // mappings of it make it shared memory, which is what the view is for.
        Ok(unsafe { SharedBytes::new(frames::direct_map(physical), FRAME_BYTES as usize) })
    }

    /// Notes a mapping. Refused once the object is revoked.
    pub(crate) fn note_mapping(&self, vm: &Arc<Vm>, address: u64) -> Result<(), Refusal> {
        let mut m = self.mappings.lock();
        if m.revoked {
            return Err(Refusal::Revoked);
        }
        m.list.push((Arc::downgrade(vm), address));
        Ok(())
    }

    pub(crate) fn forget_mapping(&self, vm: &Vm, address: u64) {
        let mut m = self.mappings.lock();
        let found = m
            .list
            .iter()
            .position(|(v, a)| *a == address && core::ptr::eq(v.as_ptr(), vm));
        if let Some(at) = found {
            m.list.swap_remove(at);
        }
    }

    /// Ends every mapping, in every process; no CPU reaches a page through one when this returns. Who had it mapped
    /// reads zeros there until it unmaps: nobody faults for what somebody else did.
    pub fn revoke(&self) {
        self.gone.store(true, Ordering::Release);
        let list = {
            let mut m = self.mappings.lock();
            m.revoked = true;
            core::mem::take(&mut m.list)
        };
        for (vm, address) in list {
            if let Some(vm) = vm.upgrade() {
                vm.revoke_region(address);
            }
        }
    }
}

impl Drop for MemoryObject {
    fn drop(&mut self) {
        if let Backing::Owned(frames) = &mut self.backing {
            #[cfg(sabotage)]
            if cpu::sabotaged("leak-frame") {
                core::mem::forget(frames.pop());
            }
            for run in frames.drain(..) {
                // SAFETY: every region holds the object, and a region goes only after its shootdown.
                run.free(unsafe { ShootdownReceipt::after_shootdown() });
            }
        }
    }
}
