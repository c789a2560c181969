//! What is asked of a row, and which one has a name.

use super::linux;
use super::rows::{Group, ROWS, Row};

impl Row {
    /// What Linux needs for its twin, and what that is.
    pub fn linux(&self) -> Option<(f64, &'static str)> {
        let found = linux::ROWS.iter().find(|(name, ..)| *name == self.name);
        found.map(|(_, figure, what)| (*figure, *what))
    }

    /// Whether the gate measures it: what takes seconds.
    pub fn is_in_gate(&self) -> bool {
        self.group.has_marks()
            || self.group == Group::Boot
            || self.group.longest() == Some(self.name)
    }

    /// Whether a device is waited for in real time: how its completions bunch moves the count from run to run.
    pub fn waits(&self) -> bool {
        self.group == Group::Block
            || self.name.starts_with("dma_submit")
            || self.name.starts_with("dma_direct")
            || self.name.starts_with("blk_")
            || self.name == "driver_restart"
    }
}

/// The row called `name`.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
