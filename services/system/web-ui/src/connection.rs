//! Connections: bytes in and out through parts of one window, requests one after the other, and the stream of events.
//!
//! Each has a part of the window, a bounded head and body, and deadlines: for the next request, for the rest of one that has begun, and
//! for the other end to take what is sent. Whoever floods, stalls or lies loses that part for so long, and nobody else's.

use core::future::Future;
use core::pin::Pin;

use http_head::{Body, Chunks, Head, Limits, Method, Parsed, Refusal as Why, parse};
use sdk::alloc::boxed::Box;
use sdk::alloc::format;
use sdk::alloc::string::String;
use sdk::alloc::vec::Vec;
use sdk::net::{tcp_listener, tcp_socket};
use sdk::{
    Access, Refusal, Tasks, TcpListenAuthority, TcpListener, TcpSocket, VirtualMemory, Window, fact,
};
use units::Nanoseconds;

use crate::Ui;
use crate::site::Answer;

/// Connections at once.
const PARTS: u32 = 16;
/// Of these, streams of events.
const STREAMS: u32 = 6;
/// Bytes of a connection's part, one half each way.
const PART_BYTES: u32 = 16 * 1024;
const HALF_BYTES: u32 = PART_BYTES / 2;
/// What is read of a request.
const LIMITS: Limits = Limits {
    head: 8192,
    target: 512,
    body: 256,
};
const SECOND_NS: u64 = 1_000_000_000;
/// How long a connection may be silent between requests, how long a request may take to arrive, and how long the other end may take
/// nothing of what is sent.
const IDLE_NS: u64 = 20 * SECOND_NS;
const ARRIVE_NS: u64 = 10 * SECOND_NS;
const TAKE_NS: u64 = 10 * SECOND_NS;
/// How much more is read, and for how long, from who was refused, so that the answer arrives.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER_NS: u64 = 2 * SECOND_NS;
/// How often the state is sent.
const EVENT_NS: u64 = SECOND_NS;

/// What every page says of itself: it runs its own files alone, and is in nobody's frame.
const RULES: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
    Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'\r\nCross-Origin-Resource-Policy: same-origin\r\n\
    Cross-Origin-Opener-Policy: same-origin\r\n";

/// The listener, and the window of all its connections.
pub struct Server {
    listener: TcpListener,
    window: Window,
}

/// What came about.
enum Event {
    Came(Result<TcpSocket, Refusal>),
    /// The connection of this part is over.
    Over(u32),
}

type Thing<'s> = Pin<Box<dyn Future<Output = Event> + 's>>;

impl Server {
    /// Listens at a port of any address.
    ///
    /// # Errors
    /// The stack's, or for want of memory.
    pub fn listen(
        memory: &VirtualMemory,
        authority: &TcpListenAuthority,
        port: u16,
    ) -> Result<Self, Refusal> {
        let bytes = u64::from(PARTS * PART_BYTES);
        let memory = memory.create_memory(bytes)?.memory;
        let window = Window::map(memory, bytes, Access::ReadWrite)?;
        let listener = authority.listen(window.memory().cap(), &[], port, PARTS as u16)?;
        Ok(Self {
            listener: listener.listener,
            window,
        })
    }

    /// Serves until nobody can connect any more, and says why.
    pub fn serve(&self, ui: &Ui) -> Refusal {
        let tasks = match Tasks::new(2 * PARTS as u16, 192) {
            Ok(tasks) => tasks,
            Err(refusal) => return refusal,
        };
        sdk::name_unused_grants();
        tasks.run(self.work(ui, &tasks))
    }

    async fn work(&self, ui: &Ui, tasks: &Tasks) -> Refusal {
        let mut free: Vec<u32> = (0..PARTS).collect();
        let streams = core::cell::Cell::new(0);
        let mut things = sdk::tasks::Group::<Thing<'_>>::new();
        let mut is_accepting = false;
        loop {
            if !is_accepting && !free.is_empty() {
                is_accepting = true;
                things.add(Box::pin(async {
                    let accept = tasks.call::<tcp_listener::call::Accept, _>(
                        &self.listener,
                        (),
                        |results| results.socket,
                    );
                    Event::Came(accept.await)
                }));
            }
            match things.next().await {
                Some(Event::Came(Ok(socket))) => {
                    is_accepting = false;
                    // There is one: nobody waits for a connection where there is none.
                    let part = free.pop().unwrap_or_default();
                    let connection = Connection {
                        ui,
                        tasks,
                        socket,
                        window: &self.window,
                        part: part * PART_BYTES,
                        read: 0,
                        written: 0,
                        kept: Vec::new(),
                        streams: &streams,
                    };
                    things.add(Box::pin(async move {
                        connection.run().await;
                        Event::Over(part)
                    }));
                }
                Some(Event::Came(Err(refusal))) => return refusal,
                Some(Event::Over(part)) => free.push(part),
                None => return Refusal::WrongState,
            }
        }
    }
}

/// One connection.
struct Connection<'s> {
    ui: &'s Ui,
    tasks: &'s Tasks,
    socket: TcpSocket,
    window: &'s Window,
    /// Where its part of the window begins.
    part: u32,
    /// Bytes that were read, and bytes that were written.
    read: u64,
    written: u64,
    /// What was read and not looked at yet.
    kept: Vec<u8>,
    /// How many streams of events there are.
    streams: &'s core::cell::Cell<u32>,
}

/// Why a connection ends.
enum End {
    /// The other end is gone, or too slow.
    Gone,
    /// It sent what cannot be answered further.
    Refused,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

impl After {
    const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep-alive",
            Self::Close => "close",
        }
    }
}

impl From<Refusal> for End {
    fn from(_: Refusal) -> Self {
        Self::Gone
    }
}

impl Connection<'_> {
    async fn run(mut self) {
        loop {
            match self.request().await {
                Ok(true) => {}
                Ok(false) => return self.finish().await,
                Err(End::Refused) => return self.finish().await,
                Err(End::Gone) => {
                    let _ = self.socket.abort();
                    return;
                }
            }
        }
    }

    fn now(&self) -> u64 {
        self.ui.timer.now().map_or(u64::MAX, |now| now.ns)
    }

    /// Reads some more bytes; `false` at the end.
    async fn more(&mut self, deadline_ns: u64) -> Result<bool, End> {
        let params = tcp_socket::ReceiveParams {
            position: self.read,
            offset: self.part,
            length: HALF_BYTES,
        };
        let call = self.tasks.call_by::<tcp_socket::call::Receive, _>(
            deadline_ns,
            &self.socket,
            params,
            |results| results.bytes,
        );
        let count = call.await?.min(HALF_BYTES);
        let at = self.kept.len();
        self.kept.resize(at + count as usize, 0);
        let place = self.kept.get_mut(at..).unwrap_or_default();
        self.window.read(self.part.into(), place)?;
        self.read += u64::from(count);
        Ok(count > 0)
    }

    /// Writes all bytes; the other end takes some of them within each span.
    async fn write(&mut self, mut from: &[u8]) -> Result<(), End> {
        while !from.is_empty() {
            let length = from.len().min(HALF_BYTES as usize);
            let offset = self.part + HALF_BYTES;
            let piece = from.get(..length).unwrap_or_default();
            self.window.write(offset.into(), piece)?;
            let params = tcp_socket::SendParams {
                position: self.written,
                offset,
                length: length as u32,
            };
            let deadline_ns = self.now().saturating_add(TAKE_NS);
            let call = self.tasks.call_by::<tcp_socket::call::Send, _>(
                deadline_ns,
                &self.socket,
                params,
                |results| results.bytes,
            );
            let taken = call.await? as usize;
            if taken == 0 || taken > length {
                return Err(End::Gone);
            }
            self.written += taken as u64;
            from = from.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads a head and leaves it in `kept`; its length, or `None` at the end of the connection.
    async fn head(&mut self) -> Result<Option<usize>, End> {
        let mut deadline_ns = self.now().saturating_add(IDLE_NS);
        let mut has_begun = false;
        loop {
            if !has_begun && !self.kept.is_empty() {
                has_begun = true;
                deadline_ns = self.now().saturating_add(ARRIVE_NS);
            }
            match parse(&self.kept, &LIMITS) {
                Ok(Parsed::Whole(_, length)) => return Ok(Some(length)),
                Ok(Parsed::Partial) => {}
                Err(why) => return Err(self.refuse(why).await),
            }
            if !self.more(deadline_ns).await? {
                // Whoever stops in the middle of a head gets no answer: there is no request.
                return Ok(None);
            }
        }
    }

    async fn refuse(&mut self, why: Why) -> End {
        let answer = self.ui.site.borrow_mut().refuse(why);
        match self.send(answer, Method::Get, After::Close).await {
            Ok(()) => End::Refused,
            Err(end) => end,
        }
    }

    /// Reads the body that follows a head of so many bytes, and gives both; what follows the request stays.
    async fn whole(&mut self, length: usize) -> Result<(Vec<u8>, Vec<u8>), End> {
        let rest = self.kept.split_off(length);
        let head = core::mem::replace(&mut self.kept, rest);
        let Ok(Parsed::Whole(read, _)) = parse(&head, &LIMITS) else {
            return Err(End::Gone);
        };
        let (framing, expects) = (read.body, read.expects_continue);
        if expects && framing != Body::None && self.kept.is_empty() {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let deadline_ns = self.now().saturating_add(ARRIVE_NS);
        let body = match framing {
            Body::None => Vec::new(),
            Body::Length(bytes) => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                while self.kept.len() < bytes {
                    if !self.more(deadline_ns).await? {
                        return Err(End::Gone);
                    }
                }
                let rest = self.kept.split_off(bytes);
                core::mem::replace(&mut self.kept, rest)
            }
            Body::Chunked => self.chunks(deadline_ns).await?,
        };
        Ok((head, body))
    }

    async fn chunks(&mut self, deadline_ns: u64) -> Result<Vec<u8>, End> {
        let mut chunks = Chunks::new(LIMITS.body);
        let mut body = Vec::new();
        loop {
            let taken = chunks.take(&self.kept).map(|piece| {
                body.extend_from_slice(piece.data);
                (piece.used, piece.is_last)
            });
            match taken {
                Ok((used, is_last)) => {
                    self.kept.drain(..used.min(self.kept.len()));
                    if is_last {
                        return Ok(body);
                    }
                    // Octets that are left are the next piece's.
                    if used > 0 && !self.kept.is_empty() {
                        continue;
                    }
                }
                Err(why) => return Err(self.refuse(why).await),
            }
            if !self.more(deadline_ns).await? {
                return Err(End::Gone);
            }
        }
    }

    /// Answers one request; `false` where it was the last.
    async fn request(&mut self) -> Result<bool, End> {
        let Some(length) = self.head().await? else {
            return Ok(false);
        };
        let (bytes, body) = self.whole(length).await?;
        let Ok(Parsed::Whole(head, _)) = parse(&bytes, &LIMITS) else {
            return Err(End::Gone);
        };
        let answer = self.decide(&head, &body);
        let keeps_alive = head.keeps_alive;
        match answer {
            Answer::Events => {
                self.events(&head).await?;
                Ok(false)
            }
            answer => {
                let after = if keeps_alive {
                    After::Keep
                } else {
                    After::Close
                };
                self.send(answer, head.method, after).await?;
                Ok(keeps_alive)
            }
        }
    }

    fn decide(&self, head: &Head<'_>, body: &[u8]) -> Answer {
        let now = Nanoseconds::new(self.now());
        let ticket = self.ui.site.borrow().ticket();
        let mut site = self.ui.site.borrow_mut();
        let answer = site.answer(head, body, now, || self.ui.draw());
        let is_used_up = site.ticket() != ticket;
        drop(site);
        if head.path == "/session/end" && matches!(answer, Answer::Whole(200, ..)) {
            self.ui.tell_end();
        }
        if is_used_up {
            fact!("web.session", began = true);
            self.ui.say_where();
        }
        match answer {
            Answer::State => {
                let state = self.ui.state(0, now.as_u64());
                Answer::Whole(200, "application/json", state.into_bytes(), String::new())
            }
            answer => answer,
        }
    }

    async fn send(&mut self, answer: Answer, method: Method, after: After) -> Result<(), End> {
        let Answer::Whole(status, kind, body, line) = answer else {
            return Ok(());
        };
        let (length, connection) = (body.len(), after.word());
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n{line}{RULES}\r\n",
            reason(status)
        );
        let mut bytes = head.into_bytes();
        if method != Method::Head && status != 304 {
            bytes.extend_from_slice(&body);
        }
        self.write(&bytes).await
    }

    /// Sends the state again and again, until the other end is gone or the session is over.
    async fn events(&mut self, head: &Head<'_>) -> Result<(), End> {
        if self.streams.get() >= STREAMS {
            let text = b"too many streams\n".to_vec();
            let answer = Answer::Whole(503, "text/plain; charset=utf-8", text, String::new());
            return self.send(answer, Method::Get, After::Close).await;
        }
        self.streams.set(self.streams.get() + 1);
        let done = self.stream(head).await;
        self.streams.set(self.streams.get() - 1);
        done
    }

    async fn stream(&mut self, head: &Head<'_>) -> Result<(), End> {
        let begin = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n{RULES}\r\n"
        );
        self.write(begin.as_bytes()).await?;
        let mut seen = 0;
        loop {
            let now = self.now();
            // The same question as at the beginning: a session that was ended ends its streams.
            let answer = self.decide(head, b"");
            if answer != Answer::Events {
                return self.write(b"event: over\ndata: {}\n\n").await;
            }
            let state = self.ui.state(seen, now);
            seen = self.ui.view.borrow().next_line();
            let event = format!("event: state\ndata: {state}\n\n");
            self.write(event.as_bytes()).await?;
            let until = now.saturating_add(EVENT_NS);
            self.tasks.sleep(&self.ui.timer, until).await?;
        }
    }

    /// Ends the connection as TCP wants it, so that what was sent arrives: what still comes is read and thrown away for a while.
    async fn finish(mut self) {
        if self.socket.shutdown().is_err() {
            return;
        }
        let until = self.now().saturating_add(LINGER_NS);
        let mut left = LINGER_BYTES;
        while let Ok(true) = self.more(until).await {
            left = left.saturating_sub(self.kept.len());
            self.kept.clear();
            if left == 0 {
                let _ = self.socket.abort();
                return;
            }
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        304 => "Not Modified",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Bad Request",
    }
}
