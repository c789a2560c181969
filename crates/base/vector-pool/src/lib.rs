//! The pool of device vectors: for each CPU, which vectors are free, taken, or dying.
//!
//! A vector is a pair of CPU and number: two CPUs use the same number for different sources. Owns the choice (the least
//! loaded CPU, then its lowest free number) and the life `free → taken → dying → free`. A vector that was taken away
//! from its source is *dying* until whoever owns the hardware has seen that nothing can arrive on it any more; only then
//! is it handed out again, so that an interrupt that is late never becomes one of the next owner.
//!
//! Invariant: never hands out a pair twice, or one that is dying; never touches an interrupt controller; allocates no
//! memory, and is never asked on the way of an interrupt.
#![no_std]
#![forbid(unsafe_code)]

const WORDS: usize = 4;

/// A vector of one CPU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot {
    /// The CPU's number.
    pub cpu: u16,
    /// The vector's number there.
    pub vector: u8,
}

/// Why the pool refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoolError {
    /// Every vector of the CPU, or of all of them, is taken or dying: whoever asks is refused, nobody is displaced.
    Exhausted,
    /// The pool knows no such CPU, or no device can address it.
    NoSuchCpu,
    /// The vector is not in the state that the operation begins with.
    WrongState,
}

/// What has happened so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Vectors handed out.
    pub taken: u64,
    /// Requests refused with [`PoolError::Exhausted`].
    pub refused: u64,
    /// Vectors that died and came back.
    pub settled: u64,
}

/// One bit per vector number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VectorSet([u64; WORDS]);

impl VectorSet {
    const EMPTY: Self = Self([0; WORDS]);

    const fn place(vector: u8) -> (usize, u64) {
        ((vector / 64) as usize, 1 << (vector % 64))
    }

    /// Whether the vector is in the set.
    #[must_use]
    pub fn contains(&self, vector: u8) -> bool {
        let (word, bit) = Self::place(vector);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    fn insert(&mut self, vector: u8) {
        let (word, bit) = Self::place(vector);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    fn remove(&mut self, vector: u8) {
        let (word, bit) = Self::place(vector);
        if let Some(word) = self.0.get_mut(word) {
            *word &= !bit;
        }
    }

    /// The vectors of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        let words = self.0;
        (0..=u8::MAX).filter(move |vector| Self(words).contains(*vector))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }
}

#[derive(Clone, Copy, Debug)]
struct Cpu {
    known: bool,
    taken: VectorSet,
    dying: VectorSet,
    /// Vectors that are not free.
    load: u16,
}

/// The vectors of up to `CPUS` CPUs.
#[derive(Debug)]
pub struct Pool<const CPUS: usize> {
    cpus: [Cpu; CPUS],
    first: u8,
    last: u8,
    counters: Counters,
}

impl<const CPUS: usize> Pool<CPUS> {
    /// Makes a pool of the vectors `first..=last` of each CPU; it knows no CPU yet.
    #[must_use]
    pub const fn new(first: u8, last: u8) -> Self {
        let none = Cpu {
            known: false,
            taken: VectorSet::EMPTY,
            dying: VectorSet::EMPTY,
            load: 0,
        };
        Self {
            cpus: [none; CPUS],
            first,
            last,
            counters: Counters {
                taken: 0,
                refused: 0,
                settled: 0,
            },
        }
    }

    /// Takes a CPU in. A second time changes nothing.
    ///
    /// # Errors
    /// `NoSuchCpu` past the last place.
    pub fn add_cpu(&mut self, cpu: u16) -> Result<(), PoolError> {
        let entry = self.cpus.get_mut(usize::from(cpu));
        entry.ok_or(PoolError::NoSuchCpu)?.known = true;
        Ok(())
    }

    /// Takes the lowest free vector of the CPU that has the fewest in use; of several such, of the lowest.
    ///
    /// # Errors
    /// `Exhausted`; `NoSuchCpu` while no CPU is known.
    pub fn allocate(&mut self) -> Result<Slot, PoolError> {
        let known = self.cpus.iter().zip(0u16..).filter(|(cpu, _)| cpu.known);
        let least = known.min_by_key(|(cpu, _)| cpu.load).map(|(_, at)| at);
        self.allocate_on(least.ok_or(PoolError::NoSuchCpu)?)
    }

    /// Takes the lowest free vector of this CPU.
    ///
    /// # Errors
    /// `Exhausted`, `NoSuchCpu`.
    pub fn allocate_on(&mut self, cpu: u16) -> Result<Slot, PoolError> {
        let (first, last) = (self.first, self.last);
        let entry = Self::known(&mut self.cpus, cpu)?;
        let free = |vector: &u8| !entry.taken.contains(*vector) && !entry.dying.contains(*vector);
        let Some(vector) = (first..=last).find(free) else {
            self.counters.refused = self.counters.refused.saturating_add(1);
            return Err(PoolError::Exhausted);
        };
        entry.taken.insert(vector);
        // At most 256 vectors are in use.
        entry.load = entry.load.saturating_add(1);
        self.counters.taken = self.counters.taken.saturating_add(1);
        Ok(Slot { cpu, vector })
    }

    /// Takes a vector away from its source: it is dying from here on.
    ///
    /// # Errors
    /// `NoSuchCpu`; `WrongState` for one that is not taken.
    pub fn retire(&mut self, slot: Slot) -> Result<(), PoolError> {
        let entry = Self::known(&mut self.cpus, slot.cpu)?;
        if !entry.taken.contains(slot.vector) {
            return Err(PoolError::WrongState);
        }
        entry.taken.remove(slot.vector);
        entry.dying.insert(slot.vector);
        Ok(())
    }

    /// Frees a dying vector: nothing can arrive on it any more.
    ///
    /// # Errors
    /// `NoSuchCpu`; `WrongState` for one that is not dying.
    pub fn settle(&mut self, slot: Slot) -> Result<(), PoolError> {
        let entry = Self::known(&mut self.cpus, slot.cpu)?;
        if !entry.dying.contains(slot.vector) {
            return Err(PoolError::WrongState);
        }
        entry.dying.remove(slot.vector);
        entry.load = entry.load.saturating_sub(1);
        self.counters.settled = self.counters.settled.saturating_add(1);
        Ok(())
    }

    /// The dying vectors of a CPU; none for one that is not known.
    #[must_use]
    pub fn dying(&self, cpu: u16) -> VectorSet {
        let entry = self.cpus.get(usize::from(cpu));
        entry.map_or(VectorSet::EMPTY, |cpu| cpu.dying)
    }

    /// How many vectors of a CPU are taken or dying; `None` for one that is not known.
    #[must_use]
    pub fn load(&self, cpu: u16) -> Option<u16> {
        let entry = self.cpus.get(usize::from(cpu)).filter(|cpu| cpu.known)?;
        Some(entry.load)
    }

    /// What has happened so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn known(cpus: &mut [Cpu; CPUS], cpu: u16) -> Result<&mut Cpu, PoolError> {
        let entry = cpus.get_mut(usize::from(cpu)).filter(|cpu| cpu.known);
        entry.ok_or(PoolError::NoSuchCpu)
    }
}
