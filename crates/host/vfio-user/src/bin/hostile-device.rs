//! The hostile device at a socket: `hostile-device SOCKET`, orders on standard input, one a line; what became of each on
//! standard output. It serves one QEMU and ends with it.
use std::error::Error;
use std::io::{Write, stdin, stdout};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;

use vfio_user::hostile::{Hostile, Order, Start};
use vfio_user::{Channel, Model, Server};

fn tell(line: String) {
    let mut out = stdout().lock();
    // Whoever listened is gone: there is nobody to tell.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: hostile-device SOCKET")?;
    let listener = UnixListener::bind(&path)?;
    tell("listening".to_owned());
    let (send, orders) = mpsc::channel();
    thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            match Order::parse(&line) {
                Some(order) => drop(send.send(order)),
                None => tell(format!("no order: {line:?}")),
            }
        }
    });
    let (socket, _) = listener.accept()?;
    let mut device = Hostile::new(orders, Start::OnceSwept, tell);
    let mut server = Server::new(Channel::new(socket), device.describe());
    let end = server.run(&mut device, || true);
    for refusal in server.refusals() {
        tell(format!(
            "answered command={} error={}",
            refusal.command, refusal.error
        ));
    }
    Ok(end?)
}
