//! Small string helpers. `core::fmt` and the standard library's sorting would add ten times the code, which every
//! policy would pay for in bytes and at each start of a host.

use alloc::{string::String, vec::Vec};

/// Appends text. A call is nine bytes, where `push_str` would be unfolded each time.
#[inline(never)]
pub(crate) fn put(text: &mut String, more: &str) {
    text.push_str(more);
}

/// A text of its own. A call is a fraction of what `String::from` is unfolded to.
#[inline(never)]
pub(crate) fn own(text: &str) -> String {
    let mut own = String::new();
    put(&mut own, text);
    own
}

/// Texts one behind the other. `parts.concat()` would bring a panic with a text.
pub fn concat(parts: &[&str]) -> String {
    let mut text = String::new();
    for part in parts {
        put(&mut text, part);
    }
    text
}

/// Whether a word is exactly this. It is a call because comparing with a known text is unfolded, to 250 bytes if that
/// has 16. Words are compared by eight or four bytes at a time, where a module's own comparison takes one.
#[inline(never)]
pub(crate) fn is(word: &str, known: &str) -> bool {
    let (word, known) = (word.as_bytes(), known.as_bytes());
    if word.len() != known.len() {
        return false;
    }
    // The last chunk of a word may begin within the one before it.
    let eight = |chunk: &[u8; 8]| u64::from_le_bytes(*chunk);
    if let (Some(word_end), Some(known_end)) = (word.last_chunk(), known.last_chunk()) {
        let mut chunks = word.as_chunks().0.iter().zip(known.as_chunks().0);
        return eight(word_end) == eight(known_end) && chunks.all(|(word, known)| eight(word) == eight(known));
    }
    let four = |chunk: Option<&[u8; 4]>| chunk.map(|chunk| u32::from_le_bytes(*chunk));
    if word.len() >= 4 {
        return four(word.last_chunk()) == four(known.last_chunk())
            && four(word.first_chunk()) == four(known.first_chunk());
    }
    word.iter().zip(known).all(|(word, known)| word == known)
}

/// Whether a word is one of these.
#[inline(never)]
pub(crate) fn is_among(word: &str, words: &[&str]) -> bool {
    words.contains(&word)
}

/// The part between two offsets; empty if they are not in order, or not between characters.
#[inline(never)]
pub(crate) fn cut(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or("")
}

/// Appends the part between two offsets.
#[inline(never)]
fn put_part(text: &mut String, whole: &str, start: usize, end: usize) {
    put(text, cut(whole, start, end));
}

/// The text before a separator and the text behind it; all of it and nothing without a separator.
#[inline(never)]
pub fn split(text: &str, separator: u8) -> (&str, &str) {
    let at = text.bytes().position(|byte| byte == separator).unwrap_or(text.len());
    (cut(text, 0, at), cut(text, at + 1, text.len()))
}

/// The most that a text shows of a word of the object, which may be as long as the request. In bytes.
pub(crate) const LONGEST: usize = 4 << 10;

/// Appends so many bytes of a text, up to the next character, and `…` if there is more of it.
#[inline(never)]
pub(crate) fn put_start(text: &mut String, whole: &str, most: usize) {
    let is_inside = |byte: &u8| (0x80..0xc0).contains(byte);
    let mut end = most;
    while whole.as_bytes().get(end).is_some_and(is_inside) {
        end += 1;
    }
    if end < whole.len() {
        put_part(text, whole, 0, end);
        put(text, "…");
    } else {
        put(text, whole);
    }
}

/// Appends a JSON string that means as much of a text as [`put_start`] would append.
#[inline(never)]
pub(crate) fn quote_start(whole: &str, most: usize, json: &mut String) {
    let mut start = own("");
    put_start(&mut start, whole, most);
    quote(&start, json);
}

/// Appends a number in decimal.
#[inline(never)]
pub(crate) fn put_number(text: &mut String, number: usize) {
    if number > 9 {
        put_number(text, number / 10);
    }
    let digit = number % 10;
    put_part(text, "0123456789", digit, digit + 1);
}

/// Appends `, and 7 more`.
pub(crate) fn put_more(text: &mut String, number: usize) {
    put(text, ", and ");
    put_number(text, number);
    put(text, " more");
}

/// Appends `[number]`.
pub(crate) fn put_index(text: &mut String, index: usize) {
    put(text, "[");
    put_number(text, index);
    put(text, "]");
}

/// Adds a pair to a list. It is a call because the check for room is unfolded each time.
#[inline(never)]
pub(crate) fn push<'t>(pairs: &mut Vec<(&'t str, &'t str)>, first: &'t str, second: &'t str) {
    pairs.push((first, second));
}

#[inline(never)]
fn is_before(a: &(&str, &str), b: &(&str, &str)) -> bool {
    a < b
}

/// Sorts pairs by their bytes. Heapsort: no input makes it slow.
pub fn sort(pairs: &mut [(&str, &str)]) {
    sort_by(pairs, is_before);
}

/// Whether sorted pairs have this one.
#[inline(never)]
pub(crate) fn is_in(sorted: &[(&str, &str)], pair: &(&str, &str)) -> bool {
    let (mut start, mut end) = (0, sorted.len());
    while start < end {
        let at = start.midpoint(end);
        match sorted.get(at) {
            Some(middle) if is_before(middle, pair) => start = at + 1,
            Some(middle) if is_before(pair, middle) => end = at,
            middle => return middle.is_some(),
        }
    }
    false
}

/// As `items.swap`, which can panic and would be unfolded.
#[inline(never)]
fn swap<T>(items: &mut [T], a: usize, b: usize) {
    if a < items.len() && b < items.len() {
        items.swap(a, b);
    }
}

/// Sorts by a relation.
#[inline(never)]
pub(crate) fn sort_by<T>(items: &mut [T], less: fn(&T, &T) -> bool) {
    let is_less = |items: &[T], a: usize, b: usize| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => less(a, b),
        _ => false,
    };
    // First the heap is built from its last parent down, then its top goes behind it again and again.
    let (mut root, mut end) = (items.len() / 2, items.len());
    while end > 1 {
        if root > 0 {
            root -= 1;
        } else {
            end -= 1;
            swap(items, 0, end);
        }
        let mut parent = root;
        loop {
            let mut child = 2 * parent + 1;
            if child >= end {
                break;
            }
            child += usize::from(child + 1 < end && is_less(items, child, child + 1));
            if !is_less(items, parent, child) {
                break;
            }
            swap(items, parent, child);
            parent = child;
        }
    }
}

/// Appends a JSON string that means `text`.
#[inline(never)]
pub fn quote(text: &str, json: &mut String) {
    put(json, "\"");
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        put_part(json, text, start, at);
        // The byte itself follows a backslash, and a control character is escaped by its number.
        start = at;
        put(json, "\\");
        if byte < b' ' {
            put(json, if byte < 16 { "u000" } else { "u001" });
            let digit = usize::from(byte & 15);
            put_part(json, "0123456789abcdef", digit, digit + 1);
            start += 1;
        }
    }
    put_part(json, text, start, text.len());
    put(json, "\"");
}

/// A problem with a setting or a field, as a sentence.
#[cold]
#[inline(never)]
pub fn problem(setting: &str, what: &str, with: &str) -> String {
    concat(&[setting, ": ", what, with])
}

/// Says that a word is not one of those that are known, and which one was probably meant.
#[cold]
#[inline(never)]
pub(crate) fn unlisted(what: &str, word: &str, known: &[&str]) -> String {
    let mut message = own("unknown ");
    put(&mut message, what);
    put(&mut message, " ");
    quote(word, &mut message);
    if let Some(nearest) = nearest(word, known) {
        put(&mut message, ", did you mean ");
        quote(nearest, &mut message);
        put(&mut message, "?");
        return message;
    }
    let mut separator = ", known are ";
    for word in known {
        put(&mut message, separator);
        quote(word, &mut message);
        separator = ", ";
    }
    message
}

/// The known word nearest to one that was probably mistyped, if one is near.
#[cold]
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let mut least = word.len() / 3 + 2;
    let mut nearest = None;
    for &candidate in known {
        let distance = distance(word, candidate);
        if distance < least {
            (least, nearest) = (distance, Some(candidate));
        }
    }
    nearest
}

/// Levenshtein distance in bytes, letters of either case being the same.
fn distance(a: &str, b: &str) -> usize {
    // Beyond this nothing is near, and the work stays small whatever the input.
    const LONGEST: usize = 64;
    if a.len() > LONGEST {
        return usize::MAX;
    }
    let mut row = [0; LONGEST];
    for (distance, cell) in (1..).zip(&mut row) {
        *cell = distance;
    }
    let mut last = a.len();
    for (i, b) in b.bytes().enumerate() {
        let mut diagonal = i;
        last = i + 1;
        for (a, above) in a.bytes().zip(&mut row) {
            let replaced = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            last = replaced.min(*above + 1).min(last + 1);
            diagonal = core::mem::replace(above, last);
        }
    }
    last
}
