//! The routes by name, for metrics, logs and error reports: these must not tell whose path it was.

/// A route. Every resource of the [table](super::routes) carries its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Route {
    /// `/1.5/{uid}/info/collections`
    InfoCollections,
    /// `/1.5/{uid}/info/collection_counts`
    InfoCounts,
    /// `/1.5/{uid}/info/collection_usage`
    InfoUsage,
    /// `/1.5/{uid}/info/quota`
    InfoQuota,
    /// `/1.5/{uid}/info/configuration`
    InfoConfiguration,
    /// `/1.5/{uid}` and `/1.5/{uid}/storage`
    Store,
    /// `/1.5/{uid}/storage/{collection}`
    Collection,
    /// `/1.5/{uid}/storage/{collection}/{id}`
    Bso,
    /// Anything under `/1.5` of a process that serves no storage.
    StorageIsOff,
    /// `/1.0/sync/1.5`, and all other paths at which a token is asked for.
    Token,
    /// `/1.0/webhooks/fxa/events`
    Webhook,
    /// `/__heartbeat__`
    Heartbeat,
    /// `/__lbheartbeat__`
    LbHeartbeat,
    /// `/__version__`
    Version,
    /// `/__error__`
    TestError,
    /// `/api-doc/openapi.json`
    ApiDoc,
    /// `/`
    FrontPage,
    /// None of them: no such path, or a preflight of CORS.
    Unmatched,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::InfoCollections,
        Self::InfoCounts,
        Self::InfoUsage,
        Self::InfoQuota,
        Self::InfoConfiguration,
        Self::Store,
        Self::Collection,
        Self::Bso,
        Self::StorageIsOff,
        Self::Token,
        Self::Webhook,
        Self::Heartbeat,
        Self::LbHeartbeat,
        Self::Version,
        Self::TestError,
        Self::ApiDoc,
        Self::FrontPage,
        Self::Unmatched,
    ];

    /// The pattern of its paths, and a short name for what is there.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::InfoCollections => ("/1.5/{uid}/info/collections", "collections"),
            Self::InfoCounts => ("/1.5/{uid}/info/collection_counts", "collection_counts"),
            Self::InfoUsage => ("/1.5/{uid}/info/collection_usage", "collection_usage"),
            Self::InfoQuota => ("/1.5/{uid}/info/quota", "quota"),
            Self::InfoConfiguration => ("/1.5/{uid}/info/configuration", "configuration"),
            Self::Store => ("/1.5/{uid}/storage", "all"),
            Self::Collection => ("/1.5/{uid}/storage/{collection}", "collection"),
            Self::Bso => ("/1.5/{uid}/storage/{collection}/{id}", "bso"),
            Self::StorageIsOff => ("/1.5/{tail}", "storage_is_off"),
            Self::Token => ("/1.0/sync/1.5", "token"),
            Self::Webhook => ("/1.0/webhooks/fxa/events", "event"),
            Self::Heartbeat => ("/__heartbeat__", "heartbeat"),
            Self::LbHeartbeat => ("/__lbheartbeat__", "lbheartbeat"),
            Self::Version => ("/__version__", "version"),
            Self::TestError => ("/__error__", "error"),
            Self::ApiDoc => ("/api-doc/openapi.json", "api_doc"),
            Self::FrontPage => ("/", "front_page"),
            Self::Unmatched => ("unmatched", "unmatched"),
        }
    }

    /// The pattern of its paths, without a prefix of the public URL.
    #[must_use]
    pub const fn pattern(self) -> &'static str {
        self.words().0
    }

    /// A short name for what is there, such as `collection`.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        self.words().1
    }

    /// The methods that its paths take, as the header `Allow` has them.
    #[must_use]
    pub const fn allow(self) -> &'static str {
        match self {
            Self::Store => "DELETE",
            Self::Collection => "GET, HEAD, POST, DELETE",
            Self::Bso => "GET, HEAD, PUT, DELETE",
            Self::Token => "GET",
            Self::Webhook => "POST",
            // All else is read only.
            _ => "GET, HEAD",
        }
    }

    /// Whether load balancers and the like ask for it, again and again: such requests are not logged.
    #[must_use]
    pub const fn is_health_check(self) -> bool {
        matches!(self, Self::Heartbeat | Self::LbHeartbeat | Self::Version)
    }

    /// Whether it belongs to the tokenserver.
    #[must_use]
    pub const fn is_of_tokenserver(self) -> bool {
        matches!(self, Self::Token | Self::Webhook)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_has_its_place_and_names_of_its_own() {
        for (index, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, index);
        }
        let patterns: BTreeSet<_> = Route::ALL.map(Route::pattern).into();
        let nouns: BTreeSet<_> = Route::ALL.map(Route::noun).into();
        assert_eq!((patterns.len(), nouns.len()), (Route::ALL.len(), Route::ALL.len()));
    }
}
