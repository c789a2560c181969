//! A client of sunset's logs in, types and reads.

use ssh_core::{Connection, Failure, HostKey, NotAKey, PublicKey};
use sunset::{ChanData, ChanHandle, CliEvent, Event, PubKey, Runner, SessionCommand, SignKey};

struct Client {
    runner: Runner<'static, sunset::Client>,
    keys: Vec<SignKey>,
    session: Option<ChanHandle>,
    command: SessionCommand<&'static str>,
    host: Option<[u8; 32]>,
    is_in: bool,
    outgoing: Vec<u8>,
}

impl Client {
    fn new(secrets: &[[u8; 32]], command: SessionCommand<&'static str>) -> Self {
        let key = |secret| SignKey::Ed25519(sunset::ed25519_dalek::SigningKey::from_bytes(secret));
        Self {
            runner: Runner::new_client_owned(),
            keys: secrets.iter().map(key).collect(),
            session: None,
            command,
            host: None,
            is_in: false,
            outgoing: Vec::new(),
        }
    }

    fn step(&mut self) -> sunset::Result<bool> {
        let out = self.runner.output_buf().to_vec();
        self.runner.consume_output(out.len());
        self.outgoing.extend_from_slice(&out);
        let mut is_authenticated = false;
        match self.runner.progress()? {
            Event::None => return Ok(!out.is_empty()),
            Event::Progressed | Event::Serv(_) => {}
            Event::Cli(event) => match event {
                CliEvent::Hostkey(asked) => {
                    if let PubKey::Ed25519(key) = asked.hostkey()? {
                        self.host = Some(key.key.0);
                    }
                    asked.accept()?;
                }
                CliEvent::Username(asked) => asked.username("someone")?,
                CliEvent::Password(asked) => {
                    asked.password("guess")?;
                }
                CliEvent::Pubkey(asked) => match self.keys.pop() {
                    Some(key) => asked.pubkey(key)?,
                    None => asked.skip()?,
                },
                CliEvent::Authenticated => is_authenticated = true,
                CliEvent::SessionOpened(mut opened) => {
                    opened.cmd(&self.command)?;
                    self.is_in = true;
                }
                _ => {}
            },
        }
        if is_authenticated {
            self.session = Some(self.runner.open_client_session()?);
        }
        Ok(true)
    }
}

/// Carries octets until nobody has more to say.
fn carry(
    client: &mut Client,
    server: &mut Connection,
    host: &HostKey,
    allowed: &[PublicKey],
) -> Result<(), Failure> {
    loop {
        let mut has_moved = client.step().unwrap_or(false);
        let count = client.outgoing.len().min(server.room()).min(700);
        server.receive(&client.outgoing.drain(..count).collect::<Vec<_>>())?;
        server.work(host, &mut |name, key| {
            name == "someone" && allowed.contains(key)
        })?;
        has_moved |= count > 0;
        let taken = client.runner.input(server.outgoing()).unwrap_or(0);
        server.sent(taken);
        has_moved |= taken > 0;
        if !has_moved && !client.step().unwrap_or(false) {
            return Ok(());
        }
    }
}

fn public(secret: &[u8; 32]) -> PublicKey {
    *HostKey::new(secret).public()
}

const ALLOWED: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = [8; 32];

#[test]
fn who_has_the_key_gets_a_shell_and_octets_go_both_ways() {
    let host = HostKey::new(&[1; 32]);
    let mut client = Client::new(&[ALLOWED, OTHER], SessionCommand::Shell);
    let mut server = Connection::new();
    let allowed = [public(&ALLOWED)];
    carry(&mut client, &mut server, &host, &allowed).unwrap();
    assert!(server.is_open() && client.is_in);
    assert_eq!(client.host, Some(host.public().0));
    let session = client.session.take().unwrap();

    // More than any window: what is not read holds the client.
    let typed: Vec<u8> = (0..20_000_u32).map(|place| place as u8).collect();
    let (mut put, mut got) = (0, Vec::new());
    while got.len() < typed.len() {
        let rest = &typed[put..];
        put += client
            .runner
            .write_channel(&session, ChanData::Normal, rest)
            .unwrap();
        carry(&mut client, &mut server, &host, &allowed).unwrap();
        let mut piece = [0; 1000];
        let count = server.read(&mut piece);
        got.extend_from_slice(&piece[..count]);
    }
    assert_eq!(got, typed);

    let shown: Vec<u8> = (0..20_000_u32).map(|place| (place * 3) as u8).collect();
    let (mut put, mut got) = (0, Vec::new());
    while got.len() < shown.len() {
        put += server.write(&shown[put..]).unwrap();
        carry(&mut client, &mut server, &host, &allowed).unwrap();
        let mut piece = [0; 1000];
        let count = client
            .runner
            .read_channel(&session, ChanData::Normal, &mut piece);
        got.extend_from_slice(&piece[..count.unwrap()]);
    }
    assert_eq!(got, shown);
}

#[test]
fn another_key_a_password_or_nothing_does_not_get_in() {
    let host = HostKey::new(&[1; 32]);
    for keys in [&[OTHER][..], &[]] {
        let mut client = Client::new(keys, SessionCommand::Shell);
        let mut server = Connection::new();
        let _ = carry(&mut client, &mut server, &host, &[public(&ALLOWED)]);
        assert!(!server.is_open() && !client.is_in);
        assert_eq!(server.write(b"x"), Err(Failure::Protocol));
    }
}

#[test]
fn many_keys_are_too_many() {
    let host = HostKey::new(&[1; 32]);
    let keys: Vec<[u8; 32]> = (10..20).map(|octet| [octet; 32]).collect();
    let mut client = Client::new(&keys, SessionCommand::Shell);
    let mut server = Connection::new();
    let ended = carry(&mut client, &mut server, &host, &[public(&keys[0])]);
    assert_eq!(ended, Err(Failure::Denied));
    assert!(!server.is_open());
}

#[test]
fn a_command_or_a_subsystem_is_no_shell() {
    let host = HostKey::new(&[1; 32]);
    for command in [
        SessionCommand::Exec("id"),
        SessionCommand::Subsystem("sftp"),
    ] {
        let mut client = Client::new(&[ALLOWED], command);
        let mut server = Connection::new();
        carry(&mut client, &mut server, &host, &[public(&ALLOWED)]).unwrap();
        assert!(client.is_in && !server.is_open());
    }
}

#[test]
fn what_is_no_ssh_or_is_damaged_ends_the_connection_and_nothing_else() {
    let host = HostKey::new(&[1; 32]);
    let allowed = [public(&ALLOWED)];
    let mut state = 1_u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    };
    for round in 0..300 {
        let mut client = Client::new(&[ALLOWED], SessionCommand::Shell);
        let mut server = Connection::new();
        // One octet somewhere in all that the client says is another, from its first line on.
        let mut place = draw() % 2500;
        let mut ended = Ok(());
        for _ in 0..200 {
            let _ = client.step();
            let mut octets: Vec<u8> = client.outgoing.drain(..).collect();
            octets.truncate(server.room());
            if let Some(octet) = octets.get_mut(place) {
                *octet ^= 1 << (draw() % 8);
            }
            place = place.checked_sub(octets.len()).unwrap_or(usize::MAX);
            ended = ended.and(server.receive(&octets));
            ended = ended.and(server.work(&host, &mut |_, key| allowed.contains(key)));
            let taken = client.runner.input(server.outgoing()).unwrap_or(0);
            server.sent(taken);
        }
        if place == usize::MAX && round % 3 == 0 {
            // Whatever was damaged once: the next one is served.
            let mut client = Client::new(&[ALLOWED], SessionCommand::Shell);
            let mut server = Connection::new();
            carry(&mut client, &mut server, &host, &allowed).unwrap();
            assert!(server.is_open());
        }
    }
    let mut server = Connection::new();
    server.work(&host, &mut |_, _| true).unwrap();
    let noise: Vec<u8> = (0..8000).map(|_| draw() as u8).collect();
    let _ = server.receive(&noise);
    let _ = server.work(&host, &mut |_, _| true);
    assert!(!server.is_open());
    assert_eq!(server.receive(&[0; 9000]), Err(Failure::TooLong));
}

#[test]
fn keys_are_read_as_openssh_writes_them() {
    let key = public(&ALLOWED);
    let line = key.line();
    let base = line.split(' ').nth(1).unwrap();
    for text in [
        &line,
        base,
        &format!("{line} me@here"),
        &format!("{line}\n"),
    ] {
        assert_eq!(PublicKey::parse(text), Ok(key), "{text}");
    }
    let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ== me";
    let middle = "AAAAB3NzaC1yc2EAAAADAQABAAABAQ==";
    let restricted = format!("restrict {line}");
    for text in [rsa, middle, &restricted, "command=\"x\" y"] {
        assert_eq!(PublicKey::parse(text), Err(NotAKey::Algorithm), "{text}");
    }
    for text in [
        "",
        "ssh-ed25519",
        &line[..40],
        &format!("ssh-ed25519 {base}AAAA"),
        "ssh-ed25519 !",
    ] {
        assert_eq!(PublicKey::parse(text), Err(NotAKey::Damaged), "{text}");
    }
    assert!(key.fingerprint().starts_with("SHA256:"));
}
