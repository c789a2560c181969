//! A provider's command-line tool as a process, in the environment of a cloud or of the stand-in on this machine.
//!
//! Invariant: towards the stand-in it takes nothing along of a person's credentials or settings.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody reads, and nothing is taken down then"
)]

use std::ffi::OsString;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cloud_launch::{Cli, Said};

use crate::child::Guarded;

/// The longest that a call of Amazon's may take: an upload over a slow line.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A tool and its environment.
#[derive(Debug)]
pub struct Tool {
    program: PathBuf,
    set: Vec<(String, OsString)>,
    unset: Vec<OsString>,
    /// The longest that one call may take.
    patience: Duration,
}

impl Tool {
    /// Amazon's, towards its cloud with a person's own settings.
    pub fn aws_live(program: PathBuf) -> Self {
        let mut set = vec![
            ("AWS_PAGER".to_owned(), OsString::new()),
            // A profile's settings may lead it elsewhere too.
            (
                "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS".to_owned(),
                "true".into(),
            ),
        ];
        // Version 1 of the tool reads only the other name.
        if let Some(region) = std::env::var_os("AWS_REGION") {
            set.push(("AWS_DEFAULT_REGION".to_owned(), region));
        }
        Self {
            program,
            set,
            unset: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// Amazon's, towards the stand-in at `url`.
    pub fn aws_local(program: PathBuf, url: &str) -> Self {
        Self {
            program,
            set: local(url)
                .map(|(name, value)| (name.to_owned(), value.into()))
                .to_vec(),
            unset: settings(&["AWS_"]),
            patience: PATIENCE,
        }
    }

    /// Google's, towards its cloud with a person's own settings. It waits itself for what it began, as long as a step may take.
    pub fn gcloud_live(program: PathBuf, patience: Duration) -> Self {
        let mut set = gcloud_ways();
        // Libraries read a key's file from there, and the tool from elsewhere.
        if let Some(file) = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS") {
            set.push(("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE".to_owned(), file));
        }
        Self {
            program,
            set,
            unset: Vec::new(),
            patience,
        }
    }

    /// Google's, towards the stand-in at `url`, with its settings in `folder`.
    pub fn gcloud_local(
        program: PathBuf,
        url: &str,
        folder: &Path,
        patience: Duration,
    ) -> Result<Self> {
        let mut set = gcloud_ways();
        let more = gcloud_environment(url, folder)?;
        set.extend(
            more.into_iter()
                .map(|(name, value)| (name.to_owned(), value.into())),
        );
        Ok(Self {
            program,
            set,
            unset: settings(&["CLOUDSDK_", "GOOGLE_"]),
            patience,
        })
    }

    /// What the tool says it is.
    pub fn version(&self) -> Result<String> {
        let said = self.run(&["--version".to_owned()])?;
        ensure!(said.is_good, "{}: {}", self.program.display(), said.err);
        // Google's lists its parts below its own line.
        let mut lines = said.out.lines().map(str::trim);
        Ok(lines
            .find(|line| !line.is_empty())
            .unwrap_or_default()
            .to_owned())
    }
}

/// By what the tools are led elsewhere than to their cloud; services have their own names behind it.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL", "CLOUDSDK_API_ENDPOINT_OVERRIDES_"];

/// Refuses an environment that leads a tool elsewhere than to its cloud: what is launched there would be recorded as launched on the cloud.
///
/// # Errors
/// With the names of the variables.
pub fn check_goes_to_cloud(environment: impl Iterator<Item = (OsString, OsString)>) -> Result<()> {
    let mut names: Vec<String> = environment
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| ENDPOINTS.iter().any(|start| name.starts_with(start)))
        .collect();
    names.sort();
    ensure!(
        names.is_empty(),
        "{} leads the tool elsewhere than to its cloud: unset it, or name where it leads with --endpoint URL",
        names.join(", ")
    );
    Ok(())
}

/// A person's settings whose names begin so. Which Python runs a tool is none.
fn settings(starts: &[&str]) -> Vec<OsString> {
    let all = std::env::vars_os().map(|(name, _)| name);
    all.filter(|name| {
        let name = name.to_string_lossy();
        let is_one = starts.iter().any(|start| name.starts_with(start));
        is_one && !name.starts_with("CLOUDSDK_PYTHON")
    })
    .collect()
}

/// How Google's tool does its work, there and here: it asks nobody, and uploads an object as one, of the run's name from the start.
fn gcloud_ways() -> Vec<(String, OsString)> {
    let ways = [
        ("CLOUDSDK_CORE_DISABLE_PROMPTS", "true"),
        (
            "CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_ENABLED",
            "false",
        ),
        ("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true"),
    ];
    ways.map(|(name, value)| (name.to_owned(), value.into()))
        .to_vec()
}

/// The environment that leads Google's tool to the stand-in; its settings, and the token, go into `folder`.
pub fn gcloud_environment(url: &str, folder: &Path) -> Result<Vec<(&'static str, String)>> {
    std::fs::create_dir_all(folder)?;
    let token = folder.join("token");
    std::fs::write(&token, cloud_local::TOKEN)?;
    let show = |path: &Path| path.to_string_lossy().into_owned();
    Ok(vec![
        ("CLOUDSDK_CONFIG", show(folder)),
        ("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", show(&token)),
        (
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE",
            format!("{url}/compute/v1/"),
        ),
        (
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE",
            format!("{url}/storage/v1/"),
        ),
        ("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false".to_owned()),
        ("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true".to_owned()),
        ("CLOUDSDK_CORE_DISABLE_FILE_LOGGING", "true".to_owned()),
    ])
}

/// The environment that leads Amazon's tool to the stand-in.
pub fn local(url: &str) -> [(&'static str, &str); 9] {
    [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", cloud_local::KEY),
        ("AWS_SECRET_ACCESS_KEY", cloud_local::SECRET),
        ("AWS_SESSION_TOKEN", cloud_local::TOKEN),
        ("AWS_DEFAULT_REGION", cloud_local::REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_PAGER", ""),
    ]
}

impl Cli for Tool {
    fn run(&self, arguments: &[String]) -> Result<Said> {
        let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut command = Command::new(&self.program);
        for name in &self.unset {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .envs(self.set.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(err.try_clone()?)
            // Ctrl-C is for the harness: a call that makes something comes to its end, and what it made is taken down.
            .process_group(0);
        let status = Guarded::spawn(&mut command)?
            .wait_for(self.patience)
            .with_context(|| {
                format!(
                    "{} does not end within {} s",
                    show(&self.program),
                    self.patience.as_secs()
                )
            })?;
        let text = |file: &mut std::fs::File| -> Result<String> {
            let mut bytes = Vec::new();
            file.rewind()?;
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Said {
            is_good: status.success(),
            out: text(&mut out)?,
            err: text(&mut err)?,
        })
    }
}

fn show(program: &Path) -> String {
    program
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Tool, check_goes_to_cloud, gcloud_environment, local};
    use cloud_launch::Cli as _;
    use std::time::Duration;

    #[test]
    fn what_a_tool_says_and_how_it_ends_is_heard() {
        let tool = Tool::aws_local("sh".into(), "http://127.0.0.1:1");
        let script = "echo $AWS_ENDPOINT_URL; echo b >&2; exit 3";
        let said = tool.run(&["-c".to_owned(), script.to_owned()]);
        let said = said.unwrap_or_default();
        assert!(!said.is_good);
        assert_eq!(said.out, "http://127.0.0.1:1\n");
        assert_eq!(said.err, "b\n");
        assert!(Tool::aws_live("/nowhere/aws".into()).version().is_err());
    }

    #[test]
    fn what_serve_has_exported_does_not_go_along_to_a_cloud() {
        let url = "http://127.0.0.1:1";
        let folder = tempfile::tempdir().unwrap();
        let google = gcloud_environment(url, folder.path()).unwrap();
        let amazon = local(url).map(|(name, value)| (name, value.to_owned()));
        for (exported, wanted) in [
            (amazon.to_vec(), "AWS_ENDPOINT_URL leads"),
            (
                google,
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE, CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE leads",
            ),
            (
                vec![("AWS_ENDPOINT_URL_S3", url.to_owned())],
                "AWS_ENDPOINT_URL_S3 leads",
            ),
        ] {
            let of = exported
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()));
            let why = check_goes_to_cloud(of).unwrap_err().to_string();
            assert!(why.starts_with(wanted) && !why.contains('\n'), "{why}");
        }
        // Empty is as good as unset; a region leads to the same cloud.
        for (name, value) in [("AWS_ENDPOINT_URL", ""), ("AWS_REGION", "us-east-1")] {
            assert!(check_goes_to_cloud([(name.into(), value.into())].into_iter()).is_ok());
        }
    }

    #[test]
    fn a_call_of_google_s_tool_ends_with_the_patience_and_goes_to_the_stand_in() {
        let folder = tempfile::tempdir().ok();
        let tool = folder.as_ref().and_then(|folder| {
            let url = "http://127.0.0.1:1";
            let patience = Duration::from_millis(700);
            Tool::gcloud_local("sh".into(), url, folder.path(), patience).ok()
        });
        let run = |script: &str| tool.as_ref()?.run(&["-c".into(), script.into()]).ok();
        let said = run(
            "echo $CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE; cat $CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
        );
        let out = said.map(|said| said.out).unwrap_or_default();
        let wanted = format!("http://127.0.0.1:1/compute/v1/\n{}", cloud_local::TOKEN);
        assert_eq!(out, wanted);
        assert!(run("exec sleep 60").is_none());
    }
}
