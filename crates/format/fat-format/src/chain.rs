//! Cluster chains: sequential walks, random seeks and the search for loops.

use crate::Blocks;
use crate::error::{ChainFault, Error};
use crate::fat::{FatWindow, Link};
use crate::volume::Volume;

const MARKS: usize = 32;

/// A cluster and its number in the chain.
#[derive(Clone, Copy)]
struct Place {
    index: u32,
    cluster: u32,
}

/// How far a chain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Distinct clusters from its beginning.
    pub(crate) clusters: u32,
    /// Why it cannot be followed further; `None` at its end or at the limit of the survey.
    pub(crate) fault: Option<ChainFault>,
}

/// What lies behind the frontier.
enum Advance {
    Moved,
    End,
    Fault(ChainFault),
}

/// A walk over one chain.
///
/// The *frontier* is the furthest place that was ever reached. Loops are looked for only there (Brent: compare with a
/// cluster that is moved up at every power of two); what lies before it is known to be good. Marks at a regular
/// stride, which doubles when they run out, keep a seek backwards to a 1/32 of the chain.
#[derive(Clone)]
pub(crate) struct Chain {
    first: u32,
    here: Place,
    frontier: Place,
    /// Brent's fixed cluster, the steps since it was fixed, and the number of them at which it moves.
    tortoise: u32,
    steps: u32,
    power: u32,
    /// `marks[i]` is the cluster with index `(i + 1) * stride`.
    marks: [u32; MARKS],
    mark_count: usize,
    stride: u32,
    window: FatWindow,
}

impl Chain {
    pub(crate) fn new(first: u32) -> Self {
        let start = Place {
            index: 0,
            cluster: first,
        };
        Self {
            first,
            here: start,
            frontier: start,
            tortoise: first,
            steps: 0,
            power: 1,
            marks: [0; MARKS],
            mark_count: 0,
            stride: 64,
            window: FatWindow::new(),
        }
    }

    /// Returns the number of clusters that have been seen to be good.
    pub(crate) fn known_clusters(&self) -> u32 {
        self.frontier.index + 1
    }

    /// Returns the cluster with number `index`, or `None` where the chain ends before it.
    pub(crate) fn cluster<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        index: u32,
    ) -> Result<Option<u32>, Error<B::Error>> {
        self.check_start(volume)?;
        let mut place = self.nearest(index);
        while place.index < index {
            if place.index == self.frontier.index {
                match self.advance(volume, blocks)? {
                    Advance::Moved => place = self.frontier,
                    Advance::End => return Ok(None),
                    Advance::Fault(fault) => return Err(self.broken(volume, fault)),
                }
            } else {
                match self.window.link(volume, blocks, place.cluster)? {
                    Link::Next(cluster) => {
                        place = Place {
                            index: place.index + 1,
                            cluster,
                        }
                    }
                    // It was good when the frontier passed here, so the device gives changing data.
                    Link::End => return Ok(None),
                    Link::Fault(fault) => return Err(self.broken(volume, fault)),
                }
            }
        }
        self.here = place;
        Ok(Some(place.cluster))
    }

    /// Follows the chain to its end, its first fault, or `limit` clusters, and counts its distinct clusters.
    pub(crate) fn survey<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        limit: u32,
    ) -> Result<Extent, Error<B::Error>> {
        if !volume.has_cluster(self.first) {
            return Ok(Extent {
                clusters: 0,
                fault: Some(ChainFault::Start {
                    cluster: self.first,
                }),
            });
        }
        while self.known_clusters() < limit {
            let clusters = self.known_clusters();
            match self.advance(volume, blocks)? {
                Advance::Moved => {}
                Advance::End => {
                    return Ok(Extent {
                        clusters,
                        fault: None,
                    });
                }
                Advance::Fault(fault @ ChainFault::Loop { cluster }) => {
                    let clusters = self.distinct(volume, blocks, cluster)?.min(clusters);
                    return Ok(Extent {
                        clusters,
                        fault: Some(fault),
                    });
                }
                Advance::Fault(fault) => {
                    return Ok(Extent {
                        clusters,
                        fault: Some(fault),
                    });
                }
            }
        }
        Ok(Extent {
            clusters: limit,
            fault: None,
        })
    }

    fn check_start<E>(&self, volume: &Volume) -> Result<(), Error<E>> {
        if volume.has_cluster(self.first) {
            Ok(())
        } else {
            Err(Error::Chain {
                fault: ChainFault::Start {
                    cluster: self.first,
                },
                readable_bytes: 0,
            })
        }
    }

    fn broken<E>(&self, volume: &Volume, fault: ChainFault) -> Error<E> {
        let readable_bytes = u64::from(self.known_clusters()) * u64::from(volume.cluster_bytes());
        Error::Chain {
            fault,
            readable_bytes,
        }
    }

    /// Returns the closest known place at or before `index`.
    fn nearest(&self, index: u32) -> Place {
        let mut best = Place {
            index: 0,
            cluster: self.first,
        };
        let slot = ((index / self.stride) as usize).min(self.mark_count);
        if let Some(&cluster) = slot.checked_sub(1).and_then(|at| self.marks.get(at)) {
            best = Place {
                index: slot as u32 * self.stride,
                cluster,
            };
        }
        for place in [self.here, self.frontier] {
            if place.index <= index && place.index > best.index {
                best = place;
            }
        }
        best
    }

    /// Moves the frontier by one cluster. Where it cannot, nothing changes and the next call says the same.
    fn advance<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
    ) -> Result<Advance, Error<B::Error>> {
        let cluster = match self.window.link(volume, blocks, self.frontier.cluster)? {
            Link::Next(cluster) => cluster,
            Link::End => return Ok(Advance::End),
            Link::Fault(fault) => return Ok(Advance::Fault(fault)),
        };
        // With as many steps as clusters some cluster has come twice, whatever Brent has seen.
        if cluster == self.first
            || cluster == self.tortoise
            || self.known_clusters() >= volume.clusters()
        {
            return Ok(Advance::Fault(ChainFault::Loop { cluster }));
        }
        self.steps += 1;
        if self.steps == self.power {
            self.tortoise = cluster;
            self.steps = 0;
            self.power = self.power.saturating_mul(2);
        }
        self.frontier = Place {
            index: self.frontier.index + 1,
            cluster,
        };
        self.mark();
        Ok(Advance::Moved)
    }

    /// Remembers the frontier if the stride falls on it.
    fn mark(&mut self) {
        if !self.frontier.index.is_multiple_of(self.stride) {
            return;
        }
        if self.mark_count == MARKS {
            // Keep every second mark: those are the marks of the doubled stride.
            for at in 0..MARKS / 2 {
                self.marks[at] = self.marks[at * 2 + 1];
            }
            self.mark_count = MARKS / 2;
            self.stride = self.stride.saturating_mul(2);
            if !self.frontier.index.is_multiple_of(self.stride) {
                return;
            }
        }
        if let Some(mark) = self.marks.get_mut(self.mark_count) {
            *mark = self.frontier.cluster;
            self.mark_count += 1;
        }
    }

    /// Counts the distinct clusters of a chain that loops through `inside`: the way to the loop and the loop.
    fn distinct<B: Blocks>(
        &self,
        volume: &Volume,
        blocks: &mut B,
        inside: u32,
    ) -> Result<u32, Error<B::Error>> {
        let (mut slow_window, mut fast_window) = (FatWindow::new(), FatWindow::new());
        let mut step = |window: &mut FatWindow, cluster| -> Result<_, Error<B::Error>> {
            match window.link(volume, blocks, cluster)? {
                Link::Next(next) => Ok(Some(next)),
                // The walk came through here before, so the device gives changing data; the caller's count stands.
                _ => Ok(None),
            }
        };
        let mut around = inside;
        let mut length = 0;
        loop {
            let Some(next) = step(&mut fast_window, around)? else {
                return Ok(u32::MAX);
            };
            length += 1;
            around = next;
            if around == inside {
                break;
            }
            if length > volume.clusters() {
                return Ok(u32::MAX);
            }
        }
        let (mut slow, mut fast, mut lead) = (self.first, self.first, 0);
        for _ in 0..length {
            let Some(next) = step(&mut fast_window, fast)? else {
                return Ok(u32::MAX);
            };
            fast = next;
        }
        while slow != fast && lead <= volume.clusters() {
            let (Some(a), Some(b)) = (step(&mut slow_window, slow)?, step(&mut fast_window, fast)?)
            else {
                return Ok(u32::MAX);
            };
            (slow, fast) = (a, b);
            lead += 1;
        }
        Ok(length.saturating_add(lead))
    }
}
