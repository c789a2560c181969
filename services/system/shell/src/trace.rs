//! `trace`: what a process calls.

use core::fmt::Write as _;

use sdk::{
    NEVER, ProcessTrace, ProcessTracer, Refusal,
    alloc::{format, string::String, vec::Vec},
    process::process_trace::Call,
    schema::{interface_name, method_name},
};
use shell_lang::{ProcessName, show};
use terminal::{Failure, Terminal};

use crate::system::System;

/// Calls that the kernel keeps from one look to the next.
const KEPT: u16 = 2048;
/// From one look to the next.
const ROUND_NS: u64 = 100_000_000;

/// Shows what a process calls until it has ended, for `seconds`, or until Ctrl-C.
pub fn trace(
    system: &System,
    whom: &ProcessName,
    seconds: Option<u32>,
    to: &mut Terminal,
) -> Result<(), Failure> {
    let tracer = system
        .tracer
        .as_ref()
        .ok_or_else(|| Failure::not_held("ProcessTracer"))?;
    let id = system.find(whom)?;
    let trace = begin(tracer, id)?;
    let until = match seconds {
        Some(seconds) => now(to)?.saturating_add(u64::from(seconds) * 1_000_000_000),
        None => NEVER,
    };
    let (mut from, mut shown) = (0, 0u64);
    loop {
        let look = look(&trace, from)?;
        if look.dropped > 0 {
            let _ = writeln!(to, "({} calls were not kept)", look.dropped);
        }
        for call in &look.calls {
            let _ = writeln!(to, "{}", line(call));
            shown += 1;
            if to.interrupted() {
                return Err(Failure::Interrupted);
            }
        }
        from = look.next;
        let (now, is_all) = (now(to)?, look.calls.is_empty());
        // Whoever looks at itself never comes to an end of its calls.
        if now >= until || (look.ended && is_all) {
            let what = if look.ended { ", and ended" } else { "" };
            let plural = if shown == 1 { "" } else { "s" };
            let _ = writeln!(to, "process {id} made {shown} call{plural}{what}");
            return Ok(());
        }
        if !is_all {
            continue;
        }
        let _ = to.flush();
        if to.interrupted_until(until.min(now.saturating_add(ROUND_NS))) {
            return Err(Failure::Interrupted);
        }
    }
}

fn now(to: &Terminal) -> Result<u64, Failure> {
    to.now_ns().ok_or_else(|| Failure::not_held("Timer"))
}

fn begin(tracer: &ProcessTracer, id: u64) -> Result<ProcessTrace, Failure> {
    let traced = tracer.trace(id, KEPT).map_err(|refusal| match refusal {
        Refusal::NotFound => {
            Failure::Said(format!("no process has the number {id}; ps lists them"))
        }
        Refusal::Busy => Failure::Said(format!("process {id} is traced by somebody else")),
        _ => Failure::about(&format_args!("process {id}"))(refusal),
    })?;
    Ok(traced.trace)
}

struct Look {
    next: u64,
    dropped: u64,
    ended: bool,
    calls: Vec<Call>,
}

fn look(trace: &ProcessTrace, from: u64) -> Result<Look, Failure> {
    trace
        .read(from, |results| {
            let calls = results.calls()?.iter().map(|call| call.value());
            Ok(Look {
                next: results.next(),
                dropped: results.dropped(),
                ended: results.ended(),
                calls: calls.collect::<Result<_, _>>()?,
            })
        })
        .and_then(|look| look)
        .map_err(Failure::about("the trace"))
}

/// One call: when, by which thread, what, for how long, and how it ended.
fn line(call: &Call) -> String {
    let interface = interface_name(call.interface_id);
    let method = method_name(call.interface_id, call.method);
    let what = match (interface, method) {
        (Some(interface), Some(method)) => format!("{interface}.{method}"),
        (Some(interface), None) => format!("{interface}, method {}", call.method),
        (None, _) if call.interface_id == 0 => format!("no capability, method {}", call.method),
        (None, _) => format!("{:#018x}, method {}", call.interface_id, call.method),
    };
    let how = Refusal::from_code(call.status).map_or("ok", Refusal::name);
    let (s, us) = (
        call.began_ns / 1_000_000_000,
        call.began_ns / 1000 % 1_000_000,
    );
    let took = show::took(call.took_ns);
    format!(
        "[{s:>5}.{us:06}] thread {}  {what}  {took}  {how}",
        call.thread
    )
}
