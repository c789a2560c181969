//! Store and Namespace: objects of a volume, and names for them.
//!
//! A Namespace's facet holds what its names begin with, which is put before every name that comes in and taken off every one
//! that goes out: no name leads beyond it.

use alloc::string::String;
use alloc::vec::Vec;

use sdk::storage::{namespace, store};
use sdk::{Answered, Call, Cap, CapArg, Refusal, Reply, Window};

use crate::change::{MAX_WRITE_BYTES, room};
use crate::objects::{Address, Binding, Expect};
use crate::server::{Opened, Right, in_window};
use crate::{Object, Server, Tree};

/// Bytes of a whole name.
const MAX_NAME: usize = 255;
/// Objects of one answer.
const LISTED: usize = 40;
/// Bytes of names and what they are bound to that one answer may hold, and those of a binding besides its name.
const LISTING_BYTES: usize = 4096;
const BINDING_BYTES: usize = 72;

/// Bytes of an object that are asked for, and where in the window they go.
#[derive(Clone, Copy)]
struct Wanted {
    offset: u64,
    length: u32,
    window_offset: u32,
}

fn address(bytes: &[u8]) -> Result<Address, Refusal> {
    bytes.try_into().map_err(|_| Refusal::BadArgument)
}

fn expect(expect: namespace::Expect, version: u64) -> Result<Expect, Refusal> {
    match (expect, version) {
        (namespace::Expect::Unbound, 0) => Ok(Expect::Unbound),
        (namespace::Expect::Any, 0) => Ok(Expect::Any),
        (namespace::Expect::Version, version) if version > 0 => Ok(Expect::Version(version)),
        _ => Err(Refusal::BadArgument),
    }
}

/// The whole name of what a namespace calls `name`.
fn whole(prefix: &str, name: &str) -> Result<String, Refusal> {
    let is_word = |word: &str| !matches!(word, "" | "." | "..") && !word.contains('\0');
    if prefix.len() + name.len() > MAX_NAME || !name.split('/').all(is_word) {
        return Err(Refusal::BadArgument);
    }
    Ok(match sabotage::sabotage!(STORE_LEAVE_NAMESPACE) {
        true => name.into(),
        false => alloc::format!("{prefix}{name}"),
    })
}

impl<T: Tree> Opened<T> {
    fn store(&self) -> Result<Right, Refusal> {
        match self {
            Self::Store(right) => Ok(*right),
            _ => Err(Refusal::WrongKind),
        }
    }

    fn names(&self) -> Result<(&str, Right), Refusal> {
        match self {
            Self::Names(prefix, right) => Ok((prefix, *right)),
            _ => Err(Refusal::WrongKind),
        }
    }
}

fn change(right: Right) -> Result<(), Refusal> {
    match right {
        Right::Change => Ok(()),
        Right::Read => Err(Refusal::ReadOnly),
    }
}

impl<T: Tree> Server<T> {
    pub(crate) fn attach_store(&mut self, cookie: u64, window: Cap) -> Result<CapArg, Refusal> {
        let part = self.part(cookie).map_err(|problem| problem.refusal)?;
        // Who keeps no objects refuses here.
        self.tree.next_object(part, None)?;
        let right = self.right(part)?;
        self.begin(part, Opened::Store(right), window, store::INTERFACE_ID)
    }

    fn more(
        &mut self,
        session: usize,
        opened: Opened<T>,
        interface: u64,
    ) -> Result<CapArg, Refusal> {
        let cookie = self.sessions.open(session, opened)?;
        self.facet(cookie, interface)
    }

    fn put_object(
        &mut self,
        cookie: u64,
        length: u32,
        window_offset: u32,
    ) -> Result<(Address, bool), Refusal> {
        let open = self.sessions.get(cookie)?;
        change(open.opened.store()?)?;
        let client = open.window;
        if length > MAX_WRITE_BYTES {
            return Err(Refusal::OutOfRange);
        }
        // The client may go on writing into its window: what is summed and written is one copy of it.
        let bytes = room(&mut self.scratch, length as usize)?;
        if length > 0 {
            in_window(&client.window, window_offset, length)?;
            client.window.read(u64::from(window_offset), bytes)?;
        }
        self.tree.put_object(client.part, bytes)
    }

    fn get_object(&mut self, cookie: u64, at: &[u8], wanted: Wanted) -> Result<u32, Refusal> {
        let open = self.sessions.get(cookie)?;
        open.opened.store()?;
        let (part, window) = (open.window.part, &mut open.window.window);
        read(&mut self.tree, part, window, address(at)?, wanted)
    }

    fn known(&mut self, cookie: u64, at: &[u8]) -> Result<Object, Refusal> {
        let open = self.sessions.get(cookie)?;
        open.opened.store()?;
        self.tree.object(open.window.part, address(at)?)
    }

    fn delete(&mut self, cookie: u64, at: &[u8]) -> Result<(), Refusal> {
        let open = self.sessions.get(cookie)?;
        change(open.opened.store()?)?;
        self.tree.delete_object(open.window.part, address(at)?)
    }

    fn objects(&mut self, cookie: u64, after: &[u8]) -> Result<(Vec<Object>, bool), Refusal> {
        let open = self.sessions.get(cookie)?;
        open.opened.store()?;
        let mut after = match after {
            [] => None,
            bytes => Some(address(bytes)?),
        };
        let mut list = Vec::new();
        while let Some(object) = self.tree.next_object(open.window.part, after)? {
            if list.len() == LISTED {
                return Ok((list, false));
            }
            after = Some(object.address);
            list.push(object);
        }
        Ok((list, true))
    }

    fn all_names(&mut self, cookie: u64) -> Result<CapArg, Refusal> {
        let open = self.sessions.get(cookie)?;
        let right = open.opened.store()?;
        let session = open.session;
        let names = Opened::Names(String::new(), right);
        self.more(session, names, namespace::INTERFACE_ID)
    }

    fn names_below(&mut self, cookie: u64, name: &str) -> Result<CapArg, Refusal> {
        let open = self.sessions.get(cookie)?;
        let (prefix, right) = open.opened.names()?;
        let mut below = whole(prefix, name)?;
        below.push('/');
        let session = open.session;
        self.more(
            session,
            Opened::Names(below, right),
            namespace::INTERFACE_ID,
        )
    }

    fn only_read(&mut self, cookie: u64) -> Result<CapArg, Refusal> {
        let open = self.sessions.get(cookie)?;
        let session = open.session;
        match open.opened {
            Opened::Store(_) => self.more(session, Opened::Store(Right::Read), store::INTERFACE_ID),
            Opened::Names(prefix, _) => {
                let names = Opened::Names(prefix.clone(), Right::Read);
                self.more(session, names, namespace::INTERFACE_ID)
            }
            _ => Err(Refusal::WrongKind),
        }
    }

    fn bind(&mut self, cookie: u64, name: &str, at: &[u8], expect: Expect) -> Result<u64, Refusal> {
        let open = self.sessions.get(cookie)?;
        let (prefix, right) = open.opened.names()?;
        change(right)?;
        let name = whole(prefix, name)?;
        self.tree
            .bind(open.window.part, &name, address(at)?, expect)
    }

    fn unbind(&mut self, cookie: u64, name: &str, expect: Expect) -> Result<(), Refusal> {
        let open = self.sessions.get(cookie)?;
        let (prefix, right) = open.opened.names()?;
        change(right)?;
        let name = whole(prefix, name)?;
        self.tree.unbind(open.window.part, &name, expect)
    }

    fn resolved(&mut self, cookie: u64, name: &str) -> Result<(Address, u64), Refusal> {
        let open = self.sessions.get(cookie)?;
        let (prefix, _) = open.opened.names()?;
        let name = whole(prefix, name)?;
        self.tree.resolve(open.window.part, &name)
    }

    fn get_named(
        &mut self,
        cookie: u64,
        name: &str,
        wanted: Wanted,
    ) -> Result<namespace::GetReply, Refusal> {
        let (at, version) = self.resolved(cookie, name)?;
        let client = self.sessions.get(cookie)?.window;
        let bytes = read(&mut self.tree, client.part, &mut client.window, at, wanted)?;
        Ok(namespace::GetReply { bytes, version })
    }

    fn bindings(&mut self, cookie: u64, after: &str) -> Result<(Vec<Binding>, bool), Refusal> {
        let open = self.sessions.get(cookie)?;
        let (prefix, _) = open.opened.names()?;
        let mut after = match after {
            // A name that begins so is longer.
            "" => String::from(prefix),
            after => whole(prefix, after)?,
        };
        let (mut list, mut bytes) = (Vec::new(), 0);
        while let Some(mut binding) = self.tree.next_binding(open.window.part, &after)? {
            let Some(name) = binding.name.strip_prefix(prefix) else {
                break;
            };
            let name = String::from(name);
            bytes += BINDING_BYTES + name.len();
            if bytes > LISTING_BYTES && !list.is_empty() {
                return Ok((list, false));
            }
            after = core::mem::replace(&mut binding.name, name);
            list.push(binding);
        }
        Ok((list, true))
    }
}

fn read<T: Tree>(
    tree: &mut T,
    part: usize,
    window: &mut Window,
    at: Address,
    wanted: Wanted,
) -> Result<u32, Refusal> {
    in_window(window, wanted.window_offset, wanted.length)?;
    let Wanted {
        offset,
        length,
        window_offset,
    } = wanted;
    tree.read_object(part, at, offset, length, window, window_offset)
}

fn shown(object: &Object) -> store::Object<'_> {
    store::Object {
        address: &object.address,
        bytes: object.bytes,
        names: object.names,
        created_ns: object.created_ns,
        time_source: object.time_source,
    }
}

impl<'c, T: Tree> store::Server<Call<'c>> for Server<T> {
    fn put(
        &mut self,
        reply: Reply<Call<'c>, store::call::Put>,
        length: u32,
        window_offset: u32,
    ) -> Answered {
        match self.put_object(reply.cookie(), length, window_offset) {
            Ok((address, is_new)) => reply.send(store::PutReply {
                address: &address,
                is_new,
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn get(
        &mut self,
        reply: Reply<Call<'c>, store::call::Get>,
        address: &[u8],
        offset: u64,
        length: u32,
        window_offset: u32,
    ) -> Answered {
        let wanted = Wanted {
            offset,
            length,
            window_offset,
        };
        let result = self.get_object(reply.cookie(), address, wanted);
        reply.answer(result.map(|bytes| store::GetReply { bytes }))
    }

    fn stat(&mut self, reply: Reply<Call<'c>, store::call::Stat>, address: &[u8]) -> Answered {
        match self.known(reply.cookie(), address) {
            Ok(object) => reply.send(store::StatReply {
                object: shown(&object),
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn delete(&mut self, reply: Reply<Call<'c>, store::call::Delete>, address: &[u8]) -> Answered {
        let result = Self::delete(self, reply.cookie(), address);
        reply.answer(result)
    }

    fn list(&mut self, reply: Reply<Call<'c>, store::call::List>, after: &[u8]) -> Answered {
        match self.objects(reply.cookie(), after) {
            Ok((list, end)) => {
                let objects: Vec<_> = list.iter().map(shown).collect();
                reply.send(store::ListReply {
                    objects: &objects,
                    end,
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn names(&mut self, reply: Reply<Call<'c>, store::call::Names>) -> Answered {
        let names = self.all_names(reply.cookie());
        reply.answer(names.map(|names| store::NamesReply { names }))
    }

    fn read_only(&mut self, reply: Reply<Call<'c>, store::call::ReadOnly>) -> Answered {
        let store = self.only_read(reply.cookie());
        reply.answer(store.map(|store| store::ReadOnlyReply { store }))
    }

    fn sync(&mut self, reply: Reply<Call<'c>, store::call::Sync>) -> Answered {
        let result = self.sync_session(reply.cookie());
        reply.answer(result.map(|group| store::SyncReply { group }))
    }
}

impl<'c, T: Tree> namespace::Server<Call<'c>> for Server<T> {
    fn bind(
        &mut self,
        reply: Reply<Call<'c>, namespace::call::Bind>,
        name: &str,
        address: &[u8],
        expected: namespace::Expect,
        version: u64,
    ) -> Answered {
        let result = expect(expected, version)
            .and_then(|expect| Self::bind(self, reply.cookie(), name, address, expect));
        reply.answer(result.map(|version| namespace::BindReply { version }))
    }

    fn resolve(
        &mut self,
        reply: Reply<Call<'c>, namespace::call::Resolve>,
        name: &str,
    ) -> Answered {
        match self.resolved(reply.cookie(), name) {
            Ok((address, version)) => reply.send(namespace::ResolveReply {
                address: &address,
                version,
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn get(
        &mut self,
        reply: Reply<Call<'c>, namespace::call::Get>,
        name: &str,
        offset: u64,
        length: u32,
        window_offset: u32,
    ) -> Answered {
        let wanted = Wanted {
            offset,
            length,
            window_offset,
        };
        let result = self.get_named(reply.cookie(), name, wanted);
        reply.answer(result)
    }

    fn unbind(
        &mut self,
        reply: Reply<Call<'c>, namespace::call::Unbind>,
        name: &str,
        expected: namespace::Expect,
        version: u64,
    ) -> Answered {
        let result = expect(expected, version)
            .and_then(|expect| Self::unbind(self, reply.cookie(), name, expect));
        reply.answer(result)
    }

    fn list(&mut self, reply: Reply<Call<'c>, namespace::call::List>, after: &str) -> Answered {
        match self.bindings(reply.cookie(), after) {
            Ok((list, end)) => {
                let bindings: Vec<_> = list
                    .iter()
                    .map(|binding| namespace::Binding {
                        name: &binding.name,
                        address: &binding.address,
                        version: binding.version,
                    })
                    .collect();
                reply.send(namespace::ListReply {
                    bindings: &bindings,
                    end,
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn sub(&mut self, reply: Reply<Call<'c>, namespace::call::Sub>, name: &str) -> Answered {
        let names = self.names_below(reply.cookie(), name);
        reply.answer(names.map(|names| namespace::SubReply { names }))
    }

    fn read_only(&mut self, reply: Reply<Call<'c>, namespace::call::ReadOnly>) -> Answered {
        let names = self.only_read(reply.cookie());
        reply.answer(names.map(|names| namespace::ReadOnlyReply { names }))
    }

    fn sync(&mut self, reply: Reply<Call<'c>, namespace::call::Sync>) -> Answered {
        let result = self.sync_session(reply.cookie());
        reply.answer(result.map(|group| namespace::SyncReply { group }))
    }
}
