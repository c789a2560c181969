//! A session at a terminal: what a person types goes to the guest, and what the guest says comes back.
//!
//! Invariant: never returns with the terminal in raw mode or with a guest that still runs.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};

use crate::child::Guarded;
use crate::complaints::Complaints;
use crate::raw_terminal::{self, RawLines, RawTerminal};
use crate::run::{Ended, Patience, explain};
use crate::serial::{Serial, process_code};
use crate::session::{End, Keyboard, is_over, read_chunks};
use crate::symbols::Explainer;

/// How long QEMU may take to end once it has closed the serial line.
const END_PATIENCE: Duration = Duration::from_secs(4);
/// Ctrl-A, which introduces a key for xtask itself.
const CTRL_A: u8 = 0x01;

/// Why a session at the terminal ends while the guest runs.
enum Stop {
    /// Ctrl-A X.
    Quit,
    /// Somebody wants xtask to end, or its terminal is gone.
    Signal(Signal),
}

/// Hands over what a person types, and takes out what is meant for xtask.
fn type_on(typed: &Mutex<Keyboard>, stops: &Sender<Stop>) {
    let mut command_key = false;
    let mut byte = [0];
    while let Ok(1) = std::io::stdin().lock().read(&mut byte) {
        let quit = command_key && matches!(byte[0], b'x' | b'X');
        let meant = !command_key || byte[0] == CTRL_A;
        let starts_command = byte[0] == CTRL_A && !command_key;
        command_key = starts_command;
        if quit {
            let _ = stops.send(Stop::Quit);
            break;
        }
        let send = |bytes: &[u8]| typed.lock().is_ok_and(|input| input.hand_over(bytes));
        if meant && !starts_command && !send(&byte) {
            break;
        }
    }
}

/// Waits, beside the session, for a signal and for what a person types.
fn watch_person(signals: SigSet, typed: Arc<Mutex<Keyboard>>) -> Receiver<Stop> {
    let (sender, stops) = channel();
    let signal_sender = sender.clone();
    std::thread::spawn(move || {
        if let Ok(signal) = signals.wait() {
            let _ = signal_sender.send(Stop::Signal(signal));
        }
    });
    std::thread::spawn(move || type_on(&typed, &sender));
    stops
}

/// What the guest says, on its way to the terminal.
struct Shown {
    chunks: Receiver<Vec<u8>>,
    serial: Serial,
    last_output: Instant,
    explainer: Explainer,
    /// What the shell knows of the terminal: that there is one, and its size.
    announced: Option<(u16, u16)>,
    patience: Patience,
}

impl Shown {
    fn new(chunks: Receiver<Vec<u8>>, explainer: Explainer, patience: Patience) -> Self {
        Self {
            chunks,
            serial: Serial::default(),
            last_output: Instant::now(),
            explainer,
            announced: None,
            patience,
        }
    }

    /// Whether the guest hangs before its first word.
    fn hangs(&self) -> bool {
        !self.serial.has_spoken() && self.patience.is_over(self.last_output.elapsed())
    }

    /// Shows it until somebody wants to stop, or until the guest has ended: `None`.
    fn until_end(
        &mut self,
        stops: &Receiver<Stop>,
        input: &Mutex<Keyboard>,
        complaints: &Complaints,
    ) -> Result<Option<Stop>> {
        loop {
            if let Ok(stop) = stops.try_recv() {
                return Ok(Some(stop));
            }
            match self.chunks.recv_timeout(Duration::from_millis(50)) {
                Ok(chunk) => self.show(&chunk, input)?,
                Err(RecvTimeoutError::Timeout) => {
                    if self.announced.is_some() {
                        self.announce(input);
                    }
                    if complaints.gave_up()
                        || is_over(&self.serial, self.last_output)
                        || self.hangs()
                    {
                        return Ok(None);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// Says what a terminal answers when it is asked for its size, if the shell does not know it: so it knows that one is there.
    fn announce(&mut self, input: &Mutex<Keyboard>) {
        let (rows, columns) = raw_terminal::size();
        if self.announced.replace((rows, columns)) != Some((rows, columns)) {
            let report = format!("\x1b[8;{rows};{columns}t");
            let _ = input.lock().map(|input| input.hand_over(report.as_bytes()));
        }
    }

    fn show(&mut self, chunk: &[u8], input: &Mutex<Keyboard>) -> Result<()> {
        self.serial.feed(chunk);
        self.last_output = Instant::now();
        if self.announced.is_none() && self.serial.is_prompt_ready() {
            self.announce(input);
        }
        let mut out = std::io::stdout().lock();
        out.write_all(chunk)?;
        out.flush()?;
        drop(out);
        explain(
            &mut self.explainer,
            &self.serial,
            &mut RawLines(std::io::stderr()),
        )
    }
}

/// Connects the terminal with the guest.
///
/// # Errors
/// What keeps the guest or the terminal from being used; a signal that ended the session.
pub fn talk(mut command: Command, explainer: Explainer, patience: Patience) -> Result<Ended> {
    eprintln!("Ctrl-A X quits, Ctrl-A Ctrl-A sends Ctrl-A");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    let mut qemu = Guarded::spawn(&mut command)?;
    let input = qemu
        .inner()
        .stdin
        .take()
        .context("the guest has no input")?;
    let output = qemu
        .inner()
        .stdout
        .take()
        .context("the guest has no output")?;
    let errors = qemu.inner().stderr.take();
    // A guest that takes nothing must not keep Ctrl-A from being read.
    let input = Arc::new(Mutex::new(Keyboard::new(input)));
    let typed = Arc::clone(&input);
    // From here on a signal ends the session and not the process, so that the terminal gets its settings back. The threads
    // below inherit this; QEMU, which runs already, does not.
    let signals = SigSet::from_iter([Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block().context("cannot hold signals back")?;
    let raw = RawTerminal::enter()?;
    let errors = errors.context("QEMU has no standard error")?;
    let complaints = Complaints::watch(errors, RawLines(std::io::stderr()));
    let stops = watch_person(signals, typed);
    let mut shown = Shown::new(read_chunks(output), explainer, patience);
    let stop = shown.until_end(&stops, &input, &complaints)?;
    drop(raw);
    let hangs = shown.hangs();
    let status = match &stop {
        Some(_) => None,
        None if hangs || complaints.gave_up() => None,
        None if is_over(&shown.serial, shown.last_output) => None,
        None => qemu.wait_for(END_PATIENCE),
    };
    drop(qemu);
    let errors = complaints.finish();
    let serial = shown.serial;
    match stop {
        Some(Stop::Quit) => {
            eprintln!("\nquit");
            return Ok(Ended::by_code(0));
        }
        Some(Stop::Signal(signal)) => {
            eprintln!();
            bail!("ended by {signal}, and the guest with it")
        }
        None => {}
    }
    Ok(match serial.exit() {
        Some(code) => Ended::by_code(process_code(code)),
        None => Ended {
            code: None,
            end: if hangs { End::Silent } else { End::NoExitLine },
            status,
            errors,
            spoke: serial.has_spoken(),
        },
    })
}
