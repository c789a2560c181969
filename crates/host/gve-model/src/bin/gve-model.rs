//! The model at a socket: `gve-model SOCKET OWN PEER [dqo-rda|dqo-qpl] [FAULT...]`. QEMU comes to SOCKET; frames are datagrams from OWN to PEER and back; a
//! fault is a word, or a word and a number as `refuse=3`. What happens is told on standard output. It serves one QEMU and ends with it.
use std::error::Error;
use std::io::{Write, stdout};
use std::os::unix::net::UnixListener;

use gve_format::QueueFormat;
use gve_model::{Datagrams, Fault, Gve, Shape};
use vfio_user::{Channel, Model, Server};

fn tell(line: String) {
    let mut out = stdout().lock();
    // Whoever listened is gone: there is nobody to tell.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn fault(text: &str) -> Result<Fault, String> {
    let parsed = Fault::parse(&text.replace('=', " "));
    parsed.ok_or_else(|| format!("no fault: {text}"))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, own, peer, faults @ ..] = &arguments[..] else {
        return Err("usage: gve-model SOCKET OWN PEER [dqo-rda|dqo-qpl] [FAULT...]".into());
    };
    let mut shape = Shape::default();
    for text in faults {
        match text.as_str() {
            "dqo-rda" => shape.format = QueueFormat::DqoRda,
            "dqo-qpl" => shape.format = QueueFormat::DqoQpl,
            _ => shape.faults.push(fault(text)?),
        }
    }
    let port = Datagrams::new(own.as_ref(), peer.as_ref())?;
    let listener = UnixListener::bind(socket)?;
    tell("listening".to_owned());
    let (connection, _) = listener.accept()?;
    let mut device = Gve::new(shape, port, tell);
    let mut server = Server::new(Channel::new(connection), device.describe());
    let end = server.run(&mut device, || true);
    device.tell_counts();
    Ok(end?)
}
