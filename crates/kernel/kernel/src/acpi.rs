//! What the ACPI tables say, gathered once. Tables are reached only through the kernel's own mappings.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "boot: tables are read once"
)]

use alloc::vec;
use alloc::vec::Vec;

use acpi_tables::{
    EcamWindow, Fadt, InterruptSource, IoApic, Madt, Mcfg, PhysReader, ReadError, Register, Root,
    Rule, Signature, SleepTypes, Table, TableError, TableRef, find_s5,
};
use cpu::Lock;

use crate::power::Means;
use crate::ranges::in_memory;
use crate::wall::Rtc;

mod record;

pub use record::{Fate, with_record};
use record::{Record, TableNote};
use sabotage::sabotage;

/// What the rest of the boot needs.
#[derive(Default)]
pub struct Machine {
    /// Local APIC ids of the processors to start, the boot processor among them.
    pub processors: Vec<u32>,
    /// Physical address of the local APIC registers.
    pub local_apic: u64,
    /// The I/O APICs.
    pub io_apics: Vec<IoApic>,
    /// Where COM1's line arrives.
    pub com1: Option<InterruptSource>,
    /// The PM timer.
    pub pm_timer: Option<Register>,
    /// The real-time clock.
    pub rtc: Rtc,
    /// ECAM windows; empty where configuration space is reached through ports.
    pub ecam: Vec<EcamWindow>,
    /// Copies of the tables of remapping units, where there are such; checked once the bridges are known.
    pub dmar: Option<Result<Vec<u8>, TableError>>,
    /// As above, AMD's.
    pub ivrs: Option<Result<Vec<u8>, TableError>>,
    /// As above, a hypervisor's.
    pub viot: Option<Result<Vec<u8>, TableError>>,
}

/// Pages of an I/O APIC's registers, and of a local APIC's.
const APIC_BYTES: u64 = 4096;

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

fn refused(record: &mut Record, e: &TableError) {
    record.refused.push(*e);
    record.note(e.table, Fate::Refused(e.rule));
    state_refused(e);
}

/// States that a table was refused, and by which rule.
pub fn state_refused(e: &TableError) {
    let mut line = crate::line::Line::new();
    let _ = core::fmt::Write::write_fmt(&mut line, format_args!("{e}"));
    crate::fact!("acpi.refused", reason = line.text());
}

/// The tables below one root, read one after the other into one buffer.
struct Tables {
    reader: Reader,
    root: Root,
    buffer: Vec<u8>,
}

impl Tables {
    /// Finds the root, and notes every table that it lists.
    fn locate(rsdp: Option<u64>, record: &mut Record) -> Option<Self> {
        let reader = Reader::default();
        let Some(address) = rsdp else {
            crate::fact!("acpi.absent");
            return None;
        };
        let root = Root::locate(&reader, address)
            .inspect_err(|e| refused(record, e))
            .ok()?;
        record.root = Some(root.signature());
        record.tables = root
            .tables(&reader)
            .flatten()
            .map(|table| TableNote {
                signature: table.signature,
                length_bytes: table.length_bytes,
                fate: Fate::Unused,
            })
            .collect();
        Some(Self {
            reader,
            root,
            buffer: Vec::new(),
        })
    }

    /// Finds the one table of that name.
    fn find(&self, signature: Signature) -> Result<Option<TableRef>, TableError> {
        if sabotage!(FIRST_OF_TWO_TABLES) {
            return self.root.find(&self.reader, signature);
        }
        self.root.find_unique(&self.reader, signature)
    }

    /// Copies a table and checks the copy.
    fn copy(&mut self, table: &TableRef) -> Result<&[u8], TableError> {
        self.buffer = vec![0; table.length_bytes as usize];
        table
            .copy(&self.reader, &mut self.buffer)
            .map(|t| t.bytes())
    }

    /// Reads the table of that name, if there is one, and notes what became of it.
    fn read<R>(
        &mut self,
        record: &mut Record,
        signature: Signature,
        read: impl FnOnce(&mut Record, &[u8]) -> Result<R, TableError>,
    ) -> Option<Result<R, TableError>> {
        let found = self.find(signature).transpose()?;
        let read = found.and_then(|table| read(record, self.copy(&table)?));
        match &read {
            Ok(_) => record.note(signature, Fate::Read),
            Err(e) => refused(record, e),
        }
        Some(read)
    }

    /// What the DSDT says of S5.
    fn find_s5(&mut self, record: &mut Record, dsdt: u64) -> Option<SleepTypes> {
        let found = TableRef::read(&self.reader, dsdt, Signature::DSDT).and_then(|table| {
            let bytes = self.copy(&table)?;
            find_s5(&Table::parse(bytes, Signature::DSDT)?)
        });
        found.unwrap_or_else(|e| {
            refused(record, &e);
            None
        })
    }
}

/// Reads the MADT into what the machine is.
fn read_madt(machine: &mut Machine, record: &mut Record, bytes: &[u8]) -> Result<(), TableError> {
    let madt = Madt::parse(bytes)?;
    let registers = madt.io_apics().map(|one| u64::from(one.address));
    let mut registers = registers.chain([madt.local_apic_address()]);
    // Writing to a controller that lies in memory would change that memory.
    if registers.any(|address| in_memory(address, APIC_BYTES)) {
        return Err(TableError {
            table: Signature::MADT,
            rule: Rule::InMemory,
        });
    }
    machine.local_apic = madt.local_apic_address();
    machine.io_apics = madt.io_apics().collect();
    machine.processors = madt.processors().map(|p| p.apic_id).collect();
    machine.com1 = Some(madt.isa_source(crate::serial::LINE));
    let counts = madt.counts();
    record.madt = Some(counts);
    record.io_apics = madt.io_apics().collect();
    crate::fact!(
        "acpi.madt",
        processors = machine.processors.len(),
        io_apics = machine.io_apics.len(),
        overrides = counts.source_overrides,
        nmis = counts.nmi_sources + counts.local_nmis,
        unknown = counts.unknown
    );
    Ok(())
}

/// Reads the MCFG. Firmware's list counts as a whole or not at all: one bad window makes the others doubtful.
fn read_mcfg(machine: &mut Machine, record: &mut Record, bytes: &[u8]) -> Result<(), TableError> {
    let mcfg = Mcfg::parse(bytes)?;
    let mut windows = mcfg.windows();
    if windows.any(|window| in_memory(window.start().as_u64(), window.length_bytes())) {
        return Err(TableError {
            table: Signature::MCFG,
            rule: Rule::InMemory,
        });
    }
    machine.ecam = mcfg.windows().collect();
    record.ecam.clone_from(&machine.ecam);
    crate::fact!("acpi.mcfg", windows = machine.ecam.len());
    Ok(())
}

/// Reads every table the kernel uses. A malformed table is refused by name and counts as absent; so do two tables of one
/// name that differ.
pub fn read(rsdp: Option<u64>) -> Machine {
    let mut record = Record::default();
    let machine = read_into(rsdp, &mut record);
    record::keep(record);
    machine
}

fn read_into(rsdp: Option<u64>, record: &mut Record) -> Machine {
    let mut machine = Machine {
        local_apic: 0xfee0_0000,
        ..Machine::default()
    };
    let Some(mut tables) = Tables::locate(rsdp, record) else {
        return machine;
    };
    let _ = tables.read(record, Signature::MADT, |record, bytes| {
        read_madt(&mut machine, record, bytes)
    });
    let _ = tables.read(record, Signature::MCFG, |record, bytes| {
        read_mcfg(&mut machine, record, bytes)
    });
    machine.dmar = tables.read(record, Signature::DMAR, |_, bytes| Ok(bytes.to_vec()));
    machine.ivrs = tables.read(record, Signature::IVRS, |_, bytes| Ok(bytes.to_vec()));
    machine.viot = tables.read(record, Signature::VIOT, |_, bytes| Ok(bytes.to_vec()));
    let fadt = tables.read(record, Signature::FADT, |_, bytes| Fadt::parse(bytes));
    if let Some(Ok(fadt)) = fadt {
        machine.pm_timer = fadt.pm_timer;
        machine.rtc = Rtc::of(&fadt);
        let dsdt = fadt.dsdt;
        let s5 = dsdt.and_then(|address| tables.find_s5(record, address));
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
