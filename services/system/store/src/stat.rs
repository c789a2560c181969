//! What is said of files, directories and times.

use sdk::storage::directory::{self, TimeSource};
use volume_format::{Inode, Kind, Source};

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
