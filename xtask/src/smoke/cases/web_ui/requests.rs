//! Requests that nobody should send: each gets the status that it should, or none, and nobody else notices.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::Command;

use ::sabotage::points;
use anyhow::{Context, Result, ensure};

use super::odd::{Case, HOST, bytes, headers, lines};
use super::{
    Asked, EXTRA, FORBIDDEN, OWN, Session, ask, connect, exchange, exchange_at, read_reply,
    sign_in, state,
};
use crate::qemu::Feature;
use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::net_slirp::forwarded;
use crate::smoke::cases::virtio_blk::DISK;
use crate::smoke::sabotage::{Break, Sabotage};

/// So many slow connections beside the bystander's stream leave one of the page's sixteen places.
const SLOW: usize = 14;

/// What the guest says when the session ends: how much of what was sent it could not read.
const ENDED: &str = "@web.ended misdirected=0 origin=0 token=0 session=3 unreadable=162";

/// Each case at a connection of its own. What was answered wrongly is told at the end, after the guest has said what it refused.
fn refused(peer: &mut Peer<'_>) -> Result<()> {
    let session = sign_in(peer, None)?;
    let mut stream = bystander(peer, &session)?;
    let before = memory(&state(peer, &session)?)?;
    let all = [lines(), headers(), bytes()].concat();
    ensure!(all.len() > 200, "{} requests", all.len());
    let port = forwarded(peer, super::PORT)?;
    let mut wrong = Vec::new();
    for case in &all {
        wrong.extend(answered(port, case)?);
    }
    pipelined(peer, &session)?;
    slow(peer)?;
    let after = memory(&state(peer, &session)?)?;
    ensure!(
        after < before + (1 << 20),
        "web-ui holds {after} bytes, before {before}"
    );
    events(&mut stream, 2).context("the bystander's stream")?;
    let headers = format!("{OWN}{}{}", session.cookie, session.token);
    ask(peer, "POST /session/end", &headers, "")?;
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

/// Sends a case and says what is wrong with its answer.
fn answered(port: u16, (bytes, status): &Case) -> Result<Option<String>> {
    let reply = exchange_at(port, bytes)?;
    let got = reply.as_ref().map_or(0, |reply| reply.status);
    // 0 stands for any refusal where the request is whole, and for no answer where it is not.
    let is_right = match (status, bytes.ends_with(b"\r\n\r\n")) {
        (0, true) => [400, 501, 505].contains(&got),
        (status, _) => got == *status,
    };
    let says_much = reply.is_some_and(|reply| reply.status >= 400 && reply.body.len() >= 64);
    if is_right && !says_much {
        return Ok(None);
    }
    let shown = String::from_utf8_lossy(bytes.get(..80).unwrap_or(bytes)).into_owned();
    Ok(Some(format!(
        "{shown:?} was answered with {got}, not {status}"
    )))
}

/// Bytes of memory that web-ui uses, as the state tells.
fn memory(state: &serde_json::Value) -> Result<u64> {
    let all = state["processes"].as_array().into_iter().flatten();
    let mut web = all.filter(|process| process["name"] == "web");
    web.find_map(|web| web["memory"][0].as_u64())
        .context("no web-ui")
}

/// A stream of events that goes on meanwhile.
fn bystander(peer: &Peer<'_>, session: &Session) -> Result<std::net::TcpStream> {
    let mut stream = connect(peer)?;
    write!(
        stream,
        "GET /events HTTP/1.1\r\n{OWN}{}\r\n",
        session.cookie
    )?;
    events(&mut stream, 1)?;
    Ok(stream)
}

/// Reads until so many more events have come.
fn events(stream: &mut std::net::TcpStream, count: usize) -> Result<()> {
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    let event = b"event: state\ndata: {";
    while got
        .windows(event.len())
        .filter(|part| part == event)
        .count()
        < count
    {
        let length = stream.read(&mut piece)?;
        ensure!(length > 0, "the stream ended");
        got.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
    Ok(())
}

/// Three requests at once are answered in their order, and the one behind a refusal is not.
fn pipelined(peer: &Peer<'_>, session: &Session) -> Result<()> {
    let mut stream = connect(peer)?;
    let page = format!("GET /app.js HTTP/1.1\r\n{HOST}\r\n");
    let own = format!("GET /session HTTP/1.1\r\n{OWN}{}\r\n", session.cookie);
    let bad = format!("GET /.. HTTP/1.1\r\n{HOST}\r\n");
    stream.write_all(format!("{page}{own}{page}{bad}{page}").as_bytes())?;
    for status in [200, 200, 200, 400] {
        let reply = read_reply(&mut stream, Asked::Whole)?.context("no answer")?;
        ensure!(
            reply.status == status,
            "{} in place of {status}",
            reply.status
        );
    }
    ensure!(
        read_reply(&mut stream, Asked::Whole)?.is_none(),
        "an answer behind a refusal"
    );
    Ok(())
}

/// Connections that each say a byte and no more leave the others their places, and what they sent is no request when they end.
fn slow(peer: &Peer<'_>) -> Result<()> {
    let mut idle = Vec::new();
    for _ in 0..SLOW {
        let mut stream = connect(peer)?;
        stream.write_all(b"G")?;
        idle.push(stream);
    }
    let reply = exchange(peer, format!("GET / HTTP/1.1\r\n{HOST}\r\n").as_bytes())?;
    ensure!(
        reply.is_some_and(|reply| reply.status == 200),
        "no page beside slow clients"
    );
    for stream in &mut idle {
        stream.shutdown(Shutdown::Write)?;
        ensure!(
            read_reply(stream, Asked::Whole)?.is_none(),
            "a slow client was answered"
        );
    }
    Ok(())
}

/// curl takes the page, by either name, and is refused what it should be.
fn curl(peer: &mut Peer<'_>) -> Result<()> {
    let port = forwarded(peer, super::PORT)?;
    let page = peer.work.join("page");
    let page = page.to_str().context("no path")?;
    for (arguments, status) in [
        (&["-o", page][..], "200"),
        (
            &["-o", page, "--http1.0", "-H", "Connection: keep-alive"],
            "200",
        ),
        (&["-o", page, "-I"], "200"),
        (&["-o", page, "-X", "PUT"], "501"),
        (&["-o", page, "-H", "Host: evil.example"], "421"),
        (&["-o", page, "-d", "x"], "405"),
        (
            &[
                "-o",
                page,
                "--path-as-is",
                "-H",
                "Expect: 100-continue",
                "-d",
                "x",
            ],
            "405",
        ),
    ] {
        let said = Command::new("curl")
            .args(["-s", "--max-time", "60", "-w", "%{http_code}"])
            .args(arguments)
            .arg(format!("http://127.0.0.1:{port}/"))
            .output()
            .context("curl")?;
        let code = String::from_utf8_lossy(&said.stdout).into_owned();
        ensure!(
            code == status,
            "curl {arguments:?}: {code:?} in place of {status}"
        );
    }
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "web-ui-requests",
        question: "Is each of more than 200 odd requests refused as it should be, with the memory and the streams of the page as before?",
        rows: &["UI-02"],
        manifest: "smoke/web-ui",
        disks: &[DISK],
        disk_device: "virtio-blk-pci",
        extra: EXTRA,
        steps: &[
            Step::All(&["@web.listening", "@net.dhcp lease=bound", "@net.ipv6 origin=advertised"]),
            Step::Peer(refused),
            Step::Peer(curl),
            Step::Type("halt"),
        ],
        required: &["@web.listening port=80", ENDED],
        forbidden: FORBIDDEN,
        sorted: true,
        needs: Some(Feature::Curl),
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::HTTP_TAKE_TWICE,
        smoke: "web-ui-requests",
        breaks: Break::Step(r#"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" was answered with 200"#),
    }
}
