//! Physical frames: who owns each, and when it may be handed out again.
//!
//! Owns the allocator of physical memory, the direct map's base, and one word for every frame: its use, and how many
//! entries of processes name it. A run of frames is a [`Frames`] value and has one owner; it returns to the allocator
//! only with a [`ShootdownReceipt`], scrubbed. Each run names the account that pays for it, rounding included, until it
//! returns. Invariant: it never hands out a frame that still holds another owner's bytes or that an entry still names,
//! none without a payer, and never decides by what a frame is used for.
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may fail"
    )
)]
#![no_std]
#![allow(unsafe_code)]

extern crate alloc;

#[cfg(sabotage)]
pub mod armed;
mod buddy;
mod payer;
mod room;
mod uses;

#[cfg(sabotage)]
pub use payer::{assert_kernel_pays, paid_by_nobody};

use core::sync::atomic::{AtomicU64, Ordering};

use cpu::Lock;
use mmio::SharedBytes;
use ring_abi::Refusal;

pub use buddy::MAX_ORDER;
use buddy::{Buddy, Content};
pub use payer::{
    Choice, Payer, Paying, Payment, lent, paid_by, paid_by_kernel, pay, put_choice_aside, set_root,
    set_source,
};
pub use room::{
    Grow, GrowAt, KEPT_BLOCKS, LARGEST_BLOCK, append, arc, boxed, draw, is_refusable,
    kept_was_used, list, more_room, refusable, reserve, set_keeper, text, widen, with_room,
};
pub use uses::{Use, entry_gone, entry_made};

/// Bytes of a frame.
pub const FRAME_BYTES: u64 = 4096;

static ALLOCATOR: Lock<Option<Buddy>> = Lock::new(None);
static DIRECT_MAP: AtomicU64 = AtomicU64::new(0);

/// Proof that no CPU holds a translation to the frames that are about to be freed.
///
/// Made by `paging` after every CPU that could have one has dropped it.
#[derive(Debug)]
#[must_use]
pub struct ShootdownReceipt(());

impl ShootdownReceipt {
    /// Makes a receipt.
    ///
    /// # Safety
    /// No CPU can still reach the frames it will be used for through anything but the direct map.
    pub const unsafe fn after_shootdown() -> Self {
        Self(())
    }
}

/// A naturally aligned run of 2^order frames with one owner.
///
/// It is never freed implicitly: dropping the value keeps the frames out of the allocator for good, which is what
/// quarantine means.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Frames {
    first: u32,
    order: u8,
}

impl Frames {
    /// Physical address of the first byte.
    pub const fn address(&self) -> u64 {
        self.first as u64 * FRAME_BYTES
    }

    /// Count of frames.
    pub const fn count(&self) -> u32 {
        1 << self.order
    }

    /// Length in bytes.
    pub const fn bytes(&self) -> usize {
        (FRAME_BYTES as usize) << self.order
    }

    /// The bytes through the direct map.
    pub fn shared(&self) -> SharedBytes {
        // SAFETY: the run is owned by this value and lies in the direct map for good.
        unsafe { SharedBytes::new(direct_map(self.address()), self.bytes()) }
    }

    /// Returns the run to the allocator, scrubbed here. A run that an entry still names stays out for good.
    pub fn free(self, receipt: ShootdownReceipt) {
        let _ = self.shared().zero(0, self.bytes());
        self.free_scrubbed(receipt);
    }

    /// Returns a run that its owner has scrubbed already.
    pub fn free_scrubbed(self, _receipt: ShootdownReceipt) {
        if !uses::end(self.first, self.count()) {
            // Withheld, and paid for.
            return;
        }
        let payer = with(|a| Some(a.free(self.first, self.order, Content::Zero)));
        if let Some(payer) = payer {
            // SAFETY: written when the run was allocated, and read once: the run was this value's.
            unsafe { Payer::from_word(payer) }.give_back(self.bytes() as u64);
        }
    }

    /// Gives the run another use than it was allocated for.
    pub fn set_use(&self, of: Use) {
        uses::begin(self.first, self.count(), of);
    }

    /// Returns a run that was never mapped anywhere but in the direct map.
    pub fn free_unmapped(self) {
        // SAFETY: this method's contract: page tables, kernel stacks' backing and buffers of the kernel itself.
        self.free(unsafe { ShootdownReceipt::after_shootdown() });
    }
}

/// How much memory there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames the allocator was given.
    pub total: u64,
    /// Frames free now.
    pub free: u64,
    /// Frames of the free ones that only the kernel itself gets.
    pub reserve: u64,
    /// Frames that were given back while something still named them, and stay out for good.
    pub withheld: u64,
}

fn with<R: Default>(f: impl FnOnce(&mut Buddy) -> R) -> R {
    ALLOCATOR.lock().as_mut().map_or_else(R::default, f)
}

/// Starts the allocator. `regions` are the usable ranges in bytes, page-aligned and apart; `top` is the end of
/// the highest address that will ever be added. The table of frames is carved out of the first region that has room.
/// Returns `false` when none has.
///
/// # Safety
/// Runs once, on one CPU. The regions are unused memory, and all of it is mapped at `direct_map_base`.
pub unsafe fn initialise(direct_map_base: u64, regions: &[(u64, u64)], top: u64) -> bool {
    DIRECT_MAP.store(direct_map_base, Ordering::Release);
    let count = top / FRAME_BYTES;
    let records_bytes = (count * buddy::RECORD_BYTES as u64).next_multiple_of(FRAME_BYTES);
    let words_bytes = (count * uses::WORD_BYTES as u64).next_multiple_of(FRAME_BYTES);
    let table_bytes = records_bytes + words_bytes;
    let Some(&(home, _)) = regions
        .iter()
        .find(|(start, end)| end - start > table_bytes)
    else {
        return false;
    };
    // SAFETY: the range lies in an unused region and in the direct map; nobody else gets it.
    let mut buddy = unsafe { Buddy::new(direct_map(home).cast(), count as usize) };
    // SAFETY: the part of the same range behind the records.
    unsafe { uses::initialise(direct_map(home + records_bytes).cast(), count as usize) };
    for &(start, end) in regions {
        let start = if start == home {
            start + table_bytes
        } else {
            start
        };
        buddy.add(start / FRAME_BYTES, end / FRAME_BYTES);
    }
    *ALLOCATOR.lock() = Some(buddy);
    true
}

/// Gives the allocator more memory, in whole frames: what the loader had in use.
///
/// # Safety
/// The range is unused from now on, lies below the `top` of [`initialise`], and is in the direct map.
pub unsafe fn add(start: u64, end: u64) {
    with(|a| a.add(start.div_ceil(FRAME_BYTES), end / FRAME_BYTES));
}

/// The direct map's address of a physical address.
pub fn direct_map(physical: u64) -> *mut u8 {
    (DIRECT_MAP.load(Ordering::Relaxed).wrapping_add(physical)) as *mut u8
}

/// Allocates 2^order zeroed frames in one run, which who pays on this CPU pays for.
pub fn allocate(order: u8, of: Use) -> Option<Frames> {
    allocate_leaving(order, 0, Payer::current(), of).ok()
}

/// As [`allocate`], for a store of memory that is paid for as it is taken out of the store. Leaves at least `least` frames.
pub fn allocate_unpaid(order: u8, least: u64, of: Use) -> Option<Frames> {
    allocate_leaving(order, least, Payer::NOBODY, of).ok()
}

fn allocate_leaving(order: u8, least: u64, payer: Payer, of: Use) -> Result<Frames, Refusal> {
    allocate_calling(order, least, payer, of, || ())
}

fn allocate_calling(
    order: u8,
    least: u64,
    payer: Payer,
    of: Use,
    wiped: impl FnMut(),
) -> Result<Frames, Refusal> {
    let bytes = FRAME_BYTES << order.min(MAX_ORDER);
    payer.take(bytes)?;
    let taken = take(order, least, payer, of, wiped);
    if taken.is_err() {
        payer.give_back(bytes);
    }
    taken
}

/// Takes a run for a payer who has paid. Where it has to be wiped, `wiped` is called after each page.
fn take(
    order: u8,
    least: u64,
    payer: Payer,
    of: Use,
    mut wiped: impl FnMut(),
) -> Result<Frames, Refusal> {
    #[cfg(sabotage)]
    if payer.is_refused() {
        return Err(Refusal::NoMemory);
    }
    let count = 1u64 << order.min(MAX_ORDER);
    let taken = with(|a| {
        let room = order <= MAX_ORDER && a.stats().free >= least + count;
        if room {
            a.allocate(order, payer.to_word())
        } else {
            None
        }
    });
    let (first, order, dirty) = taken.ok_or(Refusal::NoMemory)?;
    let frames = Frames { first, order };
    frames.set_use(of);
    if dirty {
        for page in (0..frames.bytes()).step_by(FRAME_BYTES as usize) {
            let _ = frames.shared().zero(page, FRAME_BYTES as usize);
            wiped();
        }
    }
    Ok(frames)
}

/// Frames that only the kernel itself gets: programs that use up their accounts must not take from it what it needs to
/// say so.
pub const KERNEL_RESERVE: u64 = 1024;

/// As [`allocate`], for memory that a program asks for: refused while it would leave less than the kernel's reserve.
///
/// # Errors
/// `OverBudget` where who pays cannot, `NoMemory`.
pub fn allocate_for_program(order: u8, of: Use) -> Result<Frames, Refusal> {
    allocate_leaving(order, KERNEL_RESERVE, Payer::current(), of)
}

/// As [`allocate_for_program`], for a long run: `wiped` is called after each page that had to be wiped, with no lock held
/// and the run in nobody's hands but the caller's.
///
/// # Errors
/// As for [`allocate_for_program`].
pub fn allocate_stepping(order: u8, of: Use, wiped: impl FnMut()) -> Result<Frames, Refusal> {
    allocate_calling(order, KERNEL_RESERVE, Payer::current(), of, wiped)
}

/// As [`allocate_for_program`], for one frame out of a payment for many.
///
/// # Errors
/// `OverBudget` where the payment is used up, `NoMemory`.
pub fn allocate_out_of(payment: &mut Payment, of: Use) -> Result<Frames, Refusal> {
    let payer = payment.split(FRAME_BYTES).ok_or(Refusal::OverBudget)?;
    take(0, KERNEL_RESERVE, payer, of, || ()).inspect_err(|_| payment.join(FRAME_BYTES))
}

/// Allocates one zeroed run of at least `bytes` for the kernel itself.
pub fn allocate_bytes(bytes: usize) -> Option<Frames> {
    let frames = bytes.div_ceil(FRAME_BYTES as usize).max(1);
    let order = frames.checked_next_power_of_two()?.trailing_zeros();
    allocate(u8::try_from(order).ok()?, Use::Kernel)
}

/// Takes back the single frame at `address`, which its owner keeps as a bare address: page tables do. One that is nobody's
/// to give back stays where it is when it is freed.
pub fn adopt(address: u64) -> Frames {
    Frames {
        first: (address / FRAME_BYTES) as u32,
        order: 0,
    }
}

/// How much is free.
pub fn stats() -> Stats {
    Stats {
        reserve: KERNEL_RESERVE,
        withheld: uses::withheld(),
        ..with(|a| a.stats())
    }
}
