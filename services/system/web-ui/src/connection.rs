//! Requests of a connection, one after the other, and the stream of events.
//!
//! Head and body are bounded, and there are deadlines: for the next request, for the rest of one that has begun, and for the other end
//! to take what is sent.

use http_head::{Body, Chunks, Head, Limits, Method, Parsed, Refusal as Why, parse};
use sdk::alloc::format;
use sdk::alloc::string::String;
use sdk::alloc::vec::Vec;
use sdk::connections::{Connection, Serve};
use sdk::{Refusal, fact};
use units::Nanoseconds;

use crate::Ui;
use crate::site::Answer;

/// Connections at once, and bytes of one's memory each way.
pub const PARTS: (u16, u32) = (16, 8 * 1024);
/// Of these, streams of events.
const STREAMS: u32 = 6;
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
/// How often the state is sent.
const EVENT_NS: u64 = SECOND_NS;

/// What every page says of itself: it runs its own files alone, and is in nobody's frame.
const RULES: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
    Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'\r\nCross-Origin-Resource-Policy: same-origin\r\n\
    Cross-Origin-Opener-Policy: same-origin\r\n";

/// One connection, and what all of them share.
struct Visit<'s> {
    ui: &'s Ui,
    connection: Connection<'s>,
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

impl Serve for Ui {
    async fn serve<'s>(&'s self, connection: Connection<'s>) {
        let mut visit = Visit {
            ui: self,
            connection,
        };
        loop {
            match visit.request().await {
                Ok(true) => {}
                Ok(false) | Err(End::Refused) => return visit.connection.finish().await,
                Err(End::Gone) => return visit.connection.abort(),
            }
        }
    }
}

impl Visit<'_> {
    async fn more(&mut self, deadline_ns: u64) -> Result<bool, End> {
        Ok(self.connection.more(deadline_ns).await?)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        Ok(self.connection.write(bytes, TAKE_NS).await?)
    }

    /// Reads a head and leaves it in `kept`; its length, or `None` at the end of the connection.
    async fn head(&mut self) -> Result<Option<usize>, End> {
        let mut deadline_ns = self.connection.now_ns().saturating_add(IDLE_NS);
        let mut has_begun = false;
        loop {
            if !has_begun && !self.connection.kept.is_empty() {
                has_begun = true;
                deadline_ns = self.connection.now_ns().saturating_add(ARRIVE_NS);
            }
            match parse(&self.connection.kept, &LIMITS) {
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
        let rest = self.connection.kept.split_off(length);
        let head = core::mem::replace(&mut self.connection.kept, rest);
        let Ok(Parsed::Whole(read, _)) = parse(&head, &LIMITS) else {
            return Err(End::Gone);
        };
        let (framing, expects) = (read.body, read.expects_continue);
        if expects && framing != Body::None && self.connection.kept.is_empty() {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let deadline_ns = self.connection.now_ns().saturating_add(ARRIVE_NS);
        let body = match framing {
            Body::None => Vec::new(),
            Body::Length(bytes) => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                while self.connection.kept.len() < bytes {
                    if !self.more(deadline_ns).await? {
                        return Err(End::Gone);
                    }
                }
                let rest = self.connection.kept.split_off(bytes);
                core::mem::replace(&mut self.connection.kept, rest)
            }
            Body::Chunked => self.chunks(deadline_ns).await?,
        };
        Ok((head, body))
    }

    async fn chunks(&mut self, deadline_ns: u64) -> Result<Vec<u8>, End> {
        let mut chunks = Chunks::new(LIMITS.body);
        let mut body = Vec::new();
        loop {
            let taken = chunks.take(&self.connection.kept).map(|piece| {
                body.extend_from_slice(piece.data);
                (piece.used, piece.is_last)
            });
            match taken {
                Ok((used, is_last)) => {
                    self.connection
                        .kept
                        .drain(..used.min(self.connection.kept.len()));
                    if is_last {
                        return Ok(body);
                    }
                    // Octets that are left are the next piece's.
                    if used > 0 && !self.connection.kept.is_empty() {
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
        let now = Nanoseconds::new(self.connection.now_ns());
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
        self.write(&bytes).await?;
        if status == 200 && !self.ui.has_served.replace(true) {
            fact!("webui-serving", kind ~ kind);
        }
        Ok(())
    }

    /// Sends the state again and again, until the other end is gone or the session is over.
    async fn events(&mut self, head: &Head<'_>) -> Result<(), End> {
        if self.ui.streams.get() >= STREAMS {
            let text = b"too many streams\n".to_vec();
            let answer = Answer::Whole(503, "text/plain; charset=utf-8", text, String::new());
            return self.send(answer, Method::Get, After::Close).await;
        }
        self.ui.streams.set(self.ui.streams.get() + 1);
        let done = self.stream(head).await;
        self.ui.streams.set(self.ui.streams.get() - 1);
        done
    }

    async fn stream(&mut self, head: &Head<'_>) -> Result<(), End> {
        let begin = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n{RULES}\r\n"
        );
        self.write(begin.as_bytes()).await?;
        let mut seen = 0;
        loop {
            let now = self.connection.now_ns();
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
            self.connection.sleep(until).await?;
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
