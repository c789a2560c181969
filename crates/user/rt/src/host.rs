//! A stand-in for the kernel, for tests on the host: services that answer each other's calls within one thread.
//!
//! [`serve`] makes a capability of a service. A call through it is delivered at once, on the caller's stack, and what the
//! service answers is what the caller gets: over the message area, the encoding and the transfer rules that a program uses
//! in the guest. A mock is a service like any other.
//!
//! Invariant: never imitates what only the kernel can do. There is no ring, no endpoint to receive from, no other process and
//! no device here: such calls are refused, and a call that a service puts aside ends the test, because nobody would answer it.

use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::thread_local;
use std::vec::Vec;

use ring_abi::{
    AREA_MAGIC, AreaHeader, StatusWord, Transfer, completion_flags, opcode, span_parts,
    submission_flags,
};
use schema::process::{endpoint, memory_object};
use stub::{Answered, CapArg, Interface, Object, Refusal, Reply, Words, wire};

use crate::Cap;
use crate::server::{Arrival, Call, Received, Service, deliver_now};
use crate::sys::{Operation, Outcome};

/// Bytes of each thread's message area.
const MESSAGE_BYTES: usize = 64 * 1024;

#[repr(C, align(16))]
struct Area {
    header: AreaHeader,
    messages: [u8; MESSAGE_BYTES],
}

/// A service and everybody who can reach it. It is taken out while it works.
type Place = Rc<RefCell<Option<Box<dyn Service>>>>;

/// What clients hold of a service.
struct Facet {
    place: Place,
    cookie: u64,
    is_revoked: Cell<bool>,
}

/// What became of a call.
enum Fate {
    Open,
    Words(Words),
    Message(Vec<u64>, usize),
    Refused(Refusal),
}

/// What a handle stands for.
#[derive(Clone)]
enum Entry {
    Facet(Rc<Facet>),
    Reply(Rc<RefCell<Fate>>),
}

#[derive(Default)]
struct Kernel {
    entries: HashMap<u64, Entry>,
    last: u64,
}

/// An area, which is never freed: tests are few, and their areas are used again.
fn new_area() -> *mut AreaHeader {
    let area: &'static mut Area = Box::leak(Box::new(Area {
        header: AreaHeader {
            address: 0,
            magic: AREA_MAGIC,
            submission_head: 0,
            submission_tail: 0,
            completion_head: 0,
            completion_tail: 0,
            // No ring: `Ring::new` refuses.
            submissions: 0,
            submission_offset: 0,
            completion_offset: 0,
            message_offset: core::mem::offset_of!(Area, messages) as u32,
            message_bytes: MESSAGE_BYTES as u32,
            user: [0; 3],
        },
        messages: [0; MESSAGE_BYTES],
    }));
    core::ptr::from_mut(area).cast()
}

thread_local! {
    /// The area of the program that runs, last, and those of the programs that wait for it: in the guest each has its own.
    static AREAS: RefCell<Vec<*mut AreaHeader>> = RefCell::new(std::vec![new_area()]);
    /// Areas that nobody uses now.
    static SPARE: RefCell<Vec<*mut AreaHeader>> = const { RefCell::new(Vec::new()) };
    static KERNEL: RefCell<Kernel> = RefCell::default();
    /// Facets whose last handle went while their service was at work.
    static NOTICES: RefCell<Vec<Rc<Facet>>> = const { RefCell::new(Vec::new()) };
}

/// The area of the program that runs.
pub(crate) fn area() -> *mut AreaHeader {
    AREAS.with_borrow(|areas| areas.last().copied().unwrap_or(core::ptr::null_mut()))
}

/// Runs `work` as another program would: with an area of its own.
fn as_another<R>(work: impl FnOnce() -> R) -> R {
    let own = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(new_area);
    AREAS.with_borrow_mut(|areas| areas.push(own));
    let result = work();
    AREAS.with_borrow_mut(Vec::pop);
    SPARE.with_borrow_mut(|spare| spare.push(own));
    result
}

/// Ends the test: there is no process to end. The text lies in the message area.
pub(crate) fn exit(code: i64, offset: u32, bytes: u32) -> ! {
    let whole = (bytes as usize).next_multiple_of(8);
    let words = read_area(offset as usize, whole).unwrap_or_default();
    let mut text: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    text.truncate(bytes as usize);
    let text = std::string::String::from_utf8_lossy(&text);
    panic!("the program ended with code {code}: {text}")
}

/// What a program says that somebody started on the host.
#[must_use]
pub fn explain() -> i32 {
    std::eprintln!(
        "this program runs inside capOS: name it in a manifest, then cargo xtask run --manifest NAME"
    );
    2
}

/// A capability of `service`, whose calls carry cookie 0.
///
/// ```ignore
/// let counter: Counter = sdk::host::serve(Service::default());
/// assert_eq!(counter.add(2)?.total, 2);
/// ```
pub fn serve<I: Interface<Cap>>(service: impl Service + 'static) -> I {
    serve_objects(|_| service)
}

/// The same for a service that mints facets: `make` gets its endpoint.
pub fn serve_objects<I: Interface<Cap>, S: Service + 'static>(
    make: impl FnOnce(endpoint::Client<Cap>) -> S,
) -> I {
    let place = Place::default();
    let minter = Minter {
        place: Rc::clone(&place),
        incarnation: 1,
    };
    let minter: Box<dyn Service> = Box::new(minter);
    let endpoint = grant(Rc::new(RefCell::new(Some(minter))), 0);
    let service = make(Interface::from_object(Cap::owned(endpoint)));
    *place.borrow_mut() = Some(Box::new(service));
    I::from_object(Cap::owned(grant(place, 0)))
}

/// Memory that can be mapped, as a stand-in for what another process or the kernel would give.
pub fn memory(bytes: usize) -> memory_object::Client<Cap> {
    serve(Memory {
        words: std::vec![0; bytes.div_ceil(8)],
        bytes: bytes as u64,
        is_revoked: false,
    })
}

fn grant(place: Place, cookie: u64) -> u64 {
    let is_revoked = Cell::new(false);
    insert(Entry::Facet(Rc::new(Facet {
        place,
        cookie,
        is_revoked,
    })))
}

fn insert(entry: Entry) -> u64 {
    KERNEL.with_borrow_mut(|kernel| {
        kernel.last += 1;
        kernel.entries.insert(kernel.last, entry);
        kernel.last
    })
}

fn entry(handle: u64) -> Result<Entry, Refusal> {
    let found = KERNEL.with_borrow(|kernel| kernel.entries.get(&handle).cloned());
    found.ok_or(Refusal::BadHandle)
}

/// What [`crate::sys::operate`] does here.
pub(crate) fn operate(operation: &Operation) -> Outcome {
    let done = match operation.opcode {
        opcode::NOP | opcode::UNPARK => Ok(outcome(StatusWord::default(), [0; 4])),
        opcode::PARK => {
            std::thread::yield_now();
            Ok(outcome(StatusWord::default(), [0; 4]))
        }
        opcode::CALL => call(operation),
        opcode::RETURN => answer(operation),
        opcode::REFUSE => refuse(operation),
        opcode::RELEASE => {
            release(operation.handle);
            Ok(outcome(StatusWord::default(), [0; 4]))
        }
        _ => Err(Refusal::NotSupported),
    };
    done.unwrap_or_else(|refusal| {
        let status = StatusWord {
            status: refusal.code(),
            ..StatusWord::default()
        };
        outcome(status, [0; 4])
    })
}

fn outcome(status: StatusWord, words: Words) -> Outcome {
    Outcome {
        status,
        cookie: 0,
        reply: 0,
        words,
    }
}

/// A message on its way: its words and behind them the receiver's handles, and how many of those there are.
fn outgoing(operation: &Operation) -> Result<Result<Words, (Vec<u64>, usize)>, Refusal> {
    if operation.flags & submission_flags::INLINE != 0 {
        return Ok(Ok(operation.words));
    }
    let (offset, bytes) = span_parts(operation.words[0]);
    let transfers = usize::try_from(operation.words[3]).map_err(|_| Refusal::BadMessage)?;
    let whole = bytes as usize + transfers * ring_abi::TRANSFER_BYTES;
    let copy = read_area(offset as usize, whole).ok_or(Refusal::BadMessage)?;
    let (message, behind) = copy.split_at(bytes as usize / wire::WORD);
    let mut words = message.to_vec();
    for pair in behind.chunks_exact(2) {
        let transfer = Transfer {
            handle: pair[0],
            mode: pair[1],
        };
        let carried = entry(transfer.handle)?;
        if transfer.mode == 1 {
            KERNEL.with_borrow_mut(|kernel| kernel.entries.remove(&transfer.handle));
        }
        words.push(insert(carried));
    }
    Ok(Err((words, transfers)))
}

/// Copies words out of the message area.
fn read_area(offset: usize, bytes: usize) -> Option<Vec<u64>> {
    let end = offset.checked_add(bytes)?;
    if end > MESSAGE_BYTES || !offset.is_multiple_of(8) || !bytes.is_multiple_of(8) {
        return None;
    }
    let start = area()
        .cast::<u8>()
        .wrapping_add(core::mem::offset_of!(Area, messages) + offset);
    // SAFETY: inside the thread's own area, which is never freed; nobody writes to it during this copy.
    let bytes = unsafe { core::slice::from_raw_parts(start, bytes) };
    let words = bytes.as_chunks::<8>().0.iter();
    Some(words.map(|word| u64::from_le_bytes(*word)).collect())
}

/// Copies words into the message area, which must have room for them within `room` bytes.
fn write_area(offset: usize, room: usize, words: &[u64]) -> Result<(), Refusal> {
    let bytes = words.len() * 8;
    if bytes > room || offset + bytes > MESSAGE_BYTES {
        return Err(Refusal::ReplyTooLarge);
    }
    let start = area()
        .cast::<u8>()
        .wrapping_add(core::mem::offset_of!(Area, messages) + offset);
    for (at, word) in words.iter().enumerate() {
        let word = word.to_le_bytes();
        // SAFETY: inside the thread's own area; the caller holds no reference to its reply buffer during the operation.
        unsafe { core::ptr::copy_nonoverlapping(word.as_ptr(), start.wrapping_add(at * 8), 8) };
    }
    Ok(())
}

fn inline(words: Words) -> Outcome {
    let status = StatusWord {
        flags: completion_flags::INLINE,
        ..StatusWord::default()
    };
    outcome(status, words)
}

fn call(operation: &Operation) -> Result<Outcome, Refusal> {
    let Entry::Facet(facet) = entry(operation.handle)? else {
        return Err(Refusal::WrongKind);
    };
    if facet.is_revoked.get() {
        return Err(Refusal::Revoked);
    }
    let sent = outgoing(operation)?;
    let fate = Rc::new(RefCell::new(Fate::Open));
    let reply = insert(Entry::Reply(Rc::clone(&fate)));
    let (flags, words, message, caps) = match sent {
        Ok(words) => (completion_flags::INLINE, words, Vec::new(), 0),
        Err((message, caps)) => (0, [0; 4], message, caps),
    };
    let status = StatusWord {
        flags,
        caps: caps as u8,
        method: operation.method,
        words: (message.len() - caps) as u16,
        ..StatusWord::default()
    };
    // SAFETY: the words of a live vector, as bytes.
    let buffer = unsafe { core::slice::from_raw_parts(message.as_ptr().cast(), message.len() * 8) };
    let arrival = Arrival {
        status,
        cookie: facet.cookie,
        reply,
        words,
        buffer,
    };
    let service = facet.place.borrow_mut().take();
    let Some(mut service) = service else {
        panic!("a service calls itself: in the guest it would wait for itself for ever");
    };
    as_another(|| deliver_now(arrival, &mut *service));
    *facet.place.borrow_mut() = Some(service);
    if Rc::strong_count(&facet) == 1 {
        // The last handle went during the call.
        NOTICES.with_borrow_mut(|notices| notices.push(Rc::clone(&facet)));
    }
    drop(facet);
    give_notices();
    answered(operation, fate.replace(Fate::Open))
}

/// What the caller gets of an answer.
fn answered(operation: &Operation, fate: Fate) -> Result<Outcome, Refusal> {
    match fate {
        Fate::Open => panic!(
            "the service put the call of method {} aside; on the host nobody answers it later",
            operation.method
        ),
        Fate::Refused(refusal) => Err(refusal),
        Fate::Words(words) => Ok(inline(words)),
        Fate::Message(words, caps) => {
            let (offset, room) = span_parts(operation.reply);
            let plain = (caps == 0 && room == 0)
                .then(|| wire::plain_words(words.len(), |at| words[at]))
                .flatten();
            if let Some(words) = plain {
                return Ok(inline(words));
            }
            write_area(offset as usize, room as usize, &words)?;
            let status = StatusWord {
                caps: caps as u8,
                words: (words.len() - caps) as u16,
                ..StatusWord::default()
            };
            Ok(outcome(status, [0; 4]))
        }
    }
}

/// The fate of the call that a reply handle stands for; the handle is used up.
fn settle(handle: u64, fate: Fate) -> Result<Outcome, Refusal> {
    let Entry::Reply(call) = entry(handle)? else {
        return Err(Refusal::WrongKind);
    };
    KERNEL.with_borrow_mut(|kernel| kernel.entries.remove(&handle));
    *call.borrow_mut() = fate;
    Ok(outcome(StatusWord::default(), [0; 4]))
}

fn answer(operation: &Operation) -> Result<Outcome, Refusal> {
    let fate = match outgoing(operation)? {
        Ok(words) => Fate::Words(words),
        Err((words, caps)) => Fate::Message(words, caps),
    };
    settle(operation.handle, fate)
}

fn refuse(operation: &Operation) -> Result<Outcome, Refusal> {
    let code = u8::try_from(operation.words[0]).unwrap_or(u8::MAX);
    let refusal = Refusal::from_code(code).unwrap_or(Refusal::Failed);
    settle(operation.handle, Fate::Refused(refusal))
}

/// Drops a handle. At the end of a thread its table may be gone already, and everything with it.
fn release(handle: u64) {
    let gone = KERNEL.try_with(|kernel| {
        let mut kernel = kernel.try_borrow_mut().ok()?;
        kernel.entries.remove(&handle)
    });
    match gone {
        Ok(Some(Entry::Reply(fate))) => {
            let mut fate = fate.borrow_mut();
            if matches!(*fate, Fate::Open) {
                *fate = Fate::Refused(Refusal::NoReply);
            }
        }
        Ok(Some(Entry::Facet(facet))) if Rc::strong_count(&facet) == 1 => {
            let _ = NOTICES.try_with(|notices| notices.borrow_mut().push(facet));
            give_notices();
        }
        _ => {}
    }
}

/// Tells services of facets that are gone, unless they are at work: then they are told once they have answered.
fn give_notices() {
    loop {
        let ready = NOTICES.try_with(|notices| {
            let mut notices = notices.borrow_mut();
            let free = |facet: &Rc<Facet>| facet.place.borrow().is_some();
            let at = notices.iter().position(free)?;
            Some(notices.remove(at))
        });
        let Ok(Some(facet)) = ready else { return };
        let service = facet.place.borrow_mut().take();
        if let Some(mut service) = service {
            as_another(|| service.dropped(facet.cookie));
            *facet.place.borrow_mut() = Some(service);
        }
    }
}

/// The endpoint of a service.
struct Minter {
    place: Place,
    incarnation: u64,
}

impl Service for Minter {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        endpoint::dispatch(self, received, call)
    }
}

impl<'c> endpoint::Server<Call<'c>> for Minter {
    fn mint(
        &mut self,
        reply: Reply<Call<'c>, endpoint::call::Mint>,
        cookie: u64,
        _: u64,
        _: endpoint::Lifetime,
    ) -> Answered {
        let facet = CapArg::moved(grant(Rc::clone(&self.place), cookie));
        reply.send(endpoint::MintReply { facet })
    }

    fn revoke_facet(
        &mut self,
        reply: Reply<Call<'c>, endpoint::call::RevokeFacet>,
        facet: Cap,
    ) -> Answered {
        let ours = match entry(facet.handle()) {
            Ok(Entry::Facet(facet)) if Rc::ptr_eq(&facet.place, &self.place) => facet,
            Ok(_) => return reply.refuse(Refusal::WrongOwner),
            Err(refusal) => return reply.refuse(refusal),
        };
        ours.is_revoked.set(true);
        reply.send(())
    }

    fn lend(&mut self, reply: Reply<Call<'c>, endpoint::call::Lend>, _: u32) -> Answered {
        reply.refuse(Refusal::NotSupported)
    }

    fn renew(&mut self, reply: Reply<Call<'c>, endpoint::call::Renew>) -> Answered {
        self.incarnation += 1;
        reply.send(endpoint::RenewReply {
            incarnation: self.incarnation,
        })
    }
}

/// Memory of this process that passes for a MemoryObject.
struct Memory {
    words: Vec<u64>,
    bytes: u64,
    is_revoked: bool,
}

impl Service for Memory {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        memory_object::dispatch(self, received, call)
    }
}

impl<'c> memory_object::Server<Call<'c>> for Memory {
    fn info(&mut self, reply: Reply<Call<'c>, memory_object::call::Info>) -> Answered {
        reply.send(memory_object::InfoReply {
            bytes: self.bytes,
            writable: true,
        })
    }

    fn map(
        &mut self,
        reply: Reply<Call<'c>, memory_object::call::Map>,
        offset: u64,
        bytes: u64,
        _: u8,
    ) -> Answered {
        if self.is_revoked {
            return reply.refuse(Refusal::Revoked);
        }
        if offset.checked_add(bytes).is_none_or(|end| end > self.bytes) {
            return reply.refuse(Refusal::OutOfRange);
        }
        let address = self.words.as_mut_ptr() as u64 + offset;
        reply.send(memory_object::MapReply { address })
    }

    fn unmap(&mut self, reply: Reply<Call<'c>, memory_object::call::Unmap>, _: u64) -> Answered {
        reply.send(())
    }

    fn read_only(&mut self, reply: Reply<Call<'c>, memory_object::call::ReadOnly>) -> Answered {
        reply.refuse(Refusal::NotSupported)
    }

    fn part(
        &mut self,
        reply: Reply<Call<'c>, memory_object::call::Part>,
        _: u64,
        _: u64,
    ) -> Answered {
        reply.refuse(Refusal::NotSupported)
    }

    fn revoke(&mut self, reply: Reply<Call<'c>, memory_object::call::Revoke>) -> Answered {
        self.is_revoked = true;
        reply.send(())
    }
}
