//! Addresses and ranges of addresses.

use super::*;
use super::{CIDR, IP, Opaque};

pub(super) fn declare(declare: &mut Declare<'_>) {
    declare.global("ip", [STRING_TYPE], |arguments| opaque(Opaque::Ip(address(&arguments, 0)?)));
    declare.global("isIP", [STRING_TYPE], |arguments| yes(read_address(text(&arguments, 0)?).is_some()));
    declare.global("ip.isCanonical", [STRING_TYPE], |arguments| {
        yes(address(&arguments, 0)?.to_string() == text(&arguments, 0)?)
    });
    declare.member("family", [IP], |arguments| number(if address(&arguments, 0)?.is_ipv4() { 4 } else { 6 }));
    declare.member("isUnspecified", [IP], |arguments| yes(address(&arguments, 0)?.is_unspecified()));
    declare.member("isLoopback", [IP], |arguments| yes(address(&arguments, 0)?.is_loopback()));
    declare.member("isLinkLocalUnicast", [IP], |arguments| yes(is_link_local(address(&arguments, 0)?)));
    declare.member("isLinkLocalMulticast", [IP], |arguments| yes(is_link_local_multicast(address(&arguments, 0)?)));
    declare.member("isGlobalUnicast", [IP], |arguments| yes(is_global_unicast(address(&arguments, 0)?)));
    declare.global("cidr", [STRING_TYPE], |arguments| {
        let (address, length) = range(&arguments, 0)?;
        opaque(Opaque::Cidr(address, length))
    });
    declare.global("isCIDR", [STRING_TYPE], |arguments| yes(read_range(text(&arguments, 0)?).is_some()));
    declare.member("containsIP", [CIDR, DYN_TYPE], |arguments| {
        let ((network, length), address) = (range(&arguments, 0)?, address(&arguments, 1)?);
        yes(same_network(network, address, length))
    });
    declare.member("containsCIDR", [CIDR, DYN_TYPE], |arguments| {
        let ((network, length), (inner, inner_length)) = (range(&arguments, 0)?, range(&arguments, 1)?);
        yes(inner_length >= length && same_network(network, inner, length))
    });
    declare.member("prefixLength", [CIDR], |arguments| number(i64::from(range(&arguments, 0)?.1)));
    declare.member("ip", [CIDR], |arguments| opaque(Opaque::Ip(range(&arguments, 0)?.0)));
    declare.member("masked", [CIDR], |arguments| {
        let (address, length) = range(&arguments, 0)?;
        opaque(Opaque::Cidr(masked(address, length), length))
    });
}

/// An address: not one of IPv4 in the clothes of IPv6.
fn read_address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    (!mapped).then_some(address)
}

fn read_range(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address = read_address(address)?;
    let plain = length.bytes().all(|byte| byte.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length: u8 = length.parse().ok()?;
    (plain && length <= most).then_some((address, length))
}

/// An address, or the text of one.
fn address(arguments: &[CowVal<'_, '_>], index: usize) -> Result<IpAddr, ExecutionError> {
    if let Some(Opaque::Ip(address)) = at(arguments, index)?.downcast_ref::<Opaque>() {
        return Ok(*address);
    }
    let found = text(arguments, index)?;
    read_address(found).map_or_else(|| fail("ip", format!("expected an IP address, found {found:?}")), Ok)
}

/// A range of addresses, or the text of one.
fn range(arguments: &[CowVal<'_, '_>], index: usize) -> Result<(IpAddr, u8), ExecutionError> {
    if let Some(Opaque::Cidr(address, length)) = at(arguments, index)?.downcast_ref::<Opaque>() {
        return Ok((*address, *length));
    }
    let found = text(arguments, index)?;
    read_range(found).map_or_else(|| fail("cidr", format!("expected a CIDR as in 10.0.0.0/8, found {found:?}")), Ok)
}

/// The address with all bits after the prefix at zero.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

fn same_network(one: IpAddr, other: IpAddr, length: u8) -> bool {
    one.is_ipv4() == other.is_ipv4() && masked(one, length) == masked(other, length)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
        IpAddr::V6(address) => address.octets()[0] == 0xff && address.octets()[1] & 0x0f == 2,
    }
}

fn is_global_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    !broadcast && !special && !is_link_local(address)
}
