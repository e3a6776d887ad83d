//! The seal at the end of a backup: the SHA-256 of every byte before it, so that not a bit can change or go unnoticed.
//!
//! It has the form of a *skippable frame* of zstd: other programs that take such files apart pass it by.

use std::io::{self, Read, Write};

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// How a skippable frame begins: one of the sixteen magic numbers, and the length of what follows, both little-endian.
const BEGIN: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, SHA256_OUTPUT_LEN as u8, 0, 0, 0];

/// Bytes of the seal.
pub const LENGTH: usize = BEGIN.len() + SHA256_OUTPUT_LEN;

/// Passes on what is written, and seals it at the end.
pub struct Sealing<W> {
    inner: W,
    digest: Context,
    written: u64,
}

impl<W: Write> Sealing<W> {
    /// Before the first byte.
    pub fn new(inner: W) -> Self {
        Self { inner, digest: Context::new(&SHA256), written: 0 }
    }

    /// Writes the seal; what was written to, and the number of bytes in all.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.inner.write_all(&BEGIN)?;
        self.inner.write_all(self.digest.finish().as_ref())?;
        self.inner.flush()?;
        Ok((self.inner, self.written + LENGTH as u64))
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Passes on what is read, except for the seal.
pub struct Unsealing<R> {
    inner: R,
    digest: Context,
    /// What was read and not passed on yet: `buffer[begin..end]`, at least the length of a seal.
    buffer: Box<[u8]>,
    begin: usize,
    end: usize,
    read: u64,
}

impl<R: Read> Unsealing<R> {
    /// Before the first byte.
    pub fn new(inner: R) -> Self {
        let buffer = vec![0; 64 * 1024 + LENGTH].into_boxed_slice();
        Self { inner, digest: Context::new(&SHA256), buffer, begin: 0, end: 0, read: 0 }
    }

    /// How many bytes were read so far.
    pub const fn position(&self) -> u64 {
        self.read
    }

    /// When all has been read: whether it ends with the right seal.
    pub fn is_whole(&mut self) -> io::Result<bool> {
        let mut rest = [0; 1];
        if self.read(&mut rest)? > 0 {
            return Ok(false);
        }
        let seal = &self.buffer[self.begin..self.end];
        let digest = self.digest.clone().finish();
        Ok(seal.len() == LENGTH && seal.starts_with(&BEGIN) && seal.ends_with(digest.as_ref()))
    }
}

impl<R: Read> Read for Unsealing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.end - self.begin <= LENGTH {
            self.buffer.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(0),
                Ok(count) => {
                    self.end += count;
                    self.read += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let count = out.len().min(self.end - self.begin - LENGTH);
        let passed = &self.buffer[self.begin..self.begin + count];
        out[..count].copy_from_slice(passed);
        self.digest.update(passed);
        self.begin += count;
        Ok(count)
    }
}
