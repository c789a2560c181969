//! A transport without a kernel: calls go straight to a server's `dispatch`, through real bytes.
#![allow(dead_code, reason = "each test uses its part")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use stub::{Answer, CapArg, Incoming, Object, Outgoing, Payload, Received, Refusal, Respond, wire};

/// A byte buffer whose contents are 8-byte aligned.
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    pub fn new(content: &[u8]) -> Self {
        let mut bytes = vec![0; content.len() + 8];
        let start = bytes.as_ptr().align_offset(8);
        bytes[start..start + content.len()].copy_from_slice(content);
        Self {
            bytes,
            start,
            len: content.len(),
        }
    }

    pub fn get(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

/// What travelled in one direction.
#[derive(Clone, Debug)]
pub struct Sent {
    pub words: Option<[u64; 4]>,
    pub message: Vec<u8>,
    pub caps: Vec<CapArg>,
}

/// How a call travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// In registers, if it is plain.
    Registers,
    /// Through a ring.
    Ring,
}

/// Encodes as a kernel would see it; in a ring even plain payloads are messages. The buffer starts out dirty.
pub fn encode<P: Outgoing<CapArg>>(payload: P, way: Way, room: usize) -> Result<Sent, wire::Full> {
    if P::PLAIN && way == Way::Registers {
        return Ok(Sent {
            words: Some(payload.words()),
            message: Vec::new(),
            caps: Vec::new(),
        });
    }
    let mut message = vec![0xee; room];
    let mut caps = Vec::new();
    let mut writer = wire::MessageWriter::new(&mut message);
    let mut root = writer.root(P::DATA_WORDS, P::POINTERS)?;
    payload.encode(&mut root, &mut |cap| caps.push(cap))?;
    let len = writer.len();
    message.truncate(len);
    Ok(Sent {
        words: None,
        message,
        caps,
    })
}

type Slot = Rc<RefCell<Option<Result<Sent, Refusal>>>>;

/// A call on its way through `dispatch`.
pub struct Call {
    pub cookie: u64,
    pub caps: Vec<Option<u64>>,
    pub room: usize,
    pub way: Way,
    pub slot: Slot,
}

impl Respond for Call {
    type Out = CapArg;
    fn respond<P: Outgoing<CapArg>>(self, results: P) {
        let sent =
            encode(results, self.way, self.room).map_err(|wire::Full| Refusal::ReplyTooLarge);
        *self.slot.borrow_mut() = Some(sent);
    }
    fn refuse(self, refusal: Refusal) {
        *self.slot.borrow_mut() = Some(Err(refusal));
    }
}

impl Incoming for Call {
    type Cap = u64;
    type Deferred = Call;
    fn cookie(&self) -> u64 {
        self.cookie
    }
    fn take_cap(&mut self, index: usize) -> Option<u64> {
        self.caps.get_mut(index)?.take()
    }
    fn defer(self) -> Call {
        self
    }
}

/// A handle whose object is a closure over `dispatch`.
pub struct Local<'s> {
    pub handler: &'s dyn Fn(Received<'_>, Call),
    pub way: Way,
    pub seen: Cell<Option<u64>>,
}

impl<'s> Local<'s> {
    pub fn new(handler: &'s dyn Fn(Received<'_>, Call), way: Way) -> Self {
        Self {
            handler,
            way,
            seen: Cell::new(None),
        }
    }
}

/// A handle that came back with an answer.
pub struct Handle(pub u64);

impl Object for Handle {
    type Owned = Handle;
    fn handle(&self) -> u64 {
        self.0
    }
    fn call<P: Outgoing<CapArg>, R>(
        &self,
        _: u16,
        _: u64,
        _: P,
        _: u32,
        _: impl FnOnce(Answer<'_, '_, Handle>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        Err(Refusal::BadHandle)
    }
}

impl Object for Local<'_> {
    type Owned = Handle;
    fn handle(&self) -> u64 {
        7
    }
    fn call<P: Outgoing<CapArg>, R>(
        &self,
        method: u16,
        deadline_ns: u64,
        params: P,
        reply_bytes: u32,
        read: impl FnOnce(Answer<'_, '_, Handle>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        self.seen.set(Some(deadline_ns));
        let sent = encode(params, self.way, 4096).map_err(|wire::Full| Refusal::BadMessage)?;
        let message = Buffer::new(&sent.message);
        let payload = match sent.words {
            Some(words) => Payload::Plain(words),
            None => Payload::Message(message.get()),
        };
        let slot = Slot::default();
        let call = Call {
            cookie: 77,
            caps: sent.caps.iter().map(|cap| Some(cap.handle)).collect(),
            room: if self.way == Way::Ring {
                4096
            } else {
                reply_bytes.min(4096) as usize
            },
            way: self.way,
            slot: slot.clone(),
        };
        (self.handler)(Received { method, payload }, call);
        let sent = slot.take().unwrap_or(Err(Refusal::NoReply))?;
        let message = Buffer::new(&sent.message);
        let payload = match sent.words {
            Some(words) => Payload::Plain(words),
            None => Payload::Message(message.get()),
        };
        let mut caps: Vec<_> = sent
            .caps
            .iter()
            .map(|cap| Some(Handle(cap.handle)))
            .collect();
        let mut take = |index: usize| caps.get_mut(index)?.take();
        read(Answer::new(payload, &mut take))
    }
}
