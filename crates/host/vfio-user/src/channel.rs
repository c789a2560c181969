//! Whole messages over a socket, with their file descriptors.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::wire::{HEADER_BYTES, Header, Kind, MAX_FDS};

/// One message.
#[derive(Debug)]
pub struct Message {
    /// Its header.
    pub header: Header,
    /// What follows the header.
    pub body: Vec<u8>,
    /// What came with it.
    pub fds: Vec<OwnedFd>,
}

/// One side of a connection.
#[derive(Debug)]
pub struct Channel(UnixStream);

impl Channel {
    /// Takes a connected socket.
    pub const fn new(socket: UnixStream) -> Self {
        Self(socket)
    }

    /// Waits until something can be read, at most so long; says whether it can.
    ///
    /// # Errors
    /// Those of the system.
    pub fn wait(&self, most: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let most = Timespec {
            tv_sec: most.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: most.subsec_nanos().into(),
        };
        Ok(poll(&mut fds, Some(&most))? > 0)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Those of the system.
    pub fn send(
        &mut self,
        id: u16,
        command: u16,
        kind: Kind,
        body: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let length =
            u32::try_from(HEADER_BYTES + body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let header = Header {
            id,
            command,
            bytes: length,
            kind,
        };
        let bytes = [&header.bytes()[..], body].concat();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let sent = sendmsg(
            &self.0,
            &[IoSlice::new(&bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        self.0.write_all(&bytes[sent..])
    }

    /// Receives the next message; `None` at the end of the connection.
    ///
    /// # Errors
    /// Those of the system; `InvalidData` for a message without an end that makes sense.
    pub fn receive(&mut self) -> io::Result<Option<Message>> {
        let mut fds = Vec::new();
        let mut header = [0; HEADER_BYTES];
        if !self.fill(&mut header, &mut fds)? {
            return Ok(None);
        }
        let header = Header::read(&header).ok_or(io::ErrorKind::InvalidData)?;
        let mut body = vec![0; header.bytes as usize - HEADER_BYTES];
        if !self.fill(&mut body, &mut fds)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(Message { header, body, fds }))
    }

    /// Fills a buffer; `false` if the connection ended before its first byte.
    fn fill(&mut self, buffer: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<bool> {
        let mut done = 0;
        while done < buffer.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut buffer[done..])];
            let got = recvmsg(
                self.0.as_fd(),
                &mut into,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    fds.extend(rights);
                }
            }
            match (got.bytes, done) {
                (0, 0) => return Ok(false),
                (0, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
                (more, _) => done += more,
            }
        }
        Ok(true)
    }
}
