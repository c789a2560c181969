//! Function-level reset: the rung above the broker's own reset (PCIe Base 5.0, 6.6.2; PCI Advanced Capabilities ECN).

use pci_format::{Command, ConfigAccess, FLR_WAIT, FunctionReset, reg, update_command};

use crate::hardware::Hardware;

/// How long to wait for transactions under way before the reset is started all the same.
const DRAIN_NS: u64 = 1_000_000_000;
/// How long a function may take to answer again, counted from the end of the fixed wait.
const ANSWER_NS: u64 = 1_000_000_000;
const POLL_NS: u64 = 1_000_000;
const BARS: usize = 6;
/// Device control, beside the status, in the PCI Express structure.
const DEVICE_CONTROL: u16 = 8;
const INITIATE: u32 = 1 << 15;

/// What the reset takes away and nobody else gives back.
#[derive(Clone, Copy, Debug)]
struct Saved {
    bars: [u32; BARS],
    decoding: Command,
    /// Offset and value of device control, where the function has PCI Express.
    device_control: Option<(u16, u32)>,
    id: u32,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Draining { deadline_ns: u64 },
    Waiting { until_ns: u64, deadline_ns: u64 },
}

/// A function-level reset under way.
#[derive(Debug)]
pub(crate) struct Flr {
    means: FunctionReset,
    saved: Saved,
    stage: Stage,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FlrPoll {
    Pending {
        after_ns: u64,
    },
    /// The waiting time has passed and the function answers; what it lost was given back, bus mastering is off.
    Done,
    /// The function does not answer.
    Failed,
}

impl Flr {
    /// Begins: bus mastering goes off, so that nothing new gets under way. `None` where the function cannot.
    pub(crate) fn begin(
        hardware: &Hardware,
        cfg: &mut dyn ConfigAccess,
        now_ns: u64,
    ) -> Option<Self> {
        let means = hardware.function_reset()?;
        let bdf = hardware.info.bdf;
        // One that does not answer now would seem to answer the same afterwards.
        let id = hardware.info.id;
        let id = u32::from(id.device) << 16 | u32::from(id.vendor);
        if cfg.read32(bdf, reg::ID) != id {
            return None;
        }
        let before = update_command(cfg, bdf, Command::INTERRUPT_DISABLE, Command::BUS_MASTER);
        let mut bars = [0; BARS];
        for (value, offset) in bars.iter_mut().zip((reg::BAR0..).step_by(4)) {
            *value = cfg.read32(bdf, offset);
        }
        let device_control = hardware.pcie.map(|pcie| {
            let at = pcie.offset + DEVICE_CONTROL;
            (at, cfg.read32(bdf, at) & 0xffff & !INITIATE)
        });
        Some(Self {
            means,
            saved: Saved {
                bars,
                decoding: before & (Command::IO_SPACE | Command::MEMORY_SPACE),
                device_control,
                id,
            },
            stage: Stage::Draining {
                deadline_ns: now_ns.saturating_add(DRAIN_NS),
            },
        })
    }

    /// Looks how far it is.
    pub(crate) fn poll(
        &mut self,
        hardware: &Hardware,
        cfg: &mut dyn ConfigAccess,
        now_ns: u64,
    ) -> FlrPoll {
        let bdf = hardware.info.bdf;
        match self.stage {
            Stage::Draining { deadline_ns } => {
                if self.means.transactions_pending(cfg, bdf) && now_ns < deadline_ns {
                    return FlrPoll::Pending { after_ns: POLL_NS };
                }
                if !self.means.initiate(cfg, bdf) {
                    return FlrPoll::Failed;
                }
                let wait_ns = FLR_WAIT.as_u64();
                let until_ns = now_ns.saturating_add(wait_ns);
                self.stage = Stage::Waiting {
                    until_ns,
                    deadline_ns: until_ns.saturating_add(ANSWER_NS),
                };
                FlrPoll::Pending { after_ns: wait_ns }
            }
            Stage::Waiting {
                until_ns,
                deadline_ns,
            } => {
                if now_ns < until_ns {
                    return FlrPoll::Pending {
                        after_ns: until_ns - now_ns,
                    };
                }
                if cfg.read32(bdf, reg::ID) == self.saved.id {
                    self.restore(hardware, cfg);
                    return FlrPoll::Done;
                }
                if now_ns < deadline_ns {
                    FlrPoll::Pending { after_ns: POLL_NS }
                } else {
                    FlrPoll::Failed
                }
            }
        }
    }

    fn restore(&self, hardware: &Hardware, cfg: &mut dyn ConfigAccess) {
        let bdf = hardware.info.bdf;
        for (value, offset) in self.saved.bars.iter().zip((reg::BAR0..).step_by(4)) {
            cfg.write32(bdf, offset, *value);
        }
        if let Some((at, value)) = self.saved.device_control {
            cfg.write32(bdf, at, value);
        }
        let set = self.saved.decoding | Command::INTERRUPT_DISABLE;
        update_command(cfg, bdf, set, Command::BUS_MASTER);
    }
}
