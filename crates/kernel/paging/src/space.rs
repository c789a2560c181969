//! The lower half of one address space.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cpu::Lock;
use frames::{FRAME_BYTES, Frames, ShootdownReceipt, Use, entry_gone, entry_made};
use sabotage::sabotage;

use crate::USER_END;
use crate::shootdown::{self, Fate};
use crate::table::{
    ADDRESS, Access, PRESENT, Slot, USER, WRITE, first_present, index, present, slot, walk,
};

/// Why a page could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No frame for a page table.
    NoMemory,
    /// Nobody pays for a page table.
    OverBudget,
    /// Something is mapped there.
    Occupied,
    /// Not page-aligned user space.
    OutOfRange,
}

/// Where the frames of page tables come from, and who is told when one has gone back.
pub trait TableSource {
    /// A zeroed frame for one more table.
    ///
    /// # Errors
    /// `NoMemory`, `OverBudget`.
    fn take(&self) -> Result<Frames, MapError>;

    /// A table became empty, and its frame went back.
    fn freed(&self);
}

/// Tables that one step of [`AddressSpace::free_tables`] frees at most.
const TABLES_AT_ONCE: usize = 1;

/// One address space: a root whose upper half is the kernel's.
///
/// Each entry that names a table of the lower half counts that table's entries, so a table that becomes empty is seen at
/// once and goes back.
#[derive(Debug)]
pub struct AddressSpace {
    root: u64,
    /// CPUs that have, or may have, this root loaded.
    active: AtomicU64,
    /// No CPU may load it any more.
    retired: AtomicBool,
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

/// The entries that lead to a table of pages: in the root, in the table of level 2, in that of level 1.
#[derive(Clone, Copy)]
struct Path([Slot; 3]);

impl Path {
    fn pages(self) -> u64 {
        self.0[2].get() & ADDRESS
    }
}

/// Frames of tables that are linked no more, and that a CPU may still walk.
#[derive(Default)]
struct Unlinked {
    tables: [u64; 3],
    count: usize,
}

impl Unlinked {
    fn push(&mut self, table: u64) {
        if let Some(place) = self.tables.get_mut(self.count) {
            *place = table;
            self.count += 1;
        }
    }

    /// Every CPU has let go of the tables, all of whose entries are 0.
    fn free(self, receipt: ShootdownReceipt, source: &impl TableSource) {
        let mut receipt = Some(receipt);
        for table in self.tables.into_iter().take(self.count) {
            // SAFETY: the receipt is of a shootdown that came after the last of them was unlinked.
            let next = || unsafe { ShootdownReceipt::after_shootdown() };
            frames::adopt(table).free_scrubbed(receipt.take().unwrap_or_else(next));
            source.freed();
        }
    }
}

impl AddressSpace {
    /// Makes an empty space.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(source: &impl TableSource) -> Result<Self, MapError> {
        let frame = source.take()?;
        let root = frame.address();
        let from = crate::kernel_root();
        for block in (256..512).step_by(8) {
            let at = block..block + 8;
            if at.clone().fold(0, |any, at| any | slot(from, at).get()) != 0 {
                at.for_each(|at| slot(root, at).set(slot(from, at).get()));
            }
        }
        // A root by its word has the upper half.
        frame.set_use(Use::Root);
        Ok(Self {
            root,
            active: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            edit: Lock::new(()),
        })
    }

    /// Physical address of the root.
    pub const fn root(&self) -> u64 {
        self.root
    }

    /// The entries that lead to the table of an address, if all are there.
    fn path(&self, address: u64) -> Option<Path> {
        let top = slot(self.root, index(address, 3));
        let mut entries = [top; 3];
        let mut table = self.root;
        for (level, entry) in (1..=3).rev().zip(&mut entries) {
            *entry = slot(table, index(address, level));
            if entry.get() & PRESENT == 0 {
                return None;
            }
            table = entry.get() & ADDRESS;
        }
        Some(Path(entries))
    }

    /// As [`Self::path`], making what is missing. After an error, tables without an entry may be left.
    fn path_making(&self, address: u64, source: &impl TableSource) -> Result<Path, MapError> {
        let top = slot(self.root, index(address, 3));
        let mut entries = [top; 3];
        let mut table = self.root;
        let mut above: Option<Slot> = None;
        for (level, entry) in (1..=3).rev().zip(&mut entries) {
            *entry = slot(table, index(address, level));
            if entry.get() & PRESENT == 0 {
                let fresh = source.take()?.address();
                entry.set(fresh | PRESENT | WRITE | USER);
                if let Some(above) = above {
                    above.count_more(1);
                }
            }
            table = entry.get() & ADDRESS;
            above = Some(*entry);
        }
        Ok(Path(entries))
    }

    /// Enters pages in a row, where nothing is.
    ///
    /// # Errors
    /// See [`MapError`]; what was entered before stays.
    pub fn enter(
        &self,
        address: u64,
        pages: u64,
        access: Access,
        physical: impl Fn(u64) -> Option<u64>,
        source: &impl TableSource,
    ) -> Result<(), MapError> {
        check(address, pages)?;
        let bits = access.bits() | USER;
        let _edit = self.edit.lock();
        let mut done = 0;
        while done < pages {
            let at = address + done * FRAME_BYTES;
            let path = self
                .path_making(at, source)
                .inspect_err(|_| self.prune(at, source))?;
            let (table, first) = (path.pages(), index(at, 0));
            let here = (512 - first as u64).min(pages - done);
            let mut entered = 0;
            let outcome = (0..here).try_for_each(|n| {
                let s = slot(table, first + n as usize);
                if s.get() & PRESENT != 0 {
                    return Err(MapError::Occupied);
                }
                let page = physical(done + n).ok_or(MapError::OutOfRange)?;
                // Counted before it is there and until it is not: the count is never short.
                entry_made(page & ADDRESS);
                s.set((page & ADDRESS) | bits);
                entered += 1;
                Ok(())
            });
            path.0[2].count_more(entered);
            outcome.inspect_err(|_| self.prune(at, source))?;
            done += here;
        }
        Ok(())
    }

    /// Takes out whatever of the pages is entered. Tables that become empty go back at once. `true`: a CPU may still hold
    /// a translation; [`Self::shoot_down`] ends that.
    #[must_use]
    pub fn clear(&self, address: u64, pages: u64, source: &impl TableSource) -> bool {
        let mut cached = false;
        self.each_table(address, pages, |at, here, path| {
            let fewer = edit(path, at, here, |_| 0);
            if fewer == 0 {
                return;
            }
            let emptied = path.0[2].count_fewer(fewer) == 0;
            if !emptied || sabotage!(KEEP_EMPTY_TABLES) {
                cached = true;
                return;
            }
            let mut unlinked = Unlinked::default();
            self.unlink(path.0, &mut unlinked);
            // A page below each of the tables is dropped, which drops what is cached of the way to it too.
            let receipt = shootdown::run((self.root, &self.active), at, here, Fate::Stays);
            unlinked.free(receipt, source);
        });
        cached
    }

    /// Takes an empty table of pages out, and every table above that becomes empty by it.
    fn unlink(&self, path: [Slot; 3], unlinked: &mut Unlinked) {
        for (n, entry) in path.into_iter().enumerate().rev() {
            unlinked.push(entry.get() & ADDRESS);
            entry.set(0);
            let above = n.checked_sub(1).and_then(|n| path.get(n));
            if above.is_none_or(|above| above.count_fewer(1) > 0) {
                return;
            }
        }
    }

    /// Takes out the tables on the way to an address that have no entry: what an attempt left.
    fn prune(&self, address: u64, source: &impl TableSource) {
        let mut unlinked = Unlinked::default();
        let mut way = [None; 3];
        let mut table = self.root;
        for (level, place) in (1..=3).rev().zip(&mut way) {
            let entry = slot(table, index(address, level));
            if entry.get() & PRESENT == 0 {
                break;
            }
            *place = Some(entry);
            table = entry.get() & ADDRESS;
        }
        let mut left = way.into_iter().flatten().rev().peekable();
        while let Some(entry) = left.next_if(|entry| entry.count() == 0) {
            unlinked.push(entry.get() & ADDRESS);
            entry.set(0);
            if let Some(above) = left.peek() {
                above.count_fewer(1);
            }
        }
        if unlinked.count > 0 {
            // A CPU may have looked at them on its own, though nothing was there.
            let receipt = shootdown::run((self.root, &self.active), address, 1, Fate::Stays);
            unlinked.free(receipt, source);
        }
    }

    /// Puts one frame in the place of every page that is entered, with the rights they had. `true` as for [`Self::clear`].
    #[must_use]
    pub fn replace(&self, address: u64, pages: u64, physical: u64) -> bool {
        self.change(address, pages, |e| (e & !ADDRESS) | (physical & ADDRESS))
    }

    /// Changes what pages that are entered allow. `true` as for [`Self::clear`].
    #[must_use]
    pub fn protect(&self, address: u64, pages: u64, access: Access) -> bool {
        self.change(address, pages, |e| (e & ADDRESS) | access.bits() | USER)
    }

    fn change(&self, address: u64, pages: u64, f: impl Fn(u64) -> u64) -> bool {
        let mut changed = 0;
        self.each_table(address, pages, |at, here, path| {
            changed += edit(path, at, here, &f);
        });
        changed > 0
    }

    /// Calls `f` with each stretch of the range that lies in one table of pages, where there is such a table.
    fn each_table(&self, address: u64, pages: u64, mut f: impl FnMut(u64, u64, Path)) {
        if check(address, pages).is_err() {
            return;
        }
        let _edit = self.edit.lock();
        let mut done = 0;
        while done < pages {
            let at = address + done * FRAME_BYTES;
            let here = (512 - index(at, 0) as u64).min(pages - done);
            if let Some(path) = self.path(at) {
                f(at, here, path);
            }
            done += here;
        }
    }

    /// Waits until no CPU holds an old translation of the range.
    pub fn shoot_down(&self, address: u64, pages: u64) -> ShootdownReceipt {
        shootdown::run((self.root, &self.active), address, pages, Fate::Stays)
    }

    /// Physical address behind a mapped user address. No table of it goes meanwhile: the caller sees to that.
    pub fn translate(&self, address: u64) -> Option<u64> {
        check(address & !(FRAME_BYTES - 1), 1).ok()?;
        let entry = walk(self.root, address)?.get();
        (entry & PRESENT != 0).then_some((entry & ADDRESS) | (address & (FRAME_BYTES - 1)))
    }

    /// Ends the use of the space: no CPU has its root afterwards, and none loads it any more.
    pub fn evict(&self) -> ShootdownReceipt {
        // Before the CPUs are counted: `activate` looks at it after it has counted its own in.
        self.retired.store(true, Ordering::SeqCst);
        let receipt = shootdown::run((self.root, &self.active), 0, 0, Fate::Goes);
        self.active.store(0, Ordering::SeqCst);
        receipt
    }

    /// Whether its use has ended: no CPU has to keep it.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Frees some tables of a space that was evicted. `true`: there are more.
    pub fn free_tables(&self, source: &impl TableSource) -> bool {
        if !self.retired.load(Ordering::SeqCst) {
            return false;
        }
        let _edit = self.edit.lock();
        for _ in 0..TABLES_AT_ONCE {
            let Some(top) = first_present(self.root, 256) else {
                return false;
            };
            let (mut above, mut named) = (None, top);
            // Down to a table that names no other.
            for level in (0..=2).rev() {
                if level == 0 || named.count() == 0 {
                    break;
                }
                match first_present(named.get() & ADDRESS, 512) {
                    Some(next) => (above, named) = (Some(named), next),
                    None => break,
                }
            }
            let table = named.get() & ADDRESS;
            let named_entries = named.count();
            named.set(0);
            if let Some(above) = above {
                above.count_fewer(1);
            }
            // No CPU walks it: it was evicted. What it names is not ours, and is named no more.
            if named_entries > 0 {
                present(table, 512).for_each(|slot| entry_gone(slot.get() & ADDRESS));
            }
            frames::adopt(table).free_unmapped();
            source.freed();
        }
        true
    }
}

/// Changes the present entries of a stretch within one table. Returns their count.
fn edit(path: Path, address: u64, pages: u64, f: impl Fn(u64) -> u64) -> u64 {
    let (table, first) = (path.pages(), index(address, 0));
    let mut changed = 0;
    for at in first..first + pages as usize {
        let s = slot(table, at);
        let entry = s.get();
        if entry & PRESENT != 0 {
            let new = f(entry);
            let moves = (new ^ entry) & (PRESENT | ADDRESS) != 0;
            if moves && new & PRESENT != 0 {
                entry_made(new & ADDRESS);
            }
            s.set(new);
            if moves {
                entry_gone(entry & ADDRESS);
            }
            changed += 1;
        }
    }
    changed
}

/// What is left when nobody is told of tables that go.
struct Untold;

impl TableSource for Untold {
    fn take(&self) -> Result<Frames, MapError> {
        Err(MapError::NoMemory)
    }
    fn freed(&self) {}
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        if !self.retired.load(Ordering::SeqCst) {
            let _ = self.evict();
        }
        while self.free_tables(&Untold) {}
        let frame = frames::adopt(self.root);
        // Freeing wipes it, and a root by its word has the upper half.
        frame.set_use(Use::Table);
        frame.free_unmapped();
    }
}

/// Loads a space on this CPU, or the kernel's own if the space was evicted. Where it was loaded before, the CPU is still counted in
/// mostly: it is counted out by the next shootdown that finds another one loaded.
pub fn activate(space: &AddressSpace) {
    if cpu::current_root() == space.root {
        return;
    }
    shootdown::count_in(&space.active, 1 << cpu::index());
    // Whoever evicts it sees this CPU counted in, or this CPU sees that it does: one that was counted in before is asked, and
    // answers with what it has loaded by then.
    let root = if space.retired.load(Ordering::SeqCst) {
        // Its tables are going.
        crate::kernel_root()
    } else {
        space.root
    };
    // SAFETY: the root's upper half is the kernel's.
    unsafe { cpu::load_root(root) };
}
