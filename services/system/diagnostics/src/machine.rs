//! Processors, memory, clock and interrupts.

use sdk::{
    NEVER,
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
    diagnostics::machine_inspector::{self, CpuState, Signal, Use},
    fact,
};
use shell_lang::show::{self, Align, Table};
use terminal::Failure;

use crate::charges::charges;
use crate::claims;
use crate::held::{Held, Refused, inspector, place};
use crate::output::{Outcome, Output, collect};

/// All processors.
///
/// # Errors
/// The inspector's.
fn processors(held: &Held) -> Result<Vec<machine_inspector::Cpu>, Failure> {
    let inspector = inspector(held)?;
    collect("processors", |from| {
        inspector
            .cpus(place(from), |results| {
                let list = results.list()?.iter().map(|c| c.value());
                Ok((
                    u64::from(results.next()),
                    list.collect::<Result<Vec<_>, _>>()?,
                ))
            })
            .and_then(|r| r)
    })
}

/// The machine in a few lines.
pub fn status(held: &Held, refused: Refused, to: &mut Output<'_>) -> Outcome {
    let info = held
        .info
        .as_ref()
        .ok_or_else(|| Failure::not_held("SystemInfo"))?;
    let machine = info.machine().map_err(Failure::about("machine"))?;
    let cpus = processors(held)?;
    let functions = claims::functions(held)?;
    let count = |f: fn(&claims::Function) -> bool| functions.iter().filter(|one| f(one)).count();
    let (claimed, lost) = (count(|f| f.claimed), count(|f| f.quarantined));
    let lines = [
        format!("up        {}", show::span(machine.uptime_ns)),
        format!("CPUs      {} of {} run", machine.cpus, cpus.len()),
        format!(
            "memory    {} free of {}",
            show::size(machine.free_kib.saturating_mul(1024)),
            show::size(machine.memory_kib.saturating_mul(1024))
        ),
        format!(
            "devices   {} functions, {claimed} claimed, {lost} quarantined",
            functions.len()
        ),
        format!(
            "input     {} lines were not understood, {} were too long",
            refused.unknown, refused.too_long
        ),
    ];
    fact!(
        "diagnostics.status",
        cpus = machine.cpus,
        listed = cpus.len(),
        functions ~ functions.len(),
        claimed = claimed,
        quarantined = lost,
        unknown_lines ~ refused.unknown,
        long_lines ~ refused.too_long,
        uptime_ns ~ machine.uptime_ns
    );
    to.listing(lines, 0)
}

fn features(cpu: &machine_inspector::Cpu) -> String {
    let offered = [
        (cpu.nx, "nx"),
        (cpu.smep, "smep"),
        (cpu.smap, "smap"),
        (cpu.umip, "umip"),
        (cpu.gib_pages, "1g-pages"),
        (cpu.x2apic, "x2apic"),
        (cpu.tsc_deadline, "tsc-deadline"),
        (cpu.invariant_tsc, "invariant-tsc"),
        (cpu.rdrand, "rdrand"),
    ];
    let names: Vec<&str> = offered
        .iter()
        .filter(|(has, _)| *has)
        .map(|(_, n)| *n)
        .collect();
    names.join(" ")
}

/// The processors.
pub fn cpu(held: &Held, to: &mut Output<'_>) -> Outcome {
    let mut table = Table::new(&[
        ("CPU", Align::Right),
        ("APIC", Align::Right),
        ("STATE", Align::Left),
        ("IDLE s", Align::Right),
        ("BUSY s", Align::Right),
        ("SWITCHES", Align::Right),
        ("INTERRUPTS", Align::Right),
        ("OFFERS", Align::Left),
    ]);
    let cpus = processors(held)?;
    let mut online = 0;
    for (index, cpu) in cpus.iter().enumerate() {
        let state = match cpu.state {
            CpuState::Online => "runs",
            CpuState::Silent => "did not answer",
            CpuState::LeftOut => "left out",
        };
        online += usize::from(cpu.state == CpuState::Online);
        table.row([
            index.to_string(),
            cpu.apic_id.to_string(),
            state.to_string(),
            show::seconds(cpu.idle_ns),
            show::seconds(cpu.busy_ns),
            cpu.switches.to_string(),
            cpu.interrupts.to_string(),
            features(cpu),
        ]);
    }
    let worked = cpus.iter().filter(|c| c.switches > 0 && c.busy_ns > 0);
    fact!(
        "diagnostics.cpu",
        listed = cpus.len(),
        online = online,
        worked ~ worked.count()
    );
    to.listing(table.lines(), 1)
}

/// Memory: in total, of the kernel, and of each process.
pub fn mem(held: &Held, to: &mut Output<'_>) -> Outcome {
    let m = inspector(held)?
        .memory(|results| results.memory().and_then(|m| m.value()))
        .and_then(|r| r)
        .map_err(Failure::about("memory"))?;
    let frames = |count: u64| show::size(count.saturating_mul(4096));
    let mut lines = Vec::from([
        format!(
            "frames       {} in all, {} free, {} of these for the kernel alone",
            frames(m.total_frames),
            frames(m.free_frames),
            frames(m.reserved_frames)
        ),
        format!(
            "quarantined  {} of devices that never proved that they stopped",
            frames(m.quarantined_frames)
        ),
        format!(
            "kernel heap  {} taken, {} in use",
            show::size(m.heap_bytes),
            show::size(m.heap_used_bytes)
        ),
    ]);
    let mut table = Table::new(&[
        ("PROCESS", Align::Left),
        ("MEMORY", Align::Right),
        ("LIMIT", Align::Right),
        ("THREADS", Align::Right),
        ("ENDPOINTS", Align::Right),
        ("FACETS", Align::Right),
    ]);
    let charges = charges(held)?;
    let mut charged = 0u64;
    for c in &charges {
        charged += u64::from(c.pages.0);
        let of = |(used, limit): (u32, u32)| format!("{used}/{limit}");
        table.row([
            format!("{} {}", c.id, c.name),
            frames(u64::from(c.pages.0)),
            frames(u64::from(c.pages.1)),
            of(c.threads),
            of(c.endpoints),
            of(c.facets),
        ]);
    }
    lines.extend(table.lines());
    let adds_up = m.free_frames + m.quarantined_frames + charged <= m.total_frames
        && m.heap_used_bytes <= m.heap_bytes
        && m.heap_bytes / 4096 <= m.total_frames;
    fact!(
        "diagnostics.mem",
        processes = charges.len(),
        quarantined = m.quarantined_frames,
        adds_up = adds_up,
        free ~ m.free_frames,
        heap ~ m.heap_bytes
    );
    to.listing(lines, 4)
}

/// Clock and timers.
pub fn timers(held: &Held, to: &mut Output<'_>) -> Outcome {
    let clock = inspector(held)?
        .clock(|results| {
            let clock = results.clock()?;
            Ok((
                clock.source()?.to_string(),
                (clock.tsc_hz(), clock.timer_hz(), clock.now_ns()),
                (clock.tsc_deadline(), clock.x2apic()),
            ))
        })
        .and_then(|r| r)
        .map_err(Failure::about("clock"))?;
    let (source, (tsc_hz, timer_hz, now_ns), (deadline, x2apic)) = clock;
    let timer = if deadline {
        "compares with the TSC"
    } else {
        "counts down by itself"
    };
    let registers = if x2apic { "MSRs" } else { "memory" };
    let mut lines = Vec::from([
        format!("clock   TSC at {tsc_hz} Hz, as {source} says"),
        format!("timers  local APIC (by {registers}) at {timer_hz} Hz, which {timer}"),
    ]);
    let mut table = Table::new(&[("CPU", Align::Right), ("FIRES IN", Align::Left)]);
    let cpus = processors(held)?;
    let mut armed = 0;
    for (index, cpu) in cpus.iter().enumerate() {
        let when = match cpu.next_deadline_ns {
            NEVER => String::from("-"),
            at => {
                armed += 1;
                show::span(at.saturating_sub(now_ns))
            }
        };
        table.row([index.to_string(), when]);
    }
    lines.extend(table.lines());
    fact!(
        "diagnostics.timers",
        source ~ source.as_str(),
        runs = tsc_hz > 0 && timer_hz > 0,
        cpus = cpus.len(),
        armed ~ armed
    );
    to.listing(lines, 3)
}

fn user(v: &machine_inspector::Vector) -> String {
    let signal = match v.signal {
        Signal::None => "",
        Signal::Msix => " by MSI-X",
        Signal::Msi => " by MSI",
        Signal::Line => " by its pin",
    };
    match v.use_ {
        Use::Device => format!(
            "{} source {}{signal}",
            show::pci_address(v.address),
            v.source
        ),
        Use::Line => format!("I/O APIC input {}, shared by {}", v.gsi, v.users),
        Use::Console => format!("I/O APIC input {}, COM1", v.gsi),
        Use::Timer => String::from("timers"),
        Use::Shootdown => String::from("dropped translations"),
        Use::Reschedule => String::from("woken threads"),
        Use::Stop => String::from("stop"),
        Use::Drain => String::from("vectors given up"),
        Use::Spurious => String::from("spurious"),
    }
}

fn vector_row(v: &machine_inspector::Vector) -> [String; 8] {
    let count = match v.raised {
        u64::MAX => String::from("-"),
        count => count.to_string(),
    };
    let state = if v.masked { "masked" } else { "open" };
    let cpu = match v.cpu {
        u16::MAX => String::from("all"),
        cpu => cpu.to_string(),
    };
    [
        cpu,
        format!("{:#04x}", v.vector),
        user(v),
        count,
        v.late.to_string(),
        v.forwarded.to_string(),
        v.storms.to_string(),
        state.to_string(),
    ]
}

/// Vectors, and who raises them.
pub fn irq(held: &Held, to: &mut Output<'_>) -> Outcome {
    let inspector = inspector(held)?;
    let vectors = collect("vectors", |from| {
        inspector
            .vectors(place(from), |results| {
                let list = results.list()?.iter().map(|v| v.value());
                Ok((
                    u64::from(results.next()),
                    list.collect::<Result<Vec<_>, _>>()?,
                ))
            })
            .and_then(|r| r)
    })?;
    let cpus = processors(held)?;
    let mut lines = Vec::new();
    for (index, cpu) in cpus.iter().enumerate() {
        if cpu.state == CpuState::Online {
            lines.push(format!(
                "CPU {index}: {} of devices, {} spurious, {} unowned, {} vectors in use",
                cpu.interrupts, cpu.spurious, cpu.unowned, cpu.vectors
            ));
        }
    }
    let mut table = Table::new(&[
        ("CPU", Align::Right),
        ("VECTOR", Align::Right),
        ("RAISED BY", Align::Left),
        ("COUNT", Align::Right),
        ("LATE", Align::Right),
        ("MOVED", Align::Right),
        ("STORMS", Align::Right),
        ("STATE", Align::Left),
    ]);
    for v in &vectors {
        table.row(vector_row(v));
    }
    let of = |what: Use| vectors.iter().filter(|v| v.use_ == what).count();
    let place = |v: &machine_inspector::Vector| (v.cpu, v.vector);
    let ordered = vectors.windows(2).all(|pair| match pair {
        [a, b] => place(a) <= place(b),
        _ => true,
    });
    fact!(
        "diagnostics.irq",
        devices = of(Use::Device),
        console = of(Use::Console),
        ordered = ordered,
        storms = vectors.iter().map(|v| v.storms).sum::<u64>(),
        unowned ~ cpus.iter().map(|c| c.unowned).sum::<u64>(),
        spurious ~ cpus.iter().map(|c| c.spurious).sum::<u64>(),
        vectors ~ vectors.len()
    );
    lines.extend(table.lines());
    to.listing(lines, 0)
}
