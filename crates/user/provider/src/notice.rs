//! How a provider learns that its device has completed something.

use arrayvec::ArrayVec;
use sdk::{Device, Interface, Interrupt, Refusal};

/// The most interrupt sources of one provider: one for each queue, and one for what is of no queue.
pub const MAX_SOURCES: usize = 3;

/// The value of `Device.queue`'s `source` for a queue whose completions raise nothing.
pub const NO_SOURCE: u16 = 0xffff;

/// How completions are noticed.
#[derive(Debug)]
pub enum Notice {
    /// The device raises one of these.
    Interrupts(ArrayVec<Interrupt, MAX_SOURCES>),
    /// Nothing raises, so the queues are looked at again and again while something is expected.
    Polled,
}

impl Notice {
    /// Opens and arms the sources 0 to `wanted` - 1; as many as the function has, and none where it has none at all.
    ///
    /// # Errors
    /// Anything but that there is no such source.
    pub fn open(device: &Device, wanted: usize) -> Result<Self, Refusal> {
        let mut armed = ArrayVec::new();
        for source in 0..wanted.min(MAX_SOURCES) as u16 {
            match device.interrupt(source) {
                Ok(results) => {
                    results.interrupt.unmask()?;
                    armed.push(results.interrupt);
                }
                Err(Refusal::OutOfRange | Refusal::NotSupported | Refusal::NotFound) => break,
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(if armed.is_empty() {
            Self::Polled
        } else {
            Self::Interrupts(armed)
        })
    }

    /// The `source` to open queue number `queue` with: its own where there are enough, else the last one, shared.
    pub fn source(&self, queue: u16) -> u16 {
        match self {
            Self::Interrupts(armed) => queue.min(armed.len().saturating_sub(1) as u16),
            Self::Polled => NO_SOURCE,
        }
    }

    /// The same sources once more.
    pub fn share(&self) -> Self {
        match self {
            Self::Interrupts(armed) => Self::Interrupts(
                armed
                    .iter()
                    .map(|interrupt| Interface::from_object(interrupt.object().share()))
                    .collect(),
            ),
            Self::Polled => Self::Polled,
        }
    }

    /// `interrupt` or `polled`, for facts.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Interrupts(_) => "interrupt",
            Self::Polled => "polled",
        }
    }

    /// How many dispatches the sources have delivered so far.
    ///
    /// # Errors
    /// As `Interrupt.info`.
    pub fn delivered(&self) -> Result<u64, Refusal> {
        match self {
            Self::Interrupts(armed) => armed
                .iter()
                .try_fold(0, |sum, interrupt| Ok(sum + interrupt.info()?.delivered)),
            Self::Polled => Ok(0),
        }
    }

    pub(crate) fn sources(&self) -> &[Interrupt] {
        match self {
            Self::Interrupts(armed) => armed,
            Self::Polled => &[],
        }
    }
}
