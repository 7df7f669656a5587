use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, Uri};
use http_body_util::Full;
use lease_core::{BoxError, HostError};

use super::super::url::check_port;
use crate::ClientError;
use crate::messages::CONTENT_TYPE as PROTOBUF;

/// Where a request goes.
pub(super) struct Target {
    origin: Uri,
    path: PathAndQuery,
    host: HeaderValue,
}

impl Target {
    /// # Errors
    ///
    /// [`ClientError::BadUrl`].
    pub(super) fn parse(url: &str) -> Result<Self, ClientError> {
        check_port(url)?;
        let mut parts = url.parse::<Uri>().map_err(bad_url)?.into_parts();
        let path = parts.path_and_query.replace(PathAndQuery::from_static("/"));
        let origin =
            Uri::from_parts(parts).map_err(|_| bad_url("it names no scheme or no host"))?;
        let host = origin.host().ok_or_else(|| bad_url("it names no host"))?;
        let host = match origin.port_u16() {
            Some(port) if !is_default(port, origin.scheme()) => {
                Bytes::from(format!("{host}:{port}"))
            }
            _ => Bytes::copy_from_slice(host.as_bytes()),
        };
        let host = HeaderValue::from_maybe_shared(host).map_err(bad_url)?;
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { origin, path, host })
    }

    /// The address of the member, without a path.
    pub(super) const fn origin(&self) -> &Uri {
        &self.origin
    }

    pub(super) fn into_origin(self) -> Uri {
        self.origin
    }

    /// A request over a connection to the member.
    pub(super) fn request(&self, body: Full<Bytes>) -> Request<Full<Bytes>> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from(self.path.clone());
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        request
    }
}

fn is_default(port: u16, scheme: Option<&Scheme>) -> bool {
    let of_scheme = if scheme == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    port == of_scheme
}

fn bad_url(error: impl Into<BoxError>) -> ClientError {
    ClientError::BadUrl(HostError::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_origin_a_path_and_a_host() {
        for (url, origin, path, host) in [
            (
                "http://a:2380/leases",
                "http://a:2380/",
                "/leases",
                "a:2380",
            ),
            ("http://a:80/leases?x", "http://a:80/", "/leases?x", "a"),
            ("https://a:80", "https://a:80/", "/", "a:80"),
            ("https://a:443/b", "https://a:443/", "/b", "a"),
            ("http://u:p@a:1/b", "http://u:p@a:1/", "/b", "a:1"),
            ("http://[::1]:9/b", "http://[::1]:9/", "/b", "[::1]:9"),
        ] {
            let target = Target::parse(url).expect("an address");
            assert_eq!(target.origin(), origin, "{url}");
            let request = target.request(Full::default());
            assert_eq!(request.uri(), path, "{url}");
            assert_eq!(request.headers()[HOST], host, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "a",
            "/leases",
            "a:1",
            "http://",
            "http:///leases",
            "http://a b",
            "http://a:99999/leases",
        ] {
            let refused = Target::parse(url).map(|target| target.origin);
            assert!(
                matches!(refused, Err(ClientError::BadUrl(_))),
                "{url}: {refused:?}"
            );
        }
    }
}
