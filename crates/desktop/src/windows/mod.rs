//! The windows. Each runs as a process of its own that is connected to the resident process.
//!
//! A window shows the newest `Snapshot` and sends requests. It stores nothing, and draws only when
//! something changes, or once a second during a blackout. The keyboard alone can use all of it, and
//! names and roles reach screen readers through AccessKit. A window closes when the resident
//! process ends. Windows never connect to a box.

mod about;
mod bar;
mod fallback_fonts;
mod page;
mod settings;
mod status;
mod update;

use crate::ipc::{Message, RequestKind, Snapshot};
use crate::shell::clock;
use crate::shell::ipc_client::{IpcClient, IpcClientError};
use crate::ui::icons;
use crate::ui::window_kind::WindowKind;
use eframe::egui::{self, Color32, IconData, Theme, ViewportBuilder, ViewportCommand};
use fallback_fonts::FallbackFonts;
use page::{Page, WindowContext};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Why a window could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    #[error("{0}")]
    Client(#[from] IpcClientError),
    #[error("unknown window {0:?}; use update, status, settings, about or bar")]
    Unknown(String),
    #[error("cannot show the window: {0}")]
    Toolkit(String),
}

/// Shows one window until it is closed.
pub fn run_window(name: &str) -> Result<(), WindowError> {
    let window = WindowKind::parse(name).ok_or_else(|| WindowError::Unknown(name.to_owned()))?;
    let mut receiver = IpcClient::connect()?;
    receiver.send_request(RequestKind::Watch { window: name.to_owned() })?;
    // Waits for the first snapshot, so that the window is never empty.
    let snapshot = loop {
        match receiver.recv_message() {
            Some(Message::Snapshot(snapshot)) => break *snapshot,
            Some(_) => {}
            None => return Err(IpcClientError::NoReply.into()),
        }
    };
    let page = create_page(window);
    let client = receiver.try_clone()?;
    let viewport = build_viewport(window, &snapshot);
    let native = eframe::NativeOptions { viewport, ..Default::default() };
    let creator: eframe::AppCreator<'_> = Box::new(move |creation| {
        let (sender, messages) = channel();
        let egui = creation.egui_ctx.clone();
        std::thread::Builder::new().name("ipc".to_owned()).spawn(move || {
            while let Some(message) = receiver.recv_message() {
                if sender.send(message).is_err() {
                    return;
                }
                egui.request_repaint();
            }
            egui.send_viewport_cmd(ViewportCommand::Close);
            egui.request_repaint();
        })?;
        let (received_ms, replies) = (clock::now_ms(), Vec::new());
        let context = WindowContext { client, snapshot, received_ms, replies };
        apply_theme(&creation.egui_ctx, &context.snapshot);
        Ok(Box::new(WindowApp { context, page, messages, fonts: FallbackFonts::default() }))
    });
    let app = format!("hushbox-{}", window.as_str());
    eframe::run_native(&app, native, creator)
        .map_err(|error| WindowError::Toolkit(error.to_string()))
}

fn create_page(window: WindowKind) -> Box<dyn Page> {
    match window {
        WindowKind::Update => Box::new(update::UpdatePage::default()),
        WindowKind::Status => Box::new(status::StatusPage),
        WindowKind::Settings => Box::new(settings::SettingsPage::default()),
        WindowKind::About => Box::new(about::AboutPage),
        WindowKind::Bar => Box::new(bar::BarPage::default()),
    }
}

/// The scale of the contents.
fn zoom_factor(snapshot: &Snapshot) -> f32 {
    f32::from(if snapshot.text_percent == 0 { 100 } else { snapshot.text_percent }) / 100.0
}

fn build_viewport(window: WindowKind, snapshot: &Snapshot) -> ViewportBuilder {
    let (title, size): (_, [f32; 2]) = match window {
        WindowKind::Update => ("Update call record", [460.0, 320.0]),
        WindowKind::Status => ("Hushbox status", [560.0, 520.0]),
        WindowKind::Settings => ("Hushbox settings", [520.0, 640.0]),
        WindowKind::About => ("About Hushbox", [460.0, 300.0]),
        WindowKind::Bar => ("Hushbox bar", [470.0, 76.0]),
    };
    // The window is created before its contents are scaled.
    let size = size.map(|length| length * zoom_factor(snapshot));
    let viewport = ViewportBuilder::default().with_title(title).with_inner_size(size);
    let viewport = viewport.with_app_id("hushbox-desktop").with_min_inner_size([320.0, 70.0]);
    let icon = icons::draw_svg(icons::PROGRAM_SVG, 64);
    let viewport = match icon {
        Some(icon) => viewport.with_icon(IconData { rgba: icon.rgba, width: 64, height: 64 }),
        None => viewport,
    };
    match window {
        WindowKind::Bar => viewport.with_always_on_top().with_resizable(false),
        _ => viewport,
    }
}

/// Sets dark or light colours, more contrast than the toolkit's own, and the text size.
fn apply_theme(context: &egui::Context, snapshot: &Snapshot) {
    context.set_theme(if snapshot.dark { Theme::Dark } else { Theme::Light });
    context.set_zoom_factor(zoom_factor(snapshot));
    let contrast = snapshot.contrast;
    for theme in [Theme::Dark, Theme::Light] {
        let mut style = theme.default_style();
        let dark = style.visuals.dark_mode;
        let [text, line, background] = match (dark, contrast) {
            (true, false) => [235, 130, 27],
            (true, true) => [255, 255, 0],
            (false, false) => [20, 110, 248],
            (false, true) => [0, 0, 255],
        }
        .map(Color32::from_gray);
        style.visuals.override_text_color = Some(text);
        style.visuals.panel_fill = background;
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

/// The window's program, as the toolkit runs it.
struct WindowApp {
    context: WindowContext,
    page: Box<dyn Page>,
    messages: Receiver<Message>,
    fonts: FallbackFonts,
}

impl eframe::App for WindowApp {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.handle_messages(ui.ctx());
        self.load_missing_fonts(ui.ctx());
        let mut stays = true;
        let frame = egui::Frame::central_panel(ui.style()).inner_margin(self.page.inner_margin());
        egui::CentralPanel::default_margins().frame(frame).show(ui, |ui| {
            stays = self.page.draw_page(ui, &mut self.context);
        });
        let escaped = ui.input(|input| input.key_pressed(egui::Key::Escape));
        if !stays || escaped {
            ui.ctx().send_viewport_cmd(ViewportCommand::Close);
        }
        if self.context.snapshot.blackout {
            ui.ctx().request_repaint_after(Duration::from_secs(1));
        }
    }
}

impl WindowApp {
    fn handle_messages(&mut self, egui: &egui::Context) {
        for message in self.messages.try_iter() {
            match message {
                Message::Snapshot(snapshot) => {
                    let theme = |s: &Snapshot| (s.dark, s.contrast, s.text_percent);
                    if theme(&snapshot) != theme(&self.context.snapshot) {
                        apply_theme(egui, &snapshot);
                    }
                    self.context.snapshot = *snapshot;
                    self.context.received_ms = clock::now_ms();
                }
                Message::Reply { id, ok, text } => {
                    let reply = if ok { Ok(text) } else { Err(text) };
                    self.context.replies.push((id, reply));
                }
                Message::Present => egui.send_viewport_cmd(ViewportCommand::Focus),
            }
        }
    }

    /// Loads fonts for the texts that are shown, and for the text that is being typed.
    fn load_missing_fonts(&mut self, egui: &egui::Context) {
        let typed = egui.input(|input| {
            let text = |event: &egui::Event| match event {
                egui::Event::Text(text) | egui::Event::Paste(text) => Some(text.clone()),
                egui::Event::Ime(egui::ImeEvent::Commit(text)) => Some(text.clone()),
                _ => None,
            };
            input.events.iter().filter_map(text).collect::<String>()
        });
        let snapshot = &self.context.snapshot;
        let labels = snapshot.fields.iter().map(|(_, label)| label.as_str());
        let texts = snapshot.status.iter().map(|(_, text)| text.as_str());
        let shown = labels.chain(texts).chain([snapshot.headline.as_str(), typed.as_str()]);
        if self.fonts.load_missing(egui, shown) {
            egui.request_repaint();
        }
    }
}
