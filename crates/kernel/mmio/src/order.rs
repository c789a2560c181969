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

    pub(super) fn stored(value: bool) {
        STORED.set(value);
    }

    pub(super) fn telling(value: bool) {
        TELLING.set(value);
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
    pub(super) const fn stored(_: bool) {}
    pub(super) const fn telling(_: bool) {}
    pub(super) const fn check() {}
}

/// Notes that memory was written that the device may read.
#[inline]
pub fn note_stored() {
    kept::stored(true);
}

/// Notes that everything written before is visible to the device.
#[inline]
pub fn note_released() {
    kept::stored(false);
}

/// Does what tells the device of what was stored.
///
/// # Panics
/// On the host, at a register that is written in `work` before what was stored earlier was released.
#[inline]
pub fn tell(work: impl FnOnce()) {
    kept::telling(true);
    work();
    kept::telling(false);
}

#[inline]
pub(crate) fn check_released() {
    kept::check();
}
