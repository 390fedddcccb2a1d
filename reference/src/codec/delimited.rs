//! Cuts a stream of bytes into pieces at one end symbol: messages at `#`, lines at a newline.
//!
//! It hands out memory to read into and then slices of that same memory, so nothing is copied on the way. It does
//! not know what a piece means, nor where the bytes come from.

use memchr::memchr;

/// How much free space a read is offered at least; a pipe holds this much by default.
const READ_BYTES_MIN: usize = 64 * 1024;

/// A buffer that grew past this for one large piece is given back as soon as it is empty.
const STORAGE_BYTES_KEPT: usize = 1024 * 1024;

/// A growing stream of bytes, cut at each end symbol.
#[derive(Debug)]
pub struct Delimited {
    // Invariant: start <= scanned <= end <= storage.len(), and storage[start..scanned] holds no end symbol.
    storage: Vec<u8>,
    start: usize,
    scanned: usize,
    end: usize,
    end_symbol: u8,
    piece_bytes_max: usize,
    /// Inside a piece that was already reported as too long; its rest is dropped up to the next end symbol.
    discarding: bool,
}

/// What lies between two end symbols.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A piece within the limit, without its end symbol.
    Whole(&'a [u8]),
    /// A piece that outgrew the limit. It is reported once, as soon as that is certain, and the rest of it is dropped.
    TooLong {
        /// The first byte of the piece: for a message its op byte, so that the refusal can be addressed.
        first: u8,
    },
}

/// Nothing is wrong: the end symbol has not arrived yet, and more bytes may bring it.
#[derive(Debug, PartialEq, Eq)]
pub struct NeedsMore;

impl Delimited {
    /// An empty stream whose pieces end at `end_symbol` and hold at most `piece_bytes_max` bytes before it.
    pub fn new(end_symbol: u8, piece_bytes_max: usize) -> Self {
        Self { storage: Vec::new(), start: 0, scanned: 0, end: 0, end_symbol, piece_bytes_max, discarding: false }
    }

    /// Free memory to read into; say with [`Delimited::filled`] how much of it was used.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.scanned, self.end) = (0, 0, 0);
            if self.storage.len() > STORAGE_BYTES_KEPT {
                self.storage = Vec::new();
            }
        }
        if self.storage.len() - self.end < READ_BYTES_MIN {
            self.make_room();
        }
        &mut self.storage[self.end..]
    }

    /// Moves the unfinished piece to the front, and doubles the memory if that frees too little.
    fn make_room(&mut self) {
        self.storage.copy_within(self.start..self.end, 0);
        self.scanned -= self.start;
        self.end -= self.start;
        self.start = 0;
        if self.storage.len() - self.end < READ_BYTES_MIN {
            let bytes = (self.storage.len() * 2).max(self.end + READ_BYTES_MIN);
            self.storage.resize(bytes, 0);
        }
    }

    /// Takes in the first `bytes` bytes of what [`Delimited::space`] lent.
    pub fn filled(&mut self, bytes: usize) {
        self.end += bytes;
        assert!(self.end <= self.storage.len(), "more bytes were reported than were lent");
    }

    /// Takes in a copy of `bytes`, for those who already hold them.
    pub fn push(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(READ_BYTES_MIN) {
            self.space()[..chunk.len()].copy_from_slice(chunk);
            self.filled(chunk.len());
        }
    }

    /// The next piece, or the word that it has not arrived yet.
    pub fn next_piece(&mut self) -> Result<Piece<'_>, NeedsMore> {
        loop {
            let Some(offset) = memchr(self.end_symbol, &self.storage[self.scanned..self.end]) else {
                return self.without_end_symbol();
            };
            let (from, to) = (self.start, self.scanned + offset);
            self.start = to + 1;
            self.scanned = self.start;
            if std::mem::take(&mut self.discarding) {
                continue;
            }
            return Ok(match to - from > self.piece_bytes_max {
                false => Piece::Whole(&self.storage[from..to]),
                true => Piece::TooLong { first: self.storage[from] },
            });
        }
    }

    fn without_end_symbol(&mut self) -> Result<Piece<'_>, NeedsMore> {
        self.scanned = self.end;
        if self.discarding {
            self.start = self.end;
            return Err(NeedsMore);
        }
        if self.end - self.start <= self.piece_bytes_max {
            return Err(NeedsMore);
        }
        let first = self.storage[self.start];
        self.start = self.end;
        self.discarding = true;
        Ok(Piece::TooLong { first })
    }

    /// What has arrived after the last end symbol: at the end of a stream, the piece that was cut off.
    pub fn unfinished(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// How many whole pieces are waiting, without taking them.
    pub fn pieces_waiting(&self) -> usize {
        memchr::memchr_iter(self.end_symbol, self.unfinished()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(stream: &mut Delimited) -> Vec<String> {
        let mut pieces = Vec::new();
        while let Ok(piece) = stream.next_piece() {
            pieces.push(match piece {
                Piece::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Piece::TooLong { first } => format!("too long, begins with {}", char::from(first)),
            });
        }
        pieces
    }

    #[test]
    fn cuts_however_the_bytes_arrive() {
        let bytes = b"1{Value: 1}#2{Value: 2}##rest";
        for chunk_bytes in 1..=bytes.len() {
            let mut stream = Delimited::new(b'#', 100);
            let mut seen = Vec::new();
            for chunk in bytes.chunks(chunk_bytes) {
                stream.push(chunk);
                seen.extend(pieces(&mut stream));
            }
            assert_eq!(seen, ["1{Value: 1}", "2{Value: 2}", ""], "in chunks of {chunk_bytes}");
            assert_eq!(stream.unfinished(), b"rest");
        }
    }

    #[test]
    fn reports_a_long_piece_once_and_goes_on_behind_it() {
        for chunk_bytes in 1..=20 {
            let mut stream = Delimited::new(b'#', 4);
            let mut seen = Vec::new();
            for chunk in b"abcde#1234#vwxyz12345#ok#".chunks(chunk_bytes) {
                stream.push(chunk);
                seen.extend(pieces(&mut stream));
            }
            let expected = ["too long, begins with a", "1234", "too long, begins with v", "ok"];
            assert_eq!(seen, expected, "in chunks of {chunk_bytes}");
        }
    }

    #[test]
    fn a_large_piece_arrives_whole_and_its_memory_is_given_back() {
        let large = vec![b'x'; 5 * STORAGE_BYTES_KEPT];
        let mut stream = Delimited::new(b'#', usize::MAX);
        stream.push(b"small#");
        stream.push(&large);
        stream.push(b"#");
        assert_eq!(stream.pieces_waiting(), 2);
        assert_eq!(stream.next_piece(), Ok(Piece::Whole(b"small")));
        assert_eq!(stream.next_piece(), Ok(Piece::Whole(&large)));
        assert_eq!(stream.next_piece(), Err(NeedsMore));
        assert!(stream.space().len() <= STORAGE_BYTES_KEPT);
    }
}
