//! The processes: listed, found by what a person calls them, ended.

use sdk::{
    ProcessControl, Refusal, SystemInfo,
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
    process::system_info::State,
    schema,
};
use shell_lang::{ProcessName, text::Safe};

use crate::Failure;

/// Processes that are listed, at most: no kernel keeps a console busy for ever.
const MOST: usize = 16_384;

/// One process, copied out of a message.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The process that started it, whose account its own came out of; 0: the kernel.
    pub started_by: u64,
    /// The highest priority that it has.
    pub priority: u8,
    /// How often it was started anew.
    pub restarts: u32,
    /// Its threads.
    pub threads: u16,
    /// Pages that it pays for.
    pub pages: u32,
    /// Pages that it may pay for.
    pub limit_pages: u32,
    /// Thousandths of a processor that it may use; 0: as much as there is.
    pub cpu_per_mille: u16,
    /// Processor time so far.
    pub cpu_ns: u64,
    /// Capabilities that it holds.
    pub handles: u32,
    /// Capabilities that it may hold.
    pub limit_handles: u32,
    /// Threads that it may have.
    pub limit_threads: u16,
    /// What it does.
    pub state: State,
    /// Interface and method of a call that it waits for, and whether it would have to answer that itself.
    pub waits_for: Option<(u64, u16, bool)>,
}

impl Row {
    /// What it may use of a processor, in percent.
    pub fn cpu_limit(&self) -> String {
        match self.cpu_per_mille {
            0 => String::from("-"),
            limit => format!("{}.{} %", limit / 10, limit % 10),
        }
    }

    /// What it does, in one word, or what it waits for.
    pub fn state(&self) -> String {
        let state = match self.state {
            State::Running => "running",
            State::Ready => "ready",
            State::Blocked => "blocked",
            State::Dying => "dying",
        };
        let (State::Blocked, Some((interface, method, own))) = (self.state, self.waits_for) else {
            return state.to_string();
        };
        let name = schema::interface_name(interface).unwrap_or("a server");
        let method = schema::method_name(interface, method).unwrap_or("a method");
        match own {
            true => format!("calls {name}.{method} of itself"),
            false => format!("calls {name}.{method}"),
        }
    }
}

/// Whose account the account of `row` came out of, by name: the account that it is a part of.
pub fn account_of(row: &Row, rows: &[Row]) -> String {
    if row.started_by == 0 {
        return String::from("-");
    }
    let starter = rows.iter().find(|other| other.id == row.started_by);
    starter.map_or_else(
        || row.started_by.to_string(),
        |starter| starter.name.clone(),
    )
}

/// Every process, by number.
///
/// # Errors
/// The kernel's, and that no `SystemInfo` is held.
pub fn list(info: Option<&SystemInfo>) -> Result<Vec<Row>, Failure> {
    let info = info.ok_or_else(|| Failure::not_held("SystemInfo"))?;
    let mut rows = Vec::new();
    let mut from = 0;
    loop {
        let (next, count) = info
            .processes(from, |results| {
                let list = results.list()?;
                for process in list.iter() {
                    rows.push(Row {
                        id: process.id(),
                        name: process.name()?.to_string(),
                        started_by: process.started_by(),
                        priority: process.priority(),
                        restarts: process.restarts(),
                        limit_pages: process.limit_pages(),
                        threads: process.threads(),
                        pages: process.memory_pages(),
                        cpu_per_mille: process.cpu_per_mille(),
                        cpu_ns: process.cpu_ns(),
                        handles: process.handles(),
                        limit_handles: process.limit_handles(),
                        limit_threads: process.limit_threads(),
                        state: process.state()?,
                        waits_for: (process.waits_for() != 0).then(|| {
                            (
                                process.waits_for(),
                                process.waits_method(),
                                process.waits_for_itself(),
                            )
                        }),
                    });
                }
                Ok((results.next(), list.len()))
            })
            .and_then(|r| r)
            .map_err(Failure::about("processes"))?;
        if count == 0 || next <= from || rows.len() >= MOST {
            return Ok(rows);
        }
        from = next;
    }
}

/// The number of the one process that is meant.
///
/// # Errors
/// What [`list`] fails with, and that none or several have the name.
pub fn find(info: Option<&SystemInfo>, whom: &ProcessName) -> Result<u64, Failure> {
    let name = match whom {
        ProcessName::Id(id) => return Ok(*id),
        ProcessName::Name(name) => name,
    };
    let rows = list(info)?;
    let found: Vec<u64> = rows
        .iter()
        .filter(|row| row.name == *name)
        .map(|row| row.id)
        .collect();
    match found.as_slice() {
        [id] => Ok(*id),
        [] => Err(Failure::Said(format!(
            "no process is named \"{}\"; ps lists them",
            Safe(name)
        ))),
        several => {
            let ids: Vec<String> = several.iter().map(u64::to_string).collect();
            Err(Failure::Said(format!(
                "{} processes are named \"{}\": say which by its number: {}",
                several.len(),
                Safe(name),
                ids.join(", ")
            )))
        }
    }
}

/// Ends a process.
///
/// # Errors
/// That there is none of this number, and that no `ProcessControl` is held.
pub fn end(control: Option<&ProcessControl>, id: u64) -> Result<(), Failure> {
    let control = control.ok_or_else(|| Failure::not_held("ProcessControl"))?;
    control.kill(id).map_err(|refusal| match refusal {
        Refusal::NotFound | Refusal::Stale => {
            Failure::Said(format!("no process has the number {id}; ps lists them"))
        }
        _ => Failure::about(&format_args!("process {id}"))(refusal),
    })
}
