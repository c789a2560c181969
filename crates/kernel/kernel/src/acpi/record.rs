//! What the tables said, kept for whoever asks later. Nothing of it points into firmware's memory.

use alloc::vec::Vec;

use acpi_tables::{EcamWindow, IoApic, MadtCounts, Rule, Signature, TableError};
use cpu::Lock;

/// What became of one table that the root table lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The kernel has no use for it.
    Unused,
    /// It was read.
    Read,
    /// It broke this rule, and counts as absent.
    Refused(Rule),
}

/// One table that the root table lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableNote {
    /// Its name.
    pub signature: Signature,
    /// The length its header gives.
    pub length_bytes: u32,
    /// What became of it.
    pub fate: Fate,
}

/// Everything that is kept.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Which root table was used.
    pub root: Option<Signature>,
    /// What it lists, at most 256.
    pub tables: Vec<TableNote>,
    /// Tables that were refused, in the order in which they were found to be bad.
    pub refused: Vec<TableError>,
    /// How many entries of each kind the MADT has.
    pub madt: Option<MadtCounts>,
    /// I/O APICs that the MADT lists.
    pub io_apics: Vec<IoApic>,
    /// Windows that the MCFG lists.
    pub ecam: Vec<EcamWindow>,
}

static RECORD: Lock<Option<Record>> = Lock::new(None);

/// Keeps the record.
pub(super) fn keep(record: Record) {
    *RECORD.lock() = Some(record);
}

/// Runs `f` on the record, once the tables have been read.
pub fn with_record<R>(f: impl FnOnce(&Record) -> R) -> Option<R> {
    RECORD.lock().as_ref().map(f)
}

impl Record {
    /// Notes what became of a table.
    pub(super) fn note(&mut self, signature: Signature, fate: Fate) {
        for table in &mut self.tables {
            if table.signature == signature {
                table.fate = fate;
            }
        }
    }
}
