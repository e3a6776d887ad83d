//! Which records a query selects, in which order, and where the next page begins.

use std::cmp::Ordering;

use crate::{Bso, BsoQuery, Cursor, Sort};

/// The page that `query` selects of `bsos`, and the place where the next one begins.
pub(super) fn select(mut bsos: Vec<Bso>, query: &BsoQuery) -> (Vec<Bso>, Option<Cursor>) {
    if let Some(ids) = &query.ids {
        bsos.retain(|bso| ids.contains(&bso.id));
    }
    if let Some(newer) = query.newer {
        bsos.retain(|bso| bso.modified.as_ms() > newer.floor_ms());
    }
    if let Some(older) = query.older {
        bsos.retain(|bso| bso.modified.as_ms() < older.ceil_ms());
    }
    let place = |bso: &Bso| Cursor::of(query.sort, &bso.id, bso.modified, bso.sortindex);
    bsos.sort_by(|a, b| order(query.sort, &place(a), &place(b)));
    if let Some(after) = &query.after {
        bsos.retain(|bso| order(query.sort, &place(bso), after) == Ordering::Greater);
    }
    let Some(limit) = query.limit else { return (bsos, None) };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = if bsos.len() > limit && limit > 0 { Some(place(&bsos[limit - 1])) } else { None };
    bsos.truncate(limit);
    (bsos, next)
}

/// Which of two places comes first.
fn order(sort: Sort, a: &Cursor, b: &Cursor) -> Ordering {
    match (a, b) {
        (Cursor::Modified(time_a, id_a), Cursor::Modified(time_b, id_b)) => {
            let ascending = (time_a, id_a.as_str()).cmp(&(time_b, id_b.as_str()));
            if sort == Sort::Newest { ascending.reverse() } else { ascending }
        }
        // `None` is less than any `Some`, and so comes last in the descending order.
        (Cursor::Index(index_a, id_a), Cursor::Index(index_b, id_b)) => {
            (index_b, id_b.as_str()).cmp(&(index_a, id_a.as_str()))
        }
        _ => panic!("a cursor of another order: {a:?} and {b:?} in {sort:?}"),
    }
}
