//! The wire of datagrams.

use gve_model::{Datagrams, Port};

#[test]
fn a_burst_longer_than_the_peers_queue_arrives_whole_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let mut from = Datagrams::new(&one, &two).unwrap();
    let mut to = Datagrams::new(&two, &one).unwrap();
    // A system lets some ten datagrams wait.
    for number in 0..200u8 {
        from.send(&[number; 60]);
    }
    for number in 0..200u8 {
        let frame = to.receive().or_else(|| {
            from.turn();
            to.receive()
        });
        assert_eq!(frame, Some(vec![number; 60]));
    }
    assert_eq!(to.receive(), None);
}
