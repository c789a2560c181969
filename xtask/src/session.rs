//! A running guest: its serial line as it comes in, typing into it, and how it ends.
//!
//! Invariant: never waits without a deadline, and takes the guest's result from its exit line, never from QEMU's status.

use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::child::Guarded;
use crate::complaints::Complaints;
use crate::serial::Serial;

/// A guest that says nothing for this long is taken for dead.
pub const SILENCE: Duration = Duration::from_secs(60);
/// How long QEMU may take to end once the exit line is there.
const LINGER: Duration = Duration::from_secs(4);
/// The same, where the guest has said that it cannot go on: it may know no way to power the machine off.
const LOST_LINGER: Duration = Duration::from_millis(500);
/// A guest that boots again after its exit line says something within this time.
const RESTART: Duration = Duration::from_secs(20);
/// How often is looked whether QEMU has given the guest up.
const LOOK: Duration = Duration::from_millis(100);
/// How long a silent guest is watched, to see whether it computes.
const WATCH: Duration = Duration::from_secs(2);
/// Hundredths of a second of processor time within [`WATCH`] that make a guest busy. An idle one takes next to none, and a
/// busy one on a loaded host still gets this much.
const BUSY_TICKS: u64 = 8;
/// A guest that says nothing for so long has said its last words, where nothing is expected of it any more.
const PAUSE: Duration = Duration::from_secs(1);
/// For so long at most they are listened to.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Typed bytes go in pieces no longer than the receive queue of a 16550.
const TYPE_CHUNK: usize = 16;
/// A guest that does not echo gets the next piece after this time.
const ECHO_PATIENCE: Duration = Duration::from_millis(700);
/// QEMU writes each byte by itself. Whoever took each by itself too would keep the guest waiting.
const GATHER: Duration = Duration::from_millis(1);
/// How often is looked what a guest says that does not take what is typed.
const TAKE: Duration = Duration::from_millis(20);
/// Bytes of one piece of output.
const CHUNK_BYTES: usize = 64 * 1024;

/// Whether what a guest says is shown as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// On standard output.
    Shown,
    /// Not at all.
    Kept,
}

/// Why waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// What was waited for is there.
    Seen,
    /// The guest has ended, or said its exit line and nothing since, or was given up by QEMU.
    Ended,
    /// The guest has been silent for too long.
    Silent,
    /// The deadline has passed while the guest was still talking.
    Late,
}

/// What silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// The guest is dead.
    Death,
    /// The guest is dead, unless it computes: then it has nothing to say yet.
    DeathUnlessBusy,
}

/// How the guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With its exit line.
    Code(i64),
    /// QEMU ended, and the last line was no exit line.
    NoExitLine,
    /// Nothing came for [`SILENCE`].
    Silent,
    /// It was still running at its deadline.
    Late,
}

/// Reads `output` to its end on a thread of its own, in pieces as large as a moment's patience makes them.
pub fn read_chunks(output: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    read_unless(output, Arc::default())
}

/// As [`read_chunks`], but reads nothing while `held` says so.
fn read_unless(mut output: impl Read + Send + 'static, held: Arc<AtomicBool>) -> Receiver<Vec<u8>> {
    let (sender, chunks) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(len @ 1..) = output.read(&mut buffer) {
            let chunk = buffer.get(..len).unwrap_or_default().to_vec();
            if sender.send(chunk).is_err() {
                break;
            }
            std::thread::sleep(GATHER);
            while held.load(Ordering::Relaxed) {
                std::thread::sleep(GATHER);
            }
        }
    });
    chunks
}

/// What is typed to a guest that may not take it yet: a thread of its own writes it.
pub struct Keyboard {
    pieces: Sender<Vec<u8>>,
    written: Receiver<()>,
}

impl Keyboard {
    /// Types into `input`.
    pub fn new(mut input: impl Write + Send + 'static) -> Self {
        let (pieces, to_write) = channel::<Vec<u8>>();
        let (done, written) = channel();
        std::thread::spawn(move || {
            for piece in to_write {
                // A guest that has just ended is judged by what it said, not by the pipe it closed.
                let gone = input
                    .write_all(&piece)
                    .and_then(|()| input.flush())
                    .is_err();
                if gone || done.send(()).is_err() {
                    break;
                }
            }
        });
        Self { pieces, written }
    }

    /// Hands `bytes` over, and waits for nobody. `false`: the guest has ended.
    pub fn hand_over(&self, bytes: &[u8]) -> bool {
        self.pieces.send(bytes.to_vec()).is_ok()
    }
}

/// A guest under QEMU, or whatever else talks on standard input and output.
pub struct Session {
    child: Guarded,
    input: Keyboard,
    chunks: Receiver<Vec<u8>>,
    serial: Serial,
    transcript: Vec<u8>,
    last_output: Instant,
    silence: Duration,
    meaning: Silence,
    closed: bool,
    cut: bool,
    held: Arc<AtomicBool>,
    echo: Echo,
    complaints: Complaints,
}

impl Session {
    /// Starts `command` with its serial line on standard input and output; what it says on its standard error goes to
    /// `errors` as it comes.
    pub fn start(
        mut command: Command,
        echo: Echo,
        errors: impl Write + Send + 'static,
    ) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let mut child = Guarded::spawn(&mut command)?;
        let input = child.inner().stdin.take();
        let input = Keyboard::new(input.context("the guest has no input")?);
        let output = child
            .inner()
            .stdout
            .take()
            .context("the guest has no output")?;
        let said = child.inner().stderr.take();
        let complaints = Complaints::watch(said.context("QEMU has no standard error")?, errors);
        let held = Arc::new(AtomicBool::new(false));
        let chunks = read_unless(output, held.clone());
        Ok(Self {
            held,
            child,
            input,
            chunks,
            serial: Serial::default(),
            transcript: Vec::new(),
            last_output: Instant::now(),
            silence: SILENCE,
            meaning: Silence::Death,
            closed: false,
            cut: false,
            echo,
            complaints,
        })
    }

    /// Sets how long the guest may be silent.
    pub fn set_silence(&mut self, silence: Duration) {
        self.silence = silence;
    }

    /// Takes nothing from the guest for so long: its serial line gets stuck once the pipe is full.
    pub fn hold_output(&mut self, time: Duration) {
        self.held.store(true, Ordering::Relaxed);
        std::thread::sleep(time);
        self.held.store(false, Ordering::Relaxed);
        self.last_output = Instant::now();
    }

    /// Ends QEMU at once, as a cut of the power would; its end is no silence.
    pub fn cut(&mut self) -> Result<()> {
        self.cut = true;
        self.last_output = Instant::now();
        self.child.inner().kill().context("cannot end QEMU")
    }

    /// Takes what the guest still says, until it pauses.
    pub fn hear_last_words(&mut self) {
        let end = Instant::now() + LAST_WORDS;
        loop {
            let said = self.transcript.len();
            let waited = self.wait(Instant::now() + PAUSE, |_| false);
            let paused = self.transcript.len() == said;
            if waited == Waited::Ended || paused || Instant::now() >= end {
                return;
            }
        }
    }

    /// Whether that was done.
    pub const fn was_cut(&self) -> bool {
        self.cut
    }

    /// Takes a guest that computes in silence for alive.
    pub fn bear_busy_silence(&mut self) {
        self.meaning = Silence::DeathUnlessBusy;
    }

    /// Watches a silent guest for a moment. Whether it has said something meanwhile, or has computed.
    fn is_alive(&mut self) -> bool {
        if self.meaning == Silence::Death {
            return false;
        }
        let (said, before) = (self.transcript.len(), self.child.ticks());
        let watched = Instant::now();
        while let Some(left) = WATCH.checked_sub(watched.elapsed()) {
            self.pump(left);
            if self.closed || self.transcript.len() > said {
                return true;
            }
        }
        let after = self.child.ticks();
        let busy = before
            .zip(after)
            .is_some_and(|(before, after)| after - before >= BUSY_TICKS);
        if busy {
            self.last_output = Instant::now();
        }
        busy
    }

    /// The serial line so far.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// Waits until `seen` holds for the serial line, at most until `deadline`.
    pub fn wait(&mut self, deadline: Instant, mut seen: impl FnMut(&Serial) -> bool) -> Waited {
        loop {
            while let Ok(chunk) = self.chunks.try_recv() {
                self.take(chunk);
            }
            if seen(&self.serial) {
                return Waited::Seen;
            }
            if self.closed || is_over(&self.serial, self.last_output) || self.complaints.gave_up() {
                return Waited::Ended;
            }
            let now = Instant::now();
            let silent_at = self.last_output + self.silence;
            if now >= deadline {
                return Waited::Late;
            }
            if now >= silent_at {
                if self.is_alive() {
                    continue;
                }
                return Waited::Silent;
            }
            self.pump((deadline.min(silent_at) - now).min(LOOK));
        }
    }

    /// Takes what comes within `patience`. A guest at its prompt may be silent for as long as nobody types.
    pub fn idle(&mut self, patience: Duration) -> Waited {
        if self.serial.is_prompt_ready() {
            self.last_output = Instant::now();
        }
        self.wait(Instant::now() + patience, |_| false)
    }

    /// Takes what arrives within `patience`; returns after the first piece.
    fn pump(&mut self, patience: Duration) {
        match self.chunks.recv_timeout(patience) {
            Ok(chunk) => self.take(chunk),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.closed = true,
        }
    }

    fn take(&mut self, chunk: Vec<u8>) {
        self.last_output = Instant::now();
        self.serial.feed(&chunk);
        if self.echo == Echo::Shown {
            let mut out = std::io::stdout().lock();
            // A reader that went away must not end the guest's run.
            let _ = out.write_all(&chunk).and_then(|()| out.flush());
        }
        self.transcript.extend_from_slice(&chunk);
    }

    /// Waits for a prompt and answers it with `line`, no faster than the guest reads.
    pub fn answer_prompt(&mut self, line: impl AsRef<[u8]>, deadline: Instant) -> Result<Waited> {
        let waited = self.wait(deadline, Serial::is_prompt_ready);
        if waited == Waited::Seen {
            self.type_text(line.as_ref())?;
            self.serial.take_prompt();
            self.send(b"\r")?;
        }
        Ok(waited)
    }

    /// Sends `text`, which need not be text, in pieces, each after the guest has echoed the one before.
    pub fn type_text(&mut self, text: &[u8]) -> Result<()> {
        let mut rest = text;
        while let Some((piece, tail)) = rest.split_at_checked(piece_len(rest))
            && !piece.is_empty()
        {
            self.send(piece)?;
            let patience = Instant::now() + ECHO_PATIENCE;
            let echo = String::from_utf8_lossy(piece);
            self.wait(patience, |serial| serial.partial().ends_with(&*echo));
            rest = tail;
        }
        Ok(())
    }

    /// Sends raw bytes, as fast as the guest takes them.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        // A guest that is being talked to gets its time anew.
        self.last_output = Instant::now();
        if !self.input.hand_over(bytes) {
            return Ok(());
        }
        while let Err(RecvTimeoutError::Timeout) = self.input.written.recv_timeout(TAKE) {
            while let Ok(chunk) = self.chunks.try_recv() {
                self.take(chunk);
            }
            if self.last_output.elapsed() > self.silence && !self.is_alive() {
                anyhow::bail!("the guest takes nothing from its serial line");
            }
        }
        self.last_output = Instant::now();
        Ok(())
    }

    /// Waits for the end and makes sure of it: no process is left when this returns.
    pub fn finish(mut self, deadline: Instant) -> (End, Transcript) {
        let end = loop {
            match self.wait(deadline, |serial| serial.exit().is_some()) {
                Waited::Ended => break End::NoExitLine,
                Waited::Silent => break End::Silent,
                Waited::Late => break End::Late,
                Waited::Seen => {}
            }
            // QEMU ends by itself now; anything but silence means that this was not the last line.
            let linger = Instant::now() + linger(&self.serial);
            let lines = self.serial.lines().len();
            let waited = self.wait(linger, |serial| {
                serial.lines().len() > lines || !serial.partial().is_empty()
            });
            match self.serial.exit() {
                Some(code) if waited != Waited::Seen => break End::Code(code),
                _ if waited == Waited::Ended => break End::NoExitLine,
                _ => {}
            }
        };
        let status = if self.closed {
            self.child.wait_for(LINGER)
        } else {
            None
        };
        let Self {
            serial,
            transcript,
            child,
            complaints,
            ..
        } = self;
        drop(child);
        (
            end,
            Transcript {
                serial,
                bytes: transcript,
                status,
                errors: complaints.finish(),
            },
        )
    }
}

/// Whether the exit line is there and nothing came after it: a guest that cannot power its machine off stays.
pub fn is_over(serial: &Serial, last_output: Instant) -> bool {
    let patience = if serial.is_lost() {
        LOST_LINGER
    } else {
        RESTART
    };
    serial.exit().is_some() && last_output.elapsed() >= patience
}

/// How long QEMU may take to end after the guest's exit line.
fn linger(serial: &Serial) -> Duration {
    if serial.is_lost() {
        LOST_LINGER
    } else {
        LINGER
    }
}

/// How much of `text` goes in one piece: no more than the guest's queue holds, and no part of a character.
fn piece_len(text: &[u8]) -> usize {
    if text.len() <= TYPE_CHUNK {
        return text.len();
    }
    let starts_char = |at: &usize| text.get(*at).is_some_and(|byte| byte & 0xc0 != 0x80);
    (TYPE_CHUNK - 3..=TYPE_CHUNK)
        .rev()
        .find(starts_char)
        .unwrap_or(TYPE_CHUNK)
}

/// What a guest said from its start to its end.
pub struct Transcript {
    /// The same as lines.
    pub serial: Serial,
    /// Every byte.
    pub bytes: Vec<u8>,
    /// How QEMU ended, if it did so by itself.
    pub status: Option<ExitStatus>,
    /// What QEMU said on its standard error.
    pub errors: String,
}

#[cfg(test)]
mod tests {
    use super::{Echo, End, Session, Waited, piece_len};
    use std::process::Command;
    use std::time::{Duration, Instant};

    /// A stand-in for a guest: a shell script that talks on its standard input and output.
    fn guest(script: &str) -> Session {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Session::start(command, Echo::Kept, std::io::sink()).unwrap()
    }

    fn is_quick(start: Instant) {
        assert!(start.elapsed() < Duration::from_secs(3), "{start:?}");
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_conversation_ends_with_the_code_of_the_exit_line() {
        let mut session = guest(
            "printf 'hello\\r\\ncapos> '; read x; printf '%s\\r\\n' \"$x\"; echo exit code=5; exit 1",
        );
        session.set_silence(Duration::from_secs(10));
        assert_eq!(session.answer_prompt("ls", soon()).unwrap(), Waited::Seen);
        // `read` of a plain shell waits for a line feed.
        session.send(b"\n").unwrap();
        let (end, transcript) = session.finish(soon());
        assert_eq!(end, End::Code(5));
        assert_eq!(
            transcript.serial.lines().first().map(String::as_str),
            Some("hello")
        );
    }

    #[test]
    fn a_guest_that_said_its_exit_line_is_waited_for_no_longer() {
        let script = "echo @boot.refused; echo no; echo exit code=2; exec sleep 60";
        let mut session = guest(script);
        let start = Instant::now();
        assert_eq!(session.answer_prompt("ls", soon()).unwrap(), Waited::Ended);
        assert_eq!(session.finish(soon()).0, End::Code(2));
        is_quick(start);
    }

    #[test]
    fn a_guest_that_qemu_gave_up_is_ended_at_once() {
        let script = "echo hello; echo 'KVM internal error. Suberror: 1' >&2; exec sleep 60";
        let mut session = guest(script);
        let start = Instant::now();
        assert_eq!(session.answer_prompt("ls", soon()).unwrap(), Waited::Ended);
        let (end, transcript) = session.finish(soon());
        assert_eq!(end, End::NoExitLine);
        assert!(crate::kvm::gave_up(&transcript.errors));
        is_quick(start);
    }

    #[test]
    fn pieces_end_between_characters() {
        assert_eq!(piece_len(b""), 0);
        assert_eq!(piece_len(b"short"), 5);
        assert_eq!(piece_len(&[b'x'; 40]), 16);
        assert_eq!(
            piece_len("x\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}".as_bytes()),
            15
        );
        assert_eq!(piece_len("\u{1f600}".repeat(9).as_bytes()), 16);
        assert_eq!(piece_len(&[0x80; 40]), 16, "no text at all");
    }

    #[test]
    fn an_end_without_exit_line_has_no_code() {
        let (end, transcript) = guest("echo bye; exit 4").finish(soon());
        assert_eq!(transcript.status.and_then(|status| status.code()), Some(4));
        assert_eq!(end, End::NoExitLine);
    }

    #[test]
    fn an_exit_line_that_is_not_the_last_does_not_count() {
        let (end, _) = guest("echo exit code=0; sleep 0.3; echo oops").finish(soon());
        assert_eq!(end, End::NoExitLine);
    }

    #[test]
    fn last_words_are_heard_until_a_pause() {
        let mut session = guest("echo start; sleep 0.4; echo why; exec sleep 60");
        session.hear_last_words();
        assert_eq!(session.serial().lines(), ["start", "why"]);
        session.set_silence(Duration::from_millis(500));
        session.cut().unwrap();
        assert_eq!(session.finish(soon()).0, End::NoExitLine);
    }

    #[test]
    fn silence_ends_the_wait() {
        let mut session = guest("echo start; exec sleep 60");
        session.set_silence(Duration::from_millis(300));
        let (end, _) = session.finish(soon());
        assert_eq!(end, End::Silent);
    }

    #[test]
    fn silence_of_a_busy_guest_is_borne_where_that_is_asked_for() {
        let busy = "i=0; while [ $i -lt 1500000 ]; do i=$((i+1)); done; echo exit code=3";
        let mut session = guest(busy);
        session.set_silence(Duration::from_millis(200));
        assert_eq!(session.finish(soon()).0, End::Silent);
        let mut session = guest(busy);
        session.set_silence(Duration::from_millis(200));
        session.bear_busy_silence();
        let later = Instant::now() + Duration::from_secs(120);
        assert_eq!(session.finish(later).0, End::Code(3));
        let mut session = guest("echo start; exec sleep 60");
        session.set_silence(Duration::from_millis(200));
        session.bear_busy_silence();
        assert_eq!(session.finish(soon()).0, End::Silent);
    }

    #[test]
    fn a_talker_is_stopped_at_the_deadline() {
        let session = guest("while :; do echo x; sleep 0.05; done");
        let (end, _) = session.finish(Instant::now() + Duration::from_millis(400));
        assert_eq!(end, End::Late);
    }

    #[test]
    fn a_guest_that_lingers_after_its_exit_line_is_ended() {
        let mut session = guest("echo exit code=0; exec sleep 60");
        session.set_silence(Duration::from_secs(30));
        let start = Instant::now();
        assert_eq!(session.finish(soon()).0, End::Code(0));
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
