use lease_core::HostError;

use crate::ClientError;

/// Looks at an address's port alone: both clients take one that is out of range for none at all, and would
/// ask whoever listens at the default port.
///
/// # Errors
///
/// [`ClientError::BadUrl`].
pub(super) fn check_port(url: &str) -> Result<(), ClientError> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    // An address of IPv6 has colons of its own.
    let behind = host.rsplit(']').next().unwrap_or_default();
    match behind.split_once(':') {
        Some((_, port)) if !port.is_empty() && port.parse::<u16>().is_err() => Err(
            ClientError::BadUrl(HostError::new("its port is out of range")),
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_in_range_or_not_there() {
        for url in [
            "",
            "http://a",
            "http://a:/b",
            "http://a:0/b:99999",
            "http://a:65535?c:99999",
            "http://u:99999@a:1#:x",
            "http://[::1]/b",
            "http://[1:2:3:4:5:6:7:99]:80",
        ] {
            assert_eq!(check_port(url), Ok(()), "{url}");
        }
        for url in [
            "http://a:65536",
            "http://a:99999/b",
            "http://[::1]:99999",
            "a:-1",
            "a:b",
        ] {
            let refused = check_port(url);
            assert!(matches!(refused, Err(ClientError::BadUrl(_))), "{url}");
        }
    }
}
