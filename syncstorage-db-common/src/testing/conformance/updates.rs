//! Partial updates: a field that is absent stays, a field that is null is reset.

use crate::testing::{Backend, Fields, Via, change};
use crate::{Bso, BsoChange};

fn fields(bso: &Bso) -> (&str, Option<i32>) {
    (&bso.payload, bso.sortindex)
}

/// Each field for itself, in each way of writing.
pub async fn an_absent_field_stays_and_a_null_field_is_reset(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let cases: [(BsoChange, (&str, Option<i32>)); 9] = [
        (change("a"), ("old", Some(5))),
        (change("a").payload("new"), ("new", Some(5))),
        (change("a").payload(""), ("", Some(5))),
        (change("a").null_payload(), ("", Some(5))),
        (change("a").sortindex(0), ("old", Some(0))),
        (change("a").null_sortindex(), ("old", None)),
        (change("a").payload("new").null_sortindex(), ("new", None)),
        (change("a").null_payload().sortindex(-6), ("", Some(-6))),
        (change("a").ttl(60), ("old", Some(5))),
    ];
    for via in Via::ALL {
        for (update, expected) in &cases {
            user.write(via, "c", change("a").payload("old").sortindex(5)).await;
            user.write(via, "c", update.clone()).await;
            assert_eq!(fields(&user.get("c", "a").await.unwrap()), *expected, "{via:?} {update:?}");
        }
    }
}

/// A payload or a sortindex moves `modified`, also one that is null or the same as before.
pub async fn a_payload_or_a_sortindex_moves_modified(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let updates = [
        change("a").payload("x"),
        change("a").sortindex(1),
        change("a").null_payload(),
        change("a").null_sortindex(),
        change("a").null_sortindex().ttl(60),
        change("a").null_sortindex(),
    ];
    for via in Via::ALL {
        user.write(via, "c", change("a").payload("x").sortindex(1)).await;
        for update in &updates {
            fixture.clock.advance(1000);
            let modified = user.write(via, "c", update.clone()).await;
            assert_eq!(user.get("c", "a").await.unwrap().modified, modified, "{via:?} {update:?}");
        }
    }
}

/// A PUT or POST with neither payload nor sortindex leaves `modified`; the collection and the store get T.
pub async fn a_change_of_the_ttl_alone_leaves_modified(backend: &Backend) {
    let fixture = backend.fixture().await;
    for via in [Via::Put, Via::Post] {
        let user = fixture.user();
        let written = user.write(via, "c", change("a").payload("x").sortindex(1)).await;
        for update in [change("a").ttl(60), change("a").null_ttl(), change("a")] {
            fixture.clock.advance(1000);
            let time = user.write(via, "c", update.clone()).await;
            assert_eq!(time, fixture.clock.now());
            let bso = user.get("c", "a").await.unwrap();
            assert_eq!((bso.modified, fields(&bso)), (written, ("x", Some(1))), "{via:?} {update:?}");
            assert_eq!(user.collection_time("c").await, time, "{via:?} {update:?}");
            assert_eq!(user.store_time().await, time, "{via:?} {update:?}");
        }
    }
}

/// A new record gets T, whatever fields the write has.
pub async fn a_new_record_gets_the_time_of_the_write_whatever_its_fields(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for (number, via) in Via::ALL.into_iter().enumerate() {
        for (key, written) in [("none", change("none")), ("ttl", change("ttl").ttl(60))] {
            let collection = format!("c{number}");
            let modified = user.write(via, &collection, written).await;
            assert_eq!(user.get(&collection, key).await.unwrap().modified, modified, "{via:?} {key}");
        }
    }
}

/// Each record of one POST goes by its own fields.
pub async fn one_post_may_move_some_records_and_leave_others(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let before =
        user.post("c", ["stays", "moves", "quiet"].map(|key| change(key).payload("x").sortindex(1)).to_vec()).await;
    fixture.clock.advance(5000);
    let changes = vec![
        change("quiet").ttl(600),
        change("moves").sortindex(2),
        change("new"),
        change("nulled").null_payload(),
        change("reset").payload("y").null_sortindex(),
    ];
    let after = user.post("c", changes).await;
    let seen: Vec<_> = user.all("c").await.into_iter().map(|bso| (bso.id.to_string(), bso.modified)).collect();
    let expected =
        [("quiet", before), ("stays", before), ("moves", after), ("new", after), ("nulled", after), ("reset", after)];
    assert_eq!(seen, expected.map(|(key, modified)| (key.to_owned(), modified)));
    assert_eq!(fields(&user.get("c", "moves").await.unwrap()), ("x", Some(2)));
    assert_eq!(fields(&user.get("c", "quiet").await.unwrap()), ("x", Some(1)));
}

/// An update without a ttl does not prolong a record's life, nor end it.
pub async fn an_absent_ttl_keeps_the_expiry(backend: &Backend) {
    let fixture = backend.fixture().await;
    for via in Via::ALL {
        let user = fixture.user();
        user.write(via, "c", change("a").ttl(10)).await;
        user.write(via, "c", change("forever")).await;
        fixture.clock.advance(5000);
        user.write(via, "c", change("a").payload("later")).await;
        user.write(via, "c", change("forever").payload("later")).await;
        fixture.clock.advance(4999);
        assert_eq!(user.ids("c").await, ["a", "forever"], "{via:?}");
        fixture.clock.advance(1);
        assert_eq!(user.ids("c").await, ["forever"], "{via:?}");
        fixture.clock.advance(1_000_000_000_000);
        assert_eq!(user.ids("c").await, ["forever"], "{via:?}");
    }
}

/// `"ttl": null` lets a record live for ever.
pub async fn a_null_ttl_takes_the_expiry_away(backend: &Backend) {
    let fixture = backend.fixture().await;
    for via in Via::ALL {
        let user = fixture.user();
        user.write(via, "c", change("a").payload("x").ttl(10)).await;
        user.write(via, "c", change("a").null_ttl()).await;
        fixture.clock.advance(1_000_000_000_000);
        assert_eq!(user.payload("c", "a").await, "x", "{via:?}");
    }
}

/// The new ttl counts from the write that brought it, also when `modified` stays.
pub async fn a_new_ttl_counts_from_its_own_write(backend: &Backend) {
    let fixture = backend.fixture().await;
    for via in Via::ALL {
        let user = fixture.user();
        user.write(via, "c", change("longer").ttl(10)).await;
        user.write(via, "c", change("shorter").ttl(10)).await;
        fixture.clock.advance(5000);
        user.write(via, "c", change("longer").ttl(10)).await;
        user.write(via, "c", change("shorter").ttl(1)).await;
        fixture.clock.advance(1000);
        assert_eq!(user.ids("c").await, ["longer"], "{via:?}");
        fixture.clock.advance(8999);
        assert_eq!(user.ids("c").await, ["longer"], "{via:?}");
        fixture.clock.advance(1);
        assert_eq!(user.ids("c").await, [""; 0], "{via:?}");
    }
}
