//! Objects of a volume and names for them: put, bound, resolved and read back, by a client that has the store, by one that has
//! some of the names, and by one that may only read. A second boot finds what the first one synced.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::{string::String, string::ToString, vec::Vec};
use sdk::storage::namespace::Expect;
use sdk::{Access, Env, Error, Namespace, Refusal, Store, VirtualMemory, Volume, Window, fact};
use smoke::outcome;

sdk::entry!(main);

const WINDOW_BYTES: u64 = 2 << 20;
/// More than a block, and no multiple of one.
const LONG: usize = 300_001;
const WORD: &[u8] = b"a word under an address";
/// The BLAKE3 of nothing, from the test vectors of its reference implementation.
const OF_NOTHING: [u8; 4] = [0xaf, 0x13, 0x49, 0xb9];

type Address = [u8; 32];

struct Client {
    store: Store,
    window: Window,
}

fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

impl Client {
    fn put(&self, bytes: &[u8]) -> Result<(Address, bool), Refusal> {
        self.window.write(0, bytes)?;
        self.store
            .put(bytes.len() as u32, 0, |put| {
                let address = put.address()?.try_into();
                Ok((address.map_err(|_| Refusal::BadMessage)?, put.is_new()))
            })
            .and_then(|put| put)
    }

    /// Whether what `get` fills the window with is `bytes`.
    fn reads(
        &self,
        bytes: &[u8],
        get: impl FnOnce() -> Result<u32, Refusal>,
    ) -> Result<bool, Refusal> {
        self.window.write(0, &sdk::alloc::vec![0xee; bytes.len()])?;
        let read = get()? as usize;
        let mut found = sdk::alloc::vec![0; bytes.len()];
        self.window.read(0, &mut found)?;
        Ok(read == bytes.len() && found == bytes)
    }
}

fn resolve(names: &Namespace, name: &str) -> Result<(Address, u64), Refusal> {
    names
        .resolve(name, |found| {
            let address = found.address()?.try_into();
            Ok((address.map_err(|_| Refusal::BadMessage)?, found.version()))
        })
        .and_then(|found| found)
}

/// All names of a namespace, one answer after the other.
fn list(names: &Namespace) -> Result<String, Refusal> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let is_end = names
            .list(&after, |listed| {
                for binding in listed.bindings()?.iter() {
                    all.push(binding.name()?.to_string());
                }
                Ok(listed.end())
            })
            .and_then(|end| end)?;
        if is_end {
            return Ok(all.join(","));
        }
        after = all.last().cloned().unwrap_or_default();
    }
}

fn main(env: &Env) -> Result<(), Error> {
    let volume: Volume = env.get("volume")?;
    let memory: VirtualMemory = env.get("vm")?;
    let window = memory.create_memory(WINDOW_BYTES)?.memory;
    let window = Window::map(window, WINDOW_BYTES, Access::ReadWrite)?;
    let store = volume.store(window.memory().cap())?.store;
    let client = Client { store, window };
    let names = client.store.names()?.names;
    let long: Vec<u8> = (0..LONG).map(byte).collect();
    if resolve(&names, "kept/long").is_ok() {
        return second_boot(&client, &names, &long);
    }
    let (of_long, of_word) = objects(&client, &long)?;
    bindings(&client, &names, (of_long, of_word), &long)?;
    below(&client, &names, of_word)?;
    reading(&client, &names, of_word)?;
    fact!("naming.done", group ~ client.store.sync()?.group);
    Ok(())
}

fn objects(client: &Client, long: &[u8]) -> Result<(Address, Address), Refusal> {
    let store = &client.store;
    let (of_nothing, _) = client.put(&[])?;
    let (of_word, first) = client.put(WORD)?;
    let (again, second) = client.put(WORD)?;
    let (of_long, _) = client.put(long)?;
    let unknown = [7; 32];
    fact!(
        "naming.put",
        sum = of_nothing.starts_with(&OF_NOTHING),
        first = first,
        second = second,
        same = again == of_word,
        outside = outcome(&store.put(100, WINDOW_BYTES as u32 - 99, |_| ())),
        over_limit = outcome(&store.put((1 << 20) + 1, 0, |_| ()))
    );
    let length = long.len() as u32;
    let tail = long.get(4095..).unwrap_or_default();
    fact!(
        "naming.get",
        whole = client.reads(long, || Ok(store.get(&of_long, 0, length, 0)?.bytes))?,
        tail = client.reads(tail, || Ok(store.get(&of_long, 4095, length, 0)?.bytes))?,
        beyond = store.get(&of_long, u64::from(length), 1, 0)?.bytes,
        unknown = outcome(&store.get(&unknown, 0, 1, 0)),
        short = outcome(&store.get(&[1, 2, 3], 0, 1, 0)),
        outside = outcome(&store.get(&of_long, 0, 2, WINDOW_BYTES as u32 - 1)),
        nothing = outcome(&store.get(&of_long, 0, 0, 0))
    );
    Ok((of_long, of_word))
}

fn bindings(
    client: &Client,
    names: &Namespace,
    (of_long, of_word): (Address, Address),
    long: &[u8],
) -> Result<(), Refusal> {
    let first = names
        .bind("kept/long", &of_word, Expect::Unbound, 0)?
        .version;
    let second = names
        .bind("kept/long", &of_long, Expect::Version, first)?
        .version;
    let length = long.len() as u32;
    fact!(
        "naming.bind",
        raised = second > first,
        taken = outcome(&names.bind("kept/long", &of_word, Expect::Unbound, 0)),
        old = outcome(&names.bind("kept/long", &of_word, Expect::Version, first)),
        missing = outcome(&names.bind("none", &of_word, Expect::Version, 1)),
        unknown = outcome(&names.bind("x", &[7; 32], Expect::Any, 0)),
        resolved = resolve(names, "kept/long")? == (of_long, second),
        read = client.reads(long, || {
            let got = names.get("kept/long", 0, length, 0)?;
            Ok(if got.version == second { got.bytes } else { 0 })
        })?
    );
    let no_names = ["", "/x", "x/", "a//b", ".", "a/..", "x\0"];
    let mut refused = no_names
        .iter()
        .map(|name| outcome(&names.bind(name, &of_word, Expect::Any, 0)));
    fact!(
        "naming.names",
        refused = refused.all(|outcome| outcome == "badArgument"),
        longest = outcome(&names.bind(&"n".repeat(255), &of_word, Expect::Any, 0)),
        longer = outcome(&names.bind(&"n".repeat(256), &of_word, Expect::Any, 0)),
        unbound = outcome(&names.unbind(&"n".repeat(255), Expect::Any, 0)),
        again = outcome(&names.unbind(&"n".repeat(255), Expect::Any, 0))
    );
    // What a name is bound to stays until none is, and a version is never given twice.
    let held = outcome(&client.store.delete(&of_long));
    let other = names.bind("other", &of_word, Expect::Unbound, 0)?.version;
    let bound = outcome(&client.store.delete(&of_word));
    names.unbind("other", Expect::Version, other)?;
    let gone = resolve(names, "other");
    let anew = names.bind("other", &of_word, Expect::Unbound, 0)?.version;
    let stale = outcome(&names.unbind("other", Expect::Version, other));
    names.unbind("other", Expect::Any, 0)?;
    fact!(
        "naming.held",
        held = held,
        bound = bound,
        gone = outcome(&gone),
        anew = anew > other,
        stale = stale,
        deleted = outcome(&client.store.delete(&of_word)),
        missing = outcome(&client.store.get(&of_word, 0, 1, 0)),
        again = outcome(&client.store.delete(&of_word)),
        back = client.put(WORD)?.1
    );
    Ok(())
}

/// A namespace is all that its holder can name.
fn below(client: &Client, names: &Namespace, of_word: Address) -> Result<(), Refusal> {
    let mine = names.sub("mine")?.names;
    let inner = mine.sub("inner")?.names;
    names.bind("secret", &of_word, Expect::Any, 0)?;
    mine.bind("secret", &of_word, Expect::Unbound, 0)?;
    inner.bind("deep", &of_word, Expect::Unbound, 0)?;
    names.bind("mine-not", &of_word, Expect::Any, 0)?;
    let room = 255 - "mine/".len();
    fact!(
        "naming.below",
        all = list(names)?.as_str(),
        mine = list(&mine)?.as_str(),
        inner = list(&inner)?.as_str(),
        up = outcome(&mine.resolve("../secret", |_| ())),
        other = outcome(&mine.resolve("mine-not", |_| ())),
        kept = outcome(&mine.resolve("kept/long", |_| ())),
        from_above = resolve(names, "mine/inner/deep")?.0 == of_word,
        longest = outcome(&mine.resolve(&"n".repeat(room), |_| ())),
        longer = outcome(&mine.resolve(&"n".repeat(room + 1), |_| ()))
    );
    mine.unbind("secret", Expect::Any, 0)?;
    fact!(
        "naming.apart",
        above = outcome(&names.resolve("secret", |_| ())),
        read = client.reads(WORD, || Ok(inner.get("deep", 0, 100, 0)?.bytes))?
    );
    Ok(())
}

fn reading(client: &Client, names: &Namespace, of_word: Address) -> Result<(), Refusal> {
    let store = client.store.read_only()?.store;
    let through = store.names()?.names;
    let only = names.read_only()?.names.sub("mine/inner")?.names;
    fact!(
        "naming.read-only",
        put = outcome(&store.put(1, 0, |_| ())),
        delete = outcome(&store.delete(&of_word)),
        sync = outcome(&store.sync()),
        through = outcome(&through.unbind("secret", Expect::Any, 0)),
        bind = outcome(&only.bind("x", &of_word, Expect::Any, 0)),
        unbind = outcome(&only.unbind("deep", Expect::Any, 0)),
        names_sync = outcome(&only.sync()),
        read = client.reads(WORD, || Ok(only.get("deep", 0, 100, 0)?.bytes))?
    );
    Ok(())
}

fn second_boot(client: &Client, names: &Namespace, long: &[u8]) -> Result<(), Error> {
    let (of_long, version) = resolve(names, "kept/long")?;
    let store = &client.store;
    let length = long.len() as u32;
    let (bytes, bound) = store
        .stat(&of_long, |stat| {
            let object = stat.object()?;
            Ok((object.bytes(), object.names()))
        })
        .and_then(|stat| stat)?;
    fact!(
        "naming.second-boot",
        bytes = bytes,
        names = bound,
        whole = client.reads(long, || Ok(names.get("kept/long", 0, length, 0)?.bytes))?,
        again = client.put(long)?.1,
        all = list(names)?.as_str(),
        anew = names
            .bind("kept/long", &of_long, Expect::Version, version)?
            .version
            > version
    );
    fact!("naming.done", group ~ store.sync()?.group);
    Ok(())
}
