//! One request and its answer on each connection.
//!
//! Head and body are bounded, and there are deadlines: for the request to arrive, for each next piece of it, and for the other end to
//! take what is sent.

use http_head::{Body, Limits, Method, Parsed, Refusal as Why, parse};
use sdk::alloc::format;
use sdk::alloc::vec::Vec;
use sdk::connections::{Connection, Serve};
use sdk::{Refusal, fact};

use crate::Desk;
use crate::offered::BODY;
use crate::record::{Said, Trouble};
use crate::site::Route;

/// Connections at once, and bytes of one's memory each way.
pub const PARTS: (u16, u32) = (8, 16 * 1024);
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
/// What every answer says: the page runs its own file alone and is in nobody's frame. Whom it may ask stands in the page itself.
const RULES: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
    Content-Security-Policy: frame-ancestors 'none'\r\nCross-Origin-Resource-Policy: same-origin\r\n\
    Cross-Origin-Opener-Policy: same-origin\r\nConnection: close\r\n";

/// One connection, and what all of them share.
struct Visit<'s> {
    desk: &'s Desk,
    connection: Connection<'s>,
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

impl Serve for Desk {
    async fn serve<'s>(&'s self, connection: Connection<'s>) {
        let mut visit = Visit {
            desk: self,
            connection,
        };
        match visit.answer_and_send().await {
            Ok(()) => visit.connection.finish().await,
            Err(Gone) => visit.connection.abort(),
        }
    }
}

impl Visit<'_> {
    async fn answer_and_send(&mut self) -> Result<(), Gone> {
        match self.answer().await? {
            Some((answer, method)) => self.send(answer, method).await,
            None => Ok(()),
        }
    }

    /// Reads some more bytes; `false` at the end.
    async fn more(&mut self, until_ns: u64) -> Result<bool, Gone> {
        let deadline_ns = self.connection.now_ns().saturating_add(PATIENCE_NS);
        Ok(self.connection.more(deadline_ns.min(until_ns)).await?)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        Ok(self.connection.write(bytes, PATIENCE_NS).await?)
    }

    /// Reads the request and does what it asks; `None` where the other end says nothing.
    async fn answer(&mut self) -> Result<Option<(Answer, Method)>, Gone> {
        let until_ns = self.connection.now_ns().saturating_add(ARRIVE_NS);
        let length = loop {
            match parse(&self.connection.kept, &LIMITS) {
                Ok(Parsed::Whole(_, length)) => break length,
                Ok(Parsed::Partial) => {}
                Err(why) => return Ok(Some((refused(why), Method::Get))),
            }
            if !self.more(until_ns).await? {
                return Ok(None);
            }
        };
        let rest = self.connection.kept.split_off(length);
        let head = core::mem::replace(&mut self.connection.kept, rest);
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
        while (self.connection.kept.len() as u64) < length {
            if !self.more(until_ns).await? {
                return Err(Gone);
            }
        }
        self.connection.kept.truncate(length as usize);
        Ok(core::mem::take(&mut self.connection.kept))
    }

    /// Takes what the provider gave, a piece at a time, and restores of it what may be.
    async fn offered(&mut self, length: u64, until_ns: u64) -> Result<Said, Gone> {
        let (mut offered, seen) = match self.desk.record.take() {
            Ok(taken) => taken,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let mut left = length;
        loop {
            let mut piece = core::mem::take(&mut self.connection.kept);
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
}
