//! A provider's command-line tool as a process, in the environment of a cloud or of the stand-in on this machine.
//!
//! Invariant: towards the stand-in it takes nothing along of a person's credentials or settings.

use std::ffi::OsString;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cloud_launch::{Cli, Said};

use crate::child::Guarded;

/// The longest that one call may take: an upload over a slow line.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A tool and its environment.
#[derive(Debug)]
pub struct Tool {
    program: PathBuf,
    set: Vec<(String, OsString)>,
    unset: Vec<OsString>,
}

impl Tool {
    /// Amazon's, towards its cloud with a person's own settings.
    pub fn aws_live(program: PathBuf) -> Self {
        let mut set = vec![("AWS_PAGER".to_owned(), OsString::new())];
        // Version 1 of the tool reads only the other name.
        if let Some(region) = std::env::var_os("AWS_REGION") {
            set.push(("AWS_DEFAULT_REGION".to_owned(), region));
        }
        Self {
            program,
            set,
            unset: Vec::new(),
        }
    }

    /// Amazon's, towards the stand-in at `url`.
    pub fn aws_local(program: PathBuf, url: &str) -> Self {
        let settings = std::env::vars_os().map(|(name, _)| name);
        Self {
            program,
            set: local(url)
                .map(|(name, value)| (name.to_owned(), value.into()))
                .to_vec(),
            unset: settings
                .filter(|name| name.to_string_lossy().starts_with("AWS_"))
                .collect(),
        }
    }

    /// What the tool says it is.
    pub fn version(&self) -> Result<String> {
        let said = self.run(&["--version".to_owned()])?;
        ensure!(said.is_good, "{}: {}", self.program.display(), said.err);
        Ok(said.out.trim().to_owned())
    }
}

/// The environment that leads the tool to the stand-in.
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
            .wait_for(PATIENCE)
            .with_context(|| format!("{} does not end", show(&self.program)))?;
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
    use super::Tool;
    use cloud_launch::Cli as _;

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
}
