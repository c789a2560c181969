//! Revocation against everything else that ends or makes a mapping, in every interleaving that loom can find.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p mapping-ledger --test races --release`
#![cfg(loom)]

mod world;

use std::sync::Arc;

use loom::thread;
use mapping_ledger::{Area, Mapped as _, PAGE_BYTES, Tables as _, map, retire, revoke, unmap};
use ring_abi::Refusal;
use world::{Freed, Object, Space, World};

/// Two steps.
const PAGES: u64 = 65;

struct It {
    object: Arc<Object>,
    space: Arc<Space>,
    freed: Arc<Freed>,
}

impl Clone for It {
    fn clone(&self) -> Self {
        Self {
            object: self.object.clone(),
            space: self.space.clone(),
            freed: self.freed.clone(),
        }
    }
}

impl It {
    fn new(pages: u64) -> Self {
        Self {
            object: Object::new(100, pages),
            space: Space::new(1),
            freed: Arc::default(),
        }
    }

    fn map(&self) -> Result<u64, Refusal> {
        let request = Space::request(0, self.object.pages);
        map::<World>(&self.space, &self.object, request)
    }

    /// Ends every mapping and frees the frames, as `DmaBuffer.free` does.
    fn free(&self) {
        let proof = revoke::<World>(&*self.object);
        self.freed.free(&self.object, proof);
        self.freed.check(&[&self.space]);
    }

    fn unmap(&self, address: u64) -> Result<(), Refusal> {
        unmap::<World>(&self.space, Area::Region(address))
    }
}

/// At most three forced switches: every race of these has its place within two.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

fn beside(it: &It, f: impl FnOnce(It) + Send + 'static) -> thread::JoinHandle<()> {
    let it = it.clone();
    thread::spawn(move || f(it))
}

#[test]
fn revoke_against_free() {
    model(|| {
        let it = It::new(PAGES);
        let address = it.map().unwrap();
        it.freed.touch(&it.space, address);
        // The first caller of a revocation is anywhere in it when the second one comes, and frees.
        let revoker = beside(&it, |it| drop(revoke::<World>(&*it.object)));
        it.free();
        it.freed.touch(&it.space, address);
        revoker.join().unwrap();
    });
}

#[test]
fn free_against_faults() {
    model(|| {
        let it = It::new(1);
        let address = it.map().unwrap();
        let program = beside(&it, move |it| {
            it.freed.touch(&it.space, address);
            it.freed.touch(&it.space, address);
        });
        it.free();
        program.join().unwrap();
    });
}

#[test]
fn free_against_unmap_and_a_mapping_of_ones_own() {
    model(|| {
        let it = It::new(1);
        let address = it.map().unwrap();
        let own = Object::new(500, 1);
        let mine = own.clone();
        let client = beside(&it, move |it| {
            it.unmap(address).unwrap();
            let request = Space::request(0, 1);
            let again = map::<World>(&it.space, &mine, request).unwrap();
            assert_eq!(again, address, "the room is the same");
            assert_eq!(it.space.touch(again).map(|(frame, _)| frame), Some(500));
        });
        it.free();
        client.join().unwrap();
        let entry = it.space.touch(address).map(|(frame, _)| frame);
        assert_eq!(
            entry,
            Some(500),
            "a revocation took what is another object's"
        );
        assert_eq!(own.ledger().mappings(), 1);
    });
}

#[test]
fn free_against_unmap_of_a_part() {
    model(|| {
        let it = It::new(3);
        let address = it.map().unwrap();
        let client = beside(&it, move |it| {
            let area = Area::Range {
                address: address + PAGE_BYTES,
                pages: 1,
            };
            unmap::<World>(&it.space, area).unwrap();
        });
        it.free();
        client.join().unwrap();
        assert_eq!(it.space.touch(address + PAGE_BYTES), None);
        assert_eq!(it.object.ledger().mappings(), 0);
        assert_eq!(it.space.ledger().regions(), 2);
    });
}

#[test]
fn free_against_map() {
    model(|| {
        let it = It::new(PAGES);
        let client = beside(&it, |it| match it.map() {
            Ok(address) => it.freed.touch(&it.space, address),
            Err(refusal) => assert_eq!(refusal, Refusal::Revoked),
        });
        it.free();
        client.join().unwrap();
        it.freed.check(&[&it.space]);
        assert_eq!(it.map(), Err(Refusal::Revoked));
    });
}

#[test]
fn free_against_exit() {
    model(|| {
        let it = It::new(PAGES);
        let address = it.map().unwrap();
        it.freed.touch(&it.space, address);
        let exit = beside(&it, |it| retire::<World>(&*it.space));
        it.free();
        exit.join().unwrap();
        assert_eq!(it.space.ledger().regions(), 0);
        assert_eq!(it.map(), Err(Refusal::WrongState));
    });
}

#[test]
fn map_against_exit() {
    model(|| {
        let it = It::new(PAGES);
        let exit = beside(&it, |it| retire::<World>(&*it.space));
        if let Err(refusal) = it.map() {
            assert_eq!(refusal, Refusal::WrongState);
        }
        exit.join().unwrap();
        assert_eq!(it.space.ledger().regions(), 0);
        assert_eq!(it.object.ledger().mappings(), 0);
    });
}
