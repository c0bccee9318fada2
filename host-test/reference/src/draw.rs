//! Random choices: all choices of a case come from one seed.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// The source of the choices.
pub struct Draw(Rng);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// True in this many of a hundred draws.
    pub fn percent(&mut self, often: u8) -> bool {
        self.0.u8(0..100) < often
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0.usize(0..limit)
    }

    pub fn one<'p, T: ?Sized>(&mut self, pool: &[&'p T]) -> &'p T {
        pool[self.below(pool.len())]
    }

    /// Draws a list of these, with at least and at most so many elements.
    pub fn some<'p>(&mut self, pool: &[&'p str], least: usize, most: usize) -> Vec<&'p str> {
        let count = least + self.below(most - least + 1);
        (0..count).map(|_| self.one(pool)).collect()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }

    /// Draws any JSON, for fields that no policy reads and for values of the wrong type.
    pub fn any(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 9 } else { 12 }) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(0),
            3 => json!(-1),
            4 => json!(1.5),
            5 => json!(""),
            6 => json!(u64::MAX),
            7 => json!("é\"\\\n}]"),
            8 => json!("RuntimeDefault"),
            9 => json!({}),
            10 => (0..self.below(3)).map(|_| self.any(depth - 1)).collect(),
            _ => {
                let keys = ["name", "securityContext", "x", "\"", "privileged"];
                (0..self.below(3)).map(|_| (self.one(&keys).to_owned(), self.any(depth - 1))).collect()
            }
        }
    }
}

/// An object of settings in the making, each of which may be missing.
pub struct Members<'d> {
    pub draw: &'d mut Draw,
    members: Map<String, Value>,
}

impl<'d> Members<'d> {
    pub fn new(draw: &'d mut Draw) -> Self {
        Self { draw, members: Map::new() }
    }

    pub fn put(&mut self, key: &str, value: Value) {
        self.members.insert(key.to_owned(), value);
    }

    /// Adds `true` or `false`, half of the time.
    pub fn flag(&mut self, key: &str) {
        if self.draw.percent(50) {
            let value = self.draw.percent(50);
            self.put(key, json!(value));
        }
    }

    /// Adds one of these strings, half of the time.
    pub fn text(&mut self, key: &str, pool: &[&str]) {
        if self.draw.percent(50) {
            let value = self.draw.one(pool);
            self.put(key, json!(value));
        }
    }

    /// Adds a list of these strings, half of the time.
    pub fn texts(&mut self, key: &str, pool: &[&str]) {
        if self.draw.percent(50) {
            let value = self.draw.some(pool, 0, 3);
            self.put(key, json!(value));
        }
    }

    pub fn done(self) -> Value {
        Value::Object(self.members)
    }
}
