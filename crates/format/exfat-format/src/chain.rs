//! Chains of clusters: through the FAT (4.1), or one behind the other where an entry says so (7.6.2, NoFatChain).

use foreign_bytes::read_exact;

use crate::boot::Volume;
use crate::error::Error;
use crate::{Blocks, MAX_STEPS};

/// What ends a chain, and what marks a cluster that cannot be read.
const END: u32 = 0xffff_ffff;
const BAD: u32 = 0xffff_fff7;

/// Steps that a request has made.
#[derive(Default)]
pub(crate) struct Steps(u32);

/// A place in a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    first: u32,
    /// Clusters that there are if they lie one behind the other; `None` if the FAT says where they lie.
    straight: Option<u32>,
    /// Number of a cluster in the chain, and which it is.
    at: (u32, u32),
    /// A cluster that was seen, and after how many more steps another is marked: a chain that leads back to it is a ring
    /// (Brent's method).
    mark: u32,
    left: u32,
    power: u32,
}

impl Chain {
    pub(crate) const fn new(first: u32, straight: Option<u32>) -> Self {
        Self {
            first,
            straight,
            at: (0, first),
            mark: first,
            left: 1,
            power: 1,
        }
    }

    /// The cluster with that number in the chain; `None` where the chain has ended before.
    pub(crate) fn cluster<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        number: u32,
        steps: &mut Steps,
    ) -> Result<Option<u32>, Error<B::Error>> {
        let broken = |cluster, fault| Err(Error::Chain { cluster, fault });
        if !volume.has_cluster(self.first) {
            return broken(self.first, "does not exist");
        }
        if let Some(count) = self.straight {
            let cluster = self.first.checked_add(number);
            return match cluster.filter(|cluster| volume.has_cluster(*cluster)) {
                _ if number >= count => Ok(None),
                Some(cluster) => Ok(Some(cluster)),
                None => broken(self.first, "begins a row that leaves the volume"),
            };
        }
        if number < self.at.0 {
            *self = Self::new(self.first, None);
        }
        while self.at.0 < number {
            steps.0 += 1;
            if steps.0 > MAX_STEPS {
                return Err(Error::ChainTooLong);
            }
            let cluster = self.at.1;
            let mut entry = [0; 4];
            read_exact(blocks, volume.fat_at + 4 * u64::from(cluster), &mut entry)?;
            let next = match u32::from_le_bytes(entry) {
                END => return Ok(None),
                BAD => return broken(cluster, "leads to one that cannot be read"),
                next if !volume.has_cluster(next) => {
                    return broken(cluster, "leads out of the volume");
                }
                next if next == self.mark => {
                    return broken(cluster, "leads back into its own chain");
                }
                next => next,
            };
            self.left -= 1;
            if self.left == 0 {
                self.mark = next;
                self.power = self.power.saturating_mul(2);
                self.left = self.power;
            }
            self.at = (self.at.0 + 1, next);
        }
        Ok(Some(self.at.1))
    }
}
