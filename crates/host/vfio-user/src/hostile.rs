//! The hostile device: it reads and writes any address and sends any message it is told to, whether it may or not, and
//! reports what was refused.

use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, TryRecvError};

use crate::config::Description;
use crate::server::{Bus, BusError, Model, Way};
use crate::wire::{u32_at, u64_at};

/// Its ids: none that a driver of this tree matches.
pub const ID: (u16, u16) = (0x1d1d, 0x0bad);
/// Most bytes of one order.
const MAX_BYTES: usize = 2048;
/// Bytes of its registers, in BAR 0.
const REGISTERS: usize = 4096;
/// Where a transfer's bytes lie among the registers.
const BUFFER: usize = 0x800;

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Read so many bytes.
    Read(Way, u64, usize),
    /// Write these bytes.
    Write(Way, u64, Vec<u8>),
    /// Raise a vector as it should be.
    Interrupt(u16),
    /// Write what an interrupt message is to an address, as memory.
    Forge(u64, u32),
}

impl Order {
    /// Reads a line: `read|peek ADDRESS BYTES`, `write|poke ADDRESS HEX`, `interrupt VECTOR`, `forge ADDRESS DATA`. The
    /// second word of each pair goes by the files that were handed over, the first by message. Numbers are decimal or
    /// hexadecimal with `0x`. `None` for anything else.
    pub fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(match *words.as_slice() {
            [word @ ("read" | "peek"), address, bytes] => {
                let bytes = usize::try_from(number(bytes)?).ok()?;
                let fits = (1..=MAX_BYTES).contains(&bytes);
                fits.then(|| number(address).map(|address| Self::Read(way(word), address, bytes)))??
            }
            [word @ ("write" | "poke"), address, hex] => {
                Self::Write(way(word), number(address)?, bytes(hex)?)
            }
            ["interrupt", vector] => Self::Interrupt(number(vector)?.try_into().ok()?),
            ["forge", address, data] => {
                Self::Forge(number(address)?, number(data)?.try_into().ok()?)
            }
            _ => return None,
        })
    }
}

fn way(word: &str) -> Way {
    match word {
        "peek" | "poke" => Way::Memory,
        _ => Way::Message,
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.is_ascii()
        || hex.is_empty()
        || !hex.len().is_multiple_of(2)
        || hex.len() > 2 * MAX_BYTES
    {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// What became of an order, in words: `accepted` with what was read, or `refused` with the error number, or why it could
/// not be tried.
pub fn report(order: &Order, outcome: &Result<Vec<u8>, BusError>) -> String {
    let mut line = match order {
        Order::Read(way, address, bytes) => {
            format!("read way={way:?} address={address:#x} bytes={bytes}")
        }
        Order::Write(way, address, bytes) => {
            format!(
                "write way={way:?} address={address:#x} bytes={}",
                bytes.len()
            )
        }
        Order::Interrupt(vector) => format!("interrupt vector={vector}"),
        Order::Forge(address, data) => format!("forge address={address:#x} data={data:#x}"),
    };
    match outcome {
        Ok(data) if data.is_empty() => line.push_str(" accepted"),
        Ok(data) => {
            line.push_str(" accepted data=");
            for byte in data {
                let _ = write!(line, "{byte:02x}");
            }
        }
        Err(BusError::Refused(error)) => {
            let _ = write!(line, " refused error={error}");
        }
        Err(other) => {
            let _ = write!(line, " failed why={other:?}");
        }
    }
    line
}

/// When the device begins with orders from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// At once.
    AtOnce,
    /// As soon as INTx is disabled in its command register: a system has gone through the bus.
    OnceSwept,
}

/// `Command.Interrupt Disable` (PCI 3.0, 6.2.2).
const INTX_DISABLED: u16 = 1 << 10;

/// The device. Orders come from outside, and through its registers from whoever can write them.
///
/// Registers of BAR 0, little-endian: 0x08 address (64 bits), 0x10 bytes or data, 0x14 order (1 read, 2 write by message;
/// 3, 4 by file; 5 interrupt of the vector in `address`; 6 forge), 0x18 outcome (0 none yet, 1 accepted, 2 refused,
/// 3 failed), 0x1c error number, 0x20 accepted and 0x24 refused so far, from 0x800 on the bytes.
#[derive(Debug)]
pub struct Hostile<F> {
    registers: Vec<u8>,
    written: bool,
    orders: Receiver<Order>,
    start: Start,
    told: F,
}

impl<F: FnMut(String)> Hostile<F> {
    /// Makes one; `told` hears of every outcome.
    pub fn new(orders: Receiver<Order>, start: Start, told: F) -> Self {
        Self {
            registers: vec![0; REGISTERS],
            written: false,
            orders,
            start,
            told,
        }
    }

    fn count(&mut self, at: usize) {
        let count = u32_at(&self.registers, at).unwrap_or(0).wrapping_add(1);
        self.registers[at..at + 4].copy_from_slice(&count.to_le_bytes());
    }

    fn carry_out(&mut self, bus: &mut dyn Bus, order: &Order) -> Result<Vec<u8>, BusError> {
        let outcome = match order {
            Order::Read(way, address, bytes) => {
                let mut data = vec![0; *bytes];
                bus.read(*way, *address, &mut data).map(|()| data)
            }
            Order::Write(way, address, bytes) => {
                bus.write(*way, *address, bytes).map(|()| Vec::new())
            }
            Order::Interrupt(vector) => bus.interrupt(*vector).map(|()| Vec::new()),
            Order::Forge(address, data) => bus
                .write(Way::Message, *address, &data.to_le_bytes())
                .map(|()| Vec::new()),
        };
        self.count(if outcome.is_ok() { 0x20 } else { 0x24 });
        (self.told)(report(order, &outcome));
        outcome
    }

    /// The order that the registers give; `None` if they make no sense.
    fn written_order(&self) -> Option<Order> {
        let address = u64_at(&self.registers, 0x08)?;
        let value = u32_at(&self.registers, 0x10)?;
        let bytes = (value as usize).clamp(1, MAX_BYTES);
        let data = || self.registers[BUFFER..BUFFER + bytes].to_vec();
        Some(match u32_at(&self.registers, 0x14)? {
            1 => Order::Read(Way::Message, address, bytes),
            2 => Order::Write(Way::Message, address, data()),
            3 => Order::Read(Way::Memory, address, bytes),
            4 => Order::Write(Way::Memory, address, data()),
            5 => Order::Interrupt(address as u16),
            6 => Order::Forge(address, value),
            _ => return None,
        })
    }
}

impl<F: FnMut(String)> Model for Hostile<F> {
    fn describe(&self) -> Description {
        Description {
            id: ID,
            class: (0xff, 0, 0),
            bars: [REGISTERS as u32, 0, 4096, 0, 0, 0],
            msix: Some((4, 2)),
        }
    }

    fn read(&mut self, bar: u8, offset: u64, buffer: &mut [u8]) {
        let at = offset as usize;
        match self
            .registers
            .get(at..at + buffer.len())
            .filter(|_| bar == 0)
        {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None => buffer.fill(0),
        }
    }

    fn write(&mut self, bar: u8, offset: u64, bytes: &[u8]) {
        let at = offset as usize;
        let place = self.registers.get_mut(at..at + bytes.len());
        if let Some(place) = place.filter(|_| bar == 0) {
            place.copy_from_slice(bytes);
            self.written |= (at..at + bytes.len()).contains(&0x14);
        }
    }

    fn reset(&mut self) {
        self.registers.fill(0);
        self.written = false;
        (self.told)("reset".to_owned());
    }

    fn work(&mut self, bus: &mut dyn Bus) {
        if std::mem::take(&mut self.written)
            && let Some(order) = self.written_order()
        {
            let outcome = self.carry_out(bus, &order);
            let (state, error) = match outcome {
                Ok(data) => {
                    self.registers[BUFFER..BUFFER + data.len()].copy_from_slice(&data);
                    (1u32, 0)
                }
                Err(BusError::Refused(error)) => (2, error),
                Err(_) => (3, 0),
            };
            self.registers[0x18..0x1c].copy_from_slice(&state.to_le_bytes());
            self.registers[0x1c..0x20].copy_from_slice(&error.to_le_bytes());
        }
        if self.start == Start::OnceSwept && bus.command() & INTX_DISABLED == 0 {
            return;
        }
        self.start = Start::AtOnce;
        match self.orders.try_recv() {
            Ok(order) => drop(self.carry_out(bus, &order)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_others_are_not() {
        assert_eq!(
            Order::parse("read 0x1000 16"),
            Some(Order::Read(Way::Message, 4096, 16))
        );
        assert_eq!(
            Order::parse("poke 5 00ff"),
            Some(Order::Write(Way::Memory, 5, vec![0, 255]))
        );
        assert_eq!(Order::parse("interrupt 3"), Some(Order::Interrupt(3)));
        assert_eq!(
            Order::parse("forge 0xfee00000 0x55"),
            Some(Order::Forge(0xfee0_0000, 0x55))
        );
        for bad in [
            "",
            "read 1",
            "read 1 0",
            "read 1 4096",
            "write 1 0",
            "write 1 0g",
            "interrupt 65536",
            "x 1 1",
        ] {
            assert_eq!(Order::parse(bad), None, "{bad}");
        }
        let order = Order::Read(Way::Message, 16, 1);
        assert_eq!(
            report(&order, &Err(BusError::Refused(19))),
            "read way=Message address=0x10 bytes=1 refused error=19"
        );
    }
}
