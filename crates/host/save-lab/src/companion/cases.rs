//! What is asked of the page, and pages that are altered and must be noticed.

use std::path::Path;

use anyhow::{Result, ensure};

use super::desk::{KEY, SECRET, Saves, Sealed};
use super::{Rig, Skin, TOKEN, open};
use crate::Tally;
use crate::fakes::{Handle, Misdeed};

/// One question to the page.
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    run: fn(&Rig) -> Result<()>,
    skins: &'static [Skin],
    breaks: &'static [Altered],
}

/// A page that does what it must not, which the case must notice on its first skin.
struct Altered {
    /// What of the script is replaced, and by what.
    from: &'static str,
    to: &'static str,
    /// What the case says of it.
    noticed: &'static str,
}

const BOTH: &[Skin] = &[Skin::Drive, Skin::Firebase];

/// Every case.
#[must_use]
pub const fn cases() -> &'static [Case] {
    CASES
}

const CASES: &[Case] = &[
    Case {
        name: "a_save_goes_out_and_comes_back",
        run: goes_out_and_comes_back,
        skins: BOTH,
        breaks: &[Altered {
            from: "await desk.sent(capsule.handle);",
            to: "",
            noticed: "\"sent 2\"",
        }],
    },
    Case {
        name: "what_crosses_is_what_may",
        run: crosses_what_may,
        skins: BOTH,
        breaks: &[
            Altered {
                from: "const works = {",
                to: "ask(`${told.get(\"desk\")}/v1/sent?${session.token}`, { method: \"POST\", body: \"{}\" }).catch(() => 0);\n  const works = {",
                noticed: "the token goes to the desk",
            },
            Altered {
                from: "const works = {",
                to: "ask(`${base}/signin?${told.get(\"key\")}`).catch(() => 0);\n  const works = {",
                noticed: "the desk's key goes to the provider",
            },
            Altered {
                from: "JSON.stringify({ name: handle,",
                to: "JSON.stringify({ name: handle, owner: this.session.uid,",
                noticed: "more than a capsule is sent",
            },
        ],
    },
    Case {
        name: "what_a_provider_does_is_refused",
        run: misdeeds,
        skins: BOTH,
        breaks: &[],
    },
    Case {
        name: "a_name_that_tells_something_does_not_reach_capos",
        run: telling_name,
        skins: BOTH,
        breaks: &[Altered {
            from: "if (!isHandle(name)) throw new Trouble(\"NotOpaque\");\n  if (bytes.length",
            to: "if (bytes.length",
            noticed: "\"Refused: 400\"",
        }],
    },
    Case {
        name: "every_gate_is_shown_as_a_refusal",
        run: gates,
        skins: BOTH,
        breaks: &[Altered {
            from: "`capOS refuses: ${said.refused}`",
            to: "\"restored\"",
            noticed: "[\"restored\", \"ready\"]",
        }],
    },
    Case {
        name: "what_is_no_capsule_is_not_sent",
        run: too_long,
        skins: BOTH,
        breaks: &[Altered {
            from: "if (bytes.length > MAX_CAPSULE) throw new Trouble(\"TooLong\");\n  return { handle: one.handle",
            to: "return { handle: one.handle",
            noticed: "\"sent 1\"",
        }],
    },
    Case {
        name: "more_access_than_the_folder_is_not_used",
        run: wider_scope,
        skins: &[Skin::Drive],
        breaks: &[Altered {
            from: "if (session.scope !== DRIVE_SCOPE)",
            to: "if (false)",
            noticed: "\"sent 0\"",
        }],
    },
    Case {
        name: "no_name_of_a_user_leads_elsewhere",
        run: other_users,
        skins: &[Skin::Firebase],
        breaks: &[Altered {
            from: "if (!UID.test(session.uid))",
            to: "if (false)",
            noticed: "\"sent 0\"",
        }],
    },
];

/// Runs every case on each of its skins, and sees each altered page fail.
pub fn run(browser: &Path, mut tell: impl FnMut(&str)) -> Tally {
    let mut tally = Tally::default();
    let mut count = |name: &str, skin: Skin, end: Result<()>| match end {
        Ok(()) => tally.passed += 1,
        Err(error) => {
            tally.failed += 1;
            tell(&format!("{name} ({skin:?}): {error:#}"));
        }
    };
    for case in CASES {
        for skin in case.skins {
            let end = Rig::new(*skin, browser, None).and_then(|rig| (case.run)(&rig));
            count(case.name, *skin, end);
        }
        let skin = case.skins.first().copied().unwrap_or(Skin::Drive);
        for altered in case.breaks {
            count(case.name, skin, notices(case, skin, browser, altered));
        }
    }
    tally
}

fn notices(case: &Case, skin: Skin, browser: &Path, altered: &Altered) -> Result<()> {
    let rig = Rig::new(skin, browser, Some((altered.from, altered.to)))?;
    let said = (case.run)(&rig).map_or_else(|error| format!("{error:#}"), |()| "nothing".into());
    let wanted = altered.noticed;
    ensure!(
        said.contains(wanted),
        "of {:?} it says {said:?}, not {wanted:?}",
        altered.to
    );
    Ok(())
}

pub(super) fn shown(rig: &Rig, what: &str, wanted: &[&str]) -> Result<()> {
    let lines = rig.visit(what)?;
    ensure!(lines == wanted, "{lines:?} is shown, not {wanted:?}");
    Ok(())
}

fn seal(rig: &Rig, payload: &[u8]) -> Result<()> {
    let mut desk = open(&rig.world.desk);
    let sealed = desk.seal(payload, Sealed::OURS);
    let sealed = sealed.ok_or_else(|| anyhow::anyhow!("nothing is sealed"))?;
    desk.waiting.push(sealed);
    Ok(())
}

/// Two saves, each sent and restored.
pub(super) fn two(rig: &Rig) -> Result<()> {
    seal(rig, b"the first save")?;
    shown(rig, "send,restore", &["sent 1", "restored save 1", "ready"])?;
    seal(rig, b"the second save")?;
    shown(rig, "send,restore", &["sent 1", "restored save 2", "ready"])
}

pub(super) fn saves(rig: &Rig) -> Saves {
    open(&rig.world.desk).saves.clone()
}

/// That is shown, and nothing has changed.
pub(super) fn refused(rig: &Rig, why: &str) -> Result<()> {
    let before = saves(rig);
    shown(rig, "restore", &[why, "ready"])?;
    ensure!(saves(rig) == before, "{why}, and something has changed");
    Ok(())
}

fn goes_out_and_comes_back(rig: &Rig) -> Result<()> {
    two(rig)?;
    let payload = saves(rig).payload;
    ensure!(
        payload.as_deref() == Some(b"the second save"),
        "{payload:?}"
    );
    shown(rig, "send", &["sent 0", "ready"])
}

fn has(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

fn crosses_what_may(rig: &Rig) -> Result<()> {
    two(rig)?;
    let seen = rig.seen();
    let secrets: [&[u8]; 4] = [b"the first save", b"the second save", &SECRET, &[1; 32]];
    let (mut told, mut sent) = (0, 0);
    for one in &seen {
        let all = [&one.asked[..], &one.said].concat();
        for secret in secrets {
            ensure!(
                !has(&all, secret),
                "a secret crosses to or from the {}",
                one.end
            );
        }
        let has_token = has(&one.asked, TOKEN.as_bytes());
        ensure!(
            !has_token || one.end == "provider",
            "the token goes to the {}",
            one.end
        );
        told += u32::from(has_token);
        ensure!(
            one.end == "desk" || !has(&one.asked, KEY.as_bytes()),
            "the desk's key goes to the {}",
            one.end
        );
        ensure!(
            one.end != "desk" || !has(&one.asked, b"ann"),
            "capOS is told who is signed in"
        );
        if one.end == "provider" && matches!(one.method.as_str(), "POST" | "PATCH") {
            sent += 1;
            ensure!(
                !has(&one.asked, b"\"owner\""),
                "more than a capsule is sent"
            );
        }
        for field in [&b"\ncookie"[..], b"\nCookie", b"\nreferer", b"\nReferer"] {
            ensure!(
                !has(&one.asked, field),
                "a cookie or referrer is sent to the {}",
                one.end
            );
        }
    }
    ensure!(told > 0 && sent == 2, "{told} with a token, {sent} sent");
    Ok(())
}

fn misdeeds(rig: &Rig) -> Result<()> {
    two(rig)?;
    let kept = open(&rig.world.cloud).clone();
    let stale = "capOS refuses: Refused(Stale { seen: 2, found: 1 })";
    for (misdeed, why) in [
        (Misdeed::Offline, "NoNetwork"),
        (Misdeed::Delete, stale),
        (Misdeed::Stale, stale),
        (Misdeed::RollBack, stale),
    ] {
        *open(&rig.world.cloud) = kept.clone();
        open(&rig.world.cloud).misbehave(Some(misdeed));
        refused(rig, why)?;
    }
    *open(&rig.world.cloud) = crate::fakes::Cloud::default();
    let lines = rig.visit("restore")?;
    let missing = lines
        .first()
        .is_some_and(|line| line.starts_with("capOS refuses: Missing"));
    ensure!(missing, "{lines:?}");
    // What is kept twice is there once.
    *open(&rig.world.cloud) = kept;
    open(&rig.world.cloud).misbehave(Some(Misdeed::Duplicate));
    seal(rig, b"the third save")?;
    shown(rig, "send,restore", &["sent 1", "restored save 3", "ready"])
}

fn telling_name(rig: &Rig) -> Result<()> {
    two(rig)?;
    open(&rig.world.cloud).misbehave(Some(Misdeed::Rename));
    let offers = |rig: &Rig| {
        let seen = rig.seen();
        seen.iter()
            .filter(|one| has(&one.asked, b"/v1/offered"))
            .count()
    };
    let before = offers(rig);
    refused(rig, "NotOpaque")?;
    ensure!(offers(rig) == before, "it is offered all the same");
    Ok(())
}

/// A capsule put where the provider keeps them, as if it had made it.
fn plant(rig: &Rig, place: &str, bytes: &[u8]) {
    let mut cloud = open(&rig.world.cloud);
    *cloud = crate::fakes::Cloud::default();
    let _ = cloud.write(place, Handle([7; 16]).text(), bytes);
}

fn gates(rig: &Rig) -> Result<()> {
    two(rig)?;
    let place = match rig.skin {
        Skin::Drive => "ann/appDataFolder",
        Skin::Firebase => "users/ann/saves",
    };
    let sealed = |how: Sealed| {
        let sealed = open(&rig.world.desk).seal(b"the third save", how);
        sealed
            .map(|(_, capsule)| capsule)
            .ok_or_else(|| anyhow::anyhow!("nothing is sealed"))
    };
    let other = sealed(Sealed {
        profile: [3; 16],
        content: 1,
    })?;
    let unknown = sealed(Sealed {
        content: 9,
        ..Sealed::OURS
    })?;
    let good = sealed(Sealed::OURS)?;
    let mut unsigned = good.clone();
    let signature = unsigned.len().saturating_sub(152);
    unsigned
        .iter_mut()
        .skip(signature)
        .take(64)
        .for_each(|byte| *byte = 0);
    let mut altered = good.clone();
    altered
        .iter_mut()
        .skip(110)
        .take(1)
        .for_each(|byte| *byte ^= 1);
    let cut = good.get(..good.len() - 1).unwrap_or_default();
    for (capsule, why) in [
        (&other[..], "WrongProfile"),
        (&unknown, "UnknownContent(Content(9))"),
        (&unsigned, "Unsigned"),
        (&altered, "Tampered"),
        (cut, "Malformed"),
        (&good, "Gap { seen: 2, found: 5 }"),
    ] {
        plant(rig, place, capsule);
        refused(rig, &format!("capOS refuses: Refused({why})"))?;
    }
    plant(rig, place, &[0; save_capsule::MAX_CAPSULE + 1]);
    refused(rig, "TooLong")
}

fn too_long(rig: &Rig) -> Result<()> {
    let long = vec![0; save_capsule::MAX_CAPSULE + 1];
    open(&rig.world.desk).waiting.push((Handle([9; 16]), long));
    shown(rig, "send", &["TooLong", "ready"])?;
    let sent =
        |one: &super::Seen| one.end == "provider" && one.method != "GET" && one.method != "OPTIONS";
    ensure!(!rig.seen().iter().any(sent), "it is sent all the same");
    Ok(())
}

/// The page asks the provider for nothing but who is signed in.
fn asks_nothing(rig: &Rig, why: &str) -> Result<()> {
    let before = rig.seen().len();
    shown(rig, "send,restore", &[why])?;
    let seen = rig.seen();
    let mut asked = seen.iter().skip(before).filter(|one| one.end != "page");
    let only = asked.all(|one| one.asked.starts_with(b"GET /signin"));
    ensure!(only, "it is asked all the same");
    Ok(())
}

fn wider_scope(rig: &Rig) -> Result<()> {
    for scope in [
        "https://www.googleapis.com/auth/drive",
        "https://www.googleapis.com/auth/drive.file",
        "",
    ] {
        open(&rig.world.session).scope = scope.into();
        asks_nothing(rig, "OtherScope")?;
    }
    Ok(())
}

fn other_users(rig: &Rig) -> Result<()> {
    two(rig)?;
    for uid in [
        "ann/../bob",
        "..",
        "",
        "bob/saves",
        "b\u{f6}b",
        "%2e%2e",
        "ann\\..\\bob",
    ] {
        open(&rig.world.session).uid = uid.into();
        asks_nothing(rig, "OtherUser")?;
    }
    // A name that is one, and is not whose token it is: the rules refuse.
    open(&rig.world.session).uid = "bob".into();
    refused(rig, "OtherUser")
}
