//! Google's `gcloud`: Cloud Storage for the upload, Compute Engine for the rest.
//!
//! Source: gcloud CLI reference (`storage`, `compute`), and "Manually import boot disks" in Compute Engine's documentation.
//!
//! Networks, subnets and firewall rules bear no labels, so what is made here is found by its name, which is the run's; what can bear a
//! label has it too.

mod arguments;
mod left;
mod read_back;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::cli::{json, string, text};
use crate::{Cli, Cloud, Compared, Left, Looked, Refused, Scope, TAG, Waiter};

/// The kind of instance: the smallest with the memory of a local boot, two shared CPUs and 2 GiB.
pub const KIND: &str = "e2-small";
/// After so many seconds the provider ends and removes an instance, whatever becomes of who started it.
pub const MOST_SECONDS: u32 = 3600;

/// Where a run is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Who pays.
    pub project: String,
    /// Where instances are.
    pub zone: String,
    /// Where the package is uploaded to.
    pub bucket: String,
}

impl Place {
    /// The zone's region: `us-central1` of `us-central1-a`.
    fn region(&self) -> &str {
        self.zone.rsplit_once('-').map_or("", |(region, _)| region)
    }
}

/// A run on Google's cloud.
pub struct Gcp<'a> {
    cli: &'a dyn Cli,
    run: String,
    place: Place,
}

impl<'a> Gcp<'a> {
    /// A run of that name, in that place.
    ///
    /// # Errors
    /// Where the name is none, or the zone.
    pub fn new(cli: &'a dyn Cli, run: &str, place: Place) -> Result<Self> {
        // Names of resources end with a letter or a digit.
        ensure!(
            crate::is_run(run) && !run.ends_with('-'),
            "{run:?} is no run's name"
        );
        ensure!(
            !place.region().is_empty(),
            "{:?} is no zone (us-central1-a is one)",
            place.zone
        );
        Ok(Self {
            cli,
            run: run.to_owned(),
            place,
        })
    }

    fn object(&self) -> String {
        let bucket = &self.place.bucket;
        format!("gs://{bucket}/{TAG}/{}/disk.tar.gz", self.run)
    }

    fn json(&self, arguments: &[String]) -> Result<Value> {
        json(self.cli, arguments)
    }
}

/// What everything of a run is named.
fn named(run: &str) -> String {
    format!("{TAG}-{run}")
}

/// What a link leads to: its last part.
fn end(link: &str) -> &str {
    link.rsplit('/').next().unwrap_or_default()
}

impl Cloud for Gcp<'_> {
    fn identity(&self) -> Result<String> {
        let told = self.json(&arguments::project(&self.place))?;
        let name = string(&told, "/name")?;
        ensure!(
            name == self.place.project,
            "the project is {name} instead of {}",
            self.place.project
        );
        Ok(format!("project {name}"))
    }

    fn upload(&self, package: &Path) -> Result<()> {
        let wanted = package.metadata()?.len();
        text(self.cli, &arguments::copy(package, &self.object()))?;
        let told = self.json(&arguments::object(&self.object()))?;
        let found = told.get("size").map(|size| match size {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        ensure!(
            found == Some(wanted.to_string()),
            "{found:?} bytes arrived instead of {wanted}"
        );
        Ok(())
    }

    fn image(&self, wait: &Waiter) -> Result<String> {
        let place = &self.place;
        let name = named(&self.run);
        text(
            self.cli,
            &arguments::make_image(place, &self.run, &self.object()),
        )
        .context("the import")?;
        wait.until("the image", || {
            let told = self.json(&arguments::image(place, &name))?;
            match string(&told, "/status")?.as_str() {
                "READY" => Ok(Some(())),
                "PENDING" => Ok(None),
                state => bail!("the image {name} is {state}"),
            }
        })?;
        Ok(name)
    }

    fn start(&self, image: &str, wait: &Waiter) -> Result<String> {
        let place = &self.place;
        let name = named(&self.run);
        for arguments in arguments::make_network(place, &name) {
            text(self.cli, &arguments)?;
            wait.check()?;
        }
        text(self.cli, &arguments::start(place, &self.run, image))?;
        wait.until("the instance", || {
            let told = self.json(&arguments::instance(place, &name))?;
            match string(&told, "/status")?.as_str() {
                "RUNNING" => Ok(Some(())),
                "PROVISIONING" | "STAGING" => Ok(None),
                state => bail!("the instance is {state}"),
            }
        })?;
        Ok(name)
    }

    fn read_back(&self, image: &str, instance: &str) -> Result<Vec<Compared>> {
        let place = &self.place;
        let told = read_back::Told {
            instance: self.json(&arguments::instance(place, instance))?,
            disk: self.json(&arguments::disk(place, instance))?,
            image: self.json(&arguments::image(place, image))?,
            firewall: self.json(&arguments::rules(place, &Scope::Run(self.run.clone())))?,
        };
        Ok(read_back::compare(&self.run, image, &told))
    }

    fn console(&self, instance: &str) -> Result<String> {
        text(self.cli, &arguments::console(&self.place, instance))
    }

    fn left(&self, scope: &Scope) -> Looked {
        left::list(self.cli, &self.place, scope)
    }

    fn remove(&self, left: &Left) -> Result<()> {
        match text(self.cli, &left::removal(left, &self.place)?) {
            Err(error) if is_gone(&error) => Ok(()),
            end => end.map(drop),
        }
    }
}

/// Whether a refusal says that the thing is not there.
fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| {
        // Of an object the last line is only where it should have been: "The following URLs matched no objects or files:".
        // Releases of the tool differ in the hyphen of its list.
        let message = refused.message.as_str();
        message.ends_with("was not found")
            || message
                .strip_prefix('-')
                .unwrap_or(message)
                .starts_with("gs://")
    })
}

#[cfg(test)]
mod tests {
    use super::is_gone;
    use crate::Refused;

    #[test]
    fn what_is_gone_is_told_in_each_release_s_words() {
        let is_gone = |message: &str| {
            is_gone(&anyhow::Error::from(Refused {
                code: String::new(),
                message: message.to_owned(),
                asked: String::new(),
            }))
        };
        for message in [
            "gs://b/capos-cloudboot/r/disk.tar.gz",
            "-gs://b/capos-cloudboot/r/disk.tar.gz",
            " - The resource 'projects/p/global/images/i' was not found",
        ] {
            assert!(is_gone(message), "{message}");
        }
        for message in ["", "no reason", "- no access to gs://b", "HTTPError 503"] {
            assert!(!is_gone(message), "{message}");
        }
    }
}
