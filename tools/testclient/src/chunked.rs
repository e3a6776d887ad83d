//! The chunked transfer coding, decoded piece by piece.

use std::io;

/// Takes the bytes of a chunked body as they come, and gives back what is in the chunks.
#[derive(Clone, Debug, Default)]
pub struct ChunkDecoder {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// In the line with a chunk's size: what was read of the number, and whether its digits are over.
    Size { value: u64, digits: u32, over: bool },
    /// In a chunk, with so many bytes to come.
    Data(u64),
    /// Between a chunk and the line end after it.
    DataEnd,
    /// After the last chunk; how many bytes of the current trailer line were seen.
    Trailer(u64),
    /// All was read.
    Done,
}

impl Default for State {
    fn default() -> Self {
        State::Size { value: 0, digits: 0, over: false }
    }
}

impl ChunkDecoder {
    /// Whether the last chunk and the trailer were seen.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Appends to `out` what of `input` belongs to the body, but not more than `max` bytes of it, and says how many
    /// bytes of `input` were used up.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let mut used = 0;
        let mut room = max;
        while let Some(&byte) = input.get(used) {
            match &mut self.state {
                State::Size { value, digits, over } => {
                    used += 1;
                    match (byte, char::from(byte).to_digit(16)) {
                        (b'\n', _) if *digits == 0 => return Err(bad("a chunk without a size")),
                        (b'\n', _) => self.state = if *value == 0 { State::Trailer(0) } else { State::Data(*value) },
                        (_, Some(digit)) if !*over => {
                            *digits += 1;
                            *value = value.checked_mul(16).ok_or_else(|| bad("a chunk too large"))? + u64::from(digit);
                        }
                        (b'\r' | b';' | b' ' | b'\t', _) => *over = true,
                        _ if *over => {} // a chunk extension
                        _ => return Err(bad("a chunk size that is no number")),
                    }
                }
                State::Data(left) => {
                    if room == 0 {
                        break;
                    }
                    let rest = &input[used..];
                    let take = rest.len().min(room).min(usize::try_from(*left).unwrap_or(usize::MAX));
                    out.extend_from_slice(&rest[..take]);
                    used += take;
                    room -= take;
                    *left -= take as u64;
                    if *left == 0 {
                        self.state = State::DataEnd;
                    }
                }
                State::DataEnd => {
                    used += 1;
                    match byte {
                        b'\r' => {}
                        b'\n' => self.state = State::default(),
                        _ => return Err(bad("a chunk longer than its size")),
                    }
                }
                State::Trailer(seen) => {
                    used += 1;
                    match byte {
                        b'\r' => {}
                        b'\n' if *seen == 0 => self.state = State::Done,
                        b'\n' => *seen = 0,
                        _ => *seen += 1,
                    }
                }
                State::Done => break,
            }
        }
        Ok(used)
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODED: &[u8] = b"5\r\nhello\r\nA;x=y\r\n, wonderfu\r\n2\r\nl!\r\n0\r\nX: y\r\n\r\nnext";

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        for piece in 1..=CODED.len() {
            for max in [1, 3, usize::MAX] {
                let mut decoder = ChunkDecoder::default();
                let (mut out, mut at) = (Vec::new(), 0);
                while !decoder.is_done() {
                    let input = &CODED[at..CODED.len().min(at + piece)];
                    at += decoder.decode(input, &mut out, max).unwrap();
                }
                assert_eq!(out, b"hello, wonderful!");
                assert_eq!(&CODED[at..], b"next");
            }
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        for coded in ["x\r\n", "\r\n", "1\r\nab\r\n", "fffffffffffffffff\r\n"] {
            let result = ChunkDecoder::default().decode(coded.as_bytes(), &mut Vec::new(), usize::MAX);
            assert!(result.is_err(), "{coded:?}");
        }
    }
}
