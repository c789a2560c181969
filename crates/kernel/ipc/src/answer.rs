//! Answering a call: what a server's return and refusal become.

use alloc::sync::Arc;
use alloc::vec::Vec;

use cap::CapTable;
use ring_abi::Refusal;
use stub::wire;

use crate::area::Span;
use crate::call::Won;
use crate::finished::{Finished, Route};
use crate::message::{Content, Payload, Place, place_message};
use crate::operation::Operation;
use crate::records::{Object, Outbound, Process, ReplyRight, Slot, Thread};
use crate::stop::Stop;
use crate::transfer;
use crate::woken::Woken;

/// Answers the call that a reply handle stands for. Returns its caller, if that was waiting.
///
/// # Errors
/// Those of the handle, of the message and of the capabilities that go with it.
#[inline(always)]
pub(crate) fn answer(me: &Arc<Thread>, op: &Operation) -> Result<Woken, Stop> {
    let message = op.message(&me.area)?;
    let right = take_right(&me.process, op.handle)?;
    if let Some(message) = message
        && op.transfers() != 0
    {
        return answer_with_caps(me, op, right, message);
    }
    Ok(answer_with(me, right, op.payload(message)))
}

/// Answers a call with words or a message that brings no capabilities.
#[inline(always)]
pub(crate) fn answer_with(me: &Thread, right: ReplyRight, payload: Payload) -> Woken {
    let Some(won) = right.use_up() else {
        return Woken::NOBODY;
    };
    let f = write_answer(me, &won, payload, 0, |_| Ok(()));
    won.caller.complete_counted(won.route, f)
}

#[inline(never)]
fn answer_with_caps(
    me: &Arc<Thread>,
    op: &Operation,
    right: ReplyRight,
    message: Span,
) -> Result<Woken, Stop> {
    let mut caps = me.take_list();
    let collected = transfer::collect(me, op, message, &mut caps);
    let woken = collected.map(|()| match right.use_up() {
        Some(won) => {
            let payload = Payload::Message(message);
            let f = write_answer(me, &won, payload, caps.len(), |handles| {
                hand_over(me, &won.caller, &mut caps, handles)
            });
            won.caller.complete(won.route, f)
        }
        // Cancelled or timed out meanwhile: the result is discarded, and so are copies on their way.
        None => Woken::NOBODY,
    });
    me.return_list(caps);
    woken
}

/// Gives the caller the capabilities of an answer, whose handles go to its area: all or none.
#[inline(never)]
fn hand_over(
    me: &Thread,
    caller: &Arc<Thread>,
    caps: &mut Vec<Outbound>,
    handles: Span,
) -> Result<(), Refusal> {
    let mut places = transfer::Places::new();
    transfer::reserve(&caller.process, caps.len(), &mut places)?;
    if let Err(refusal) = transfer::detach(&me.process, caps) {
        transfer::rollback(&caller.process, &mut places);
        return Err(refusal);
    }
    let given = |i, handle| caller.area.set_word(handles, i, handle);
    let rights = transfer::reply_rights(caps);
    transfer::commit(&caller.process, &mut places, transfer::slots(caps), given);
    rights.iter().for_each(|right| right.pass_on(Some(caller)));
    Ok(())
}

#[inline(always)]
fn write_answer(
    me: &Thread,
    won: &Won,
    payload: Payload,
    count: usize,
    give: impl FnOnce(Span) -> Result<(), Refusal>,
) -> Finished {
    let place = won.place();
    if let Some(words) = in_registers(me, &place, payload, count) {
        return Finished::inline(words);
    }
    match place_message(&place, &Content::of(&me.area, payload), count, give) {
        Ok(placed) => placed.finished(),
        Err(refusal) => Finished::refused(refusal),
    }
}

/// Results for a caller that waits in registers and has no buffer: it expects plain ones, which a server that answers through
/// its ring sends as a message.
#[inline(always)]
fn in_registers(
    me: &Thread,
    place: &Place<'_>,
    payload: Payload,
    count: usize,
) -> Option<[u64; 4]> {
    let Payload::Message(span) = payload else {
        return None;
    };
    if place.route != Route::Register || place.buffer.bytes() != 0 || count != 0 {
        return None;
    }
    wire::plain_words(span.bytes() as usize / 8, |at| me.area.word(span, at))
}

#[inline(always)]
fn take_right(process: &Process, handle: u64) -> Result<ReplyRight, Refusal> {
    let mut table = process.handles.lock();
    take_out(&mut table, handle)
}

/// As [`take_right`], with the lock held.
#[inline(always)]
pub(crate) fn take_out(table: &mut CapTable<Object>, handle: u64) -> Result<ReplyRight, Refusal> {
    let slot = table.remove_if(handle, |object| matches!(object, Object::Reply(_)))?;
    match slot.map(Slot::into_object) {
        Some(Object::Reply(right)) => Ok(right),
        _ => Err(Refusal::WrongKind),
    }
}

/// Refuses the call that a reply handle stands for.
///
/// # Errors
/// Those of the handle.
pub(crate) fn refuse(me: &Arc<Thread>, op: &Operation) -> Result<(), Refusal> {
    let right = take_right(&me.process, op.handle)?;
    let refusal = Refusal::from_code(op.words[0] as u8).unwrap_or(Refusal::Failed);
    if let Some(won) = right.use_up() {
        let f = Finished::refused(refusal);
        won.caller.complete(won.route, f).run();
    }
    Ok(())
}
