//! Blocks of addresses, read with the standard library.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses of one family.
#[derive(Clone, Copy)]
pub struct Block {
    pub is_v4: bool,
    pub first: u128,
    pub last: u128,
}

impl Block {
    /// Reads a CIDR.
    pub fn parse_cidr(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address = parse_address(address)?;
        let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u32 = Some(prefix).filter(|_| is_number).and_then(|prefix| without_zeros(prefix).parse().ok())?;
        match address {
            IpAddr::V4(address) if prefix <= 32 => Some(Self::of(true, u32::from(address).into(), 32 - prefix)),
            IpAddr::V6(address) if prefix <= 128 => Some(match address.to_ipv4_mapped() {
                Some(address) if prefix >= 96 => Self::of(true, u32::from(address).into(), 128 - prefix),
                _ => Self::of(false, address.into(), 128 - prefix),
            }),
            _ => None,
        }
    }

    /// Reads a CIDR, or an address.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_cidr(text).or_else(|| {
            let prefix = if parse_address(text)?.is_ipv4() { 32 } else { 128 };
            Self::parse_cidr(&format!("{text}/{prefix}"))
        })
    }

    fn of(is_v4: bool, address: u128, host_bits: u32) -> Self {
        let hosts = 1u128.checked_shl(host_bits).map_or(u128::MAX, |hosts| hosts - 1);
        Self { is_v4, first: address & !hosts, last: address | hosts }
    }

    /// Whether an address of a family is in it.
    pub fn has(&self, is_v4: bool, address: u128) -> bool {
        self.is_v4 == is_v4 && self.first <= address && address <= self.last
    }
}

/// The API server lets numbers start with zeros.
fn without_zeros(number: &str) -> &str {
    let trimmed = number.trim_start_matches('0');
    if trimmed.is_empty() && !number.is_empty() { "0" } else { trimmed }
}

fn parse_address(text: &str) -> Option<IpAddr> {
    let v4 = |text: &str| text.split('.').map(without_zeros).collect::<Vec<_>>().join(".");
    if !text.contains(':') {
        return v4(text).parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let group = |group: &str| if group.contains('.') { v4(group) } else { without_zeros(group).to_owned() };
    text.split(':').map(group).collect::<Vec<_>>().join(":").parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}
