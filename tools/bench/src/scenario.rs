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
    /// POST of 10 records
    Post10,
    /// POST of 100 records
    Post100,
    /// A batch of 1000 records in 10 POSTs, committed by the last
    Batch1000,
    /// What Firefoxes do on a day: 45% info, 30% nothing newer, 15% meta/global, 10% POSTs of 1 to 10 records
    Mix,
    /// One user's 50,000 records of 2 KB in one GET, by a fast reader and by a slow one
    Big,
}

impl Scenario {
    /// Each one by itself.
    pub(crate) const EACH: [Scenario; 10] = [
        Scenario::Info,
        Scenario::Bso,
        Scenario::Page100,
        Scenario::NothingNewer,
        Scenario::Put,
        Scenario::Post10,
        Scenario::Post100,
        Scenario::Batch1000,
        Scenario::Mix,
        Scenario::Big,
    ];
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.pad(value.get_name()),
            None => fmt::Debug::fmt(self, f),
        }
    }
}
