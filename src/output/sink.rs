//! Where the lines go: one buffer, written in large pieces.

use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

/// The buffer is written when it holds this much.
const FULL: usize = 64 << 10;

/// While nothing can be written (a full disk), this much is kept; lines beyond are dropped, whole, and counted.
const KEPT: usize = 1 << 20;

/// A line whose end is not here yet leaves room for this much, so that the buffer rarely grows.
const ROOM: usize = 4 << 10;

/// Whether lines still arrive somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Yes.
    Open,
    /// The reader has closed its end: nothing more is wanted, and that is no failure.
    Closed,
    /// The last write failed; the next one may work.
    Failing,
}

/// A buffer in front of a file or a pipe.
pub(super) struct Sink<'o> {
    out: Box<dyn Write + 'o>,
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that are written.
    written: usize,
    /// Where the events in `buffer` end.
    ends: Vec<usize>,
    /// Events that were in the buffer when the reader had closed its end.
    pub unread: u64,
    pub state: State,
    /// The first failure.
    pub error: Option<io::Error>,
}

impl<'o> Sink<'o> {
    pub fn new(out: Box<dyn Write + 'o>) -> Sink<'o> {
        Sink {
            out,
            buffer: Vec::with_capacity(FULL + ROOM),
            written: 0,
            ends: Vec::new(),
            unread: 0,
            state: State::Open,
            error: None,
        }
    }

    /// The buffer to append a line to; or why the line must be dropped.
    #[inline]
    pub fn room(&mut self) -> Result<&mut Vec<u8>, State> {
        match self.state {
            State::Open => Ok(&mut self.buffer),
            State::Failing if self.buffer.len() < KEPT => Ok(&mut self.buffer),
            state => Err(state),
        }
    }

    /// Says that everything in the buffer is of whole events, the last of which ends here.
    #[inline]
    pub fn end_event(&mut self) {
        self.ends.push(self.buffer.len());
    }

    /// Writes the buffer if it is full. While writing fails, only [`Sink::flush`] tries again.
    #[inline]
    pub fn flush_full(&mut self) {
        if self.buffer.len() >= FULL && self.state == State::Open {
            self.flush();
        }
    }

    /// Writes the buffer.
    pub fn flush(&mut self) {
        while self.written < self.buffer.len() && self.state != State::Closed {
            match self.out.write(&self.buffer[self.written..]) {
                Ok(0) => return self.fail(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.written += count;
                    self.state = State::Open;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Somebody made our end of the pipe non-blocking; wait as a blocking one would.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(1)),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    self.state = State::Closed;
                    self.unread += self.pending();
                }
                Err(error) => return self.fail(error),
            }
        }
        self.buffer.clear();
        self.ends.clear();
        self.written = 0;
    }

    /// Keeps what could not be written, from the byte where writing stopped.
    fn fail(&mut self, error: io::Error) {
        self.buffer.drain(..self.written);
        self.ends.retain(|end| *end > self.written);
        self.ends.iter_mut().for_each(|end| *end -= self.written);
        self.written = 0;
        self.state = State::Failing;
        self.error.get_or_insert(error);
    }

    /// Events in the buffer, none of which was written as a whole.
    pub fn pending(&self) -> u64 {
        self.ends.iter().filter(|end| **end > self.written).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// Takes `room` bytes, then answers as `then` says.
    struct Disk {
        text: Rc<RefCell<Vec<u8>>>,
        room: Rc<RefCell<usize>>,
        then: ErrorKind,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut room = self.room.borrow_mut();
            if *room == 0 {
                return Err(self.then.into());
            }
            let count = bytes.len().min(*room).min(7);
            *room -= count;
            self.text.borrow_mut().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(sink: &mut Sink<'_>, text: &str) -> bool {
        let taken = sink.room().is_ok_and(|room| {
            room.extend_from_slice(text.as_bytes());
            true
        });
        if taken {
            sink.end_event();
        }
        sink.flush_full();
        taken
    }

    #[test]
    fn a_full_disk_tears_no_line() {
        let (text, room) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(10)));
        let disk = Disk { text: text.clone(), room: room.clone(), then: ErrorKind::StorageFull };
        let mut sink = Sink::new(Box::new(disk));
        for _ in 0..3 {
            assert!(line(&mut sink, "abcdefg\n"));
        }
        sink.flush();
        assert_eq!(sink.state, State::Failing);
        assert_eq!(sink.error.as_ref().map(io::Error::kind), Some(ErrorKind::StorageFull));
        assert_eq!(*text.borrow(), b"abcdefg\nab");
        assert_eq!(sink.pending(), 2);
        let mut kept = 3;
        while line(&mut sink, "hijklmn\n") {
            kept += 1;
        }
        assert!((KEPT / 8 - 3..KEPT / 8 + 3).contains(&kept), "{kept}");
        *room.borrow_mut() = usize::MAX;
        sink.flush();
        assert_eq!(sink.state, State::Open);
        let text = String::from_utf8(text.take()).unwrap();
        assert_eq!(text.lines().count(), kept);
        assert!(text.lines().all(|line| line.len() == 7));
    }

    #[test]
    fn a_closed_pipe_takes_nothing_more() {
        let disk = Disk { text: Rc::default(), room: Rc::default(), then: ErrorKind::BrokenPipe };
        let mut sink = Sink::new(Box::new(disk));
        assert!(line(&mut sink, "a\n"));
        sink.flush();
        assert_eq!(sink.state, State::Closed);
        assert!(sink.error.is_none());
        assert_eq!((sink.unread, sink.pending()), (1, 0));
        assert!(!line(&mut sink, "b\n"));
    }

    #[test]
    fn a_full_buffer_is_written() {
        let text = Rc::new(RefCell::new(Vec::new()));
        let room = Rc::new(RefCell::new(usize::MAX));
        let mut sink = Sink::new(Box::new(Disk { text: text.clone(), room, then: ErrorKind::Other }));
        let long = "x".repeat(FULL - 1);
        line(&mut sink, &long);
        assert!(text.borrow().is_empty());
        line(&mut sink, "\n");
        assert_eq!(text.borrow().len(), FULL);
    }
}
