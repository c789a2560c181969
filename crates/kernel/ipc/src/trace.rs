//! What a process calls, for whoever was given the right to look.
//!
//! One word of the process, which every call reads, says whether anybody looks.

use alloc::sync::{Arc, Weak};

use cpu::SyscallFrame;
use ring_abi::{Refusal, StatusWord};
use sabotage::sabotage;

use crate::call_log::{CallRecord, Log};
use crate::finished::Route;
use crate::records::{Process, Thread};

/// The trace of one process. It ends with its last owner.
#[derive(Debug)]
pub struct Trace {
    log: Arc<Log>,
    of: Weak<Process>,
}

impl Trace {
    /// Records what `process` calls from now on, `most` calls at a time. The process that runs pays for the memory.
    ///
    /// # Errors
    /// `Busy` while it is traced already, `OverBudget`.
    pub fn begin(process: &Arc<Process>, most: usize) -> Result<Self, Refusal> {
        let log = frames::arc(Log::new(most)?)?;
        {
            let mut traced = process.trace.lock();
            if traced.is_some() {
                return Err(Refusal::Busy);
            }
            *traced = Some(log.clone());
        }
        process.marks.set_traced();
        Ok(Self {
            log,
            of: Arc::downgrade(process),
        })
    }

    /// Calls `f` with the records from sequence number `from` on, until it says `false`. Returns where to go on, and how many
    /// calls from `from` on are not there any more or were never followed.
    pub fn visit(&self, from: u64, f: impl FnMut(u64, &CallRecord) -> bool) -> (u64, u64) {
        self.log.visit(from, f)
    }

    /// Whether the process has ended.
    pub fn is_over(&self) -> bool {
        self.of
            .upgrade()
            .is_none_or(|process| process.is_finished())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let Some(process) = self.of.upgrade() else {
            return;
        };
        if sabotage!(KEEP_TRACE) {
            return;
        }
        process.marks.clear_traced();
        let log = process.trace.lock().take();
        drop(log);
    }
}

fn log_of(thread: &Thread) -> Option<Arc<Log>> {
    thread.process.trace.lock().clone()
}

/// A call of a traced process begins. Returns where it is recorded, if anybody still looks.
#[cold]
#[inline(never)]
pub(crate) fn begin(me: &Thread, route: Route, handle: u64, method: u16) -> Option<Following> {
    let log = log_of(me)?;
    let interface = {
        let handles = me.process.handles.lock();
        handles.slot(handle).map_or(0, cap::Slot::interface)
    };
    if route != Route::Register {
        me.ring.lock().traced = true;
    }
    // Before the call: its answer may be there before this thread goes on.
    log.begin(me.number, route, interface, method);
    Some(Following { log, route })
}

/// A call that is being recorded.
#[derive(Debug)]
pub(crate) struct Following {
    log: Arc<Log>,
    route: Route,
}

impl Following {
    /// It ended where it began.
    pub(crate) fn ended(self, me: &Thread, status: u8) {
        self.log.end(me.number, self.route, status);
    }
}

/// A traced thread is on its way back from `enter`: a call in registers for which it waited has ended.
#[cold]
#[inline(never)]
pub(crate) fn returned(me: &Thread, frame: &SyscallFrame) {
    if let Some(log) = log_of(me) {
        let status = StatusWord::unpack(frame.rax).status;
        log.end(me.number, Route::Register, status);
    }
}

/// A completion of a thread that was traced is in its ring. `false`: it is traced no longer.
#[cold]
#[inline(never)]
pub(crate) fn posted(thread: &Thread, user_data: u64, status: u64) -> bool {
    let Some(log) = log_of(thread) else {
        return false;
    };
    let status = StatusWord::unpack(status).status;
    log.end(thread.number, Route::Ring(user_data), status);
    true
}
