//! Bringing a virtio device up from user space, and reading its configuration.
//!
//! Owns the order of things (reset, configure, enable, interrupts, queues), what a provider does without a device, and what `Device.configureVirtio` answers for virtio
//! devices (docs/devices/virtio.md). Invariant: it knows no device class, and never sees a ring, a descriptor, a header
//! or an address: the broker keeps those. It is the same for devices of version 1 and for legacy ones.
#![no_std]
#![forbid(unsafe_code)]

mod config;
mod host;

pub use config::Config;
pub use host::{Host, host};

use provider::Notice;
use sdk::{Device, DeviceQueue, Refusal};
use virtio_format::feature::VERSION_1;

/// The one kind of queue.
const KIND: u16 = 0;

/// A device that is up.
#[derive(Debug)]
pub struct Virtio {
    /// Feature bits that broker and device agreed on.
    pub features: u64,
    /// How completions are noticed.
    pub notice: Notice,
    /// The device-specific configuration.
    pub config: Config,
    queues: u16,
    depth: u16,
}

/// How a provider learns that its device has done something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// By the device's interrupts, where it has any.
    Interrupts,
    /// By looking at the queues, whether it has interrupts or not.
    Polling,
}

impl Virtio {
    /// Takes the device from whatever state it is in to one that runs, with `queues` queues of `ring` places (0: as many as the
    /// broker likes) and every feature that it lets through. Its sources are armed; without one its queues are polled.
    ///
    /// # Errors
    /// The refusal of the step that failed.
    pub fn bring_up(device: &Device, queues: u16, ring: u16, wake: Wake) -> Result<Self, Refusal> {
        device.reset()?;
        let agreed = device.configure_virtio(0, queues, ring)?;
        device.enable().inspect_err(|refusal| {
            if *refusal == Refusal::NotSupported {
                sdk::error!("the device does not work with the features {:#x}, which are all of its own that are taken here", agreed.features);
            }
        })?;
        let config = Config::new(device, &agreed)?;
        let notice = match wake {
            Wake::Interrupts => Notice::open(device, queues.into())?,
            Wake::Polling => Notice::Polled,
        };
        Ok(Self {
            features: agreed.features,
            notice,
            config,
            queues: agreed.queues,
            depth: agreed.depth,
        })
    }

    /// Opens queue `index` with at most `depth` places; how many it has.
    ///
    /// # Errors
    /// `OutOfRange` where there is no such queue, and what `Device.queue` refuses.
    pub fn queue(
        &self,
        device: &Device,
        index: u16,
        depth: u16,
    ) -> Result<(DeviceQueue, u16), Refusal> {
        if index >= self.queues {
            return Err(Refusal::OutOfRange);
        }
        let source = self.notice.source(index);
        let mut depth = depth.min(self.depth);
        loop {
            match device.queue(KIND, index, depth, source) {
                Ok(results) => return Ok((results.queue, depth)),
                // Not all queues of a device need have the same size.
                Err(Refusal::OutOfRange) if depth > 1 => depth /= 2,
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Descriptors of queue 0, which is also the most commands that it can have in flight.
    pub const fn ring(&self) -> u16 {
        self.depth
    }

    /// Whether the device offered this and the broker lets it be used.
    pub const fn has(&self, feature: u64) -> bool {
        self.features & feature == feature
    }

    /// `modern` or `legacy`, for facts.
    pub const fn transport(&self) -> &'static str {
        if self.has(VERSION_1) {
            "modern"
        } else {
            "legacy"
        }
    }
}
