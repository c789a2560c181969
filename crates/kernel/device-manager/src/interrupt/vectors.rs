//! What is behind each vector of each CPU: the one look-up on the way of an interrupt.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use cpu::MAX_CPUS;

use crate::Message;

const VECTORS: usize = 256;
const LINE: u64 = 1 << 63;

/// A source of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SourceOf {
    /// Index of the function.
    pub(crate) function: u32,
    pub(crate) source: u16,
}

/// What raises a vector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A message of this source.
    Message(SourceOf),
    /// The line of this index.
    Line(u32),
}

/// A vector of a CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) cpu: u16,
    pub(crate) vector: u8,
}

impl Message {
    /// CPU and vector.
    pub(crate) const fn place(&self) -> Place {
        Place {
            cpu: self.cpu,
            vector: self.vector,
        }
    }
}

impl Target {
    /// 0 stands for nobody, so the function is stored plus 1.
    fn pack(self) -> u64 {
        match self {
            Self::Message(of) => (u64::from(of.function) + 1) << 16 | u64::from(of.source),
            Self::Line(line) => LINE | u64::from(line),
        }
    }

    fn unpack(word: u64) -> Option<Self> {
        if word & LINE != 0 {
            return Some(Self::Line(word as u32));
        }
        let function = u32::try_from((word >> 16).checked_sub(1)?).ok()?;
        let source = word as u16;
        Some(Self::Message(SourceOf { function, source }))
    }
}

/// One word for each vector of each CPU.
#[derive(Debug)]
pub(crate) struct VectorTable(Box<[AtomicU64]>);

impl VectorTable {
    #[expect(clippy::disallowed_methods, reason = "boot: the table is made once")]
    pub(crate) fn new() -> Self {
        let words = (0..MAX_CPUS * VECTORS).map(|_| AtomicU64::new(0));
        Self(words.collect())
    }

    fn word(&self, at: Place) -> Option<&AtomicU64> {
        let index = usize::from(at.cpu) * VECTORS + usize::from(at.vector);
        self.0.get(index)
    }

    /// Records what raises a vector, or that nothing does.
    pub(crate) fn set(&self, at: Place, target: Option<Target>) {
        if let Some(word) = self.word(at) {
            word.store(target.map_or(0, Target::pack), Ordering::Release);
        }
    }

    /// What raises a vector.
    #[inline]
    pub(crate) fn get(&self, at: Place) -> Option<Target> {
        Target::unpack(self.word(at)?.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_has_its_own_vectors() {
        let table = VectorTable::new();
        let last = MAX_CPUS as u16 - 1;
        let source = |function, source| Target::Message(SourceOf { function, source });
        let all = [
            (0, 0, source(0, 0)),
            (0, 255, source(u32::MAX, u16::MAX)),
            (1, 0, Target::Line(0)),
            (last, 255, Target::Line(u32::MAX)),
        ];
        for (cpu, vector, target) in all {
            table.set(Place { cpu, vector }, Some(target));
        }
        for (cpu, vector, target) in all {
            assert_eq!(table.get(Place { cpu, vector }), Some(target));
        }
        let place = Place {
            cpu: 0,
            vector: 255,
        };
        table.set(place, None);
        assert_eq!(table.get(place), None);
        let outside = Place {
            cpu: last + 1,
            vector: 0,
        };
        table.set(outside, Some(Target::Line(1)));
        assert_eq!(table.get(outside), None);
    }
}
