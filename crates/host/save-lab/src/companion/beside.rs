//! What stands beside a guest whose desk the page is at: a provider, and a relay that writes down what crosses.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Result;

use super::desk::Desk;
use super::emulator::{Emulator, token};
use super::ends::End;
use super::{SignedIn, Skin, TOKEN, World, models, open};
use crate::fakes::{Cloud, DRIVE_SCOPE};

/// A provider, for pages of every origin: the models, or Firestore's emulator with the rules.
pub struct Provider {
    skin: Skin,
    world: Arc<World>,
    model: End,
    emulator: Option<Emulator>,
}

impl Provider {
    /// A model, at which this user is signed in.
    ///
    /// # Errors
    /// For want of a port.
    pub fn model(skin: Skin) -> Result<Self> {
        let world = Arc::new(World {
            cloud: Mutex::default(),
            desk: Mutex::new(Desk::new()),
            session: Mutex::new(SignedIn {
                uid: "ann".into(),
                scope: DRIVE_SCOPE.into(),
                token: TOKEN.into(),
            }),
            seen: Mutex::default(),
            page: Vec::new(),
        });
        let answers = match skin {
            Skin::Drive => models::drive,
            Skin::Firebase => models::firebase,
        };
        let model = End::start(&world, answers, "provider", "*")?;
        Ok(Self {
            skin,
            world,
            model,
            emulator: None,
        })
    }

    /// Firestore's emulator at `program`. Who is signed in is still said by a model.
    ///
    /// # Errors
    /// Where it does not start, or does not take the rules.
    pub fn emulator(program: &Path) -> Result<Self> {
        let provider = Self::model(Skin::Firebase)?;
        open(&provider.world.session).token = token("ann");
        Ok(Self {
            emulator: Some(Emulator::start(program)?),
            ..provider
        })
    }

    /// What stands of it behind the `#` of the page's address.
    #[must_use]
    pub fn told(&self) -> String {
        let provider = match self.skin {
            Skin::Drive => "drive",
            Skin::Firebase => "firebase",
        };
        let model = self.model.url();
        let base = self.emulator.as_ref().map_or(&model, |real| &real.url);
        format!("signin={model}/signin&provider={provider}&base={base}&project=capos-test")
    }

    /// Changes what is kept: not with the emulator.
    pub fn cloud<T>(&self, work: impl FnOnce(&mut Cloud) -> T) -> T {
        work(&mut open(&self.world.cloud))
    }

    /// Changes who is signed in.
    pub fn session(&self, work: impl FnOnce(&mut SignedIn)) {
        work(&mut open(&self.world.session));
    }

    /// All that was asked of the model.
    #[must_use]
    pub fn asked(&self) -> Vec<u8> {
        let seen = open(&self.world.seen);
        seen.iter().flat_map(|one| one.asked.clone()).collect()
    }

    /// Deletes the newest capsule behind the emulator's rules.
    ///
    /// # Errors
    /// Where there is none.
    pub fn delete_newest(&self) -> Result<()> {
        match &self.emulator {
            Some(emulator) => emulator.delete_newest(),
            None => {
                self.cloud(|cloud| cloud.misbehave(Some(crate::fakes::Misdeed::Delete)));
                Ok(())
            }
        }
    }
}

/// Stands between the browser and a port, and keeps all that goes through, either way.
pub struct Relay {
    /// Where it is.
    pub port: u16,
    crossed: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    /// In front of that port of this machine. It lasts as long as the process.
    ///
    /// # Errors
    /// For want of a port.
    pub fn start(to: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let crossed = Arc::new(Mutex::new(Vec::new()));
        let kept = crossed.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else {
                    continue;
                };
                let ways = near
                    .try_clone()
                    .and_then(|back| Ok((back, far.try_clone()?)));
                let Ok((near_back, far_back)) = ways else {
                    continue;
                };
                let (one, other) = (kept.clone(), kept.clone());
                std::thread::spawn(move || pass(near, far, &one));
                std::thread::spawn(move || pass(far_back, near_back, &other));
            }
        });
        Ok(Self { port, crossed })
    }

    /// All that went through until now.
    #[must_use]
    pub fn crossed(&self) -> Vec<u8> {
        open(&self.crossed).clone()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let piece = buffer.get(..count).unwrap_or_default();
        open(kept).extend_from_slice(piece);
        if to.write_all(piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
