//! A bridge that dies: what answers a guest while a smoke asks whether anything is lost.

use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use save_bridge::http::{Request, answer};
use save_bridge::provider::folder::Folder;
use save_bridge::serve::{Bridge, Today};
use save_core::wire::Call;
use save_core::{Allowance, Governor, Limits, Profile, Scope, Tenant};
use sha2::{Digest, Sha256};

/// Whose saves it serves, by the token of each.
pub const ADMITTED: [(&str, Scope); 2] = [
    ("the first token", scope(1)),
    ("the second token", scope(2)),
];
/// Writes of one life.
const WRITES: u64 = 4;
/// It dies so often, and then goes on.
pub const LIVES: u64 = 6;
const PATIENCE: Duration = Duration::from_secs(20);
const PLENTY: Allowance = Allowance {
    bytes: 1 << 30,
    slots: 1 << 20,
    writes_per_day: 1 << 20,
    reads_per_day: 1 << 20,
};

const fn scope(profile: u8) -> Scope {
    Scope {
        tenant: Tenant([5; 16]),
        profile: Profile([profile; 16]),
    }
}

/// Serves what lies in `folder` at `address`. With the last write of each life the process ends as if it were killed: in turn
/// after the write is done and before it is answered, and before it is done. Each life notes itself in `folder/lives`.
///
/// # Errors
/// Where it cannot serve.
pub fn serve(folder: &Path, address: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    let note = folder.join("lives");
    let life = fs::read(&note).map_or(0, |bytes| bytes.len() as u64);
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&note)?
        .write_all(b"+")?;
    let mut bridge = Bridge::new(Limits::USUAL);
    for (token, scope) in ADMITTED {
        let store = Box::new(Folder::new(&folder.join("store"))?);
        bridge.admit(
            Sha256::digest(token).into(),
            scope,
            Governor::new(store, Today, PLENTY),
        );
    }
    let listener = TcpListener::bind(address).with_context(|| address.to_owned())?;
    let mut writes = 0;
    for stream in listener.incoming() {
        converse(&bridge, stream?, life, &mut writes);
    }
    Ok(())
}

fn converse(bridge: &Bridge, mut stream: TcpStream, life: u64, writes: &mut u64) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.set_write_timeout(Some(PATIENCE));
    let Ok(request) = Request::read(&mut stream, 16 << 10) else {
        return;
    };
    let is_write = matches!(
        Call::decode(&request.body),
        Some((Call::Put(..) | Call::Append(..), _))
    );
    *writes += u64::from(is_write);
    let dies = is_write && *writes == WRITES && life < LIVES;
    if dies && life % 2 == 1 {
        std::process::abort();
    }
    let (status, body) = bridge.handle(&request);
    if dies {
        std::process::abort();
    }
    let _ = answer(&mut stream, status, &[], &body);
    let _ = stream.shutdown(Shutdown::Write);
}
