//! What is told: violations of the driver, faults of the device, commands and their ends.

use std::fmt::Display;

/// Lines that wait to be told.
#[derive(Debug, Default)]
pub struct Judge {
    lines: Vec<String>,
    violations: u32,
}

impl Judge {
    /// A rule was broken by the driver.
    pub fn violation(&mut self, rule: &str, detail: impl Display) {
        self.violations += 1;
        self.lines
            .push(format!("model.violation rule={rule} {detail}"));
    }

    /// The device did wrong, as it was asked to.
    pub fn fault(&mut self, what: &str, detail: impl Display) {
        self.lines.push(format!("model.fault {what} {detail}"));
    }

    /// Something happened that a reader may want to know.
    pub fn note(&mut self, what: impl Display) {
        self.lines.push(format!("model.{what}"));
    }

    /// How often a rule was broken.
    pub const fn violations(&self) -> u32 {
        self.violations
    }

    /// Takes the lines.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}
