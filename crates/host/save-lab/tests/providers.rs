//! What users' own providers do wrong, on both skins of the fake: refused or noticed, and nothing has changed.

use save_capsule::{
    Anchor, Content, Dice, Gates, Plain, Refused, Restored, Secret, Signer, SoftwareKeys,
    Transaction, seal,
};
use save_lab::fakes::{
    Cloud, Companion, DRIVE_SCOPE, Drive, Firebase, Handle, Lost, Misdeed, Session, Trouble,
    restore_newest, segment,
};

const TENANT: [u8; 16] = [1; 16];
const PROFILE: [u8; 16] = [2; 16];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Saves {
    payload: Option<Vec<u8>>,
    anchor: Option<Anchor>,
}

impl Transaction for Saves {
    type Error = ();

    fn commit(&mut self, restored: &Restored) -> Result<(), ()> {
        self.payload = Some(restored.payload.clone());
        self.anchor = Some(restored.anchor);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Skin {
    Drive,
    Firebase,
}

struct Rig {
    skin: Skin,
    cloud: Cloud,
    signer: Signer,
    keys: SoftwareKeys,
    made: Option<Anchor>,
    saves: Saves,
    uid: String,
    signed_in: String,
    drawn: u8,
}

impl Rig {
    fn new(skin: Skin) -> Self {
        let secret = Secret([9; 32]);
        Self {
            skin,
            cloud: Cloud::default(),
            signer: Signer::new(&secret, &TENANT),
            keys: SoftwareKeys::new(&secret, &TENANT, b"world", &[1]),
            made: None,
            saves: Saves::default(),
            uid: "ann".into(),
            signed_in: "ann".into(),
            drawn: 0,
        }
    }

    fn seal(&mut self, payload: &[u8]) -> Vec<u8> {
        self.drawn += 1;
        let plain = Plain {
            profile: PROFILE,
            content: Content(1),
            schema: 1,
            payload,
        };
        let dice = Dice {
            key: [self.drawn; 32],
            nonce: [self.drawn; 24],
            wrap_nonce: [self.drawn; 24],
        };
        let (capsule, anchor) =
            seal(&plain, self.made, &self.signer, &mut self.keys, dice).unwrap();
        self.made = Some(anchor);
        capsule
    }

    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Companion, &Signer, &mut SoftwareKeys, &mut Saves) -> T,
    ) -> T {
        let session = Session {
            uid: self.signed_in.clone(),
            scope: DRIVE_SCOPE,
        };
        let user = self.uid.clone();
        let cloud = &mut self.cloud;
        let mut drive;
        let mut firebase;
        let companion: &mut dyn Companion = match self.skin {
            Skin::Drive => {
                drive = Drive {
                    cloud,
                    session,
                    user,
                };
                &mut drive
            }
            Skin::Firebase => {
                firebase = Firebase {
                    cloud,
                    session,
                    user,
                };
                &mut firebase
            }
        };
        work(companion, &self.signer, &mut self.keys, &mut self.saves)
    }

    fn keep(&mut self, payload: &[u8]) -> Result<(), Trouble> {
        let capsule = self.seal(payload);
        let handle = Handle([self.drawn; 16]);
        self.with(|companion, _, _, _| companion.keep(handle, &capsule))
    }

    fn restore(&mut self) -> Result<Anchor, Lost<()>> {
        let anchor = self.saves.anchor;
        self.with(|companion, signer, keys, saves| {
            let gates = Gates {
                verifier: signer.verifier(),
                profile: PROFILE,
                known: &[Content(1)],
                schema: 1,
                anchor,
                between: &[],
            };
            restore_newest(companion, &gates, keys, saves)
        })
    }
}

/// A rig of each skin that has kept and restored two capsules.
fn each(check: impl Fn(&mut Rig)) {
    for skin in [Skin::Drive, Skin::Firebase] {
        let mut rig = Rig::new(skin);
        for payload in [&b"the first save"[..], b"the second save"] {
            rig.keep(payload).unwrap();
            rig.restore().unwrap();
        }
        check(&mut rig);
    }
}

/// Nothing comes back for that reason, and nothing has changed.
fn refused(rig: &mut Rig, why: Lost<()>) {
    let before = rig.saves.clone();
    assert_eq!(rig.restore(), Err(why), "{:?}", rig.skin);
    assert_eq!(rig.saves, before);
}

#[test]
fn a_save_comes_back() {
    each(|rig| {
        assert_eq!(rig.saves.payload.as_deref(), Some(&b"the second save"[..]));
        assert!(rig.restore().is_ok());
    });
}

#[test]
fn the_provider_sees_neither_content_nor_key() {
    each(|rig| {
        let all = rig.cloud.everything();
        let secrets: [&[u8]; 5] = [
            b"the first save",
            b"the second save",
            &[9; 32],
            &[1; 32],
            &[2; 32],
        ];
        for secret in secrets {
            assert!(!all.windows(secret.len()).any(|part| part == secret));
        }
    });
}

#[test]
fn what_is_deleted_or_taken_back_is_missed() {
    for misdeed in [Misdeed::Delete, Misdeed::RollBack, Misdeed::Stale] {
        each(|rig| {
            rig.cloud.misbehave(Some(misdeed));
            refused(rig, Lost::Refused(Refused::Stale { seen: 2, found: 1 }));
        });
    }
    each(|rig| {
        rig.cloud = Cloud::default();
        let seen = rig.saves.anchor.unwrap();
        refused(rig, Lost::Missing(seen));
    });
    refused(&mut Rig::new(Skin::Drive), Lost::Nothing);
}

#[test]
fn what_is_there_twice_is_there_once() {
    each(|rig| {
        rig.cloud.misbehave(Some(Misdeed::Duplicate));
        rig.keep(b"the third save").unwrap();
        assert_eq!(rig.restore().unwrap().counter, 3);
        assert_eq!(rig.saves.payload.as_deref(), Some(&b"the third save"[..]));
    });
}

#[test]
fn without_a_network_saving_goes_on_and_is_sent_later() {
    each(|rig| {
        rig.cloud.misbehave(Some(Misdeed::Offline));
        assert_eq!(rig.keep(b"x"), Err(Trouble::NoNetwork));
        refused(rig, Lost::Trouble(Trouble::NoNetwork));
        // What was sealed and not sent has its number: what follows it waits for it.
        rig.cloud.misbehave(None);
        rig.made = rig.saves.anchor;
        let unsent = rig.seal(b"the third save");
        rig.keep(b"the fourth save").unwrap();
        assert_eq!(rig.restore().unwrap().counter, 2);
        rig.with(|companion, _, _, _| companion.keep(Handle([0x33; 16]), &unsent))
            .unwrap();
        assert_eq!(rig.restore().unwrap().counter, 3);
        assert_eq!(rig.restore().unwrap().counter, 4);
        assert_eq!(rig.saves.payload.as_deref(), Some(&b"the fourth save"[..]));
    });
}

#[test]
fn a_name_that_tells_something_is_refused() {
    each(|rig| {
        rig.cloud.misbehave(Some(Misdeed::Rename));
        refused(rig, Lost::Trouble(Trouble::NotOpaque));
    });
    let good = Handle([0xab; 16]).text();
    assert_eq!(Handle::read(&good), Some(Handle([0xab; 16])));
    for bad in [
        "",
        "ann",
        &good[1..],
        &format!("{good}0"),
        &good.to_uppercase(),
        &"+".repeat(32),
        &"é".repeat(16),
    ] {
        assert_eq!(Handle::read(bad), None, "{bad}");
    }
}

#[test]
fn what_is_altered_or_cut_is_refused() {
    each(|rig| {
        rig.keep(b"the third save").unwrap();
        rig.cloud.misbehave(Some(Misdeed::Alter));
        let before = rig.saves.clone();
        // The second, which was seen, is still good.
        assert_eq!(rig.restore().unwrap().counter, 2);
        rig.cloud.misbehave(Some(Misdeed::Cut));
        assert_eq!(rig.restore().unwrap().counter, 2);
        assert_eq!(rig.saves, before);
    });
}

#[test]
fn another_user_is_refused() {
    each(|rig| {
        rig.signed_in = "bob".into();
        refused(rig, Lost::Trouble(Trouble::OtherUser));
        assert_eq!(rig.keep(b"x"), Err(Trouble::OtherUser));
        // Bob's own place has nothing of Ann's.
        rig.uid = "bob".into();
        let seen = rig.saves.anchor.unwrap();
        refused(rig, Lost::Missing(seen));
    });
}

#[test]
fn no_name_of_a_user_leads_to_another() {
    let names = [
        "ann/../bob",
        "../bob",
        "..",
        ".",
        "bob/saves",
        "%2e%2e",
        "b\u{f6}b",
        "\u{202e}bob",
        "bob\0",
        "bob ",
        "BOB",
        "b%6fb",
    ];
    for name in names {
        let one = segment(name).unwrap();
        assert!(
            !one.contains('/') && !one.starts_with('.') && one.is_ascii(),
            "{one}"
        );
        assert_ne!(segment("bob").unwrap(), one);
        let mut rig = Rig::new(Skin::Firebase);
        rig.uid = "bob".into();
        rig.signed_in = "bob".into();
        rig.keep(b"x").unwrap();
        rig.uid = name.into();
        assert_eq!(rig.keep(b"y"), Err(Trouble::OtherUser), "{name:?}");
        rig.signed_in = name.into();
        refused(&mut rig, Lost::Nothing);
    }
    assert_eq!(segment(""), None);
    assert_eq!(segment(&"x".repeat(129)), None);
}

#[test]
fn more_access_than_the_folder_is_refused() {
    let mut cloud = Cloud::default();
    for scope in [
        "https://www.googleapis.com/auth/drive",
        "https://www.googleapis.com/auth/drive.file",
        "",
    ] {
        let session = Session {
            uid: "ann".into(),
            scope,
        };
        let user = "ann".into();
        let mut drive = Drive {
            cloud: &mut cloud,
            session,
            user,
        };
        assert_eq!(drive.keep(Handle([1; 16]), b"x"), Err(Trouble::OtherScope));
        assert_eq!(drive.fetch(), Err(Trouble::OtherScope));
    }
}

#[test]
fn what_is_no_capsule_is_not_sent() {
    each(|rig| {
        let long = vec![0; save_capsule::MAX_CAPSULE + 1];
        let end = rig.with(|companion, _, _, _| companion.keep(Handle([1; 16]), &long));
        assert_eq!(end, Err(Trouble::TooLong));
    });
}
