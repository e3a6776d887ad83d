//! Which node takes a user.

use std::cmp::Reverse;

use crate::NodeRow;

/// A place on a node, and what becomes of the rows of `nodes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The node, as its row is to be after it took the user.
    pub node: NodeRow,
    /// Capacity that was released before that: the ids of rows, and their new `available`.
    pub released: Vec<(i64, i64)>,
}

/// Gives a user a place: on the node [chosen](choose) among `nodes`, all nodes of the service; where none has places
/// left, after [releasing](release) capacity. `None`: no node has room.
///
/// The protocol has servers retry that up to five times, since others may take what was released. Here the rows belong
/// to the transaction, so that a second try would see what the first one saw.
#[must_use]
pub fn allocate(nodes: &[NodeRow], release_rate: f64) -> Option<Allocation> {
    let mut nodes = nodes.to_vec();
    let mut released = Vec::new();
    if choose(&nodes).is_none() {
        for node in &mut nodes {
            if let Some(available) = release(node, release_rate) {
                node.available = available;
                released.push((node.id, available));
            }
        }
    }
    let mut node = choose(&nodes)?.clone();
    node.current_load = node.current_load.saturating_add(1);
    node.available = (node.available - 1).max(0);
    Some(Allocation { node, released })
}

/// The node that takes the next user, of those that are up, not backing off, and have places left and room: the one
/// with the least `ln(current_load) / ln(capacity)`, which is that of an empty one. Ties go to the most `available`,
/// then to the lowest id.
#[must_use]
pub fn choose(nodes: &[NodeRow]) -> Option<&NodeRow> {
    nodes
        .iter()
        .filter(|node| !node.downed && !node.backoff && node.available > 0 && has_room(node))
        .min_by_key(|node| (load(node), Reverse(node.available), node.id))
}

/// The new `available` of a node that has no places left, is up and has room: `rate` of its capacity, rounded up so that
/// the smallest node releases too, and no more than the room there is.
#[must_use]
pub fn release(node: &NodeRow, rate: f64) -> Option<i64> {
    if node.downed || node.available > 0 || !has_room(node) {
        return None;
    }
    // Less a trifle, since 30 × 0.1 is more than 3 for a float. A float beyond the integers saturates.
    let share = (node.capacity as f64 * rate - 1e-9).ceil() as i64;
    Some(share.max(1).min(node.capacity.saturating_sub(node.current_load)))
}

const fn has_room(node: &NodeRow) -> bool {
    node.capacity > node.current_load
}

/// How full a node with room is, on the protocol's scale: an integer, so that what is equal but for the rounding of
/// floats ties.
fn load(node: &NodeRow) -> i64 {
    if node.current_load <= 0 {
        return -1;
    }
    // A node with room that is not empty has a capacity of 2 or more: no division by zero. Two loads of one large node
    // differ by more than this resolution.
    ((node.current_load as f64).ln() / (node.capacity as f64).ln() * 1e12).round() as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(id: i64, available: i64, current_load: i64, capacity: i64) -> NodeRow {
        let url = format!("https://n{id}");
        NodeRow { id, url, available, current_load, capacity, downed: false, backoff: false }
    }

    #[test]
    fn the_node_that_takes_a_user() {
        let down = |node| NodeRow { downed: true, ..node };
        let backing_off = |node| NodeRow { backoff: true, ..node };
        for (name, nodes, chosen) in [
            ("none there", vec![], None),
            ("the only one", vec![node(1, 10, 5, 100)], Some(1)),
            ("no places left", vec![node(1, 0, 5, 100)], None),
            ("fewer than none", vec![node(1, -1, 5, 100)], None),
            ("full, whatever is available", vec![node(1, 10, 100, 100)], None),
            ("overfull", vec![node(1, 10, 101, 100)], None),
            ("down", vec![down(node(1, 10, 5, 100))], None),
            ("backing off", vec![backing_off(node(1, 10, 5, 100))], None),
            ("the least loaded", vec![node(1, 10, 6, 100), node(2, 10, 5, 100)], Some(2)),
            ("on a logarithmic scale", vec![node(1, 10, 40, 100), node(2, 10, 300, 10_000)], Some(2)),
            ("not by the share", vec![node(1, 10, 10, 100), node(2, 10, 500, 10_000)], Some(1)),
            ("an empty one first", vec![node(1, 10, 1, 100), node(2, 1, 0, 10)], Some(2)),
            ("an empty one of capacity 1", vec![node(1, 10, 1, 100), node(2, 1, 0, 1)], Some(2)),
            ("one user is as nothing", vec![node(1, 10, 1, 100), node(2, 11, 1, 10)], Some(2)),
            ("a tie: the most available", vec![node(1, 10, 5, 100), node(2, 11, 5, 100)], Some(2)),
            ("a tie of equal logarithms", vec![node(1, 10, 3, 9), node(2, 11, 125, 15_625)], Some(2)),
            ("empty ones: the most available", vec![node(1, 10, 0, 20), node(2, 11, 0, 12)], Some(2)),
            ("a full tie: the lowest id", vec![node(2, 10, 5, 100), node(1, 10, 5, 100)], Some(1)),
            ("large ones by one user", vec![node(1, 10, 100_001, 200_000), node(2, 1, 100_000, 200_000)], Some(2)),
        ] {
            assert_eq!(choose(&nodes).map(|node| node.id), chosen, "{name}");
        }
    }

    #[test]
    fn what_a_node_releases() {
        for (name, node, rate, available) in [
            ("a tenth", node(1, 0, 50, 100), 0.1, Some(10)),
            ("a tenth that no float is", node(1, 0, 0, 30), 0.1, Some(3)),
            ("rounded up", node(1, 0, 0, 12), 0.1, Some(2)),
            ("a node of capacity 1", node(1, 0, 0, 1), 0.1, Some(1)),
            ("no more than the room", node(1, 0, 97, 100), 0.1, Some(3)),
            ("instead of what is owed", node(1, -5, 50, 100), 0.1, Some(10)),
            ("all of it", node(1, 0, 0, 100), 1.0, Some(100)),
            ("a rate beyond reason", node(1, 0, 10, 100), f64::INFINITY, Some(90)),
            ("a rate of nothing still lets one in", node(1, 0, 0, 100), 0.0, Some(1)),
            ("nor does a rate below", node(1, 0, 0, 100), -1.0, Some(1)),
            ("nor one that is no number", node(1, 0, 0, 100), f64::NAN, Some(1)),
            ("there are places", node(1, 1, 50, 100), 0.1, None),
            ("there is no room", node(1, 0, 100, 100), 0.1, None),
            ("down", NodeRow { downed: true, ..node(1, 0, 50, 100) }, 0.1, None),
            ("backing off", NodeRow { backoff: true, ..node(1, 0, 50, 100) }, 0.1, Some(10)),
        ] {
            assert_eq!(release(&node, rate), available, "{name}");
        }
    }

    #[test]
    fn an_allocation_takes_a_place() {
        let found = |nodes: &[NodeRow]| allocate(nodes, 0.1);
        let taken = |node: NodeRow, released: &[(i64, i64)]| Some(Allocation { node, released: released.to_vec() });
        assert_eq!(found(&[node(1, 10, 5, 100)]), taken(node(1, 9, 6, 100), &[]));
        assert_eq!(found(&[node(1, 0, 5, 100), node(2, 1, 9, 10)]), taken(node(2, 0, 10, 10), &[]));
        // Every node releases then, and the best of them takes the user.
        let nodes = [node(1, 0, 5, 100), node(2, -3, 5, 1000), node(3, 0, 10, 10)];
        assert_eq!(found(&nodes), taken(node(2, 99, 6, 1000), &[(1, 10), (2, 100)]));
        assert_eq!(found(&[NodeRow { backoff: true, ..node(1, 0, 5, 100) }]), None);
        assert_eq!(found(&[]), None);
    }

    proptest! {
        #[test]
        fn a_user_finds_a_place_wherever_there_is_room(
            loads in prop::collection::vec((-2i64..5, 0i64..12, 0i64..12, 0u8..8), 0..6),
            rate in 0.0..1.5f64,
        ) {
            let nodes: Vec<NodeRow> = loads
                .iter()
                .zip(1..)
                .map(|(&(available, load, capacity, state), id)| {
                    NodeRow { downed: state == 0, backoff: state == 1, ..node(id, available, load, capacity) }
                })
                .collect();
            let usable = |node: &NodeRow| !node.downed && !node.backoff && node.current_load < node.capacity;
            let Some(Allocation { node, released }) = allocate(&nodes, rate) else {
                prop_assert!(!nodes.iter().any(usable));
                return Ok(());
            };
            let before = nodes.iter().find(|before| before.id == node.id).unwrap();
            prop_assert!(usable(before));
            prop_assert_eq!(node.current_load, before.current_load + 1);
            prop_assert!(node.available >= 0 && node.current_load <= node.capacity);
            let places = nodes.iter().any(|node| usable(node) && node.available > 0);
            prop_assert_eq!(released.is_empty(), places);
        }

        #[test]
        fn users_fill_all_nodes_to_the_last_place(capacities in prop::collection::vec(1i64..20, 1..4)) {
            let mut nodes: Vec<NodeRow> =
                capacities.iter().zip(1..).map(|(&capacity, id)| node(id, 0, 0, capacity)).collect();
            for _ in 0..capacities.iter().sum() {
                let Allocation { node, released } = allocate(&nodes, 0.1).unwrap();
                for (id, available) in released {
                    nodes.iter_mut().find(|node| node.id == id).unwrap().available = available;
                }
                let place = nodes.iter().position(|old| old.id == node.id).unwrap();
                nodes[place] = node;
            }
            prop_assert_eq!(allocate(&nodes, 0.1), None);
            prop_assert!(nodes.iter().all(|node| node.current_load == node.capacity));
        }
    }
}
