//! A window that covers the screen, and a few things to draw with.

use anyhow::Context as _;
use x11rb::{
    connection::Connection,
    protocol::{
        Event,
        xproto::{
            ChangeGCAux, ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, Gcontext, Rectangle,
            Window, WindowClass,
        },
    },
    rust_connection::RustConnection,
    wrapper::ConnectionExt as _,
};

/// Pixels of one line of text.
pub const LINE: i16 = 16;
/// Pixels of one character of the font.
pub const CHARACTER: i16 = 6;

pub struct Stage {
    connection: RustConnection,
    window: Window,
    gc: Gcontext,
    pub width: u16,
    pub height: u16,
}

impl Stage {
    pub fn open(display: Option<&str>) -> anyhow::Result<Self> {
        let (connection, screen) = RustConnection::connect(display)?;
        let screen = connection.setup().roots[screen].clone();
        let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
        let (window, gc, font) =
            (connection.generate_id()?, connection.generate_id()?, connection.generate_id()?);
        let look = CreateWindowAux::new()
            .background_pixel(0x2B5C8A)
            .override_redirect(1)
            .event_mask(EventMask::EXPOSURE);
        connection.create_window(
            x11rb::COPY_DEPTH_FROM_PARENT,
            window,
            screen.root,
            0,
            0,
            width,
            height,
            0,
            WindowClass::INPUT_OUTPUT,
            0,
            &look,
        )?;
        connection.open_font(font, b"fixed")?.check().context("the font that every X server has")?;
        connection.create_gc(gc, window, &CreateGCAux::new().font(font).graphics_exposures(0))?;
        connection.map_window(window)?;
        connection.sync()?;
        Ok(Self { connection, window, gc, width, height })
    }

    pub fn fill(&mut self, colour: u32, area: Rectangle) -> anyhow::Result<()> {
        self.connection.change_gc(self.gc, &ChangeGCAux::new().foreground(colour))?;
        self.connection.poly_fill_rectangle(self.window, self.gc, &[area])?;
        Ok(())
    }

    /// Text with its upper left corner at `x`, `y`.
    pub fn text(&mut self, colour: u32, paper: u32, x: i16, y: i16, text: &str) -> anyhow::Result<()> {
        self.connection.change_gc(self.gc, &ChangeGCAux::new().foreground(colour).background(paper))?;
        let bytes = &text.as_bytes()[..text.len().min(255)];
        self.connection.image_text8(self.window, self.gc, x, y + 11, bytes)?;
        Ok(())
    }

    /// Moves what is in `area` up.
    pub fn scroll(&mut self, area: Rectangle, by: u16) -> anyhow::Result<()> {
        let (window, gc) = (self.window, self.gc);
        let below = area.y + by as i16;
        self.connection.copy_area(
            window,
            window,
            gc,
            area.x,
            below,
            area.x,
            area.y,
            area.width,
            area.height - by,
        )?;
        Ok(())
    }

    /// Whether the server has lost what was drawn (a change of resolution, another window).
    pub fn lost_its_picture(&mut self) -> anyhow::Result<bool> {
        let mut lost = false;
        while let Some(event) = self.connection.poll_for_event()? {
            lost |= matches!(event, Event::Expose(_));
        }
        Ok(lost)
    }

    /// Sends what was drawn, and waits until the server has drawn it.
    pub fn show(&mut self) -> anyhow::Result<()> {
        self.connection.sync()?;
        Ok(())
    }
}

pub const fn area(x: i16, y: i16, width: u16, height: u16) -> Rectangle {
    Rectangle { x, y, width, height }
}
