//! The page on which a login is confirmed, brought to the person.

use qrcode::{QrCode, render::unicode::Dense1x2};
use release_client::DeviceLogin;
use release_terminal::{Line, Printer};

/// Code and URL always, so that it works on another device; a browser where there is one.
pub(super) fn show(printer: &Printer, login: &DeviceLogin, qr: bool) {
    let line = Line::new().plain("To log in, open ").strong(login.page());
    printer.note(line.plain(" and enter the code ").strong(login.code()));
    if let Some(page) = login.page_with_code() {
        printer.note(Line::new().plain("or open ").strong(page));
    }
    let page = login.page_with_code().unwrap_or(login.page());
    if qr {
        show_qr_code(printer, page);
    }
    if printer.is_interactive() && has_display() {
        open_browser(page.to_owned());
    }
}

fn show_qr_code(printer: &Printer, page: &str) {
    let Ok(code) = QrCode::new(page) else {
        return printer.warn("the URL is too long for a QR code");
    };
    // Terminals are mostly dark, and a QR code is dark on light.
    let picture = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    for line in picture.lines() {
        printer.note(line);
    }
}

/// Some browsers do not return before they are closed. One that does not start is no
/// trouble: the person has the URL.
fn open_browser(page: String) {
    tokio::task::spawn_blocking(move || {
        let _ = webbrowser::open(&page);
    });
}

/// Without one, a browser in the terminal would be started.
fn has_display() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(target_os = "macos", windows)) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}
