//! The network of the default system, by the shell's words.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::session::Waited;
use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::net_slirp::forwarded;

/// How long the guest may leave a connection silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the page holds: a line that is looked for, one that would command a terminal, and more than a buffer.
const FIRST: &[u8] = b"a page from outside\n\x1b[2Jbehind an escape\n";
const ROWS: usize = 2000;

fn page() -> Vec<u8> {
    let rows = (0..ROWS).map(|row| format!("row {row}\n"));
    [FIRST.to_vec(), rows.collect::<String>().into_bytes()].concat()
}

/// Serves the page once.
fn serve(listener: &TcpListener) -> Result<Vec<u8>> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && request.len() < 4096 {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let page = page();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        page.len()
    )?;
    stream.write_all(&page)?;
    Ok(request)
}

/// Has the guest get a page from a server on this machine, which it reaches at the gateway's address.
fn fetch(peer: &mut Peer<'_>) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    let serving = thread::spawn(move || serve(&listener));
    let line = format!("fetch http://10.0.2.2:{port}/page?from=guest");
    let waited = peer.session.answer_prompt(line, peer.deadline)?;
    ensure!(waited == Waited::Seen, "no prompt for fetch");
    let end = format!("{} bytes", page().len());
    let waited = peer.session.wait(peer.deadline, |serial| {
        serial.lines().iter().any(|line| line.trim() == end)
    });
    ensure!(waited == Waited::Seen, "fetch did not show {end}");
    let request = serving
        .join()
        .map_err(|_| anyhow::anyhow!("the server panicked"))??;
    let request = String::from_utf8_lossy(&request);
    ensure!(
        request.starts_with("GET /page?from=guest HTTP/1.0\r\n")
            && request.contains(&format!("\r\nHost: 10.0.2.2:{port}\r\n")),
        "the request was {request:?}"
    );
    Ok(())
}

/// Connects to the port at which the guest listens, and says something.
fn call(peer: &mut Peer<'_>) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", forwarded(peer, 2323)?))?;
    stream.write_all(b"spoken from outside\n\x1b[31mred\n")?;
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "net-shell",
        question: "Do the shell's words use the network, and does a page from outside arrive whole and filtered?",
        rows: &["L4-07", "L4-10"],
        manifest: "default",
        extra: &[
            "-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:0-:2323",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
            "-monitor", "unix:{work}/monitor,server=on,wait=off",
        ],
        steps: &[
            Step::All(&["@net.dhcp lease=bound", "@net.ipv6 origin=advertised"]),
            Step::Type("ping 10.0.2.2 2"),
            Step::Wait("2 of 2 answered"),
            Step::Type("ping6 10.0.2.2"),
            Step::Wait("is no address of IPv6"),
            Step::Peer(fetch),
            Step::Type("fetch http://10.0.2.2:1/"),
            Step::Wait("nobody takes connections there"),
            Step::Type("listen 2323"),
            Step::Wait("listening at port 2323"),
            Step::Peer(call),
            Step::Wait("29 bytes came"),
            Step::Type("net"),
            Step::Wait("name servers: 10.0.2.3"),
            Step::Type("halt"),
        ],
        required: &[
            "10.0.2.2: echo 2 after",
            "HTTP 200 OK",
            "a page from outside",
            ".[2Jbehind an escape",
            "row 1999",
            "spoken from outside",
            ".[31mred",
            "10.0.2.15/24",
            "0.0.0.0/0",
        ],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
        ],
        sorted: true,
        ..Smoke::DEFAULT
    }
}
