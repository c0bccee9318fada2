//! Texts that nearly are manifests.

/// What has a meaning to readers of YAML and JSON.
const TOKENS: [&str; 60] = [
    ": ",
    "- ",
    "? ",
    "#",
    " #",
    "\"",
    "'",
    "|",
    ">",
    "|-",
    ">+\n",
    "&a ",
    "*a ",
    "<<: *a\n",
    "!!str ",
    "!x ",
    "! ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\t",
    "\r",
    "\r\n",
    "\n---\n",
    "\n...\n",
    "%",
    "@",
    "\n",
    " ",
    "  ",
    "\u{feff}",
    "\\",
    "\\u0041",
    ":",
    "-",
    "~",
    "null",
    "yes",
    "1e3",
    "0x1F",
    "é",
    "`",
    "!!binary ",
    "!!int ",
    "\n\n",
    "\0",
    "--- x\n",
    "<<",
    "''",
    "<<: {privileged: true}\n",
    "a: b\n",
    ", a: b",
    "\"\n\"",
    "\n  ",
    "\n#c\n",
    "!!merge <<: *a\n",
    "\u{2028}",
    "😀",
];

/// A source of mutants: the same for the same seed.
pub(super) struct Mutate(u64);

impl Mutate {
    pub(super) fn new(seed: u64) -> Self {
        Mutate(seed)
    }

    /// SplitMix64, below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % end.max(1) as u64) as usize
    }

    /// One of the seeds, changed in one to three places.
    pub(super) fn of(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut text = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(3) {
            let at = self.below(text.len() + 1);
            match self.below(8) {
                0..4 => drop(text.splice(at..at, TOKENS[self.below(TOKENS.len())].bytes())),
                4 => drop(text.drain(at..(at + 1 + self.below(5)).min(text.len()).max(at))),
                5 => drop(text.splice(at..at, [self.below(256) as u8])),
                6 => {
                    let from = self.below(text.len() + 1);
                    let part = text[from..(from + self.below(30)).min(text.len())].to_vec();
                    drop(text.splice(at..at, part));
                }
                _ => {
                    let indent = text[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
                    drop(text.splice(indent..indent, vec![b' '; 1 + self.below(2)]));
                }
            }
        }
        text
    }
}
