//! OpenSSL as the other end, in a process of its own, and what it never sends.
#![cfg(not(target_os = "none"))]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use tls_core::{Connection, Failure, Identity, Name, Server};

const SECRET: [u8; 32] = [7; 32];
const NAMES: [Name<'static>; 2] = [Name::Host("localhost"), Name::Address([127, 0, 0, 1])];

fn identity() -> Identity {
    Identity::new(&SECRET, &NAMES).unwrap()
}

/// Sends what waits.
fn flush(connection: &mut Connection, stream: &mut TcpStream) {
    let _ = stream.write_all(connection.outgoing());
    connection.sent(usize::MAX);
}

/// Sends everything back, until the other end has ended its side; how many octets that were, and whether it said so.
fn mirror(mut stream: TcpStream, mut connection: Connection) -> Result<(usize, bool), Failure> {
    let mut buffer = [0; 1500];
    let mut count = 0;
    loop {
        let room = connection.room().min(buffer.len());
        let length = stream.read(&mut buffer[..room]).unwrap_or(0);
        let taken = connection.receive(&buffer[..length]);
        flush(&mut connection, &mut stream);
        taken?;
        while !connection.plain().is_empty() {
            let plain = connection.plain().to_vec();
            let sealed = connection.write(&plain)?;
            assert!(sealed > 0);
            flush(&mut connection, &mut stream);
            connection.take(sealed)?;
            count += sealed;
        }
        if length == 0 || connection.has_ended() {
            let has_ended = connection.has_ended();
            connection.close();
            flush(&mut connection, &mut stream);
            let _ = stream.shutdown(Shutdown::Write);
            return Ok((count, has_ended));
        }
    }
}

/// What a client of OpenSSL says, and what became of the connection here.
fn openssl(arguments: &[&str], input: &[u8]) -> (String, bool, Result<(usize, bool), Failure>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = thread::spawn(move || {
        let server = Server::new(&identity(), [9; 32]).unwrap();
        let (stream, _) = listener.accept().unwrap();
        mirror(stream, Connection::new(&server).unwrap())
    });
    let folder = tempfile::tempdir().unwrap();
    let der = folder.path().join("certificate");
    std::fs::write(&der, identity().certificate()).unwrap();
    let pem = folder.path().join("pem");
    let made = Command::new("openssl")
        .args(["x509", "-inform", "DER", "-in"])
        .arg(&der)
        .arg("-out")
        .arg(&pem)
        .status()
        .expect("openssl is installed");
    assert!(made.success(), "the certificate is none");
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
        .args(["-verify_return_error", "-verify_ip", "127.0.0.1", "-CAfile"])
        .arg(&pem)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    let input = input.to_vec();
    let typing = thread::spawn(move || {
        let _ = stdin.write_all(&input);
        // It ends with its input, and gives up what is on its way.
        thread::sleep(std::time::Duration::from_millis(700));
    });
    let output = client.wait_with_output().unwrap();
    typing.join().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (said, output.status.success(), served.join().unwrap())
}

#[test]
fn openssl_takes_the_certificate_and_gets_back_what_it_sent() {
    let text = "a line that goes there and back\n".repeat(2000);
    let (said, is_well, served) = openssl(&["-tls1_3", "-quiet", "-no_ign_eof"], text.as_bytes());
    assert!(is_well && said == text, "{} octets came back", said.len());
    assert_eq!(served, Ok((text.len(), true)));
    let (said, _, _) = openssl(&["-tls1_3"], b"");
    for wanted in [
        "TLSv1.3",
        "TLS_CHACHA20_POLY1305_SHA256",
        "Verification: OK",
        "X25519",
        "Peer signature type: ECDSA",
    ] {
        assert!(said.contains(wanted), "{wanted} is not in {said}");
    }
}

#[test]
fn older_versions_other_suites_and_other_groups_are_refused() {
    for arguments in [
        &["-tls1_2"][..],
        &["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"],
        &["-tls1_3", "-groups", "P-384"],
        &["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"],
    ] {
        let (said, is_well, served) = openssl(arguments, b"x");
        assert!(
            !is_well && served == Err(Failure::Protocol),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_certificate_names_its_hosts_and_pins_its_key() {
    let identity = identity();
    let mut child = Command::new("openssl")
        .args(["x509", "-inform", "DER", "-noout", "-text", "-pubkey"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(identity.certificate()).unwrap();
    drop(stdin);
    let said = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("DNS:localhost, IP Address:127.0.0.1"),
        "{said}"
    );
    assert!(said.contains("Digital Signature"), "{said}");
    let other = Identity::new(&[8; 32], &NAMES).unwrap();
    assert_ne!(other.public_hash(), identity.public_hash());
    assert_eq!(
        other.public_hash(),
        Identity::new(&[8; 32], &[]).unwrap().public_hash()
    );
    assert!(
        Identity::new(&[0; 32], &NAMES).is_none() && Identity::new(&[0xff; 32], &NAMES).is_none()
    );
}

#[test]
fn whatever_comes_a_connection_holds_no_more_than_its_buffers() {
    let server = Server::new(&identity(), [9; 32]).unwrap();
    // Records that promise more than ever comes, more than may be, or nothing that is known.
    for head in [
        &[22, 3, 1, 0x40, 0][..],
        &[22, 3, 1, 0xff, 0xff],
        &[23, 3, 3, 0x40, 0],
        &[22, 3, 1, 0, 0],
        b"GET / HTTP/1.1\r\n",
        &[0; 5],
    ] {
        let mut connection = Connection::new(&server).unwrap();
        let mut given = 0;
        let mut outcome = connection.receive(head);
        while outcome.is_ok() && given < 1 << 20 {
            let room = connection.room().min(1000);
            assert!(room > 0, "{head:?} stops without a failure");
            outcome = connection.receive(&vec![head[0]; room]);
            given += room;
        }
        assert!(outcome.is_err(), "{head:?} was borne for {given} octets");
        assert!(connection.plain().is_empty() && !connection.is_open());
        assert!(connection.outgoing().len() < 100);
    }
}

/// What OpenSSL begins a connection with.
fn hello() -> Vec<u8> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = Command::new("openssl")
        .args([
            "s_client",
            "-tls1_3",
            "-connect",
            &format!("127.0.0.1:{port}"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut hello = vec![0; 2048];
    let length = stream.read(&mut hello).unwrap();
    drop(stream);
    client.wait().unwrap();
    hello.truncate(length);
    hello
}

#[test]
fn a_damaged_hello_is_refused_or_answered_and_opens_nothing() {
    let server = Server::new(&identity(), [9; 32]).unwrap();
    let hello = hello();
    let mut whole = Connection::new(&server).unwrap();
    // In pieces, too.
    for piece in hello.chunks(7) {
        whole.receive(piece).unwrap();
    }
    assert!(whole.outgoing().len() > 300 && !whole.is_open());
    let mut refused = 0;
    for place in 0..hello.len() {
        let mut damaged = hello.clone();
        damaged[place] ^= 1 << (place % 8);
        let mut connection = Connection::new(&server).unwrap();
        refused += usize::from(connection.receive(&damaged).is_err());
        // And what follows is no better.
        let _ = connection.receive(&[23, 3, 3, 0, 32]);
        let _ = connection.receive(&[0x5a; 32]);
        assert!(!connection.is_open() && connection.plain().is_empty());
        assert_eq!(connection.write(b"x").unwrap_or(0), 0);
        assert!(connection.outgoing().len() < 2048);
    }
    assert!(refused > 20, "{refused} of {} were refused", hello.len());
}
