//! How much those get who have not logged in.
//!
//! Nobody with a good token is limited: an address may be that of a proxy, with everybody behind it.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{AppState, access::Caller, error::ApiError};

/// For one address. Probes, GitHub and Prometheus together need a few.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(100).expect("it is not zero");
/// For one address at once: a whole CI system whose token was changed.
const BURST: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");
/// Addresses share this many limits, so memory is bounded however many there are. Nobody can choose
/// whom to share one with.
const LIMITS: usize = 4096;

/// Where a connection comes from. In the extensions of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer(pub(super) IpAddr);

impl Peer {
    fn of(request: &Request) -> Self {
        request.extensions().get().copied().unwrap_or(Self(Ipv4Addr::UNSPECIFIED.into()))
    }

    /// An IPv6 host has a whole /64 to call from.
    fn network(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            v4 @ IpAddr::V4(_) => v4,
        }
    }
}

/// What each address has left. Cheap to clone.
#[derive(Clone)]
pub(super) struct Strangers {
    limits: Arc<[DefaultDirectRateLimiter]>,
    hasher: RandomState,
}

impl Strangers {
    pub(super) fn new() -> Self {
        let quota = Quota::per_second(PER_SECOND).allow_burst(BURST);
        Self { limits: (0..LIMITS).map(|_| RateLimiter::direct(quota)).collect(), hasher: RandomState::new() }
    }

    /// Takes one of what the address has left.
    fn admit(&self, peer: Peer) -> Result<(), ApiError> {
        let hash = self.hasher.hash_one(peer.network());
        let limits = self.limits.len() as u64;
        let limit = usize::try_from(hash % limits).expect("it is below the number of limits");
        self.limits[limit].check().map_err(|_| ApiError::TooManyRequests)
    }
}

/// Layer for what needs no login and costs something.
pub(super) async fn admit(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    state.strangers().admit(Peer::of(&request))?;
    Ok(next.run(request).await)
}

/// Layer: who is refused too often is told only that, and is not worth a line in the log.
pub(super) async fn count_refusals(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let peer = Peer::of(&request);
    let response = next.run(request).await;
    if !is_refusal(&response) {
        return response;
    }
    state.strangers().admit(peer).map_or_else(ApiError::into_response, |()| response)
}

fn is_refusal(response: &Response) -> bool {
    let is_stranger = response.extensions().get::<Caller>().is_none();
    let refusals = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED,
    ];
    is_stranger && refusals.contains(&response.status())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::access::Login;

    fn peer(address: &str) -> Peer {
        Peer(address.parse().unwrap())
    }

    #[test]
    fn hosts_are_told_apart_and_the_addresses_of_one_are_not() {
        for (a, b, is_same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            assert_eq!(peer(a).network() == peer(b).network(), is_same, "{a} {b}");
        }
    }

    #[test]
    fn only_refusals_of_strangers_count() {
        for (status, counts) in
            [(401, true), (403, true), (404, true), (405, true), (200, false), (400, false), (503, false)]
        {
            let mut response = Response::builder().status(status).body(axum::body::Body::empty()).unwrap();
            assert_eq!(is_refusal(&response), counts, "{status}");
            // Somebody who is logged in may ask for what is not there as often as they like.
            response.extensions_mut().insert(Caller { login: Login::StaticToken, audiences: Vec::new() });
            assert!(!is_refusal(&response), "{status}");
        }
    }

    #[test]
    fn one_address_is_limited_and_the_others_hardly_notice() {
        let strangers = Strangers::new();
        let mut admitted = 0;
        // More come in while the test runs.
        while strangers.admit(peer("192.0.2.1")).is_ok() {
            admitted += 1;
        }
        assert!(admitted >= BURST.get(), "{admitted}");
        let others = (0..=255).filter(|byte| strangers.admit(Peer([198, 51, 100, *byte].into())).is_ok());
        assert!(others.count() > 240);
    }
}
