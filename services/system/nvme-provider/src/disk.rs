//! Bringing the controller up: reset, configure, enable, queues, identify.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use nvme_format::identify::{
    Controller, IDENTIFY_BYTES, Namespace, NamespaceError, active_namespaces, cns, command_set,
};
use nvme_format::{Command, PAGE_SHIFT, Status};
use nvme_provider::{Nvm, beyond, geometry};
use provider::block::{Disk, Names, Unit};
use provider::{Notice, QueueRing};
use sdk::device::device_queue::{self, Direction, Segment};
use sdk::device::{device, dma_buffer, dma_pool, interrupt};
use sdk::process::timer;
use sdk::{Access, Cap, Refusal, Window};
use sdk::{Interface, Object};

/// Commands in flight that the service asks for; controllers with shorter queues get less.
const DEPTH: u16 = 64;

/// Commands in the administration queue: one is in use at a time.
const ADMIN_DEPTH: u16 = 8;

/// What all windows together may take.
const POOL_BYTES: u64 = 32 << 20;

/// How long one administration command may take.
const ADMIN_PATIENCE_NS: u64 = 10_000_000_000;

/// How long to wait for an interrupt before looking at the queue without one.
const INTERRUPT_PATIENCE_NS: u64 = 1_000_000_000;

/// Namespaces that are looked at: as many as the broker keeps.
const MAX_NAMESPACES: usize = 32;

/// Queue kinds of the NVMe broker (docs/devices/nvme.md).
const ADMIN_KIND: u16 = 0;
const IO_KIND: u16 = 1;

/// Takes the device from whatever state it is in to a disk that answers. `open` makes the disk's queue, which raises the source that it
/// is given, and says how many commands it holds.
///
/// # Errors
/// The refusal of the step that failed; `NotSupported` where there is no namespace.
pub fn bring_up<Q>(
    device: &device::Client<Cap>,
    timer: &timer::Client<Cap>,
    open: impl FnOnce(&device::Client<Cap>, &dma_pool::Client<Cap>, u16) -> Result<(Q, u16), Refusal>,
) -> Result<(Disk<Nvm, Q>, Admin), Refusal> {
    device.reset()?;
    let agreed = device.configure_nvme(ADMIN_DEPTH, 1, PAGE_SHIFT)?;
    device.enable()?;
    let pool = device.pool(POOL_BYTES)?.pool;
    let admin_interrupt = armed(device, 0)?;
    let admin_queue = device.queue(ADMIN_KIND, 0, agreed.admin_depth, 0)?.queue;
    // A vector of its own where the function has a second one.
    let (source, interrupt) = match armed(device, 1) {
        Ok(own) => (1, own),
        Err(_) => (0, Interface::from_object(admin_interrupt.object().share())),
    };
    let (queue, depth) = open(device, &pool, source)?;
    let mut admin = Admin::new(admin_queue, admin_interrupt, &pool)?;
    let (controller, units) = admin.identify(timer)?;
    let names = Names {
        model: controller.model.as_str().to_string(),
        serial: controller.serial.as_str().to_string(),
        firmware: controller.firmware.as_str().to_string(),
        address: device.info()?.address,
    };
    let disk = Disk {
        pool,
        queue,
        notice: Notice::Interrupts(ArrayVec::from_iter([interrupt])),
        depth,
        units,
        names,
        layout: sdk::Layout::Scattered,
    };
    Ok((disk, admin))
}

/// An interrupt source that may raise.
fn armed(device: &device::Client<Cap>, source: u16) -> Result<interrupt::Client<Cap>, Refusal> {
    let interrupt = device.interrupt(source)?.interrupt;
    interrupt.unmask()?;
    Ok(interrupt)
}

/// The I/O queue of the broker's, as deep as the controller allows.
///
/// # Errors
/// As `Device.queue`, and those of its ring.
pub fn brokered(
    device: &device::Client<Cap>,
    _: &dma_pool::Client<Cap>,
    source: u16,
) -> Result<(QueueRing, u16), Refusal> {
    let mut depth = DEPTH;
    loop {
        match device.queue(IO_KIND, 1, depth, source) {
            Ok(results) => return Ok((QueueRing::open(results.queue)?, depth)),
            Err(Refusal::OutOfRange) if depth > 1 => depth /= 2,
            Err(refusal) => return Err(refusal),
        }
    }
}

/// The administration queue, one command at a time.
#[derive(Debug)]
pub struct Admin {
    queue: device_queue::Client<Cap>,
    interrupt: interrupt::Client<Cap>,
    buffer: dma_buffer::Client<Cap>,
    /// The buffer, to copy out of.
    window: Window,
    cookie: u64,
}

impl Admin {
    fn new(
        queue: device_queue::Client<Cap>,
        interrupt: interrupt::Client<Cap>,
        pool: &dma_pool::Client<Cap>,
    ) -> Result<Self, Refusal> {
        let bytes = IDENTIFY_BYTES as u64;
        let buffer = pool.allocate(bytes, sdk::Layout::Scattered)?.buffer;
        let window = Window::map(
            buffer.window(sdk::WindowAccess::Read)?.memory,
            bytes,
            Access::Read,
        )?;
        Ok(Self {
            queue,
            interrupt,
            buffer,
            window,
            cookie: 0,
        })
    }

    /// The controller, and its namespaces.
    fn identify(
        &mut self,
        timer: &timer::Client<Cap>,
    ) -> Result<(Controller, Vec<Unit<Nvm>>), Refusal> {
        let answer = self
            .ask(timer, cns::CONTROLLER, 0)?
            .ok_or(Refusal::DeviceError)?;
        let controller = Controller::parse(&answer).ok_or(Refusal::DeviceError)?;
        let listed: Vec<u32> = match self.ask(timer, cns::ACTIVE_NAMESPACES, 0)? {
            Some(answer) => active_namespaces(&answer).collect(),
            // Controllers before 1.1 have no such list.
            None => (1..=controller.nn.min(MAX_NAMESPACES as u32)).collect(),
        };
        let mut units = Vec::new();
        for nsid in listed.iter().copied().take(MAX_NAMESPACES) {
            units.extend(self.namespace(timer, &controller, nsid)?);
        }
        if let Some((number, why)) = beyond(&listed, MAX_NAMESPACES) {
            sdk::warn!("namespace {number}: {why}");
            units.push(Unit {
                number,
                blocks: 0,
                block_bytes: 0,
                shape: Err(why),
            });
        }
        if units.is_empty() {
            sdk::error!("the controller has no active namespace");
            return Err(Refusal::NotSupported);
        }
        Ok((controller, units))
    }

    /// One namespace, or why it is none that can be read. `None` for one that is not active.
    fn namespace(
        &mut self,
        timer: &timer::Client<Cap>,
        controller: &Controller,
        nsid: u32,
    ) -> Result<Option<Unit<Nvm>>, Refusal> {
        let mut unit = Unit {
            number: nsid,
            blocks: 0,
            block_bytes: 0,
            shape: Err(String::from(
                "the controller does not describe this namespace",
            )),
        };
        let Some(answer) = self.ask(timer, cns::NAMESPACE, nsid)? else {
            return Ok(Some(unit));
        };
        unit.blocks = Namespace::claimed_blocks(&answer);
        unit.block_bytes = Namespace::claimed_block_bytes(&answer);
        let namespace = match Namespace::parse(nsid, &answer) {
            Ok(namespace) => namespace,
            Err(NamespaceError::Inactive) => return Ok(None),
            Err(error) => {
                unit.shape = Err(error.to_string());
                return Ok(Some(unit));
            }
        };
        // Controllers before 1.3 know one command set, and no descriptors.
        let set = match self.ask(timer, cns::NAMESPACE_DESCRIPTORS, nsid)? {
            Some(answer) => command_set(&answer),
            None => None,
        };
        unit.shape = match set {
            None | Some(0) => match u16::try_from(nsid) {
                Ok(nsid) => Ok((Nvm { nsid }, geometry(controller, &namespace))),
                Err(_) => Err(String::from("a namespace of a number over 65,535")),
            },
            Some(1) => Err(String::from("a key-value namespace, which holds no blocks")),
            Some(2) => Err(String::from(
                "a zoned namespace, which holds no volume that is read here",
            )),
            Some(other) => Err(alloc::format!(
                "a namespace of command set {other}, which is not known here"
            )),
        };
        Ok(Some(unit))
    }

    /// One IDENTIFY. A copy of the answer, or `None` where the controller refuses the question.
    fn ask(
        &mut self,
        timer: &timer::Client<Cap>,
        cns: u8,
        nsid: u32,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        self.cookie += 1;
        let command = device_queue::Command {
            cookie: self.cookie,
            template: &Command::identify(cns, nsid, 0).to_bytes(),
            segments: &[Segment {
                buffer: self.buffer.object().handle(),
                offset: 0,
                length: IDENTIFY_BYTES as u32,
                direction: Direction::FromDevice,
            }],
        };
        let submitted = self.queue.submit(&[command])?;
        if let Some(refusal) = submitted.refusal {
            return Err(refusal);
        }
        let give_up = timer.now()?.ns.saturating_add(ADMIN_PATIENCE_NS);
        if !self.completed(timer, give_up)?.is_success() {
            return Ok(None);
        }
        let mut answer = alloc::vec![0; IDENTIFY_BYTES];
        self.window.read(0, &mut answer)?;
        Ok(Some(answer))
    }

    /// Waits for the completion of the command in flight.
    fn completed(
        &mut self,
        timer: &timer::Client<Cap>,
        give_up_ns: u64,
    ) -> Result<Status, Refusal> {
        loop {
            let cookie = self.cookie;
            let mine = self.queue.complete(8, |results| {
                let mut list = results.completions()?.iter();
                list.find(|completion| completion.cookie() == cookie)
                    .map(|c| c.value())
                    .transpose()
            })??;
            if let Some(completion) = mine {
                return match completion.refusal {
                    Some(refusal) => Err(refusal),
                    None => Ok(Status::from_field(completion.status)),
                };
            }
            let now = timer.now()?.ns;
            if now >= give_up_ns {
                return Err(Refusal::TimedOut);
            }
            // The broker's own commands raise the same vector, so a dispatch need not be ours.
            let until = now.saturating_add(INTERRUPT_PATIENCE_NS);
            match self.interrupt.with_deadline(until).wait() {
                Ok(_) => self.interrupt.acknowledge()?,
                Err(Refusal::TimedOut) => {}
                Err(refusal) => return Err(refusal),
            }
        }
    }
}
