//! Somebody works: types, scrolls, changes windows.

use super::{
    Scene, Stage,
    stage::{CHARACTER, LINE, area},
};
use std::time::Duration;
use x11rb::protocol::xproto::Rectangle;

const PAPER: u32 = 0xFFFFFF;
const INK: u32 = 0x1A1A1A;
/// Titles of windows stay below the clock of the scene `clock`.
const BELOW_CLOCK: u16 = 226;
const STEP: Duration = Duration::from_millis(100);
const WORDS: &[&str] = &[
    "customer", "account", "the", "invoice", "was", "paid", "on", "Monday", "please", "call", "back",
    "contract", "number", "address", "has", "changed", "delivery", "not", "yet", "arrived", "refund",
    "approved", "and", "noted",
];

pub struct Office {
    window: Rectangle,
    turn: u64,
    column: i16,
    row: i16,
    seed: u64,
}

impl Office {
    pub fn open(stage: &mut Stage) -> anyhow::Result<Self> {
        anyhow::ensure!(stage.width >= 640 && stage.height >= 480, "the screen is too small for a scene");
        let top = (stage.height / 3).max(BELOW_CLOCK);
        let height = (stage.height / 5 * 3).min(stage.height - top - 48);
        let window = area((stage.width / 8) as i16, top as i16, stage.width / 8 * 5, height);
        let mut office = Self { window, turn: 0, column: 0, row: 0, seed: 1 };
        office.redraw(stage)?;
        Ok(office)
    }

    fn desktop(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        let (width, height) = (stage.width, stage.height);
        stage.fill(0x2B5C8A, area(0, 0, width, height))?;
        stage.fill(0x202830, area(0, height as i16 - 40, width, 40))?;
        stage.text(0xE0E0E0, 0x202830, 12, height as i16 - 28, "Applications   Mail   Customers   Orders")?;
        let side = area((width / 8 * 6 + 40) as i16, self.window.y, width / 8, self.window.height);
        stage.fill(0xF0F0E8, side)?;
        for line in 0..(side.height as i16 / LINE) {
            let text = self.words((side.width as i16 / CHARACTER - 2) as usize);
            stage.text(0x404040, 0xF0F0E8, side.x + 8, side.y + line * LINE, &text)?;
        }
        Ok(())
    }

    /// Draws another window over the last one.
    fn window(&mut self, stage: &mut Stage, number: u64) -> anyhow::Result<()> {
        let window = self.window;
        stage.fill(PAPER, window)?;
        let title = [0x3A6EA5, 0x7A4E9A, 0x3F7F5F][number as usize % 3];
        stage.fill(title, area(window.x, window.y - 26, window.width, 26))?;
        stage.text(
            0xFFFFFF,
            title,
            window.x + 10,
            window.y - 20,
            &format!("Case {} - notes", 4711 + number),
        )?;
        let lines = window.height as i16 / LINE - 2;
        for line in 0..lines / 2 {
            let text = self.words((window.width as i16 / CHARACTER / 2) as usize);
            stage.text(INK, PAPER, window.x + 10, window.y + 8 + line * LINE, &text)?;
        }
        (self.row, self.column) = (lines / 2, 0);
        Ok(())
    }

    fn type_some(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        let window = self.window;
        let word = WORDS[self.random() as usize % WORDS.len()];
        let (columns, rows) = (window.width as i16 / CHARACTER - 4, window.height as i16 / LINE - 1);
        if self.column + word.len() as i16 > columns {
            (self.column, self.row) = (0, self.row + 1);
        }
        while self.row >= rows {
            let body = area(window.x, window.y + 4, window.width, window.height - 8);
            stage.scroll(body, LINE as u16 * 3)?;
            let below = window.y + window.height as i16 - 4 - LINE * 3;
            stage.fill(PAPER, area(window.x, below, window.width, LINE as u16 * 3))?;
            self.row -= 3;
        }
        let (x, y) = (window.x + 10 + self.column * CHARACTER, window.y + 8 + self.row * LINE);
        stage.text(INK, PAPER, x, y, word)?;
        self.column += word.len() as i16 + 1;
        Ok(())
    }

    fn words(&mut self, columns: usize) -> String {
        let mut text = String::new();
        while text.len() < columns {
            text.push_str(WORDS[self.random() as usize % WORDS.len()]);
            text.push(' ');
        }
        text.truncate(columns);
        text
    }

    /// The same text in each run: figures can be compared.
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.seed >> 33
    }
}

impl Scene for Office {
    fn redraw(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        self.desktop(stage)?;
        self.window(stage, self.turn / 80)
    }

    fn draw(&mut self, stage: &mut Stage, elapsed: Duration) -> anyhow::Result<Duration> {
        while STEP * self.turn as u32 <= elapsed {
            self.turn += 1;
            match self.turn % 80 {
                0 => self.window(stage, self.turn / 80)?,
                // Reading: nothing is typed for two seconds of eight.
                60..=79 => {}
                turn if turn % 3 == 0 => self.type_some(stage)?,
                _ => {}
            }
        }
        Ok(STEP * self.turn as u32)
    }
}
