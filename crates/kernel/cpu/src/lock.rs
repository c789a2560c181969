//! The spin lock of kernel code.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// What a CPU does while it waits for a lock: answer TLB shootdowns, so that the holder may wait for this CPU.
static RELAX: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Registers the function that every spinning CPU calls. `paging` does this once at boot.
pub fn set_relax(f: fn()) {
    RELAX.store(f as *mut (), Ordering::Release);
}

/// Runs the registered function, then pauses.
pub fn relax() {
    let f = RELAX.load(Ordering::Acquire);
    if !f.is_null() {
        // SAFETY: only `set_relax` stores here, and it stores a `fn()`.
        let f: fn() = unsafe { core::mem::transmute(f) };
        f();
    }
    core::hint::spin_loop();
}

/// A spin lock for kernel code, which runs with interrupts off.
#[derive(Debug, Default)]
pub struct Lock<T: ?Sized> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the flag gives exclusive access to the value.
unsafe impl<T: ?Sized + Send> Send for Lock<T> {}
// SAFETY: as for Send.
unsafe impl<T: ?Sized + Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// Makes an open lock.
    pub const fn new(value: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> Lock<T> {
    /// Takes the lock, answering shootdowns while it waits.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        match self.try_lock() {
            Some(guard) => guard,
            None => self.wait_and_lock(),
        }
    }

    /// Apart from [`Self::lock`], whose callers are many and seldom wait.
    #[cold]
    #[inline(never)]
    fn wait_and_lock(&self) -> Guard<'_, T> {
        loop {
            while self.held.load(Ordering::Relaxed) {
                relax();
            }
            if let Some(guard) = self.try_lock() {
                return guard;
            }
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.held
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| {
                #[cfg(sabotage)]
                held::add(1);
                Guard { lock: self }
            })
    }

    /// Opens the lock whoever holds it: for the panic path alone, when nothing else will run.
    ///
    /// # Safety
    /// Every other CPU has stopped.
    pub unsafe fn force_unlock(&self) {
        self.held.store(false, Ordering::Release);
    }
}

/// Access to a locked value; opens the lock when dropped.
#[derive(Debug)]
pub struct Guard<'a, T: ?Sized> {
    lock: &'a Lock<T>,
}

impl<T: ?Sized> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock, and `&mut self` makes it the one user.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(sabotage)]
        held::add(-1);
        self.lock.held.store(false, Ordering::Release);
    }
}

/// How many locks this CPU holds, for the sabotage kernel, which stops at a look with one held.
#[cfg(sabotage)]
pub mod held {
    use core::sync::atomic::{AtomicI32, Ordering};

    static COUNTS: [AtomicI32; crate::MAX_CPUS] = [const { AtomicI32::new(0) }; crate::MAX_CPUS];

    /// This CPU's count; none before the CPU has its block, and none in a test on the host, which has no such block.
    fn mine() -> Option<&'static AtomicI32> {
        if cfg!(not(target_os = "none")) {
            return None;
        }
        let is_there = x86_64::registers::model_specific::GsBase::read().as_u64() != 0;
        is_there
            .then(crate::index)
            .and_then(|index| COUNTS.get(index))
    }

    pub(super) fn add(what: i32) {
        if let Some(count) = mine() {
            count.fetch_add(what, Ordering::Relaxed);
        }
    }

    /// Whether this CPU holds a lock.
    pub fn any() -> bool {
        mine().is_some_and(|count| count.load(Ordering::Relaxed) > 0)
    }
}
