//! Where a request comes from: the peer, or what a trusted proxy says of it.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::app::Shared;

/// A reverse proxy whose word is believed about where a request comes from: one address, or a block of them.
///
/// ```
/// # use mintcode_http::Proxy;
/// let block: Proxy = "10.0.0.0/8".parse()?;
/// assert!(block.contains("10.9.8.7".parse()?));
/// assert!("10.0.0.0/33".parse::<Proxy>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// An address of the block; IPv4 as the mapped IPv6.
    address: u128,
    /// Leading bits that all addresses of the block share, of 128.
    shared: u32,
}

/// Text that is no [`Proxy`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no IP address and no block of addresses such as \"10.0.0.0/8\" or \"2001:db8::/32\"")]
pub struct BadProxy {
    text: String,
}

impl Proxy {
    /// Whether `address` is this proxy's, or in its block.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = self.address ^ bits(address);
        differing.leading_zeros() >= self.shared
    }
}

impl FromStr for Proxy {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, BadProxy> {
        read_block(text.trim()).ok_or_else(|| BadProxy { text: text.chars().take(60).collect() })
    }
}

fn read_block(text: &str) -> Option<Proxy> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let own_bits = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(own_bits);
    (length <= own_bits).then(|| Proxy { address: bits(address), shared: 128 - own_bits + length })
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Under which text the requests of a client are counted; `None` where the server does not tell its peer.
pub(crate) struct ClientAddress(Option<String>);

impl ClientAddress {
    pub(crate) fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl FromRequestParts<Shared> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        Ok(Self(peer.map(|peer| counted(origin(peer, &parts.headers, &shared.trusted_proxies)))))
    }
}

/// The nearest address that is no trusted proxy. Whatever stands left of it was written by whoever sits there.
fn origin(peer: IpAddr, headers: &HeaderMap, trusted: &[Proxy]) -> IpAddr {
    let values = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or_default());
    let hops: Vec<_> = values.flat_map(|value| value.split(',')).map(read_hop).collect();
    let mut nearest = peer.to_canonical();
    for hop in hops.into_iter().rev() {
        match hop {
            Some(before) if trusted.iter().any(|proxy| proxy.contains(nearest)) => nearest = before,
            Some(_) | None => break,
        }
    }
    nearest
}

/// An address as proxies write it, with or without its port.
fn read_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// A client has one IPv4 address, and a whole /64 of IPv6.
fn counted(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            format!("{network}/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<Proxy> = trusted.iter().map(|proxy| proxy.parse().unwrap()).collect();
        counted(origin(peer.parse().unwrap(), &headers, &trusted))
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_about_who_it_saw() {
        let inside: &[&str] = &["10.0.0.0/8", "fd00::/8"];
        for (peer, forwarded, trusted, expected) in [
            ("203.0.113.7", &["198.51.100.1"][..], &[][..], "203.0.113.7"),
            ("203.0.113.7", &["198.51.100.1"], inside, "203.0.113.7"),
            ("10.0.0.1", &["198.51.100.1"], inside, "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.2.2.2"], inside, "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.1"], inside, "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], inside, "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, unknown, 10.2.2.2"], inside, "10.2.2.2"),
            ("10.0.0.1", &["10.3.3.3"], inside, "10.3.3.3"),
            ("10.0.0.1", &[], inside, "10.0.0.1"),
            ("10.0.0.1", &[""], inside, "10.0.0.1"),
            ("fd00::1", &["\"[2001:db8:1:2:3:4:5:6]:443\""], inside, "2001:db8:1:2::/64"),
            ("fd00::1", &["[2001:db8:1:2::9]"], inside, "2001:db8:1:2::/64"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], inside, "198.51.100.1"),
            ("2001:db8::1", &[], &[], "2001:db8::/64"),
        ] {
            assert_eq!(seen(peer, forwarded, trusted), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_block_has_the_addresses_it_says() {
        for (block, address, is_in) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            (" 192.0.2.0/25 ", "192.0.2.127", true),
            ("192.0.2.0/25", "192.0.2.128", false),
            ("0.0.0.0/0", "255.1.2.3", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
        ] {
            let proxy: Proxy = block.parse().unwrap();
            assert_eq!(proxy.contains(address.parse().unwrap()), is_in, "{address} in {block}");
        }
        for bad in ["", "proxy.example", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8"] {
            let error = bad.parse::<Proxy>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{bad:?} is no IP address")), "{error}");
        }
    }
}
