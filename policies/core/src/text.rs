//! Small things with text that core::fmt and the sorts of the standard library do at ten times the size.

use alloc::{string::String, vec::Vec};

/// A number in decimal.
pub fn number(number: i64) -> String {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let mut text = String::from(if number < 0 { "-" } else { "" });
    text.extend(digits[start..].iter().map(|&digit| char::from(digit)));
    text
}

/// Sorts by the bytes of a key.
pub fn sort<T>(items: &mut [T], key: fn(&T) -> &str) {
    sort_by(items, |a, b| key(a) < key(b));
}

/// Heapsort: no input makes it slow.
pub fn sort_by<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let sift = |items: &mut [T], mut parent: usize, end: usize| {
        loop {
            let mut child = 2 * parent + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && less(&items[child], &items[child + 1]) {
                child += 1;
            }
            if !less(&items[parent], &items[child]) {
                return;
            }
            items.swap(parent, child);
            parent = child;
        }
    };
    for parent in (0..items.len() / 2).rev() {
        sift(items, parent, items.len());
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        sift(items, 0, end);
    }
}

/// The known word nearest to one that was probably mistyped, if one is near.
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let most = word.len() / 3 + 1;
    let ranked = known.iter().map(|&candidate| (distance(word, candidate), candidate));
    ranked.filter(|&(distance, _)| distance <= most).min_by_key(|&(distance, _)| distance).map(|(_, word)| word)
}

/// Levenshtein distance in bytes, letters of either case being the same.
fn distance(a: &str, b: &str) -> usize {
    // Beyond this nothing is near, and the work stays small whatever the input.
    if a.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, b) in b.bytes().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], i + 1);
        for (j, a) in a.bytes().enumerate() {
            let replaced = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[a.len()]
}
