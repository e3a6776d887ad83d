//! Files that are as they should be, and all the ways in which they are not.

use std::io::{self, Read, Write};
use std::sync::Arc;

use syncstorage_db_common::{
    Bso, BsoId, CollectionName, CollectionRef, Sink, StoredBso, StoredItem, SyncTimestamp, UserId,
};
use tokenserver_db_common::{AccountItem, DeviceItem, NodeItem, Numbers, TokenItem, UserItem};

use super::format::{Header, VERSION};
use super::read::{BackupError, Reader};
use super::seal::{self, Sealing, Unsealing};
use super::write::Writer;
use super::{Counts, Item};

/// One of everything.
fn items() -> Vec<Item> {
    let user = |id| UserId::try_from(id).unwrap();
    let time = SyncTimestamp::from_ms(1_700_000_000_010);
    let at = Arc::new(CollectionRef { user: user(7), collection: CollectionName::new("bookmarks").unwrap() });
    let bso = |id: &str, sortindex, payload: &str, expiry| {
        let id = BsoId::new(id).unwrap();
        let bso = Bso { id, modified: time, sortindex, payload: payload.to_owned() };
        Item::Storage(StoredItem::Bso(StoredBso { at: Arc::clone(&at), bso, expiry }))
    };
    let row = UserItem {
        uid: 7,
        email: "a@x".to_owned(),
        generation: i64::MAX,
        client_state: "aa".to_owned(),
        created_at: 1,
        replaced_at: None,
        nodeid: 1,
        keys_changed_at: Some(0),
    };
    vec![
        StoredItem::Store { user: user(7), modified: time }.into(),
        StoredItem::Collection { at: Arc::clone(&at), modified: time }.into(),
        bso(" ", None, "", None),
        bso("'\"\\", Some(0), "\u{1}\"\\\n🦊\u{2028}", Some(1_700_000_000_011)),
        StoredItem::Store { user: user(i64::MAX), modified: time }.into(),
        TokenItem::Node(NodeItem {
            id: 1,
            url: "https://n".to_owned(),
            available: 1,
            current_load: 2,
            capacity: 3,
            downed: 0,
            backoff: 5,
        })
        .into(),
        TokenItem::User(row.clone()).into(),
        TokenItem::User(UserItem { uid: 8, replaced_at: Some(3), keys_changed_at: None, ..row }).into(),
        TokenItem::Account(AccountItem {
            email: "a@x".to_owned(),
            verdict: Some("denied".to_owned()),
            decided_at: Some(4),
            refusals: 0,
            refused_first: None,
            refused_last: None,
            reason: None,
        })
        .into(),
        TokenItem::Device(DeviceItem {
            uid: 7,
            agent: "Firefox".to_owned(),
            user_agent: "Firefox/1".to_owned(),
            first_seen: 5,
            last_seen: 6,
        })
        .into(),
        TokenItem::Numbers(Numbers { uid: 9, node: 1 }).into(),
    ]
}

fn header(version: u32) -> Header {
    let text = |text: &str| text.to_owned();
    let (storage, tokenserver) = (text("sqlite"), text("mysql"));
    Header { version, created: text("2026-11-21T10:00:00.000Z"), server: text("0.1.0"), storage, tokenserver }
}

fn backup(items: Vec<Item>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), header(VERSION)).unwrap();
    for item in items {
        writer.push(item).unwrap();
    }
    writer.finish().unwrap().0
}

fn read(bytes: &[u8]) -> Result<Vec<Item>, BackupError> {
    let mut reader = Reader::new(bytes)?;
    let mut items = Vec::new();
    while let Some(item) = reader.next_item()? {
        items.push(item);
    }
    Ok(items)
}

/// A file with these lines, compressed and sealed as if nothing were wrong.
fn file_of(lines: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Sealing::new(Vec::new()), 1).unwrap();
    encoder.write_all(lines).unwrap();
    encoder.finish().unwrap().finish().unwrap().0
}

/// The lines of a backup, as any program gets them that knows zstd.
fn lines(backup: &[u8]) -> String {
    String::from_utf8(zstd::decode_all(backup).unwrap()).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let bytes = backup(items());
    assert_eq!(read(&bytes).unwrap(), items());
    let reader = Reader::new(&*bytes).unwrap();
    assert_eq!(*reader.header(), header(1));
    let counts = reader.verify(|_| {}).unwrap();
    assert_eq!(counts, Counts { stores: 2, collections: 1, records: 2, nodes: 1, users: 2, accounts: 1, devices: 1 });
    assert_eq!(read(&backup(Vec::new())).unwrap(), []);
}

#[test]
fn the_lines_are_those_that_are_documented() {
    let text = lines(&backup(items()));
    let shown: Vec<&str> = text.lines().collect();
    let head = "{\"syncserver_backup\":{\"version\":1,\"created\":\"2026-11-21T10:00:00.000Z\",\"server\":\"0.1.0\",\
                \"storage\":\"sqlite\",\"tokenserver\":\"mysql\"}}";
    assert_eq!(shown[0], head);
    assert_eq!(shown[1], r#"{"store":{"user":7,"modified":1700000000010}}"#);
    assert_eq!(shown[2], r#"{"collection":{"name":"bookmarks","modified":1700000000010}}"#);
    assert_eq!(shown[3], r#"{"bso":{"id":" ","modified":1700000000010,"payload":""}}"#);
    assert!(shown[4].contains(r#""sortindex":0,"expiry":1700000000011,"payload":"\u0001\"\\\n🦊"#), "{}", shown[4]);
    assert_eq!(shown[9], r#"{"account":{"email":"a@x","verdict":"denied","decided_at":4,"refusals":0}}"#);
    assert!(shown[10].starts_with(r#"{"device":{"uid":7,"agent":"Firefox","user_agent":"Firefox/1""#), "{}", shown[10]);
    assert_eq!(shown[11], r#"{"numbers":{"uid":9,"node":1}}"#);
    let digest = ring::digest::digest(&ring::digest::SHA256, &text.as_bytes()[..text.rfind("{\"end\"").unwrap()]);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let counts = r#"{"stores":2,"collections":1,"records":2,"nodes":1,"users":2,"accounts":1,"devices":1}"#;
    assert_eq!(shown[12], format!(r#"{{"end":{{"counts":{counts},"sha256":"{digest}"}}}}"#));
    assert_eq!(shown.len(), 13);
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let bytes = backup(items());
    for length in 0..bytes.len() {
        let error = read(&bytes[..length]).unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.starts_with("the backup") || sentence.starts_with("this is not"), "{length}: {sentence}");
    }
    assert!(matches!(read(&bytes[..bytes.len() - 1]), Err(BackupError::Seal)), "the lines are all there");
    for missing in [seal::LENGTH, seal::LENGTH + 10] {
        let bytes = &bytes[..bytes.len() - missing];
        let said = format!("the backup is cut off: its end is missing after {} bytes of the file", bytes.len());
        assert_eq!(read(bytes).unwrap_err().to_string(), said);
    }
}

#[test]
fn a_file_with_any_bit_flipped_is_refused() {
    let mut bytes = backup(items());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&bytes).is_err(), "bit {bit} of {}", bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    read(&bytes).unwrap();
}

#[test]
fn what_is_added_is_noticed() {
    let bytes = backup(items());
    for more in [&b"x"[..], b"hello", &[0; 100]] {
        let error = read(&[&bytes, more].concat()).unwrap_err();
        assert!(matches!(error, BackupError::Seal), "{error}");
        assert!(error.to_string().contains("added"), "{error}");
    }
    let error = read(&[&*bytes, &bytes].concat()).unwrap_err();
    assert_eq!(error.to_string(), "line 14 of the backup stands after the last line");
    let text = lines(&bytes);
    let error = read(&file_of(format!("{text}{{}}\n").as_bytes())).unwrap_err();
    assert_eq!(error.to_string(), "line 14 of the backup stands after the last line");
}

#[test]
fn a_place_far_into_a_large_file_is_told() {
    let at = Arc::new(CollectionRef {
        user: UserId::try_from(7).unwrap(),
        collection: CollectionName::new("bookmarks").unwrap(),
    });
    let mut large = items()[..2].to_vec();
    for number in 0..20_000_u64 {
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let id = BsoId::new(format!("{number:08}")).unwrap();
        let payload = format!("{random:016x}").repeat(1 + (random % 8) as usize);
        let bso = Bso { id, modified: SyncTimestamp::from_ms(10), sortindex: None, payload };
        large.push(Item::Storage(StoredItem::Bso(StoredBso { at: Arc::clone(&at), bso, expiry: None })));
    }
    let mut bytes = backup(large);
    let cut = read(&bytes[..bytes.len() / 2]).unwrap_err();
    let BackupError::CutOff { bytes: found } = cut else { panic!("{cut:?}") };
    assert_eq!(found, bytes.len() as u64 / 2);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    let damaged = read(&bytes).unwrap_err();
    assert!(!matches!(damaged, BackupError::Seal | BackupError::CutOff { .. }), "{damaged:?}");
}

#[test]
fn another_version_gets_a_sentence() {
    let mut writer = Writer::new(Vec::new(), header(2)).unwrap();
    writer.push(items()[0].clone()).unwrap();
    let error = read(&writer.finish().unwrap().0).unwrap_err();
    assert!(error.to_string().contains("has version 2 of the format, and this program reads version 1"), "{error}");
    let future = file_of(b"{\"syncserver_backup\":{\"version\":3,\"all\":{\"else\":\"is new\"}}}\nno json\n");
    assert!(matches!(read(&future), Err(BackupError::Version { found: 3 })));
}

#[test]
fn other_files_are_told_to_be_none() {
    for other in [&b""[..], b"x", b"SQLite format 3\0", &file_of(b"{\"some\":\"json\"}\n"), &file_of(b"\0\0\n")] {
        let error = read(other).unwrap_err();
        assert!(matches!(error, BackupError::NotABackup(_)), "{error}");
    }
}

/// Each is well made but for one thing.
#[test]
fn lines_that_the_format_does_not_have_are_told_by_number() {
    let text = lines(&backup(items()));
    let all: Vec<&str> = text.lines().collect();
    let with = |at: usize, line: &str| {
        let mut changed = all.clone();
        changed[at] = line;
        read(&file_of((changed.join("\n") + "\n").as_bytes())).unwrap_err()
    };
    for (at, line, says) in [
        (1, "", "line 2 of the backup is not a line of this format"),
        (1, "{}", "line 2 of the backup is not a line"),
        (1, "not json", "line 2 of the backup is not a line"),
        (1, r#"{"shop":{}}"#, "line 2 of the backup is not a line"),
        (1, r#"{"store":{"user":7}}"#, "is not a line"),
        (1, r#"{"store":{"user":7,"modified":10,"more":1}}"#, "is not a line"),
        (1, r#"{"store":{"user":-7,"modified":10}}"#, "is about no user"),
        (1, r#"{"store":{"user":7,"modified":0}}"#, "has the time 0"),
        (1, r#"{"store":{"user":7,"modified":11}}"#, "has the time 11"),
        (5, r#"{"store":{"user":7,"modified":10}}"#, "does not come after the one before"),
        (2, r#"{"collection":{"name":"a b","modified":10}}"#, "line 3 of the backup names no collection"),
        (2, r#"{"store":{"user":8,"modified":10}}"#, "line 4 of the backup is a record, and no line before it"),
        (1, r#"{"collection":{"name":"x","modified":10}}"#, "no line before it names a user"),
        (3, r#"{"bso":{"id":"","modified":10,"payload":""}}"#, "without a good id"),
        (3, r#"{"bso":{"id":"a","modified":10,"payload":"\u0000"}}"#, "U+0000"),
        (7, r#"{"store":{"user":9,"modified":10}}"#, "line 8 of the backup belongs to the storage"),
        (3, r#"{"bso":{"id":"a","modified":10,"payload":""}}"#, "do not have the checksum"),
    ] {
        let error = with(at, line).to_string();
        assert!(error.contains(says), "{line}: {error}");
    }
    let secret = with(3, r#"{"bso":{"id":"a","modified":"a secret","payload":""}}"#).to_string();
    assert!(!secret.contains("secret"), "{secret}");
    let end = all[12].replace("\"records\":2", "\"records\":3");
    assert!(with(12, &end).to_string().contains("its last line says 3 records"));
    let end = all[..12].join("\n") + "\n";
    assert!(matches!(read(&file_of(end.as_bytes())), Err(BackupError::CutOff { .. })));
}

/// A line without end would be read until the memory is full.
#[test]
fn a_line_of_no_end_is_not_read() {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            out.fill(b'x');
            Ok(out.len())
        }
    }
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let begin = lines(&backup(Vec::new()));
    encoder.write_all(begin.lines().next().unwrap().as_bytes()).unwrap();
    encoder.write_all(b"\n").unwrap();
    io::copy(&mut Endless.take(80 * 1024 * 1024), &mut encoder).unwrap();
    let error = read(&encoder.finish().unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("line 2 of the backup is longer"), "{error}");
}

/// Whatever pieces a file comes in.
#[test]
fn the_seal_is_found_however_the_bytes_come() {
    struct Pieces<'a>(&'a [u8], usize);
    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(out.len()).min(self.1);
            let (piece, rest) = self.0.split_at(count);
            out[..count].copy_from_slice(piece);
            self.0 = rest;
            Ok(count)
        }
    }
    for length in [0, 1, 39, 40, 41, 1000] {
        let content = vec![7_u8; length];
        let mut sealing = Sealing::new(Vec::new());
        sealing.write_all(&content).unwrap();
        let (sealed, written) = sealing.finish().unwrap();
        assert_eq!((sealed.len(), written), (length + seal::LENGTH, (length + seal::LENGTH) as u64));
        for size in [1, 7, 40, 2000] {
            let mut unsealing = Unsealing::new(Pieces(&sealed, size));
            let mut out = Vec::new();
            unsealing.read_to_end(&mut out).unwrap();
            assert_eq!(out, content);
            assert!(unsealing.is_whole().unwrap());
            assert_eq!(unsealing.position(), written);
        }
    }
}

/// Better no backup today than one that cannot be restored.
#[test]
fn what_a_restore_would_refuse_is_not_written_and_named() {
    let mut all = items();
    let Item::Storage(StoredItem::Bso(bad)) = &mut all[3] else { panic!() };
    bad.bso.payload = "secret\0".to_owned();
    let mut writer = Writer::new(Vec::new(), header(VERSION)).unwrap();
    let refused = all.into_iter().find_map(|item| writer.push(item).err()).unwrap().to_string();
    for word in ["user 7", "bookmarks", "U+0000", r#""'\"\\""#] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    assert!(!refused.contains("secret"), "{refused}");
}

#[test]
fn a_sieve_counts_users_by_the_domains_of_their_e_mails() {
    let mut found: Vec<Item> = Vec::new();
    let mut sieve = super::adapt::Sieve::new(&mut found);
    let is_user = |item: &Item| matches!(item, Item::Token(TokenItem::User(_)));
    let Some(Item::Token(TokenItem::User(row))) = items().into_iter().find(is_user) else { panic!("no user") };
    for (uid, email) in [(1, "a@b@one.example"), (2, "c@one.example"), (3, "d@two.example"), (-1, "e@two.example")] {
        sieve.push(TokenItem::User(UserItem { uid, email: email.into(), ..row.clone() }).into()).unwrap();
    }
    assert_eq!((sieve.left_out, sieve.domains), (1, [("one.example".into(), 2), ("two.example".into(), 1)].into()));
}

#[test]
fn a_sieve_gives_times_that_a_server_gives() {
    let user = UserId::try_from(7).unwrap();
    let mut found: Vec<Item> = Vec::new();
    let mut sieve = super::adapt::Sieve::new(&mut found);
    sieve.push(StoredItem::Store { user, modified: SyncTimestamp::from_ms(-5) }.into()).unwrap();
    let modified = SyncTimestamp::from_ms(10);
    assert_eq!(found, [StoredItem::Store { user, modified }.into()]);
    assert_eq!(read(&backup(found.clone())).unwrap(), found);
}
