//! VolumeKeeper and Snapshot: what a volume was, and whether it is sound.
//!
//! Their facets hold nothing here: a cookie says which part and which snapshot, to every incarnation of the service alike.

use sdk::storage::{directory, snapshot, volume_keeper};
use sdk::{Answered, Call, Cap, CapArg, Lifetime, Refusal, Reply};

use crate::server::{KEEPER, Opened, Right, SNAPSHOT};
use crate::{Server, Tree};

/// Snapshots of one answer.
const LISTED: usize = 64;
/// Bits of a snapshot's number in a cookie: a group a second for eight million years.
const GROUP_BITS: u32 = 48;
const GROUP_MASK: u64 = (1 << GROUP_BITS) - 1;
/// Parts whose snapshots a cookie can name.
const MAX_PART: u64 = 0xfff;

impl<T: Tree> Server<T> {
    /// A keeper of the volume that a facet is about.
    pub(crate) fn keeper_of(&mut self, cookie: u64) -> Result<CapArg, Refusal> {
        let part = self.part(cookie).map_err(|problem| problem.refusal)?;
        // Who has no snapshots has nothing to keep.
        self.tree.next_snapshot(part, 0)?;
        let part = u64::try_from(part).ok().filter(|part| *part <= MAX_PART);
        let cookie = KEEPER | part.ok_or(Refusal::NotSupported)?;
        self.mint_kept(cookie, volume_keeper::INTERFACE_ID)
    }

    fn mint_kept(&mut self, cookie: u64, interface: u64) -> Result<CapArg, Refusal> {
        let minted = self.endpoint.mint(cookie, interface, Lifetime::Durable)?;
        Ok(minted.facet.into_cap())
    }

    /// The part that a keeper is about, found again where the service was restarted since.
    fn kept_part(&mut self, cookie: u64) -> Result<usize, Refusal> {
        self.tree.parts().map_err(|problem| problem.refusal)?;
        usize::try_from(cookie & MAX_PART).map_err(|_| Refusal::NotFound)
    }

    /// The part and the number that a snapshot's facet is about.
    fn kept_group(&mut self, cookie: u64) -> Result<(usize, u64), Refusal> {
        self.tree.parts().map_err(|problem| problem.refusal)?;
        let part = cookie >> GROUP_BITS & MAX_PART;
        let part = usize::try_from(part).map_err(|_| Refusal::NotFound)?;
        Ok((part, cookie & GROUP_MASK))
    }

    fn open_snapshot(&mut self, cookie: u64, group: u64) -> Result<CapArg, Refusal> {
        let part = self.kept_part(cookie)?;
        self.tree.kept(part, group)?;
        if group > GROUP_MASK {
            return Err(Refusal::NotSupported);
        }
        let cookie = SNAPSHOT | (cookie & MAX_PART) << GROUP_BITS | group;
        self.mint_kept(cookie, snapshot::INTERFACE_ID)
    }

    fn attach_snapshot(&mut self, cookie: u64, window: Cap) -> Result<CapArg, Refusal> {
        let (part, group) = self.kept_group(cookie)?;
        let root = self.tree.snapshot_root(part, group).map_err(gone)?;
        let right = match sabotage::sabotage!(STORE_CHANGE_SNAPSHOT) {
            true => Right::Change,
            false => Right::Read,
        };
        let root = Opened::Directory(root, right);
        self.begin(part, root, window, directory::INTERFACE_ID)
    }

    /// Some snapshots behind that one, and whether there are no more.
    fn listed(
        &mut self,
        cookie: u64,
        mut after: u64,
    ) -> Result<(alloc::vec::Vec<crate::Kept>, bool), Refusal> {
        let part = self.kept_part(cookie)?;
        let mut list = alloc::vec::Vec::new();
        while let Some(kept) = self.tree.next_snapshot(part, after)? {
            if list.len() == LISTED {
                return Ok((list, false));
            }
            after = kept.group;
            list.push(kept);
        }
        Ok((list, true))
    }
}

/// What is not there was let go since the facet was given.
const fn gone(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::NotFound => Refusal::Stale,
        other => other,
    }
}

impl<'c, T: Tree> volume_keeper::Server<Call<'c>> for Server<T> {
    fn snapshot(&mut self, reply: Reply<Call<'c>, volume_keeper::call::Snapshot>) -> Answered {
        let part = self.kept_part(reply.cookie());
        let group = part.and_then(|part| self.tree.snapshot(part));
        reply.answer(group.map(|group| volume_keeper::SnapshotReply { group }))
    }

    fn snapshots(
        &mut self,
        reply: Reply<Call<'c>, volume_keeper::call::Snapshots>,
        after: u64,
    ) -> Answered {
        match self.listed(reply.cookie(), after) {
            Ok((list, end)) => reply.send(volume_keeper::SnapshotsReply { list: &list, end }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn open(&mut self, reply: Reply<Call<'c>, volume_keeper::call::Open>, group: u64) -> Answered {
        let snapshot = self.open_snapshot(reply.cookie(), group);
        reply.answer(snapshot.map(|snapshot| volume_keeper::OpenReply { snapshot }))
    }

    fn remove(
        &mut self,
        reply: Reply<Call<'c>, volume_keeper::call::Remove>,
        group: u64,
    ) -> Answered {
        let part = self.kept_part(reply.cookie());
        reply.answer(part.and_then(|part| self.tree.remove_snapshot(part, group)))
    }

    fn scrub(
        &mut self,
        reply: Reply<Call<'c>, volume_keeper::call::Scrub>,
        group: u64,
        after: &[u8],
    ) -> Answered {
        let part = self.kept_part(reply.cookie());
        match part.and_then(|part| self.tree.scrub(part, group, after)) {
            Ok(piece) => {
                let flaws: alloc::vec::Vec<&str> = piece
                    .flaws
                    .iter()
                    .map(alloc::string::String::as_str)
                    .collect();
                reply.send(volume_keeper::ScrubReply {
                    next: piece.next.as_deref().unwrap_or_default(),
                    end: piece.next.is_none(),
                    files: piece.files,
                    bytes: piece.bytes,
                    flaws: &flaws,
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn check(&mut self, reply: Reply<Call<'c>, volume_keeper::call::Check>) -> Answered {
        let part = self.kept_part(reply.cookie());
        match part.and_then(|part| self.tree.check(part)) {
            Ok(checked) => {
                let list: alloc::vec::Vec<&str> = checked
                    .list
                    .iter()
                    .map(alloc::string::String::as_str)
                    .collect();
                reply.send(volume_keeper::CheckReply {
                    group: checked.group,
                    used: checked.used,
                    free: checked.free,
                    inodes: checked.inodes,
                    problems: checked.problems,
                    list: &list,
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }
}

impl<'c, T: Tree> snapshot::Server<Call<'c>> for Server<T> {
    fn info(&mut self, reply: Reply<Call<'c>, snapshot::call::Info>) -> Answered {
        let found = self.kept_group(reply.cookie());
        let kept = found.and_then(|(part, group)| self.tree.kept(part, group).map_err(gone));
        reply.answer(kept.map(|kept| snapshot::InfoReply { kept }))
    }

    fn attach(&mut self, reply: Reply<Call<'c>, snapshot::call::Attach>, window: Cap) -> Answered {
        let root = self.attach_snapshot(reply.cookie(), window);
        reply.answer(root.map(|root| snapshot::AttachReply { root }))
    }
}
