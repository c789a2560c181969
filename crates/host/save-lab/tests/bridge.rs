//! The whole way: a client, a proxy that fails, the bridge, a store. And the suite on a store in this process.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use save_bridge::client::{BridgeWire, Http};
use save_bridge::config::SharedMemory;
use save_bridge::provider::folder::Folder;
use save_bridge::serve::{Bridge, Today};
use save_core::{
    Allowance, Expect, Governor, Key, LedgerName, Limits, Name, Profile, Refusal, Remote, RetryKey,
    SaveStore, Scope, Tenant, Writer,
};
use save_lab::{Conditions, Length, Outcome, Proxy, Rig, Wound, cases, run};
use sha2::{Digest, Sha256};

const SCOPE: Scope = Scope {
    tenant: Tenant([5; 16]),
    profile: Profile([6; 16]),
};
const WRITER: Writer = Writer {
    schema: 1,
    epoch: 1,
};
const PLENTY: Allowance = Allowance {
    bytes: 1 << 30,
    slots: 1 << 20,
    writes_per_day: 1 << 20,
    reads_per_day: 1 << 20,
};

/// A bridge of its own over a store that several may have. Its threads end with the test.
fn bridge(store: &SharedMemory) -> std::net::SocketAddr {
    let mut bridge = Bridge::new(Limits::USUAL);
    let governor = Governor::new(Box::new(store.clone()) as _, Today, PLENTY);
    bridge.admit(Sha256::digest("a token").into(), SCOPE, governor);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let bridge = Arc::new(bridge);
    std::thread::spawn(move || bridge.listen(&listener));
    address
}

fn client(proxy: &Proxy) -> Remote<BridgeWire> {
    let wire = BridgeWire::new(&proxy.url(), "a token", Duration::from_secs(5));
    until(|| Remote::connect(wire.clone(), WRITER)).unwrap()
}

fn until<T>(mut work: impl FnMut() -> Result<T, Refusal>) -> Result<T, Refusal> {
    (0..30)
        .map(|_| work())
        .find(|end| !matches!(end, Err(Refusal::Unavailable { .. })))
        .unwrap()
}

fn key() -> Key {
    Key::checkpoint(Name::new("slot-1").unwrap())
}

fn ledger() -> LedgerName {
    LedgerName(Name::new("trades").unwrap())
}

fn call(number: u128) -> RetryKey {
    RetryKey((number + 1).to_le_bytes())
}

#[test]
fn the_suite_holds_in_memory() {
    let store = SharedMemory::default();
    let rig = Rig::new(
        Box::new(move || Box::new(store.clone())),
        None,
        Conditions::InHead,
    );
    let tally = run(&rig, &cases(Length::Whole), &[], |case, outcome| {
        if let Outcome::Failed(why) = outcome {
            panic!("{}: {why}", case.name);
        }
    });
    assert!(tally.passed > 35 && tally.untested > 10, "{tally:?}");
}

#[test]
fn the_suite_holds_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = Folder::new(folder.path()).unwrap();
    let rig = Rig::new(
        Box::new(move || Box::new(store.clone())),
        None,
        Conditions::InHead,
    );
    let tally = run(&rig, &cases(Length::Short), &[], |case, outcome| {
        if let Outcome::Failed(why) = outcome {
            panic!("{}: {why}", case.name);
        }
    });
    assert!(tally.passed > 35, "{tally:?}");
}

#[test]
fn two_bridges_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    // Each has a lock of its own: only the file's keeps them apart.
    let path = folder.path().to_owned();
    let rig = Rig::new(
        Box::new(move || Box::new(Folder::new(&path).unwrap())),
        None,
        Conditions::InHead,
    );
    let races: Vec<_> = cases(Length::Short)
        .into_iter()
        .filter(|case| case.name.contains("eight"))
        .collect();
    let tally = run(&rig, &races, &[], |case, outcome| {
        if let Outcome::Failed(why) = outcome {
            panic!("{}: {why}", case.name);
        }
    });
    assert!(tally.passed >= 3, "{tally:?}");
}

#[test]
fn nothing_is_lost_and_nothing_twice_whatever_the_way_does() {
    let wounds = [
        Wound::LoseRequest,
        Wound::LoseAnswer,
        Wound::CutAnswer,
        Wound::Status(429),
        Wound::Status(503),
        Wound::StatusAfter(502),
    ];
    for wound in wounds {
        for hits in 1..4 {
            let proxy = Proxy::start(bridge(&SharedMemory::default())).unwrap();
            let mut one = client(&proxy);
            for number in 0..3u8 {
                let at = u64::from(number);
                proxy.wound(wound, 0, hits);
                let put = until(|| one.put(&key(), Expect::Any, call(at.into()), &[number]));
                assert_eq!(put, Ok(at + 1), "{wound:?}");
                proxy.wound(wound, 0, hits);
                let line = until(|| one.append(&ledger(), at, call(at.into()), &[number]));
                assert_eq!(line, Ok(at + 1), "{wound:?}");
            }
            proxy.heal();
            assert_eq!(
                client(&proxy).history(&key()).unwrap().len(),
                3,
                "{wound:?}"
            );
            assert_eq!(
                client(&proxy)
                    .read_ledger(&ledger(), 0)
                    .unwrap()
                    .items
                    .len(),
                3
            );
        }
    }
}

#[test]
fn a_bridge_that_dies_and_returns_has_lost_nothing() {
    let store = SharedMemory::default();
    let proxy = Proxy::start(bridge(&store)).unwrap();
    let mut one = client(&proxy);
    for number in 0..8u8 {
        let at = u64::from(number);
        // The answer dies with the bridge; another one takes its place.
        proxy.wound(Wound::LoseAnswer, 0, 1);
        let lost = one.put(&key(), Expect::Any, call(at.into()), &[number]);
        assert!(matches!(lost, Err(Refusal::Unavailable { .. })));
        proxy.turn(bridge(&store));
        assert_eq!(
            one.put(&key(), Expect::Any, call(at.into()), &[number]),
            Ok(at + 1)
        );
        assert_eq!(one.get(&key()).unwrap().unwrap().payload, [number]);
    }
    // One that comes back with an empty store is not believed.
    proxy.turn(bridge(&SharedMemory::default()));
    assert_eq!(
        one.get(&key()),
        Err(Refusal::Rollback { seen: 8, found: 0 })
    );
}

#[test]
fn many_clients_race_through_one_bridge() {
    let proxy = Proxy::start(bridge(&SharedMemory::default())).unwrap();
    std::thread::scope(|scope| {
        for number in 0..8u128 {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut one = client(proxy);
                let mut length = 0;
                loop {
                    match until(|| one.append(&ledger(), length, call(number), &[number as u8])) {
                        Ok(_) => return,
                        Err(Refusal::Conflict { current }) => length = current,
                        Err(refusal) => panic!("{refusal}"),
                    }
                }
            });
        }
    });
    let mut lines: Vec<u8> = client(&proxy)
        .read_ledger(&ledger(), 0)
        .unwrap()
        .items
        .iter()
        .map(|line| line.payload[0])
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn strangers_and_nonsense_are_turned_away() {
    let address = bridge(&SharedMemory::default());
    let http = Http::new(Duration::from_secs(5));
    let url = format!("http://{address}/v1/save");
    let good = [("authorization", "Bearer a token")];
    let status = |headers: &[(&str, &str)], body: &[u8]| {
        http.ask("POST", &url, headers, Some(body)).unwrap().status
    };
    assert_eq!(status(&[], b"x"), 401);
    assert_eq!(status(&[("authorization", "Bearer another")], b"x"), 401);
    assert_eq!(status(&[("authorization", "a token")], b"x"), 401);
    assert_eq!(status(&good, b"x"), 400);
    assert_eq!(status(&good, &[0; 20 << 10]), 413);
    assert_eq!(http.ask("GET", &url, &good, None).unwrap().status, 404);
    let health = http
        .ask("GET", &format!("http://{address}/healthz"), &[], None)
        .unwrap();
    assert_eq!((health.status, health.body.as_slice()), (200, &b"ok\n"[..]));
    let wire = BridgeWire::new(
        &format!("http://{address}"),
        "another",
        Duration::from_secs(5),
    );
    assert_eq!(
        Remote::connect(wire, WRITER).map(|_| ()),
        Err(Refusal::Damaged)
    );
}
