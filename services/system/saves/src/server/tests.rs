//! The service on the host, over a store in memory.

use sdk::alloc::rc::Rc;
use sdk::saving::save_store::{Client, End, Expect, Kind};
use sdk::{Cap, Refusal, SaveStore};

use super::{Server, Stores};
use crate::near::Near;
use crate::options::Options;

fn store() -> SaveStore {
    let facet =
        "facet tenant=00000000000000000000000000000005 profile=00000000000000000000000000000006";
    let options = Options::read(["memory", facet].into_iter()).unwrap();
    let here = Stores::Here {
        near: Near::Memory(Rc::default()),
        way: None,
        timer: None,
    };
    sdk::host::serve(Server::new(options.exports, here, None))
}

fn put(store: &Client<Cap>, expect: Expect, version: u64, retry: u8, payload: &[u8]) -> (End, u64) {
    let retry = [retry; 16];
    let put = store.put(Kind::Checkpoint, "slot", expect, version, &retry, payload);
    let put = put.unwrap();
    let end = put;
    (end.end, end.version.max(end.detail))
}

#[test]
fn a_call_made_again_is_one_call() {
    let store = store();
    assert_eq!(put(&store, Expect::Absent, 0, 1, b"a"), (End::Done, 1));
    assert_eq!(put(&store, Expect::Absent, 0, 1, b"a"), (End::Done, 1));
    assert_eq!(put(&store, Expect::Absent, 0, 2, b"a"), (End::Conflict, 1));
    assert_eq!(put(&store, Expect::Version, 1, 3, b"b"), (End::Done, 2));
    assert_eq!(
        put(&store, Expect::Any, 0, 4, &[0; 9000]),
        (End::TooLarge, 8192)
    );
}

#[test]
fn what_is_no_call_is_refused() {
    let store = store();
    let put = |name, expect, version, retry: &[u8]| {
        let put = store.put(Kind::Profile, name, expect, version, retry, b"x");
        put.err()
    };
    let bad = Some(Refusal::BadArgument);
    assert_eq!(put("../x", Expect::Any, 0, &[1; 16]), bad);
    assert_eq!(put("x", Expect::Any, 0, &[1; 15]), bad);
    assert_eq!(put("x", Expect::Any, 0, &[0; 16]), bad);
    assert_eq!(put("x", Expect::Any, 1, &[1; 16]), bad);
    assert_eq!(put("x", Expect::Version, 0, &[1; 16]), bad);
    assert_eq!(put("x", Expect::Any, 0, &[1; 16]), None);
}

#[test]
fn pages_lead_to_the_end() {
    let store = store();
    for number in 0..12u8 {
        let payload = [number; 2000];
        let line = store.append("trades", number.into(), &[number + 1; 16], &payload);
        assert_eq!(line.unwrap().end, End::Done);
        put(&store, Expect::Any, 0, number + 1, &[number; 8000]);
    }
    let (mut from, mut pages) = (0, 0);
    loop {
        let more = store.read_ledger("trades", from, |page| {
            for line in page.records().unwrap().iter() {
                assert_eq!(
                    (line.version(), line.payload().unwrap()[0]),
                    (from, from as u8)
                );
                from += 1;
            }
            page.more()
        });
        pages += 1;
        if !more.unwrap() {
            break;
        }
    }
    assert!(from == 12 && pages > 1, "{from} lines in {pages} pages");
    let (mut from, mut pages) = (1, 0);
    while from <= 12 {
        let read = store.history(Kind::Checkpoint, "slot", from, |page| {
            let last = page.records().unwrap().iter().last().unwrap().version();
            (last + 1, page.more())
        });
        let (next, more) = read.unwrap();
        assert_eq!(more, next <= 12);
        (from, pages) = (next, pages + 1);
    }
    assert!(pages > 1);
    let named = store.list(Kind::Profile, "", |page| {
        let names = page.names().unwrap();
        names
            .iter()
            .map(|one| one.name().unwrap().len())
            .sum::<usize>()
    });
    assert_eq!(named.unwrap(), 4);
}

#[test]
fn nothing_is_brought_anywhere_from_memory() {
    let store = store();
    put(&store, Expect::Absent, 0, 1, b"a");
    let no = Some(Refusal::NotSupported);
    assert_eq!(store.brought(Kind::Checkpoint, "slot").err(), no);
    assert_eq!(store.brought_lines("trades").err(), no);
    assert_eq!(store.settle(Kind::Checkpoint, "slot", 1).err(), no);
    let theirs = store.theirs(Kind::Checkpoint, "slot", |_| ());
    assert_eq!(theirs.err(), no);
    // What is no name is told before anything else.
    let bad = Some(Refusal::BadArgument);
    assert_eq!(store.brought(Kind::Checkpoint, "../x").err(), bad);
}
