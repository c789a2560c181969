//! Amazon's `aws`: S3 for the upload, EC2 for the rest.
//!
//! Source: AWS CLI Command Reference (`s3 cp`, `s3api`, `ec2`, `sts`), and "Importing a disk as a snapshot" in the VM Import/Export
//! User Guide: a snapshot import looks for no operating system inside.

mod arguments;
mod left;
mod read_back;

use std::path::Path;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::cli::{json, list, string, text, words};
use crate::{Cli, Cloud, Compared, Left, Looked, Refused, Scope, Waiter};

/// The kind of instance: the smallest on Nitro with the memory of a local boot, two CPUs and 2 GiB.
pub const KIND: &str = "t3.small";
/// Where the root disk is, as images name it.
const ROOT: &str = "/dev/xvda";

/// A run on Amazon's cloud.
pub struct Aws<'a> {
    cli: &'a dyn Cli,
    run: String,
    bucket: String,
}

impl<'a> Aws<'a> {
    /// A run of that name, which uploads into that bucket.
    ///
    /// # Errors
    /// Where the name is none.
    pub fn new(cli: &'a dyn Cli, run: &str, bucket: &str) -> Result<Self> {
        ensure!(crate::is_run(run), "{run:?} is no run's name");
        Ok(Self {
            cli,
            run: run.to_owned(),
            bucket: bucket.to_owned(),
        })
    }

    /// What the run uploads is below this.
    fn prefix(run: &str) -> String {
        format!("{}/{run}/", crate::TAG)
    }

    fn key(&self) -> String {
        Self::prefix(&self.run) + "disk.vmdk"
    }

    fn json(&self, arguments: &[String]) -> Result<Value> {
        json(self.cli, arguments)
    }

    /// How far an import came: the snapshot where it has one.
    fn imported(&self, task: &str) -> Result<Option<String>> {
        let told = self.json(&arguments::import_progress(task))?;
        let detail = "/ImportSnapshotTasks/0/SnapshotTaskDetail";
        let status = string(&told, &format!("{detail}/Status"))?;
        match status.as_str() {
            "completed" => string(&told, &format!("{detail}/SnapshotId")).map(Some),
            "deleted" | "deleting" => {
                let why = string(&told, &format!("{detail}/StatusMessage"));
                bail!(
                    "the import failed: {}",
                    why.unwrap_or_else(|_| "no reason".into())
                )
            }
            _ => Ok(None),
        }
    }

    /// A group that lets nobody in or out.
    fn group(&self) -> Result<String> {
        let made = self.json(&arguments::create_group(&self.run))?;
        let group = string(&made, "/GroupId")?;
        text(self.cli, &arguments::close_group(&group))?;
        Ok(group)
    }
}

impl Cloud for Aws<'_> {
    fn identity(&self) -> Result<String> {
        let told = self.json(&words(&["sts", "get-caller-identity", "--output", "json"]))?;
        string(&told, "/Account")?;
        string(&told, "/Arn")
    }

    fn upload(&self, package: &Path) -> Result<()> {
        let wanted = package.metadata()?.len();
        text(
            self.cli,
            &arguments::copy(package, &self.bucket, &self.key()),
        )?;
        let head = self.json(&arguments::head(&self.bucket, &self.key()))?;
        let found = head.pointer("/ContentLength").and_then(Value::as_u64);
        ensure!(
            found == Some(wanted),
            "{found:?} bytes arrived instead of {wanted}"
        );
        Ok(())
    }

    fn image(&self, wait: &Waiter) -> Result<String> {
        let began = self.json(&arguments::import(&self.run, &self.bucket, &self.key()))?;
        let task = string(&began, "/ImportTaskId")?;
        let snapshot = wait.until("the import", || self.imported(&task))?;
        // The task's tags are not the snapshot's.
        text(self.cli, &arguments::tag(&snapshot, &self.run))?;
        let made = self.json(&arguments::register(&self.run, &snapshot))?;
        let image = string(&made, "/ImageId")?;
        wait.until("the image", || {
            let told = self.json(&arguments::image_state(&image))?;
            match string(&told, "/Images/0/State")?.as_str() {
                "available" => Ok(Some(())),
                "pending" => Ok(None),
                state => bail!("the image {image} is {state}"),
            }
        })?;
        Ok(image)
    }

    fn start(&self, image: &str, wait: &Waiter) -> Result<String> {
        let group = self.group()?;
        let made = self.json(&arguments::start(&self.run, image, &group))?;
        let instance = string(&made, "/Instances/0/InstanceId")?;
        wait.until("the instance", || {
            let told = match self.json(&arguments::instance(&instance)) {
                // What was made a moment ago is not known everywhere at once.
                Err(error) if Refused::code_of(&error) == "InvalidInstanceID.NotFound" => {
                    return Ok(None);
                }
                told => told?,
            };
            let one = "/Reservations/0/Instances/0";
            match string(&told, &format!("{one}/State/Name"))?.as_str() {
                "running" => Ok(Some(())),
                "pending" => Ok(None),
                state => {
                    let why = string(&told, &format!("{one}/StateReason/Message"));
                    bail!(
                        "the instance is {state}: {}",
                        why.unwrap_or_else(|_| "no reason".into())
                    )
                }
            }
        })?;
        Ok(instance)
    }

    fn read_back(&self, image: &str, instance: &str) -> Result<Vec<Compared>> {
        let told = self.json(&arguments::instance(instance))?;
        let groups = self.json(&arguments::groups_of(&self.run))?;
        Ok(read_back::compare(&self.run, image, &told, &groups))
    }

    fn console(&self, instance: &str) -> Result<String> {
        let told = self.json(&arguments::console(instance))?;
        // Before anything was said there is no output.
        Ok(string(&told, "/Output").unwrap_or_default())
    }

    fn left(&self, scope: &Scope) -> Looked {
        left::list(self.cli, &self.bucket, scope)
    }

    fn remove(&self, left: &Left) -> Result<()> {
        match text(self.cli, &left::removal(left, &self.bucket)?) {
            Err(error) if is_gone(Refused::code_of(&error)) => Ok(()),
            end => end.map(drop),
        }
    }
}

/// Whether a refusal says that the thing is not there.
fn is_gone(code: &str) -> bool {
    code.ends_with(".NotFound") || code == "NoSuchUpload" || code == "InvalidAMIID.Unavailable"
}

/// The values of a field of each entry of a list.
fn each(value: &Value, pointer: &str, field: &str) -> Vec<String> {
    list(value, pointer)
        .iter()
        .filter_map(|entry| string(entry, field).ok())
        .collect()
}
