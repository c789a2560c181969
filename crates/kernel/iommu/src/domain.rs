//! One domain: what one function reaches during one claim.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use cpu::{Guard, Lock};
use dma_ledger::TranslationProof;
use domain_ledger::{Domain as Ledger, Owner, Retired, Scope, Window, Withdrawn};
use iommu_tables::{Access, DomainId, PAGE_BYTES, Table};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::memory::TablePages;
use crate::runs::{Written, in_one_piece, of_ledger, write_few, write_run};
use crate::tables::Tables;
use crate::terms::{Forget, Led};
use crate::unit::Unit;

/// A number that stands for none yet.
const FIRST: DomainId = DomainId::new(1).unwrap();
/// Entries that are written in one go, with the domain's lock held.
const STEP_PAGES: u64 = 64;
/// Pages of 4 KiB in the next larger one, which one entry holds.
const LARGE_PAGES: u64 = 512;
/// Tables that are freed in one go.
const STEP_TABLES: usize = 4;

/// Shows that a unit has forgotten pages, or the whole domain that they were in.
#[derive(Debug)]
pub struct Forgotten(());

impl Forgotten {
    fn pages(_withdrawn: Withdrawn<()>) -> Self {
        Self(())
    }

    const fn domain(_retired: &Retired) -> Self {
        Self(())
    }
}

impl TranslationProof for Forgotten {}

/// What a domain had mapped at its end, by counts that do not know of each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Books {
    /// Pages that its ledger had as mapped, less those that were given back since.
    pub mapped: u64,
    /// Entries for pages that were written, less those that were taken out; of a unit without tables, pages.
    pub written: u64,
    /// Entries for pages that its tables held when they were freed; pages that a unit without tables answered to have mapped.
    pub found: u64,
    /// Entries for pages of 2 MiB that were written, whatever became of them.
    pub large: u64,
    /// Tables that it had.
    pub tables: u64,
}

impl Books {
    /// Whether the tables held what was written into them and nothing else, and the ledger had `left` pages as mapped.
    pub const fn agree(&self, left: u64) -> bool {
        self.written == self.found && self.mapped == left
    }
}

#[derive(Debug)]
struct State {
    /// Gone once the unit has forgotten the domain.
    ledger: Option<Ledger<()>>,
    /// There from [`Domain::attach`] on.
    tables: Option<Tables>,
    memory: TablePages,
    /// Its function is blocked.
    ended: bool,
    /// The unit has forgotten it.
    retired: Option<Retired>,
    books: Books,
    /// Entries of all tables that were freed, those that lead to tables included.
    entries: u64,
}

/// A domain of its own for one function.
#[derive(Debug)]
pub struct Domain {
    unit: &'static Unit,
    owner: Owner,
    id: DomainId,
    state: Lock<State>,
    refused: AtomicU32,
}

/// Why a run is not mapped.
#[derive(Debug)]
pub struct NotMapped {
    /// Why.
    pub refusal: Refusal,
    /// Where its function may still reach some of it: the unit did not say that it forgot.
    pub left: Option<u64>,
}

impl From<Refusal> for NotMapped {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            left: None,
        }
    }
}

impl Domain {
    /// Makes a domain that maps nothing, and leads the function to it.
    ///
    /// # Errors
    /// `Exhausted` when the unit tells no more domains apart; `NoMemory`, `OverBudget`; `NotSupported` for a device
    /// that names no page; `DeviceError`: the unit does not answer.
    pub fn attach(
        unit: &'static Unit,
        source: u16,
        generation: u64,
        address_bits: u8,
    ) -> Result<Arc<Self>, Refusal> {
        let window = Window::of_bits(address_bits).ok_or(Refusal::NotSupported)?;
        if !unit.answers() {
            return Err(Refusal::DeviceError);
        }
        let owner = Owner { source, generation };
        let state = State {
            ledger: None,
            tables: None,
            memory: TablePages::new(unit.caches()),
            ended: false,
            retired: None,
            books: Books::default(),
            entries: 0,
        };
        let mut domain = frames::arc(Self {
            unit,
            owner,
            id: FIRST,
            state: Lock::new(state),
            refused: AtomicU32::new(0),
        })?;
        // Nobody else has it yet; what can fail here leaves nothing behind.
        let fresh = Arc::get_mut(&mut domain).ok_or(Refusal::NoMemory)?;
        let (id, root) = fresh.furnish(window)?;
        let led = unit
            .lead(source, id, root)
            .and_then(|()| unit.announce(&[Forget::Blocked(source), Forget::Domain(id)]));
        if let Err(refusal) = led {
            while domain.end().is_ok() && domain.shed() {}
            return Err(refusal);
        }
        Ok(domain)
    }

    /// Gives a new domain its first table, where its unit reads any, and its number.
    fn furnish(&mut self, window: Window) -> Result<(DomainId, Option<Table>), Refusal> {
        let unit = self.unit;
        let mut guard = self.state.lock();
        let State {
            ledger,
            tables,
            memory,
            ..
        } = &mut *guard;
        let made = Tables::new(unit.reader(), memory, unit.geometry());
        let made = made.ok_or(Refusal::NoMemory)?;
        let numbered = frames::refusable(|| {
            Ledger::new(&unit.clock, &mut unit.numbers.lock(), self.owner, window)
        });
        let Some(numbered) = numbered else {
            memory.free_one();
            return Err(Refusal::Exhausted);
        };
        let id = DomainId::new(numbered.number()).ok_or(Refusal::Exhausted)?;
        let root = made.root();
        *ledger = Some(numbered);
        *tables = Some(made);
        drop(guard);
        self.id = id;
        Ok((id, root))
    }

    /// Generation of the claim that it was made for.
    pub const fn generation(&self) -> u64 {
        self.owner.generation
    }

    /// Requester id of its function.
    pub const fn source(&self) -> u16 {
        self.owner.source
    }

    /// The unit below which it is.
    pub const fn unit(&self) -> &'static Unit {
        self.unit
    }

    /// Counts a request of its function that the unit refused; how many there are by now.
    pub fn count_refused(&self) -> u32 {
        self.refused
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1)
    }

    /// The number by which its unit knows it.
    pub const fn number(&self) -> u16 {
        self.id.get()
    }

    /// Whether the unit still knows it.
    pub fn is_live(&self) -> bool {
        self.state.lock().ledger.is_some()
    }

    /// Whether its unit translates and leads the function here and nowhere else, by what it reads: its status and its tables, read back.
    pub fn confines(&self) -> bool {
        let root = {
            let state = self.state.lock();
            match (&state.tables, state.ended) {
                (Some(tables), false) => tables.root(),
                _ => return false,
            }
        };
        let domain = self.id;
        // What a unit keeps itself cannot be read back.
        let Some(to) = root.map(|root| Led { root, domain }) else {
            return false;
        };
        let translates = self.unit.status().is_some_and(|status| status.translating);
        self.unit.answers() && translates && self.unit.leads(self.source(), to)
    }

    /// The page that an address leads to, by its tables as the unit reads them.
    pub fn leads(&self, iova: u64) -> Option<u64> {
        let state = self.state.lock();
        let tables = state.tables.as_ref().filter(|_| !state.ended)?;
        tables.translate(&state.memory, iova)
    }

    /// Pages that it maps, and tables that it takes.
    pub fn size(&self) -> (u64, usize) {
        let state = self.state.lock();
        let mapped = state.ledger.as_ref().map_or(0, Ledger::mapped_pages);
        (mapped, state.memory.count())
    }

    /// Maps pages one after the other, for what `access` says, and says where the device sees the first. `physical` gives each
    /// page's address; `look` is called now and then, with no lock held.
    ///
    /// # Errors
    /// `Revoked` once the domain has ended; `Exhausted` for want of device addresses; `NoMemory`; `DeviceError`.
    pub fn map(
        &self,
        pages: u64,
        access: Access,
        physical: impl Fn(u64) -> Option<u64>,
        mut look: impl FnMut(),
    ) -> Result<u64, NotMapped> {
        let first = physical(0).ok_or(Refusal::OutOfRange)?;
        if pages <= STEP_PAGES && self.unit.reads_tables() {
            let (iova, done) = self.map_few((first, pages), access, &physical)?;
            return self.tell(iova, (pages, done.0), done.1, look);
        }
        let reserved = self.with_ledger(|ledger| {
            let reserved = frames::refusable(|| ledger.reserve(self.owner, (), first, pages));
            reserved.map_err(|(refusal, ())| of_ledger(refusal))
        })?;
        let iova = reserved.iova();
        let mut outcome = Ok(());
        let mut done = 0;
        while done < pages && outcome.is_ok() {
            let written = self.write_entries((iova, access), done, pages - done, &physical);
            match written {
                Ok(written) => done += written,
                Err(refusal) => outcome = Err(refusal),
            }
            look();
        }
        let confirmed = self.with_ledger(|ledger| {
            let confirmed = ledger.confirm(reserved);
            confirmed.map_err(|_| Refusal::Revoked)
        });
        if let Err(refusal) = confirmed {
            // The domain has ended meanwhile: all of it is forgotten, or nothing is.
            let left = self.state.lock().retired.is_none().then_some(iova);
            return Err(NotMapped { refusal, left });
        }
        self.tell(iova, (pages, done), outcome, look)
    }

    /// As [`Self::map`], in one go: no more pages than are written with the lock held, into tables. Returns where they are, how
    /// many were written, and how that went.
    fn map_few(
        &self,
        (first, pages): (u64, u64),
        access: Access,
        physical: &impl Fn(u64) -> Option<u64>,
    ) -> Result<(u64, Written), NotMapped> {
        let mut state = self.state.lock();
        let State {
            ledger: Some(ledger),
            tables: Some(tables),
            memory,
            books,
            ended: false,
            ..
        } = &mut *state
        else {
            return Err(Refusal::Revoked.into());
        };
        let write = |iova| write_few((tables, memory, books), (iova, pages), access, physical);
        // What a table takes can be refused as well.
        let mapped = frames::refusable(|| ledger.map(self.owner, (), (first, pages), write));
        mapped.map_err(|(refusal, ())| of_ledger(refusal).into())
    }

    /// Tells the unit of a run, of which so many pages from the first on were written; where it was not all, it goes again.
    fn tell(
        &self,
        iova: u64,
        (pages, written): (u64, u64),
        outcome: Result<(), Refusal>,
        look: impl FnMut(),
    ) -> Result<u64, NotMapped> {
        let told = outcome.and_then(|()| self.unit.announce(&[self.run(iova, pages)]));
        let Err(refusal) = told else {
            return Ok(iova);
        };
        // The device may have used what was written.
        let unmapped = self.unmap_written(iova, (pages, written), look);
        let left = unmapped.is_err().then_some(iova);
        Err(NotMapped { refusal, left })
    }

    /// Writes entries for some of a run's pages from one on, and says for how many: one large page, or a few small ones.
    fn write_entries(
        &self,
        (iova, access): (u64, Access),
        from: u64,
        left: u64,
        physical: &impl Fn(u64) -> Option<u64>,
    ) -> Result<u64, Refusal> {
        let large = LARGE_PAGES * PAGE_BYTES;
        let at = iova + from * PAGE_BYTES;
        let first = physical(from).ok_or(Refusal::OutOfRange)?;
        if !self.unit.reads_tables() {
            let run = in_one_piece(physical, (from, first), left.min(LARGE_PAGES));
            return self.map_run((at, first), run, access);
        }
        // Looked at before the lock is taken: it is the longer part.
        let is_large = left >= LARGE_PAGES
            && (at | first).is_multiple_of(large)
            && in_one_piece(physical, (from, first), LARGE_PAGES) == LARGE_PAGES;
        let mut state = self.state.lock();
        if state.ended {
            return Err(Refusal::Revoked);
        }
        let State {
            tables: Some(tables),
            memory,
            books,
            ..
        } = &mut *state
        else {
            return Err(Refusal::Revoked);
        };
        if is_large && tables.room(memory, at) >= LARGE_PAGES {
            write_run(tables, memory, (at, first), LARGE_PAGES, access)?;
            books.written += 1;
            books.large += 1;
            return Ok(LARGE_PAGES);
        }
        let step = STEP_PAGES.min(left);
        let physical = |page| physical(from + page);
        let (_, outcome) = write_few((tables, memory, books), (at, step), access, &physical);
        outcome.map(|()| step)
    }

    /// Has a unit without tables map some pages, and says how many.
    fn map_run(&self, at: (u64, u64), pages: u64, access: Access) -> Result<u64, Refusal> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(Refusal::Revoked);
        }
        sabotage!(LEAVE_DEVICE_OPEN => return Ok(pages));
        self.unit.map_run(self.id, at, (pages, access))?;
        state.books.written += pages;
        Ok(pages)
    }

    /// Ends that a run is mapped, and returns once the unit has forgotten it.
    ///
    /// # Errors
    /// `DeviceError`: the unit does not answer.
    pub fn unmap(&self, iova: u64, pages: u64, look: impl FnMut()) -> Result<Forgotten, Refusal> {
        self.unmap_written(iova, (pages, pages), look)
    }

    /// As [`Self::unmap`], of a run of which so many pages from the first on were written.
    fn unmap_written(
        &self,
        iova: u64,
        (pages, written): (u64, u64),
        look: impl FnMut(),
    ) -> Result<Forgotten, Refusal> {
        let reads_tables = self.unit.reads_tables();
        let unmapped = {
            let mut state = match reads_tables {
                true => self.clear_entries(iova, pages, look),
                false => self.note_cleared(written),
            };
            let State {
                ledger,
                retired,
                books,
                ..
            } = &mut *state;
            match (ledger.as_mut(), retired) {
                // The whole domain was forgotten meanwhile.
                (None, Some(retired)) => {
                    books.mapped = books.mapped.saturating_sub(pages);
                    return Ok(Forgotten::domain(retired));
                }
                (None, None) => return Err(Refusal::DeviceError),
                (Some(ledger), _) => ledger
                    .unmap(self.owner, &self.unit.clock, iova, |_| ())
                    .map_err(of_ledger)?,
            }
        };
        let scope = Scope::Run {
            domain: self.id.get(),
            iova,
            pages,
        };
        let told = if reads_tables { pages } else { written };
        let mut commands: &[Forget] = &[self.run(iova, told)];
        if told == 0 {
            commands = &[];
        }
        if sabotage!(SKIP_IOTLB_FLUSH) {
            commands = &[];
        }
        let receipt = self.unit.flush(scope, commands)?;
        let mut state = self.state.lock();
        let State {
            ledger, retired, ..
        } = &mut *state;
        match (ledger.as_mut(), retired) {
            (None, Some(retired)) => Ok(Forgotten::domain(retired)),
            (None, None) => Err(Refusal::DeviceError),
            (Some(ledger), _) => match ledger.forget(unmapped, &receipt) {
                Ok(withdrawn) => Ok(Forgotten::pages(withdrawn)),
                Err((refusal, _)) => Err(of_ledger(refusal)),
            },
        }
    }

    /// Takes the entries of a run out of the tables, as far as they are there and the domain goes on. The lock is held when the last
    /// ones have gone.
    fn clear_entries(&self, iova: u64, pages: u64, mut look: impl FnMut()) -> Guard<'_, State> {
        let mut done = 0;
        loop {
            let mut state = self.state.lock();
            let State {
                tables: Some(tables),
                memory,
                books,
                ended: false,
                ..
            } = &mut *state
            else {
                return state;
            };
            for _ in 0..STEP_PAGES {
                if done >= pages {
                    break;
                }
                let unmapped = tables.unmap_page(memory, iova + done * PAGE_BYTES);
                books.written -= u64::from(unmapped > 0);
                // A run that was refused half-way has pages that never were there.
                done += unmapped.max(1);
            }
            if done >= pages {
                return state;
            }
            drop(state);
            look();
        }
    }

    /// Notes that a unit without tables is to have some pages no more.
    fn note_cleared(&self, pages: u64) -> Guard<'_, State> {
        let mut state = self.state.lock();
        if !state.ended {
            state.books.written = state.books.written.saturating_sub(pages);
        }
        state
    }

    /// Blocks the function, and ends everything that the domain maps.
    ///
    /// # Errors
    /// `DeviceError`: the unit does not answer.
    pub fn end(&self) -> Result<Forgotten, Refusal> {
        let mut state = self.state.lock();
        let State { ledger, books, .. } = &mut *state;
        let Some(mut one) = ledger.take() else {
            let retired = state.retired.as_ref().ok_or(Refusal::DeviceError)?;
            return Ok(Forgotten::domain(retired));
        };
        books.mapped = one.mapped_pages();
        state.ended = true;
        self.unit.block(self.source())?;
        state.entries = self.unit.pages_of(self.id);
        one.end(&self.unit.clock);
        let forget = [
            Forget::Function {
                source: self.source(),
                domain: self.id,
            },
            Forget::Domain(self.id),
        ];
        let receipt = self.unit.flush(Scope::Domain(self.id.get()), &forget)?;
        let retired = one.retire(&mut self.unit.numbers.lock(), &receipt);
        let retired = retired.map_err(|(refusal, _)| of_ledger(refusal))?;
        state.books.tables = state.memory.count() as u64;
        let forgotten = Forgotten::domain(&retired);
        state.retired = Some(retired);
        Ok(forgotten)
    }

    /// Frees some tables of a domain that the unit has forgotten. `false`: there were none.
    pub fn shed(&self) -> bool {
        let mut state = self.state.lock();
        if state.retired.is_none() {
            return false;
        }
        for _ in 0..STEP_TABLES {
            let Some(entries) = state.memory.free_one() else {
                return false;
            };
            state.entries += entries;
        }
        true
    }

    /// The counts, once [`Self::shed`] has found nothing more.
    pub fn books(&self) -> Books {
        let state = self.state.lock();
        Books {
            // Each table but the first was led to by one entry.
            found: state
                .entries
                .saturating_sub(state.books.tables.saturating_sub(1)),
            ..state.books
        }
    }

    const fn run(&self, iova: u64, pages: u64) -> Forget {
        Forget::Run {
            domain: self.id,
            iova,
            pages,
        }
    }

    fn with_ledger<R>(
        &self,
        act: impl FnOnce(&mut Ledger<()>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let mut state = self.state.lock();
        act(state.ledger.as_mut().ok_or(Refusal::Revoked)?)
    }
}
