//! The lock of an account.

/// So many accounts at once are served without waiting for each other; the table has no more rows than that.
const SLOTS: u64 = 4096;

/// The statement that has all that is written of an account happen one after the other: the row is locked until the
/// transaction ends, whether it was there or not. Accounts that share a slot wait for each other without need, which
/// costs them a moment.
pub(crate) fn account(email: &str) -> String {
    let slot = slot(email);
    format!("INSERT INTO syncserver_account_locks (slot) VALUES ({slot}) ON DUPLICATE KEY UPDATE slot = slot")
}

/// FNV-1a, which is the same in every process and every version of the program.
fn slot(email: &str) -> u64 {
    let hash = email
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another version of the program may run beside this one.
    #[test]
    fn the_slot_of_an_account_never_changes() {
        let slots = ["", "a", "foobar"].map(slot);
        assert_eq!(slots, [0xcbf2_9ce4_8422_2325 % 4096, 0xaf63_dc4c_8601_ec8c % 4096, 0x8594_4171_f739_67e8 % 4096]);
    }
}
