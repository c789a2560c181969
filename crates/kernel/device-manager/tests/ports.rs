//! I/O ports: of one assigned BAR, while a claim lasts whose broker needs them, and read-only for its provider.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use device_manager::{Claim, MmioInfo, Refusal};
use machine::{FakeConfig, Machine, OWNER, bdf, script};
use pci_format::{Command, read_command};

const OUTSIDE: [u64; 4] = [0x20, 0x1000, 0x1_0000, u64::MAX - 3];

fn machine() -> Machine {
    Machine::with(FakeConfig::new().with_ports())
}

fn decodes(it: &Machine, device: u8) -> bool {
    read_command(&it.config, bdf(device)).contains(Command::IO_SPACE)
}

fn read(it: &Machine, claim: &Claim, offset: u64, width: u8) -> Result<u64, Refusal> {
    it.manager.mmio_read(claim, 1, offset, width)
}

#[test]
fn a_provider_reads_what_the_broker_lists_and_no_other_port() {
    script().lock().unwrap().port_bar = Some(1);
    let it = machine();
    assert!(!decodes(&it, 4));
    let claim = it.claim(0);
    assert!(decodes(&it, 4) && !decodes(&it, 5));
    let info = MmioInfo {
        bytes: 0x20,
        mappable_pages: 0,
    };
    assert_eq!(it.manager.mmio_info(&claim, 1), Ok(info));
    // The model's ports read as their own numbers.
    assert_eq!(read(&it, &claim, 0x14, 1), Ok(0x54));
    assert_eq!(read(&it, &claim, 0x16, 2), Ok(0xc056));
    assert_eq!(read(&it, &claim, 0x18, 4), Ok(0x5a5a_c058));
    for (offset, width) in [(0, 4), (0x10, 2), (0x12, 1), (0x13, 1), (0x1c, 1)] {
        assert_eq!(
            read(&it, &claim, offset, width),
            Err(Refusal::WindowRefused)
        );
    }
    for offset in OUTSIDE {
        assert_eq!(
            read(&it, &claim, offset, 4),
            Err(Refusal::OutOfRange),
            "{offset:#x}"
        );
    }
    assert_eq!(read(&it, &claim, 0x15, 2), Err(Refusal::Misaligned));
    assert_eq!(read(&it, &claim, 0x14, 3), Err(Refusal::BadArgument));
    // Eight bytes fit the list, and no port is that wide.
    let wide = it.manager.mmio_read(&claim, 1, 0x18, 8);
    assert_eq!(wide, Err(Refusal::WindowRefused));
    // The model panics at a write.
    for offset in [0, 0x12, 0x14, 0x18] {
        let written = it.manager.mmio_write(&claim, 1, offset, 1, 0);
        assert_eq!(written, Err(Refusal::WindowRefused));
    }
    for bytes in [0x20, 4096] {
        let mapped = it.manager.mmio_map(&claim, 1, 0, bytes);
        assert!(mapped.is_err());
    }
    // The other function's ports are nobody's, and the memory BAR is as ever.
    assert!(it.manager.mmio_info(&claim, 2).is_err());
    assert_eq!(
        it.manager.mmio_info(&claim, 0).map(|one| one.bytes),
        Ok(0x4000)
    );
}

#[test]
fn decoding_ends_with_the_claim() {
    script().lock().unwrap().port_bar = Some(1);
    let it = machine();
    let claim = it.claim(0);
    it.up(&claim);
    assert!(decodes(&it, 4));
    it.manager.release(&claim).unwrap();
    let late = read(&it, &claim, 0x14, 1);
    assert!(
        matches!(late, Err(Refusal::Revoked | Refusal::Stale)),
        "{late:?}"
    );
    it.settle();
    assert!(!decodes(&it, 4));
    let next = it.claim(0);
    assert!(decodes(&it, 4));
    assert_eq!(read(&it, &next, 0x14, 1), Ok(0x54));
    assert_eq!(read(&it, &claim, 0x14, 1), Err(Refusal::Stale));
}

#[test]
fn a_device_that_never_stops_keeps_no_ports() {
    script().lock().unwrap().port_bar = Some(1);
    let it = Machine::with(FakeConfig::new().with_ports().without_flr());
    let claim = it.claim(0);
    it.up(&claim);
    script().lock().unwrap().reset_looks = None;
    it.manager.release(&claim).unwrap();
    it.settle();
    assert_eq!(it.try_claim(0, OWNER), Err(Refusal::Quarantined));
    assert!(!decodes(&it, 4));
}

#[test]
fn a_broker_that_needs_no_ports_has_none_and_the_function_does_not_answer() {
    let config = FakeConfig::new().with_ports();
    // As firmware leaves it: everything on.
    config.edit(bdf(4), 4, 0x0010_0007);
    let it = Machine::with(config);
    assert!(!decodes(&it, 4));
    let claim = it.claim(0);
    it.up(&claim);
    assert!(!decodes(&it, 4));
    assert_eq!(it.manager.mmio_info(&claim, 1), Err(Refusal::OutOfRange));
    // Listed all the same: there is no way to reach it.
    assert_eq!(read(&it, &claim, 0x14, 1), Err(Refusal::OutOfRange));
}

#[test]
fn a_broker_gets_ports_of_an_assigned_port_bar_alone() {
    for (bar, assigned) in [(0, true), (2, true), (6, true), (255, true), (1, false)] {
        script().lock().unwrap().port_bar = Some(bar);
        let config = FakeConfig::new().with_ports();
        if !assigned {
            config.edit(bdf(4), 0x14, 1);
        }
        let it = Machine::with(config);
        assert_eq!(
            it.try_claim(0, OWNER),
            Err(Refusal::DeviceError),
            "BAR {bar}"
        );
        assert!(!decodes(&it, 4));
        // Nothing of the attempt stays: the function is free.
        script().lock().unwrap().port_bar = None;
        it.claim(0);
        assert_eq!(script().lock().unwrap().brokers, 1);
    }
}
