//! Memory that a device may be given, and what processes map of it or of registers.

use alloc::sync::Arc;

use ::memory::{MemoryObject, PageList, Unmapped, Writes};
use device_manager::{FrameRun, Mapping, STEP_PAGES};
use dma_ledger::ShootdownProof;
use driver_core::{DeviceAddress, PageAddresses};
use frames::{Frames, ShootdownReceipt, Use};
use iommu::{Domain, Forgotten};
use mmio::SharedBytes;
use pieces::Several;
use sabotage::sabotage;
use stub::Refusal;

/// Who may go first while a run is made or mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Others {
    /// Whoever is more urgent: a buffer is made with no lock held.
    Go,
    /// Nobody: the lock of the function is held. So it is a broker's own run, which is short.
    Wait,
}

/// What is longer than this is a buffer, for which the manager holds no lock at its end either: more than a queue has.
const LOCKED_PAGES: usize = 64;

/// Runs of frames in one piece of a list.
const RUNS: usize = 512;

/// Frames for a device.
#[derive(Debug)]
pub struct Run {
    frames: Several<Frames, RUNS>,
    list: Arc<Addresses>,
    view: Option<SharedBytes>,
    /// Where its device sees it, if that is somewhere else.
    seen: Option<Seen>,
    others: Others,
    /// An alias of another run, or aliased by one: never freed.
    #[cfg(sabotage)]
    shared: core::sync::atomic::AtomicBool,
}

/// A run as it lies in a domain.
#[derive(Debug)]
struct Seen {
    first: u64,
    pages: PageAddresses,
}

/// Where the pages of a run are, for the device and for what maps them.
#[derive(Debug)]
struct Addresses(PageAddresses);

impl PageList for Addresses {
    fn count(&self) -> u64 {
        self.0.len() as u64
    }

    fn page(&self, at: u64) -> Option<u64> {
        let page = self.0.get(usize::try_from(at).ok()?)?;
        Some(page.bus())
    }
}

/// What a run is made of, while it is gathered.
struct Gathered {
    frames: Several<Frames, RUNS>,
    addresses: PageAddresses,
    others: Others,
}

impl Gathered {
    const fn new(others: Others) -> Self {
        Self {
            frames: Several::new(),
            addresses: PageAddresses::new(),
            others,
        }
    }

    /// Takes frames in, of which the device gets so many pages.
    fn take(&mut self, frames: Frames, pages: u32) -> Result<(), Refusal> {
        let first = frames.address();
        if let Err(frames) = frames::refusable(|| self.frames.push(frames)) {
            frames.free_unmapped();
            return Err(Refusal::OverBudget);
        }
        for page in 0..u64::from(pages) {
            let address = DeviceAddress::new(first + page * frames::FRAME_BYTES);
            frames::refusable(|| self.addresses.push(address)).map_err(|_| Refusal::OverBudget)?;
            self.others.step(self.addresses.len());
        }
        Ok(())
    }

    /// The run; where something is missing, what there is of it goes back: nobody has seen it.
    fn finish(
        mut self,
        all: Result<(), Refusal>,
        view: Option<SharedBytes>,
    ) -> Result<Run, Refusal> {
        let list = match all.and_then(|()| frames::arc(Addresses(self.addresses))) {
            Ok(list) => list,
            Err(refusal) => {
                while let Some(frames) = self.frames.pop() {
                    frames.free_unmapped();
                    self.others.step(self.frames.len());
                }
                return Err(refusal);
            }
        };
        Ok(Run {
            frames: self.frames,
            list,
            view,
            seen: None,
            others: self.others,
            #[cfg(sabotage)]
            shared: core::sync::atomic::AtomicBool::new(false),
        })
    }
}

impl Run {
    /// One run of frames, zeroed.
    pub(super) fn contiguous(pages: u32) -> Result<Self, Refusal> {
        Self::in_one_piece(pages, Others::Go)
    }

    /// The same for a broker, under the lock of its function.
    pub(super) fn own(pages: u32) -> Result<Self, Refusal> {
        Self::in_one_piece(pages, Others::Wait)
    }

    fn in_one_piece(pages: u32, others: Others) -> Result<Self, Refusal> {
        let whole = pages.max(1).checked_next_power_of_two();
        let order = whole.ok_or(Refusal::OutOfRange)?.trailing_zeros();
        #[cfg(sabotage)]
        let _nobody = (sabotage!(ROUNDING_FOR_NOTHING) && !pages.is_power_of_two())
            .then(frames::paid_by_nobody);
        let mut wiped = 0;
        let run = frames::allocate_stepping(order as u8, Use::Buffer, || {
            wiped += 1;
            others.step(wiped);
        })?;
        let view = run.shared().slice(0, pages as usize * 4096).ok();
        let mut gathered = Gathered::new(others);
        let all = gathered.take(run, pages);
        gathered.finish(all, view)
    }

    /// Single frames, zeroed.
    pub(super) fn scattered(pages: u32) -> Result<Self, Refusal> {
        let mut payment = frames::pay(u64::from(pages) * frames::FRAME_BYTES)?;
        let mut gathered = Gathered::new(Others::Go);
        let all = (0..pages).try_for_each(|_| {
            let frame = frames::allocate_out_of(&mut payment, Use::Buffer)?;
            gathered.take(frame, 1)
        });
        gathered.finish(all, None)
    }

    /// Notes that the frames are a broker's own.
    pub(super) fn keep_from_processes(&self) {
        for frames in self.frames.iter() {
            frames.set_use(Use::Queue);
        }
    }

    /// Wipes some pages from `from` on, and says where to go on.
    pub(super) fn scrub(&mut self, from: usize) -> Option<usize> {
        let pages = self.pages().len();
        let to = pages.min(from + STEP_PAGES);
        if let Some(view) = self.view {
            let _ = view.zero(from * 4096, (to - from) * 4096);
        } else {
            for at in from..to {
                let frame = self.frames.get(at)?;
                let _ = frame.shared().zero(0, frame.bytes());
            }
        }
        (to < pages).then_some(to)
    }

    /// Gives some wiped pages back; what is left.
    pub(super) fn free_some(mut self) -> Option<Self> {
        // A run that is dropped stays out of the allocator.
        sabotage!(SHARE_WINDOW => if self.shared.load(core::sync::atomic::Ordering::Relaxed) {
            return None;
        });
        if sabotage!(LEAK_FRAMES) {
            return None;
        }
        for _ in 0..STEP_PAGES {
            let frames = self.frames.pop()?;
            // SAFETY: the manager frees a run only after its mappings were revoked, with the proof the ledger asks for.
            frames.free_scrubbed(unsafe { ShootdownReceipt::after_shootdown() });
        }
        (!self.frames.is_empty()).then_some(self)
    }

    /// A second run over the same pages.
    #[cfg(sabotage)]
    pub(super) fn alias(&self) -> Option<Self> {
        use core::sync::atomic::{AtomicBool, Ordering};
        self.shared.store(true, Ordering::Relaxed);
        Some(Self {
            frames: Several::new(),
            list: self.list.clone(),
            view: self.view,
            seen: None,
            others: self.others,
            shared: AtomicBool::new(true),
        })
    }

    /// Maps the run into a domain.
    ///
    /// # Errors
    /// Those of [`Domain::map`]; `NoMemory`.
    pub(super) fn map_into(
        &mut self,
        domain: &Domain,
        access: iommu::Access,
    ) -> Result<(), Refusal> {
        let list = &self.list.0;
        let count = list.len();
        let others = self.others;
        let look = || {
            if count > STEP_PAGES {
                others.step(0);
            }
        };
        let physical = |at| {
            let page = list.get(usize::try_from(at).ok()?)?;
            Some(page.bus())
        };
        let noted = |first| Seen {
            first,
            pages: PageAddresses::new(),
        };
        let first = match domain.map(count as u64, access, physical, look) {
            Ok(first) => first,
            Err(not) => {
                // What may still be reached stays noted: `unmap_from` says whether it may be freed.
                self.seen = not.left.map(noted);
                return Err(not.refusal);
            }
        };
        let mut pages = PageAddresses::new();
        for at in 0..count {
            let address = DeviceAddress::new(first + at as u64 * frames::FRAME_BYTES);
            if frames::refusable(|| pages.push(address)).is_err() {
                self.seen = Some(noted(first));
                return Err(Refusal::NoMemory);
            }
            others.step(at + 1);
        }
        self.seen = Some(Seen { first, pages });
        Ok(())
    }

    /// Takes it out again; `None` where it was in none.
    ///
    /// # Errors
    /// `DeviceError`.
    pub(super) fn unmap_from(&self, domain: &Domain) -> Result<Option<Forgotten>, Refusal> {
        let Some(seen) = &self.seen else {
            return Ok(None);
        };
        let count = self.list.0.len();
        let look = || {
            if count > LOCKED_PAGES {
                self.others.step(0);
            }
        };
        let forgotten = domain.unmap(seen.first, count as u64, look);
        forgotten.map(Some)
    }

    /// Whether a domain, by its tables, leads each address that the run has there to the page that it is.
    pub(super) fn is_in(&self, domain: &Domain) -> bool {
        let Some(seen) = &self.seen else {
            return false;
        };
        let pages = seen.pages.iter().zip(self.list.0.iter());
        let mut leads = pages.map(|(iova, page)| domain.leads(iova.bus()) == Some(page.bus()));
        seen.pages.len() == self.list.0.len() && leads.all(|leads| leads)
    }

    /// Makes an object that maps the pages.
    pub(super) fn share(&self, writes: Writes) -> Option<Window> {
        let list: Arc<dyn PageList> = self.list.clone();
        MemoryObject::borrowed(list, writes).ok().map(Window)
    }
}

impl Others {
    /// Lets them go first after so many pages.
    fn step(self, done: usize) {
        if self == Self::Go && done.is_multiple_of(STEP_PAGES) {
            let _ = sched::point();
        }
    }
}

impl FrameRun for Run {
    fn pages(&self) -> &PageAddresses {
        match &self.seen {
            Some(seen) => &seen.pages,
            None => &self.list.0,
        }
    }

    fn view(&self) -> Option<SharedBytes> {
        self.view
    }
}

/// Made from the ledger of mappings alone, when nothing maps the pages and nothing will.
pub struct Shot(Unmapped);

impl ShootdownProof for Shot {}

/// Something processes can map, over a device's pages.
#[derive(Clone, Debug)]
pub struct Window(Arc<MemoryObject>);

impl Window {
    /// Register pages, read-only and uncached.
    pub(super) fn over_registers(physical: u64, pages: u32) -> Option<Self> {
        MemoryObject::registers(physical, pages).ok().map(Self)
    }

    /// The pages as an object.
    pub const fn object(&self) -> &Arc<MemoryObject> {
        &self.0
    }
}

impl Mapping for Window {
    type Proof = Shot;

    fn revoke(&self) -> Shot {
        sabotage!(KEEP_WINDOWS => return Shot(Unmapped::untrue()));
        // Returns when every region is unmapped and every CPU has answered the shootdown, whoever began the revocation.
        let shot = Shot(self.0.revoke());
        // Objects may be many, and each of them quickly done.
        let _ = sched::point();
        shot
    }

    fn revoke_some(&self) -> Option<Shot> {
        self.0.revoke_some().map(Shot)
    }
}
