//! Reading everything, with one block rotten after the other.

use std::collections::BTreeSet;

use crash_lab::faults;
use crash_lab::work::{self, NOW, Step};
use crash_lab::{Image, View};
use volume_core::{
    Access, Durability, Error, Expect, Flaw, ObjectNamed, Owner, ROOT_DIR, Scrubbed, Volume,
};
use volume_format::Kind;

/// Enough names for several leaves.
fn image() -> Image {
    let before = work::empty(600);
    let mut steps: Vec<Step> = (0..150).map(Step::Create).collect();
    steps.extend((0..20).map(|number| Step::Write(number, 0, 5000)));
    steps.push(Step::Checkpoint);
    faults::end(&before, &work::record(&before, &steps).events)
}

/// What a scrub that takes so many keys at a time finds. `None` where the volume does not mount.
fn scrub(disk: View<'_>, keys: u32) -> Option<(Scrubbed, BTreeSet<String>)> {
    let mut volume = Volume::mount(disk, Access::Read).ok()?.volume;
    let view = volume.live();
    let (mut seen, mut flaws) = (Scrubbed::default(), BTreeSet::new());
    let mut at = Vec::new();
    for _ in 0..10_000 {
        let step = volume.scrub(&view, &at, keys, &mut seen, |volume, flaw: Flaw| {
            let path = flaw
                .owner()
                .and_then(|id| volume.path_of(&view, id).unwrap());
            let path = path.map(|path| String::from_utf8(path).unwrap());
            flaws.insert(format!("{} {flaw}", path.unwrap_or_default()));
        });
        match step.unwrap() {
            Some(next) => at = next,
            None => return Some((seen, flaws)),
        }
    }
    panic!("a scrub does not end");
}

#[test]
fn a_scrub_goes_on_behind_every_rotten_block() {
    let image = image();
    let (whole, flaws) = scrub(View::new(&image), 1000).unwrap();
    assert_eq!((whole.files, whole.blocks), (150, 40));
    assert!(flaws.is_empty(), "{flaws:?}");
    // However small the steps are.
    assert_eq!(scrub(View::new(&image), 1), Some((whole, flaws)));
    let (mut data, mut nodes) = (0, 0);
    for (lba, block) in &image.content {
        let mut rotten = View::new(&image);
        let mut bytes = block.to_vec();
        bytes[100] ^= 1;
        rotten.over.insert(*lba, bytes.into());
        let Some((seen, flaws)) = scrub(rotten, 7) else {
            continue;
        };
        let Some(flaw) = flaws.first() else {
            // A second copy, or what nothing reaches.
            assert_eq!(seen, whole, "{lba}");
            continue;
        };
        assert_eq!(flaws.len(), 1, "{flaws:?}");
        assert!(flaw.contains(&format!("block {lba}")), "{flaw}");
        if flaw.contains("of inode") {
            assert_eq!((seen.files, seen.blocks), (150, 40), "{flaw}");
            assert!(!flaw.starts_with(' '), "{flaw}");
            data += 1;
        } else {
            // One leaf is lost, or all of them.
            assert!(
                seen.files < 150 || seen.blocks < 40 || seen == whole,
                "{flaw}"
            );
            nodes += 1;
        }
    }
    assert_eq!(data, 40);
    assert!(nodes > 3, "{nodes}");
}

#[test]
fn any_bytes_may_be_the_place_to_go_on_from() {
    let image = image();
    let disk = View::new(&image);
    let mut volume = Volume::mount(disk, Access::Read).unwrap().volume;
    let view = volume.live();
    for at in [&[0xff; 400][..], &[0; 400], &[3, 0, 0], &[3; 289], &[]] {
        let mut seen = Scrubbed::default();
        let step = volume.scrub(&view, at, 3, &mut seen, |_, flaw| panic!("{flaw}"));
        assert!(step.unwrap().is_none_or(|next| next.as_slice() > at));
    }
}

/// Who scrubs learns which object it is, who puts it again is not told that it is there, and both lose nothing that is open.
#[test]
fn a_damaged_object_is_named_is_no_success_to_put_and_can_be_put_again() {
    let bytes = [0xb7; 9000];
    let empty = work::empty(600);
    let mounted = Volume::mount(View::new(&empty), Access::Write);
    let mut volume = mounted.unwrap().volume;
    for other in 0..20 {
        volume.put_object([other; 32], b"whole", NOW).unwrap();
    }
    assert!(volume.put_object([99; 32], &bytes, NOW).unwrap());
    volume
        .bind(1, b"name", [99; 32], Expect::Nothing, NOW)
        .unwrap();
    volume.commit(Durability::Checkpoint, NOW).unwrap();
    assert!(!volume.put_object([99; 32], &bytes, NOW).unwrap());
    let over = &mut volume.disk_mut().over;
    let rotten = over.values_mut().find(|block| block[..] == [0xb7; 4096]);
    let block = rotten.unwrap();
    let mut changed = block.to_vec();
    changed[7] ^= 1;
    *block = changed.into();

    volume.create(ROOT_DIR, b"open", Kind::File, NOW).unwrap();
    let view = volume.live();
    let (mut seen, mut found) = (Scrubbed::default(), Vec::new());
    let all = volume.scrub(&view, &[], u32::MAX, &mut seen, |volume, flaw| {
        found.push(volume.owner_of(&view, &flaw, 100).unwrap());
        found.push(volume.owner_of(&view, &flaw, 3).unwrap());
    });
    assert_eq!(all.unwrap(), None);
    let named = Some([99; 32]);
    assert_eq!(found, [Owner::Object(named), Owner::Object(None)]);
    let hex = "63".repeat(32);
    assert_eq!(ObjectNamed(named).to_string(), format!("object {hex}"));

    let put = volume.put_object([99; 32], &bytes, NOW);
    assert!(matches!(put, Err(Error::Corrupt(_))), "{put:?}");
    let live = volume.live();
    assert!(volume.lookup(&live, ROOT_DIR, b"open").is_ok());
    volume.unbind(1, b"name", Expect::Anything, NOW).unwrap();
    volume.delete_object([99; 32], NOW).unwrap();
    assert!(volume.put_object([99; 32], &bytes, NOW).unwrap());
    assert!(!volume.put_object([99; 32], &bytes, NOW).unwrap());
}
