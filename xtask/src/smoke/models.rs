//! Devices outside of QEMU: serves them while a smoke's guest runs, and keeps what they reported.

use std::io::ErrorKind;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use gve_format::QueueFormat;
use gve_model::{Datagrams, Fault, Gve, Shape};
use vfio_user::card::{Attack, Card};
use vfio_user::hostile::{Hostile, Order, Start};
use vfio_user::{Channel, Model, Server};

/// A device, at a socket in the smoke's work folder.
pub struct DeviceModel {
    /// Name of the socket.
    pub socket: &'static str,
    /// What it is, and what it tries.
    pub kind: ModelKind,
    /// How lines must begin that it reports, in this order.
    pub reports: &'static [&'static str],
}

/// What a hostile device is to the guest.
pub enum ModelKind {
    /// Nothing that has a driver. It carries out these orders once the kernel has gone through the bus
    /// (`vfio_user::hostile::Order`).
    Stranger(&'static [&'static str]),
    /// The teaching card, to its driver; it tries this with each transfer to memory.
    Card(&'static [Attack]),
    /// Google's virtual NIC, to its driver, with queues of this format; it does these things wrong (`gve_model::Fault`). Its wire
    /// goes from `card` to `bridge` in the work folder. What it objects to fails the smoke.
    Gve(QueueFormat, &'static [&'static str]),
}

/// A device that is served.
pub struct Served {
    model: &'static DeviceModel,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<String>>>,
}

impl Served {
    /// Begins to serve a device.
    pub fn start(model: &'static DeviceModel, work: &Path) -> Result<Self> {
        let path = work.join(model.socket);
        let listener = UnixListener::bind(&path)
            .with_context(|| format!("cannot listen at {}", path.display()))?;
        listener.set_nonblocking(true)?;
        let port = match model.kind {
            ModelKind::Gve(..) => {
                let port = Datagrams::new(&work.join("card"), &work.join("bridge"));
                Some(port.context("cannot make the card's end of the wire")?)
            }
            ModelKind::Stranger(_) | ModelKind::Card(_) => None,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let goes_on = || !stopped.load(Ordering::Relaxed);
            match accept(&listener, &goes_on)? {
                Some(socket) => serve(model, port, socket, &goes_on),
                None => Ok(vec!["nobody came".to_owned()]),
            }
        });
        Ok(Self {
            model,
            stop,
            thread,
        })
    }

    /// Ends it; gives what it reported, and what it should have reported and did not.
    pub fn finish(self) -> Result<(Vec<String>, Vec<String>)> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        let told = ended.map_err(|_| anyhow::anyhow!("the device model panicked"))??;
        let mut rest = told.iter();
        let missing = |report: &&&str| !rest.any(|line| line.starts_with(**report));
        let missing = self.model.reports.iter().filter(missing);
        let missing = missing.map(|report| format!("the device did not report: {report}"));
        let objections = told
            .iter()
            .filter(|line| line.starts_with("model.violation"));
        let objections = objections.map(|line| format!("the device objected: {line}"));
        Ok((told.clone(), missing.chain(objections).collect()))
    }
}

fn accept(listener: &UnixListener, goes_on: &dyn Fn() -> bool) -> Result<Option<UnixStream>> {
    while goes_on() {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false)?;
                return Ok(Some(socket));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn serve(
    model: &DeviceModel,
    port: Option<Datagrams>,
    socket: UnixStream,
    goes_on: &dyn Fn() -> bool,
) -> Result<Vec<String>> {
    let mut told = Vec::new();
    match model.kind {
        ModelKind::Stranger(lines) => {
            let (send, orders) = mpsc::channel();
            for line in lines {
                send.send(Order::parse(line).with_context(|| format!("no order: {line}"))?)?;
            }
            let mut device = Hostile::new(orders, Start::OnceSwept, |line| told.push(line));
            let refused = run(&mut device, socket, goes_on);
            drop(device);
            told.extend(refused);
        }
        ModelKind::Card(attacks) => {
            let mut device = Card::new(attacks.to_vec(), |line| told.push(line));
            let refused = run(&mut device, socket, goes_on);
            drop(device);
            told.extend(refused);
        }
        ModelKind::Gve(format, faults) => {
            let port = port.context("the card has no wire")?;
            let faults = faults
                .iter()
                .map(|fault| Fault::parse(fault).with_context(|| format!("no fault: {fault}")));
            let shape = Shape {
                format,
                faults: faults.collect::<Result<_>>()?,
                ..Shape::default()
            };
            let mut device = Gve::new(shape, port, |line| told.push(line));
            let refused = run(&mut device, socket, goes_on);
            device.tell_counts();
            drop(device);
            told.extend(refused);
        }
    }
    Ok(told)
}

/// Serves a device to its end; what its peer was refused, and how it ended otherwise than by going away.
fn run(device: &mut impl Model, socket: UnixStream, goes_on: &dyn Fn() -> bool) -> Vec<String> {
    let mut told = Vec::new();
    let mut server = Server::new(Channel::new(socket), device.describe());
    let end = server.run(device, goes_on);
    for refusal in server.refusals() {
        told.push(format!(
            "answered command={} error={}",
            refusal.command, refusal.error
        ));
    }
    // QEMU ends without a farewell.
    if let Err(error) = end
        && error.kind() != ErrorKind::ConnectionReset
        && error.kind() != ErrorKind::BrokenPipe
    {
        told.push(format!("ended {error}"));
    }
    told
}
