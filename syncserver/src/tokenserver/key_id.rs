//! `X-KeyID` and `X-Client-State`: which encryption key the client has.

use actix_web::http::header::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::ApiTokenError;
use crate::hex::hex;

/// The longest client state, in bytes.
const MAX_CLIENT_STATE: usize = 16;

/// What the client says of its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyId {
    /// When the key was made, in ms since the epoch; 0 where that is not known.
    pub(super) keys_changed_at: i64,
    /// The beginning of the key's hash; may be empty.
    pub(super) client_state: Vec<u8>,
}

impl KeyId {
    /// Of the headers of a request.
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, ApiTokenError> {
        let value = headers.get("X-KeyID").ok_or_else(ApiTokenError::no_key_id)?;
        let client_state = headers.get("X-Client-State").map(|state| state.to_str().unwrap_or_default());
        if client_state.is_some_and(|state| !is_well_formed(state)) {
            return Err(ApiTokenError::malformed_client_state());
        }
        let key_id = value.to_str().ok().and_then(Self::split).ok_or_else(|| {
            ApiTokenError::invalid_credentials("X-KeyID is not of the form <keys_changed_at>-<client state in base64>")
        })?;
        match client_state {
            Some(state) if state != key_id.client_state_hex() => Err(ApiTokenError::contradicting_client_state()),
            Some(_) | None => Ok(key_id),
        }
    }

    fn split(value: &str) -> Option<Self> {
        let (changed_at, state) = value.split_once('-')?;
        let client_state = URL_SAFE_NO_PAD.decode(state.trim_end_matches('=')).ok()?;
        let keys_changed_at =
            changed_at.bytes().all(|byte| byte.is_ascii_digit()).then(|| changed_at.parse().ok())??;
        (client_state.len() <= MAX_CLIENT_STATE).then_some(Self { keys_changed_at, client_state })
    }

    /// The client state as the database has it.
    pub(super) fn client_state_hex(&self) -> String {
        hex(&self.client_state)
    }
}

fn is_well_formed(state: &str) -> bool {
    (1..=32).contains(&state.len())
        && state.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_is_a_time_and_a_client_state() {
        let split = |text| KeyId::split(text).map(|id| (id.keys_changed_at, id.client_state_hex()));
        assert_eq!(split("1700000000-qqqq"), Some((1_700_000_000, "aaaaaa".into())));
        assert_eq!(split("0000001700000-_-8"), Some((1_700_000, "ffef".into())));
        assert_eq!(split("0-"), Some((0, String::new())));
        assert_eq!(split("1-AAECAwQFBgcICQoLDA0ODw"), Some((1, "000102030405060708090a0b0c0d0e0f".into())));
        for bad in [
            "",
            "1",
            "-qqqq",
            "x-qqqq",
            "+1-qqqq",
            "1.5-qqqq",
            "1-AAECAwQFBgcICQoLDA0ODxA",
            "1-q",
            "1-!!",
            "99999999999999999999-qqqq",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
