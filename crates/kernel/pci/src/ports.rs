//! Configuration mechanism #1: an address port and a data port (PCI 3.2.2.3.2).

use cpu::Lock;
use units::Bdf;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// The two ports are one register file for the whole machine: address and data belong together.
static PORTS: Lock<()> = Lock::new(());

const fn address(bdf: Bdf, offset: u16) -> u32 {
    ENABLE | (bdf.requester_id() as u32) << 8 | (offset & 0xfc) as u32
}

/// Whether the ports answer: the enable bit and the address read back as written.
pub(crate) fn present() -> bool {
    let _held = PORTS.lock();
    // SAFETY: this crate is the one user of the two ports; the address register has no side effect.
    unsafe {
        cpu::port::write32(ADDRESS, ENABLE);
        cpu::port::read32(ADDRESS) == ENABLE
    }
}

/// Reads a dword of the first 256 bytes of a function of segment 0.
pub(crate) fn read(bdf: Bdf, offset: u16) -> u32 {
    let _held = PORTS.lock();
    // SAFETY: as in `present`; a configuration read where no function is gives all ones.
    unsafe {
        cpu::port::write32(ADDRESS, address(bdf, offset));
        cpu::port::read32(DATA)
    }
}

/// Writes a dword of the first 256 bytes of a function of segment 0.
pub(crate) fn write(bdf: Bdf, offset: u16, value: u32) {
    let _held = PORTS.lock();
    // SAFETY: as in `present`; what the write means is the caller's business, who holds the configuration access.
    unsafe {
        cpu::port::write32(ADDRESS, address(bdf, offset));
        cpu::port::write32(DATA, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_register_takes_function_and_dword() {
        let bdf = Bdf::new(0, 0x12, 0x1f, 7).unwrap();
        assert_eq!(address(bdf, 0x7c), 0x8012_ff7c);
        assert_eq!(address(Bdf::from_u32(0), 0), 0x8000_0000);
    }
}
