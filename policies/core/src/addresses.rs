//! IP addresses and blocks of them, as Kubernetes reads them, and what ranges of numbers cover together.

use alloc::vec::Vec;

use crate::text::{cut, sort_by, split};

/// Numbers from the first to the last, such as addresses or ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first number.
    pub first: u128,
    /// The last number, which is not below the first.
    pub last: u128,
}

impl Range {
    /// Whether each of its numbers is in one of these ranges, which are sorted for it.
    pub fn is_within(self, ranges: &mut [Self]) -> bool {
        sort_by(ranges, is_before);
        let mut next = self.first;
        for range in ranges {
            if range.first > next {
                return false;
            }
            if range.last >= self.last {
                return true;
            }
            next = next.max(range.last + 1);
        }
        false
    }

    /// What is left of it without these ranges, which are sorted for it.
    pub fn without(self, ranges: &mut [Self]) -> Vec<Self> {
        sort_by(ranges, is_before);
        let (mut left, mut rest) = (Vec::new(), self);
        for range in ranges {
            if range.last < rest.first {
                continue;
            }
            if range.first > rest.last {
                break;
            }
            if range.first > rest.first {
                left.push(Self { last: range.first - 1, ..rest });
            }
            if range.last >= rest.last {
                return left;
            }
            rest.first = range.last + 1;
        }
        left.push(rest);
        left
    }
}

fn is_before(a: &Range, b: &Range) -> bool {
    a.first < b.first
}

/// A block of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Whether they are addresses of IPv6.
    pub is_v6: bool,
    /// The addresses.
    pub range: Range,
}

impl Block {
    /// The block of a CIDR; `None` if it is not one. As for the API server, numbers may start with zeros, bits behind the
    /// prefix do not count, and a block of IPv4 in IPv6 (`::ffff:10.0.0.0/104`) is one of IPv4.
    pub fn parse(cidr: &str) -> Option<Self> {
        let (address, prefix) = split(cidr, b'/');
        let (is_v6, address) = parse_address(address)?;
        let length = if is_v6 { 128 } else { 32 };
        let hosts = length - number(prefix, 10, length)?;
        let hosts = u128::MAX.checked_shr(128 - hosts).unwrap_or(0);
        Some(Self::of(is_v6, address & !hosts, address | hosts))
    }

    /// The block of a CIDR, or that of one address; `None` if it is neither.
    pub fn parse_any(text: &str) -> Option<Self> {
        let of_one = || parse_address(text).map(|(is_v6, address)| Self::of(is_v6, address, address));
        Self::parse(text).or_else(of_one)
    }

    fn of(is_v6: bool, first: u128, last: u128) -> Self {
        let is_mapped = is_v6 && first >> 32 == V4_IN_V6 && last >> 32 == V4_IN_V6;
        let bits = if is_mapped { LAST_V4 } else { u128::MAX };
        Self { is_v6: is_v6 && !is_mapped, range: Range { first: first & bits, last: last & bits } }
    }
}

const LAST_V4: u128 = u32::MAX as u128;

/// What stands before an address of IPv4 in one of IPv6.
const V4_IN_V6: u128 = 0xffff;

/// Whether an address is one of IPv6, and its bits.
fn parse_address(text: &str) -> Option<(bool, u128)> {
    let is_v6 = text.bytes().any(|byte| byte == b':');
    let bits = if is_v6 { parse_v6(text) } else { parse_v4(text) };
    bits.map(|bits| (is_v6, bits))
}

fn parse_v4(text: &str) -> Option<u128> {
    let (mut bits, mut rest) = (0, text);
    for part in 1..=4 {
        let (digits, behind) = split(rest, b'.');
        bits = bits << 8 | u128::from(number(digits, 10, 255)?);
        if (digits.len() == rest.len()) != (part == 4) {
            return None;
        }
        rest = behind;
    }
    Some(bits)
}

fn parse_v6(text: &str) -> Option<u128> {
    let Some(at) = text.as_bytes().windows(2).position(|pair| pair == b"::") else {
        let (bits, count) = groups(text, true)?;
        return if count == 8 { Some(bits) } else { None };
    };
    let (high, high_count) = groups(cut(text, 0, at), false)?;
    let (low, low_count) = groups(cut(text, at + 2, text.len()), true)?;
    // The two colons stand for at least one group.
    if high_count + low_count > 7 {
        return None;
    }
    Some(high.checked_shl(16 * (8 - high_count)).unwrap_or(0) | low)
}

/// The bits of groups with colons between them, and how many groups they are. The last two may be an address of IPv4.
fn groups(text: &str, may_end_in_v4: bool) -> Option<(u128, u32)> {
    let (mut bits, mut count, mut rest) = (0, 0, text);
    while !rest.is_empty() {
        let (group, behind) = split(rest, b':');
        let is_last = group.len() == rest.len();
        if is_last && may_end_in_v4 && group.bytes().any(|byte| byte == b'.') {
            bits = bits << 32 | parse_v4(group)?;
            count += 2;
        } else {
            bits = bits << 16 | u128::from(number(group, 16, 0xffff)?);
            count += 1;
        }
        if count > 8 || !is_last && behind.is_empty() {
            return None;
        }
        rest = behind;
    }
    Some((bits, count))
}

/// A number of digits, of at most this value. It may start with zeros.
#[inline(never)]
fn number(digits: &str, radix: u32, most: u32) -> Option<u32> {
    let mut number = None;
    for byte in digits.bytes() {
        let digit = char::from(byte).to_digit(radix)?;
        number = Some(number.unwrap_or(0) * radix + digit).filter(|&number| number <= most);
        number?;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(is_v6: bool, first: u128, last: u128) -> Option<Block> {
        Some(Block { is_v6, range: Range { first, last } })
    }

    #[test]
    fn blocks_are_read_as_kubernetes_reads_them() {
        let ten = block(false, 0x0a00_0000, 0x0aff_ffff);
        let documentation = 0x2001_0db8u128 << 96;
        for (cidr, expected) in [
            ("0.0.0.0/0", block(false, 0, LAST_V4)),
            ("::/0", block(true, 0, u128::MAX)),
            ("1.2.3.4/0", block(false, 0, LAST_V4)),
            ("128.0.0.0/1", block(false, 1 << 31, LAST_V4)),
            ("8000::/1", block(true, 1 << 127, u128::MAX)),
            ("10.0.0.0/8", ten),
            ("10.1.2.3/8", ten),
            ("010.0.000.0/08", ten),
            ("::ffff:10.0.0.0/104", ten),
            ("::ffff:a00:0/104", ten),
            ("0:0:0:0:0:ffff:10.0.0.0/104", ten),
            ("::ffff:0.0.0.0/96", block(false, 0, LAST_V4)),
            ("::ffff:0.0.0.0/95", block(true, 0xfffe << 32, (1 << 48) - 1)),
            ("255.255.255.255/32", block(false, LAST_V4, LAST_V4)),
            ("2001:db8::/32", block(true, documentation, documentation | ((1 << 96) - 1))),
            ("2001:DB8::/32", block(true, documentation, documentation | ((1 << 96) - 1))),
            ("02001:0db8::/32", block(true, documentation, documentation | ((1 << 96) - 1))),
            (
                "1:2:3:4:5:6:7::/128",
                block(true, 0x0001_0002_0003_0004_0005_0006_0007_0000, 0x0001_0002_0003_0004_0005_0006_0007_0000),
            ),
            ("::1.2.3.4/128", block(true, 0x0102_0304, 0x0102_0304)),
            ("1::/128", block(true, 1 << 112, 1 << 112)),
        ] {
            assert_eq!(Block::parse(cidr), expected, "{cidr}");
        }
    }

    #[test]
    fn what_is_no_block_is_not_read() {
        for text in [
            "",
            "/",
            "/0",
            "0.0.0.0",
            "0.0.0.0/",
            "0.0.0.0/33",
            "0.0.0.0/-1",
            "0.0.0.0/+0",
            "0.0.0.0/0/0",
            "0.0.0.0/0 ",
            " 0.0.0.0/0",
            "0.0.0/0",
            "0.0.0.0.0/0",
            "256.0.0.0/0",
            "1..2.3/8",
            ".1.2.3/8",
            "1.2.3./8",
            "0x0.0.0.0/0",
            "99999999999999999999.0.0.0/0",
            "::",
            "::/129",
            ":/0",
            ":::/0",
            "1:::2/0",
            "::1::/0",
            "1:2:3:4:5:6:7/0",
            "1:2:3:4:5:6:7:8:9/0",
            "1:2:3:4:5:6:7:8::/0",
            "::1:2:3:4:5:6:7:8/0",
            "1:/0",
            ":1/0",
            "1::2:/0",
            "10000::/0",
            "g::/0",
            "::1.2.3/0",
            "::1.2.3.4.5/0",
            "1.2.3.4::/0",
            "::1.2.3.4:1/0",
            "::1:2:3:4:5:6:1.2.3.4/0",
            "fe80::%eth0/64",
            "all",
        ] {
            assert_eq!(Block::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_a_block_of_one() {
        for (text, expected) in [
            ("10.0.0.1", block(false, 0x0a00_0001, 0x0a00_0001)),
            ("010.0.0.01", block(false, 0x0a00_0001, 0x0a00_0001)),
            ("::ffff:10.0.0.1", block(false, 0x0a00_0001, 0x0a00_0001)),
            ("::1", block(true, 1, 1)),
            ("10.0.0.0/8", block(false, 0x0a00_0000, 0x0aff_ffff)),
            ("10.0.0", None),
            ("localhost", None),
        ] {
            assert_eq!(Block::parse_any(text), expected, "{text}");
        }
    }

    fn ranges(pairs: &[(u128, u128)]) -> Vec<Range> {
        pairs.iter().map(|&(first, last)| Range { first, last }).collect()
    }

    #[test]
    fn ranges_cover_what_they_hold_together() {
        let all = Range { first: 0, last: u128::MAX };
        for (within, pairs, expected) in [
            (all, &[(0, u128::MAX)][..], true),
            (all, &[(5, u128::MAX), (0, 4)], true),
            (all, &[(5, u128::MAX), (0, 3)], false),
            (all, &[(1, u128::MAX)], false),
            (all, &[(0, u128::MAX - 1)], false),
            (all, &[], false),
            (Range { first: 10, last: 20 }, &[(0, 5), (15, 30), (3, 14)], true),
            (Range { first: 10, last: 20 }, &[(0, 30), (12, 13)], true),
            (Range { first: 10, last: 20 }, &[(0, 9), (21, 30)], false),
        ] {
            assert_eq!(within.is_within(&mut ranges(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn what_is_taken_out_of_a_range_is_missing() {
        let range = Range { first: 10, last: 20 };
        for (taken, left) in [
            (&[][..], &[(10, 20)][..]),
            (&[(0, 30)], &[]),
            (&[(10, 20)], &[]),
            (&[(0, 9), (21, 30)], &[(10, 20)]),
            (&[(15, 16)], &[(10, 14), (17, 20)]),
            (&[(18, 25), (5, 12)], &[(13, 17)]),
            (&[(12, 18), (13, 14)], &[(10, 11), (19, 20)]),
        ] {
            assert_eq!(range.without(&mut ranges(taken)), ranges(left), "{taken:?}");
        }
    }
}
