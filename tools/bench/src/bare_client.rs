//! A connection to the database, and the statements that it has prepared.

use crate::Result;
use crate::scenario::Statement;
use mysql_async::prelude::Queryable as _;
use testdb::Engine;
use tokio_postgres::types::ToSql;

/// Which row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) user: i64,
    pub(crate) id: String,
}

impl Key {
    /// All rows are in this one.
    pub(crate) const COLLECTION: i32 = 7;
}

/// The statement that makes the table.
pub(crate) fn table(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            "CREATE TABLE bare (
                user_id bigint NOT NULL,
                collection_id integer NOT NULL,
                bso_id varchar(64) COLLATE \"C\" NOT NULL,
                sortindex integer,
                payload text NOT NULL,
                modified bigint NOT NULL,
                expiry bigint NOT NULL,
                PRIMARY KEY (user_id, collection_id, bso_id)
            )"
        }
        Engine::Mysql => {
            "CREATE TABLE bare (
                user_id bigint NOT NULL,
                collection_id integer NOT NULL,
                bso_id varchar(64) NOT NULL,
                sortindex integer,
                payload mediumtext NOT NULL,
                modified bigint NOT NULL,
                expiry bigint NOT NULL,
                PRIMARY KEY (user_id, collection_id, bso_id)
            ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin"
        }
    }
}

impl Statement {
    /// How many rows it reads or writes.
    pub(crate) fn rows(self) -> u64 {
        match self {
            Statement::Select | Statement::Upsert => 1,
            Statement::Upsert10 => 10,
        }
    }
}

fn select(engine: Engine) -> String {
    let [user, collection, id] = match engine {
        Engine::Postgres => ["$1", "$2", "$3"],
        Engine::Mysql => ["?"; 3],
    };
    format!(
        "SELECT sortindex, payload, modified FROM bare \
         WHERE user_id = {user} AND collection_id = {collection} AND bso_id = {id}"
    )
}

/// The columns that an upsert writes: two times are the last of them.
const COLUMNS: u64 = 6;

fn upsert(engine: Engine, rows: u64) -> String {
    let mut text = "INSERT INTO bare (user_id, collection_id, bso_id, payload, modified, expiry) VALUES ".to_owned();
    for row in 0..rows {
        let values: Vec<String> = (1..=COLUMNS)
            .map(|column| match engine {
                Engine::Postgres => format!("${}", row * COLUMNS + column),
                Engine::Mysql => "?".to_owned(),
            })
            .collect();
        let comma = if row == 0 { "" } else { ", " };
        text.push_str(&format!("{comma}({})", values.join(", ")));
    }
    text.push_str(match engine {
        Engine::Postgres => {
            " ON CONFLICT (user_id, collection_id, bso_id) DO UPDATE \
             SET payload = EXCLUDED.payload, modified = EXCLUDED.modified, expiry = EXCLUDED.expiry"
        }
        Engine::Mysql => {
            " ON DUPLICATE KEY UPDATE \
             payload = VALUES(payload), modified = VALUES(modified), expiry = VALUES(expiry)"
        }
    });
    text
}

/// A connection. Each statement is a transaction of its own.
pub(crate) enum BareClient {
    Postgres {
        client: tokio_postgres::Client,
        select: tokio_postgres::Statement,
        upsert: tokio_postgres::Statement,
        upsert10: tokio_postgres::Statement,
    },
    Mysql {
        conn: mysql_async::Conn,
        select: mysql_async::Statement,
        upsert: mysql_async::Statement,
        upsert10: mysql_async::Statement,
    },
}

impl BareClient {
    pub(crate) async fn connect(engine: Engine, url: &str) -> Result<BareClient> {
        let (one, ten) = (upsert(engine, 1), upsert(engine, Statement::Upsert10.rows()));
        match engine {
            Engine::Postgres => {
                let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
                // It ends with the client; when it ends before, the client's next statement tells.
                tokio::spawn(async move {
                    let _ = connection.await;
                });
                let select = client.prepare(&select(engine)).await?;
                let (upsert, upsert10) = (client.prepare(&one).await?, client.prepare(&ten).await?);
                Ok(BareClient::Postgres { client, select, upsert, upsert10 })
            }
            Engine::Mysql => {
                let options = mysql_async::Opts::from_url(url)?;
                // By TCP, as the Sync server; and with its isolation.
                let options = mysql_async::OptsBuilder::from_opts(options)
                    .prefer_socket(false)
                    .init(vec!["SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"]);
                let mut conn = mysql_async::Conn::new(options).await?;
                let select = conn.prep(select(engine)).await?;
                let (upsert, upsert10) = (conn.prep(one).await?, conn.prep(ten).await?);
                Ok(BareClient::Mysql { conn, select, upsert, upsert10 })
            }
        }
    }

    /// Reads a row, whose payload has to be of this size.
    pub(crate) async fn select(&mut self, key: &Key, size: usize) -> Result<()> {
        let payload = match self {
            BareClient::Postgres { client, select, .. } => {
                let row = client.query_one(&*select, &[&key.user, &Key::COLLECTION, &key.id]).await?;
                row.try_get::<_, &str>(1)?.len()
            }
            BareClient::Mysql { conn, select, .. } => {
                let row: Option<(Option<i32>, String, i64)> =
                    conn.exec_first(&*select, (key.user, Key::COLLECTION, &key.id)).await?;
                row.ok_or("no row")?.1.len()
            }
        };
        if payload == size { Ok(()) } else { Err(format!("a payload of {payload} bytes").into()) }
    }

    /// Writes rows: one, or as many as the other statement has.
    pub(crate) async fn upsert(&mut self, keys: &[Key], payloads: &[String], now: i64) -> Result<()> {
        const LONG: i64 = 2_100_000_000_000;
        let (one, expiry) = (keys.len() == 1, now + LONG);
        let rows = keys.iter().zip(payloads);
        match self {
            BareClient::Postgres { client, upsert, upsert10, .. } => {
                let statement = if one { upsert } else { upsert10 };
                let values: Vec<&(dyn ToSql + Sync)> = rows
                    .flat_map(|(key, payload)| -> [&(dyn ToSql + Sync); COLUMNS as usize] {
                        [&key.user, &Key::COLLECTION, &key.id, payload, &now, &expiry]
                    })
                    .collect();
                let written = client.execute(&*statement, &values).await?;
                if written != keys.len() as u64 {
                    return Err(format!("{written} rows were written").into());
                }
            }
            BareClient::Mysql { conn, upsert, upsert10, .. } => {
                let statement = if one { upsert } else { upsert10 };
                let values: Vec<mysql_async::Value> = rows
                    .flat_map(|(key, payload)| -> [mysql_async::Value; COLUMNS as usize] {
                        [
                            key.user.into(),
                            Key::COLLECTION.into(),
                            (&key.id).into(),
                            payload.into(),
                            now.into(),
                            expiry.into(),
                        ]
                    })
                    .collect();
                conn.exec_drop(&*statement, values).await?;
                // Two for each row that was there.
                let written = conn.affected_rows();
                if written < keys.len() as u64 {
                    return Err(format!("{written} rows were written").into());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_place_of_its_own() {
        let postgres = upsert(Engine::Postgres, 10);
        assert!((1..=60).all(|number| postgres.contains(&format!("${number}"))) && !postgres.contains("$61"));
        assert_eq!(upsert(Engine::Mysql, 10).matches('?').count(), 60);
        assert_eq!((select(Engine::Mysql).matches('?').count(), select(Engine::Postgres).matches('$').count()), (3, 3));
    }
}
