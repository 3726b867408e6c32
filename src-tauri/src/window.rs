//! The one window: made when somebody wants it, destroyed when it is closed. WebKit takes over 100 MB while it is open.

use tauri::{AppHandle, Manager as _, Url, WebviewUrl, WebviewWindowBuilder};

/// The window's name; the capability names it too.
pub const MAIN: &str = "main";

/// Shows the window, in front.
pub fn open(app: &AppHandle) -> tauri::Result<()> {
    if let Some(window) = app.get_webview_window(MAIN) {
        window.unminimize()?;
        window.show()?;
        return window.set_focus();
    }
    WebviewWindowBuilder::new(app, MAIN, WebviewUrl::App("index.html".into()))
        .title("Hindsight")
        .inner_size(960.0, 700.0)
        .min_inner_size(340.0, 420.0)
        .on_navigation(is_own)
        .build()?
        .set_focus()
}

/// The window shows the program's own pages and nothing of any network.
fn is_own(url: &Url) -> bool {
    let own = match (url.scheme(), url.host_str()) {
        ("tauri", Some("localhost")) => true,
        // Windows serves the program's pages so; without `custom-protocol` Vite's server does.
        ("http" | "https", Some(host)) => {
            host == "tauri.localhost" || (host == "localhost" && cfg!(not(feature = "custom-protocol")))
        }
        _ => false,
    };
    if !own {
        tracing::warn!("the window was kept from leaving the program's own pages");
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_stays_on_the_programs_own_pages() {
        let own = |url: &str| is_own(&Url::parse(url).unwrap());
        assert!(own("tauri://localhost/index.html#/health"));
        assert!(own("http://tauri.localhost/"));
        for foreign in ["https://example.org/", "file:///etc/passwd", "data:text/html,x", "tauri://other/"] {
            assert!(!own(foreign), "{foreign}");
        }
    }
}
