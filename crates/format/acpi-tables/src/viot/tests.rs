//! Tables of virtio-iommus that are right, and each rule that one can break.

use super::*;
use crate::testing::table;
use std::vec::Vec;

/// One function's range as 24 bytes, below the unit at an offset.
fn below(unit: u16, functions: (u16, u16)) -> Vec<u8> {
    let mut bytes = std::vec![1, 0, 24, 0];
    bytes.extend_from_slice(&u32::from(functions.0).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&functions.0.to_le_bytes());
    bytes.extend_from_slice(&functions.1.to_le_bytes());
    bytes.extend_from_slice(&unit.to_le_bytes());
    bytes.resize(24, 0);
    bytes
}

fn unit(function: u16) -> Vec<u8> {
    let mut bytes = std::vec![3, 0, 16, 0, 0, 0];
    bytes.extend_from_slice(&function.to_le_bytes());
    bytes.resize(16, 0);
    bytes
}

/// A table of these nodes, from offset 48 on.
fn viot(nodes: &[Vec<u8>]) -> Vec<u8> {
    let mut body = (nodes.len() as u16).to_le_bytes().to_vec();
    body.extend_from_slice(&48u16.to_le_bytes());
    body.resize(12, 0);
    nodes.iter().for_each(|node| body.extend_from_slice(node));
    table(b"VIOT", 0, &body)
}

fn rule(nodes: &[Vec<u8>]) -> Option<Rule> {
    Viot::parse(&viot(nodes)).err().map(|error| error.rule)
}

fn changed(mut node: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    node[at..at + bytes.len()].copy_from_slice(bytes);
    node
}

#[test]
fn a_unit_and_what_is_below_it_are_read() {
    // As an emulated machine has it: two root buses, and the unit after them.
    let bytes = viot(&[
        below(96, (0, 0xff)),
        below(96, (0x4000, 0x41ff)),
        unit(0x18),
    ]);
    let nodes: Vec<_> = Viot::parse(&bytes).unwrap().nodes().collect();
    let range = |functions: (u16, u16)| PciRange {
        segments: (0, 0),
        functions,
        endpoint: functions.0.into(),
        unit: 96,
    };
    assert_eq!(
        nodes,
        [
            (48, ViotNode::PciRange(range((0, 0xff)))),
            (72, ViotNode::PciRange(range((0x4000, 0x41ff)))),
            (96, ViotNode::PciUnit(0, 0x18)),
        ]
    );
}

#[test]
fn other_nodes_are_read_and_unknown_ones_skipped() {
    let endpoint = changed(below(48, (0, 0)), 0, &[2]);
    let mut at_address = changed(unit(0), 0, &[4]);
    at_address[9] = 0x10;
    let unknown = std::vec![9, 0, 5, 0, 1];
    let bytes = viot(&[at_address.clone(), unknown, endpoint]);
    let nodes: Vec<_> = Viot::parse(&bytes).unwrap().nodes().collect();
    assert_eq!(nodes[0], (48, ViotNode::MmioUnit(0x1000)));
    assert_eq!(nodes[1], (64, ViotNode::Unknown(9)));
    assert_eq!(nodes[2], (69, ViotNode::MmioEndpoint(48)));
    for base in [0, 1, 1 << 60] {
        let bad = changed(at_address.clone(), 8, &u64::to_le_bytes(base));
        assert_eq!(rule(&[bad]), Some(Rule::Address), "{base:#x}");
    }
}

#[test]
fn each_rule_is_named() {
    let good = [unit(0x18), below(48, (0, 0xff))];
    assert_eq!(rule(&good), None);
    assert_eq!(rule(&[]), None);
    // A range below itself, below nothing, below the middle of a unit.
    for output in [64, 0, 50, 0xffff] {
        let lost = below(output, (0, 0xff));
        assert_eq!(rule(&[unit(0x18), lost]), Some(Rule::Field), "{output}");
    }
    let back = below(48, (5, 4));
    assert_eq!(rule(&[unit(0), back]), Some(Rule::BusRange));
    let segments = changed(below(48, (0, 4)), 8, &[2, 0, 1, 0]);
    assert_eq!(rule(&[unit(0), segments]), Some(Rule::BusRange));
    let high = changed(below(48, (0, 4)), 4, &0xffff_fffcu32.to_le_bytes());
    assert_eq!(rule(&[unit(0), high]), Some(Rule::Address));
    let twice = [unit(0), below(48, (0, 4)), below(48, (4, 9))];
    assert_eq!(rule(&twice), Some(Rule::Overlap));
    assert_eq!(rule(&[unit(7), unit(7)]), Some(Rule::Overlap));
    for length in [0u16, 3, 15] {
        let short = changed(unit(0), 2, &length.to_le_bytes());
        assert_eq!(rule(&[short]), Some(Rule::EntryLength), "{length}");
    }
    let long = changed(unit(0), 2, &17u16.to_le_bytes());
    assert_eq!(rule(&[long]), Some(Rule::EntryOverrun));
}

#[test]
fn counts_and_offsets_are_not_believed() {
    let with = |at: usize, value: u16| {
        let mut bytes = viot(&[unit(0x18), below(48, (0, 0xff))]);
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        crate::testing::seal(&mut bytes);
        Viot::parse(&bytes).err().map(|error| error.rule)
    };
    assert_eq!(with(36, 257), Some(Rule::TooMany));
    assert_eq!(with(36, 3), Some(Rule::EntryOverrun));
    assert_eq!(with(36, 1), None);
    for first in [0, 47, 200, 0xffff] {
        assert_eq!(with(38, first), Some(Rule::EntryOverrun), "{first}");
    }
    let many: Vec<_> = (0..256u16).map(unit).collect();
    assert_eq!(rule(&many), None);
    let cut = table(b"VIOT", 0, &[0; 11]);
    let error = Viot::parse(&cut).unwrap_err();
    assert_eq!(std::format!("{error}"), "VIOT: truncated");
}
