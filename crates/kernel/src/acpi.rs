//! What the ACPI tables say, gathered once. Tables are reached only through the kernel's own mappings.

use alloc::vec;
use alloc::vec::Vec;

use acpi_tables::{
    EcamWindow, Fadt, InterruptSource, Madt, Mcfg, PhysReader, ReadError, Register, Root,
    Signature, Table, TableError, TableRef, find_s5,
};
use cpu::Lock;

use crate::power::Means;

/// What the rest of the boot needs.
#[derive(Default)]
pub struct Machine {
    /// Local APIC ids of the processors to start, the boot processor among them.
    pub processors: Vec<u32>,
    /// Physical address of the local APIC registers.
    pub local_apic: u64,
    /// Physical address and first global interrupt of each I/O APIC.
    pub io_apics: Vec<(u64, u32)>,
    /// Where COM1's line arrives.
    pub com1: Option<InterruptSource>,
    /// The PM timer.
    pub pm_timer: Option<Register>,
    /// ECAM windows; empty where configuration space is reached through ports.
    pub ecam: Vec<EcamWindow>,
}

/// Maps table pages on demand and keeps them.
#[derive(Default)]
struct Reader(Lock<Vec<(u64, usize)>>);

impl Reader {
    fn page(&self, physical: u64) -> Result<usize, ReadError> {
        let mut pages = self.0.lock();
        if let Some((_, at)) = pages.iter().find(|(p, _)| *p == physical) {
            return Ok(*at);
        }
        if pages.len() >= 4096 {
            return Err(ReadError);
        }
        let at = paging::map_device(physical, 4096).map_err(|_| ReadError)? as usize;
        pages.push((physical, at));
        Ok(at)
    }
}

impl PhysReader for Reader {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let end = address.checked_add(buffer.len() as u64).ok_or(ReadError)?;
        if end >> 52 != 0 {
            return Err(ReadError);
        }
        for (i, byte) in buffer.iter_mut().enumerate() {
            let at = address + i as u64;
            let page = self.page(at & !4095)?;
            // SAFETY: the page is mapped for good; reads of firmware memory have no effect.
            *byte = unsafe { ((page + (at & 4095) as usize) as *const u8).read_volatile() };
        }
        Ok(())
    }
}

fn refused(e: &TableError) {
    let mut line = crate::log::Line::new();
    let _ = core::fmt::Write::write_fmt(&mut line, format_args!("{e}"));
    crate::fact!("acpi.refused", reason = line.text());
}

fn copy<'b>(
    reader: &Reader,
    table: &TableRef,
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8], TableError> {
    *buffer = vec![0; table.length_bytes as usize];
    table.copy(reader, buffer).map(|t| t.bytes())
}

/// Reads every table the kernel uses. A malformed table is refused by name and counts as absent.
pub fn read(rsdp: Option<u64>) -> Machine {
    let reader = Reader::default();
    let mut machine = Machine {
        local_apic: 0xfee0_0000,
        ..Machine::default()
    };
    let root = match rsdp.map(|address| Root::locate(&reader, address)) {
        Some(Ok(root)) => root,
        Some(Err(e)) => {
            refused(&e);
            return machine;
        }
        None => {
            crate::fact!("acpi.absent");
            return machine;
        }
    };
    let mut buffer = Vec::new();
    let mut with =
        |signature: Signature, f: &mut dyn FnMut(&[u8]) -> Result<(), TableError>| match root
            .find(&reader, signature)
        {
            Ok(Some(table)) => {
                let result = copy(&reader, &table, &mut buffer).and_then(&mut *f);
                result.unwrap_or_else(|e| refused(&e));
            }
            Ok(None) => {}
            Err(e) => refused(&e),
        };
    with(Signature::MADT, &mut |bytes| {
        let madt = Madt::parse(bytes)?;
        machine.local_apic = madt.local_apic_address();
        machine.io_apics = madt
            .io_apics()
            .map(|i| (u64::from(i.address), i.gsi_base))
            .collect();
        machine.processors = madt.processors().map(|p| p.apic_id).collect();
        machine.com1 = Some(madt.isa_source(crate::serial::LINE));
        crate::fact!(
            "acpi.madt",
            processors = machine.processors.len(),
            io_apics = machine.io_apics.len()
        );
        Ok(())
    });
    with(Signature::MCFG, &mut |bytes| {
        machine.ecam = Mcfg::parse(bytes)?.windows().collect();
        crate::fact!("acpi.mcfg", windows = machine.ecam.len());
        Ok(())
    });
    let mut fadt = None;
    with(Signature::FADT, &mut |bytes| {
        fadt = Some(Fadt::parse(bytes)?);
        Ok(())
    });
    if let Some(fadt) = fadt {
        machine.pm_timer = fadt.pm_timer;
        let s5 = fadt.dsdt.and_then(|address| {
            let found = TableRef::read(&reader, address, Signature::DSDT).and_then(|table| {
                let bytes = copy(&reader, &table, &mut buffer)?;
                find_s5(&Table::parse(bytes, Signature::DSDT)?)
            });
            found.unwrap_or_else(|e| {
                refused(&e);
                None
            })
        });
        crate::power::note(Means {
            pm1a: fadt.pm1a_control,
            pm1b: fadt.pm1b_control,
            s5,
            reset: fadt.reset,
        });
        crate::fact!(
            "acpi.fadt",
            pm_timer = fadt.pm_timer.is_some(),
            power_off = s5.is_some(),
            reset = fadt.reset.is_some()
        );
    }
    machine
}
