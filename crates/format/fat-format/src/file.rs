//! Reading files: in runs that the caller fetches itself, or in copies.

use foreign_bytes::{ReadError, present};

use crate::Blocks;
use crate::chain::{Chain, Extent};
use crate::dir::Node;
use crate::error::Error;
use crate::volume::Volume;

/// Consecutive bytes of a file that lie consecutively on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First byte on the device (or partition), inside its length.
    pub byte_offset: u64,
    /// Number of bytes, all inside the device.
    pub len: u64,
}

impl Run {
    /// Returns the first byte behind the run.
    pub fn end(&self) -> u64 {
        self.byte_offset.saturating_add(self.len)
    }
}

/// A position in an open file, with what has been learnt about its clusters. About 500 bytes.
#[derive(Clone)]
pub struct FileCursor {
    size: u64,
    pos: u64,
    chain: Chain,
    extent: Option<Extent>,
}

impl FileCursor {
    /// Opens the file of `node` at its beginning. Reads nothing.
    pub fn new<E>(node: &Node) -> Result<Self, Error<E>> {
        if node.is_directory() {
            return Err(Error::IsADirectory);
        }
        let chain = Chain::new(node.first_cluster);
        Ok(Self {
            size: u64::from(node.size),
            pos: 0,
            chain,
            extent: None,
        })
    }

    /// Returns the size that the directory entry promises, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    /// Returns the position of the next run, in bytes from the beginning of the file.
    pub fn position(&self) -> u64 {
        self.pos
    }

    /// Moves to `pos`; behind the end there is nothing to read.
    pub fn seek(&mut self, pos: u64) {
        self.pos = pos;
    }

    /// Follows the whole chain once and returns how many bytes can be read before it breaks; the size if it does not.
    ///
    /// Costs one FAT entry per cluster. Worth it at open: afterwards a chain that loops is read up to the exact byte
    /// where it comes back on itself. Without it a loop is noticed too, but some clusters may have been read twice.
    pub fn survey<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
    ) -> Result<u64, Error<B::Error>> {
        let cluster_bytes = u64::from(volume.cluster_bytes());
        let needed = u32::try_from(self.size.div_ceil(cluster_bytes)).unwrap_or(u32::MAX);
        if needed == 0 {
            return Ok(0);
        }
        let extent = match self.extent {
            Some(extent) => extent,
            None => *self
                .extent
                .insert(self.chain.survey(volume, blocks, needed)?),
        };
        Ok(self.size.min(u64::from(extent.clusters) * cluster_bytes))
    }

    /// Returns the next run of at most `max_bytes` and moves behind it; `None` at the end of the file.
    ///
    /// Neighbouring clusters are put together, so that a file that is not fragmented comes in runs of `max_bytes`. An
    /// error is reported only when there is not a single good byte before it, and again by each later call.
    pub fn next_run<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        max_bytes: u64,
    ) -> Result<Option<Run>, Error<B::Error>> {
        if self.pos >= self.size || max_bytes == 0 {
            return Ok(None);
        }
        let wanted = max_bytes.min(self.size - self.pos);
        let cluster_bytes = u64::from(volume.cluster_bytes());
        // A file has less than 2^32 bytes and a cluster at least 512, so the index fits.
        let index = (self.pos / cluster_bytes) as u32;
        let within = self.pos % cluster_bytes;
        let first = self.cluster(volume, blocks, index)?;
        let byte_offset = volume.cluster_at(first) + within;
        let mut len = cluster_bytes - within;
        let mut count = 1;
        while len < wanted {
            match self.cluster(volume, blocks, index.saturating_add(count)) {
                Ok(next) if next == first.saturating_add(count) => {
                    len += cluster_bytes;
                    count += 1;
                }
                // Another place, or an error that the next call will meet first.
                _ => break,
            }
        }
        let present = present(blocks, byte_offset)?;
        let len = len.min(wanted).min(present);
        self.pos += len;
        Ok(Some(Run { byte_offset, len }))
    }

    /// Copies bytes from `offset` into `buf` and returns how many; 0 only at the end of the file or for an empty
    /// buffer. Fewer bytes than asked for mean the end, or an error that a read behind them will report.
    pub fn read_at<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, Error<B::Error>> {
        self.pos = offset;
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let outcome =
                self.next_run(volume, blocks, rest.len() as u64)
                    .and_then(|run| match run {
                        None => Ok(0),
                        Some(run) => {
                            // At most `rest.len()`, so it fits both.
                            let len = run.len as usize;
                            blocks
                                .read(run.byte_offset, rest.get_mut(..len).unwrap_or_default())
                                .map_err(ReadError::Device)?;
                            Ok(len)
                        }
                    });
            match outcome {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if done == 0 => {
                    self.pos = offset;
                    return Err(error);
                }
                Err(_) => break,
            }
        }
        self.pos = offset.saturating_add(done as u64);
        Ok(done)
    }

    /// Returns cluster `index` of the file, which lies before its size.
    fn cluster<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        index: u32,
    ) -> Result<u32, Error<B::Error>> {
        if let Some(extent) = self.extent
            && index >= extent.clusters
        {
            let readable_bytes = u64::from(extent.clusters) * u64::from(volume.cluster_bytes());
            return Err(match extent.fault {
                Some(fault) => Error::Chain {
                    fault,
                    readable_bytes,
                },
                None => Error::Truncated {
                    readable_bytes,
                    size_bytes: self.size,
                },
            });
        }
        self.chain
            .cluster(volume, blocks, index)?
            .ok_or_else(|| Error::Truncated {
                readable_bytes: u64::from(self.chain.known_clusters())
                    * u64::from(volume.cluster_bytes()),
                size_bytes: self.size,
            })
    }
}
