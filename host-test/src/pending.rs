#![allow(missing_docs, dead_code)]
pub struct Suite {
    pub policy: String,
}
#[derive(Debug)]
pub struct FixtureError;
impl std::fmt::Display for FixtureError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("x")
    }
}
impl Suite {
    pub fn load(_: &std::path::Path) -> Result<Suite, FixtureError> {
        Ok(Suite { policy: String::new() })
    }
    pub fn replays(&self) -> Vec<Replay> {
        vec![]
    }
}
pub struct Replay {
    pub fixture: String,
    pub form: String,
    pub operation: &'static str,
    pub payload: Vec<u8>,
}
impl Replay {
    pub fn check(&self, _: Result<&[u8], &str>) -> Result<(), Mismatch> {
        Ok(())
    }
}
pub struct Mismatch {
    pub expected: String,
    pub got: String,
}
