//! Writers on several CPUs and the line's interrupt, in every interleaving that loom can find: as the kernel does it, with
//! the queue behind one lock and those who wait beside it.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p line-queue --test races --release`
#![cfg(loom)]

use line_queue::{Form, LineQueue, Rank, UNIT_BYTES, Writer};
use loom::sync::{Arc, Mutex};
use loom::thread;

struct Port {
    queue: Box<LineQueue<{ 16 * 1024 }, 8192>>,
    waiting: Vec<(u64, Vec<u8>)>,
    out: Vec<u8>,
}

impl Port {
    fn new() -> Self {
        Self {
            // A coroutine of loom has a small stack, on which a box is made before it is moved.
            queue: std::thread::spawn(Box::default).join().unwrap(),
            waiting: Vec::new(),
            out: Vec::new(),
        }
    }

    /// What a call does: a unit that finds no room waits behind those that wait already.
    fn write(&mut self, writer: u64, bytes: &[u8]) {
        let full = !self.waiting.is_empty()
            || self
                .queue
                .push(Rank::Program, Writer(writer), Form::Raw, bytes, 0)
                .is_err();
        if full {
            self.waiting.push((writer, bytes.to_vec()));
        }
    }

    /// What the interrupt does.
    fn interrupt(&mut self) {
        let mut piece = vec![0; 6000];
        let len = self.queue.take(&mut piece, 0);
        self.out.extend_from_slice(&piece[..len]);
        while let Some((writer, bytes)) = self.waiting.first() {
            let pushed = self
                .queue
                .push(Rank::Program, Writer(*writer), Form::Raw, bytes, 0);
            if pushed.is_err() {
                break;
            }
            self.waiting.remove(0);
        }
    }
}

fn line(byte: u8) -> Vec<u8> {
    let mut line = vec![byte; UNIT_BYTES - 1];
    line.push(b'\n');
    line
}

#[test]
fn lines_of_two_writers_come_out_whole_and_nobody_waits_for_ever() {
    loom::model(|| {
        let port = Arc::new(Mutex::new(Port::new()));
        let writers = [b'a', b'b'].map(|byte| {
            let port = port.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    port.lock().unwrap().write(u64::from(byte), &line(byte));
                }
            })
        });
        port.lock().unwrap().interrupt();
        for writer in writers {
            writer.join().unwrap();
        }
        let mut port = port.lock().unwrap();
        for _ in 0..8 {
            port.interrupt();
        }
        assert!(port.waiting.is_empty());
        let rows: Vec<&[u8]> = port.out.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().all(|row| *row == line(row[0])));
    });
}
