//! A sweep while the provider does not answer everything: what is found goes, and nothing is called gone that was not looked at.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cloud_launch::aws::Aws;
use cloud_launch::gcp::{Gcp, Place};
use cloud_launch::{Cli, Cloud as _, Left, Said, Scope, Waiter, sweep};

/// A tool whose provider has one instance until it is removed, and whose one other listing fails.
struct Flaky {
    /// The words of the listing that fails.
    fails: &'static str,
    /// How often it does.
    times: Mutex<u32>,
    /// What it says then.
    says: &'static str,
    /// How long it takes.
    takes: Duration,
    /// The words that remove the instance, those that list it, and what is listed.
    removes: &'static str,
    lists: &'static str,
    answer: &'static str,
    is_there: Mutex<bool>,
    /// Whether the listing had still failed when the instance was removed.
    is_early: Mutex<bool>,
}

/// Answers that a listing of Google's, and one of Amazon's, is empty.
const NOTHING: &str = "[]";

impl Cli for Flaky {
    fn run(&self, arguments: &[String]) -> Result<Said> {
        let (Ok(mut times), Ok(mut is_there)) = (self.times.lock(), self.is_there.lock()) else {
            bail!("poisoned")
        };
        let asked = arguments.join(" ");
        let good = |out: &str| Said {
            is_good: true,
            out: out.to_owned(),
            ..Said::default()
        };
        if asked.starts_with(self.fails) {
            std::thread::sleep(self.takes);
            if *times > 0 {
                *times -= 1;
                return Ok(Said {
                    err: self.says.to_owned(),
                    ..Said::default()
                });
            }
        }
        if asked.starts_with(self.removes) {
            ensure!(*is_there, "removed twice");
            *is_there = false;
            *self.is_early.lock().ok().context("poisoned")? = *times > 0;
        }
        match asked.starts_with(self.lists) && *is_there {
            true => Ok(good(self.answer)),
            false => Ok(good(NOTHING)),
        }
    }
}

impl Flaky {
    fn google(says: &'static str, times: u32) -> Self {
        Self {
            fails: "compute images list",
            times: Mutex::new(times),
            says,
            takes: Duration::ZERO,
            removes: "compute instances delete",
            lists: "compute instances list",
            answer: r#"[{"name": "capos-cloudboot-r"}]"#,
            is_there: Mutex::new(true),
            is_early: Mutex::new(false),
        }
    }

    fn amazon(says: &'static str, times: u32) -> Self {
        Self {
            fails: "ec2 describe-images",
            removes: "ec2 terminate-instances",
            lists: "ec2 describe-instances",
            answer: r#"{"Reservations": [{"Instances": [{"InstanceId": "i-1"}]}]}"#,
            ..Self::google(says, times)
        }
    }

    /// Sweeps the run `r` with so much patience.
    fn sweep(&self, patience: Duration) -> Result<Vec<Left>> {
        let stop = AtomicBool::new(false);
        let wait = Waiter {
            patience,
            pause: Duration::from_millis(5),
            stop: &stop,
            tell: |_| {},
        };
        let scope = Scope::Run("r".into());
        match self.lists.starts_with("ec2") {
            true => sweep(&Aws::new(self, "r", "b")?, &scope, &wait),
            false => sweep(&Gcp::new(self, "r", place())?, &scope, &wait),
        }
    }

    fn has_instance(&self) -> bool {
        self.is_there.lock().is_ok_and(|is_there| *is_there)
    }
}

fn place() -> Place {
    Place {
        project: "p".into(),
        zone: "us-central1-a".into(),
        bucket: "b".into(),
    }
}

const BUSY: &str = "ERROR: (gcloud.compute.images.list) The service is currently unavailable.";
const SLOW_DOWN: &str = "An error occurred (RequestLimitExceeded) when calling the DescribeImages operation: Request limit exceeded.";
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

#[test]
fn what_is_found_goes_while_another_listing_does_not_answer() -> Result<()> {
    for cli in [Flaky::google(BUSY, 3), Flaky::amazon(SLOW_DOWN, 3)] {
        let removed = cli.sweep(LONG)?;
        assert_eq!(removed.len(), 1, "{removed:?}");
        assert!(cli.is_early.lock().is_ok_and(|is_early| *is_early));
        // The end was said only after that listing had answered.
        assert!(cli.times.lock().is_ok_and(|times| *times == 0));
    }
    Ok(())
}

#[test]
fn nothing_is_said_to_be_gone_that_no_listing_looked_for() {
    for cli in [
        Flaky::google(BUSY, u32::MAX),
        Flaky::amazon(SLOW_DOWN, u32::MAX),
    ] {
        let why = format!("{:#}", cli.sweep(SHORT).expect_err("it never answered"));
        assert!(why.starts_with("cannot look for what is left: "), "{why}");
        assert!(
            why.contains("unavailable") || why.contains("Request limit exceeded"),
            "{why}"
        );
        assert!(!cli.has_instance());
    }
}

#[test]
fn a_look_that_outlasts_patience_still_removes_what_it_found() {
    let cli = Flaky {
        takes: SHORT * 2,
        ..Flaky::google(BUSY, u32::MAX)
    };
    assert!(cli.sweep(SHORT).is_err());
    assert!(!cli.has_instance());
}

#[test]
fn without_credentials_it_ends_at_once() {
    for cli in [
        Flaky::google(
            "ERROR: (gcloud) Request had invalid authentication credentials.",
            u32::MAX,
        ),
        Flaky::amazon(
            "An error occurred (ExpiredToken) when calling the DescribeImages operation: It is.",
            u32::MAX,
        ),
    ] {
        assert!(cli.sweep(LONG).is_err());
        assert!(cli.times.lock().is_ok_and(|times| *times == u32::MAX - 1));
    }
}

#[test]
fn a_look_gives_what_answered_and_is_all_only_where_everything_did() -> Result<()> {
    let cli = Flaky::google(BUSY, 1);
    let gcp = Gcp::new(&cli, "r", place())?;
    let looked = gcp.left(&Scope::All);
    assert_eq!((looked.found.len(), looked.unanswered.len()), (1, 1));
    assert!(looked.all().is_err());
    assert_eq!(gcp.left(&Scope::All).all()?.len(), 1);
    Ok(())
}
