//! The devices that ask for tokens.

use super::*;
use crate::{Agent, DEVICE_INTERVAL_MS, DeviceEntry, MAX_DEVICES};

const DESKTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";
const PHONE: &str = "Mozilla/5.0 (Android 14; Mobile; rv:153.0) Gecko/153.0 Firefox/153.0";

async fn note(t: &dyn Fixture, uid: UserId, user_agent: &str, at: i64) {
    t.admin().note_device(uid, &Agent::of(user_agent), at).await.unwrap();
}

async fn devices(t: &dyn Fixture, uid: UserId) -> Vec<DeviceEntry> {
    t.admin().devices(uid).await.unwrap()
}

fn device(user_agent: &str, first_seen: i64, last_seen: i64) -> DeviceEntry {
    DeviceEntry { agent: Agent::of(user_agent), first_seen, last_seen }
}

pub async fn a_device_is_noted_when_it_is_new_and_once_a_day(t: &dyn Fixture) {
    let uid = sign_in(t, &request(ALICE, 10, 5, "aa")).await.uid;
    let other = sign_in(t, &request(BOB, 10, 5, "aa")).await.uid;
    assert_eq!(devices(t, uid).await, []);
    note(t, uid, DESKTOP, NOW).await;
    note(t, uid, PHONE, NOW + 1).await;
    note(t, uid, DESKTOP, NOW + DEVICE_INTERVAL_MS - 1).await;
    assert_eq!(devices(t, uid).await, [device(PHONE, NOW + 1, NOW + 1), device(DESKTOP, NOW, NOW)]);
    // After an update, a day later.
    let updated = DESKTOP.replace("153.0", "154.0");
    note(t, uid, &updated, NOW + DEVICE_INTERVAL_MS).await;
    let expected = [device(&updated, NOW, NOW + DEVICE_INTERVAL_MS), device(PHONE, NOW + 1, NOW + 1)];
    assert_eq!(devices(t, uid).await, expected);
    // A clock that was set back takes nothing back.
    note(t, uid, PHONE, NOW - 1000).await;
    assert_eq!(devices(t, uid).await, expected);
    assert_eq!(devices(t, other).await, []);
    let entry = t.admin().users(&crate::UserFilter::Uid(uid), None, 1).await.unwrap().remove(0);
    assert_eq!(entry.devices, 2);
}

pub async fn a_user_has_no_more_devices_than_there_may_be(t: &dyn Fixture) {
    let uid = sign_in(t, &request(ALICE, 10, 5, "aa")).await.uid;
    for n in 0..i64::from(MAX_DEVICES) + 3 {
        note(t, uid, &format!("client-{n:03}x"), NOW + n).await;
    }
    let kept = devices(t, uid).await;
    assert_eq!(kept.len(), MAX_DEVICES as usize);
    assert_eq!(kept.last().map(|device| device.agent.key().to_owned()).as_deref(), Some("client-003x"));
    // One of those that are there takes nobody's place.
    note(t, uid, "client-003x", NOW + 2 * DEVICE_INTERVAL_MS).await;
    assert_eq!(devices(t, uid).await.len(), MAX_DEVICES as usize);
    assert_eq!(devices(t, uid).await[0].first_seen, NOW + 3);
}

pub async fn a_client_that_does_not_say_what_it_is_is_a_device_too(t: &dyn Fixture) {
    let uid = sign_in(t, &request(ALICE, 10, 5, "aa")).await.uid;
    for user_agent in ["", "'; DROP TABLE users; --\\", "\0ü", &"x".repeat(5000)] {
        note(t, uid, user_agent, NOW).await;
    }
    assert_eq!(devices(t, uid).await.len(), 4);
}

pub async fn what_was_noted_of_a_user_goes_with_the_user(t: &dyn Fixture) {
    let uid = sign_in(t, &request(ALICE, 10, 5, "aa")).await.uid;
    let other = sign_in(t, &request(BOB, 10, 5, "aa")).await.uid;
    for uid in [uid, other] {
        note(t, uid, PHONE, NOW).await;
    }
    assert!(!t.db().forget_row(uid).await.unwrap(), "the row is in use");
    assert_eq!(devices(t, uid).await.len(), 1);
    t.admin().replace_user(ALICE, NOW).await.unwrap();
    assert!(t.db().forget_row(uid).await.unwrap());
    assert_eq!((devices(t, uid).await.len(), devices(t, other).await.len()), (0, 1));
    // A note that comes late is of nobody.
    note(t, uid, PHONE, NOW + 5).await;
    assert_eq!(devices(t, uid).await, []);
}
