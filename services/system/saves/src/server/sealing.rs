//! Capsules: what a call asks of the vault of its export.

use save_capsule::Refused;
use save_core::{Key, Slot};
use save_vault::{NotRestored, Sealed, Vault};
use sdk::alloc::vec::Vec;
use sdk::saving::capsules::{self, Gate};
use sdk::saving::save_store::{End, Kind};
use sdk::stub::read::List;
use sdk::{Answered, Call, EntropySource, Refusal, Reply};

use super::{Ended, Exported, Minted, Not, Server, Store, key_of, retry_of, settle};
use crate::near::Near;
use crate::sealer::dice;

/// There is no secret yet.
const NO_SECRET: Not = Not::Done(save_core::Refusal::Unavailable {
    retry_after_ms: 10_000,
});
/// More than fit into a call.
const MOST_BETWEEN: usize = 8;

type Others<'a> = List<'a, capsules::BetweenReader<'a>>;
/// The version that was made, or which gate refused it.
type Outcome = Result<u64, (Gate, u64)>;

/// The gate that refused a capsule, and what there is to say of it.
const fn gate(refused: Refused) -> (Gate, u64) {
    match refused {
        Refused::Oversized => (Gate::Oversized, 0),
        Refused::Malformed => (Gate::Malformed, 0),
        Refused::Unsigned => (Gate::Unsigned, 0),
        Refused::Tampered => (Gate::Tampered, 0),
        Refused::UnknownContent(content) => (Gate::UnknownContent, content.0 as u64),
        Refused::WrongProfile => (Gate::WrongProfile, 0),
        Refused::WrongSchema(found) => (Gate::WrongSchema, found as u64),
        Refused::Stale { seen, .. } => (Gate::Stale, seen),
        Refused::Forked(found) => (Gate::Forked, found),
        Refused::Gap { seen, .. } => (Gate::Gap, seen),
        Refused::KeyGone => (Gate::KeyGone, 0),
    }
}

impl Server {
    /// The vault that a call is about, and where its random numbers are from.
    fn vault(&mut self, cookie: u64) -> Ended<(&mut Vault<Near>, &EntropySource)> {
        let place = usize::try_from(cookie).unwrap_or(usize::MAX);
        let (Some(Exported::Capsules(sealer)), Some(entropy)) =
            (self.exports.get_mut(place), &self.entropy)
        else {
            return Err(Not::Asked(Refusal::NotSupported));
        };
        let vault = sealer.vault(entropy).ok_or(NO_SECRET)?;
        Ok((vault, entropy))
    }

    fn sealed(&mut self, cookie: u64, key: Ended<Key>) -> Ended<Option<Sealed>> {
        let key = key?;
        let (vault, entropy) = self.vault(cookie)?;
        let (dice, handle) = dice(entropy).map_err(Not::Asked)?;
        Ok(vault.seal(&key, dice, handle)?)
    }

    fn is_sent(&mut self, cookie: u64, key: Ended<Key>, handle: &[u8]) -> Ended<()> {
        let key = key?;
        let handle = handle
            .try_into()
            .map_err(|_| Not::Asked(Refusal::BadArgument))?;
        let (vault, _) = self.vault(cookie)?;
        vault.sent(&key, &handle)?;
        Ok(())
    }

    fn number(&mut self, cookie: u64, key: Ended<Key>) -> Ended<u64> {
        let key = key?;
        let (vault, _) = self.vault(cookie)?;
        Ok(vault.seen(&key)?)
    }

    fn restored(
        &mut self,
        cookie: u64,
        key: &Key,
        retry: &[u8],
        capsule: &[u8],
        between: &[&[u8]],
    ) -> Ended<Outcome> {
        let retry = retry_of(retry)?;
        let (vault, _) = self.vault(cookie)?;
        let restored = match vault.restore(key, retry, capsule, between) {
            Ok(version) => Ok(version),
            Err(NotRestored::Gate(refused)) => Err(gate(refused)),
            Err(NotRestored::OtherRecord) => Err((Gate::OtherRecord, 0)),
            Err(NotRestored::Store(refusal)) => return Err(refusal.into()),
        };
        if restored.is_ok() {
            self.changed_behind(cookie, key);
        }
        Ok(restored)
    }

    fn restore_call(
        &mut self,
        cookie: u64,
        (kind, name): (Kind, &str),
        retry: &[u8],
        capsule: &[u8],
        between: &Others<'_>,
    ) -> Ended<Option<Outcome>> {
        let key = key_of(kind, name)?;
        let mut others = Vec::new();
        for one in between.iter().take(MOST_BETWEEN) {
            let bad = |_| Not::Asked(Refusal::BadArgument);
            others.push(one.capsule().map_err(bad)?);
        }
        let restored = self.restored(cookie, &key, retry, capsule, &others)?;
        Ok(Some(restored))
    }

    /// What was restored is brought to the bridge as what was put is.
    fn changed_behind(&mut self, cookie: u64, key: &Key) {
        let place = usize::try_from(cookie).unwrap_or(usize::MAX);
        let of = match self.exports.get(place) {
            Some(Exported::Capsules(sealer)) => sealer.of(),
            _ => return,
        };
        if let Some(Exported::Facet(Minted {
            store: Some(Store::Kept(kept)),
            ..
        })) = self.exports.get_mut(of)
        {
            kept.saves.changed(Slot::head(key));
            kept.pace.stirred();
        }
    }
}

impl<'c> capsules::Server<Call<'c>> for Server {
    fn seal(
        &mut self,
        reply: Reply<Call<'c>, capsules::call::Seal>,
        kind: Kind,
        name: &str,
    ) -> Answered {
        match settle(self.sealed(reply.cookie(), key_of(kind, name))) {
            Ok((end, detail, sealed)) => {
                let handle = sealed.as_ref().map(|sealed| sealed.handle);
                reply.send(capsules::SealReply {
                    end,
                    detail,
                    version: sealed.as_ref().map_or(0, |sealed| sealed.version),
                    handle: handle.as_ref().map_or(&[], |handle| &handle[..]),
                    capsule: sealed.as_ref().map_or(&[], |sealed| &sealed.capsule),
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn sent(
        &mut self,
        reply: Reply<Call<'c>, capsules::call::Sent>,
        kind: Kind,
        name: &str,
        handle: &[u8],
    ) -> Answered {
        let ended = self.is_sent(reply.cookie(), key_of(kind, name), handle);
        reply.answer(settle(ended).map(|(end, detail, ())| capsules::SentReply { end, detail }))
    }

    fn seen(
        &mut self,
        reply: Reply<Call<'c>, capsules::call::Seen>,
        kind: Kind,
        name: &str,
    ) -> Answered {
        let ended = self.number(reply.cookie(), key_of(kind, name));
        reply.answer(
            settle(ended).map(|(end, detail, number)| capsules::SeenReply {
                end,
                detail,
                number,
            }),
        )
    }

    fn restore(
        &mut self,
        reply: Reply<Call<'c>, capsules::call::Restore>,
        kind: Kind,
        name: &str,
        retry: &[u8],
        capsule: &[u8],
        between: Others<'_>,
    ) -> Answered {
        let ended = self.restore_call(reply.cookie(), (kind, name), retry, capsule, &between);
        reply.answer(settle(ended).map(|(end, detail, restored)| {
            let (gate, end, detail, version) = match restored {
                Some(Ok(version)) => (Gate::Passed, end, detail, version),
                Some(Err((gate, detail))) => (gate, End::Damaged, detail, 0),
                None => (Gate::Passed, end, detail, 0),
            };
            capsules::RestoreReply {
                gate,
                end,
                detail,
                version,
            }
        }))
    }
}
