//! Tables written by sfdisk and sgdisk. A missing tool skips its test with a message.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use partition::{BlockRead, Layout, Scheme, find_volumes};

struct Image(Vec<u8>);

impl BlockRead for Image {
    type Error = &'static str;

    fn block_bytes(&self) -> u32 {
        512
    }

    fn blocks(&self) -> u64 {
        self.0.len() as u64 / 512
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), &'static str> {
        let at = lba as usize * 512;
        buf.copy_from_slice(self.0.get(at..at + 512).ok_or("outside")?);
        Ok(())
    }
}

fn tool(name: &str) -> Option<PathBuf> {
    let found = ["/usr/sbin", "/sbin", "/usr/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|p| p.exists());
    if found.is_none() {
        eprintln!("SKIPPED: {name} is not installed");
    }
    found
}

/// Makes a 20 MiB image, has `tool` write a table into it and reads that table.
fn layout(tool: &Path, args: &[&str], input: &str) -> Layout {
    let name = format!(
        "partition-{}-{}.img",
        std::process::id(),
        args.len() + input.len()
    );
    let path = std::env::temp_dir().join(name);
    std::fs::File::create(&path)
        .unwrap()
        .set_len(20 << 20)
        .unwrap();
    let mut child = Command::new(tool)
        .args(args)
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    let image = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    find_volumes(&mut Image(image)).unwrap()
}

fn ranges(layout: &Layout) -> Vec<(u32, u64, u64)> {
    layout
        .volumes
        .iter()
        .map(|v| (v.number, v.first_lba, v.blocks))
        .collect()
}

#[test]
fn reads_what_sfdisk_writes() {
    let Some(sfdisk) = tool("sfdisk") else { return };
    let script = "label: dos\n1: start=2048, size=4096, type=c\n2: start=8192, size=20480, type=f\n\
                  5: start=10240, size=2048, type=b\n6: start=14336, size=4096, type=c\n";
    let found = layout(&sfdisk, &["--quiet"], script);
    assert_eq!(found.scheme, Scheme::Mbr);
    assert_eq!(
        ranges(&found),
        [(1, 2048, 4096), (5, 10240, 2048), (6, 14336, 4096)]
    );
    assert!(found.refused.is_empty());
}

#[test]
fn reads_what_sgdisk_writes() {
    let Some(sgdisk) = tool("sgdisk") else { return };
    let args = [
        "-n1:2048:+1M",
        "-t1:ef00",
        "-c1:System é",
        "-n3:8192:0",
        "-t3:0700",
    ];
    let found = layout(&sgdisk, &args, "");
    assert_eq!(found.scheme, Scheme::Gpt);
    assert_eq!(ranges(&found), [(1, 2048, 2048), (3, 8192, 40927 - 8192)]);
    assert!(found.volumes.iter().all(|v| v.kind.suggests_fat()));
    assert_eq!(found.volumes[0].label.as_str(), "System é");
}
