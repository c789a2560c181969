//! PCI functions, and the ledger's records of those with a driver.

use core::fmt::Write as _;

use sdk::{
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
    device::device_registry::Kind,
    diagnostics::machine_inspector::{Books, ClaimState, Pool, Queue, QueueState},
    fact,
};
use shell_lang::show::{self, Align, Table};
use terminal::Failure;

use crate::held::{Held, inspector, place};
use crate::output::{Outcome, Output, collect};

/// A PCI function, copied out of a message.
pub struct Function {
    address: u32,
    id: (u16, u16),
    subsystem: (u16, u16),
    class: u32,
    driver: String,
    /// Somebody holds it.
    pub claimed: bool,
    /// It is out of use for good.
    pub quarantined: bool,
    sound: bool,
    interrupts: String,
    bars: String,
    capabilities: String,
}

/// The name of a capability, PCI Code and ID Assignment Specification 1.15, chapter 2.
fn capability(id: u16) -> String {
    let name = match id {
        0x01 => "power",
        0x05 => "MSI",
        0x09 => "vendor",
        0x0d => "subsystem",
        0x10 => "PCIe",
        0x11 => "MSI-X",
        0x12 => "SATA",
        0x13 => "AF",
        _ => return format!("{id:02x}"),
    };
    name.to_string()
}

/// The name of an extended capability, the same, chapter 3.
fn extended_capability(id: u16) -> String {
    let name = match id {
        0x0001 => "AER",
        0x0003 => "serial",
        0x000d => "ACS",
        0x000e => "ARI",
        0x000f => "ATS",
        0x0010 => "SR-IOV",
        0x0018 => "LTR",
        _ => return format!("x{id:04x}"),
    };
    name.to_string()
}

/// All functions.
///
/// # Errors
/// The inspector's.
pub fn functions(held: &Held) -> Result<Vec<Function>, Failure> {
    let inspector = inspector(held)?;
    collect("PCI functions", |from| {
        inspector
            .functions(place(from), |results| {
                let mut list = Vec::new();
                for f in results.list()?.iter() {
                    let listed = f.listed()?;
                    let mut bars = String::new();
                    for bar in listed.bars()?.iter() {
                        let unit = match bar.kind()? {
                            Kind::Io => " ports",
                            _ => "",
                        };
                        let gap = if bars.is_empty() { "" } else { ", " };
                        let _ = write!(
                            bars,
                            "{gap}{}: {}{unit}",
                            bar.index(),
                            show::size(bar.bytes())
                        );
                    }
                    let names: Vec<String> = f
                        .capabilities()?
                        .iter()
                        .map(|c| match c.extended() {
                            true => extended_capability(c.id()),
                            false => capability(c.id()),
                        })
                        .collect();
                    let interrupts = match (listed.msix_vectors(), listed.msi(), f.interrupt_pin())
                    {
                        (0, true, _) => String::from("MSI"),
                        (0, false, 0) => String::from("-"),
                        (0, false, pin) => {
                            format!("INT{}", char::from(b'A' + pin.saturating_sub(1).min(3)))
                        }
                        (count, ..) => format!("MSI-X {count}"),
                    };
                    list.push(Function {
                        address: listed.address(),
                        id: (listed.vendor(), listed.device()),
                        subsystem: (f.subsystem_vendor(), f.subsystem_device()),
                        class: listed.class(),
                        driver: listed.driver()?.to_string(),
                        claimed: listed.claimed(),
                        quarantined: listed.quarantined(),
                        sound: f.sound(),
                        interrupts,
                        bars,
                        capabilities: names.join(" "),
                    });
                }
                Ok((u64::from(results.next()), list))
            })
            .and_then(|r| r)
    })
}

/// The PCI functions.
pub fn pci(held: &Held, to: &mut Output<'_>) -> Outcome {
    let mut table = Table::new(&[
        ("ADDRESS", Align::Left),
        ("ID", Align::Left),
        ("SUBSYSTEM", Align::Left),
        ("CLASS", Align::Left),
        ("DRIVER", Align::Left),
        ("STATE", Align::Left),
        ("INTERRUPTS", Align::Left),
        ("BARS", Align::Left),
        ("CAPABILITIES", Align::Left),
    ]);
    let all = functions(held)?;
    for f in &all {
        let state = match (f.sound, f.quarantined, f.claimed) {
            (false, ..) => "unsound",
            (_, true, _) => "quarantined",
            (_, _, true) => "claimed",
            _ => "free",
        };
        let or_dash = |text: &str| if text.is_empty() { "-" } else { text }.to_string();
        table.row([
            show::pci_address(f.address),
            format!("{:04x}:{:04x}", f.id.0, f.id.1),
            format!("{:04x}:{:04x}", f.subsystem.0, f.subsystem.1),
            show::pci_class(f.class).to_string(),
            or_dash(&f.driver),
            state.to_string(),
            f.interrupts.clone(),
            or_dash(&f.bars),
            or_dash(&f.capabilities),
        ]);
    }
    let count = |f: fn(&Function) -> bool| all.iter().filter(|one| f(one)).count();
    fact!(
        "diagnostics.pci",
        functions = all.len(),
        with_driver = count(|f| !f.driver.is_empty()),
        claimed = count(|f| f.claimed),
        unsound = count(|f| !f.sound)
    );
    to.listing(table.lines(), 1)
}

/// The ledger's record of a function, copied out of a message.
struct Claim {
    address: u32,
    driver: String,
    state: ClaimState,
    step: u8,
    owner: u64,
    generation: u64,
    resets: u64,
    bus_master: bool,
    pool_bytes: (u64, u64),
    broker_bytes: u64,
    buffers: u32,
    mappings: u32,
    in_flight: (u32, u32),
    books: Books,
    pools: Vec<Pool>,
    queues: Vec<Queue>,
}

fn claims(held: &Held) -> Result<Vec<Claim>, Failure> {
    let inspector = inspector(held)?;
    collect("claims", |from| {
        inspector
            .claims(place(from), |results| {
                let mut list = Vec::new();
                for c in results.list()?.iter() {
                    let pools = c.pools()?.iter().map(|p| p.value());
                    let queues = c.queues()?.iter().map(|q| q.value());
                    list.push(Claim {
                        address: c.address(),
                        driver: c.driver()?.to_string(),
                        state: c.state()?,
                        step: c.step(),
                        owner: c.owner(),
                        generation: c.generation(),
                        resets: c.resets(),
                        bus_master: c.bus_master(),
                        pool_bytes: (c.pool_bytes(), c.pool_budget_bytes()),
                        broker_bytes: c.broker_bytes(),
                        buffers: c.buffers(),
                        mappings: c.mappings(),
                        in_flight: (c.commands_in_flight(), c.segments_in_flight()),
                        books: c.books()?,
                        pools: pools.collect::<Result<_, _>>()?,
                        queues: queues.collect::<Result<_, _>>()?,
                    });
                }
                Ok((u64::from(results.next()), list))
            })
            .and_then(|r| r)
    })
}

fn state(claim: &Claim) -> String {
    match claim.state {
        ClaimState::Unclaimed => String::from("free"),
        ClaimState::Unproven => String::from("claimed"),
        ClaimState::Resetting => String::from("resetting"),
        ClaimState::Stopped => String::from("stopped"),
        ClaimState::Configured => String::from("configured"),
        ClaimState::Enabling => String::from("enabling"),
        ClaimState::Running => String::from("running"),
        ClaimState::Revoking => format!("ending, step {} of 9", u16::from(claim.step) + 1),
        ClaimState::Quarantined => String::from("quarantined"),
        ClaimState::Dead => String::from("worn out"),
    }
}

/// The ledger's records, one line each.
pub fn devices(held: &Held, to: &mut Output<'_>) -> Outcome {
    let mut table = Table::new(&[
        ("ADDRESS", Align::Left),
        ("DRIVER", Align::Left),
        ("STATE", Align::Left),
        ("OWNER", Align::Left),
        ("GENERATION", Align::Right),
        ("RESETS", Align::Right),
        ("BUS MASTER", Align::Left),
        ("IN FLIGHT", Align::Right),
        ("MAPPINGS", Align::Right),
        ("BOOKS", Align::Left),
    ]);
    let all = claims(held)?;
    let charges = crate::charges::charges(held)?;
    for c in &all {
        let owner = match charges.iter().find(|p| p.id == c.owner) {
            Some(p) => format!("{} {}", p.id, p.name),
            None if c.owner == 0 => String::from("-"),
            None => c.owner.to_string(),
        };
        let books = match c.books {
            Books::Agree => "agree",
            Books::Differ => "DIFFER",
            Books::NotCounted => "not counted",
        };
        table.row([
            show::pci_address(c.address),
            c.driver.clone(),
            state(c),
            owner,
            c.generation.to_string(),
            c.resets.to_string(),
            if c.bus_master { "on" } else { "off" }.to_string(),
            c.in_flight.0.to_string(),
            c.mappings.to_string(),
            books.to_string(),
        ]);
    }
    let of = |what: ClaimState| all.iter().filter(|c| c.state == what).count();
    fact!(
        "diagnostics.devices",
        records = all.len(),
        running = of(ClaimState::Running),
        quarantined = of(ClaimState::Quarantined),
        books_differ = all.iter().filter(|c| c.books == Books::Differ).count()
    );
    to.listing(table.lines(), 1)
}

/// Device memory and queues of each claim.
pub fn dma(held: &Held, to: &mut Output<'_>) -> Outcome {
    let all = claims(held)?;
    let mut lines = Vec::new();
    let (mut pools, mut queues) = (0, 0);
    for c in &all {
        lines.push(format!(
            "{} {}: pools {} of {}, broker {}, {} buffers, {} commands in flight with {} segments",
            show::pci_address(c.address),
            c.driver,
            show::size(c.pool_bytes.0),
            show::size(c.pool_bytes.1),
            show::size(c.broker_bytes),
            c.buffers,
            c.in_flight.0,
            c.in_flight.1
        ));
        for (index, p) in c.pools.iter().enumerate() {
            lines.push(format!(
                "  pool {index}: {} of {} in {} buffers",
                show::size(p.used_bytes),
                show::size(p.budget_bytes),
                p.buffers
            ));
        }
        for (index, q) in c.queues.iter().enumerate() {
            let state = match q.state {
                QueueState::Opening => "opening",
                QueueState::Open => "open",
                QueueState::Stopped => "stopped",
                QueueState::Ended => "ended",
                QueueState::Resetting => "resetting",
            };
            lines.push(format!(
                "  queue {index}: {state}, {} of {} in flight with {} segments and {}, {} revoked",
                q.in_flight,
                q.depth,
                q.segments,
                show::size(q.bytes_in_flight),
                q.revoked
            ));
        }
        pools += c.pools.len();
        queues += c.queues.len();
    }
    if lines.is_empty() {
        lines.push(String::from("no function has a driver"));
    }
    let bytes: u64 = all.iter().map(|c| c.pool_bytes.0 + c.broker_bytes).sum();
    fact!(
        "diagnostics.dma",
        records = all.len(),
        pools = pools,
        queues = queues,
        bytes ~ bytes
    );
    to.listing(lines, 0)
}
