//! Connections: one request and its answer each, through parts of one window.
//!
//! Each has a part of the window, bounded head and body, and deadlines: for the request to begin, for each next piece of it, and for the
//! other end to take what is sent. Whoever floods, stalls or lies loses that part for so long, and nobody else's.

use core::future::Future;
use core::pin::Pin;

use http_head::{Body, Limits, Method, Parsed, Refusal as Why, parse};
use sdk::alloc::boxed::Box;
use sdk::alloc::format;
use sdk::alloc::vec::Vec;
use sdk::net::{tcp_listener, tcp_socket};
use sdk::{
    Access, Refusal, Tasks, TcpListenAuthority, TcpListener, TcpSocket, VirtualMemory, Window, fact,
};

use crate::Desk;
use crate::offered::BODY;
use crate::record::{Said, Trouble};
use crate::site::Route;

/// Connections at once.
const PARTS: u32 = 8;
/// Bytes of a connection's part, one half each way.
const PART_BYTES: u32 = 32 * 1024;
const HALF_BYTES: u32 = PART_BYTES / 2;
/// What is read of a request.
const LIMITS: Limits = Limits {
    head: 8192,
    target: 256,
    body: BODY,
};
/// The longest body of a request that brings no capsules.
const SMALL: u64 = 256;
const SECOND_NS: u64 = 1_000_000_000;
/// How long the other end may send nothing, or take nothing, while it is its turn.
const PATIENCE_NS: u64 = 10 * SECOND_NS;
/// How long a request may take to arrive.
const ARRIVE_NS: u64 = 300 * SECOND_NS;
/// How much more is read, and for how long, from who was refused, so that the answer arrives.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER_NS: u64 = 2 * SECOND_NS;

/// What every answer says: the page runs its own file alone and is in nobody's frame. Whom it may ask stands in the page itself.
const RULES: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
    Content-Security-Policy: frame-ancestors 'none'\r\nCross-Origin-Resource-Policy: same-origin\r\n\
    Cross-Origin-Opener-Policy: same-origin\r\nConnection: close\r\n";

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
    pub fn serve(&self, desk: &Desk) -> Refusal {
        let tasks = match Tasks::new(2 * PARTS as u16, 192) {
            Ok(tasks) => tasks,
            Err(refusal) => return refusal,
        };
        sdk::name_unused_grants();
        tasks.run(self.work(desk, &tasks))
    }

    async fn work(&self, desk: &Desk, tasks: &Tasks) -> Refusal {
        let mut free: Vec<u32> = (0..PARTS).collect();
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
                        desk,
                        tasks,
                        socket,
                        window: &self.window,
                        part: part * PART_BYTES,
                        read: 0,
                        written: 0,
                        kept: Vec::new(),
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
    desk: &'s Desk,
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
}

/// The other end is gone, or too slow.
struct Gone;

impl From<Refusal> for Gone {
    fn from(_: Refusal) -> Self {
        Self
    }
}

/// A status, a type, and the body.
type Answer = (u16, &'static str, Vec<u8>);

fn plain(status: u16, text: &str) -> Answer {
    let text = format!("{text}\n").into_bytes();
    (status, "text/plain; charset=utf-8", text)
}

fn refused(why: Why) -> Answer {
    plain(why.status(), why.name())
}

fn said(said: Said) -> Answer {
    match said {
        Ok(text) => (200, "application/json", text.into_bytes()),
        Err(Trouble::Malformed) => plain(400, "not in the form that the page sends"),
        Err(Trouble::Unavailable) => plain(503, "saves does not do it now"),
    }
}

impl Connection<'_> {
    async fn run(mut self) {
        let Ok(answer) = self.answer().await else {
            let _ = self.socket.abort();
            return;
        };
        if let Some((answer, method)) = answer
            && self.send(answer, method).await.is_err()
        {
            let _ = self.socket.abort();
            return;
        }
        self.finish().await;
    }

    fn now(&self) -> u64 {
        self.desk.timer.now().map_or(u64::MAX, |now| now.ns)
    }

    /// Reads some more bytes; `false` at the end.
    async fn more(&mut self, until_ns: u64) -> Result<bool, Gone> {
        let params = tcp_socket::ReceiveParams {
            position: self.read,
            offset: self.part,
            length: HALF_BYTES,
        };
        let deadline_ns = self.now().saturating_add(PATIENCE_NS).min(until_ns);
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
    async fn write(&mut self, mut from: &[u8]) -> Result<(), Gone> {
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
            let deadline_ns = self.now().saturating_add(PATIENCE_NS);
            let call = self.tasks.call_by::<tcp_socket::call::Send, _>(
                deadline_ns,
                &self.socket,
                params,
                |results| results.bytes,
            );
            let taken = call.await? as usize;
            if taken == 0 || taken > length {
                return Err(Gone);
            }
            self.written += taken as u64;
            from = from.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads the request and does what it asks; `None` where the other end says nothing.
    async fn answer(&mut self) -> Result<Option<(Answer, Method)>, Gone> {
        let until_ns = self.now().saturating_add(ARRIVE_NS);
        let length = loop {
            match parse(&self.kept, &LIMITS) {
                Ok(Parsed::Whole(_, length)) => break length,
                Ok(Parsed::Partial) => {}
                Err(why) => return Ok(Some((refused(why), Method::Get))),
            }
            if !self.more(until_ns).await? {
                return Ok(None);
            }
        };
        let rest = self.kept.split_off(length);
        let head = core::mem::replace(&mut self.kept, rest);
        let Ok(Parsed::Whole(head, _)) = parse(&head, &LIMITS) else {
            return Err(Gone);
        };
        let route = match self.desk.site.route(&head) {
            Ok(route) => route,
            Err(why) => {
                self.desk.turned_away.set(self.desk.turned_away.get() + 1);
                return Ok(Some((refused(why), head.method)));
            }
        };
        let length = match head.body {
            Body::None => 0,
            Body::Length(bytes) if bytes <= SMALL || route == Route::Offered => bytes,
            Body::Length(_) => return Ok(Some((refused(Why::BodyLong), head.method))),
            Body::Chunked => return Ok(Some((refused(Why::LengthMissing), head.method))),
        };
        if head.expects_continue && length > 0 {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let record = &self.desk.record;
        let answer = match route {
            Route::File(kind, bytes) => (200, kind, bytes.to_vec()),
            Route::Sealed => said(record.sealed()),
            Route::Sent => {
                let body = self.body(length, until_ns).await?;
                let sent = record.sent(&body);
                if sent.is_ok() {
                    fact!("desk.sent", turned_away = self.desk.turned_away.get());
                }
                said(sent)
            }
            Route::Offered => said(self.offered(length, until_ns).await?),
            Route::Absent(status) => plain(status, "nothing is here"),
        };
        Ok(Some((answer, head.method)))
    }

    /// A small body.
    async fn body(&mut self, length: u64, until_ns: u64) -> Result<Vec<u8>, Gone> {
        while (self.kept.len() as u64) < length {
            if !self.more(until_ns).await? {
                return Err(Gone);
            }
        }
        self.kept.truncate(length as usize);
        Ok(core::mem::take(&mut self.kept))
    }

    /// Takes what the provider gave, a piece at a time, and restores of it what may be.
    async fn offered(&mut self, length: u64, until_ns: u64) -> Result<Said, Gone> {
        let (mut offered, seen) = match self.desk.record.take() {
            Ok(taken) => taken,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let mut left = length;
        loop {
            let mut piece = core::mem::take(&mut self.kept);
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= piece.len() as u64;
            if offered.take(&piece).is_err() {
                return Ok(Err(Trouble::Malformed));
            }
            if left == 0 {
                break;
            }
            if !self.more(until_ns).await? {
                return Err(Gone);
            }
        }
        Ok(match offered.end() {
            Ok(capsules) => self.desk.record.restore(capsules, seen),
            Err(_) => Err(Trouble::Malformed),
        })
    }

    async fn send(&mut self, (status, kind, body): Answer, method: Method) -> Result<(), Gone> {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{RULES}\r\n"
        );
        let mut bytes = head.into_bytes();
        if method != Method::Head {
            bytes.extend_from_slice(&body);
        }
        self.write(&bytes).await
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
