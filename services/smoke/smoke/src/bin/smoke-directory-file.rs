//! What a service's directories give as results: directories and files that lead below and never above, that change nothing where
//! what gave them does not, and that stay when it goes.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{Access, Env, Error, Refusal, VirtualMemory, Volume, Window, fact};
use smoke::outcome;

sdk::entry!(main);

const WINDOW_BYTES: u64 = 64 << 10;
const TEXT: &[u8] = b"what lies below";

fn main(env: &Env) -> Result<(), Error> {
    let volume: Volume = env.get("volume")?;
    let memory: VirtualMemory = env.get("vm")?;
    let window = memory.create_memory(WINDOW_BYTES)?.memory;
    let window = Window::map(window, WINDOW_BYTES, Access::ReadWrite)?;
    let root = volume.attach(window.memory().cap())?.root;
    root.mkdir("above")?;
    root.mkdir("above/below")?;
    drop(root.create("secret")?);
    let below = root.sub("above")?.directory.sub("below")?.directory;
    let made = below.create("file")?.file;
    window.write(0, TEXT)?;
    made.append(TEXT.len() as u32, 0)?;
    let read = |file: &sdk::File| -> Result<bool, Refusal> {
        let mut text = [0; TEXT.len()];
        window.write(0, &text)?;
        let bytes = file.read(0, WINDOW_BYTES as u32, 0)?.bytes;
        window.read(0, &mut text)?;
        Ok(bytes as usize == TEXT.len() && text == TEXT)
    };
    let opened = below.open("file")?.file;
    fact!(
        "results.below",
        made = read(&made)?,
        opened = read(&opened)?,
        write = outcome(&opened.write(0, 1, 0)),
        truncate = outcome(&opened.truncate(0)),
        up = outcome(&below.open("../../secret")),
        dots = outcome(&below.sub("..")),
        absolute = outcome(&below.open("/secret"))
    );
    let only = root.read_only()?.directory;
    let above = only.sub("above")?.directory;
    let deeper = above.sub("below")?.directory;
    fact!(
        "results.read-only",
        create = outcome(&above.create("new")),
        mkdir = outcome(&deeper.mkdir("new")),
        remove = outcome(&deeper.remove("file")),
        edit = outcome(&deeper.edit("file")),
        read = read(&deeper.open("file")?.file)?
    );
    drop((root, only, above, deeper, below));
    let alone = read(&opened)?;
    drop(made);
    fact!(
        "results.alone",
        opened = alone,
        after_the_writer = read(&opened)?
    );
    fact!("results.done");
    Ok(())
}
