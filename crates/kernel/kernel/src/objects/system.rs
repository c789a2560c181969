//! `LogSink`, `LogReader`, `SystemInfo`, `ProcessControl`, `BootPackage`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use frames::Grow;

use account::{Account, Kind};
use cap::Epoch;
use device_manager::Access;
use ipc::{End, KernelCall, Process};
use line_queue::{Form, Writer};
use schema::process::{boot_package, log_reader, log_sink, process_control, system_info};
use stub::{Answered, Refusal};

use super::memory::Shared;
use super::served::{self, Owed, Served, kernel_object, or_refuse};
use crate::log;
use crate::serial;

macro_rules! plain_object {
    ($(#[$doc:meta])* $name:ident, $module:ident) => {
        $(#[$doc])*
        pub struct $name {
            epoch: Epoch,
        }
        impl $name {
            pub fn new() -> Arc<Self> {
                served::at_boot(Self { epoch: Epoch::default() })
            }
        }
        kernel_object!($name, $module);
    };
}

plain_object!(
    /// The right to write to the log, under the caller's name.
    LogSink, log_sink
);
plain_object!(
    /// The right to read the log.
    LogReader, log_reader
);
plain_object!(
    /// Who runs, and on what.
    Info, system_info
);
plain_object!(
    /// The right to end any process.
    Control, process_control
);
plain_object!(
    /// Manifest and images that came with the kernel.
    Package, boot_package
);

impl<'a> log_sink::Server<KernelCall<'a>> for Served<LogSink> {
    fn write(
        &mut self,
        reply: Owed<'a, log_sink::call::Write>,
        level: log_sink::Level,
        line: &str,
    ) -> Answered {
        if line.len() > crate::line::LINE_BYTES {
            return reply.refuse(Refusal::OutOfRange);
        }
        let process = reply.call().process();
        log::append(level as u16, &process.name, line);
        if log::quiet() || line.contains('\n') {
            return reply.send(());
        }
        if !line.starts_with('@') {
            if log::all() {
                log::show(level as u16, &process.name, line);
            }
            return reply.send(());
        }
        let writer = Writer(process.id);
        let marked = log::marked(Some(&process.name), line);
        let line = marked.as_ref().map_or(line, |marked| marked.as_str());
        if serial::try_write(writer, Form::Line, line.as_bytes()) {
            return reply.send(());
        }
        match super::console::kept(line.as_bytes()) {
            Ok(bytes) => {
                let (answered, later) = reply.defer();
                serial::wait(writer, bytes, serial::Answer::Line { later });
                answered
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }
}

/// Records per answer, at most.
const BATCH: usize = 24;

impl<'a> log_reader::Server<KernelCall<'a>> for Served<LogReader> {
    fn read(&mut self, reply: Owed<'a, log_reader::call::Read>, from: u64) -> Answered {
        let mut records = Vec::new();
        or_refuse!(reply, records.grow(BATCH));
        let mut bytes = 0;
        let (next, dropped) = log::visit(from, |sequence, record| {
            bytes += record.line.len() + record.source.len() + 64;
            if records.len() >= BATCH || bytes > 12 * 1024 {
                return false;
            }
            records.put((sequence, record.clone())).is_ok()
        });
        let list = records.iter().map(|(sequence, r)| log_reader::Record {
            sequence: *sequence,
            ns: r.ns,
            level: log_sink::Level::from_u16(r.level).unwrap_or(log_sink::Level::Info),
            source: &r.source,
            line: &r.line,
        });
        let list = or_refuse!(reply, frames::list(list));
        reply.send(log_reader::ReadReply {
            next,
            dropped,
            records: &list,
        })
    }
}

/// Processes per answer, at most.
const PROCESSES: usize = 32;

/// Threads of a process that are looked at from one look to the next.
const THREADS_PER_LOOK: usize = 32;

fn state(process: &Process) -> system_info::State {
    use sched::Running;
    if process.is_dying() {
        return system_info::State::Dying;
    }
    let mut best = system_info::State::Blocked;
    for (nth, thread) in process.threads().enumerate() {
        if nth > 0 && nth.is_multiple_of(THREADS_PER_LOOK) {
            let _ = sched::point();
        }
        match thread.task.running() {
            Running::Running => return system_info::State::Running,
            Running::Ready => best = system_info::State::Ready,
            Running::Blocked => {}
        }
    }
    best
}

/// Thousandths of a CPU that it may use, with all below it that have no budget of their own; 0: as much as there is.
fn cpu_per_mille(process: &Process) -> u16 {
    let bucket = process.account().bucket();
    let thousandths = bucket.map_or(0, |bucket| bucket.thousandths().max(1));
    u16::try_from(thousandths).unwrap_or(u16::MAX)
}

/// The first call that one of its threads waits for; a process with many threads mostly runs.
fn waits_for(process: &Process) -> Option<ipc::Awaited> {
    let mut threads = process.threads().take(THREADS_PER_LOOK);
    threads.find_map(|thread| thread.awaited())
}

impl<'a> system_info::Server<KernelCall<'a>> for Served<Info> {
    fn processes(&mut self, reply: Owed<'a, system_info::call::Processes>, from: u64) -> Answered {
        let mut found = ArrayVec::<Arc<Process>, PROCESSES>::new();
        let mut more = 0;
        ipc::for_each_process(|p| {
            if p.id < from || p.is_finished() {
                return;
            }
            if found.len() < PROCESSES {
                found.push(p.clone());
            } else if more == 0 {
                more = p.id;
            }
        });
        let list = found
            .iter()
            .map(|p| (p, waits_for(p)))
            .map(|(p, waits)| system_info::Process {
                waits_for: waits.map_or(0, |waits| waits.interface),
                waits_method: waits.map_or(0, |waits| waits.method),
                waits_for_itself: waits.is_some_and(|waits| waits.own),
                id: p.id,
                started_by: p.started_by,
                name: &p.name,
                threads: p.thread_count() as u16,
                memory_pages: super::process::pages(p),
                cpu_ns: p.cpu_ns(),
                cpu_below_ns: p.cpu_below_ns(),
                handles: p.handle_count(),
                state: state(p),
                priority: p.account().priority(),
                restarts: p.restarts,
                limit_pages: super::process::limit_pages(p),
                limit_handles: super::process::limit(p, Kind::Handles),
                cpu_per_mille: cpu_per_mille(p),
                limit_threads: super::process::limit(p, Kind::Threads).min(0xffff) as u16,
            })
            .inspect(|_| {
                let _ = sched::point();
            });
        let list = or_refuse!(reply, frames::list(list));
        // 0 ends the listing: no process has that number.
        reply.send(system_info::ProcessesReply {
            next: more,
            list: &list,
        })
    }

    fn machine(&mut self, reply: Owed<'a, system_info::call::Machine>) -> Answered {
        let total = frames::stats().total * frames::FRAME_BYTES;
        reply.send(system_info::MachineReply {
            cpus: sched::cpu_count() as u32,
            memory_kib: total / 1024,
            free_kib: total.saturating_sub(crate::accounts::lost()) / 1024,
            uptime_ns: sched::now_ns(),
        })
    }

    fn memory(&mut self, reply: Owed<'a, system_info::call::Memory>) -> Answered {
        reply.send(system_info::MemoryReply {
            total: frames::stats().total * frames::FRAME_BYTES,
            lost: crate::accounts::lost(),
            left: left(),
            lent: frames::lent(),
        })
    }
}

/// What all accounts together may still use. Accounts that ended use what they used up.
fn left() -> u64 {
    let left = |account: &Account| account.usage(Kind::Memory).left();
    let mut sum = left(&crate::accounts::root());
    ipc::for_each_process(|p| {
        if !p.account().is_ended() {
            sum += left(p.account());
        }
    });
    sum
}

impl<'a> process_control::Server<KernelCall<'a>> for Served<Control> {
    fn kill(&mut self, reply: Owed<'a, process_control::call::Kill>, id: u64) -> Answered {
        match ipc::process_by_id(id).filter(|p| !p.is_finished()) {
            Some(process) => {
                process.end(End::Killed, -1, "");
                reply.send(())
            }
            None => reply.refuse(Refusal::NotFound),
        }
    }
}

impl<'a> boot_package::Server<KernelCall<'a>> for Served<Package> {
    fn manifest(&mut self, reply: Owed<'a, boot_package::call::Manifest>) -> Answered {
        let result = crate::package::manifest()
            .ok_or(Refusal::NotFound)
            .and_then(|bytes| {
                let count = bytes.len().div_ceil(4096).max(1) as u32;
                let process = reply.call().process();
                let pages = process.bank.memory(count)?;
                pages.write(0, bytes)?;
                Ok((
                    bytes.len() as u64,
                    Shared::give(process, pages, Access::Read)?,
                ))
            });
        reply.answer(result.map(|(bytes, memory)| boot_package::ManifestReply { bytes, memory }))
    }

    fn images(&mut self, reply: Owed<'a, boot_package::call::Images>) -> Answered {
        let names = or_refuse!(reply, crate::package::programs());
        let list = or_refuse!(reply, frames::list(names.iter().map(|name| name.as_str())));
        reply.send(boot_package::ImagesReply { names: &list })
    }
}
