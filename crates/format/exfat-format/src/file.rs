//! Reading files, in runs that the caller fetches itself.

use foreign_bytes::present;

use crate::Blocks;
use crate::boot::Volume;
use crate::chain::{Chain, Steps};
use crate::error::Error;
use crate::set::Node;

/// Consecutive bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// They lie consecutively on the device.
    Stored {
        /// First byte on the device (or partition), inside its length.
        byte_offset: u64,
        /// Number of bytes, all inside the device.
        len: u64,
    },
    /// They were never written, and are zeroes (7.6.5).
    Zeroes {
        /// Number of bytes.
        len: u64,
    },
}

/// A position in an open file, with what was learnt about its clusters.
#[derive(Clone)]
pub struct FileCursor {
    node: Node,
    pos: u64,
    /// From the first run on.
    chain: Option<Chain>,
}

impl FileCursor {
    /// Opens a file at its beginning. Reads nothing.
    ///
    /// # Errors
    /// [`Error::IsADirectory`].
    pub fn new<E>(node: &Node) -> Result<Self, Error<E>> {
        if node.is_directory() {
            return Err(Error::IsADirectory);
        }
        Ok(Self {
            node: *node,
            pos: 0,
            chain: None,
        })
    }

    /// The file.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Moves to `pos`; behind the end there is nothing to read.
    pub const fn seek(&mut self, pos: u64) {
        self.pos = pos;
    }

    /// Returns the next run of at most `max_bytes` and moves behind it; `None` at the end of the file. Neighbouring clusters
    /// are put together.
    ///
    /// # Errors
    /// [`Error`], only where not a single byte before it is good, and again by each later call.
    pub fn next_run<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        max_bytes: u64,
    ) -> Result<Option<Run>, Error<B::Error>> {
        if self.pos >= self.node.size || max_bytes == 0 {
            return Ok(None);
        }
        if self.pos >= self.node.valid {
            let len = max_bytes.min(self.node.size - self.pos);
            self.pos += len;
            return Ok(Some(Run::Zeroes { len }));
        }
        let wanted = max_bytes.min(self.node.valid - self.pos);
        let cluster_bytes = u64::from(volume.cluster_bytes());
        let within = self.pos % cluster_bytes;
        let Ok(number) = u32::try_from(self.pos / cluster_bytes) else {
            return Err(Error::ChainTooLong);
        };
        let mut steps = Steps::default();
        let fresh = || self.node.chain(volume.cluster_bytes());
        let chain = self.chain.get_or_insert_with(fresh);
        let mut cluster = |number| match chain.cluster(volume, blocks, number, &mut steps) {
            Ok(Some(cluster)) => Ok(cluster),
            Ok(None) => Err(Error::Short { clusters: number }),
            Err(error) => Err(error),
        };
        let first = cluster(number)?;
        let (mut len, mut count) = (cluster_bytes - within, 1);
        while len < wanted {
            match number.checked_add(count).map(&mut cluster) {
                Some(Ok(next)) if next.checked_sub(first) == Some(count) => {
                    len += cluster_bytes;
                    count += 1;
                }
                // Another place, or an error that the next call will meet first.
                _ => break,
            }
        }
        let byte_offset = volume.cluster_at(first) + within;
        let present = present(blocks, byte_offset)?;
        let len = len.min(wanted).min(present);
        self.pos += len;
        Ok(Some(Run::Stored { byte_offset, len }))
    }
}
