//! What a bridge is told: the provider, the facets, the allowance. Secrets stand in the environment, never in the file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use save_core::{
    Allowance, Backend, Condition, Fault, Governor, Group, Limits, Listed, Loaded, Memory, Profile,
    Scope, Slot, Tenant, canary,
};
use serde::Deserialize;

use crate::provider::firestore::Firestore;
use crate::provider::folder::Folder;
use crate::provider::gcs::Gcs;
use crate::provider::s3::{Account, S3};
use crate::provider::{Auth, Metadata};
use crate::random::random;
use crate::serve::{Bridge, Store, Today};

/// The file as a whole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen, such as `127.0.0.1:8080`. `PORT` in the environment takes its place, on every address.
    pub listen: String,
    provider: Provider,
    allowance: Allowed,
    /// How many earlier versions of a record are kept.
    #[serde(default = "kept_versions")]
    kept_versions: u32,
    #[serde(default)]
    facet: Vec<Admitted>,
}

const fn kept_versions() -> u32 {
    Limits::USUAL.kept_versions
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum Provider {
    /// Nothing behind: gone with the process.
    Memory,
    /// A folder of this machine.
    Folder { path: PathBuf },
    S3 {
        endpoint: String,
        bucket: String,
        region: String,
        /// Names of environment variables.
        key_id_env: String,
        secret_env: String,
    },
    Gcs {
        #[serde(default = "gcs")]
        endpoint: String,
        bucket: String,
        auth: Access,
    },
    Firestore {
        #[serde(default = "firestore")]
        endpoint: String,
        project: String,
        #[serde(default = "database")]
        database: String,
        auth: Access,
    },
}

fn gcs() -> String {
    "https://storage.googleapis.com".into()
}

fn firestore() -> String {
    "https://firestore.googleapis.com".into()
}

fn database() -> String {
    "(default)".into()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Access {
    /// An emulator.
    None,
    /// The service account of the machine.
    Metadata,
    /// A token in an environment variable.
    Env(String),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    bytes: u64,
    slots: u64,
    writes_per_day: u64,
    reads_per_day: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Admitted {
    token_sha256: String,
    tenant: String,
    profile: String,
}

/// Bytes of hexadecimal digits.
///
/// # Errors
/// Where it is none, or of another length.
pub fn hex<const N: usize>(text: &str) -> Result<[u8; N]> {
    ensure!(
        text.len() == 2 * N && text.is_ascii(),
        "{text} has not {} digits",
        2 * N
    );
    let mut out = [0; N];
    for (byte, at) in out.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).with_context(|| text.to_owned())?;
    }
    Ok(out)
}

fn secret(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not in the environment"))
}

impl Access {
    fn auth(&self) -> Result<Auth> {
        Ok(match self {
            Self::None => Auth::None,
            Self::Metadata => Auth::Metadata(Metadata::new(None)),
            Self::Env(name) => Auth::Fixed(secret(name)?),
        })
    }
}

/// One store in memory for all facets.
#[derive(Clone, Debug, Default)]
pub struct SharedMemory(Arc<Mutex<Memory>>);

impl SharedMemory {
    fn with<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Backend for SharedMemory {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        self.with(|store| store.load(scope, slot))
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        self.with(|store| store.store(scope, slot, only, bytes))
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        self.with(|store| store.remove(scope, slot))
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        self.with(|store| store.list(scope, group, after, most))
    }
}

impl Provider {
    /// Makes a store; each facet has one of its own, all of the same provider.
    fn maker(&self) -> Result<Box<dyn Fn() -> Store>> {
        Ok(match self {
            Self::Memory => {
                let store = SharedMemory::default();
                Box::new(move || Box::new(store.clone()))
            }
            Self::Folder { path } => {
                let store = Folder::new(path).with_context(|| path.display().to_string())?;
                Box::new(move || Box::new(store.clone()))
            }
            Self::S3 {
                endpoint,
                bucket,
                region,
                key_id_env,
                secret_env,
            } => {
                let (key_id, secret) = (secret(key_id_env)?, secret(secret_env)?);
                let account = Account {
                    region,
                    key_id: &key_id,
                    secret: &secret,
                };
                let store = S3::new(endpoint, bucket, &account);
                Box::new(move || Box::new(store.clone()))
            }
            Self::Gcs {
                endpoint,
                bucket,
                auth,
            } => {
                let store = Gcs::new(endpoint, bucket, auth.auth()?);
                Box::new(move || Box::new(store.clone()))
            }
            Self::Firestore {
                endpoint,
                project,
                database,
                auth,
            } => {
                let store = Firestore::new(endpoint, project, database, auth.auth()?);
                Box::new(move || Box::new(store.clone()))
            }
        })
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// One that says what is wrong with it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Makes the bridge. The provider is tried with a canary first: one that ignores conditions is not served.
    ///
    /// # Errors
    /// One that says which facet or what of the provider is wrong.
    pub fn bridge(&self) -> Result<Bridge> {
        let maker = self.provider.maker()?;
        canary(&mut *maker(), random()?).context("the provider is not to be trusted")?;
        let mut bridge = Bridge::new(Limits {
            kept_versions: self.kept_versions,
            ..Limits::USUAL
        });
        let allowance = Allowance {
            bytes: self.allowance.bytes,
            slots: self.allowance.slots,
            writes_per_day: self.allowance.writes_per_day,
            reads_per_day: self.allowance.reads_per_day,
        };
        for facet in &self.facet {
            let tenant = Tenant(hex(&facet.tenant)?);
            let profile = Profile(hex(&facet.profile)?);
            if tenant.0 == [0; 16] || profile.0 == [0; 16] {
                bail!("a tenant or profile of zeroes is the bridge's own");
            }
            let scope = Scope { tenant, profile };
            let store = Governor::new(maker(), Today, allowance);
            bridge.admit(hex(&facet.token_sha256)?, scope, store);
        }
        Ok(bridge)
    }
}
