//! The health of the database, and whose it is.

use std::sync::Arc;

use crate::testing::Backend;
use crate::{SecretClaim, SecretFingerprint};

/// `check` asks a database that is up.
pub async fn the_database_answers_a_check(backend: &Backend) {
    let fixture = backend.fixture().await;
    fixture.db.check().await.unwrap();
}

/// The figures of the pool fit each other, also after some use.
pub async fn the_pool_has_no_more_connections_than_it_may(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    let status = fixture.db.pool_status();
    assert!(status.in_use + status.idle <= status.max, "{status:?}");
    fixture.user().everything().await;
    let status = fixture.db.pool_status();
    assert!(status.in_use + status.idle <= status.max, "{status:?}");
    assert_eq!(status.waiting, 0, "nobody waits when nobody asks: {status:?}");
}

fn secret(text: &str) -> SecretFingerprint {
    SecretFingerprint(text.to_owned())
}

/// An empty database takes the first fingerprint, and knows it again.
pub async fn the_first_secret_claims_the_database(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    let db = &fixture.db;
    assert_eq!(db.claim_secret(&secret("one"), &[]).await.unwrap(), SecretClaim::Claimed);
    assert_eq!(db.claim_secret(&secret("one"), &[]).await.unwrap(), SecretClaim::Same);
    assert_eq!(db.claim_secret(&secret("one"), &[secret("one")]).await.unwrap(), SecretClaim::Same);
}

/// A rotation names the old secret among the previous ones.
pub async fn a_rotated_secret_takes_the_place_of_a_previous_one(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    let db = &fixture.db;
    // The previous ones of a first start are of no account.
    assert_eq!(db.claim_secret(&secret("one"), &[secret("zero")]).await.unwrap(), SecretClaim::Claimed);
    let previous = [secret("zero"), secret("one")];
    assert_eq!(db.claim_secret(&secret("two"), &previous).await.unwrap(), SecretClaim::Rotated);
    assert_eq!(db.claim_secret(&secret("two"), &[]).await.unwrap(), SecretClaim::Same);
    assert_eq!(db.claim_secret(&secret("one"), &[]).await.unwrap(), SecretClaim::Other);
}

/// Servers that start together after a change of the secret all get on, whichever of them was the first.
pub async fn a_secret_may_be_rotated_by_several_at_once(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    assert_eq!(fixture.db.claim_secret(&secret("0"), &[]).await.unwrap(), SecretClaim::Claimed);
    for round in 1..=10 {
        let claims: Vec<_> = (0..6)
            .map(|_| {
                let db = Arc::clone(&fixture.db);
                let (old, new) = (secret(&format!("{}", round - 1)), secret(&format!("{round}")));
                tokio::spawn(async move { db.claim_secret(&new, &[old]).await.unwrap() })
            })
            .collect();
        let mut rotated = 0;
        for claim in claims {
            match claim.await.unwrap() {
                SecretClaim::Rotated => rotated += 1,
                claim => assert_eq!(claim, SecretClaim::Same),
            }
        }
        assert_eq!(rotated, 1);
    }
}

/// A server with the wrong secret does not take the database from the right one.
pub async fn another_secret_is_refused_and_the_old_one_kept(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    let db = &fixture.db;
    assert_eq!(db.claim_secret(&secret("one"), &[]).await.unwrap(), SecretClaim::Claimed);
    assert_eq!(db.claim_secret(&secret("two"), &[secret("three")]).await.unwrap(), SecretClaim::Other);
    assert_eq!(db.claim_secret(&secret("ONE"), &[]).await.unwrap(), SecretClaim::Other);
    assert_eq!(db.claim_secret(&secret("one"), &[]).await.unwrap(), SecretClaim::Same);
}
