//! Devices that act by themselves: what a smoke does to a guest's devices from outside, by QEMU's test port.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The port.
pub struct Qtest {
    socket: BufReader<UnixStream>,
}

impl Qtest {
    /// Connects to it.
    pub fn connect(work: &Path) -> Result<Self> {
        let socket = UnixStream::connect(work.join("qtest")).context("QEMU's test port")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let socket = BufReader::new(socket);
        Ok(Self { socket })
    }

    /// Has a command carried out, and gives what was said.
    fn ask(&mut self, command: &str) -> Result<String> {
        self.socket
            .get_mut()
            .write_all(format!("{command}\n").as_bytes())?;
        loop {
            let mut line = String::new();
            if self
                .socket
                .read_line(&mut line)
                .context("QEMU's test port")?
                == 0
            {
                bail!("QEMU's test port went away");
            }
            match line.trim().strip_prefix("OK") {
                Some(said) => return Ok(said.trim().to_owned()),
                // Interrupts of a device that is watched.
                None if line.starts_with("IRQ") => {}
                None => bail!("{command}: {line}"),
            }
        }
    }

    /// Reads 64 bits at a physical address.
    pub fn read64(&mut self, at: u64) -> Result<u64> {
        self.number(&format!("readq {at:#x}"))
    }

    /// Writes 64 bits at a physical address.
    pub fn write64(&mut self, at: u64, value: u64) -> Result<()> {
        self.ask(&format!("writeq {at:#x} {value:#x}")).map(drop)
    }

    /// Makes a function of bus 0 answer at its registers and reach memory, and says where the former are.
    pub fn open(&mut self, device: u8) -> Result<u64> {
        if self.config(device, 0)? == u32::MAX {
            bail!("no device {device}");
        }
        let command = self.config(device, 4)?;
        self.set_config(device, 4, command & 0xffff | 6)?;
        let low = self.config(device, 0x10)?;
        // A controller of SATA disks has them last.
        let (low, bar) = match low & !0xf {
            0 => (self.config(device, 0x24)?, 0x24),
            _ => (low, 0x10),
        };
        let high = match low & 0x6 {
            4 => self.config(device, bar + 4)?,
            _ => 0,
        };
        match low & !0xf {
            0 => bail!("the registers of device {device} are nowhere"),
            low => Ok(u64::from(high) << 32 | u64::from(low)),
        }
    }

    /// Lets it reach memory no more.
    pub fn close(&mut self, device: u8) -> Result<()> {
        let command = self.config(device, 4)?;
        self.set_config(device, 4, command & 0xfffb)
    }

    /// Writes 32 bits at a physical address.
    pub fn write32(&mut self, at: u64, value: u32) -> Result<()> {
        self.ask(&format!("writel {at:#x} {value:#x}")).map(drop)
    }

    fn number(&mut self, command: &str) -> Result<u64> {
        let said = self.ask(command)?;
        let digits = said.trim_start_matches("0x");
        u64::from_str_radix(digits, 16).with_context(|| format!("{command}: {said}"))
    }

    /// Reads 32 bits of configuration space of a function of bus 0.
    fn config(&mut self, device: u8, register: u8) -> Result<u32> {
        self.choose(device, register)?;
        Ok(self.number("inl 0xcfc")? as u32)
    }

    fn set_config(&mut self, device: u8, register: u8, value: u32) -> Result<()> {
        self.choose(device, register)?;
        self.ask(&format!("outl 0xcfc {value:#x}")).map(drop)
    }

    fn choose(&mut self, device: u8, register: u8) -> Result<()> {
        let address = 1 << 31 | u32::from(device) << 11 | u32::from(register & !3);
        self.ask(&format!("outl 0xcf8 {address:#x}")).map(drop)
    }
}

/// A message as a device sends it: address and data.
pub type Message = (u32, u32);

/// A teaching card on bus 0, at a device number.
pub struct Card {
    device: u8,
    registers: u64,
    message: u8,
}

impl Card {
    /// Finds its registers, and its structure for messages.
    pub fn find(port: &mut Qtest, device: u8) -> Result<Self> {
        if port.config(device, 0)? != 0x11e8_1234 {
            bail!("no card at device {device}");
        }
        let registers = u64::from(port.config(device, 0x10)? & !0xf);
        let mut at = port.config(device, 0x34)? as u8;
        while at != 0 {
            let head = port.config(device, at)?;
            if head & 0xff == 5 {
                return Ok(Self {
                    device,
                    registers,
                    message: at,
                });
            }
            at = (head >> 8) as u8;
        }
        bail!("the card has no messages")
    }

    /// The message that it was given.
    pub fn message(&self, port: &mut Qtest) -> Result<Message> {
        let address = port.config(self.device, self.message + 4)?;
        let data = port.config(self.device, self.message + 12)?;
        Ok((address, data & 0xffff))
    }

    /// Has it use another one.
    pub fn use_message(&self, port: &mut Qtest, (address, data): Message) -> Result<()> {
        port.set_config(self.device, self.message + 4, address)?;
        port.set_config(self.device, self.message + 8, 0)?;
        port.set_config(self.device, self.message + 12, data)?;
        let head = port.config(self.device, self.message)?;
        port.set_config(self.device, self.message, head | 1 << 16)
    }

    /// Has it raise its interrupt, for these causes.
    pub fn raise(&self, port: &mut Qtest, causes: u32) -> Result<()> {
        let at = self.registers + 0x60;
        port.ask(&format!("writel {at:#x} {causes:#x}")).map(drop)
    }

    /// Takes all causes away.
    pub fn settle(&self, port: &mut Qtest) -> Result<()> {
        let at = self.registers + 0x64;
        port.ask(&format!("writel {at:#x} 0xffffffff")).map(drop)
    }

    /// Has it write four bytes of its empty buffer to a bus address.
    pub fn write_zeros(&self, port: &mut Qtest, address: u32) -> Result<()> {
        let command = self.registers + 0x98;
        for (offset, value) in [
            (0x80, 0x4_0000),
            (0x88, address.into()),
            (0x90, 4u64),
            (0x98, 3),
        ] {
            let at = self.registers + offset;
            port.ask(&format!("writeq {at:#x} {value:#x}"))?;
        }
        for _ in 0..1000 {
            if port.number(&format!("readq {command:#x}"))? & 1 == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the card does not end its transfer")
    }
}
