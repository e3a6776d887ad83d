//! Bodies whose bytes are counted as they go.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;

use super::route::Route;
use crate::metrics::Metrics;

/// A body of unknown length.
pub(super) struct Counted {
    body: BoxBody,
    metrics: Arc<Metrics>,
    route: Route,
    bytes: u64,
}

impl Counted {
    pub(super) fn new(body: BoxBody, metrics: Arc<Metrics>, route: Route) -> Self {
        Self { body, metrics, route, bytes: 0 }
    }
}

impl MessageBody for Counted {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = ready!(Pin::new(&mut self.body).poll_next(context));
        if let Some(Ok(bytes)) = &next {
            self.bytes += bytes.len() as u64;
        }
        Poll::Ready(next)
    }
}

impl Drop for Counted {
    /// Once for all of it, also where the client went away in the middle.
    fn drop(&mut self) {
        self.metrics.bytes_out(self.route, self.bytes);
    }
}
