//! Answering a call: what a server's return and refusal become.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ring_abi::{Refusal, StatusWord};
use sched::Task;

use crate::area::Misuse;
use crate::call::{Payload, ReplyRight};
use crate::operation::{Operation, outbound, payload};
use crate::transfer::{self, Outbound};
use crate::{Finished, Object, Process, Route, Thread};

/// Answers the call that a reply handle stands for. Returns the caller's task, if it was waiting.
#[inline(always)]
pub(crate) fn answer(
    me: &Arc<Thread>,
    op: &Operation,
) -> Result<Result<Option<Arc<Task>>, Refusal>, Misuse> {
    let payload = payload(me, op)?;
    let right = match take_right(&me.process, op.handle) {
        Ok(right) => right,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if op.transfers() != 0 {
        return answer_with_caps(me, op, right, payload);
    }
    let Some(won) = right.use_up() else {
        return Ok(Ok(None));
    };
    let f = write_answer(me, &won.caller, won.route, won.reply, payload, None);
    Ok(Ok(won.caller.complete(won.route, f)))
}

#[inline(never)]
fn answer_with_caps(
    me: &Arc<Thread>,
    op: &Operation,
    right: ReplyRight,
    payload: Payload,
) -> Result<Result<Option<Arc<Task>>, Refusal>, Misuse> {
    let mut caps = me.take_list();
    let collected = outbound(me, op, &mut caps)?;
    let woken = collected.map(|()| {
        let won = right.use_up()?;
        let caps = (!caps.is_empty()).then_some(&mut caps);
        let f = write_answer(me, &won.caller, won.route, won.reply, payload, caps);
        won.caller.complete(won.route, f)
    });
    // Cancelled or timed out meanwhile: the result is discarded, and so are copies on their way.
    me.return_list(caps);
    Ok(woken)
}

/// Gives the caller the capabilities of an answer, whose handles go to `offset` of its area: all or none.
#[inline(never)]
fn hand_over(
    me: &Thread,
    caller: &Arc<Thread>,
    caps: &mut Vec<Outbound>,
    offset: u32,
) -> Result<(), Refusal> {
    let mut places = transfer::Places::new();
    transfer::reserve(&caller.process, caps.len(), &mut places)?;
    if let Err(refusal) = transfer::detach(&me.process, caps) {
        transfer::rollback(&caller.process, &mut places);
        return Err(refusal);
    }
    let given = |i: usize, handle| caller.area.write_word(offset + i as u32 * 8, handle);
    let rights = transfer::reply_rights(caps);
    transfer::commit(&caller.process, &mut places, transfer::slots(caps), given);
    rights.iter().for_each(|right| right.pass_on(Some(caller)));
    Ok(())
}

#[inline(always)]
fn write_answer(
    me: &Thread,
    caller: &Arc<Thread>,
    route: Route,
    (offset, capacity): (u32, u32),
    payload: Payload,
    caps: Option<&mut Vec<Outbound>>,
) -> Finished {
    let count = caps.as_ref().map_or(0, |caps| caps.len());
    let bytes = match (payload, route) {
        (Payload::Inline(words), Route::Register) => return Finished::inline(words),
        (Payload::Inline(_), Route::Ring(_)) => 40,
        (Payload::Message(_, bytes), _) => bytes,
    };
    if u64::from(bytes) + count as u64 * 8 > u64::from(capacity) {
        return Finished::refused(Refusal::ReplyTooLarge);
    }
    if let Some(caps) = caps
        && let Err(refusal) = hand_over(me, caller, caps, offset + bytes)
    {
        return Finished::refused(refusal);
    }
    match payload {
        Payload::Inline(words) => {
            caller.area.write_word(offset, 4 << 32);
            words
                .iter()
                .enumerate()
                .for_each(|(i, w)| caller.area.write_word(offset + 8 + i as u32 * 8, *w));
        }
        Payload::Message(from, bytes) => caller.area.copy_message(offset, &me.area, from, bytes),
    }
    Finished {
        status: StatusWord {
            caps: count as u8,
            words: (bytes / 8) as u16,
            ..StatusWord::default()
        }
        .pack(),
        ..Finished::default()
    }
}

#[inline(always)]
fn take_right(process: &Process, handle: u64) -> Result<ReplyRight, Refusal> {
    let mut table = process.handles.lock();
    match table.slot(handle)?.object() {
        Object::Reply(_) => {}
        _ => return Err(Refusal::WrongKind),
    }
    match table.remove(handle)?.into_object() {
        Object::Reply(right) => Ok(right),
        _ => Err(Refusal::WrongKind),
    }
}

/// Refuses the call that a reply handle stands for.
pub(crate) fn refuse(me: &Arc<Thread>, op: &Operation) -> Result<(), Refusal> {
    let right = take_right(&me.process, op.handle)?;
    let refusal = Refusal::from_code(op.words[0] as u8).unwrap_or(Refusal::Failed);
    let f = Finished::refused(refusal);
    if let Some(won) = right.use_up() {
        won.caller
            .complete(won.route, f)
            .into_iter()
            .for_each(sched::make_ready);
    }
    Ok(())
}
