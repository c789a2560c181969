//! What is said of files, directories and times.

use sdk::process::wall_clock::{NowResults, Source as Said};
use sdk::storage::directory::{self, TimeSource};
use volume_format::{Inode, Kind, Source, Stamp};

/// Where a time comes from, as clients see it.
pub const fn source(source: Source) -> TimeSource {
    match source {
        Source::None => TimeSource::None,
        Source::BootRtc => TimeSource::ClockAtBoot,
        Source::Ntp => TimeSource::NetworkTime,
        Source::Manual => TimeSource::Person,
        Source::FatMetadata => TimeSource::FatMetadata,
        Source::HostTool => TimeSource::Tool,
    }
}

/// A time of day as the volume keeps it; `boot` is the mount.
pub fn stamp(now: NowResults, boot: u32) -> Stamp {
    let source = match now.source {
        Said::None => return Stamp::NONE,
        Said::MachineClock | Said::Firmware => Source::BootRtc,
        Said::Network => Source::Ntp,
        Said::Person => Source::Manual,
    };
    Stamp {
        ns: now.ns,
        source,
        boot,
    }
}

/// What is known of an inode.
pub fn stat(inode: &Inode) -> directory::Stat {
    let (kind, bytes) = match inode.kind {
        Kind::Dir => (directory::Kind::Directory, 0),
        Kind::File | Kind::Object => (directory::Kind::File, inode.size),
    };
    directory::Stat {
        bytes,
        kind,
        created_ns: inode.created.ns,
        modified_ns: inode.modified.ns,
        time_source: source(inode.modified.source),
        ..directory::Stat::default()
    }
}
