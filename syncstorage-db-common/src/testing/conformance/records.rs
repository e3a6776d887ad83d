//! Records come back as they were written, each where it was put.

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, Via, change, ids_of};
use crate::{Bso, BsoQuery, DbError, Precondition, SyncTimestamp, UserId};

/// All that a client can read of a record.
pub async fn a_record_comes_back_as_it_was_written(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for via in Via::ALL {
        let written = change("a").payload("text").sortindex(17).ttl(60);
        let modified = user.write(via, "c", written).await;
        let expected = Bso { id: crate::testing::id("a"), modified, sortindex: Some(17), payload: "text".into() };
        assert_eq!(user.get("c", "a").await, Some(expected.clone()), "{via:?}");
        assert_eq!(user.all("c").await, [expected], "{via:?}");
    }
}

/// Payload, sortindex and ttl have defaults.
pub async fn a_new_record_without_fields_gets_the_defaults(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for (via, key) in [(Via::Put, "put"), (Via::Post, "post"), (Via::Batch, "batch")] {
        let modified = user.write(via, "c", change(key)).await;
        let bso = user.get("c", key).await.unwrap();
        assert_eq!((bso.modified, bso.sortindex, bso.payload.as_str()), (modified, None, ""), "{via:?}");
        let nulls = format!("{key}-nulls");
        let modified = user.write(via, "c", change(&nulls).null_payload().null_sortindex().null_ttl()).await;
        let bso = user.get("c", &nulls).await.unwrap();
        assert_eq!((bso.modified, bso.sortindex, bso.payload.as_str()), (modified, None, ""), "{via:?}");
    }
}

/// The server never looks inside, and no engine's text type, escaping or normalization may show.
pub async fn a_payload_of_any_unicode_comes_back_exactly(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let every_control: String = ('\u{1}'..='\u{9f}').collect();
    let payloads = [
        "🦊 👩‍👩‍👧‍👦 🏳️‍🌈 \u{1f9d1}\u{1f3fd}",
        // The same letter twice, composed and with a combining mark: they are not to be made one.
        "\u{e9} e\u{301} \u{1100}\u{1161}\u{11a8} a\u{300}\u{301}\u{302}\u{303}",
        "'; DROP TABLE bso; -- \" ` \\ \\0 \\N \\' %s %d $1 ? :id {0}",
        "line\nline\r\nline\rline\u{2028}line\u{2029}line\u{85}\ttab\u{b}\u{c}",
        " leading and trailing spaces and a newline  \n",
        "\u{feff}byte order mark, \u{fffe}\u{ffff}\u{fffd}\u{10ffff}\u{e000}",
        "\u{202e}right to left\u{202c} عربى עברית",
        "{\"ciphertext\":\"YWJj\",\"IV\":\"AA==\",\"hmac\":\"00\"}",
        "null",
        "0",
        " ",
        "",
        &every_control,
    ];
    for via in Via::ALL {
        for (number, payload) in payloads.iter().enumerate() {
            user.write(via, "c", change(&number.to_string()).payload(*payload)).await;
        }
        for bso in user.all("c").await {
            let number: usize = bso.id.as_str().parse().unwrap();
            assert_eq!(bso.payload, payloads[number], "{via:?}");
            assert_eq!(user.payload("c", bso.id.as_str()).await, payloads[number], "{via:?}");
        }
        user.delete_store().await;
    }
}

/// The largest payload that the default limits let through is larger than this.
pub async fn a_payload_of_two_megabytes_comes_back_exactly(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let huge = "0123456789abcdé🦊".repeat(2 * 1024 * 1024 / 19 + 1);
    for via in Via::ALL {
        user.write(via, "c", change("huge").payload(huge.as_str())).await;
        user.put("c", change("small").payload("x")).await;
        assert!(user.payload("c", "huge").await == huge, "{via:?}");
        let all = user.all("c").await;
        assert_eq!(all.len(), 2);
        assert!(all[0].payload == huge && all[1].payload == "x", "{via:?}");
        assert_eq!(user.usage().await, [("c".to_owned(), huge.len() as u64 + 1)]);
        user.delete_store().await;
    }
}

/// Ids are compared byte for byte, with no collation.
pub async fn ids_that_differ_by_case_or_spaces_are_different_records(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let ids = ["a", "A", "a ", "a  ", " a", " ", "  "];
    for via in Via::ALL {
        for key in ids {
            user.write(via, "c", change(key).payload(format!("<{key}>"))).await;
        }
        let mut sorted = ids;
        sorted.sort_unstable();
        assert_eq!(user.ids("c").await, sorted, "{via:?}");
        for key in ids {
            assert_eq!(user.payload("c", key).await, format!("<{key}>"), "{via:?}");
            let query = BsoQuery { ids: Some(vec![crate::testing::id(key)]), ..BsoQuery::default() };
            assert_eq!(ids_of(&user.read("c", &query).await.bsos), [key], "{via:?}");
        }
        user.delete_bso("c", "a").await;
        user.delete_bsos("c", &[" "]).await;
        assert_eq!(user.ids("c").await, ["  ", " a", "A", "a ", "a  "], "{via:?}");
        user.delete_store().await;
    }
    user.post("c", ids.map(|key| change(key).payload(key)).to_vec()).await;
    assert_eq!(user.ids("c").await.len(), ids.len(), "all in one request");
}

/// Nothing in an id means anything to the database.
pub async fn an_id_may_be_any_printable_ascii(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let longest = "~".repeat(64);
    let mut ids = vec![longest, "%".into(), "_".into(), "a%".into(), "a_".into(), "\\".into(), "'".into(), "''".into()];
    ids.extend(["\"", "a,b", "{3b0d-11}", "NULL", "a+b/c=", "%41", "*", "0", "00", "1e3", "--"].map(String::from));
    ids.extend((' '..='~').filter(|c| !matches!(c, '%' | '_' | '\\' | '\'' | '"' | '*' | '0')).map(String::from));
    user.post("c", ids.iter().map(|key| change(key).payload(key.as_str())).collect()).await;
    assert_eq!(user.ids("c").await.len(), ids.len());
    for key in &ids {
        assert_eq!(user.payload("c", key).await, *key);
    }
    let query = BsoQuery { ids: Some(ids.iter().map(|key| crate::testing::id(key)).collect()), ..BsoQuery::default() };
    assert_eq!(user.read("c", &query).await.bsos.len(), ids.len());
    let gone: Vec<_> = ids.iter().map(String::as_str).filter(|key| *key != "a%").collect();
    user.delete_bsos("c", &gone).await;
    assert_eq!(user.ids("c").await, ["a%"]);
}

/// -999999999 to 999999999, and zero is not none.
pub async fn the_sortindex_goes_to_its_bounds(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for via in Via::ALL {
        for sortindex in [-999_999_999, -1, 0, 1, 999_999_999] {
            user.write(via, "c", change("a").sortindex(sortindex)).await;
            assert_eq!(user.get("c", "a").await.unwrap().sortindex, Some(sortindex), "{via:?}");
        }
    }
}

/// Names of collections are compared byte for byte too.
pub async fn collections_that_differ_by_case_are_different(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let names = ["bookmarks", "Bookmarks", "BOOKMARKS", "newKind", "newkind"];
    for name in names {
        user.put(name, change("a").payload(name)).await;
    }
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(user.collections().await.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), sorted);
    for name in names {
        assert_eq!(user.payload(name, "a").await, name);
    }
    user.delete_collection("Bookmarks").await;
    user.delete_collection("newkind").await;
    assert_eq!(user.payload("bookmarks", "a").await, "bookmarks");
    assert_eq!(user.payload("newKind", "a").await, "newKind");
    assert_eq!(user.get("Bookmarks", "a").await, None);
}

/// Those of Firefox, and whatever else the rule allows.
pub async fn a_collection_may_have_any_allowed_name(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let longest = "x".repeat(32);
    let names = [
        "clients",
        "crypto",
        "forms",
        "history",
        "keys",
        "meta",
        "bookmarks",
        "prefs",
        "tabs",
        "passwords",
        "addons",
        "addresses",
        "creditcards",
        "extension-storage",
        ".",
        "..",
        "-",
        "_",
        "0",
        "1",
        "100",
        "A.b_c-9",
        "null",
        &longest,
    ];
    for name in names {
        user.put(name, change("a").payload(name)).await;
    }
    for name in names {
        assert_eq!(user.payload(name, "a").await, name);
    }
    let mut expected: Vec<_> = names.iter().map(|name| ((*name).to_owned(), 1)).collect();
    expected.sort();
    assert_eq!(user.counts().await, expected);
}

/// A backend that keeps numbers for names must not mix them up.
pub async fn each_of_many_new_collections_keeps_its_own_records(backend: &Backend) {
    let fixture = backend.fixture().await;
    let (first, second) = (fixture.user(), fixture.user());
    let names: Vec<String> = (0..30).map(|number| format!("own-{}-{number}", first.id.get() % 1_000_000)).collect();
    for (number, name) in names.iter().enumerate() {
        let (early, late) = if number % 2 == 0 { (&first, &second) } else { (&second, &first) };
        early.put(name, change("a").payload(format!("{name} of {early:?}"))).await;
        late.put(name, change("a").payload(format!("{name} of {late:?}"))).await;
    }
    for user in [&first, &second] {
        for name in &names {
            assert_eq!(user.payload(name, "a").await, format!("{name} of {user:?}"));
        }
        assert_eq!(user.collections().await.len(), names.len());
    }
}

/// Not by reading, and not by deleting.
pub async fn users_do_not_see_each_other(backend: &Backend) {
    let fixture = backend.fixture().await;
    let (first, second) = (fixture.user(), fixture.user());
    first.put("c", change("a").payload("of the first")).await;
    assert_eq!(second.get("c", "a").await, None);
    assert_eq!(second.collections().await, []);
    assert_eq!((second.bytes().await, second.store_time().await), (0, SyncTimestamp::ZERO));
    second.put("c", change("a").payload("of the second")).await;
    assert_eq!(first.payload("c", "a").await, "of the first");
    let before = first.everything().await;
    second.put("c", change("b")).await;
    second.delete_bso("c", "a").await;
    second.delete_bsos("c", &["a", "b"]).await;
    second.delete_collection("c").await;
    second.delete_store().await;
    assert_eq!(first.everything().await, before);
}

/// From zero to 63 bits. The database is the case's own, as these ids are not.
pub async fn a_user_id_may_be_any_number_of_63_bits(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    let users = [0, 1, 12_345, 9_999_999_999, i64::MAX - 1, i64::MAX].map(|uid| UserId::try_from(uid).unwrap());
    for id in users {
        fixture.same_user(id).put("c", change("a").payload(id.to_string())).await;
        fixture.same_user(id).create_batch("c", vec![change("b")]).await;
    }
    for id in users {
        let user = fixture.same_user(id);
        assert_eq!(user.payload("c", "a").await, id.to_string());
        assert_eq!(user.counts().await, [("c".to_owned(), 1)]);
        user.delete_store().await;
        assert_eq!(user.collections().await, []);
    }
}

/// There is one record of an id, however often it is written.
pub async fn a_second_write_replaces_the_first(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for (number, via) in Via::ALL.into_iter().cycle().take(6).enumerate() {
        let modified = user.write(via, "c", change("a").payload(number.to_string())).await;
        let all = user.all("c").await;
        assert_eq!((all.len(), all[0].payload.as_str()), (1, number.to_string().as_str()), "{via:?}");
        assert_eq!(all[0].modified, modified, "{via:?}");
        assert_eq!(user.counts().await, [("c".to_owned(), 1)], "{via:?}");
    }
}

/// No collection has to be made before it is written to.
pub async fn a_write_creates_the_collection(backend: &Backend) {
    let fixture = backend.fixture().await;
    for via in Via::ALL {
        let user = fixture.user();
        assert_eq!(user.collections().await, []);
        let modified = user.write(via, "c", change("a")).await;
        assert_eq!(user.collections().await, [("c".to_owned(), modified)], "{via:?}");
    }
}

/// A client that posts an empty list gets its T, and the collection is there.
pub async fn a_post_of_no_records_creates_the_collection(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let first = user.post("c", Vec::new()).await;
    assert_eq!(user.collections().await, [("c".to_owned(), first)]);
    let second = user.post("c", Vec::new()).await;
    assert!(second > first);
    assert_eq!(user.collections().await, [("c".to_owned(), second)]);
    assert_eq!(user.counts().await, []);
}

/// All at one time, more than a client may send at once by default.
pub async fn a_post_writes_many_records_at_once(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let changes = |text: &str| -> Vec<_> {
        (0..1000).map(|n| change(&format!("{n:04}")).payload(format!("{text}{n}")).sortindex(n)).collect()
    };
    for text in ["new ", "old "] {
        let modified = user.post("c", changes(text)).await;
        let all = user.all("c").await;
        assert_eq!(all.len(), 1000);
        for (n, bso) in all.iter().enumerate() {
            assert_eq!((bso.id.as_str(), bso.modified), (format!("{n:04}").as_str(), modified));
            assert_eq!(bso.payload, format!("{text}{n}"));
        }
    }
}

/// It stays in `info/collections` until it is deleted as a whole.
pub async fn a_collection_outlives_its_last_record(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("c", change("a")).await;
    let deleted = user.delete_bso("c", "a").await;
    assert_eq!(user.collections().await, [("c".to_owned(), deleted)]);
    assert_eq!(user.all("c").await, []);
    assert_is!(user.db.get_bso(&user.bso_at("c", "a"), Precondition::None).await, Err(DbError::NotFound));
}
