//! The lower half of one address space.

use core::sync::atomic::{AtomicU64, Ordering};

use cpu::Lock;
use frames::{FRAME_BYTES, ShootdownReceipt};

use crate::table::{ADDRESS, Access, PRESENT, USER, slot, walk, walk_making};
use crate::{USER_END, shootdown};

/// Why a page could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No frame for a page table.
    NoMemory,
    /// Something is mapped there.
    Occupied,
    /// Not page-aligned user space.
    OutOfRange,
}

/// One address space: a root whose upper half is the kernel's.
#[derive(Debug)]
pub struct AddressSpace {
    root: u64,
    /// CPUs that have, or may have, this root loaded.
    active: AtomicU64,
    edit: Lock<()>,
}

fn check(address: u64, pages: u64) -> Result<(), MapError> {
    let end = pages
        .checked_mul(FRAME_BYTES)
        .and_then(|b| address.checked_add(b));
    match end {
        Some(end) if end <= USER_END && address.is_multiple_of(FRAME_BYTES) => Ok(()),
        _ => Err(MapError::OutOfRange),
    }
}

impl AddressSpace {
    /// Makes an empty space.
    pub fn new() -> Option<Self> {
        let root = frames::allocate(0)?.address();
        for at in 256..512 {
            slot(root, at).set(slot(crate::kernel_root(), at).get());
        }
        Some(Self {
            root,
            active: AtomicU64::new(0),
            edit: Lock::new(()),
        })
    }

    /// Physical address of the root.
    pub const fn root(&self) -> u64 {
        self.root
    }

    /// Maps one page of user memory.
    ///
    /// # Errors
    /// See [`MapError`]; nothing changes then.
    pub fn map(&self, address: u64, physical: u64, access: Access) -> Result<(), MapError> {
        check(address, 1)?;
        let _edit = self.edit.lock();
        let s = walk_making(self.root, address, 0, USER).ok_or(MapError::NoMemory)?;
        if s.get() & PRESENT != 0 {
            return Err(MapError::Occupied);
        }
        s.set((physical & ADDRESS) | access.bits() | USER);
        Ok(())
    }

    /// Unmaps whatever of `pages` pages is mapped and waits until no CPU can reach them.
    pub fn unmap(&self, address: u64, pages: u64) -> ShootdownReceipt {
        self.change(address, pages, |_| 0)
    }

    /// Unmaps without the shootdown: what the sabotage point "skip-shootdown" does.
    #[cfg(sabotage)]
    pub fn unmap_without_shootdown(&self, address: u64, pages: u64) -> ShootdownReceipt {
        self.edit_entries(address, pages, |_| 0);
        // SAFETY: a lie, on purpose: this is the sabotage kernel.
        unsafe { ShootdownReceipt::after_shootdown() }
    }

    /// Puts one frame in the place of every mapped page, with the rights they had, and waits until no CPU reaches the
    /// old ones. Nobody faults meanwhile.
    pub fn replace(&self, address: u64, pages: u64, physical: u64) -> ShootdownReceipt {
        self.change(address, pages, |e| (e & !ADDRESS) | (physical & ADDRESS))
    }

    /// Changes what mapped pages allow, and waits until no CPU uses the old rights.
    pub fn protect(&self, address: u64, pages: u64, access: Access) {
        let _ = self.change(address, pages, |e| (e & ADDRESS) | access.bits() | USER);
    }

    fn edit_entries(&self, address: u64, pages: u64, f: impl Fn(u64) -> u64) -> bool {
        let mut changed = false;
        if check(address, pages).is_ok() {
            let _edit = self.edit.lock();
            for page in 0..pages {
                if let Some(s) = walk(self.root, address + page * FRAME_BYTES) {
                    let entry = s.get();
                    if entry & PRESENT != 0 {
                        s.set(f(entry));
                        changed = true;
                    }
                }
            }
        }
        changed
    }

    fn change(&self, address: u64, pages: u64, f: impl Fn(u64) -> u64) -> ShootdownReceipt {
        if self.edit_entries(address, pages, f) {
            shootdown::run(&self.active, address, pages, 0)
        } else {
            // SAFETY: nothing was mapped, so nothing can be cached.
            unsafe { ShootdownReceipt::after_shootdown() }
        }
    }

    /// Physical address behind a mapped user address.
    pub fn translate(&self, address: u64) -> Option<u64> {
        check(address & !(FRAME_BYTES - 1), 1).ok()?;
        let entry = walk(self.root, address)?.get();
        (entry & PRESENT != 0).then_some((entry & ADDRESS) | (address & (FRAME_BYTES - 1)))
    }

    /// Ends the space: no CPU has its root afterwards. For use before the frames it maps are freed at once.
    pub fn retire(&self) -> ShootdownReceipt {
        let _edit = self.edit.lock();
        // Tables must not be reused while a CPU may walk them: every CPU lets go of the root first.
        let receipt = shootdown::run(&self.active, 0, 0, self.root);
        self.active.store(0, Ordering::SeqCst);
        for at in 0..256 {
            let top = slot(self.root, at);
            let entry = top.get();
            if entry & PRESENT != 0 {
                top.set(0);
                free_below(entry & ADDRESS, 2);
            }
        }
        receipt
    }
}

/// Frees a table and the tables below it. The frames that leaves name are not ours.
fn free_below(table: u64, level: u32) {
    if level > 0 {
        for at in 0..512 {
            let entry = slot(table, at).get();
            if entry & PRESENT != 0 {
                free_below(entry & ADDRESS, level - 1);
            }
        }
    }
    frames::adopt(table).free_unmapped();
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let _ = self.retire();
        frames::adopt(self.root).free_unmapped();
    }
}

/// Loads a space on this CPU. `previous` is the one that was loaded, if any.
pub fn activate(space: &AddressSpace, previous: Option<&AddressSpace>) {
    if cpu::current_root() == space.root {
        return;
    }
    let me = 1u64 << cpu::index();
    space.active.fetch_or(me, Ordering::SeqCst);
    // SAFETY: the root's upper half is the kernel's.
    unsafe { cpu::load_root(space.root) };
    if let Some(previous) = previous {
        previous.active.fetch_and(!me, Ordering::SeqCst);
    }
}
