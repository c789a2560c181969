//! Notification blocks: a vector and its mask.

use gve_format::registers::{irq, itr};

/// One block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Block {
    masked: bool,
    pending: bool,
    /// Whether a queue has it.
    pub taken: bool,
}

impl Block {
    /// Its doorbell was written; `None` for a value that means nothing, else whether the vector is to be raised now.
    pub fn doorbell(&mut self, value: u32) -> Option<bool> {
        if value & !irq::ALL != 0 || value & irq::ACK != 0 && value & irq::MASK != 0 {
            return None;
        }
        self.masked = value & irq::MASK != 0;
        Some(!self.masked && std::mem::take(&mut self.pending))
    }

    /// The same for DQO, where a vector that was raised is masked until the doorbell says otherwise.
    pub fn doorbell_dqo(&mut self, value: u32) -> Option<bool> {
        if value & !itr::ALL != 0 {
            return None;
        }
        if value & itr::CLEAR_PENDING != 0 {
            self.pending = false;
        }
        self.masked = value & itr::ENABLE == 0;
        Some(!self.masked && self.pending && self.event_dqo())
    }

    /// Something happened, DQO; whether the vector is to be raised now.
    pub fn event_dqo(&mut self) -> bool {
        let raise = !std::mem::replace(&mut self.masked, true);
        self.pending = !raise;
        raise
    }

    /// Something happened; whether the vector is to be raised now.
    pub fn event(&mut self) -> bool {
        self.pending |= self.masked;
        !self.masked
    }
}
