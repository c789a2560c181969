//! Many connections of one listener at once, each through its part of one window, with deadlines.
//!
//! Owns the parts and what was read and not looked at; whoever serves decides what the bytes are. Invariant: a connection has its part
//! alone, and whoever floods, stalls or lies loses that part for as long as the deadlines say, and nobody else's.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;

use rt::{Access, Window};
use schema::net::{tcp_listener, tcp_socket};
use stub::Refusal;

use crate::tasks::Group;
use crate::{Tasks, TcpListenAuthority, TcpListener, TcpSocket, Timer, VirtualMemory};

/// How much more is read, and for how long, from who gets no more answer, so that the last one arrives.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER_NS: u64 = 2_000_000_000;
/// Bytes of a message of the calls.
const SLOT_BYTES: u32 = 192;

/// Serves connections.
pub trait Serve {
    /// Serves one from its beginning to its end, which is when this is done.
    fn serve<'s>(&'s self, connection: Connection<'s>) -> impl Future<Output = ()> + 's;
}

/// A listener, and the window of all its connections.
#[derive(Debug)]
pub struct Connections {
    listener: TcpListener,
    window: Window,
    /// Connections at once.
    parts: u16,
    /// Bytes of one's part each way.
    half_bytes: u32,
}

/// What came about.
enum Event {
    Came(Result<TcpSocket, Refusal>),
    /// The connection of this part is over.
    Over(u32),
}

type Thing<'s> = Pin<Box<dyn Future<Output = Event> + 's>>;

impl Connections {
    /// Listens at a port of any address, for `parts` connections at once, each with `half_bytes` of memory each way.
    ///
    /// # Errors
    /// The stack's, or for want of memory.
    pub fn listen(
        memory: &VirtualMemory,
        authority: &TcpListenAuthority,
        port: u16,
        (parts, half_bytes): (u16, u32),
    ) -> Result<Self, Refusal> {
        let bytes = 2 * u64::from(parts) * u64::from(half_bytes);
        let memory = memory.create_memory(bytes)?.memory;
        let window = Window::map(memory, bytes, Access::ReadWrite)?;
        let listener = authority.listen(window.memory().cap(), &[], port, parts)?;
        Ok(Self {
            listener: listener.listener,
            window,
            parts,
            half_bytes,
        })
    }

    /// Serves until nobody can connect any more, and says why. Grants that were not asked for by now are named in the log.
    pub fn serve(&self, timer: &Timer, server: &impl Serve) -> Refusal {
        let tasks = match Tasks::new(2 * self.parts, SLOT_BYTES) {
            Ok(tasks) => tasks,
            Err(refusal) => return refusal,
        };
        crate::name_unused_grants();
        tasks.run(self.work(timer, server, &tasks))
    }

    async fn work(&self, timer: &Timer, server: &impl Serve, tasks: &Tasks) -> Refusal {
        let mut free: Vec<u32> = (0..self.parts.into()).collect();
        let mut things = Group::<Thing<'_>>::new();
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
                        tasks,
                        timer,
                        socket,
                        window: &self.window,
                        half_bytes: self.half_bytes,
                        part: part * 2 * self.half_bytes,
                        read: 0,
                        written: 0,
                        kept: Vec::new(),
                    };
                    things.add(Box::pin(async move {
                        server.serve(connection).await;
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

/// One connection. Dropping it closes it.
pub struct Connection<'s> {
    tasks: &'s Tasks,
    timer: &'s Timer,
    socket: TcpSocket,
    window: &'s Window,
    half_bytes: u32,
    /// Where its part of the window begins.
    part: u32,
    /// Bytes that were read, and bytes that were written.
    read: u64,
    written: u64,
    /// What was read and not looked at yet.
    pub kept: Vec<u8>,
}

impl core::fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connection")
            .field("socket", &self.socket)
            .field("read", &self.read)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl Connection<'_> {
    /// Now; the end of time where the timer does not say.
    pub fn now_ns(&self) -> u64 {
        self.timer.now().map_or(u64::MAX, |now| now.ns)
    }

    /// Sleeps until then.
    ///
    /// # Errors
    /// The timer's.
    pub async fn sleep(&self, until_ns: u64) -> Result<(), Refusal> {
        self.tasks.sleep(self.timer, until_ns).await.map(drop)
    }

    /// Adds some bytes to [`Connection::kept`]; `false` at the end.
    ///
    /// # Errors
    /// The stack's, and where nothing comes until `deadline_ns`.
    pub async fn more(&mut self, deadline_ns: u64) -> Result<bool, Refusal> {
        let params = tcp_socket::ReceiveParams {
            position: self.read,
            offset: self.part,
            length: self.half_bytes,
        };
        let call = self.tasks.call_by::<tcp_socket::call::Receive, _>(
            deadline_ns,
            &self.socket,
            params,
            |results| results.bytes,
        );
        let count = call.await?.min(self.half_bytes);
        let at = self.kept.len();
        self.kept.resize(at + count as usize, 0);
        let place = self.kept.get_mut(at..).unwrap_or_default();
        self.window.read(self.part.into(), place)?;
        self.read += u64::from(count);
        Ok(count > 0)
    }

    /// Writes all bytes; the other end takes some of them within each `patience_ns`.
    ///
    /// # Errors
    /// The stack's, and where it does not.
    pub async fn write(&mut self, mut from: &[u8], patience_ns: u64) -> Result<(), Refusal> {
        while !from.is_empty() {
            let length = from.len().min(self.half_bytes as usize);
            let offset = self.part + self.half_bytes;
            let piece = from.get(..length).unwrap_or_default();
            self.window.write(offset.into(), piece)?;
            let params = tcp_socket::SendParams {
                position: self.written,
                offset,
                length: length as u32,
            };
            let deadline_ns = self.now_ns().saturating_add(patience_ns);
            let call = self.tasks.call_by::<tcp_socket::call::Send, _>(
                deadline_ns,
                &self.socket,
                params,
                |results| results.bytes,
            );
            let taken = call.await? as usize;
            if taken == 0 || taken > length {
                return Err(Refusal::LengthMismatch);
            }
            self.written += taken as u64;
            from = from.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends it at once: what was sent may not arrive.
    pub fn abort(self) {
        let _ = self.socket.abort();
    }

    /// Ends it as TCP wants it, so that what was sent arrives: what still comes is read and thrown away for a while.
    pub async fn finish(mut self) {
        if self.socket.shutdown().is_err() {
            return;
        }
        self.kept.clear();
        let until = self.now_ns().saturating_add(LINGER_NS);
        let mut left = LINGER_BYTES;
        while let Ok(true) = self.more(until).await {
            left = left.saturating_sub(self.kept.len());
            self.kept.clear();
            if left == 0 {
                return self.abort();
            }
        }
    }
}
