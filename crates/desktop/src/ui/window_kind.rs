//! The windows of the client. Each runs as a process of its own.
//!
//! `windows` draws them, and `shell::window_processes` starts them.

/// A window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WindowKind {
    Update,
    Status,
    Settings,
    About,
    Bar,
}

impl WindowKind {
    /// Every window.
    pub const ALL: [WindowKind; 5] = [
        WindowKind::Update,
        WindowKind::Status,
        WindowKind::Settings,
        WindowKind::About,
        WindowKind::Bar,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            WindowKind::Update => "update",
            WindowKind::Status => "status",
            WindowKind::Settings => "settings",
            WindowKind::About => "about",
            WindowKind::Bar => "bar",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(name: &str) -> Option<WindowKind> {
        WindowKind::ALL.into_iter().find(|window| window.as_str() == name)
    }
}
