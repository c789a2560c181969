//! Commands about the machine, its processes and its devices.

use core::fmt::Write as _;

use sdk::{
    ConsoleSession, DeviceRegistry, LogReader, ProcessControl, ProcessTracer, Refusal,
    SystemControl, SystemInfo,
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
    device::device_registry,
    process::system_info,
};
use shell_lang::{
    LogRange, ProcessName,
    show::{self, Align, Table},
};

use terminal::{
    Failure, Terminal, print,
    processes::{self, Row},
};

type Outcome = Result<(), Failure>;

/// What the shell holds about the system; whatever was not granted is `None`.
pub struct System {
    /// Lists processes and memory.
    pub info: Option<SystemInfo>,
    /// Ends processes.
    pub processes: Option<ProcessControl>,
    /// Looks at what processes call.
    pub tracer: Option<ProcessTracer>,
    /// Halts and resets.
    pub control: Option<SystemControl>,
    /// Lists devices.
    pub devices: Option<DeviceRegistry>,
    /// Reads the log.
    pub log: Option<LogReader>,
    /// Has a console of its own, to which the line can be lent.
    pub console: Option<ConsoleSession>,
}

/// How often `log -f` looks for more.
const FOLLOW_NS: u64 = 200_000_000;

impl System {
    /// Every process, by number.
    pub fn rows(&self) -> Result<Vec<Row>, Failure> {
        processes::list(self.info.as_ref())
    }

    /// Lists processes.
    pub fn ps(&self, to: &mut Terminal) -> Outcome {
        let mut table = Table::new(&[
            ("ID", Align::Right),
            ("NAME", Align::Left),
            ("ACCOUNT OF", Align::Left),
            ("PRIORITY", Align::Right),
            ("RESTARTS", Align::Right),
            ("THREADS", Align::Right),
            ("MEMORY", Align::Right),
            ("LIMIT", Align::Right),
            ("CPU s", Align::Right),
            ("OF", Align::Right),
            ("HANDLES", Align::Right),
            ("STATE", Align::Left),
        ]);
        let rows = self.rows()?;
        for row in &rows {
            let (state, of) = (row.state(), row.cpu_limit());
            table.row([
                row.id.to_string(),
                row.name.clone(),
                processes::account_of(row, &rows),
                row.priority.to_string(),
                row.restarts.to_string(),
                format!("{}/{}", row.threads, row.limit_threads),
                show::size(u64::from(row.pages) * 4096),
                show::size(u64::from(row.limit_pages) * 4096),
                show::seconds(row.cpu_ns),
                of,
                format!("{}/{}", row.handles, row.limit_handles),
                state,
            ]);
        }
        print(to, &table);
        Ok(())
    }

    /// The number of the one process that is meant.
    pub fn find(&self, whom: &ProcessName) -> Result<u64, Failure> {
        processes::find(self.info.as_ref(), whom)
    }

    /// Ends a process.
    pub fn kill(&self, target: &ProcessName, to: &mut Terminal) -> Outcome {
        let id = self.find(target)?;
        processes::end(self.processes.as_ref(), id)?;
        let _ = writeln!(to, "process {id} is ended");
        Ok(())
    }

    /// Lists PCI functions.
    pub fn lspci(&self, to: &mut Terminal) -> Outcome {
        let registry = self
            .devices
            .as_ref()
            .ok_or_else(|| Failure::not_held("DeviceRegistry"))?;
        let mut table = Table::new(&[
            ("ADDRESS", Align::Left),
            ("ID", Align::Left),
            ("CLASS", Align::Left),
            ("DRIVER", Align::Left),
            ("STATE", Align::Left),
            ("INTERRUPTS", Align::Left),
            ("MEMORY", Align::Left),
        ]);
        let mut from = 0;
        loop {
            let (next, count) = registry
                .list(from, |results| {
                    let functions = results.functions()?;
                    for function in functions.iter() {
                        table.row(pci_row(&function)?);
                    }
                    Ok((results.next(), functions.len()))
                })
                .and_then(|r| r)
                .map_err(Failure::about("PCI functions"))?;
            if count == 0 || next <= from {
                print(to, &table);
                return Ok(());
            }
            from = next;
        }
    }

    /// Shows the log, its last lines or those that hold a text, and goes on if asked to.
    pub fn log(&self, range: &LogRange, to: &mut Terminal) -> Outcome {
        let reader = self
            .log
            .as_ref()
            .ok_or_else(|| Failure::not_held("LogReader"))?;
        let (mut from, mut most) = (0, range.lines.map_or(usize::MAX, |n| n as usize));
        loop {
            let tail = terminal::tail_from(reader, from, most, range.text.as_deref())
                .map_err(Failure::about("log"))?;
            if tail.lost > 0 && (from != 0 || range.lines.is_none()) {
                let _ = writeln!(to, "({} older lines are gone)", tail.lost);
            }
            for line in tail.lines {
                let _ = writeln!(to, "{line}");
                if to.interrupted() {
                    return Err(Failure::Interrupted);
                }
            }
            if !range.follow {
                return Ok(());
            }
            (from, most) = (tail.next, usize::MAX);
            let _ = to.flush();
            let now = to.now_ns().ok_or_else(|| Failure::not_held("Timer"))?;
            if to.interrupted_until(now.saturating_add(FOLLOW_NS)) {
                return Err(Failure::Interrupted);
            }
        }
    }

    /// Says how much memory there is.
    pub fn mem(&self, to: &mut Terminal) -> Outcome {
        let machine = self.machine()?;
        let (all, free) = (
            machine.memory_kib.saturating_mul(1024),
            machine.free_kib.saturating_mul(1024),
        );
        let _ = writeln!(
            to,
            "{} of memory, {} free, {} in use",
            show::size(all),
            show::size(free),
            show::size(all.saturating_sub(free))
        );
        Ok(())
    }

    /// Says how long the system has been up.
    pub fn uptime(&self, to: &mut Terminal) -> Outcome {
        let machine = self.machine()?;
        let plural = if machine.cpus == 1 { "" } else { "s" };
        let _ = writeln!(
            to,
            "up {}, {} processor{plural}",
            show::span(machine.uptime_ns),
            machine.cpus
        );
        Ok(())
    }

    fn machine(&self) -> Result<system_info::MachineResults, Failure> {
        let info = self
            .info
            .as_ref()
            .ok_or_else(|| Failure::not_held("SystemInfo"))?;
        info.machine().map_err(Failure::about("machine"))
    }

    /// Powers the machine off. Returns only if that was refused.
    pub fn halt(&self, code: u8) -> Outcome {
        let control = self
            .control
            .as_ref()
            .ok_or_else(|| Failure::not_held("SystemControl"))?;
        control.halt(code).map_err(Failure::about("the machine"))
    }

    /// Lends the serial line to the diagnostics console until a person gives it back.
    pub fn diagnostics(&self) -> Outcome {
        let console = self
            .console
            .as_ref()
            .ok_or_else(|| Failure::not_held("ConsoleSession"))?;
        console
            .run()
            .map_err(Failure::about("the diagnostics console"))
    }

    /// Resets the machine. Returns only if that was refused.
    pub fn reboot(&self) -> Outcome {
        let control = self
            .control
            .as_ref()
            .ok_or_else(|| Failure::not_held("SystemControl"))?;
        control.reboot().map_err(Failure::about("the machine"))
    }
}

/// What `lspci` shows of one function.
fn pci_row(function: &device_registry::FunctionReader<'_>) -> Result<[String; 7], Refusal> {
    let state = match (function.quarantined(), function.claimed()) {
        (true, _) => "quarantined",
        (false, true) => "claimed",
        (false, false) => "free",
    };
    let interrupts = match (function.msix_vectors(), function.msi()) {
        (0, false) => "INTx".to_string(),
        (0, true) => "MSI".to_string(),
        (count, _) => format!("MSI-X {count}"),
    };
    let mut memory = String::new();
    for bar in function.bars()?.iter() {
        let unit = match bar.kind()? {
            device_registry::Kind::Io => " ports",
            _ => "",
        };
        let gap = if memory.is_empty() { "" } else { ", " };
        let bytes = show::size(bar.bytes());
        let _ = write!(memory, "{gap}{}: {bytes}{unit}", bar.index());
    }
    let driver = function.driver()?;
    Ok([
        show::pci_address(function.address()),
        format!("{:04x}:{:04x}", function.vendor(), function.device()),
        show::pci_class(function.class()).to_string(),
        if driver.is_empty() { "-" } else { driver }.to_string(),
        state.to_string(),
        interrupts,
        memory,
    ])
}
