//! What two clients of one volume may do, and what each is refused: one writer to a file, nothing by a facet that only
//! reads, and names that are taken, missing or no names.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::{string::String, string::ToString};
use sdk::storage::directory::TimeSource;
use sdk::{Access, Directory, Env, Error, Refusal, VirtualMemory, Volume, Window, fact};

sdk::entry!(main);

const WINDOW_BYTES: u64 = 2 << 20;

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

/// How something ended, as facts say it.
fn end<R>(result: Result<R, Refusal>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(refusal) => refusal.name(),
    }
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
        taken = end(root.create("a/file")),
        taken_dir = end(root.mkdir("a")),
        missing = end(root.create("none/file")),
        through_file = end(root.create("a/file/x")),
        up = end(root.create("a/../x")),
        absolute = end(root.mkdir("/x")),
        empty = end(root.mkdir("")),
        dot = end(root.mkdir("a/.")),
        full_dir = end(root.remove("a")),
        gone = end(root.remove("none"))
    );
    fact!(
        "writable.rename",
        renamed = end(root.rename("a/file", "other")),
        target = end(root.rename("a/other", "b")),
        source = end(root.rename("a/file", "x")),
        across = end(root.rename("a/other", "../c/other")),
        moved = end(root.move_to("a/other", "c/other")),
        moved_over = end(root.move_to("c/other", "a/b")),
        below_itself = end(root.move_to("a", "a/b/a")),
        moved_dir = end(root.move_to("a/b", "c/b"))
    );
    fact!(
        "writable.emptied",
        file = end(root.remove("c/other")),
        inner = end(root.remove("c/b")),
        outer = end(root.remove("c"))
    );
    Ok(())
}

fn writers(one: &Client, two: &Client) -> Result<(), Refusal> {
    let file = one.root.create("shared")?.file;
    one.window.write(0, b"by the first")?;
    file.write(0, 12, 0)?;
    let second = end(two.root.edit("shared"));
    let reads = two.root.open("shared")?.file.read(0, 64, 0)?.bytes;
    fact!(
        "writable.single-writer",
        second = second,
        removed = end(two.root.remove("shared")),
        reads = reads,
        moved = end(two.root.rename("shared", "moved"))
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
        read = end(reader.read(0, 1, 0)),
        stat = end(reader.stat())
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
        create = end(only.create("x")),
        mkdir = end(below.mkdir("x")),
        remove = end(below.remove("kept")),
        rename = end(below.rename("kept", "x")),
        edit = end(only.edit("a/kept")),
        sync = end(only.sync()),
        write = end(file.write(0, 1, 0)),
        append = end(file.append(1, 0)),
        truncate = end(file.truncate(0)),
        file_sync = end(file.sync()),
        list = end(below.list(0, |_| ()))
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
        none = end(file.write(0, 0, 0)),
        outside = end(file.write(0, 100, WINDOW_BYTES as u32 - 50)),
        long = end(file.write(0, (1 << 20) + 1, 0)),
        over_limit = end(file.write(1 << 61, 1, 0)),
        cut_over_limit = end(file.truncate(1 << 61)),
        untouched = file.stat()?.bytes
    );
    Ok(())
}

/// A volume that is full is refused by name, and deleting works on it.
fn full(volume: &Volume, client: &Client) -> Result<(), Refusal> {
    let free = |volume: &Volume| -> Result<u64, Refusal> {
        volume.space(|results| Ok(results.space()?.value()?.free))?
    };
    let before = free(volume)?;
    let file = client.root.create("big")?.file;
    let mut written = 0_u64;
    let refusal = loop {
        match file.append(1 << 20, 0) {
            Ok(_) => written += 1 << 20,
            Err(refusal) => break refusal,
        }
    };
    let kept = file.stat()?.bytes == written;
    drop(file);
    let removed = end(client.root.remove("big"));
    client.root.sync()?;
    // What was freed counts once it is committed.
    let name: String = "again".to_string();
    let file = client.root.create(&name)?.file;
    let again = end(file.append(1 << 20, 0));
    drop(file);
    client.root.remove(&name)?;
    client.root.sync()?;
    let back = before.abs_diff(free(volume)?) < 64;
    fact!(
        "writable.full",
        refused = refusal.name(),
        whole = kept,
        removed = removed,
        again = again,
        freed = back,
        written ~ written
    );
    Ok(())
}
