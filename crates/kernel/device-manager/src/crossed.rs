//! What has been seen to cross a network interface: the evidence that its driver works.

use dma_ledger::Direction;
use sabotage::sabotage;

/// What a claim has seen so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Crossed {
    /// Nothing more to find out: the function is no network interface, or all was told.
    Told,
    /// Frames the device reported as sent, and as received.
    Waiting { sent: bool, received: bool },
}

impl Crossed {
    /// For a function with this base class (PCI Code and ID Assignment 1.11, 02h: network controllers).
    pub(crate) const fn new(base_class: u8) -> Self {
        match base_class {
            0x02 => Self::Waiting {
                sent: false,
                received: false,
            },
            _ => Self::Told,
        }
    }

    /// Notes a completion without an error, on a queue whose frames go `way`. `true`, once: frames went both ways.
    #[cold]
    pub(crate) fn note(&mut self, way: Option<Direction>) -> bool {
        let Self::Waiting { sent, received } = self else {
            return false;
        };
        match way {
            Some(Direction::ToDevice) => *sent = true,
            Some(Direction::FromDevice) => *received = true,
            None => {}
        }
        let both = *sent && (*received || sabotage!(BOUND_WITHOUT_RECEIVE));
        if both {
            *self = Self::Told;
        }
        both
    }
}

#[cfg(test)]
mod tests {
    use super::Crossed;
    use dma_ledger::Direction::{FromDevice, ToDevice};

    #[test]
    fn only_frames_both_ways_are_told_and_only_once() {
        for (first, second) in [(ToDevice, FromDevice), (FromDevice, ToDevice)] {
            let mut crossed = Crossed::new(2);
            assert!(!crossed.note(Some(first)));
            assert!(!crossed.note(None));
            assert!(!crossed.note(Some(first)));
            assert!(crossed.note(Some(second)));
            assert!(!crossed.note(Some(first)));
            assert_eq!(crossed, Crossed::Told);
        }
    }

    #[test]
    fn what_is_no_network_interface_has_nothing_to_tell() {
        let mut crossed = Crossed::new(1);
        assert!(!crossed.note(Some(ToDevice)));
        assert!(!crossed.note(Some(FromDevice)));
    }
}
