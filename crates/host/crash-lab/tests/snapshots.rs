//! A snapshot that is let go: what only it held becomes free, a piece at a time, whatever happens in between.

use std::collections::BTreeMap;

use crash_lab::View;
use crash_lab::work::{self, NOW};
use volume_core::{Access, Durability, Error, ROOT_DIR, Volume};
use volume_format::Kind;

/// The volume after `work`, mounted anew; the checker finds nothing wrong with it.
fn after<'i>(
    mut view: View<'i>,
    work: impl FnOnce(&mut Volume<View<'i>>),
) -> (View<'i>, BTreeMap<&'static str, u64>) {
    let mut volume = Volume::mount(view, Access::Write).unwrap().volume;
    work(&mut volume);
    volume.commit(Durability::Checkpoint, NOW).unwrap();
    let usage = volume.usage();
    view = volume.into_disk();
    let report = volume_check::check(&mut view);
    assert!(
        report.problems.is_empty(),
        "{:?}",
        report.problems.first().map(|problem| &problem.text)
    );
    let seen = [("free", usage.free), ("held", usage.snapshots)];
    (view, BTreeMap::from(seen))
}

fn write<'i>(volume: &mut Volume<View<'i>>, name: &[u8], blocks: usize) {
    let id = volume.create(ROOT_DIR, name, Kind::File, NOW).unwrap();
    for at in (0..blocks).step_by(50) {
        let piece = vec![7; (blocks - at).min(50) * 4096];
        volume.write(id, at as u64 * 4096, &piece, NOW).unwrap();
    }
}

#[test]
fn what_a_snapshot_held_becomes_free_in_pieces_that_others_come_between() {
    let image = work::empty(12_000);
    let mut numbers = [0; 3];
    let (view, before) = after(View::new(&image), |volume| write(volume, b"kept", 10));
    let (view, _) = after(view, |volume| {
        write(volume, b"first", 900);
        numbers[0] = volume.create_snapshot(NOW).unwrap();
        write(volume, b"second", 900);
        numbers[1] = volume.create_snapshot(NOW).unwrap();
        volume.remove(ROOT_DIR, b"first", NOW).unwrap();
        volume.remove(ROOT_DIR, b"second", NOW).unwrap();
        numbers[2] = volume.create_snapshot(NOW).unwrap();
    });
    // The one in the middle: what is older than it belongs to the first from now on.
    let mut pieces = 0;
    let (mut view, seen) = after(view, |volume| volume.let_go(numbers[1], NOW).unwrap());
    assert!(seen["held"] > 1800);
    let mut held = seen["held"];
    loop {
        let mut more = false;
        let (next, seen) = after(view, |volume| {
            assert_eq!(volume.next_snapshot(numbers[0]), Ok(Some(numbers[2])));
            assert_eq!(volume.snapshot(numbers[1]).err(), Some(Error::NotFound));
            more = volume.free_gone(NOW).unwrap();
        });
        (view, pieces) = (next, pieces + 1);
        // Nodes of the tree that the last snapshot has are dropped meanwhile.
        assert!(seen["held"] < held + 64);
        held = seen["held"];
        if !more {
            break;
        }
    }
    assert!(pieces > 3, "{pieces}");
    assert!((900..1000).contains(&held), "{held}");
    // The first and the last at once, with changes in between.
    let (view, _) = after(view, |volume| {
        volume.let_go(numbers[0], NOW).unwrap();
        volume.free_gone(NOW).unwrap();
        volume.let_go(numbers[2], NOW).unwrap();
    });
    let (view, _) = after(view, |volume| write(volume, b"between", 5));
    let (view, seen) = after(view, |volume| {
        while volume.free_gone(NOW).unwrap() {}
        volume.remove(ROOT_DIR, b"between", NOW).unwrap();
    });
    assert_eq!(seen["held"], 0);
    // But for a level of the tree that stays.
    assert!(seen["free"] + 4 >= before["free"]);
    drop(view);
}

#[test]
fn a_full_volume_lets_a_snapshot_go() {
    let image = work::empty(1500);
    let mut number = 0;
    let (view, full) = after(View::new(&image), |volume| {
        write(volume, b"old", 500);
        number = volume.create_snapshot(NOW).unwrap();
        volume.remove(ROOT_DIR, b"old", NOW).unwrap();
        let id = volume.create(ROOT_DIR, b"new", Kind::File, NOW).unwrap();
        let mut at = 0;
        while volume.write(id, at, &[1; 4096], NOW).is_ok() {
            at += 4096;
            if volume.pending() > 20 {
                volume.commit(Durability::Checkpoint, NOW).unwrap();
            }
        }
    });
    let (_, seen) = after(view, |volume| volume.delete_snapshot(number, NOW).unwrap());
    assert_eq!(seen["held"], 0);
    assert!(seen["free"] > full["free"] + 490);
}
