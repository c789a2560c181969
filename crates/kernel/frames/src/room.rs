//! Growth that can be refused, and room for what has no way to be refused.
//!
//! A list grows through the functions here. `Box`, `Arc` and the trees of the standard library cannot be refused on
//! stable Rust: [`with_room`] takes what they need first, from the account of who pays and from the kernel's heap, and
//! only then makes them.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use account::Account;
use cpu::{Lock, MAX_CPUS};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::payer::{Payer, is_accounted};

/// What is paid for and not yet allocated, by whom, on each CPU.
struct Room {
    left: AtomicU64,
    payer: AtomicPtr<Account>,
    /// Whether the heap keeps blocks for this CPU beside: see [`set_keeper`].
    kept: AtomicBool,
}

static ROOMS: [Room; MAX_CPUS] = [const {
    Room {
        left: AtomicU64::new(0),
        payer: AtomicPtr::new(core::ptr::null_mut()),
        kept: AtomicBool::new(false),
    }
}; MAX_CPUS];

/// CPUs on which what is allocated can be refused.
static REFUSABLE: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];

static KEEPER: Lock<Option<fn() -> bool>> = Lock::new(None);

/// Bytes of the largest block that [`with_room`] may be asked for: the heap keeps some of them for each CPU.
pub const LARGEST_BLOCK: usize = 3072;
/// How many blocks the heap keeps for each CPU: what one closure may make where no other memory is left.
pub const KEPT_BLOCKS: usize = 8;

/// Registers what makes the heap keep [`KEPT_BLOCKS`] blocks for this CPU that hold [`LARGEST_BLOCK`] bytes each; it says
/// whether it could.
pub fn set_keeper(f: fn() -> bool) {
    *KEEPER.lock() = Some(f);
}

/// The heap has used one of the blocks that it kept for this CPU.
pub fn kept_was_used() {
    ROOMS[cpu::index() % MAX_CPUS]
        .kept
        .store(false, Ordering::Relaxed);
}

#[cold]
fn keep(room: &Room) -> bool {
    let keeper = *KEEPER.lock();
    let kept = keeper.is_none_or(|keeper| keeper());
    room.kept.store(kept, Ordering::Relaxed);
    kept
}

/// Runs `f`, which allocates and can bear a refusal, without a look on the way: what it allocates is never lent.
#[inline]
pub fn refusable<R>(f: impl FnOnce() -> R) -> R {
    if !is_accounted() || sabotage!(LEND_WHAT_CAN_BE_REFUSED) {
        return f();
    }
    let flag = &REFUSABLE[cpu::index() % MAX_CPUS];
    // Written by this CPU alone.
    let before = flag.load(Ordering::Relaxed);
    flag.store(true, Ordering::Relaxed);
    let result = f();
    flag.store(before, Ordering::Relaxed);
    result
}

/// Whether what is being allocated on this CPU can be refused.
#[inline]
pub fn is_refusable() -> bool {
    is_accounted() && REFUSABLE[cpu::index() % MAX_CPUS].load(Ordering::Relaxed)
}

/// Runs `f`, which makes what has no way to be refused, without a look on the way. Who pays now has paid `bytes` for it
/// before, of which the rest is given back after, and the heap has blocks that nobody else gets: it cannot fail.
///
/// # Errors
/// `OverBudget`, `NoMemory`; `f` did not run then.
#[inline]
pub fn with_room<R>(bytes: u64, f: impl FnOnce() -> R) -> Result<R, Refusal> {
    if !is_accounted() {
        return Ok(f());
    }
    let room = &ROOMS[cpu::index() % MAX_CPUS];
    let payer = Payer::current();
    // Where no limit is kept, what cannot be refused is lent.
    #[cfg(sabotage)]
    let payer = if sabotage!(SKIP_QUOTA_CHECK) {
        Payer::root()
    } else {
        payer
    };
    payer.take(bytes)?;
    if !room.kept.load(Ordering::Relaxed) && !keep(room) {
        payer.give_back(bytes);
        return Err(Refusal::NoMemory);
    }
    // Written by this CPU alone.
    let before = (
        room.left.load(Ordering::Relaxed),
        room.payer.load(Ordering::Relaxed),
    );
    room.left.store(bytes, Ordering::Relaxed);
    room.payer.store(payer.as_ptr(), Ordering::Relaxed);
    let result = f();
    let rest = room.left.load(Ordering::Relaxed);
    room.left.store(before.0, Ordering::Relaxed);
    room.payer.store(before.1, Ordering::Relaxed);
    payer.give_back(rest);
    Ok(result)
}

/// Makes the room that `f` runs in larger by `bytes`, which who pays for it pays. For what learns on the way how much it
/// needs.
///
/// # Errors
/// `OverBudget`; also where there is no room to make larger.
pub fn more_room(bytes: u64) -> Result<(), Refusal> {
    if !is_accounted() {
        return Ok(());
    }
    let room = &ROOMS[cpu::index() % MAX_CPUS];
    let payer = room.payer.load(Ordering::Relaxed);
    if payer.is_null() {
        return Err(Refusal::OverBudget);
    }
    Payer::of(payer).take(bytes)?;
    let left = room.left.load(Ordering::Relaxed) + bytes;
    room.left.store(left, Ordering::Relaxed);
    Ok(())
}

/// Takes `bytes` out of the room of this CPU. `None`: there is none, or not as much.
#[inline]
pub fn draw(bytes: u64) -> Option<Payer> {
    if !is_accounted() {
        return None;
    }
    let room = &ROOMS[cpu::index() % MAX_CPUS];
    let left = room.left.load(Ordering::Relaxed).checked_sub(bytes)?;
    room.left.store(left, Ordering::Relaxed);
    Some(Payer::of(room.payer.load(Ordering::Relaxed)))
}

/// Most that the heap takes for a value on its own, with counts before it.
const fn bytes_of<T>() -> u64 {
    (size_of::<T>() + align_of::<T>() + 96) as u64
}

/// An `Arc` of a value that is paid for.
///
/// # Errors
/// As for [`with_room`]; the value is dropped then.
#[inline]
#[expect(clippy::disallowed_methods, reason = "room: this is where it is made")]
pub fn arc<T>(value: T) -> Result<Arc<T>, Refusal> {
    const { assert!(size_of::<T>() <= LARGEST_BLOCK) };
    with_room(bytes_of::<T>(), || Arc::new(value))
}

/// A `Box` of a value that is paid for.
///
/// # Errors
/// As for [`arc`].
#[inline]
#[expect(clippy::disallowed_methods, reason = "room: this is where it is made")]
pub fn boxed<T>(value: T) -> Result<Box<T>, Refusal> {
    const { assert!(size_of::<T>() <= LARGEST_BLOCK) };
    with_room(bytes_of::<T>(), || Box::new(value))
}

/// A list that grows only where who pays can pay.
pub trait Grow<T> {
    /// Makes room for `more`, and no more than that.
    ///
    /// # Errors
    /// `OverBudget`.
    fn grow(&mut self, more: usize) -> Result<(), Refusal>;

    /// Adds a value where there is room already.
    ///
    /// # Errors
    /// The value, where there is none.
    fn put(&mut self, value: T) -> Result<(), T>;

    /// Adds a value.
    ///
    /// # Errors
    /// `OverBudget`; the value is dropped then.
    fn add(&mut self, value: T) -> Result<(), Refusal>;
}

/// Takes room for more of what a list holds, at the cost of who pays on this CPU.
///
/// # Errors
/// `OverBudget`.
#[inline]
pub fn reserve<E>(more: impl FnOnce() -> Result<(), E>) -> Result<(), Refusal> {
    refusable(more).map_err(|_| Refusal::OverBudget)
}

/// A list that also grows in its middle.
pub trait GrowAt<T> {
    /// Adds a value before the one at `at`.
    ///
    /// # Errors
    /// `OverBudget`, `OutOfRange` past the end; the value is dropped then.
    fn add_at(&mut self, at: usize, value: T) -> Result<(), Refusal>;
}

impl<T> GrowAt<T> for Vec<T> {
    #[expect(clippy::disallowed_methods, reason = "room: it has it")]
    fn add_at(&mut self, at: usize, value: T) -> Result<(), Refusal> {
        if at > self.len() {
            return Err(Refusal::OutOfRange);
        }
        reserve(|| self.try_reserve(1))?;
        self.insert(at, value);
        Ok(())
    }
}

impl<T> Grow<T> for Vec<T> {
    #[inline]
    fn grow(&mut self, more: usize) -> Result<(), Refusal> {
        reserve(|| self.try_reserve_exact(more))
    }

    #[inline]
    #[expect(clippy::disallowed_methods, reason = "room: it has it")]
    fn put(&mut self, value: T) -> Result<(), T> {
        if self.len() == self.capacity() {
            return Err(value);
        }
        self.push(value);
        Ok(())
    }

    #[inline]
    #[expect(clippy::disallowed_methods, reason = "room: it has it")]
    fn add(&mut self, value: T) -> Result<(), Refusal> {
        if self.len() == self.capacity() {
            reserve(|| self.try_reserve(1))?;
        }
        self.push(value);
        Ok(())
    }
}

impl<T> Grow<T> for VecDeque<T> {
    #[inline]
    fn grow(&mut self, more: usize) -> Result<(), Refusal> {
        reserve(|| self.try_reserve_exact(more))
    }

    #[inline]
    #[expect(clippy::disallowed_methods, reason = "room: it has it")]
    fn put(&mut self, value: T) -> Result<(), T> {
        if self.len() == self.capacity() {
            return Err(value);
        }
        self.push_back(value);
        Ok(())
    }

    #[inline]
    #[expect(clippy::disallowed_methods, reason = "room: it has it")]
    fn add(&mut self, value: T) -> Result<(), Refusal> {
        if self.len() == self.capacity() {
            reserve(|| self.try_reserve(1))?;
        }
        self.push_back(value);
        Ok(())
    }
}

/// A list of what an iterator gives.
///
/// # Errors
/// `OverBudget`.
#[expect(clippy::disallowed_methods, reason = "room: it has it")]
pub fn list<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>, Refusal> {
    let mut items = items.into_iter();
    let mut list = Vec::new();
    let promised = items.size_hint().0;
    list.grow(promised)?;
    // What was promised goes in at once.
    list.extend(items.by_ref().take(promised));
    for item in items {
        list.add(item)?;
    }
    Ok(list)
}

/// A private copy of a text.
///
/// # Errors
/// `OverBudget`.
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "room: it has it"
)]
pub fn text(of: &str) -> Result<alloc::string::String, Refusal> {
    let mut copy = alloc::string::String::new();
    reserve(|| copy.try_reserve_exact(of.len()))?;
    copy.push_str(of);
    Ok(copy)
}

/// Makes a list `len` long, with zeros behind what there is.
///
/// # Errors
/// `OverBudget`.
#[expect(clippy::disallowed_methods, reason = "room: it has it")]
pub fn widen<T: Copy + Default>(list: &mut Vec<T>, len: usize) -> Result<(), Refusal> {
    if let Some(more) = len.checked_sub(list.capacity())
        && more > 0
    {
        list.grow(len - list.len())?;
    }
    list.resize(len, T::default());
    Ok(())
}

/// Puts bytes behind those of a list that has room for them.
///
/// # Errors
/// `OverBudget`, where it has none and there is none to be had.
#[expect(clippy::disallowed_methods, reason = "room: it has it")]
pub fn append<T: Copy>(list: &mut Vec<T>, more: &[T]) -> Result<(), Refusal> {
    if list.capacity() - list.len() < more.len() {
        list.grow(more.len())?;
    }
    list.extend_from_slice(more);
    Ok(())
}
