//! Every operation, whether it came in registers or from the ring.

use alloc::sync::Arc;

use ring_abi::{Refusal, opcode, submission_flags};
use sabotage::sabotage;

use crate::answer::{answer, refuse};
use crate::area::Span;
use crate::endpoint::Patience;
use crate::finished::{Finished, Route};
use crate::invoke::call;
use crate::object::release;
use crate::operation::{Begun, Outcome};
use crate::park;
use crate::pending::cancel;
use crate::records::{EndpointCore, Entry, Object, Receiver};
use crate::woken::Woken;

/// Starts an operation that both forms share.
///
/// # Errors
/// Those of the operation.
#[inline(never)]
pub(crate) fn begin(entry: &Entry<'_>) -> Outcome {
    let Entry { me, op, .. } = *entry;
    op.check_flags()?;
    match op.opcode() {
        opcode::NOP => sabotage!(FAIL_ALLOC => {
            let left = frames::armed::arm(op.handle);
            return Ok(Finished::inline([left, 0, 0, 0]).into());
        }),
        opcode::CALL => return call(entry),
        opcode::RECEIVE => return receive(entry, op.handle),
        opcode::RETURN => answer(me, op)?.run(),
        opcode::REFUSE => refuse(me, op)?,
        opcode::RELEASE => release(me.process.remove(op.handle)?),
        opcode::UNPARK => {
            let n = park::unpark(me, op.handle, op.words[0]);
            return Ok(Finished::inline([n, 0, 0, 0]).into());
        }
        opcode::CANCEL => cancel(me, op.handle)?,
        _ => return Err(Refusal::BadArgument.into()),
    }
    Ok(Finished::default().into())
}

/// Waits for a call on the endpoint that `handle` names.
#[inline(always)]
pub(crate) fn receive(entry: &Entry<'_>, handle: u64) -> Outcome {
    let Entry { me, op, .. } = *entry;
    let buffer = me.area.span(op.reply)?;
    let Object::Endpoint(endpoint) = me.process.lookup(handle)? else {
        return Err(Refusal::WrongKind.into());
    };
    receive_on(entry, endpoint.core(), buffer)
}

/// Waits for a call at an endpoint; a message goes to `buffer`.
#[inline(always)]
pub(crate) fn receive_on(entry: &Entry<'_>, core: &Arc<EndpointCore>, buffer: Span) -> Outcome {
    let Entry { me, route, op } = *entry;
    me.note_receive(core)?;
    let receiver = Receiver {
        thread: match route {
            Route::Register => me.counted(),
            Route::Ring(_) => me.clone(),
        },
        route,
        buffer,
        deadline: op.deadline,
    };
    let patience = match op.flags() & submission_flags::POLL {
        0 => Patience::Waits,
        _ => Patience::Polls,
    };
    if let Some(own) = core.receive(receiver, patience) {
        // The result is this thread's own: in `register`, or in the ring already.
        debug_assert!(own.is_nobody(), "a running thread was claimed");
        // Waking oneself leaves a note that the next block would take for a wake-up; that is harmless.
        if route == Route::Register
            && let Some(own) = me.take_own()
        {
            return Ok(own.into());
        }
    }
    Ok(Begun::Waiting(Woken::NOBODY))
}
