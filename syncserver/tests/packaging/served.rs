//! The server, started as the container would start it, on SQLite.

use std::collections::BTreeMap;
use std::process::Command;

use testclient::Request;

use crate::compose::environment_of;
use crate::image::image;
use crate::program::{BINARY, Folder, Server, bare, run};

/// The environment of the container, with a folder of the test in the place of the volume, and any free port.
fn environment(folder: &Folder) -> BTreeMap<String, String> {
    let mut environment = environment_of("docker-compose.sqlite.yml", &[]);
    let volume = image()[2].one("VOLUME").rest.clone();
    for value in environment.values_mut().filter(|value| **value == volume) {
        folder.data().to_str().unwrap().clone_into(value);
    }
    environment.insert("SYNC_PORT".to_owned(), "0".to_owned());
    environment.insert("SYNC_METRICS_LISTEN".to_owned(), "off".to_owned());
    environment
}

/// The program with the arguments of an instruction in its exec form.
fn command(arguments: &[String], environment: &BTreeMap<String, String>) -> Command {
    assert_eq!(arguments[0], "syncserver");
    let mut command = bare(Command::new(BINARY));
    command.args(&arguments[1..]).envs(environment);
    command
}

#[tokio::test]
async fn the_server_starts_with_what_the_container_gives_it_and_the_health_check_finds_it_well() {
    let folder = Folder::new();
    // The volume is there before the server is.
    std::fs::create_dir(folder.data()).unwrap();
    let mut environment = environment(&folder);
    let image = image();
    let server = Server::spawn(command(&image[2].one("ENTRYPOINT").exec(), &environment));
    assert!(server.addr.ip().is_unspecified(), "only this machine would reach it: {}", server.addr);
    assert!(folder.database().exists() && folder.secret_file().exists());

    environment.insert("SYNC_PORT".to_owned(), server.addr.port().to_string());
    let health_check = || run(command(&image[2].one("HEALTHCHECK").exec(), &environment));
    let answer = health_check();
    assert_eq!(answer.status.code(), Some(0), "{answer:?}");

    let mut connection = server.connect().await;
    let page = connection.send(&Request::new("GET", "/")).await.unwrap();
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let public_url = &environment["SYNC_PUBLIC_URL"];
    assert!(page.contains(&format!("{public_url}/1.0/sync/1.5")), "{page}");

    let log = server.stop();
    let trouble = log.iter().filter(|line| line.contains("\"warn") || line.contains("\"error"));
    // Without a network, the accounts server's keys cannot be fetched.
    let trouble: Vec<_> = trouble.filter(|line| !line.contains("accounts server")).collect();
    assert!(trouble.is_empty(), "{trouble:#?}");
    let answer = health_check();
    assert_eq!(answer.status.code(), Some(1), "{answer:?}");
}
