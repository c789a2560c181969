//! The end of a claim, step by step.

use super::*;

impl World {
    pub(super) fn begin_teardown(&mut self, at: usize, claim: &Claim) {
        let current = self.is_current(at, claim);
        if let Ok(token) = self.on(at, |record| record.begin_teardown(claim)) {
            assert!(current);
            self.functions[at].token = Some(Token::Begun(token));
        }
    }

    /// One step of the teardown, or a try at it that is too early.
    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    pub(super) fn carry_on(&mut self, at: usize, by: u16) {
        self.scrub_and_free(at, by);
        let Some(token) = self.functions[at].token.take() else {
            return;
        };
        let mut next = None;
        macro_rules! take {
            ($token:expr, $to:ident, $from:ident, $record:ident, $call:expr) => {{
                let moved = self.on(at, |$record| {
                    $call.map_err(|(refusal, token)| {
                        next = Some(Token::$from(token));
                        refusal
                    })
                });
                if let Ok(token) = moved {
                    next = Some(Token::$to(token));
                }
            }};
        }
        match token {
            Token::Begun(token) => take!(token, HandlesRevoked, Begun, r, r.handles_revoked(token)),
            Token::HandlesRevoked(token) => take!(
                token,
                SubmissionsStopped,
                HandlesRevoked,
                r,
                r.stop_submissions(token)
            ),
            Token::SubmissionsStopped(token) => {
                if by.is_multiple_of(2) {
                    let held: Vec<_> = self
                        .ledger
                        .get(self.functions[at].id)
                        .unwrap()
                        .mappings()
                        .map(|(id, _)| id)
                        .collect();
                    for id in held {
                        self.on(at, |record| record.release_mapping(id)).unwrap();
                        let (_, frames) = self.functions[at]
                            .maps
                            .iter()
                            .find(|(known, _)| *known == id)
                            .unwrap()
                            .clone();
                        self.machine.unmap(&frames);
                    }
                }
                let shot = self.machine.shootdown();
                take!(
                    token,
                    MappingsRemoved,
                    SubmissionsStopped,
                    r,
                    r.mappings_removed(token, shot)
                );
            }
            Token::MappingsRemoved(token) => take!(
                token,
                InterruptsMasked,
                MappingsRemoved,
                r,
                r.interrupts_masked(token)
            ),
            Token::InterruptsMasked(token) => take!(
                token,
                QueuesQuiesced,
                InterruptsMasked,
                r,
                r.queues_quiesced(token)
            ),
            Token::QueuesQuiesced(token) => self.teardown_reset(at, token, by, &mut next),
            Token::DeviceReset(token) => {
                let drained = DrainProof::TransactionsPendingZero;
                take!(
                    token,
                    BusMasterCleared,
                    DeviceReset,
                    r,
                    r.bus_master_cleared(token, drained)
                );
            }
            Token::BusMasterCleared(token) => take!(
                token,
                TranslationsRemoved,
                BusMasterCleared,
                r,
                r.translations_removed(token, Forgotten)
            ),
            Token::TranslationsRemoved(token) => {
                while let Some(pages) = self.on(at, |record| record.next_to_scrub(&token)).unwrap()
                {
                    self.functions[at].quiet.push(pages);
                    if by.is_multiple_of(3) {
                        break;
                    }
                }
                if let Some(reservation) = self.functions[at].reservations.pop() {
                    let record = self.ledger.get_mut(self.functions[at].id).unwrap();
                    record.cancel_buffer(reservation);
                }
                take!(
                    token,
                    ScrubDone,
                    TranslationsRemoved,
                    r,
                    r.scrub_done(token)
                );
            }
            Token::ScrubDone(token) => {
                let mut budget = by % 4;
                while budget > 0 {
                    budget -= 1;
                    if let Some(frames) =
                        self.on(at, |record| record.frames_to_free(&token)).unwrap()
                    {
                        self.release(&frames);
                    }
                }
                let mut back = None;
                let finished = self.on(at, |record| {
                    record.finish(token).map_err(|(refusal, token)| {
                        back = Some(Token::ScrubDone(token));
                        refusal
                    })
                });
                next = back;
                if finished.is_ok() {
                    self.functions[at].holder = None;
                    self.seen.torn_down += 1;
                }
            }
        }
        self.functions[at].token = next;
    }

    fn teardown_reset(
        &mut self,
        at: usize,
        token: Teardown<QueuesQuiesced>,
        by: u16,
        next: &mut Option<Token>,
    ) {
        // Any old receipt is tried first.
        let receipt = match self.functions[at].receipts.pop() {
            Some(old) => old,
            None if by % 64 == 63 && self.seen.quarantined == 0 => {
                self.on(at, |record| {
                    record.quarantine(token).map_err(|(refusal, _)| refusal)
                })
                .unwrap();
                self.seen.quarantined += 1;
                return;
            }
            None => {
                self.stop_device(at);
                self.on(at, |record| record.prove_reset(ResetProof::FlrCompleted))
                    .unwrap()
            }
        };
        let moved = self.on(at, |record| {
            record
                .device_reset(token, receipt)
                .map_err(|(refusal, token, _)| {
                    *next = Some(Token::QueuesQuiesced(token));
                    refusal
                })
        });
        if let Ok((token, revoked)) = moved {
            assert!(
                self.functions[at].dma.is_empty(),
                "a receipt without a stopped device"
            );
            self.seen.revoked += revoked;
            *next = Some(Token::DeviceReset(token));
        }
    }

    /// Takes everything down and checks that nothing is left, except in quarantine.
    pub fn wind_down(&mut self) {
        for at in 0..self.functions.len() {
            if let Some(claim) = self.functions[at].claims.last().copied() {
                self.begin_teardown(at, &claim);
            }
            for round in 0..4000u16 {
                if self.functions[at].token.is_none() {
                    break;
                }
                self.carry_on(at, 2 + 4 * (round % 2));
            }
            let state = self.state(at);
            assert!(
                matches!(state, FunctionState::Unclaimed | FunctionState::Quarantined),
                "{state:?}"
            );
            let record = self.ledger.get(self.functions[at].id).unwrap();
            record.audit().unwrap();
            if state == FunctionState::Unclaimed {
                assert_eq!(record.accounting(), Accounting::default());
                assert!(self.functions[at].quiet.is_empty() && self.functions[at].wiped.is_empty());
            }
        }
    }
}
