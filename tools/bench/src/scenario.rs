//! What can be run.

use clap::ValueEnum;
use std::fmt;

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// All of the below
    All,
    /// GET info/collections
    Info,
    /// GET one record of 400 bytes
    Bso,
    /// GET 100 records in full
    Page100,
    /// GET of what is newer, with nothing new
    NothingNewer,
    /// PUT of one record
    Put,
    /// POST of 1 record
    Post1,
    /// POST of 10 records
    Post10,
    /// POST of 100 records
    Post100,
    /// A batch of 1000 records in 10 POSTs, committed by the last
    Batch1000,
    /// What Firefoxes do on a day: 45% info, 30% nothing newer, 15% meta/global, 10% POSTs of 1 to 10 records
    Mix,
    /// 1000 users who have nothing yet PUT their first record, each one once, as fast as they can
    NewUsers,
    /// GET 100 records in full, of many with one modified time: those at the start, and those at --depth
    Pages,
    /// One user's 50,000 records of 2 KB in one GET, by a fast reader and by a slow one
    Big,
}

/// What a scenario is compared with: a statement that the database carries out without a Sync server before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Reads one row by its primary key.
    Select,
    /// Writes one row, and has it on the disk.
    Upsert,
    /// The same with 10 rows. Nothing is compared with it.
    Upsert10,
}

impl Scenario {
    /// Each one by itself.
    pub(crate) const EACH: [Scenario; 13] = [
        Scenario::Info,
        Scenario::Bso,
        Scenario::Page100,
        Scenario::NothingNewer,
        Scenario::Put,
        Scenario::Post1,
        Scenario::Post10,
        Scenario::Post100,
        Scenario::Batch1000,
        Scenario::Mix,
        Scenario::NewUsers,
        Scenario::Pages,
        Scenario::Big,
    ];

    /// Whether it needs the users that have data from the start.
    pub(crate) fn needs_seed(self) -> bool {
        !matches!(self, Scenario::NewUsers | Scenario::Pages | Scenario::Big)
    }

    /// The statement to compare each of its requests with, if they are all of one kind.
    pub(crate) fn statement(self) -> Option<Statement> {
        match self {
            Scenario::Info | Scenario::Bso | Scenario::Page100 | Scenario::NothingNewer | Scenario::Pages => {
                Some(Statement::Select)
            }
            Scenario::Put
            | Scenario::Post1
            | Scenario::Post10
            | Scenario::Post100
            | Scenario::Batch1000
            | Scenario::NewUsers => Some(Statement::Upsert),
            Scenario::All | Scenario::Mix | Scenario::Big => None,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.pad(value.get_name()),
            None => fmt::Debug::fmt(self, f),
        }
    }
}

impl Statement {
    /// Each one, in the order they are run in.
    pub(crate) const EACH: [Statement; 3] = [Statement::Select, Statement::Upsert, Statement::Upsert10];

    /// How its row in the report is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Statement::Select => "bare select",
            Statement::Upsert => "bare upsert",
            Statement::Upsert10 => "bare upsert10",
        }
    }
}
