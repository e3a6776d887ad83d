//! The route table: every path that there is.

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig, delete, post, put, resource, scope};
use actix_web::{HttpRequest, Resource, guard};

use super::error::ApiError;
use super::route::Route;
use super::{api_doc, bso, collection, front_page, info, ops};
use crate::settings::Settings;
use crate::tokenserver;

/// Which parts of the server are on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The path of the public URL, without a trailing slash. Everything lives under it as well as under the root: a
    /// proxy may take it off or leave it.
    pub prefix: String,
    /// The storage API.
    pub storage: bool,
    /// The tokenserver.
    pub tokens: bool,
    /// The tokenserver's webhooks.
    pub webhooks: bool,
    /// The page that fails on purpose.
    pub test_error: bool,
}

impl Parts {
    /// Those that these settings switch on.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            prefix: settings.public_url.path.clone(),
            storage: settings.syncstorage.enabled,
            tokens: settings.tokenserver.enabled,
            test_error: settings.test_error,
            webhooks: settings.tokenserver.enabled && settings.tokenserver.fxa_webhook.is_some(),
        }
    }
}

/// All paths.
pub fn routes(config: &mut ServiceConfig, parts: &Parts) {
    if !parts.prefix.is_empty() {
        config.service(scope(&parts.prefix).configure(|config| below(config, parts)));
    }
    below(config, parts);
    config.default_service(web::to(no_such_path));
}

fn below(config: &mut ServiceConfig, parts: &Parts) {
    config
        .service(at(Route::Heartbeat, &["/__heartbeat__"]).route(read().to(ops::heartbeat)))
        .service(at(Route::LbHeartbeat, &["/__lbheartbeat__"]).route(read().to(ops::lbheartbeat)))
        .service(at(Route::Version, &["/__version__"]).route(read().to(ops::version)));
    if parts.test_error {
        config.service(at(Route::TestError, &["/__error__"]).route(read().to(ops::test_error)));
    }
    if parts.storage {
        config.service(scope("/1.5/{uid:[0-9]+}").configure(storage));
    } else {
        // Never 404: a client that finds no meta/global here would wipe its account's data.
        config
            .service(resource("/1.5/{tail:.*}").app_data(Route::StorageIsOff).default_service(web::to(storage_is_off)));
    }
    if parts.tokens {
        config
            // Firefox appends nothing to what its user has set, and users set all of these.
            .service(
                tokens_at(Route::Token, &["", "/"])
                    .guard(guard::fn_guard(tokenserver::has_bearer))
                    .get(tokenserver::token),
            )
            .service(
                tokens_at(Route::Token, &["/token", "/token/", "/tokenserver", "/tokenserver/"])
                    .get(tokenserver::token),
            );
        for base in ["", "/token", "/tokenserver"] {
            let path = format!("{base}/1.0/{{application}}/{{version}}");
            config.service(tokens_at(Route::Token, &[path.as_str(), &format!("{path}/")]).get(tokenserver::token));
        }
    }
    if parts.webhooks {
        config.service(tokens_at(Route::Webhook, &["/1.0/webhooks/fxa/events"]).post(tokenserver::webhook));
    }
    // Last, since a request is held against one after the other.
    config.service(at(Route::ApiDoc, &["/api-doc/openapi.json"]).route(read().to(api_doc::api_doc)));
    config.service(at(Route::FrontPage, &["", "/"]).route(read().to(front_page::front_page)));
}

fn storage(config: &mut ServiceConfig) {
    config
        .service(at(Route::InfoCollections, &["/info/collections"]).route(read().to(info::collections)))
        .service(at(Route::InfoCounts, &["/info/collection_counts"]).route(read().to(info::counts)))
        .service(at(Route::InfoUsage, &["/info/collection_usage"]).route(read().to(info::usage)))
        .service(at(Route::InfoQuota, &["/info/quota"]).route(read().to(info::quota)))
        .service(at(Route::InfoConfiguration, &["/info/configuration"]).route(read().to(info::configuration)))
        .service(at(Route::Store, &["", "/", "/storage", "/storage/"]).route(delete().to(collection::delete_store)))
        .service(
            at(Route::Collection, &["/storage/{collection}"])
                .route(read().to(collection::get))
                .route(post().to(collection::post))
                .route(delete().to(collection::delete)),
        )
        .service(
            // Record ids hold slashes, and clients send them as they are.
            at(Route::Bso, &["/storage/{collection}/{id:.*}"])
                .route(read().to(bso::get))
                .route(put().to(bso::put))
                .route(delete().to(bso::delete)),
        );
}

/// A path, which answers 405 to methods that it does not take. It carries the name under which it is counted.
fn at(route: Route, paths: &[&str]) -> Resource {
    resource(paths.to_vec()).app_data(route).default_service(web::to(method_not_allowed))
}

/// The same of the tokenserver, in its form.
fn tokens_at(route: Route, paths: &[&str]) -> Resource {
    resource(paths.to_vec()).app_data(route).default_service(web::to(tokenserver::method_not_allowed))
}

/// GET, or HEAD, which is GET without the body.
fn read() -> actix_web::Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Method(Method::HEAD)))
}

async fn storage_is_off() -> Result<&'static str, ApiError> {
    Err(ApiError::storage_is_off())
}

async fn no_such_path() -> Result<&'static str, ApiError> {
    Err(ApiError::no_such_path())
}

async fn method_not_allowed(request: HttpRequest) -> Result<&'static str, ApiError> {
    let allow = request.app_data::<Route>().map_or("GET, HEAD", |route| route.allow());
    Err(ApiError::MethodNotAllowed { allow })
}
