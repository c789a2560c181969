//! Entries of the event log (AMD 3.08, 2.5).

use crate::PAGE_BYTES;

/// What was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// A device table entry makes no sense (2.5.1).
    DeviceEntry,
    /// A request was refused (2.5.2).
    PageFault,
    /// The device table could not be read (2.5.3).
    DeviceTable,
    /// A page table could not be read (2.5.4).
    PageTable,
    /// A command makes no sense; the command buffer stands still (2.5.5).
    Command,
    /// The command buffer could not be read; it stands still (2.5.6).
    CommandBuffer,
    /// A device did not answer an invalidation (2.5.7).
    Timeout,
    /// A request of a kind that is not allowed (2.5.8).
    Request,
    /// A code that this crate does not know.
    Unknown(u8),
}

impl EventKind {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceEntry => "device-entry",
            Self::PageFault => "page-fault",
            Self::DeviceTable => "device-table",
            Self::PageTable => "page-table",
            Self::Command => "command",
            Self::CommandBuffer => "command-buffer",
            Self::Timeout => "timeout",
            Self::Request => "request",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Whether the unit works through no more commands: nothing that it forgets can be waited for.
    pub const fn stops_commands(self) -> bool {
        matches!(self, Self::Command | Self::CommandBuffer)
    }
}

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// What was told.
    pub kind: EventKind,
    /// Requester id; meaningless where no device is concerned.
    pub source: u16,
    /// Page of the device address. Some units write nothing useful here.
    pub iova: u64,
    /// `RW`: it was to be written.
    pub write: Option<bool>,
    /// `I`: an interrupt was refused, and not memory.
    pub interrupt: bool,
}

impl Event {
    /// Reads an entry, the low word first; `None` where the unit has written no code yet. Every other pair is one.
    pub const fn read(words: [u64; 2]) -> Option<Self> {
        let [low, high] = words;
        let code = (low >> 60) as u8;
        let kind = match code {
            0 => return None,
            1 => EventKind::DeviceEntry,
            2 => EventKind::PageFault,
            3 => EventKind::DeviceTable,
            4 => EventKind::PageTable,
            5 => EventKind::Command,
            6 => EventKind::CommandBuffer,
            7 => EventKind::Timeout,
            8 => EventKind::Request,
            other => EventKind::Unknown(other),
        };
        let fault = matches!(kind, EventKind::PageFault);
        // `RW` counts only for what was present, or with `TR` clear (2.5.2, table 44).
        let write = match fault {
            true => Some(low >> 53 & 1 != 0),
            false => None,
        };
        Some(Self {
            kind,
            source: low as u16,
            iova: high & !(PAGE_BYTES - 1),
            write,
            interrupt: fault && low >> 51 & 1 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_by_their_code() {
        let fault = Event::read([0x2020_0007_0000_0020, 0x30_0123]).unwrap();
        assert_eq!((fault.kind, fault.source), (EventKind::PageFault, 0x20));
        assert_eq!((fault.iova, fault.write), (0x30_0000, Some(true)));
        assert!(!fault.interrupt && !fault.kind.stops_commands());
        let interrupt = Event::read([0x2008_0000_0000_00a0, 0]).unwrap();
        assert!(interrupt.interrupt && interrupt.write == Some(false));
        assert!(Event::read([5 << 60, 0]).unwrap().kind.stops_commands());
        assert_eq!(Event::read([u64::MAX >> 4, 0]), None);
        let unknown = Event::read([u64::MAX; 2]).unwrap();
        assert_eq!(unknown.kind, EventKind::Unknown(15));
        assert_eq!(unknown.write, None);
    }
}
