//! On the host: whether what a device may read was made visible before the device was told of it.
//!
//! A processor of this family keeps the order of its stores by itself, so in a guest the mistake never shows. On the host it ends
//! the test. Invariant: nothing of it is in a guest.

#[cfg(not(any(target_os = "none", target_os = "uefi")))]
mod kept {
    extern crate std;

    use core::cell::Cell;

    std::thread_local! {
        /// Something was stored since the last release.
        static STORED: Cell<bool> = const { Cell::new(false) };
        /// Registers are written to tell the device of what was stored.
        static TELLING: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn store() {
        STORED.set(true);
    }

    pub(super) fn release() {
        STORED.set(false);
    }

    pub(super) fn tell(work: impl FnOnce()) {
        // What a provider wrote into its buffer is not seen here, and must be visible as well.
        STORED.set(true);
        TELLING.set(true);
        work();
        TELLING.set(false);
    }

    pub(super) fn check() {
        assert!(
            !TELLING.get() || !STORED.get(),
            "the doorbell was rung before release_to_device(): the device may look before what it is told of is there"
        );
    }
}

#[cfg(any(target_os = "none", target_os = "uefi"))]
mod kept {
    pub(super) const fn store() {}
    pub(super) const fn release() {}
    pub(super) const fn check() {}

    #[inline]
    pub(super) fn tell(work: impl FnOnce()) {
        work();
    }
}

/// Notes that memory was written that the device may read.
#[inline]
pub fn note_stored() {
    kept::store();
}

/// Notes that everything written before is visible to the device.
#[inline]
pub fn note_released() {
    kept::release();
}

/// Does what tells the device of what was stored.
///
/// # Panics
/// On the host, at a register that is written in `work` before what was stored earlier, by whomever, is released there.
#[inline]
pub fn tell(work: impl FnOnce()) {
    kept::tell(work);
}

#[inline]
pub(crate) fn check_released() {
    kept::check();
}
