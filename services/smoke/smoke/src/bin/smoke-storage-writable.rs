//! What two clients of one volume may do, and what each is refused: one writer to a file, nothing by a facet that only
//! reads, and names that are taken, missing or no names.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::{string::String, string::ToString, vec::Vec};
use sdk::storage::directory::TimeSource;
use sdk::storage::namespace::Expect;
use sdk::{Access, Directory, Env, Error, Refusal, VirtualMemory, Volume, Window, fact};
use smoke::outcome;

sdk::entry!(main);

const WINDOW_BYTES: u64 = 2 << 20;
/// The longest write, and object.
const MOST: u32 = 1 << 20;

struct Client {
    root: Directory,
    window: Window,
}

fn client(volume: &Volume, memory: &VirtualMemory) -> Result<Client, Refusal> {
    let window = memory.create_memory(WINDOW_BYTES)?.memory;
    let window = Window::map(window, WINDOW_BYTES, Access::ReadWrite)?;
    let root = volume.attach(window.memory().cap())?.root;
    Ok(Client { root, window })
}

fn main(env: &Env) -> Result<(), Error> {
    let volume: Volume = env.get("volume")?;
    let memory: VirtualMemory = env.get("vm")?;
    let (one, two) = (client(&volume, &memory)?, client(&volume, &memory)?);
    names(&one)?;
    writers(&one, &two)?;
    reading(&one, &two)?;
    lengths(&one)?;
    full(&volume, &one)?;
    fact!("writable.done", group ~ one.root.sync()?.group);
    Ok(())
}

fn names(client: &Client) -> Result<(), Refusal> {
    let root = &client.root;
    root.mkdir("a")?;
    root.mkdir("a/b")?;
    root.mkdir("c")?;
    drop(root.create("a/file")?);
    fact!(
        "writable.names",
        taken = outcome(&root.create("a/file")),
        taken_dir = outcome(&root.mkdir("a")),
        missing = outcome(&root.create("none/file")),
        through_file = outcome(&root.create("a/file/x")),
        up = outcome(&root.create("a/../x")),
        absolute = outcome(&root.mkdir("/x")),
        empty = outcome(&root.mkdir("")),
        dot = outcome(&root.mkdir("a/.")),
        full_dir = outcome(&root.remove("a")),
        gone = outcome(&root.remove("none"))
    );
    fact!(
        "writable.rename",
        renamed = outcome(&root.rename("a/file", "other")),
        target = outcome(&root.rename("a/other", "b")),
        source = outcome(&root.rename("a/file", "x")),
        across = outcome(&root.rename("a/other", "../c/other")),
        moved = outcome(&root.move_to("a/other", "c/other")),
        moved_over = outcome(&root.move_to("c/other", "a/b")),
        below_itself = outcome(&root.move_to("a", "a/b/a")),
        moved_dir = outcome(&root.move_to("a/b", "c/b"))
    );
    fact!(
        "writable.emptied",
        file = outcome(&root.remove("c/other")),
        inner = outcome(&root.remove("c/b")),
        outer = outcome(&root.remove("c"))
    );
    Ok(())
}

fn writers(one: &Client, two: &Client) -> Result<(), Refusal> {
    let file = one.root.create("shared")?.file;
    one.window.write(0, b"by the first")?;
    file.write(0, 12, 0)?;
    let second = outcome(&two.root.edit("shared"));
    let reads = two.root.open("shared")?.file.read(0, 64, 0)?.bytes;
    fact!(
        "writable.single-writer",
        second = second,
        removed = outcome(&two.root.remove("shared")),
        reads = reads,
        moved = outcome(&two.root.rename("shared", "moved"))
    );
    drop(file);
    let file = two.root.edit("moved")?.file;
    fact!("writable.given-back", edited = true);
    // A file that is gone is gone for whoever has it open.
    let reader = one.root.open("moved")?.file;
    drop(file);
    two.root.remove("moved")?;
    fact!(
        "writable.removed",
        read = outcome(&reader.read(0, 1, 0)),
        stat = outcome(&reader.stat())
    );
    Ok(())
}

fn reading(one: &Client, two: &Client) -> Result<(), Refusal> {
    drop(one.root.create("a/kept")?);
    let only = two.root.read_only()?.directory;
    let below = only.sub("a")?.directory;
    let file = below.open("kept")?.file;
    fact!(
        "writable.read-only",
        create = outcome(&only.create("x")),
        mkdir = outcome(&below.mkdir("x")),
        remove = outcome(&below.remove("kept")),
        rename = outcome(&below.rename("kept", "x")),
        edit = outcome(&only.edit("a/kept")),
        sync = outcome(&only.sync()),
        write = outcome(&file.write(0, 1, 0)),
        append = outcome(&file.append(1, 0)),
        truncate = outcome(&file.truncate(0)),
        file_sync = outcome(&file.sync()),
        list = outcome(&below.list(0, |_| ()))
    );
    let source = one.root.stat("a/kept", |stat| {
        stat.stat().and_then(|stat| stat.time_source())
    })?;
    fact!("writable.times", none = source == Ok(TimeSource::None));
    Ok(())
}

fn lengths(client: &Client) -> Result<(), Refusal> {
    let file = client.root.create("lengths")?.file;
    client.window.write(0, &[7; 100])?;
    file.write(10_000, 100, 0)?;
    let at = file.append(50, 0)?.offset;
    let grown = file.stat()?.bytes;
    let mut hole = [1; 8];
    file.read(5_000, 8, 0)?;
    client.window.read(0, &mut hole)?;
    file.truncate(10_020)?;
    file.truncate(20_000)?;
    file.read(10_020, 8, 0)?;
    let mut behind = [1; 8];
    client.window.read(0, &mut behind)?;
    fact!(
        "writable.lengths",
        appended_at = at,
        grown = grown,
        hole_is_zero = hole == [0; 8],
        cut_is_zero = behind == [0; 8],
        none = outcome(&file.write(0, 0, 0)),
        outside = outcome(&file.write(0, 100, WINDOW_BYTES as u32 - 50)),
        long = outcome(&file.write(0, (1 << 20) + 1, 0)),
        over_limit = outcome(&file.write(1 << 61, 1, 0)),
        cut_over_limit = outcome(&file.truncate(1 << 61)),
        untouched = file.stat()?.bytes
    );
    Ok(())
}

/// A volume that is full refuses by name, loses nothing, and gets its room back.
fn full(volume: &Volume, client: &Client) -> Result<(), Refusal> {
    let free = |volume: &Volume| -> Result<u64, Refusal> {
        volume.space(|results| Ok(results.space()?.value()?.free))?
    };
    let before = free(volume)?;
    let store = volume.store(client.window.memory().cap())?.store;
    let names = store.names()?.names;
    let pattern: Vec<u8> = (0..MOST).map(|at| (at % 253) as u8).collect();
    client.window.write(0, &pattern)?;
    let address = store.put(100, 0, |put| put.address().map(<[u8]>::to_vec))??;
    names.bind("kept", &address, Expect::Unbound, 0)?;
    let file = client.root.create("big")?.file;
    let (mut written, mut length) = (0_u64, MOST);
    let refusal = loop {
        match file.append(length, 0) {
            Ok(_) => written += u64::from(length),
            Err(Refusal::NoSpace) if length > 1 => length /= 2,
            Err(refusal) => break refusal,
        }
    };
    let over = outcome(&file.write(0, MOST / 16, 16));
    let put = outcome(&store.put(MOST, 1, |_| ()));
    let synced = outcome(&client.root.sync());
    let mut found = sdk::alloc::vec![0; pattern.len()];
    let whole = file.stat()?.bytes == written
        && file.read(0, MOST, 0)?.bytes == MOST
        && client.window.read(0, &mut found).is_ok()
        && found == pattern;
    let unbound = outcome(&names.unbind("kept", Expect::Any, 0));
    let deleted = outcome(&store.delete(&address));
    let cut = outcome(&file.truncate(written / 2));
    drop(file);
    let removed = outcome(&client.root.remove("big"));
    client.root.sync()?;
    // What was freed counts once it is committed.
    let name: String = "again".to_string();
    let file = client.root.create(&name)?.file;
    let again = outcome(&file.append(MOST, 0));
    drop(file);
    client.root.remove(&name)?;
    client.root.sync()?;
    let back = before.abs_diff(free(volume)?) < 64;
    fact!(
        "writable.full",
        refused = refusal.name(),
        over = over,
        put = put,
        sync = synced,
        whole = whole,
        unbound = unbound,
        deleted = deleted,
        cut = cut,
        removed = removed,
        again = again,
        freed = back,
        written ~ written
    );
    Ok(())
}
