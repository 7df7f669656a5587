use std::fmt;
use std::time::Duration;

use lease_core::HostError;
use ureq::{Agent, Error};

use super::blocking::Transport;
use super::url::check_port;
use crate::messages::{CONTENT_TYPE, MAX_RESPONSE_LEN};
use crate::{ClientError, Response};

/// A [blocking transport](Transport) over ureq, with a pool of connections.
///
/// A clone is cheap and shares the connections. Those that nobody has used for 15 s are closed with the
/// next request, to whichever member, and all of them with the last clone; at most 64 to a member are
/// kept, and 256 in all.
#[derive(Clone)]
pub struct UreqTransport {
    agent: Agent,
}

impl UreqTransport {
    /// A transport without TLS and without a proxy, whatever the environment says. Each request ends
    /// after `timeout` at the latest; the handler of this crate may need up to 6 s for a renewal of
    /// a lease that has expired.
    ///
    /// ```
    /// use lease_core::LeaseId;
    /// use lease_http::ClientError;
    /// use lease_http::blocking::{UreqTransport, renew_http};
    /// use std::time::Duration;
    ///
    /// let transport = UreqTransport::new(Duration::from_secs(1));
    /// let id = LeaseId::try_from(7)?;
    /// let nobody_there = renew_http(&transport, id, "http://127.0.0.1:1/leases");
    /// assert!(matches!(nobody_there, Err(ClientError::Unreachable(_))));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(4 * IDLE_PER_MEMBER)
            .max_idle_connections_per_host(IDLE_PER_MEMBER)
            .proxy(None)
            .timeout_global(Some(timeout))
            .build();
        Self {
            agent: config.into(),
        }
    }

    /// A transport over an agent of the host's, which may bring TLS. It has to have a time-out,
    /// follow no redirect, and take a status of 400 and above for no error.
    ///
    /// ```
    /// use lease_http::blocking::UreqTransport;
    /// use std::time::Duration;
    ///
    /// let config = ureq::Agent::config_builder()
    ///     .http_status_as_error(false)
    ///     .max_redirects(0)
    ///     .max_redirects_will_error(false)
    ///     .timeout_global(Some(Duration::from_secs(7)))
    ///     .build();
    /// let transport = UreqTransport::with_agent(config.into());
    /// ```
    #[must_use]
    pub const fn with_agent(agent: Agent) -> Self {
        Self { agent }
    }
}

impl Transport for UreqTransport {
    fn post(&self, url: &str, body: Vec<u8>) -> Result<Response, ClientError> {
        check_port(url)?;
        let request = self.agent.post(url).content_type(CONTENT_TYPE);
        let mut response = request.send(&body[..]).map_err(client_error)?;
        let status = response.status().as_u16();
        let body = response.body_mut();
        let limit = MAX_RESPONSE_LEN as u64;
        if body.content_length().is_some_and(|length| length > limit) {
            return Err(ClientError::TooLarge);
        }
        let body = body.with_config().limit(limit).read_to_vec();
        let body = body.map_err(client_error)?;
        Ok(Response { status, body })
    }
}

impl fmt::Debug for UreqTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UreqTransport").finish_non_exhaustive()
    }
}

const IDLE_PER_MEMBER: usize = 64;

fn client_error(error: Error) -> ClientError {
    match error {
        Error::BodyExceedsLimit(_) => ClientError::TooLarge,
        Error::BadUri(_) | Error::Http(_) => ClientError::BadUrl(HostError::new(error)),
        error => ClientError::Unreachable(HostError::new(error)),
    }
}
