//! The server: one device for one QEMU.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::channel::{Channel, Message};
use crate::config::{Config, Description};
use crate::memory::{Memory, MemoryError};
use crate::wire::{
    CONFIG_REGION, Command, INTERRUPTS, Kind, MAX_FDS, MAX_TRANSFER, MSIX_INDEX, REGIONS, u16_at,
    u32_at, u64_at, words,
};

const EINVAL: u32 = 22;
const ENOTSUP: u32 = 95;
/// Most refusals that are kept.
const MAX_REFUSALS: usize = 1024;

/// A message that was answered with an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The command's number.
    pub command: u16,
    /// The error number.
    pub error: u32,
}

/// How a device reaches memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// By message: QEMU carries it out as the device, through the unit that is above it, and says how it went.
    Message,
    /// By the files that were handed over: nobody is asked, and nobody can refuse what is there.
    Memory,
}

/// Why a device did not reach memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BusError {
    /// QEMU refused, with this error number.
    Refused(u32),
    /// QEMU answered with another length than was asked for.
    Short,
    /// It cannot be reached by file.
    Memory(MemoryError),
    /// There is no such vector, or nobody listens to it.
    NoVector,
    /// More bytes than one message carries, or none.
    Length,
    /// The connection is gone.
    Gone,
}

/// What a device can do by itself.
pub trait Bus {
    /// Reads memory.
    ///
    /// # Errors
    /// Those of [`BusError`].
    fn read(&mut self, way: Way, address: u64, buffer: &mut [u8]) -> Result<(), BusError>;

    /// Writes memory.
    ///
    /// # Errors
    /// Those of [`BusError`].
    fn write(&mut self, way: Way, address: u64, bytes: &[u8]) -> Result<(), BusError>;

    /// Raises an MSI-X vector.
    ///
    /// # Errors
    /// `NoVector`.
    fn interrupt(&mut self, vector: u16) -> Result<(), BusError>;

    /// The command register: whether it may use the bus, for one. Nothing but the model's own manners makes it heed that.
    fn command(&self) -> u16;
}

/// A device. Offsets and lengths lie inside the BAR.
pub trait Model {
    /// Says what it is. Asked once.
    fn describe(&self) -> Description;

    /// A BAR is read.
    fn read(&mut self, bar: u8, offset: u64, buffer: &mut [u8]);

    /// A BAR is written.
    fn write(&mut self, bar: u8, offset: u64, bytes: &[u8]);

    /// The device is reset.
    fn reset(&mut self);

    /// Called after each message and every few milliseconds: what it does by itself.
    fn work(&mut self, bus: &mut dyn Bus);
}

/// A served connection.
#[derive(Debug)]
pub struct Server {
    link: Link,
}

/// What a model reaches while it works.
#[derive(Debug)]
struct Link {
    channel: Channel,
    device: Description,
    config: Config,
    refusals: Vec<Refusal>,
    memory: Memory,
    vectors: Vec<Option<File>>,
    /// Commands for the model that came while it awaited an answer.
    waiting: VecDeque<Message>,
    next_id: u16,
}

impl Server {
    /// Serves this connection for a device.
    pub fn new(channel: Channel, device: Description) -> Self {
        let vectors = device.msix.map_or(0, |(vectors, _)| usize::from(vectors));
        Self {
            link: Link {
                channel,
                config: Config::new(&device),
                device,
                refusals: Vec::new(),
                memory: Memory::default(),
                vectors: (0..vectors).map(|_| None).collect(),
                waiting: VecDeque::new(),
                next_id: 0,
            },
        }
    }

    /// What was refused so far, at most the first 1024.
    pub fn refusals(&self) -> &[Refusal] {
        &self.link.refusals
    }

    /// Works through messages until the connection ends or `go_on` says no; it is asked between messages.
    ///
    /// # Errors
    /// Those of the system, and `InvalidData` for a message whose end cannot be known.
    pub fn run(
        &mut self,
        model: &mut impl Model,
        mut go_on: impl FnMut() -> bool,
    ) -> io::Result<()> {
        while go_on() {
            let message = match self.link.waiting.pop_front() {
                Some(message) => Some(message),
                None if self.link.channel.wait(Duration::from_millis(5))? => {
                    match self.link.channel.receive()? {
                        Some(message) => Some(message),
                        None => return Ok(()),
                    }
                }
                None => None,
            };
            if let Some(message) = message {
                self.link.answer(Some(model), message)?;
            }
            model.work(&mut self.link);
        }
        Ok(())
    }
}

impl Link {
    fn answer(&mut self, model: Option<&mut dyn Model>, message: Message) -> io::Result<()> {
        let header = message.header;
        let wanted = match header.kind {
            Kind::Command => true,
            Kind::CommandWithoutReply => false,
            // An answer to nothing that was asked.
            Kind::Reply | Kind::Refusal(_) => {
                self.refuse(header.command, EINVAL);
                return Ok(());
            }
        };
        let result = match Command::of(header.command) {
            Some(command) => self.carry_out(model, command, &message.body, message.fds),
            None => Err(ENOTSUP),
        };
        let (kind, body) = match result {
            Ok(body) => (Kind::Reply, body),
            Err(error) => {
                self.refuse(header.command, error);
                (Kind::Refusal(error), Vec::new())
            }
        };
        match wanted {
            true => self
                .channel
                .send(header.id, header.command, kind, &body, &[]),
            false => Ok(()),
        }
    }

    fn refuse(&mut self, command: u16, error: u32) {
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.push(Refusal { command, error });
        }
    }

    fn carry_out(
        &mut self,
        model: Option<&mut dyn Model>,
        command: Command,
        body: &[u8],
        fds: Vec<OwnedFd>,
    ) -> Result<Vec<u8>, u32> {
        match command {
            Command::Version => version(body),
            Command::DmaMap => self.map(body, fds),
            Command::DmaUnmap => self.unmap(body),
            // Flags: reset, PCI.
            Command::GetInfo => Ok(words(&[16, 0b11, REGIONS, INTERRUPTS])),
            Command::GetRegion => self.region(body),
            Command::GetInterrupt => self.interrupt_info(body),
            Command::SetInterrupts => self.set_interrupts(body, fds),
            Command::Read => self.read(model, body),
            Command::Write => self.write(model, body),
            Command::Reset => {
                self.config = Config::new(&self.device);
                self.vectors.iter_mut().for_each(|vector| *vector = None);
                if let Some(model) = model {
                    model.reset();
                }
                Ok(Vec::new())
            }
            // A device's own; QEMU does not send them.
            Command::DmaRead | Command::DmaWrite => Err(ENOTSUP),
        }
    }

    fn map(&mut self, body: &[u8], fds: Vec<OwnedFd>) -> Result<Vec<u8>, u32> {
        let flags = u32_at(body, 4).ok_or(EINVAL)?;
        let offset = u64_at(body, 8).ok_or(EINVAL)?;
        let address = u64_at(body, 16).ok_or(EINVAL)?;
        let bytes = u64_at(body, 24).ok_or(EINVAL)?;
        if fds.len() > 1 {
            return Err(EINVAL);
        }
        let file = fds.into_iter().next();
        match self.memory.map(address, bytes, offset, flags, file) {
            true => Ok(Vec::new()),
            false => Err(EINVAL),
        }
    }

    fn unmap(&mut self, body: &[u8]) -> Result<Vec<u8>, u32> {
        const ALL: u32 = 2;
        let flags = u32_at(body, 4).ok_or(EINVAL)?;
        let address = u64_at(body, 8).ok_or(EINVAL)?;
        let bytes = u64_at(body, 16).ok_or(EINVAL)?;
        if flags & ALL != 0 {
            self.memory.clear();
        } else if !self.memory.unmap(address, bytes) {
            return Err(EINVAL);
        }
        Ok(body[..24].to_vec())
    }

    fn region_bytes(&self, region: u32) -> u64 {
        let bar = self.device.bars.get(region as usize).copied().unwrap_or(0);
        match region {
            CONFIG_REGION => 256,
            _ => bar.into(),
        }
    }

    fn region(&self, body: &[u8]) -> Result<Vec<u8>, u32> {
        let region = u32_at(body, 8)
            .filter(|region| *region < REGIONS)
            .ok_or(EINVAL)?;
        let bytes = self.region_bytes(region);
        let rights = if bytes > 0 { 0b11 } else { 0 };
        let mut reply = words(&[32, rights, region, 0]);
        reply.extend_from_slice(&bytes.to_le_bytes());
        reply.extend_from_slice(&0u64.to_le_bytes());
        Ok(reply)
    }

    fn interrupt_info(&self, body: &[u8]) -> Result<Vec<u8>, u32> {
        let index = u32_at(body, 8)
            .filter(|index| *index < INTERRUPTS)
            .ok_or(EINVAL)?;
        let count = if index == MSIX_INDEX {
            self.vectors.len() as u32
        } else {
            0
        };
        // Flags: by event file, the count cannot change while in use.
        Ok(words(&[16, 0b1001, index, count]))
    }

    fn set_interrupts(&mut self, body: &[u8], fds: Vec<OwnedFd>) -> Result<Vec<u8>, u32> {
        const NOTHING: u32 = 1;
        const EVENT_FILES: u32 = 4;
        const TRIGGER: u32 = 1 << 5;
        let flags = u32_at(body, 4).ok_or(EINVAL)?;
        let index = u32_at(body, 8)
            .filter(|index| *index < INTERRUPTS)
            .ok_or(EINVAL)?;
        let start = u32_at(body, 12).ok_or(EINVAL)? as usize;
        let count = u32_at(body, 16).ok_or(EINVAL)? as usize;
        let all = if index == MSIX_INDEX {
            self.vectors.len()
        } else {
            0
        };
        let end = start
            .checked_add(count)
            .filter(|end| *end <= all)
            .ok_or(EINVAL)?;
        match (flags & 7, flags & TRIGGER != 0) {
            (NOTHING, true) if count == 0 => {
                self.vectors.iter_mut().for_each(|vector| *vector = None);
            }
            (EVENT_FILES, true) if fds.len() <= count => {
                // Fewer than there are places: the rest is taken away.
                let mut fds = fds.into_iter();
                for vector in &mut self.vectors[start..end] {
                    *vector = fds.next().map(File::from);
                }
            }
            _ => return Err(EINVAL),
        }
        Ok(Vec::new())
    }

    /// Region, offset and count of an access, which lies inside the region.
    fn access(&self, body: &[u8]) -> Result<(u32, u64, usize), u32> {
        let offset = u64_at(body, 0).ok_or(EINVAL)?;
        let region = u32_at(body, 8).ok_or(EINVAL)?;
        let count = u32_at(body, 12).ok_or(EINVAL)? as usize;
        let end = offset.checked_add(count as u64).ok_or(EINVAL)?;
        // QEMU reads configuration space as PCI Express has it; this one ends earlier and reads as zeros there.
        let bytes = if region == CONFIG_REGION {
            4096
        } else {
            self.region_bytes(region)
        };
        match count > 0 && count <= MAX_TRANSFER && end <= bytes {
            true => Ok((region, offset, count)),
            false => Err(EINVAL),
        }
    }

    fn read(&mut self, model: Option<&mut dyn Model>, body: &[u8]) -> Result<Vec<u8>, u32> {
        let (region, offset, count) = self.access(body)?;
        let mut data = vec![0; count];
        match region {
            CONFIG_REGION => self.config.read(offset, &mut data),
            bar => model.ok_or(EINVAL)?.read(bar as u8, offset, &mut data),
        }
        Ok([&body[..16], &data].concat())
    }

    fn write(&mut self, model: Option<&mut dyn Model>, body: &[u8]) -> Result<Vec<u8>, u32> {
        let (region, offset, count) = self.access(body)?;
        let data = body.get(16..16 + count).ok_or(EINVAL)?;
        match region {
            CONFIG_REGION => self.config.write(offset, data),
            bar => model.ok_or(EINVAL)?.write(bar as u8, offset, data),
        }
        Ok(body[..16].to_vec())
    }
}

fn version(body: &[u8]) -> Result<Vec<u8>, u32> {
    let major = u16_at(body, 0).ok_or(EINVAL)?;
    if major != 0 {
        return Err(ENOTSUP);
    }
    let minor = u16_at(body, 2).ok_or(EINVAL)?.min(1);
    let text = format!(
        "{{\"capabilities\":{{\"max_msg_fds\":{MAX_FDS},\"max_data_xfer_size\":{MAX_TRANSFER},\"pgsizes\":4096,\
         \"max_dma_maps\":65535}}}}\0"
    );
    let mut reply = 0u16.to_le_bytes().to_vec();
    reply.extend_from_slice(&minor.to_le_bytes());
    reply.extend_from_slice(text.as_bytes());
    Ok(reply)
}

impl Link {
    /// Sends a command of the device and waits for its answer. Commands that come meanwhile wait.
    fn ask(&mut self, command: Command, body: &[u8]) -> Result<Vec<u8>, BusError> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let number = command as u16;
        let sent = self.channel.send(id, number, Kind::Command, body, &[]);
        sent.map_err(|_| BusError::Gone)?;
        loop {
            let message = self
                .channel
                .receive()
                .ok()
                .flatten()
                .ok_or(BusError::Gone)?;
            let ours = message.header.id == id && message.header.command == number;
            match message.header.kind {
                Kind::Reply if ours => return Ok(message.body),
                Kind::Refusal(error) if ours => return Err(BusError::Refused(error)),
                _ if needs_model(&message) => self.waiting.push_back(message),
                // QEMU carries nothing out while one of its processors waits for this side.
                _ => self.answer(None, message).map_err(|_| BusError::Gone)?,
            }
        }
    }
}

/// Whether only the model can answer: it is busy while it awaits an answer of its own.
fn needs_model(message: &Message) -> bool {
    match Command::of(message.header.command) {
        Some(Command::Reset) => true,
        Some(Command::Read | Command::Write) => u32_at(&message.body, 8) != Some(CONFIG_REGION),
        _ => false,
    }
}

fn transfer(address: u64, count: usize, data: &[u8]) -> Result<Vec<u8>, BusError> {
    if count == 0 || count > MAX_TRANSFER {
        return Err(BusError::Length);
    }
    let count = (count as u64).to_le_bytes();
    Ok([&address.to_le_bytes(), &count[..], data].concat())
}

impl Bus for Link {
    fn read(&mut self, way: Way, address: u64, buffer: &mut [u8]) -> Result<(), BusError> {
        if way == Way::Memory {
            return self.memory.read(address, buffer).map_err(BusError::Memory);
        }
        let reply = self.ask(Command::DmaRead, &transfer(address, buffer.len(), &[])?)?;
        let data = reply.get(16..).filter(|data| data.len() == buffer.len());
        buffer.copy_from_slice(data.ok_or(BusError::Short)?);
        Ok(())
    }

    fn write(&mut self, way: Way, address: u64, bytes: &[u8]) -> Result<(), BusError> {
        if way == Way::Memory {
            return self.memory.write(address, bytes).map_err(BusError::Memory);
        }
        self.ask(Command::DmaWrite, &transfer(address, bytes.len(), bytes)?)?;
        Ok(())
    }

    fn interrupt(&mut self, vector: u16) -> Result<(), BusError> {
        let vector = self
            .vectors
            .get(usize::from(vector))
            .and_then(Option::as_ref);
        let mut file = vector.ok_or(BusError::NoVector)?;
        file.write_all(&1u64.to_ne_bytes())
            .map_err(|_| BusError::NoVector)
    }

    fn command(&self) -> u16 {
        self.config.command()
    }
}
