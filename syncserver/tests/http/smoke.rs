//! The shortest way through everything.

use serde_json::json;

use crate::server::TestServer;

#[tokio::test]
async fn what_is_written_can_be_read() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let written = client.put("/storage/bookmarks/a", r#"{"payload":"p"}"#).await;
    assert_eq!(written.status, 200, "{}", written.text());
    let time = written.text().to_owned();
    assert_eq!(written.header("X-Last-Modified"), Some(time.as_str()));
    assert_eq!(written.header("X-Weave-Timestamp"), Some(time.as_str()));
    let read = client.get("/storage/bookmarks?full=1").await;
    assert_eq!(read.status, 200);
    assert_eq!(read.text(), format!(r#"[{{"id":"a","modified":{time},"payload":"p"}}]"#));
    let info = client.get("/info/collections").await;
    assert_eq!(info.text(), format!(r#"{{"bookmarks":{time}}}"#));
    assert_eq!(client.get("/info/quota").await.json(), json!([1.0 / 1024.0, null]));
}
