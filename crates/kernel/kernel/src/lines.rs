//! I/O APICs, and at which of their inputs the interrupt pins of devices arrive.
//!
//! The ACPI namespace would tell, but nobody here interprets AML; so pins are known where firmware has left a
//! MultiProcessor table, and elsewhere a device without messages is polled.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "boot: controllers are found once"
)]

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};

use acpi_tables::IoApic;
use device_manager::{Line, Message};
use mmio::Registers;
use mp_tables::{HEADER_BYTES, MpError, MpTable};
use units::Bdf;

use crate::acpi::Machine;

/// The area where the BIOS keeps tables.
const BIOS_AREA: (u64, usize) = (0xf_0000, 0x1_0000);
/// The last KiB of the memory below 640 KiB, and its size.
const BASE_END: u64 = 639 << 10;
const KIB: usize = 1024;
/// Where the BIOS data area holds the segment of the extended one.
const EBDA_SEGMENT: u64 = 0x40e;

struct Lines {
    io_apics: Vec<apic::IoApic>,
    /// The copied table, checked.
    table: Option<Vec<u8>>,
    /// What firmware says of each I/O APIC.
    listed: Vec<IoApic>,
}

static LINES: AtomicPtr<Lines> = AtomicPtr::new(core::ptr::null_mut());

fn lines() -> Option<&'static Lines> {
    // SAFETY: `initialise` stored a leaked box, or nothing yet.
    unsafe { LINES.load(Ordering::Acquire).as_ref() }
}

/// Masks every entry of every I/O APIC and reads where pins arrive. Returns how many entries there are, and the name of
/// what tells about pins.
pub fn initialise(machine: &Machine) -> (u32, &'static str) {
    let mut io_apics = Vec::new();
    let mut inputs = 0;
    for one in &machine.io_apics {
        let Ok(base) = paging::map_device(one.address.into(), 4096) else {
            continue;
        };
        // SAFETY: an I/O APIC's page, mapped uncached for good.
        let io = apic::IoApic::new(unsafe { Registers::new(base, 4096) }, one.gsi_base);
        inputs += io.range().1;
        io_apics.push(io);
    }
    let table = read_table();
    let source = table.as_ref().map_or("none", |_| "mp-table");
    let lines = Lines {
        io_apics,
        table,
        listed: machine.io_apics.clone(),
    };
    LINES.store(
        alloc::boxed::Box::leak(alloc::boxed::Box::new(lines)),
        Ordering::Release,
    );
    (inputs, source)
}

/// Copies firmware's memory.
fn copy(physical: u64, bytes: usize) -> Option<Vec<u8>> {
    let start = physical & !4095;
    let offset = (physical - start) as usize;
    let base = paging::map_device(start, (offset + bytes) as u64).ok()?;
    let mut buffer = vec![0; bytes];
    for (at, byte) in buffer.iter_mut().enumerate() {
        // SAFETY: mapped for good, for this many bytes; reads of firmware memory have no effect.
        *byte = unsafe { base.add(offset + at).read_volatile() };
    }
    Some(buffer)
}

fn read_table() -> Option<Vec<u8>> {
    let segment = copy(EBDA_SEGMENT, 2).and_then(|b| b.try_into().ok());
    let ebda = segment.map(u16::from_le_bytes).map(|s| u64::from(s) << 4);
    let ebda = ebda.filter(|at| (0x8_0000..0xa_0000).contains(at));
    // Where to look, in this order (MultiProcessor Specification 1.4, section 4).
    let areas = [
        ebda.map(|at| (at, KIB)),
        Some((BASE_END, KIB)),
        Some(BIOS_AREA),
    ];
    let address = areas
        .into_iter()
        .flatten()
        .find_map(|(at, bytes)| mp_tables::find_table(&copy(at, bytes)?))?;
    let read = || -> Result<Vec<u8>, MpError> {
        let at = u64::from(address);
        let header = copy(at, HEADER_BYTES).ok_or(MpError::Truncated)?;
        let bytes = mp_tables::table_bytes(&header)?;
        let table = copy(at, bytes).ok_or(MpError::Truncated)?;
        MpTable::parse(&table)?;
        Ok(table)
    };
    match read() {
        Ok(table) => Some(table),
        Err(error) => {
            crate::fact!("boot.mp-table-refused", rule = error.name());
            None
        }
    }
}

/// Where a function's pin (1 to 4) arrives.
pub fn of_pin(function: Bdf, pin: u8) -> Option<Line> {
    let lines = lines()?;
    // The table was checked when it was read; it knows one segment.
    let table = MpTable::parse(lines.table.as_deref()?).ok()?;
    if function.segment() != 0 {
        return None;
    }
    let route = table.pin(function.bus(), function.device(), pin.checked_sub(1)?)?;
    let address = route.io_apic.address;
    let mut listed = lines.listed.iter();
    let first = listed.find(|one| one.address == address)?.gsi_base;
    let gsi = first.checked_add(u32::from(route.input))?;
    // A shared line that says things once would lose what one says while another is served.
    route.level.then_some(Line {
        gsi,
        level: route.level,
        active_low: route.active_low,
    })
}

fn on_its_io_apic(
    gsi: u32,
    f: impl Fn(&apic::IoApic) -> Result<(), apic::IoApicError>,
) -> Result<(), apic::IoApicError> {
    let all = lines().map_or(&[][..], |lines| &lines.io_apics);
    let of_it = |io: &&apic::IoApic| io.has(gsi);
    let io = all.iter().find(of_it);
    f(io.ok_or(apic::IoApicError::NoSuchInput)?)
}

/// Routes a line to a vector, masked. `false` where no I/O APIC has it, or its interrupt is in service.
pub fn route(line: &Line, message: &Message) -> bool {
    let to = crate::devices::pin(line, message);
    on_its_io_apic(line.gsi, |io| io.route(line.gsi, to)).is_ok()
}

/// Masks a line that is to be moved. `false`, and nothing has changed, where its interrupt is in service.
pub fn hold(gsi: u32) -> bool {
    on_its_io_apic(gsi, |io| io.hold(gsi)).is_ok()
}

/// The id of the I/O APIC that has a global interrupt.
pub fn io_apic_of(gsi: u32) -> Option<u8> {
    let listed = &lines()?.listed;
    // The one that begins last of those that do not begin behind it.
    let before = listed.iter().filter(|one| one.gsi_base <= gsi);
    before.max_by_key(|one| one.gsi_base).map(|one| one.id)
}

/// Masks a line.
pub fn mask(gsi: u32) {
    // A line that was routed has its I/O APIC.
    let _ = on_its_io_apic(gsi, |io| io.mask(gsi));
}

/// Lets a line be raised.
pub fn unmask(gsi: u32) {
    // As for `mask`.
    let _ = on_its_io_apic(gsi, |io| io.unmask(gsi));
}
