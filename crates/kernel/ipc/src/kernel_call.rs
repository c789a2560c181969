//! A call to a kernel object: the kernel's side of the generated stubs.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use call_state::Ending;
use ring_abi::{MAX_TRANSFERS, Refusal, StatusWord};
use stub::wire::MessageWriter;
use stub::{Incoming, Outgoing, Respond};

use crate::call::{Call, INLINE_WORDS, Payload, finish, win};
use crate::process::{End, Exit};
use crate::{Finished, Process, Route, Slot, Thread, scratch, transfer};

/// One call to a kernel object while it is being served.
#[derive(Debug)]
pub struct KernelCall<'a> {
    pub(crate) thread: &'a Arc<Thread>,
    pub(crate) route: Route,
    pub(crate) reply: (u32, u32),
    pub(crate) deadline: u64,
    pub(crate) caps: &'a mut ArrayVec<Option<Slot>, MAX_TRANSFERS>,
    /// The answer or refusal.
    pub(crate) finished: &'a mut Finished,
    /// Put aside instead; a [`Pending`] will answer.
    pub(crate) deferred: &'a mut bool,
}

impl KernelCall<'_> {
    /// The process that calls.
    pub fn process(&self) -> &Arc<Process> {
        &self.thread.process
    }

    /// The thread that calls.
    pub const fn thread(&self) -> &Arc<Thread> {
        self.thread
    }
}

/// Writes results where the caller wants them.
#[inline(always)]
fn write_reply<P: Outgoing<Slot>>(
    thread: &Thread,
    route: Route,
    reply: (u32, u32),
    results: P,
) -> Finished {
    if P::PLAIN && route == Route::Register {
        return Finished::inline(results.words());
    }
    write_message(thread, reply, results)
}

#[inline(never)]
fn write_message<P: Outgoing<Slot>>(thread: &Thread, reply: (u32, u32), results: P) -> Finished {
    let mut caps = ArrayVec::<Slot, MAX_TRANSFERS>::new();
    let mut spilled = Vec::new();
    // SAFETY: nothing else answers between here and the copy below.
    let buffer = unsafe { scratch::outgoing() };
    let mut writer = MessageWriter::new(buffer);
    let encoded = writer
        .root(P::DATA_WORDS, P::POINTERS)
        .and_then(|mut root| {
            results.encode(&mut root, &mut |cap| {
                if let Err(e) = caps.try_push(cap) {
                    spilled.push(e.element());
                }
            })
        });
    let bytes = writer.len();
    let (offset, capacity) = reply;
    let fits = bytes as u64 + caps.len() as u64 * 8 <= u64::from(capacity);
    if encoded.is_err() || !fits || !spilled.is_empty() {
        return Finished::refused(Refusal::ReplyTooLarge);
    }
    let count = caps.len();
    if count > 0 {
        let mut places = transfer::Places::new();
        if let Err(refusal) = transfer::reserve(&thread.process, count, &mut places) {
            return Finished::refused(refusal);
        }
        let at = offset + bytes as u32;
        let given = |i: usize, handle| thread.area.write_word(at + i as u32 * 8, handle);
        transfer::commit(&thread.process, &mut places, caps.drain(..), given);
    }
    // SAFETY: the same buffer, not handed out to anybody since.
    let buffer = unsafe { scratch::outgoing() };
    thread.area.write(offset, &buffer[..bytes]);
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

impl Respond for KernelCall<'_> {
    type Out = Slot;

    #[inline]
    fn respond<P: Outgoing<Slot>>(self, results: P) {
        if P::PLAIN && self.route == Route::Register {
            // In place: a whole `Finished` would be written twice.
            self.finished.status = INLINE_WORDS;
            self.finished.words = results.words();
        } else {
            *self.finished = write_message(self.thread, self.reply, results);
        }
    }

    fn refuse(self, refusal: Refusal) {
        self.finished.refuse(refusal);
    }
}

impl Incoming for KernelCall<'_> {
    type Cap = Slot;
    type Deferred = Pending;

    fn cookie(&self) -> u64 {
        0
    }

    fn take_cap(&mut self, index: usize) -> Option<Slot> {
        self.caps.get_mut(index)?.take()
    }

    fn defer(self) -> Pending {
        let Some(call) = self.thread.take_call() else {
            self.finished.refuse(Refusal::OverBudget);
            return Pending(None);
        };
        let (generation, _) = call.word.load();
        {
            let mut body = call.body.lock();
            body.caller = Some(self.thread.clone());
            body.generation = generation;
            body.route = self.route;
            body.payload = Payload::Inline([0; 4]);
            body.reply = self.reply;
            body.facet = None;
            body.deadline = self.deadline;
        }
        // A call object in the pool is idle, and its own thread is the one that begins.
        let begun = call
            .word
            .begin(generation)
            .and_then(|()| call.word.deliver(generation));
        if begun.is_err() {
            self.finished.refuse(Refusal::Failed);
            return Pending(None);
        }
        *self.deferred = true;
        Pending(Some((call, generation)))
    }
}

/// The right to answer a call that a kernel object put aside. Dropping it unanswered completes the call `noReply`.
#[derive(Debug)]
pub struct Pending(Option<(Arc<Call>, u64)>);

impl Pending {
    /// Whether somebody still waits for the answer.
    pub fn is_live(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|(call, generation)| call.word.load().0 == *generation)
    }

    /// Number of the process whose call it is; 0 once the call has ended.
    pub fn holder(&self) -> u64 {
        self.0.as_ref().map_or(0, |(call, generation)| {
            let body = call.body.lock();
            match &body.caller {
                Some(caller) if body.generation == *generation => caller.process.id,
                _ => 0,
            }
        })
    }

    /// Answers with four words.
    pub fn answer_words(self, words: [u64; 4]) {
        self.respond(Words(words));
    }

    /// Answers `ProcessHandle.wait`.
    pub(crate) fn answer_exit(self, exit: &Exit) {
        use schema::process::process_handle as wire;
        let kind = match exit.kind {
            End::Exited => wire::End::Exited,
            End::Panicked => wire::End::Panicked,
            End::Faulted => wire::End::Faulted,
            End::Killed => wire::End::Killed,
        };
        self.respond(wire::WaitReply {
            kind,
            code: exit.code,
            text: &exit.text,
        });
    }

    /// Answers. `false`: nobody takes the answer any more.
    pub fn try_respond<P: Outgoing<Slot>>(self, results: P) -> bool {
        self.end(|thread, route, reply| write_reply(thread, route, reply, results))
    }

    /// Refuses. `false`: nobody takes the answer any more.
    pub fn try_refuse(self, refusal: Refusal) -> bool {
        self.end(|_, _, _| Finished::refused(refusal))
    }

    fn end(mut self, build: impl FnOnce(&Thread, Route, (u32, u32)) -> Finished) -> bool {
        let Some((call, generation)) = self.0.take() else {
            return false;
        };
        let Some(won) = win(&call, generation, Ending::Replied) else {
            return false;
        };
        let f = build(&won.caller, won.route, won.reply);
        if let Some(task) = won.caller.complete(won.route, f) {
            sched::make_ready(task);
        }
        true
    }
}

impl Respond for Pending {
    type Out = Slot;

    fn respond<P: Outgoing<Slot>>(self, results: P) {
        self.try_respond(results);
    }

    fn refuse(self, refusal: Refusal) {
        self.try_refuse(refusal);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some((call, generation)) = self.0.take() {
            let f = Finished::refused(Refusal::NoReply);
            if let Some(task) = finish(&call, generation, Ending::NoReply, f) {
                sched::make_ready(task);
            }
        }
    }
}

struct Words([u64; 4]);

impl Outgoing<Slot> for Words {
    const PLAIN: bool = true;
    const DATA_WORDS: u16 = 4;
    const POINTERS: u16 = 0;
    fn words(&self) -> [u64; 4] {
        self.0
    }
}
