//! Addresses and networks of reverse proxies.

use std::net::IpAddr;
use std::str::FromStr;

/// The reverse proxies whose word on a client's address counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Whether a proxy with this address is one of them. An IPv4 address may come in its IPv6 form.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromIterator<Network> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// One address, or a network of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                // A shift by the whole width is no shift in Rust, but means here that every address fits.
                (base.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                (base.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Neither an address nor a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidNetwork;

impl FromStr for Network {
    type Err = InvalidNetwork;

    /// Takes `address` or `address/bits`; the address need not be the first one of its network.
    fn from_str(s: &str) -> Result<Self, InvalidNetwork> {
        let (base, bits) = s.split_once('/').map_or((s, None), |(base, bits)| (base, Some(bits)));
        let base = base.parse::<IpAddr>().map_err(|_| InvalidNetwork)?;
        let widest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match bits {
            None => widest,
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().map_err(|_| InvalidNetwork)?,
            Some(_) => return Err(InvalidNetwork),
        };
        if prefix <= widest { Ok(Self { base, prefix }) } else { Err(InvalidNetwork) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        networks.iter().map(|network| network.parse::<Network>().unwrap()).collect()
    }

    fn contains(networks: &[&str], address: &str) -> bool {
        proxies(networks).contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_the_addresses_with_its_prefix() {
        for (network, inside, outside) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("10.1.2.3/8", "10.255.0.1", "11.0.0.1"),
            ("192.168.4.0/22", "192.168.7.255", "192.168.8.0"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("::1", "::1", "::2"),
            ("fd00::/8", "fdff::1", "fe80::1"),
            ("::/0", "2001:db8::1", "127.0.0.1"),
        ] {
            assert!(contains(&[network], inside), "{network} {inside}");
            assert!(!contains(&[network], outside), "{network} {outside}");
        }
        assert!(contains(&["::1", "10.0.0.0/8"], "10.0.0.1"));
        assert!(!contains(&[], "127.0.0.1"));
    }

    #[test]
    fn an_ipv4_address_is_known_in_its_ipv6_form() {
        assert!(contains(&["10.0.0.0/8"], "::ffff:10.1.1.1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/8/8", "/8"] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork), "{text}");
        }
    }
}
