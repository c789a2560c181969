//! Pools, buffers, mappings and register views.

use super::*;

impl World {
    pub(super) fn make_pool(&mut self, at: usize, claim: &Claim, by: u16) {
        let budget = u64::from(by % 24) * PAGE_BYTES;
        if let Ok(pool) = self.on(at, |record| {
            record.create_pool(claim, budget, OomPolicy::Refuse)
        }) {
            assert!(self.is_current(at, claim));
            self.functions[at].pools.push(pool);
        }
    }

    pub(super) fn make_buffer(
        &mut self,
        at: usize,
        other: usize,
        claim: &Claim,
        by: u16,
        size: u16,
    ) {
        let bytes = u64::from(size % 5) * 2000;
        let reserved = if by.is_multiple_of(5) {
            self.on(at, |record| record.reserve_broker_pages(claim, bytes))
        } else {
            let Some(pool) = pick(&self.functions[other].pools, by) else {
                return;
            };
            let request = BufferRequest {
                bytes,
                contiguous: by.is_multiple_of(2),
            };
            self.on(at, |record| record.reserve_buffer(claim, pool, request))
        };
        if let Ok(reservation) = reserved {
            assert!(self.is_current(at, claim));
            self.functions[at].reservations.push(reservation);
        }
        // Sometimes an earlier reservation waits and another is decided first.
        if by.is_multiple_of(7) || self.functions[at].reservations.is_empty() {
            return;
        }
        let reservation = self.functions[at].reservations.remove(0);
        if by.is_multiple_of(9) {
            self.on(at, |record| {
                record.cancel_buffer(reservation);
                Ok(())
            })
            .unwrap();
            return;
        }
        let frames = self.machine.allocate(reservation.pages());
        let id = self.functions[at].id;
        let record = self.ledger.get_mut(id).unwrap();
        // A refused commit gives its charge back, so it is not one that changes nothing.
        match record.commit_buffer(reservation, frames.clone()) {
            Ok(buffer) => {
                assert!(
                    self.names.insert((id.index(), buffer)),
                    "a buffer name was used twice"
                );
                let claim = self.functions[at].claims.last().unwrap();
                if record.buffer_info(claim, buffer).unwrap().in_flight > 0 {
                    self.functions[at].runs.extend(frames);
                }
                self.functions[at].buffers.push(buffer);
            }
            Err((_, frames)) => {
                for frame in &frames {
                    self.machine.dirty.remove(frame);
                }
                self.machine.free.extend(frames);
            }
        }
        record.audit().unwrap();
    }

    pub(super) fn map(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
        let Some(buffer) = pick(&self.functions[other].buffers, by) else {
            return;
        };
        let (offset, bytes) = (u64::from(d % 3) * 2048, u64::from(d / 3 % 4) * 2048);
        let target = MapTarget {
            space: u64::from(d % 2),
            address: u64::from(d) * PAGE_BYTES,
        };
        let mapped = self.on(at, |record| {
            record.map_buffer(
                claim,
                buffer,
                (offset, bytes),
                Protection::READ_WRITE,
                target,
            )
        });
        if let Ok(mapping) = mapped {
            assert!(self.is_current(at, claim) && buffer.function() == self.functions[at].id);
            let frames = self
                .ledger
                .get(self.functions[at].id)
                .unwrap()
                .frames(buffer)
                .unwrap();
            let (first, count) = (offset / PAGE_BYTES, bytes / PAGE_BYTES);
            let part = frames[first as usize..(first + count) as usize].to_vec();
            for frame in &part {
                *self.machine.mapped.entry(*frame).or_default() += 1;
                self.machine.dirty.insert(*frame);
            }
            self.functions[at].maps.push((mapping, part));
        }
    }

    pub(super) fn unmap(&mut self, at: usize, other: usize, claim: &Claim, by: u16) {
        let Some((mapping, frames)) = pick(&self.functions[other].maps, by) else {
            return;
        };
        if self.on(at, |record| record.unmap(claim, mapping)).is_ok() {
            assert_eq!(other, at);
            self.machine.unmap(&frames);
        }
    }

    pub(super) fn registers(&mut self, at: usize, claim: &Claim, d: u16) {
        let range = BarRange {
            bar: 0,
            offset: u64::from(d % 6) * 2048,
            bytes: u64::from(d / 6 % 5) * 3000,
        };
        let target = MapTarget {
            space: 1,
            address: 0,
        };
        let listed = BarRange {
            bar: 0,
            offset: 0,
            bytes: 2 * PAGE_BYTES,
        };
        if let Ok(mapping) = self.on(at, |record| {
            record.map_registers(claim, range, Protection::READ, target, [listed])
        }) {
            assert!(range.offset + range.bytes <= 2 * PAGE_BYTES && self.is_current(at, claim));
            self.functions[at].maps.push((mapping, Vec::new()));
        }
    }

    pub(super) fn free(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
        let Some(buffer) = pick(&self.functions[other].buffers, by) else {
            return;
        };
        let _ = self.on(at, |record| record.begin_free(claim, buffer));
        if d.is_multiple_of(2) {
            let held: Vec<_> = self
                .ledger
                .get(self.functions[at].id)
                .unwrap()
                .mappings()
                .map(|(id, map)| (id, *map))
                .collect();
            for (id, map) in held {
                if map.what == Mapped::Buffer(buffer)
                    && self.on(at, |record| record.unmap(claim, id)).is_ok()
                {
                    let (_, frames) = self.functions[at]
                        .maps
                        .iter()
                        .find(|(known, _)| *known == id)
                        .unwrap()
                        .clone();
                    self.machine.unmap(&frames);
                }
            }
        }
        let shot = self.machine.shootdown();
        if let Ok(pages) = self.on(at, |record| record.take_for_scrub(buffer, shot)) {
            self.functions[at].quiet.push(pages.withdraw(Forgotten));
        }
        self.scrub_and_free(at, d);
    }

    /// Pages taken out earlier come back when they come back.
    pub(super) fn scrub_and_free(&mut self, at: usize, by: u16) {
        if by.is_multiple_of(3) {
            return;
        }
        if let Some(pages) = self.functions[at].quiet.pop() {
            let wiped = self.wipe(pages);
            self.functions[at].wiped.push(wiped);
        }
        let Some(pages) = self.functions[at].wiped.pop() else {
            return;
        };
        let mut back = None;
        if matches!(self.state(at), FunctionState::Revoking(_)) {
            let _ = self.on(at, |record| {
                record.put_scrubbed(pages).map_err(|(refusal, pages)| {
                    back = Some(pages);
                    refusal
                })
            });
        } else {
            let freed = self.on(at, |record| {
                record.free(pages).map_err(|(refusal, pages)| {
                    back = Some(pages);
                    refusal
                })
            });
            if let Ok(frames) = freed {
                self.release(&frames);
            }
        }
        self.functions[at].wiped.extend(back);
    }
}
