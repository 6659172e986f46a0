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
mod fallback_fonts;
mod settings;
mod status;
mod update;

use crate::ipc::{Ask, Snapshot, Tell};
use crate::shell::clock;
use crate::shell::instance::{InstanceError, Visit};
use crate::ui::icons;
use crate::ui::model::Window;
use eframe::egui::{self, Color32, IconData, RichText, Theme, ViewportBuilder, ViewportCommand};
use fallback_fonts::Letters;
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
}

/// What a window shows.
trait Page {
    /// Draws it; `false`: it is done and closes.
    fn draw(&mut self, ui: &mut egui::Ui, desk: &mut Desk) -> bool;

    /// Around it.
    fn margin(&self) -> i8 {
        14
    }
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
    let native = eframe::NativeOptions { viewport: viewport(window, &first), ..Default::default() };
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
        dress(&context.egui_ctx, &desk.snapshot);
        Ok(Box::new(Shown { desk, page, heard, letters: Letters::default() }))
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

/// How large everything is drawn.
fn zoom(snapshot: &Snapshot) -> f32 {
    f32::from(if snapshot.text_percent == 0 { 100 } else { snapshot.text_percent }) / 100.0
}

fn viewport(window: Window, snapshot: &Snapshot) -> ViewportBuilder {
    let (title, size): (_, [f32; 2]) = match window {
        Window::Update => ("Update call record", [460.0, 320.0]),
        Window::Status => ("Hushbox status", [560.0, 520.0]),
        Window::Settings => ("Hushbox settings", [520.0, 640.0]),
        Window::About => ("About Hushbox", [460.0, 300.0]),
        Window::Bar => ("Hushbox bar", [470.0, 76.0]),
    };
    // The window comes before its contents are enlarged.
    let size = size.map(|length| length * zoom(snapshot));
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

/// Dark or light, with more contrast than the toolkit has by itself, and as large as it is to be.
fn dress(context: &egui::Context, snapshot: &Snapshot) {
    context.set_theme(if snapshot.dark { Theme::Dark } else { Theme::Light });
    context.set_zoom_factor(zoom(snapshot));
    let contrast = snapshot.contrast;
    for theme in [Theme::Dark, Theme::Light] {
        let mut style = theme.default_style();
        let dark = style.visuals.dark_mode;
        let [text, line, paper] = match (dark, contrast) {
            (true, false) => [235, 130, 27],
            (true, true) => [255, 255, 0],
            (false, false) => [20, 110, 248],
            (false, true) => [0, 0, 255],
        }
        .map(Color32::from_gray);
        style.visuals.override_text_color = Some(text);
        style.visuals.panel_fill = paper;
        let width = if contrast { 2.0 } else { 1.0 };
        style.visuals.widgets.inactive.bg_stroke = (width, line).into();
        style.visuals.widgets.noninteractive.bg_stroke = (width, line).into();
        style.spacing.item_spacing = egui::vec2(10.0, 8.0);
        style.spacing.button_padding = egui::vec2(12.0, 6.0);
        for font in style.text_styles.values_mut() {
            font.size = (font.size * 1.15).max(12.5);
        }
        context.set_style_of(theme, style);
    }
}

struct Shown {
    desk: Desk,
    page: Box<dyn Page>,
    heard: Receiver<Tell>,
    letters: Letters,
}

impl eframe::App for Shown {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        for tell in self.heard.try_iter() {
            match tell {
                Tell::Snapshot(snapshot) => {
                    let looks = |of: &Snapshot| (of.dark, of.contrast, of.text_percent);
                    if looks(&snapshot) != looks(&self.desk.snapshot) {
                        dress(ui.ctx(), &snapshot);
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
        self.find_letters(ui.ctx());
        let mut stays = true;
        let frame = egui::Frame::central_panel(ui.style()).inner_margin(self.page.margin());
        egui::CentralPanel::default_margins().frame(frame).show(ui, |ui| {
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

impl Shown {
    /// Looks for fonts for what is shown, and for what is being typed.
    fn find_letters(&mut self, context: &egui::Context) {
        let typed = context.input(|input| {
            let text = |event: &egui::Event| match event {
                egui::Event::Text(text) | egui::Event::Paste(text) => Some(text.clone()),
                egui::Event::Ime(egui::ImeEvent::Commit(text)) => Some(text.clone()),
                _ => None,
            };
            input.events.iter().filter_map(text).collect::<String>()
        });
        let snapshot = &self.desk.snapshot;
        let labels = snapshot.fields.iter().map(|(_, label)| label.as_str());
        let words = snapshot.status.iter().map(|(_, words)| words.as_str());
        let shown = labels.chain(words).chain([snapshot.headline.as_str(), typed.as_str()]);
        if self.letters.cover(context, shown) {
            context.request_repaint();
        }
    }
}

/// A complaint, told apart by more than its colour.
fn complaint(text: &str) -> RichText {
    RichText::new(format!("Refused: {text}")).strong()
}
