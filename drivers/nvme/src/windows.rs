//! Which registers a provider may read and write.
//!
//! No page of BAR 0 is mappable: page 0 holds ASQ, ACQ and CMBMSC, which are addresses, and the pages after it hold
//! doorbells (and, on many controllers, the MSI-X table).

use driver_core::{Access, Mappable, Window};
use nvme_format::regs;

/// Ranges a provider may read: what the controller can do and how it is. No register among them holds an address.
const READABLE: [(u8, u64, u64); driver_core::MAX_READABLE] = [
    (0, regs::CAP as u64, 8),
    (0, regs::VS as u64, 4),
    (0, regs::CC as u64, 4),
    (0, regs::CSTS as u64, 4),
];

/// Nothing can be mapped.
const MAPPABLE: &[Mappable] = &[];

/// With MSI-X the mask registers must not be touched (Base 1.4, 3.1.3), so nothing can be written.
const WINDOWS_MSIX: &[Window] = &[];

/// With pin or MSI interrupts a provider may mask and unmask its own vectors.
const WINDOWS_PIN: &[Window] = &[mask_register(regs::INTMS), mask_register(regs::INTMC)];

/// What a provider may touch of a controller with so many MSI-X vectors.
pub(crate) fn access(msix_vectors: u16) -> Access {
    Access {
        windows: if msix_vectors == 0 {
            WINDOWS_PIN
        } else {
            WINDOWS_MSIX
        },
        readable: READABLE.into(),
        mappable: MAPPABLE,
        ports: None,
    }
}

const fn mask_register(offset: usize) -> Window {
    Window {
        bar: 0,
        offset: offset as u64,
        width: 4,
        mask: u32::MAX as u64,
        allowed: |_| true,
    }
}
