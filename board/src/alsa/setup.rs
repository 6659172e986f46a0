//! Opens a PCM and negotiates rate, slots, period and buffer.
//!
//! The rate must match exactly, because positions are frames; the other values are the nearest
//! that the card offers. Each error says what the card or the system offers instead.

use crate::alsa::capture_pcm::to_errno;
use crate::config::{BoardConfig, SLOTS_MAX, SourceKind};
use crate::error::BoardError;
use alsa::pcm::{Access, Format, HwParams, PCM, TstampType};
use alsa::{Direction, ValueOr};
use nix::errno::Errno;
use std::ffi::CString;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PcmParams {
    /// Sample rate in frames per second.
    pub rate: u32,
    /// Samples per frame of the card.
    pub slots: usize,
    /// Frames per wake-up.
    pub period_frames: u64,
    /// Frames that the buffer holds before an overrun.
    pub buffer_frames: u64,
}

/// Opens the capture PCM `name` without blocking. `said` returns the messages of alsa-lib.
pub(super) fn open_pcm(
    model: &BoardConfig,
    name: &str,
    said: &dyn Fn() -> String,
) -> Result<PCM, BoardError> {
    let (board, pcm) = (model.name.clone(), name.to_owned());
    let Ok(text) = CString::new(name) else {
        let reason = "the name has a zero byte".to_owned();
        return Err(BoardError::NoPcm { board, pcm, reason, known: list_pcm_names() });
    };
    let error = match PCM::open(&text, Direction::Capture, true) {
        Ok(open) => return Ok(open),
        Err(error) => to_errno(error),
    };
    let reason = match said().lines().next() {
        Some(line) => format!("{}, {line}", error.desc()),
        None => error.desc().to_owned(),
    };
    Err(match error {
        Errno::EBUSY | Errno::EAGAIN => BoardError::Busy { board, pcm },
        Errno::EACCES | Errno::EPERM => BoardError::PermissionDenied { board, pcm },
        Errno::ENOENT | Errno::ENODEV | Errno::ENXIO | Errno::EINVAL => {
            BoardError::NoPcm { board, pcm, reason, known: list_pcm_names() }
        }
        _ => BoardError::Pcm { board, pcm, doing: "cannot be opened", reason },
    })
}

/// Lists the names of this machine's capture PCMs.
fn list_pcm_names() -> Vec<String> {
    let Ok(hints) = alsa::device_name::HintIter::new(None, c"pcm") else {
        return Vec::new();
    };
    hints
        .filter(|hint| hint.direction != Some(Direction::Playback))
        .filter_map(|hint| hint.name)
        .filter(|name| name != "null")
        .collect()
}

pub(super) fn apply_params(
    model: &BoardConfig,
    name: &str,
    pcm: &PCM,
) -> Result<PcmParams, BoardError> {
    let refuse = |error| pcm_error(model, name, "does not take the parameters", error);
    let params = HwParams::any(pcm).map_err(refuse)?;
    let format =
        params.set_access(Access::RWInterleaved).and_then(|()| params.set_format(Format::s16()));
    if format.is_err() {
        return Err(BoardError::Format { board: model.name.clone(), pcm: name.to_owned() });
    }
    let slots = choose_slots(model, name, &params)?;
    choose_rate(model, name, &params)?;
    let agreed = choose_sizes(model, pcm, &params, slots).map_err(refuse)?;
    set_sw_params(pcm, &agreed).map_err(refuse)?;
    Ok(agreed)
}

/// Chooses the smallest number of slots that the card offers and that covers the model's. One
/// slot is the last resort, because converting PCMs (`plughw:`, pulse) would mix all slots into
/// it, other lines included.
fn choose_slots(model: &BoardConfig, name: &str, params: &HwParams<'_>) -> Result<u32, BoardError> {
    let wanted = model.slots_needed();
    let offered = params.get_channels_max().unwrap_or(0);
    let last = offered.min(u32::from(SLOTS_MAX));
    let mut usable = (u32::from(wanted.max(2))..=last).chain([u32::from(wanted)]);
    let taken = usable.find(|slots| params.set_channels(*slots).is_ok());
    taken.ok_or_else(|| {
        let (board, pcm) = (model.name.clone(), name.to_owned());
        BoardError::Slots { board, pcm, wanted, offered }
    })
}

fn choose_rate(model: &BoardConfig, name: &str, params: &HwParams<'_>) -> Result<(), BoardError> {
    if params.set_rate(model.rate, ValueOr::Nearest).is_ok() {
        return Ok(());
    }
    let usual = [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000];
    let offered: Vec<String> = usual
        .into_iter()
        .filter(|rate| params.test_rate(*rate).is_ok())
        .map(|rate| format!("{rate}"))
        .collect();
    let offered = if offered.is_empty() {
        let (least, most) = (params.get_rate_min(), params.get_rate_max());
        format!("{} to {} Hz", least.unwrap_or(0), most.unwrap_or(0))
    } else {
        format!("{} Hz", offered.join(", "))
    };
    let (board, pcm) = (model.name.clone(), name.to_owned());
    Err(BoardError::Rate { board, pcm, wanted: model.rate, offered })
}

fn choose_sizes(
    model: &BoardConfig,
    pcm: &PCM,
    params: &HwParams<'_>,
    slots: u32,
) -> alsa::Result<PcmParams> {
    let period_ms = match model.kind {
        SourceKind::Alsa { period_ms, .. } => period_ms,
        SourceKind::Sim | SourceKind::Rtp { .. } | SourceKind::Span { .. } => model.buffer_ms / 4,
    };
    let frames = |ms| i64::try_from(model.frames_of_ms(ms)).unwrap_or(i64::MAX);
    params.set_period_size_near(frames(period_ms), ValueOr::Nearest)?;
    params.set_buffer_size_near(frames(model.buffer_ms))?;
    pcm.hw_params(params)?;
    let (buffer_frames, period_frames) = pcm.get_params()?;
    let slots = usize::try_from(slots).unwrap_or(usize::MAX);
    Ok(PcmParams { rate: model.rate, slots, period_frames, buffer_frames })
}

/// Wakes once per period, stops when the buffer is full, and uses monotonic timestamps.
fn set_sw_params(pcm: &PCM, agreed: &PcmParams) -> alsa::Result<()> {
    let frames = |frames: u64| i64::try_from(frames).unwrap_or(i64::MAX);
    let params = pcm.sw_params_current()?;
    params.set_avail_min(frames(agreed.period_frames))?;
    params.set_stop_threshold(frames(agreed.buffer_frames))?;
    params.set_tstamp_mode(true)?;
    // Not every PCM supports this; a wall clock step may then make one overrun's timestamps
    // wrong.
    params.set_tstamp_type(TstampType::Monotonic).unwrap_or_default();
    pcm.sw_params(&params)
}

pub(super) fn pcm_error(
    model: &BoardConfig,
    name: &str,
    doing: &'static str,
    error: alsa::Error,
) -> BoardError {
    let reason = format!("{} ({})", to_errno(error).desc(), error.func());
    BoardError::Pcm { board: model.name.clone(), pcm: name.to_owned(), doing, reason }
}
