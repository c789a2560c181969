//! The calling thread's ring: many operations in flight, one system call for a batch of them.

mod completion;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use ring_abi::{AreaHeader, MessageWords, NEVER, Submission, opcode, span};
use stub::{CapArg, Deferred, Method, Object, Outgoing, Refusal, wire};

pub use completion::Completion;

use crate::area::{self, Scratch};
use crate::server::LateReply;
use crate::{cap, sys};

/// The least that a slot holds: a plain payload as a message, in both directions.
const LEAST_SLOT_BYTES: u32 = 2 * cap::PLAIN_MESSAGE_BYTES;

/// The `user_data` of a cancel: it needs no slot, and nobody wants its completion.
const CANCEL: u64 = u64::MAX;

/// One operation's place.
#[derive(Clone, Copy)]
struct Slot {
    user: u64,
    /// Bytes at the front of its buffer that the outgoing message takes.
    sent: u32,
    /// The free slot behind it, while it is free.
    next: u16,
    /// An operation is in flight, or its completion is being looked at.
    busy: bool,
    /// Somebody asked to cancel it.
    cancelled: bool,
    /// Nobody wants its completion.
    silent: bool,
    /// Its completion, set aside until somebody asks for it.
    arrived: Option<Arrived>,
}

/// Behind the last free slot.
const NO_SLOT: u16 = u16::MAX;

/// What a completion says, apart from its message.
#[derive(Clone, Copy)]
struct Arrived {
    /// A packed [`StatusWord`].
    status: u64,
    cookie: u64,
    reply: u64,
}

/// Operations in flight through the calling thread's ring. There is one ring per thread; make one `Ring`.
///
/// Each operation takes a slot, with a buffer of its own for its message and its reply, until its completion was
/// consumed. `user` values are the program's and come back with the completion.
pub struct Ring {
    region: Scratch,
    slot_bytes: u32,
    slots: Vec<Slot>,
    /// The first free slot, and how many there are.
    first: u16,
    free: u16,
    header: *mut AreaHeader,
    /// The submission and completion slots of the area, and how many of the first there are.
    to: *mut [u64; 8],
    from: *const [u64; 4],
    count: u32,
    /// Submissions taken, as far as was looked.
    taken: u32,
}

impl Ring {
    /// A ring of `slots` slots with `slot_bytes` bytes each, from the thread's message area.
    ///
    /// # Errors
    /// [`Refusal::OutOfRange`] when the thread's ring or message area is too small.
    pub fn new(slots: u16, slot_bytes: u32) -> Result<Self, Refusal> {
        let header = area::header();
        // SAFETY: the kernel wrote the header before the thread ran, and these fields never change.
        let (submissions, to, from) = unsafe {
            (
                (*header).submissions,
                (*header).submission_offset,
                (*header).completion_offset,
            )
        };
        let start = header.cast::<u8>();
        let slot_bytes = slot_bytes.next_multiple_of(wire::WORD as u32);
        let bytes = u32::from(slots).checked_mul(slot_bytes);
        let bytes = bytes.filter(|&bytes| {
            slot_bytes >= LEAST_SLOT_BYTES
                && slots > 0
                && u32::from(slots) <= submissions
                && bytes <= crate::message_bytes_free()
        });
        // SAFETY: the header lives as long as the thread.
        let taken = unsafe { area::atomic(&raw mut (*header).submission_head) };
        Ok(Self {
            region: Scratch::take(bytes.ok_or(Refusal::OutOfRange)?),
            slot_bytes,
            slots: (0..slots)
                .map(|at| Slot {
                    user: 0,
                    sent: 0,
                    next: if at + 1 < slots { at + 1 } else { NO_SLOT },
                    busy: false,
                    cancelled: false,
                    silent: false,
                    arrived: None,
                })
                .collect(),
            first: 0,
            free: slots,
            header,
            to: start.wrapping_add(to as usize).cast(),
            from: start.wrapping_add(from as usize).cast(),
            count: submissions,
            taken: taken.load(Ordering::Acquire),
        })
    }

    /// Slots that no operation holds.
    pub fn free(&self) -> usize {
        usize::from(self.free)
    }

    /// Calls method `M` of `object`.
    ///
    /// # Errors
    /// [`Refusal::QueueFull`] when no slot is free; [`Refusal::BadMessage`] when the message does not fit into one.
    pub fn call<M: Method>(
        &mut self,
        object: &impl Object,
        params: M::Params<'_>,
        user: u64,
        deadline_ns: u64,
    ) -> Result<(), Refusal> {
        let (slot, offset) = self.slot()?;
        let (start, end) = self.place(slot);
        let buffer = self.region.bytes_mut().get_mut(start..end);
        let encoded = encode::<M>(params, buffer.ok_or(Refusal::OutOfRange)?);
        let (bytes, transfers) = encoded.map_err(|wire::Full| Refusal::BadMessage)?;
        let sent = bytes + transfers as u32 * ring_abi::TRANSFER_BYTES as u32;
        let words = MessageWords {
            message: span(offset, bytes),
            reply: span(offset + sent, self.slot_bytes - sent),
            second: 0,
            transfers,
        };
        let submission = Submission {
            opcode: opcode::CALL,
            method: M::ORDINAL,
            handle: object.handle(),
            deadline_ns,
            words: [words.message, words.reply, words.second, words.transfers],
            ..Submission::default()
        };
        self.push(slot, sent, user, submission);
        Ok(())
    }

    /// Waits for a call on `endpoint`. Its completion is for [`Completion::serve`].
    ///
    /// # Errors
    /// [`Refusal::QueueFull`] when no slot is free.
    pub fn receive(&mut self, endpoint: &impl Object, user: u64) -> Result<(), Refusal> {
        let (slot, offset) = self.slot()?;
        let submission = Submission {
            opcode: opcode::RECEIVE,
            handle: endpoint.handle(),
            deadline_ns: NEVER,
            words: [0, span(offset, self.slot_bytes), 0, 0],
            ..Submission::default()
        };
        self.push(slot, 0, user, submission);
        Ok(())
    }

    /// Does nothing and completes: what was submitted before has been taken by then.
    ///
    /// # Errors
    /// [`Refusal::QueueFull`] when no slot is free.
    #[inline]
    pub fn nop(&mut self, user: u64) -> Result<(), Refusal> {
        let (slot, _) = self.slot()?;
        let submission = Submission {
            opcode: opcode::NOP,
            deadline_ns: NEVER,
            ..Submission::default()
        };
        self.push(slot, 0, user, submission);
        Ok(())
    }

    /// Answers a call with the next batch; at once where no slot is free. It completes without a [`Completion`].
    pub fn reply<M: Method>(
        &mut self,
        deferred: Deferred<LateReply, M>,
        results: M::Reply<'_, CapArg>,
    ) {
        let Ok((slot, offset)) = self.slot() else {
            return deferred.send(results);
        };
        let (start, end) = self.place(slot);
        let buffer = self.region.bytes_mut().get_mut(start..end);
        let encoded = deferred.send_by(results, |call, results| {
            match area::encode(AsMessage(results), buffer.unwrap_or_default()) {
                Ok(encoded) => Some((call.into_handle(), encoded)),
                Err(_) => {
                    stub::Respond::refuse(call, Refusal::ReplyTooLarge);
                    None
                }
            }
        });
        let Some((handle, (bytes, transfers))) = encoded else {
            return;
        };
        let submission = Submission {
            opcode: opcode::RETURN,
            handle,
            deadline_ns: NEVER,
            words: [span(offset, bytes), 0, 0, transfers],
            ..Submission::default()
        };
        self.push(slot, 0, 0, submission);
    }

    /// Cancels every operation in flight whose `user` value this is. Each still completes, `cancelled` or as it went.
    pub fn cancel(&mut self, user: u64) {
        self.cancel_where(|slot| slot.user == user);
    }

    fn cancel_where(&mut self, which: impl Fn(&Slot) -> bool) {
        for target in 0..self.slots.len() {
            let slot = &mut self.slots[target];
            let pending = slot.busy && slot.arrived.is_none();
            if pending && !slot.cancelled && !slot.silent && which(slot) {
                slot.cancelled = true;
                self.write(Submission {
                    opcode: opcode::CANCEL,
                    handle: target as u64,
                    user_data: CANCEL,
                    deadline_ns: NEVER,
                    ..Submission::default()
                });
            }
        }
    }

    /// Hands over what was submitted, without waiting.
    pub fn submit(&mut self) {
        sys::enter_ring(0, NEVER);
    }

    /// Hands over what was submitted and waits for `completions` completions or the deadline. Those of replies and
    /// cancellations count, so [`Ring::completed`] may find fewer.
    #[inline]
    pub fn wait(&mut self, completions: u16, deadline_ns: u64) {
        let here = self.completion_tail().load(Ordering::Acquire);
        let ready = here.wrapping_sub(self.completion_head().load(Ordering::Relaxed));
        let made = self.submission_tail().load(Ordering::Relaxed);
        let submitted = made != self.submission_head().load(Ordering::Acquire);
        if submitted || ready < u32::from(completions) {
            sys::enter_ring(completions, deadline_ns);
        }
    }

    /// The next completion that is there and was not set aside.
    #[inline(always)]
    pub fn completed(&mut self) -> Option<Completion<'_>> {
        let (index, arrived) = self.next()?;
        Some(self.open(index, arrived))
    }

    /// Sets the completions that are there aside, each in its slot, for [`Ring::take`].
    pub fn set_aside(&mut self) {
        while let Some((index, arrived)) = self.next() {
            self.slots[usize::from(index)].arrived = Some(arrived);
        }
    }

    /// The completion of the operation with this `user` value, if it was set aside.
    pub fn take(&mut self, user: u64) -> Option<Completion<'_>> {
        let (index, arrived) = self.find(user)?;
        Some(self.open(index, arrived?))
    }

    /// Gives an operation up: it is cancelled before this returns, and what it has brought or still brings is dropped unseen.
    pub fn abandon(&mut self, user: u64) {
        match self.find(user) {
            None => {}
            Some((index, Some(arrived))) => drop(self.open(index, arrived)),
            Some((index, None)) => {
                self.cancel_where(|slot| slot.user == user);
                self.slots[usize::from(index)].silent = true;
                // At once: what is rung or sent from now on is for others.
                self.submit();
            }
        }
    }

    /// Operations whose completion has not come, those that nobody wants included.
    pub fn in_flight(&self) -> usize {
        let slots = self.slots.iter();
        slots.filter(|s| s.busy && s.arrived.is_none()).count()
    }

    /// The slot of the operation with this `user` value, and its completion once that was set aside.
    fn find(&self, user: u64) -> Option<(u16, Option<Arrived>)> {
        let wanted = |slot: &Slot| slot.busy && !slot.silent && slot.user == user;
        let index = self.slots.iter().position(wanted)?;
        Some((index as u16, self.slots[index].arrived))
    }

    /// Takes the next completion that somebody wants out of the queue.
    #[inline(always)]
    fn next(&mut self) -> Option<(u16, Arrived)> {
        loop {
            let head = self.completion_head().load(Ordering::Relaxed);
            if head == self.completion_tail().load(Ordering::Acquire) {
                return None;
            }
            let slot = (head & (self.count * 2 - 1)) as usize;
            // SAFETY: inside the area's completion slots, 8-byte aligned, written by the kernel before the tail moved on, and
            // not again before the head does.
            let [user_data, status, cookie, reply] =
                unsafe { self.from.wrapping_add(slot).read_volatile() };
            self.completion_head()
                .store(head.wrapping_add(1), Ordering::Release);
            let arrived = Arrived {
                status,
                cookie,
                reply,
            };
            match self.slots.get(user_data as usize) {
                Some(slot) if !slot.silent => return Some((user_data as u16, arrived)),
                Some(_) => self.forget(user_data as u16, arrived),
                None if user_data == CANCEL => {}
                None => return None,
            }
        }
    }

    /// An answer that nobody waits for may still have brought handles.
    #[inline(never)]
    fn forget(&mut self, index: u16, arrived: Arrived) {
        drop(self.open(index, arrived));
    }

    #[inline]
    fn open(&mut self, index: u16, arrived: Arrived) -> Completion<'_> {
        let user = self.slots.get(usize::from(index)).map_or(0, |s| s.user);
        Completion {
            status: arrived.status,
            cookie: arrived.cookie,
            reply: arrived.reply,
            user,
            index,
            consumed: false,
            ring: self,
        }
    }

    #[inline]
    fn release(&mut self, index: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(index)) else {
            return;
        };
        slot.busy = false;
        slot.arrived = None;
        slot.next = self.first;
        self.first = index;
        self.free += 1;
    }

    /// A free slot: its number, and where its buffer lies in the message area.
    #[inline]
    fn slot(&mut self) -> Result<(u16, u32), Refusal> {
        if self.free == 0 {
            return Err(Refusal::QueueFull);
        }
        Ok((
            self.first,
            self.region.offset() + u32::from(self.first) * self.slot_bytes,
        ))
    }

    /// Where a slot's buffer lies in the ring's region.
    fn place(&self, slot: u16) -> (usize, usize) {
        let start = usize::from(slot) * self.slot_bytes as usize;
        (start, start + self.slot_bytes as usize)
    }

    #[inline]
    fn push(&mut self, slot: u16, sent: u32, user: u64, submission: Submission) {
        let Some(place) = self.slots.get_mut(usize::from(slot)) else {
            return;
        };
        self.first = place.next;
        self.free -= 1;
        *place = Slot {
            user,
            sent,
            next: NO_SLOT,
            busy: true,
            cancelled: false,
            silent: submission.opcode == opcode::RETURN,
            arrived: None,
        };
        self.write(Submission {
            user_data: u64::from(slot),
            ..submission
        });
    }

    #[inline]
    fn write(&mut self, submission: Submission) {
        let tail = self.submission_tail().load(Ordering::Relaxed);
        if tail.wrapping_sub(self.taken) >= self.count {
            self.make_room(tail);
        }
        let slot = (tail & (self.count - 1)) as usize;
        let to = self.to.wrapping_add(slot).cast::<u64>();
        for (at, word) in submission.to_words().into_iter().enumerate() {
            // SAFETY: inside the area's submission slots, 8-byte aligned, and the kernel does not read it before the tail
            // moves on.
            unsafe { to.wrapping_add(at).write_volatile(word) };
        }
        self.submission_tail()
            .store(tail.wrapping_add(1), Ordering::Release);
    }

    /// Looks how many submissions were taken, and hands over what was made where all slots are in use.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, tail: u32) {
        self.taken = self.submission_head().load(Ordering::Acquire);
        if tail.wrapping_sub(self.taken) >= self.count {
            self.submit();
            self.taken = self.submission_head().load(Ordering::Acquire);
        }
    }

    fn submission_head(&self) -> &AtomicU32 {
        // SAFETY: the header lives as long as the thread.
        unsafe { area::atomic(&raw mut (*self.header).submission_head) }
    }

    fn submission_tail(&self) -> &AtomicU32 {
        // SAFETY: the header lives as long as the thread.
        unsafe { area::atomic(&raw mut (*self.header).submission_tail) }
    }

    fn completion_head(&self) -> &AtomicU32 {
        // SAFETY: the header lives as long as the thread.
        unsafe { area::atomic(&raw mut (*self.header).completion_head) }
    }

    fn completion_tail(&self) -> &AtomicU32 {
        // SAFETY: the header lives as long as the thread.
        unsafe { area::atomic(&raw mut (*self.header).completion_tail) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel may still write into the buffers of what is in flight: cancel it and wait for the end.
        self.cancel_where(|_| true);
        for index in 0..self.slots.len() {
            if let Some(arrived) = self.slots[index].arrived {
                drop(self.open(index as u16, arrived));
            }
        }
        while self.free() < self.slots.len() {
            self.wait(1, NEVER);
            while self.completed().is_some() {}
        }
    }
}

/// The parameters of `M` as a message: a ring carries no other form.
fn encode<M: Method>(params: M::Params<'_>, to: &mut [u8]) -> Result<(u32, u64), wire::Full> {
    // What a slot must keep free for a plain reply.
    let room = to.len().saturating_sub(cap::PLAIN_MESSAGE_BYTES as usize);
    area::encode(AsMessage(params), to.get_mut(..room).ok_or(wire::Full)?)
}

/// Sends a payload as a message even where it is plain.
struct AsMessage<P>(P);

impl<P: Outgoing<CapArg>> Outgoing<CapArg> for AsMessage<P> {
    const PLAIN: bool = false;
    const DATA_WORDS: u16 = P::DATA_WORDS;
    const POINTERS: u16 = P::POINTERS;
    fn encode(
        self,
        root: &mut wire::StructWriter<'_, '_>,
        caps: &mut dyn FnMut(CapArg),
    ) -> Result<(), wire::Full> {
        self.0.encode(root, caps)
    }
}
