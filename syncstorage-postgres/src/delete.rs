//! Deletions: of one record, some, a collection, everything.

use diesel::sql_types::{Array, Text};
use syncstorage_db_common::BsoId;

use crate::call::{Call, Statement, Target};
use crate::time::Moment;

/// DELETE of one record.
pub(crate) struct DeleteOne {
    pub(crate) target: Target,
    pub(crate) id: BsoId,
}

impl Call for DeleteOne {
    fn statement(&self, moment: Moment) -> Statement {
        const TEXT: &str = "
            SELECT outcome, stamp, collection, used, NULL::text
            FROM syncserver_delete_bso($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        self.target.statement(TEXT, moment).bind::<Text, _>(self.id.to_string())
    }

    fn target(&self) -> &Target {
        &self.target
    }
}

/// DELETE of the records in a list.
pub(crate) struct DeleteSome {
    pub(crate) target: Target,
    pub(crate) ids: Vec<BsoId>,
}

impl Call for DeleteSome {
    fn statement(&self, moment: Moment) -> Statement {
        const TEXT: &str = "
            SELECT outcome, stamp, collection, used, NULL::text
            FROM syncserver_delete_bsos($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let ids: Vec<String> = self.ids.iter().map(ToString::to_string).collect();
        self.target.statement(TEXT, moment).bind::<Array<Text>, _>(ids)
    }

    fn target(&self) -> &Target {
        &self.target
    }
}

/// DELETE of a collection, or of the whole store where the target names none.
pub(crate) struct DeleteAll {
    pub(crate) target: Target,
}

impl Call for DeleteAll {
    fn statement(&self, moment: Moment) -> Statement {
        const TEXT: &str = "
            SELECT outcome, stamp, collection, used, NULL::text
            FROM syncserver_delete_collections($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        self.target.statement(TEXT, moment)
    }

    fn target(&self) -> &Target {
        &self.target
    }
}
