//! `ProcessTracer`, `ProcessTrace`: what processes call.

use alloc::sync::Arc;
use alloc::vec::Vec;

use cap::Epoch;
use frames::Grow;
use ipc::{KernelCall, Tie, Trace};
use schema::process::{process_trace, process_tracer};
use stub::{Answered, Refusal};

use super::served::{self, Owed, Served, kernel_object};

/// Calls that a trace keeps, at most.
const MOST: u16 = 4096;
/// Calls per answer, at most: what the schema promises.
const BATCH: usize = 64;
/// The right to look at what any process calls.
pub struct Tracer {
    epoch: Epoch,
}

impl Tracer {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
        })
    }
}

kernel_object!(Tracer, process_tracer);

/// The trace of one process; it ends with the last handle.
pub struct Traced {
    epoch: Epoch,
    trace: Trace,
    tie: Arc<Tie>,
}

kernel_object!(Traced, process_trace, tie);

impl<'a> process_tracer::Server<KernelCall<'a>> for Served<Tracer> {
    fn trace(
        &mut self,
        reply: Owed<'a, process_tracer::call::Trace>,
        process: u64,
        records: u16,
    ) -> Answered {
        if !(1..=MOST).contains(&records) {
            return reply.refuse(Refusal::OutOfRange);
        }
        let traced = ipc::process_by_id(process)
            .filter(|p| !p.is_finished())
            .ok_or(Refusal::NotFound)
            .and_then(|p| {
                let trace = Trace::begin(&p, usize::from(records))?;
                let epoch = Epoch::default();
                let bank = &reply.call().process().bank;
                bank.object(|tie| Traced { epoch, trace, tie })
            });
        reply.answer(traced.map(|trace| process_tracer::TraceReply { trace }))
    }
}

impl<'a> process_trace::Server<KernelCall<'a>> for Served<Traced> {
    fn read(&mut self, reply: Owed<'a, process_trace::call::Read>, from: u64) -> Answered {
        let trace = &self.0.trace;
        let mut calls = Vec::new();
        served::or_refuse!(reply, calls.grow(BATCH));
        // Before the records: what it called last is among them if it is over.
        let ended = trace.is_over();
        let (next, dropped) = trace.visit(from, |_, record| {
            let call = process_trace::Call {
                began_ns: record.began_ns,
                took_ns: record.took_ns,
                interface_id: record.interface,
                thread: u32::try_from(record.thread).unwrap_or(u32::MAX),
                method: record.method,
                status: record.status,
            };
            calls.put(call).is_ok()
        });
        reply.send(process_trace::ReadReply {
            next,
            dropped,
            ended,
            calls: &calls,
        })
    }
}
