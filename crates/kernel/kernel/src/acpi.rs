//! What the ACPI tables say, gathered once. Tables are reached only through the kernel's own mappings.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "boot: tables are read once"
)]

use alloc::vec;
use alloc::vec::Vec;

use acpi_tables::{
    EcamWindow, Fadt, InterruptSource, Madt, Mcfg, PhysReader, ReadError, Register, Root, Rule,
    Signature, Table, TableError, TableRef, find_s5,
};
use cpu::Lock;

use crate::power::Means;
use crate::ranges::in_memory;

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
    /// Physical address and first global interrupt of each I/O APIC.
    pub io_apics: Vec<(u64, u32)>,
    /// Where COM1's line arrives.
    pub com1: Option<InterruptSource>,
    /// The PM timer.
    pub pm_timer: Option<Register>,
    /// ECAM windows; empty where configuration space is reached through ports.
    pub ecam: Vec<EcamWindow>,
    /// Copies of the tables of remapping units, where there are such; checked once the bridges are known.
    pub dmar: Option<Result<Vec<u8>, TableError>>,
    /// As above, AMD's.
    pub ivrs: Option<Result<Vec<u8>, TableError>>,
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

fn copy<'b>(
    reader: &Reader,
    table: &TableRef,
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8], TableError> {
    *buffer = vec![0; table.length_bytes as usize];
    table.copy(reader, buffer).map(|t| t.bytes())
}

/// Reads one checked copy.
type ReadTable<'a> = &'a mut dyn FnMut(&mut Record, &[u8]) -> Result<(), TableError>;

/// Finds the one table of that name.
fn find(
    root: &Root,
    reader: &Reader,
    signature: Signature,
) -> Result<Option<TableRef>, TableError> {
    if sabotage!(FIRST_OF_TWO_TABLES) {
        return root.find(reader, signature);
    }
    root.find_unique(reader, signature)
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
    machine.io_apics = madt
        .io_apics()
        .map(|i| (u64::from(i.address), i.gsi_base))
        .collect();
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

#[expect(clippy::too_many_lines, reason = "from before the rule")]
fn read_into(rsdp: Option<u64>, record: &mut Record) -> Machine {
    let reader = Reader::default();
    let mut machine = Machine {
        local_apic: 0xfee0_0000,
        ..Machine::default()
    };
    let root = match rsdp.map(|address| Root::locate(&reader, address)) {
        Some(Ok(root)) => root,
        Some(Err(e)) => {
            refused(record, &e);
            return machine;
        }
        None => {
            crate::fact!("acpi.absent");
            return machine;
        }
    };
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
    let mut buffer = Vec::new();
    let mut with = |record: &mut Record, signature: Signature, f: ReadTable<'_>| {
        let read = match find(&root, &reader, signature) {
            Ok(Some(table)) => {
                copy(&reader, &table, &mut buffer).and_then(|bytes| f(record, bytes))
            }
            Ok(None) => return Ok(()),
            Err(e) => Err(e),
        };
        match &read {
            Ok(()) => record.note(signature, Fate::Read),
            Err(e) => refused(record, e),
        }
        read
    };
    let _ = with(record, Signature::MADT, &mut |record, bytes| {
        read_madt(&mut machine, record, bytes)
    });
    let _ = with(record, Signature::MCFG, &mut |record, bytes| {
        read_mcfg(&mut machine, record, bytes)
    });
    let mut keep = |record: &mut Record, signature| {
        let mut copied = None;
        let read = with(record, signature, &mut |_, bytes| {
            copied = Some(bytes.to_vec());
            Ok(())
        });
        match read {
            Ok(()) => copied.map(Ok),
            Err(e) => Some(Err(e)),
        }
    };
    machine.dmar = keep(record, Signature::DMAR);
    machine.ivrs = keep(record, Signature::IVRS);
    let mut fadt = None;
    let _ = with(record, Signature::FADT, &mut |_, bytes| {
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
                refused(record, &e);
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
