//! One launch, from a package to nothing left.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};

use crate::{Cloud, Compared, Left, Scope, Waiter, sweep};

/// What a serial log says so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// All that is demanded.
    Enough,
    /// Something is missing yet, in sentences.
    Lacks(Vec<String>),
    /// Nothing better will come: the guest says that it failed.
    Failed(String),
}

/// A step and its time.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Its seconds.
    pub seconds: f64,
}

/// What came of a launch.
#[derive(Debug, Default)]
pub struct Launched {
    /// Whose credentials they were.
    pub identity: Option<String>,
    /// The image.
    pub image: Option<String>,
    /// The instance.
    pub instance: Option<String>,
    /// What was asked for and what was there.
    pub policy: Vec<Compared>,
    /// The serial log, the last time it was read.
    pub console: String,
    /// The steps that came to an end, in order.
    pub steps: Vec<Step>,
    /// What was taken down.
    pub removed: Vec<Left>,
    /// Whether listings of everything were empty in the end.
    pub is_swept: bool,
    /// All that was wrong; a launch without any is a pass.
    pub failures: Vec<String>,
}

impl Launched {
    /// Whether everything was as it must be.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        self.failures.is_empty() && self.is_swept
    }
}

/// Launches a package, judges what it says with `judge`, and takes everything down, whatever happened.
pub fn launch(
    cloud: &dyn Cloud,
    run: &str,
    package: &Path,
    wait: &Waiter,
    judge: &dyn Fn(&str) -> Heard,
) -> Launched {
    let mut launched = Launched::default();
    if let Err(error) = steps(cloud, package, wait, judge, &mut launched) {
        launched.failures.push(format!("{error:#}"));
    }
    // Without having been let in nothing was made.
    if launched.identity.is_none() {
        return launched;
    }
    let started = Instant::now();
    match sweep(cloud, &Scope::Run(run.to_owned()), wait) {
        Ok(removed) => {
            launched.removed = removed;
            launched.is_swept = true;
        }
        Err(error) => launched.failures.push(format!(
            "teardown: {error:#}; cargo xtask cloudboot --sweep looks again for run {run}"
        )),
    }
    launched.took("teardown", started);
    launched
}

impl Launched {
    fn took(&mut self, name: &'static str, started: Instant) {
        self.steps.push(Step {
            name,
            seconds: started.elapsed().as_secs_f64(),
        });
    }

    fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let end = work();
        self.took(name, started);
        end.map_err(|error| anyhow!("{name}: {error:#}"))
    }
}

fn steps(
    cloud: &dyn Cloud,
    package: &Path,
    wait: &Waiter,
    judge: &dyn Fn(&str) -> Heard,
    launched: &mut Launched,
) -> Result<()> {
    launched.identity = Some(launched.step("identity", || cloud.identity())?);
    wait.check()?;
    launched.step("upload", || cloud.upload(package))?;
    let image = launched.step("image", || cloud.image(wait))?;
    launched.image = Some(image.clone());
    let instance = launched.step("start", || cloud.start(&image, wait))?;
    launched.instance = Some(instance.clone());
    launched.policy = launched.step("policy", || cloud.read_back(&image, &instance))?;
    ensure!(!launched.policy.is_empty(), "policy: nothing was read back");
    let complaints: Vec<String> = launched
        .policy
        .iter()
        .filter(|field| !field.is_kept())
        .map(Compared::complaint)
        .collect();
    // An instance that is not what was asked for is not waited for.
    ensure!(complaints.is_empty(), "{}", complaints.join("; "));
    let mut console = String::new();
    let mut lacks = Vec::new();
    let heard = launched.step("console", || {
        wait.until("the serial log's evidence", || {
            console = cloud.console(&instance)?;
            match judge(&console) {
                Heard::Enough => Ok(Some(())),
                Heard::Lacks(what) => {
                    lacks = what;
                    Ok(None)
                }
                Heard::Failed(why) => Err(anyhow!(why)),
            }
        })
    });
    launched.console = console;
    if heard.is_err() {
        launched.failures.append(&mut lacks);
    }
    heard
}
