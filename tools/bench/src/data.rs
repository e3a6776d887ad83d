//! Records like those of Firefox: an id of 12 characters, and a payload that is encrypted JSON in a string.

use std::cell::Cell;
use std::io::Write as _;

/// What stands around the encrypted bytes in a payload (without the escapes that JSON puts in).
const AROUND: usize = r#"{"ciphertext":"","IV":"","hmac":""}"#.len() + 24 + 64;

/// The payload bytes of the records that most scenarios use.
pub(crate) const USUAL_PAYLOAD: usize = 400;

/// Numbers that look random, the same in each run.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        // Seeds that follow each other are not to give numbers that do.
        Numbers((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// Payloads ready to be put into JSON. One is not like the next: a database may leave out a change that changes nothing.
#[derive(Clone, Debug)]
pub(crate) struct Payloads {
    /// Longer than the longest ciphertext asked for.
    noise: String,
    /// Where in the noise the next payload begins.
    start: Cell<usize>,
}

/// How many payloads of a size differ.
const VARIETY: usize = 1021;

impl Payloads {
    pub(crate) fn up_to(size: usize) -> Payloads {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut numbers = Numbers::new(1);
        let mut letter = || char::from(LETTERS[usize::try_from(numbers.below(64)).unwrap_or(0)]);
        Payloads { noise: (0..size.max(64) + VARIETY).map(|_| letter()).collect(), start: Cell::new(0) }
    }

    /// Some noise of this size, other than the last.
    pub(crate) fn noise(&self, size: usize) -> &str {
        let start = self.start.get();
        self.start.set((start + 1) % VARIETY);
        &self.noise[start..start + size.min(self.noise.len() - VARIETY)]
    }

    /// Appends `"…"`, the payload as a JSON string.
    fn write(&self, size: usize, out: &mut Vec<u8>) {
        let cipher = self.noise(size.saturating_sub(AROUND));
        let (iv, hmac) = (&self.noise[..24], &self.noise[..64]);
        for part in [r#""{\"ciphertext\":\""#, cipher, r#"\",\"IV\":\""#, iv, r#"\",\"hmac\":\""#, hmac, r#"\"}""#] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// Writes a list of records with these numbers to `out`, and nothing else; `size` says how large each payload is.
    pub(crate) fn write_records(
        &self,
        prefix: &str,
        numbers: std::ops::Range<u64>,
        out: &mut Vec<u8>,
        mut size: impl FnMut() -> usize,
    ) {
        out.clear();
        out.push(b'[');
        for number in numbers {
            if out.len() > 1 {
                out.push(b',');
            }
            self.write_record(prefix, number, size(), out);
        }
        out.push(b']');
    }

    /// Appends one record.
    pub(crate) fn write_record(&self, prefix: &str, number: u64, size: usize, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = write!(out, r#"{{"id":"{prefix}{number:08}","payload":"#);
        self.write(size, out);
        out.push(b'}');
    }

    /// Writes the body of a PUT of one record to `out`, and nothing else.
    pub(crate) fn write_body(&self, size: usize, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(br#"{"payload":"#);
        self.write(size, out);
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn records_have_the_ids_and_sizes_asked_for() {
        let payloads = Payloads::up_to(USUAL_PAYLOAD);
        let mut out = vec![1, 2, 3];
        payloads.write_records("bkm-", 98..101, &mut out, || USUAL_PAYLOAD);
        let list: Value = serde_json::from_slice(&out).unwrap();
        let ids: Vec<_> = list.as_array().unwrap().iter().map(|bso| bso["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["bkm-00000098", "bkm-00000099", "bkm-00000100"]);
        let payload = list[0]["payload"].as_str().unwrap();
        assert_eq!(payload.len(), USUAL_PAYLOAD);
        assert!(serde_json::from_str::<Value>(payload).unwrap()["hmac"].is_string());
        payloads.write_body(300, &mut out);
        let body: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(body["payload"].as_str().unwrap().len(), 300);
    }

    #[test]
    fn payloads_differ_from_one_to_the_next_and_keep_their_size() {
        let payloads = Payloads::up_to(100);
        let mut last = String::new();
        for _ in 0..2 * VARIETY {
            let noise = payloads.noise(100);
            assert!(noise.len() == 100 && noise != last);
            last = noise.to_owned();
        }
    }

    #[test]
    fn numbers_spread_and_repeat_by_seed() {
        let draw = |seed| {
            let mut numbers = Numbers::new(seed);
            (0..100).map(|_| numbers.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!((0..10).all(|digit| draw(3).contains(&digit)));
    }
}
