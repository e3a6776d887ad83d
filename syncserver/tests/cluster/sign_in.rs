//! One user who signs in at several servers at once.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use testclient::{Connection, Jwt, Key, MockFxa, Reply, Request};
use tokio::task::JoinSet;

use crate::database::Shared;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_who_signs_in_ten_times_at_once_gets_one_storage() {
    let fxa = MockFxa::start();
    let key = Key::first();
    fxa.set_jwks(Reply::jwks(&[&key]));
    let url = fxa.url();
    let database = Shared::new();
    let servers = database.servers(2, &[("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", &url)]);
    let mut attempts = JoinSet::new();
    for user in 0..4 {
        for n in 0..10 {
            let addr = servers[n % 2].addr;
            let token = Jwt::access(&format!("newcomer{user}"), 1_700_000_000).sign(&key);
            attempts.spawn(async move {
                let mut connection = Connection::connect(addr).await.unwrap();
                let key_id = format!("1700000000-{}", URL_SAFE_NO_PAD.encode("sixteen bytes ok"));
                let request = Request::get("/1.0/sync/1.5")
                    .header("Authorization", format!("Bearer {token}"))
                    .header("X-KeyID", key_id);
                let answer = connection.send(&request).await.unwrap();
                assert_eq!(answer.status, 200, "{answer:?}");
                (user, answer.json()["uid"].as_u64().unwrap())
            });
        }
    }
    let uids: BTreeSet<(i32, u64)> = attempts.join_all().await.into_iter().collect();
    assert_eq!(uids.len(), 4, "{uids:?}");
    assert_eq!(uids.iter().map(|(_, uid)| uid).collect::<BTreeSet<_>>().len(), 4, "{uids:?}");
    // Counted from outside: a row more would be a storage more.
    if let Shared::OnServer(_, database) = &database {
        assert_eq!(database.query("SELECT count(*) FROM users")[0][0].as_deref(), Some("4"));
    }
}
