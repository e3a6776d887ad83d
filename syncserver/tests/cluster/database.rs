//! A database that several servers share.

use crate::program::{Folder, Server};

/// A database of the kind that `TEST_BACKEND` names.
pub(crate) enum Shared {
    File(Folder),
    OnServer(Folder, testdb::Database),
}

impl Shared {
    pub(crate) fn new() -> Self {
        match std::env::var("TEST_BACKEND").as_deref() {
            Err(_) | Ok("sqlite") => Self::File(Folder::new()),
            Ok("postgres") => Self::OnServer(Folder::new(), testdb::postgres()),
            Ok("mysql") => Self::OnServer(Folder::new(), testdb::mysql()),
            Ok(other) => panic!("TEST_BACKEND is {other:?}; expected sqlite, postgres or mysql"),
        }
    }

    /// Starts a server on it.
    pub(crate) fn server(&self, environment: &[(&str, &str)]) -> Server {
        match self {
            Self::File(folder) => folder.start_with(environment),
            Self::OnServer(folder, database) => {
                let mut all = vec![("SYNC_SYNCSTORAGE__DATABASE_URL", database.url())];
                all.extend(environment);
                folder.start_with(&all)
            }
        }
    }

    /// Starts so many at once.
    pub(crate) fn servers(&self, count: usize, environment: &[(&str, &str)]) -> Vec<Server> {
        std::thread::scope(|scope| {
            let starting: Vec<_> = (0..count).map(|_| scope.spawn(|| self.server(environment))).collect();
            starting.into_iter().map(|server| server.join().unwrap()).collect()
        })
    }
}
