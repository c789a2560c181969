//! Objects of the volume, and names for them.

use sdk::alloc::string::String;
use sdk::{Refusal, Window};
use volume::{Address, Binding, Expect, Object, Objects};
use volume_core::Expect as Bound;

use crate::live::reported;
use crate::stat;
use crate::tree::Store;

/// The namespace of the format that holds the names of Namespaces.
const SPACE: u64 = 1;

fn bound(expect: Expect) -> Bound {
    match expect {
        Expect::Unbound => Bound::Nothing,
        Expect::Version(version) => Bound::Version(version),
        Expect::Any => Bound::Anything,
    }
}

impl Objects for Store {
    fn put_object(&mut self, _: usize, bytes: &[u8]) -> Result<(Address, bool), Refusal> {
        let address = *blake3::hash(bytes).as_bytes();
        let is_new = self
            .live()?
            .change(|volume, now| volume.put_object(address, bytes, now))?;
        Ok((address, is_new))
    }

    fn object(&mut self, _: usize, address: Address) -> Result<Object, Refusal> {
        let volume = &mut self.live()?.volume;
        let view = volume.live();
        let id = volume.object(&view, address);
        let inode = id.and_then(|id| volume.stat(&view, id));
        let inode = inode.map_err(|error| reported(&error))?;
        Ok(Object {
            address,
            bytes: inode.size,
            names: inode.parent,
            created_ns: inode.created.ns,
            time_source: stat::source(inode.created.source),
        })
    }

    fn next_object(
        &mut self,
        part: usize,
        after: Option<Address>,
    ) -> Result<Option<Object>, Refusal> {
        let volume = &mut self.live()?.volume;
        let next = volume.next_object(&volume.live(), after);
        let next = next.map_err(|error| reported(&error))?;
        next.map(|address| self.object(part, address)).transpose()
    }

    fn read_object(
        &mut self,
        _: usize,
        address: Address,
        offset: u64,
        length: u32,
        window: &mut Window,
        window_offset: u32,
    ) -> Result<u32, Refusal> {
        let volume = &mut self.live()?.volume;
        let view = volume.live();
        let id = volume.object(&view, address);
        let id = id.map_err(|error| reported(&error))?;
        self.read_inode((&view, id), offset, length, window, window_offset)
    }

    fn delete_object(&mut self, _: usize, address: Address) -> Result<(), Refusal> {
        self.live()?
            .change(|volume, now| volume.delete_object(address, now))
    }

    fn bind(
        &mut self,
        _: usize,
        name: &str,
        address: Address,
        expect: Expect,
    ) -> Result<u64, Refusal> {
        let (name, expect) = (name.as_bytes(), bound(expect));
        self.live()?
            .change(|volume, now| volume.bind(SPACE, name, address, expect, now))
    }

    fn unbind(&mut self, _: usize, name: &str, expect: Expect) -> Result<(), Refusal> {
        let (name, expect) = (name.as_bytes(), bound(expect));
        self.live()?
            .change(|volume, now| volume.unbind(SPACE, name, expect, now))
    }

    fn resolve(&mut self, _: usize, name: &str) -> Result<(Address, u64), Refusal> {
        let volume = &mut self.live()?.volume;
        let found = volume.resolve(&volume.live(), SPACE, name.as_bytes());
        let found = found.map_err(|error| reported(&error))?;
        Ok((found.hash, found.version))
    }

    fn next_binding(&mut self, _: usize, after: &str) -> Result<Option<Binding>, Refusal> {
        let volume = &mut self.live()?.volume;
        let next = volume.next_bind(&volume.live(), SPACE, after.as_bytes());
        let Some((name, found)) = next.map_err(|error| reported(&error))? else {
            return Ok(None);
        };
        // Names come in as text. Only damage that adds up, or another system, makes others.
        let name = String::from_utf8(name).map_err(|_| Refusal::Corrupt)?;
        Ok(Some(Binding {
            name,
            address: found.hash,
            version: found.version,
        }))
    }
}
