//! What a device class adds to the shared half.

use driver_core::{BrokerIo, Direction, Refusal, Segment, Transfer};

use crate::plan::{Finished, Plan};
use crate::transport::Transport;

/// One class of device. What it keeps of the device (a capacity) it learns in [`Class::learn`], from registers.
pub trait Class: Send + 'static {
    /// Queues of the class, and how many are used if nobody says.
    const QUEUES: u16;
    /// Feature bits that a provider may wish for; `VERSION_1` is always one.
    const FEATURES: u64;
    /// Those of them that are taken wherever the device offers them, because the broker obeys them.
    const ALWAYS: u64;
    /// Bytes of the device-specific configuration that a provider may read: free of side effects, and nothing of it
    /// bears an address.
    const CONFIG_BYTES: u64;

    /// Learns from the device, after the features were agreed on and before it runs. What the class keeps for itself, pages
    /// among it, it gets through [`Config::io`]; it keeps them over a reset.
    ///
    /// # Errors
    /// What makes the device of no use.
    fn learn(&mut self, config: &mut Config<'_>, features: u64) -> Result<(), Refusal>;

    /// Checks one command and says how it is laid out. Changes nothing.
    ///
    /// # Errors
    /// As [`driver_core::Broker::submit`].
    fn plan(&self, queue: u16, template: &[u8], segments: &[Segment<'_>]) -> Result<Plan, Refusal>;

    /// As [`Class::plan`], for a command that is told by its fields.
    ///
    /// # Errors
    /// As [`driver_core::Broker::transfer`].
    fn form(&self, queue: u16, transfer: &Transfer<'_>) -> Result<Plan, Refusal> {
        let _ = (queue, transfer);
        Err(Refusal::NotSupported)
    }

    /// As [`driver_core::Broker::frames`].
    fn frames(&self, queue: u16) -> Option<Direction> {
        let _ = queue;
        None
    }

    /// Makes status and result of what the device wrote. `io` leads to what the device left elsewhere.
    ///
    /// # Errors
    /// `Corrupt` for what no such request can end with; it ends the queue.
    fn finish(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: u16,
        finished: Finished,
    ) -> Result<(u16, u32), Refusal>;
}

/// The device-specific configuration, open for reading.
pub struct Config<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) io: &'a mut dyn BrokerIo,
}

impl Config<'_> {
    /// What the broker may use.
    pub fn io(&mut self) -> &mut dyn BrokerIo {
        self.io
    }

    /// Reads a 32-bit field.
    ///
    /// # Errors
    /// `NotSupported` where the device's configuration is too short for it.
    pub fn read32(&self, offset: u64) -> Result<u32, Refusal> {
        self.transport.config32(&*self.io, offset)
    }

    /// Reads a 64-bit field, both halves of one generation. A legacy device has no generation; there both looks agree.
    ///
    /// # Errors
    /// As [`Self::read32`]; `DeviceError` for one that does not stay the same.
    pub fn read64(&self, offset: u64) -> Result<u64, Refusal> {
        const LOOKS: usize = 8;
        let look = || -> Result<_, Refusal> {
            let generation = self.transport.generation(&*self.io)?;
            let low = self.read32(offset)?;
            let high = self.read32(offset + 4)?;
            Ok((generation, u64::from(high) << 32 | u64::from(low)))
        };
        let mut before = look()?;
        for _ in 0..LOOKS {
            let now = look()?;
            if now == before {
                return Ok(now.1);
            }
            before = now;
        }
        Err(Refusal::DeviceError)
    }
}

impl core::fmt::Debug for Config<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Config").finish_non_exhaustive()
    }
}
