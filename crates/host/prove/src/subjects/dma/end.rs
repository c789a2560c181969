//! The way of pages out of the record, and the end of a claim.

#[allow(
    clippy::wildcard_imports,
    reason = "the whole interface is what is tried"
)]
use dma_ledger::*;

use super::{Device, Forgotten, Out, Token};
use crate::explore::Outcome;

impl Device {
    pub(super) fn go_on(&mut self) -> Outcome {
        let Some(out) = self.out.pop() else {
            return Outcome::Refused;
        };
        match out {
            Out::Quiet(pages) => self.out.push(Out::Withdrawn(pages.withdraw(Forgotten))),
            Out::Withdrawn(pages) => {
                let wiped = Self::wipe(&mut self.machine, pages);
                self.out.push(Out::Wiped(wiped));
            }
            Out::Wiped(pages) => {
                let freed = match self.record.state() {
                    FunctionState::Revoking(_) => self.record.put_scrubbed(pages).map(|()| None),
                    _ => self.record.free(pages).map(Some),
                };
                match freed {
                    Ok(frame) => frame.into_iter().for_each(|frame| self.release(frame)),
                    Err((_, pages)) => {
                        self.out.push(Out::Wiped(pages));
                        return Outcome::Refused;
                    }
                }
            }
        }
        Outcome::Done
    }

    pub(super) fn begin_teardown(&mut self, claim: &Claim) -> Result<(), Refusal> {
        let token = self.record.begin_teardown(claim)?;
        self.token = Some(Token::Begun(token));
        self.machine.is_stopping = false;
        Ok(())
    }

    /// One step of the teardown. A refusal gives the token back.
    #[expect(clippy::too_many_lines, reason = "one step after the other")]
    pub(super) fn step(&mut self) -> Outcome {
        let Some(token) = self.token.take() else {
            return Outcome::Refused;
        };
        macro_rules! next {
            ($result:expr, $to:ident, $from:ident) => {
                match $result {
                    Ok(token) => (Token::$to(token), Outcome::Done),
                    Err((_, token)) => (Token::$from(token), Outcome::Refused),
                }
            };
        }
        let record = &mut self.record;
        let (token, outcome) = match token {
            Token::Begun(token) => next!(record.handles_revoked(token), HandlesRevoked, Begun),
            Token::HandlesRevoked(token) => next!(
                record.stop_submissions(token),
                SubmissionsStopped,
                HandlesRevoked
            ),
            Token::SubmissionsStopped(token) => {
                let held: Vec<MappingId> = record.mappings().map(|(id, _)| id).collect();
                let shot = self.machine.shoot_down();
                let next = next!(
                    record.mappings_removed(token, shot),
                    MappingsRemoved,
                    SubmissionsStopped
                );
                if next.1 == Outcome::Done {
                    assert!(
                        self.machine.mapped.is_empty(),
                        "mappings are gone, and one is there"
                    );
                }
                // It goes now, and the next look finds it gone.
                for id in held {
                    assert!(record.release_mapping(id).is_ok());
                    self.mapping
                        .iter()
                        .for_each(|(_, frame)| self.machine.unmap(*frame));
                }
                next
            }
            Token::MappingsRemoved(token) => next!(
                record.interrupts_masked(token),
                InterruptsMasked,
                MappingsRemoved
            ),
            Token::InterruptsMasked(token) => {
                // From here on the device is told to stop.
                self.machine.is_stopping = true;
                next!(
                    record.queues_quiesced(token),
                    QueuesQuiesced,
                    InterruptsMasked
                )
            }
            Token::QueuesQuiesced(token) => match self.receipts.pop() {
                None => (Token::QueuesQuiesced(token), Outcome::Refused),
                Some(receipt) => match record.device_reset(token, receipt) {
                    Ok((token, _)) => {
                        assert!(
                            self.machine.device.is_empty(),
                            "a receipt without a stopped device"
                        );
                        (Token::DeviceReset(token), Outcome::Done)
                    }
                    Err((_, token, _)) => (Token::QueuesQuiesced(token), Outcome::Refused),
                },
            },
            Token::DeviceReset(token) => {
                let drained = DrainProof::TransactionsPendingZero;
                next!(
                    record.bus_master_cleared(token, drained),
                    BusMasterCleared,
                    DeviceReset
                )
            }
            Token::BusMasterCleared(token) => {
                next!(
                    record.translations_removed(token, Forgotten),
                    TranslationsRemoved,
                    BusMasterCleared
                )
            }
            Token::TranslationsRemoved(token) => {
                while let Ok(Some(pages)) = record.next_to_scrub(&token) {
                    self.out.push(Out::Withdrawn(pages));
                }
                next!(record.scrub_done(token), ScrubDone, TranslationsRemoved)
            }
            Token::ScrubDone(token) => return self.finish(token),
        };
        self.token = Some(token);
        outcome
    }

    pub(super) fn finish(&mut self, token: Teardown<ScrubDone>) -> Outcome {
        match self.record.frames_to_free(&token) {
            Ok(Some(frame)) => {
                self.release(frame);
                self.token = Some(Token::ScrubDone(token));
            }
            Ok(None) => {
                assert!(
                    self.record.finish(token).is_ok(),
                    "a claim with nothing left ends"
                );
                assert!(
                    self.machine.held.is_empty() && self.out.is_empty(),
                    "a claim ends, and pages are left"
                );
                self.receipts.clear();
            }
            Err(refusal) => panic!("{refusal:?}"),
        }
        Outcome::Done
    }

    pub(super) fn quarantine(&mut self) -> Outcome {
        let Some(token) = self.token.take() else {
            return Outcome::Refused;
        };
        let Token::QueuesQuiesced(token) = token else {
            self.token = Some(token);
            return Outcome::Refused;
        };
        self.machine.is_stopping = false;
        let lost = self.record.quarantine(token).ok();
        assert_eq!(lost, Some(self.charged), "what is lost is what was charged");
        Outcome::Done
    }
}
