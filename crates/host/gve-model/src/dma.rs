//! Memory of the driver. Where it cannot be reached, the driver gave a wrong address.

use vfio_user::{Bus, Way};

use crate::judge::Judge;

/// Bit of the command register: the function may use the bus.
const BUS_MASTER: u16 = 1 << 2;

/// The bus, with whom to tell.
pub struct Dma<'a> {
    /// The bus.
    pub bus: &'a mut dyn Bus,
    /// How memory is reached.
    pub way: Way,
    /// Who hears of what went wrong.
    pub judge: &'a mut Judge,
}

impl Dma<'_> {
    fn may(&mut self, what: &str) -> Option<()> {
        if self.bus.command() & BUS_MASTER == 0 {
            self.judge
                .violation("bus-master", format_args!("for={what}"));
            return None;
        }
        Some(())
    }

    /// Reads; `None` where that is not to be had, which is told.
    pub fn read(&mut self, what: &str, address: u64, buffer: &mut [u8]) -> Option<()> {
        self.may(what)?;
        let (bytes, done) = (buffer.len(), self.bus.read(self.way, address, buffer));
        self.judged(what, address, bytes, done)
    }

    /// Writes; `None` where that is not to be had, which is told.
    pub fn write(&mut self, what: &str, address: u64, bytes: &[u8]) -> Option<()> {
        self.may(what)?;
        let done = self.bus.write(self.way, address, bytes);
        self.judged(what, address, bytes.len(), done)
    }

    fn judged(
        &mut self,
        what: &str,
        address: u64,
        bytes: usize,
        done: Result<(), vfio_user::BusError>,
    ) -> Option<()> {
        if let Err(why) = done {
            let detail = format_args!("for={what} address={address:#x} bytes={bytes} why={why:?}");
            self.judge.violation("memory", detail);
            return None;
        }
        Some(())
    }

    /// Tries to write by message where nothing may be, and tells what came of it.
    pub fn trespass(&mut self, address: u64) {
        let outcome = match self.bus.write(Way::Message, address, &[0x66; 4]) {
            Ok(()) => "accepted",
            Err(_) => "refused",
        };
        let detail = format_args!("address={address:#x} {outcome}");
        self.judge.fault("hostile-dma", detail);
    }
}
