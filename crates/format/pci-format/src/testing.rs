//! A configuration space made of dwords that say which of their bits can be written.

use crate::{ConfigAccess, reg};
use std::boxed::Box;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::vec::Vec;
use units::Bdf;

/// Where [`Fake::endpoint`] puts its function: 0000:03:02.0.
pub(crate) const BDF: Bdf = Bdf::from_u32(0x0310);

struct Function {
    values: Box<[u32; 1024]>,
    writable: Box<[u32; 1024]>,
    write_one_clears: Box<[u32; 1024]>,
}

/// Functions that answer, and the writes they saw (offset, value).
pub(crate) struct Fake {
    functions: BTreeMap<u32, Function>,
    writes: Vec<(u16, u32)>,
    space_bytes: u16,
    /// Reads of these offsets were made; for showing that a read did not happen.
    reads: RefCell<Vec<u16>>,
}

impl Fake {
    pub(crate) fn empty() -> Self {
        Self {
            functions: BTreeMap::new(),
            writes: Vec::new(),
            space_bytes: 4096,
            reads: RefCell::default(),
        }
    }

    /// One type 0 function with nothing but an id.
    pub(crate) fn endpoint() -> Self {
        let mut fake = Self::empty();
        fake.add(BDF);
        fake
    }

    pub(crate) fn add(&mut self, bdf: Bdf) {
        let mut function = Function {
            values: Box::new([0; 1024]),
            writable: Box::new([0; 1024]),
            write_one_clears: Box::new([0; 1024]),
        };
        function.values[0] = 0x5678_1234;
        self.functions.insert(bdf.as_u32(), function);
    }

    fn function(&mut self, bdf: Bdf) -> &mut Function {
        self.functions.get_mut(&bdf.as_u32()).unwrap()
    }

    pub(crate) fn set_of(&mut self, bdf: Bdf, offset: u16, value: u32) {
        self.function(bdf).values[usize::from(offset / 4)] = value;
    }

    pub(crate) fn set(&mut self, offset: u16, value: u32) {
        self.set_of(BDF, offset, value);
    }

    pub(crate) fn get(&self, offset: u16) -> u32 {
        self.functions[&BDF.as_u32()].values[usize::from(offset / 4)]
    }

    pub(crate) fn writable(&mut self, offset: u16, mask: u32) {
        self.function(BDF).writable[usize::from(offset / 4)] = mask;
    }

    pub(crate) fn write_one_clears(&mut self, offset: u16, mask: u32) {
        self.function(BDF).write_one_clears[usize::from(offset / 4)] = mask;
    }

    /// Gives a BAR slot a value, and the address bits that can be written.
    pub(crate) fn bar(&mut self, slot: u16, value: u32, mask: u32) {
        self.set(reg::BAR0 + 4 * slot, value);
        self.writable(reg::BAR0 + 4 * slot, mask);
    }

    /// Links capabilities (id, offset) in the order given.
    pub(crate) fn capabilities(&mut self, list: &[(u8, u8)]) {
        let command = self.get(reg::COMMAND) | 1 << 20;
        self.set(reg::COMMAND, command);
        let first = list.first().map_or(0, |one| one.1);
        self.set(reg::CAPABILITIES, first.into());
        for (index, (id, offset)) in list.iter().enumerate() {
            let next = list.get(index + 1).map_or(0, |one| one.1);
            self.set((*offset).into(), u32::from(*id) | u32::from(next) << 8);
        }
    }

    pub(crate) fn legacy_only(&mut self) {
        self.space_bytes = 256;
    }

    pub(crate) fn writes(&self) -> &[(u16, u32)] {
        &self.writes
    }

    pub(crate) fn was_read(&self, offset: u16) -> bool {
        self.reads.borrow().contains(&offset)
    }
}

impl ConfigAccess for Fake {
    fn read32(&self, bdf: Bdf, offset: u16) -> u32 {
        assert!(
            offset.is_multiple_of(4) && offset < 4096,
            "read at {offset:#x}"
        );
        self.reads.borrow_mut().push(offset);
        if offset >= self.space_bytes {
            return u32::MAX;
        }
        let function = self.functions.get(&bdf.as_u32());
        function.map_or(u32::MAX, |one| one.values[usize::from(offset / 4)])
    }

    fn write32(&mut self, bdf: Bdf, offset: u16, value: u32) {
        assert!(
            offset.is_multiple_of(4) && offset < 4096,
            "write at {offset:#x}"
        );
        self.writes.push((offset, value));
        let Some(one) = self.functions.get_mut(&bdf.as_u32()) else {
            return;
        };
        let at = usize::from(offset / 4);
        let kept = one.values[at] & !one.writable[at] & !(value & one.write_one_clears[at]);
        one.values[at] = kept | value & one.writable[at];
    }

    fn space_bytes(&self, _: Bdf) -> u16 {
        self.space_bytes
    }
}
