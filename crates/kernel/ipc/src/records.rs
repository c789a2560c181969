//! Who holds whom: what threads, processes, calls, endpoints and handles are made of.
//!
//! These types name each other in a circle, so they stand in one room; each part of them that has rules of its own is a type
//! of a room below, and what is done with them is in the rooms above.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize};

use account::{Charge, Opened, Share};
use arrayvec::{ArrayString, ArrayVec};
use call_state::{CallWord, Mailbox};
use cap::{Epoch, Number};
use cpu::Lock;
use memory::{MemoryObject, Vm};
use ring_abi::{MAX_TRANSFERS, Refusal};
use sched::Task;
use schema::process::endpoint::Lifetime;
use stub::{Answered, Received};

use crate::area::{Area, Span};
use crate::call_log::Log;
use crate::closing::Closing;
use crate::exit::{Exits, Joins};
use crate::finished::Route;
use crate::kept::Kept;
use crate::marks::Marks;
use crate::meeting::Queues;
use crate::message::Payload;
use crate::notice::Notice;
use crate::operation::{Operation, Outcome};
use crate::parking::Parking;
use crate::pool::Pool;
use crate::receives::Receives;
use crate::ring::Ring;
use crate::roster::Roster;
use crate::standing::Standing;
use crate::table::Table;
use crate::through::{Link, Linked, Through};

/// One process: an address space, its capabilities, its threads, and the account that pays for them.
#[derive(Debug)]
pub struct Process {
    /// Number, never used again.
    pub id: u64,
    /// Name, for people.
    pub name: ArrayString<NAME_BYTES>,
    /// The number of who started it, 0 for the kernel.
    pub started_by: u64,
    /// How often its starter says that it has started it anew.
    pub restarts: u32,
    /// Whether its threads keep floating-point and vector registers.
    pub has_fpu: bool,
    /// Whether the processor forgets what it learned of branches between this account and any other.
    pub is_distrusting: bool,
    /// What it was given, and what of it is in use.
    pub(crate) account: Opened,
    /// What it paid for and others may hold.
    pub bank: Arc<Bank>,
    /// Its memory.
    pub vm: Arc<Vm>,
    pub(crate) handles: Table<Object>,
    pub(crate) threads: Roster<Thread>,
    /// Threads that wait on a word of its memory.
    pub(crate) parked: Lock<Parking<Arc<Thread>>>,
    /// Whether it is ending or traced.
    pub(crate) marks: Marks,
    /// Where its calls are recorded.
    pub(crate) trace: Lock<Option<Arc<Log>>>,
    pub(crate) exits: Exits<Pending>,
}

/// Longest name of a process, in bytes.
pub const NAME_BYTES: usize = 32;

/// One thread of a process.
#[derive(Debug)]
pub struct Thread {
    /// What the scheduler runs.
    pub task: Arc<Task>,
    /// Whose it is.
    pub process: Arc<Process>,
    /// Number within the process, from 1.
    pub number: u64,
    pub(crate) area: Area,
    /// Where the result of its operation in registers arrives.
    pub(crate) register: Mailbox,
    pub(crate) ring: Lock<Ring>,
    /// Room for the capabilities of an answer or of a call to the kernel, kept from one to the next.
    pub(crate) outbound: Lock<Vec<Outbound>>,
    pub(crate) calls: Pool<Call>,
    /// The call object of its last operation in registers.
    pub(crate) own_call: Kept<Call>,
    /// A count of itself, for its next operation in registers: it goes with that and comes back with the result.
    pub(crate) own_count: Kept<Self>,
    /// The last call in registers that lent anything, and its generation: see `loan`.
    pub(crate) lending: Lock<Option<(Arc<Call>, u64)>>,
    /// How many loans what is lent to this thread follows from, at most.
    pub(crate) loan_depth: AtomicU8,
    /// Endpoints on which a receive may be pending.
    pub(crate) receives: Lock<Receives<EndpointCore>>,
    /// Which of them it received on last, to be compared with others.
    pub(crate) noted: AtomicPtr<EndpointCore>,
    /// Where the call that was cancelled last lies in the list of calls.
    pub(crate) ended_last: AtomicUsize,
    /// First instruction, stack pointer and argument.
    pub(crate) start: (u64, u64, u64),
    /// It has begun to end and takes nothing any more.
    pub(crate) leaving: AtomicBool,
    /// Held by whoever may ask, too: nobody keeps a thread by that.
    pub(crate) joins: Arc<Joins<Pending>>,
    pub(crate) closing: Closing<EndpointCore>,
    /// Its place among the threads of the process: taken until nothing holds its stack any more.
    pub(crate) _seat: Charge,
}

/// One call, used again and again by its thread. The state word decides every race; the body belongs to whoever made
/// the last transition.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) word: CallWord,
    pub(crate) body: Lock<Body>,
    /// Its place among the calls through a facet.
    link: Link<Self>,
    /// Never revoked; reply rights need an epoch like every object.
    pub(crate) epoch: Epoch,
}

/// What a call asks, and of whom.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) caller: Option<Arc<Thread>>,
    /// The generation this body belongs to: the call object is used again.
    pub(crate) generation: u64,
    pub(crate) route: Route,
    pub(crate) method: u16,
    pub(crate) payload: Payload,
    pub(crate) caps: Vec<Outbound>,
    /// Reply buffer in the caller's message area.
    pub(crate) reply: Span,
    pub(crate) facet: Option<Arc<Facet>>,
    pub(crate) deadline: u64,
    /// What the call lends the thread that serves it, until it ends.
    pub(crate) loan: Option<Loan>,
}

/// A loan that stands: see `loan`.
#[derive(Debug)]
pub(crate) struct Loan {
    /// Not held: it may end without an answer, and its stack goes with it.
    pub(crate) to: Weak<Thread>,
    pub(crate) priority: u8,
}

impl Call {
    #[expect(clippy::disallowed_methods, reason = "room: its thread made it")]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            word: CallWord::new(),
            body: Lock::new(Body {
                caller: None,
                generation: 0,
                route: Route::Register,
                method: 0,
                payload: Payload::Inline([0; 4]),
                caps: Vec::new(),
                reply: Span::EMPTY,
                facet: None,
                deadline: u64::MAX,
                loan: None,
            }),
            link: Link::new(),
            epoch: Epoch::default(),
        })
    }
}

// SAFETY: always the same field.
unsafe impl Linked for Call {
    #[inline(always)]
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(list) = self.link.end() {
            let _ = list.leave(self);
        }
    }
}

/// The right to answer one call: the call and its generation. There is one; a clone, as a message on its way holds it,
/// only names it. When the right itself is dropped unused, wherever that is, the call completes `noReply`.
#[derive(Debug)]
pub struct ReplyRight {
    pub(crate) call: Arc<Call>,
    /// The generation, and whether this is the right itself: one word, so that a place in a table moves as whole words.
    pub(crate) named: u64,
}

/// The right to answer a call that a kernel object put aside. Dropping it unanswered completes the call `noReply`.
#[derive(Debug)]
pub struct Pending(pub(crate) Option<(Arc<Call>, u64)>);

/// One capability on its way out.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// The sender's handle.
    pub(crate) handle: u64,
    /// The sender loses it at delivery.
    pub(crate) moved: bool,
    pub(crate) slot: Slot,
}

/// The meeting place of clients and server.
#[derive(Debug)]
pub struct EndpointCore {
    /// Names it to whoever looks.
    pub(crate) number: Number,
    pub(crate) queues: Lock<Queues<Queued, Receiver>>,
    /// Raised when the next incarnation begins, under the lock of the queues; facets that are not durable belong to one.
    pub(crate) incarnation: AtomicU64,
    /// Nobody will ever answer, or some right to receive ended: see `standing`.
    pub(crate) standing: Standing,
}

/// A call that waits, and its generation.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) call: Arc<Call>,
    pub(crate) generation: u64,
}

/// A thread that waits for a call.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) thread: Arc<Thread>,
    pub(crate) route: Route,
    /// Where the message goes.
    pub(crate) buffer: Span,
    /// When it gives up, in a ring. In registers the wait itself ends.
    pub(crate) deadline: u64,
}

/// The right to receive. When its last handle goes, nobody will ever answer, and every caller is told.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) core: Arc<EndpointCore>,
    pub(crate) epoch: Epoch,
    pub(crate) charge: Charge,
    /// How many facets may live that were minted through it, where it was lent.
    pub(crate) share: Option<Arc<Share>>,
    /// What holds all that its account paid for.
    pub(crate) bank: Arc<Bank>,
    pub(crate) tie: Arc<Tie>,
}

/// All that one account paid for and others may hold: memory, endpoints, facets, and what the kernel serves. It is ended with the
/// account, whoever holds it. (A space bank, as KeyKOS and EROS had them.)
#[derive(Debug)]
pub struct Bank {
    pub(crate) list: Arc<Through<Tie>>,
    /// Its account is ending.
    pub(crate) is_closed: AtomicBool,
}

/// One object's place in a bank. The object holds it, and it goes with the object.
#[derive(Debug)]
pub struct Tie {
    pub(crate) link: Link<Self>,
    pub(crate) has_ended: AtomicBool,
    /// What of the account it is beside memory, where only the tie says so.
    pub(crate) charge: Option<Charge>,
    pub(crate) made: Lock<Option<Made>>,
}

/// What a tie stands for.
#[derive(Clone)]
pub(crate) enum Made {
    Memory(Weak<MemoryObject>),
    Endpoint(Weak<Endpoint>),
    Facet(Weak<Facet>),
    Kernel(Weak<dyn KernelObject>),
}

/// A client's end: what a call goes through.
#[derive(Debug)]
pub struct Facet {
    pub(crate) core: Arc<EndpointCore>,
    pub(crate) epoch: Epoch,
    pub(crate) cookie: u64,
    /// The incarnation that minted it; 0 when its minter's account has ended.
    pub(crate) incarnation: AtomicU64,
    pub(crate) lifetime: Lifetime,
    /// What its handles serve.
    pub(crate) interface: u64,
    pub(crate) tie: Arc<Tie>,
    /// Whose it is when its minter has ended, if it outlives that.
    pub(crate) heir: Option<Arc<Bank>>,
    /// Until it is told.
    pub(crate) notice: Option<Box<Notice>>,
    /// The calls that go through it.
    pub(crate) through: Arc<Through<Call>>,
}

/// What a handle names.
pub enum Object {
    /// A client's end of an endpoint.
    Facet(Arc<Facet>),
    /// The right to receive.
    Endpoint(Arc<Endpoint>),
    /// The right to answer one call. One-shot: it is moved, never copied.
    Reply(ReplyRight),
    /// An object of the kernel.
    Kernel(Arc<dyn KernelObject>),
}

/// One capability of a process.
pub type Slot = cap::Slot<Object>;

/// Something the kernel itself serves.
pub trait KernelObject: Any + Send + Sync {
    /// The interface.
    fn interface(&self) -> u64;

    /// The epoch that revokes its handles.
    fn epoch(&self) -> &Epoch;

    /// Whether it still works.
    ///
    /// # Errors
    /// Why not.
    fn live(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Whether the account has ended that paid for it, or for what it is made of.
    fn has_ended(&self) -> bool {
        false
    }

    /// That account has ended: no use of it begins from now on.
    fn end(&self) {
        self.epoch().revoke();
    }

    /// Whether a grant of `epoch` still holds and the object still works.
    ///
    /// # Errors
    /// `Revoked`, or those of [`Self::live`].
    fn valid(&self, epoch: u64) -> Result<(), Refusal> {
        self.epoch().check(epoch)?;
        self.live()
    }

    /// Answers a call of four words and four words' answer at once, or leaves it to [`Self::call`]. It is asked with the lock of
    /// the caller's table held, of an object that nobody holds otherwise: it takes no lock, allocates nothing, drops nothing, and
    /// it looks at the grant's epoch itself.
    #[inline]
    fn quick(&self, _granted: u64, _method: u16, _words: &[u64; 4]) -> Option<Quick> {
        None
    }

    /// What [`Quick::Then`] left to be done, with no lock held.
    fn finish(&self) {}

    /// Serves one call: decodes, acts, answers or defers. Never waits for anybody; work that grows with what was asked
    /// for goes in steps, with a [`sched::point`] after each.
    fn call(self: Arc<Self>, call: KernelCall<'_>, received: Received<'_>) -> Answered;

    /// Bytes of a message from which on serving it takes looks: it lies in memory of its own then, not in a buffer of this
    /// CPU. Shorter ones are little work.
    fn long_from(&self) -> usize {
        usize::MAX
    }

    /// What it stands for, for whoever looks. Asked with no lock held.
    fn about(&self) -> About {
        About::default()
    }

    /// For objects that take other objects as parameters.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// What a capability stands for beyond its own object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum About {
    /// Nothing else.
    #[default]
    Itself,
    /// Calls through it, or to be received, meet at the endpoint of this number.
    Endpoint(u64),
    /// A claim on a function of a device, by its PCI address; with the last handle it ends.
    Claim(u32, Held),
    /// The same function, by what derives from a claim on it.
    Function(u32, Held),
    /// A process.
    Process(u64),
    /// Pages, by the number of the object that was made of them first, and how many bytes of them.
    Pages(u64, u64),
}

/// Whether what a capability derives from still holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// It does.
    Still,
    /// It has ended.
    NoMore,
}

/// A quick answer.
#[derive(Clone, Copy, Debug)]
pub enum Quick {
    /// The call is over.
    Answer([u64; 4]),
    /// It is answered with these words; what needs a lock is left to [`KernelObject::finish`].
    Then([u64; 4]),
}

/// One operation on its way: who performs it, how its result travels, what it asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) me: &'a Arc<Thread>,
    pub(crate) route: Route,
    pub(crate) op: &'a Operation,
}

/// One call to a kernel object while it is being served.
#[derive(Debug)]
pub struct KernelCall<'a> {
    pub(crate) entry: &'a Entry<'a>,
    /// Where the answer goes, if not to registers.
    pub(crate) reply: Span,
    pub(crate) caps: &'a mut ArrayVec<Option<Slot>, MAX_TRANSFERS>,
    /// What becomes of it: the answer or refusal, or that a [`Pending`] will answer.
    pub(crate) outcome: &'a mut Outcome,
}
