//! What firmware says: its tables, and the units that could translate devices' addresses.

use sdk::{
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
    diagnostics::machine_inspector::{Fate, UnitState},
    fact,
};
use shell_lang::show::{Align, Table};
use terminal::Failure;

use crate::held::{Held, inspector, place};
use crate::output::{Outcome, Output, collect};

/// The ACPI tables.
pub fn acpi(held: &Held, to: &mut Output<'_>) -> Outcome {
    let inspector = inspector(held)?;
    let tables = collect("tables", |from| {
        inspector
            .tables(place(from), |results| {
                let mut list = Vec::new();
                for t in results.list()?.iter() {
                    let rule = t.rule()?.to_string();
                    list.push((t.signature(), t.length_bytes(), t.fate()?, rule));
                }
                Ok((u64::from(results.next()), list))
            })
            .and_then(|r| r)
    })?;
    let mut table = Table::new(&[
        ("TABLE", Align::Left),
        ("BYTES", Align::Right),
        ("FATE", Align::Left),
    ]);
    for (signature, bytes, fate, rule) in &tables {
        // Firmware's bytes: whatever is no letter shows as what it is.
        let name: String = signature.to_le_bytes().map(char::from).iter().collect();
        let fate = match fate {
            Fate::Unused => String::from("not needed"),
            Fate::Read => String::from("read"),
            Fate::Refused => format!("refused: {rule}"),
        };
        table.row([name, bytes.to_string(), fate]);
    }
    let of = |what: Fate| tables.iter().filter(|t| t.2 == what).count();
    fact!(
        "diagnostics.acpi",
        tables ~ tables.len(),
        any = !tables.is_empty(),
        read = of(Fate::Read),
        refused = of(Fate::Refused)
    );
    to.listing(table.lines(), 1)
}

fn units(held: &Held) -> Result<Vec<String>, Failure> {
    let inspector = inspector(held)?;
    collect("units", |from| {
        inspector
            .units(place(from), |results| {
                let mut list = Vec::new();
                for u in results.list()?.iter() {
                    let has = |yes: bool, what: &'static str| if yes { what } else { "" };
                    let state = match u.state()? {
                        UnitState::Unread => String::from("not looked at"),
                        UnitState::Refused => format!("refused: {}", u.fault()?),
                        UnitState::Verified => format!(
                            "version {}.{}, {} address bits, {} domains{}{}, {}, faults {:#x}",
                            u.major(),
                            u.minor(),
                            u.address_bits(),
                            u.domains(),
                            has(u.interrupt_remapping(), ", interrupts"),
                            has(u.queued_invalidation(), ", queue"),
                            if u.translating() { "translates" } else { "off" },
                            u.faults()
                        ),
                    };
                    let work = match u.on() {
                        false => String::new(),
                        true => format!(
                            "; {} domains map {} pages, {} interrupts have entries, {} requests refused",
                            u.in_use(),
                            u.mapped_pages(),
                            u.entries(),
                            u.refused()
                        ),
                    };
                    list.push(format!(
                        "unit {}, segment {:04x}{}: {state}{work}",
                        u.vendor()?,
                        u.segment(),
                        has(u.include_all(), ", all other functions")
                    ));
                }
                Ok((u64::from(results.next()), list))
            })
            .and_then(|r| r)
    })
}

/// How devices reach memory, and why not otherwise.
pub fn iommu(held: &Held, to: &mut Output<'_>) -> Outcome {
    let (mut lines, (backend, discovery, missing)) = inspector(held)?
        .translation(|results| {
            let t = results.translation()?;
            let missing = match t.missing()? {
                "" => "nothing",
                missing => missing,
            };
            let lines = Vec::from([
                format!(
                    "backend   {}, because of {}; the manifest says {}",
                    t.backend()?,
                    t.reason()?,
                    t.policy()?
                ),
                format!(
                    "units     {}; direct access still needs {missing}",
                    t.discovery()?
                ),
                format!(
                    "masters   {} functions: {} behind a unit, {} behind none, {} not certain",
                    t.functions(),
                    t.covered(),
                    t.uncovered(),
                    t.uncertain()
                ),
            ]);
            let words = (
                t.backend()?.to_string(),
                t.discovery()?.to_string(),
                missing.to_string(),
            );
            Ok((lines, words))
        })
        .and_then(|r| r)
        .map_err(Failure::about("translation"))?;
    let units = units(held)?;
    fact!(
        "diagnostics.iommu",
        backend = backend.as_str(),
        discovery = discovery.as_str(),
        missing = missing.as_str(),
        units = units.len()
    );
    lines.extend(units);
    to.listing(lines, 3)
}
