//! ALSA boards; this commit only has their surface, opening one is refused.
use crate::*;
pub struct Alsa {
    state: State,
}
impl Alsa {
    pub(crate) fn open(m: &Model, _n: u64) -> Result<Alsa, BoardError> {
        Err(BoardError::Pcm {
            board: m.name.clone(),
            pcm: String::new(),
            doing: "opening",
            reason: "not in this build".to_owned(),
        })
    }
    pub(crate) fn register(
        &mut self,
        _registry: &mio::Registry,
        _tokens: Range<usize>,
    ) -> std::io::Result<()> {
        Ok(())
    }
    pub(crate) fn ready(&mut self, _token: usize) {}
    pub(crate) fn read(
        &mut self,
        _now_us: u64,
        _budget_frames: u32,
        _visit: &mut dyn FnMut(Reading<'_>),
    ) -> bool {
        false
    }
    pub(crate) fn deadline_us(&self) -> Option<u64> {
        None
    }
    pub(crate) fn position(&self) -> u64 {
        0
    }
    pub(crate) fn state(&self) -> &State {
        &self.state
    }
    pub(crate) fn lost(&self) -> u64 {
        0
    }
    pub(crate) fn rate(&self) -> u32 {
        0
    }
}
