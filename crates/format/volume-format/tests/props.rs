//! Whatever is decoded is sound, and whatever is encoded comes back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use volume_format::{
    BLOCK, Bind, Inode, Kind, Label, Layout, Node, NodeMut, Ptr, PtrKind, Root, Snap, Source,
    Stamp, VERIFY, parse,
};

const UUID: [u8; 16] = [3; 16];

fn layout() -> Layout {
    Layout::new(1000).unwrap()
}

fn ptr(kind: PtrKind) -> Ptr {
    Ptr {
        lba: 70,
        birth: 3,
        sum: 99,
        mount: 2,
        kind,
    }
}

fn root() -> Root {
    Root {
        txg: 65,
        previous: 64,
        previous_sum: 5,
        mount: 2,
        flags: VERIFY,
        tree: ptr(PtrKind::Node),
        height: 1,
        space: ptr(PtrKind::Table),
        free: 700,
        freed: 3,
        next_id: 9,
        snapshot: 4,
        dead: 2,
        written: 7,
        stamp: Stamp {
            ns: -5,
            source: Source::Ntp,
            boot: 1,
        },
    }
}

#[test]
fn records_come_back() {
    let mut block = vec![0; BLOCK];
    let sum = root().encode(&UUID, &mut block);
    assert_eq!(
        Root::decode(&block, &UUID, 1, &layout()),
        Some((root(), sum))
    );
    assert_eq!(Root::decode(&block, &UUID, 2, &layout()), None);
    assert_eq!(Root::decode(&block, &[4; 16], 1, &layout()), None);
    let label = Label {
        uuid: UUID,
        layout: layout(),
        compat: 1,
        ro_compat: 0,
        incompat: 0,
        max_file: 1 << 40,
        created: Stamp::NONE,
        name: [b'x'; 64],
    };
    for lba in layout().labels() {
        label.encode(lba, &mut block);
        assert_eq!(Label::decode(lba, &block), Ok(label));
        assert!(Label::decode(lba ^ 1, &block).is_err());
    }
    let inode = Inode {
        kind: Kind::Dir,
        size: 2,
        parent: 1,
        created: Stamp::NONE,
        modified: root().stamp,
    };
    assert_eq!(Inode::decode(&inode.encode()), Some(inode));
    let snap = Snap {
        tree: ptr(PtrKind::Node),
        height: 0,
        created: Stamp::NONE,
    };
    assert_eq!(Snap::decode(&snap.encode(), &layout(), 5), Some(snap));
}

/// A changed bit of a root or a label is noticed, whichever it is.
#[test]
fn every_bit_of_a_root_counts() {
    let mut block = vec![0; BLOCK];
    root().encode(&UUID, &mut block);
    for bit in 0..512 * 8 {
        block[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Root::decode(&block, &UUID, 1, &layout()), None, "bit {bit}");
        block[bit / 8] ^= 1 << (bit % 8);
    }
}

proptest! {
    #[test]
    fn a_node_does_what_a_map_does(steps in prop::collection::vec((any::<bool>(), prop::collection::vec(0u8..4, 0..40), 0usize..200), 1..200)) {
        let (mut block, mut upper) = (vec![0; BLOCK], vec![0; BLOCK]);
        NodeMut::start(&mut block, 3);
        let mut model = BTreeMap::new();
        for (put, key, value) in steps {
            let value = vec![7u8; value];
            let mut node = NodeMut::of(&mut block);
            match (put, node.node().find(&key)) {
                (true, Err(index)) if node.insert(index, &key, &value) => {
                    model.insert(key, value);
                }
                (false, Ok(index)) => { node.remove(index); model.remove(&key); }
                _ => {}
            }
            let node = Node::check(&block, 3).unwrap();
            let found: BTreeMap<Vec<u8>, Vec<u8>> = (0..node.len())
                .map(|index| (node.key(index).to_vec(), node.value(index).to_vec())).collect();
            prop_assert_eq!(&found, &model);
        }
        NodeMut::of(&mut block).split(&mut upper);
        let (low, high) = (Node::check(&block, 3).unwrap(), Node::check(&upper, 3).unwrap());
        prop_assert_eq!(low.len() + high.len(), model.len());
        if model.len() > 1 { prop_assert!(!low.is_empty() && !high.is_empty()); }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(mut bytes in prop::collection::vec(any::<u8>(), BLOCK), cut in 0usize..BLOCK, count in 0u16..100) {
        bytes[..4].copy_from_slice(b"VOLN");
        bytes[6..8].copy_from_slice(&count.to_le_bytes());
        for part in [&bytes[..], &bytes[..cut]] {
            let _ = Node::check(part, bytes[4]);
            let _ = Label::decode(0, part);
            let _ = Root::decode(part, &UUID, 0, &layout());
            let _ = Ptr::decode(part, PtrKind::Data, &layout(), 9);
            let _ = Snap::decode(part, &layout(), 9);
            let _ = Bind::decode(part);
            let _ = Inode::decode(part);
            let _ = parse(part);
        }
    }
}
