//! The settings file.

use syncstorage_db_common::CollectionName;

use super::super::{Secret, load};
use super::{folder_with, from_file};

const NOTHING: [(&str, &str); 0] = [];

#[test]
fn a_file_is_read_with_its_sections() {
    let folder = folder_with(&[(
        "my.toml",
        "port = 80\nmaster_secret = '00123'\npublic_url = 'https://sync.example.com'\n\
         [syncstorage]\ndatabase_pool_max_size = 3\n[syncstorage.limits.collections.history]\nmax_post_bytes = 5000000\n\
         max_request_bytes = 6000000\n[tokenserver]\nnode_capacity_release_rate = 0.5\nallow_list = ['a']\n",
    )]);
    let settings = load(Some(&folder.path().join("my.toml")), NOTHING).unwrap();
    assert_eq!(settings.port, 80);
    assert_eq!(settings.master_secret, Some(Secret::new("00123")));
    assert!(settings.public_url.explicit);
    assert_eq!(settings.syncstorage.database.pool_max_size, 3);
    assert_eq!(settings.syncstorage.limits.of(&CollectionName::new("history").unwrap()).max_request_bytes, 6_000_000);
    assert!((settings.tokenserver.node_capacity_release_rate - 0.5).abs() < f64::EPSILON);
}

#[test]
fn a_path_in_the_file_is_one_from_its_folder() {
    let folder = folder_with(&[("my.toml", "master_secret_file = 'secret'"), ("secret", "from beside it\n")]);
    let settings = load(Some(&folder.path().join("my.toml")), NOTHING).unwrap();
    assert_eq!(settings.master_secret, Some(Secret::new("from beside it")));
}

#[test]
fn a_file_that_cannot_be_used_is_said() {
    let folder = folder_with(&[("wrong.toml", "port = 1\nmaster_secret = \"s3cr3t\n")]);
    let message = |name: &str| load(Some(&folder.path().join(name)), NOTHING).unwrap_err().to_string();
    let shown = folder.path().display();
    assert_eq!(
        message("missing.toml"),
        format!("the settings file {shown}/missing.toml cannot be read: there is no such file")
    );
    assert_eq!(message(""), format!("the settings file {shown}/ cannot be read: it is a folder"));
    let syntax = message("wrong.toml");
    let start = format!("the settings file {shown}/wrong.toml is not valid TOML at line 2, column ");
    assert!(syntax.starts_with(&start), "{syntax}");
    assert!(!syntax.contains("s3cr3t"), "{syntax}");
}

#[test]
fn no_secret_is_shown() {
    for text in [
        "master_secret = 5318008",
        "master_secret = ['s3cr3t']",
        "master_secret = { s3cr3t = 1 }",
        "previous_master_secrets = ['s3cr3t', '']",
        "previous_master_secrets = '[s3cr3t'",
        "[syncstorage]\ndatabase_url = [5318008]",
        "master_secret = \"s3cr3t\nx = 1",
        "master_secret = 's3cr3t' 5318008",
        "public_url = 'https://user:s3cr3t@host'",
        "[tokenserver]\nfxa_oauth_server_url = 'https://user:s3cr3t@host'",
    ] {
        let error = from_file(text, &[]).unwrap_err();
        for shown in [format!("{error}"), format!("{error:?}")] {
            assert!(!shown.contains("s3cr3t") && !shown.contains("5318008"), "{shown}");
        }
    }
    let text = "master_secret = 's3cr3t'\nprevious_master_secrets = ['s3cr3t']\n\
        [syncstorage]\ndatabase_url = 'mysql://user:s3cr3t@host/db'\n[tokenserver]\nfxa_metrics_hash_secret = 's3cr3t'";
    let shown = format!("{:?}", from_file(text, &[]).unwrap());
    assert!(!shown.contains("s3cr3t"), "{shown}");
}
