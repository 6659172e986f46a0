//! The windows, each a process of its own that speaks to the resident client.
//!
//! A window shows the newest `Snapshot` and sends what was pressed; it remembers nothing and draws
//! only when something changes, or once a second while a blackout's time runs. All of it can be
//! used with the keyboard alone; names and roles reach screen readers through AccessKit. When the
//! resident client ends, so do its windows.
//!
//! Nothing here speaks to a box.

mod about;
mod bar;
mod settings;
mod status;
mod update;

use crate::icons;
use crate::model::Window;
use crate::shell::clock;
use crate::shell::instance::{InstanceError, Visit};
use crate::wire::{Ask, Snapshot, Tell};
use eframe::egui::{self, Color32, IconData, RichText, Theme, ViewportBuilder, ViewportCommand};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Why a window could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    #[error("{0}")]
    Instance(#[from] InstanceError),
    #[error("there is no window {0}; there are update, status, settings, about and bar")]
    Unknown(String),
    #[error("the window cannot be shown: {0}")]
    Toolkit(String),
}

/// What every window has at hand.
struct Desk {
    visit: Visit,
    snapshot: Snapshot,
    /// When the snapshot came.
    came_ms: u64,
    /// Answers that were not looked at yet: number, and what was said.
    answers: Vec<(u64, Result<String, String>)>,
}

impl Desk {
    /// Sends a wish; the number of its answer. Without a resident client the window ends anyhow.
    fn send(&mut self, ask: Ask) -> u64 {
        self.visit.send(ask).unwrap_or(0)
    }

    fn command(&mut self, text: &str) -> u64 {
        self.send(Ask::Command { text: text.to_owned() })
    }

    /// How long the blackout has been on by now.
    fn blackout_ms(&self) -> u64 {
        self.snapshot.blackout_ms + clock::now_ms().saturating_sub(self.came_ms)
    }

    fn can(&self, ability: &str) -> bool {
        self.snapshot.can.split(',').any(|word| word == ability)
    }
}

/// What a window shows.
trait Page {
    /// Draws it; `false`: it is done and closes.
    fn draw(&mut self, ui: &mut egui::Ui, desk: &mut Desk) -> bool;
}

/// Shows one window until it is closed.
pub fn show(name: &str) -> Result<(), WindowError> {
    let window = Window::parse(name).ok_or_else(|| WindowError::Unknown(name.to_owned()))?;
    let mut visit = Visit::begin()?;
    visit.send(Ask::Watch { window: name.to_owned() })?;
    // The first snapshot is awaited, so that a window is never empty.
    let first = loop {
        match visit.hear() {
            Some(Tell::Snapshot(snapshot)) => break *snapshot,
            Some(_) => {}
            None => return Err(InstanceError::Silent.into()),
        }
    };
    let page = page(window);
    let sender = visit.twin()?;
    let native = eframe::NativeOptions { viewport: viewport(window), ..Default::default() };
    let creator: eframe::AppCreator<'_> = Box::new(move |context| {
        let (news, heard) = channel();
        let egui = context.egui_ctx.clone();
        std::thread::Builder::new().name("visit".to_owned()).spawn(move || {
            while let Some(tell) = visit.hear() {
                if news.send(tell).is_err() {
                    return;
                }
                egui.request_repaint();
            }
            egui.send_viewport_cmd(ViewportCommand::Close);
            egui.request_repaint();
        })?;
        let (came_ms, answers) = (clock::now_ms(), Vec::new());
        let desk = Desk { visit: sender, snapshot: first, came_ms, answers };
        dress(&context.egui_ctx, desk.snapshot.dark);
        Ok(Box::new(Shown { desk, page, heard }))
    });
    let app = format!("hushbox-{}", window.word());
    eframe::run_native(&app, native, creator)
        .map_err(|error| WindowError::Toolkit(error.to_string()))
}

fn page(window: Window) -> Box<dyn Page> {
    match window {
        Window::Update => Box::new(update::Update::default()),
        Window::Status => Box::new(status::Status),
        Window::Settings => Box::new(settings::Settings::default()),
        Window::About => Box::new(about::About),
        Window::Bar => Box::new(bar::Bar::default()),
    }
}

fn viewport(window: Window) -> ViewportBuilder {
    let (title, size) = match window {
        Window::Update => ("Update call record", [460.0, 320.0]),
        Window::Status => ("Hushbox status", [560.0, 520.0]),
        Window::Settings => ("Hushbox settings", [520.0, 560.0]),
        Window::About => ("About Hushbox", [460.0, 300.0]),
        Window::Bar => ("Hushbox bar", [420.0, 76.0]),
    };
    let viewport = ViewportBuilder::default().with_title(title).with_inner_size(size);
    let viewport = viewport.with_app_id("hushbox-desktop").with_min_inner_size([320.0, 70.0]);
    let icon = icons::draw_svg(icons::PROGRAM, 64);
    let viewport = match icon {
        Some(icon) => viewport.with_icon(IconData { rgba: icon.rgba, width: 64, height: 64 }),
        None => viewport,
    };
    match window {
        Window::Bar => viewport.with_always_on_top().with_resizable(false),
        _ => viewport,
    }
}

/// Dark or light, with more contrast than the toolkit has by itself.
fn dress(context: &egui::Context, dark: bool) {
    context.set_theme(if dark { Theme::Dark } else { Theme::Light });
    context.all_styles_mut(|style| {
        let dark = style.visuals.dark_mode;
        let text = if dark { Color32::from_gray(235) } else { Color32::from_gray(20) };
        style.visuals.override_text_color = Some(text);
        let line = if dark { Color32::from_gray(130) } else { Color32::from_gray(110) };
        style.visuals.widgets.inactive.bg_stroke = (1.0, line).into();
        style.visuals.widgets.noninteractive.bg_stroke = (1.0, line).into();
        style.spacing.item_spacing = egui::vec2(10.0, 8.0);
        style.spacing.button_padding = egui::vec2(12.0, 6.0);
        for font in style.text_styles.values_mut() {
            font.size *= 1.15;
        }
    });
}

struct Shown {
    desk: Desk,
    page: Box<dyn Page>,
    heard: Receiver<Tell>,
}

impl eframe::App for Shown {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        for tell in self.heard.try_iter() {
            match tell {
                Tell::Snapshot(snapshot) => {
                    if snapshot.dark != self.desk.snapshot.dark {
                        dress(ui.ctx(), snapshot.dark);
                    }
                    (self.desk.snapshot, self.desk.came_ms) = (*snapshot, clock::now_ms());
                }
                Tell::Answer { id, ok, text } => {
                    let answer = if ok { Ok(text) } else { Err(text) };
                    self.desk.answers.push((id, answer));
                }
                Tell::Present => ui.ctx().send_viewport_cmd(ViewportCommand::Focus),
            }
        }
        let mut stays = true;
        egui::CentralPanel::default_margins().show(ui, |ui| {
            stays = self.page.draw(ui, &mut self.desk);
        });
        let escaped = ui.input(|input| input.key_pressed(egui::Key::Escape));
        if !stays || escaped {
            ui.ctx().send_viewport_cmd(ViewportCommand::Close);
        }
        if self.desk.snapshot.blackout {
            ui.ctx().request_repaint_after(Duration::from_secs(1));
        }
    }
}

/// `1:05`
fn minutes(ms: u64) -> String {
    format!("{}:{:02}", ms / 60_000, ms / 1000 % 60)
}

/// A complaint, told apart by more than its colour.
fn complaint(text: &str) -> RichText {
    RichText::new(format!("Refused: {text}")).strong()
}
