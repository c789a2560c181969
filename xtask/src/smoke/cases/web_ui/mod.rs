//! The page of `web-ui`: asked by raw bytes and by curl, and looked at in a browser.

mod guard;
mod odd;
mod requests;
mod sealed;
mod shown;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::session::Waited;
use crate::smoke::case::Peer;
use crate::smoke::cases::net_slirp::forwarded;

/// The port of the guest.
const PORT: u16 = 80;
/// How long the guest may leave a connection silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// The network with the page's port forwarded, and a disk to show.
const EXTRA: &[&str] = &[
    "-netdev",
    "user,id=n0,hostfwd=tcp:127.0.0.1:0-:80",
    "-device",
    "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
    "-monitor",
    "unix:{work}/monitor,server=on,wait=off",
];
const FORBIDDEN: &[&str] = &[
    "@kernel.panic",
    "@process.ended kind=faulted",
    "@process.ended kind=panicked",
    "@service.ended name=web",
];

/// An answer, as it came.
#[derive(Clone, Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    /// The value of a header.
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Whether an answer has a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Head,
    Whole,
}

/// Connects to the page's port.
fn connect(peer: &Peer<'_>) -> Result<TcpStream> {
    connect_at(forwarded(peer, PORT)?)
}

/// The same by the port of this machine.
fn connect_at(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads one answer with a stated length; `None` where the connection ends without one.
fn read_reply(stream: &mut impl Read, to: Asked) -> Result<Option<Reply>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            // Cut off is no answer, too.
            _ if head.is_empty() => return Ok(None),
            other => ensure!(false, "the answer ends in its head: {other:?} {head:?}"),
        }
        ensure!(head.len() < 16384, "the answer's head does not end");
    }
    let head = String::from_utf8(head)?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let mut reply = Reply {
        status,
        head,
        body: Vec::new(),
    };
    let length = reply
        .header("Content-Length")
        .context("no length")?
        .parse()?;
    if to == Asked::Whole && status != 304 {
        reply.body = vec![0; length];
        stream.read_exact(&mut reply.body)?;
    }
    Ok(Some(reply))
}

/// Sends bytes and reads one answer, on a connection of its own.
fn exchange(peer: &Peer<'_>, bytes: &[u8]) -> Result<Option<Reply>> {
    exchange_at(forwarded(peer, PORT)?, bytes)
}

/// The same by the port of this machine.
fn exchange_at(port: u16, bytes: &[u8]) -> Result<Option<Reply>> {
    let mut stream = connect_at(port)?;
    // Whoever is refused may be told so, and cut off, before everything was sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let to = match bytes.starts_with(b"HEAD ") {
        true => Asked::Head,
        false => Asked::Whole,
    };
    read_reply(&mut stream, to)
}

/// A request with these lines, for this site.
fn ask(peer: &Peer<'_>, line: &str, headers: &str, body: &str) -> Result<Reply> {
    let length = match line.starts_with("POST") {
        true => format!("Content-Length: {}\r\n", body.len()),
        false => String::new(),
    };
    let request = format!("{line} HTTP/1.1\r\n{headers}{length}Connection: close\r\n\r\n{body}");
    exchange(peer, request.as_bytes())?.context("no answer")
}

/// What pages of this site say of themselves.
const OWN: &str = "Host: 127.0.0.1:8080\r\nOrigin: http://127.0.0.1:8080\r\n";

/// The ticket that was said last on the serial line, other than `used`.
fn ticket(peer: &mut Peer<'_>, used: Option<&str>) -> Result<String> {
    let said = |line: &String| {
        let (_, ticket) = line.split_once("web: open ")?.1.split_once('#')?;
        Some(ticket.trim().to_owned()).filter(|ticket| Some(ticket.as_str()) != used)
    };
    let waited = peer.session.wait(peer.deadline, |serial| {
        serial.lines().iter().rev().find_map(said).is_some()
    });
    ensure!(waited == Waited::Seen, "no ticket was said");
    let lines = peer.session.serial().lines();
    lines.iter().rev().find_map(said).context("no ticket")
}

/// A session: its cookie and its token, as headers.
struct Session {
    cookie: String,
    token: String,
    ticket: String,
}

/// Begins a session with the ticket that was said last.
fn sign_in(peer: &mut Peer<'_>, used: Option<&str>) -> Result<Session> {
    let ticket = ticket(peer, used)?;
    let reply = ask(peer, "POST /session", OWN, &ticket)?;
    ensure!(reply.status == 200, "{reply:?}");
    let cookie = reply.header("Set-Cookie").context("no cookie")?;
    let cookie = cookie.split(';').next().unwrap_or_default();
    let body: serde_json::Value = serde_json::from_slice(&reply.body)?;
    let token = body["token"].as_str().context("no token")?;
    Ok(Session {
        cookie: format!("Cookie: {cookie}\r\n"),
        token: format!("X-CSRF-Token: {token}\r\n"),
        ticket,
    })
}

/// The state, for a session.
fn state(peer: &Peer<'_>, session: &Session) -> Result<serde_json::Value> {
    let reply = ask(peer, "GET /state", &format!("{OWN}{}", session.cookie), "")?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(serde_json::from_slice(&reply.body)?)
}
