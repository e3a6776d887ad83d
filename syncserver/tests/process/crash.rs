//! Killed in the middle of things: what was acknowledged is there, and nothing is there by half.

use diesel::sql_types::Text;
use diesel::{Connection as _, SqliteConnection};
use sqlite_engine::sql;

use crate::load::{Load, check};
use crate::program::{Folder, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_has_every_acknowledged_write_and_no_half_one() {
    let folder = Folder::on_backend();
    let mut journals = Vec::new();
    for (round, writes) in [15, 40, 23, 31, 9].into_iter().enumerate() {
        let server = folder.start();
        check(&server, &journals).await;
        let load = Load::on(&server, &format!("round{round}")).await;
        load.has_written(writes).await;
        server.kill();
        journals.extend(load.end().await);
    }
    let server = folder.start();
    assert!(check(&server, &journals).await >= 118);
    server.stop();
    if folder.is_sqlite() {
        let mut file = SqliteConnection::establish(text(&folder.database())).unwrap();
        let found = sql::<(Text,)>("SELECT integrity_check FROM pragma_integrity_check").rows::<(String,)>(&mut file);
        assert_eq!(found.unwrap(), [("ok".to_owned(),)]);
    }
}

#[tokio::test]
async fn killed_between_the_requests_of_a_batch_it_has_nothing_of_it() {
    let folder = Folder::on_backend();
    let server = folder.start();
    let mut client = server.user(1).await;
    client.keep("a", "before").await;
    let begun = client.post("/storage/kept?batch=true", r#"[{"id":"a","payload":"after"},{"id":"b"}]"#).await;
    assert_eq!(begun.status, 202);
    let batch = begun.json()["batch"].as_str().unwrap().to_owned();
    let before = client.get("/info/collections").await.json();
    server.kill();
    let server = folder.start();
    let mut client = server.user(1).await;
    assert_eq!(client.get("/info/collections").await.json(), before);
    assert_eq!(client.kept("a").await, "before");
    assert_eq!(client.get("/storage/kept/b").await.status, 404);
    // The client goes on, and gets all of the batch or is told to begin anew.
    let committed = client.post(&format!("/storage/kept?batch={batch}&commit=true"), r#"[{"id":"c"}]"#).await;
    let stored = client.get("/storage/kept").await.json().as_array().unwrap().len();
    match committed.status {
        200 => assert_eq!(stored, 3),
        _ => assert_eq!((committed.status, stored), (400, 1)),
    }
}

#[tokio::test]
async fn times_go_on_after_a_crash_where_they_were() {
    let folder = Folder::on_backend();
    let mut last = 0.0;
    for round in 0..3 {
        let server = folder.start();
        let mut client = server.user(1).await;
        // A burst runs ahead of the clock.
        for n in 0..20 {
            let answer = client.put(&format!("/storage/tabs/{round}-{n}"), r#"{"payload":""}"#).await;
            let time: f64 = answer.text().parse().unwrap();
            assert!(time > last, "{time} after {last}");
            last = time;
        }
        server.kill();
    }
}
