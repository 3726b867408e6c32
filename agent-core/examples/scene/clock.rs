//! The readable clock over an office.

use super::{Scene, Stage, office::Office, stage::area};
use hindsight_agent_core::scene::{CELL, CLOCK_AT, CLOCK_COLUMNS, clock_cells};
use std::time::{Duration, SystemTime};

const STEP: Duration = Duration::from_millis(10);

pub struct Clock {
    office: Office,
    office_due: Duration,
    shown: Option<[bool; 48]>,
}

impl Clock {
    pub fn over(office: Office) -> Self {
        Self { office, office_due: Duration::ZERO, shown: None }
    }
}

impl Scene for Clock {
    fn redraw(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        self.shown = None;
        self.office.redraw(stage)
    }

    fn draw(&mut self, stage: &mut Stage, elapsed: Duration) -> anyhow::Result<Duration> {
        if self.office_due <= elapsed {
            self.office_due = self.office.draw(stage, elapsed)?;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let cells = clock_cells(now.as_millis() as u64);
        for (number, &white) in cells.iter().enumerate() {
            if self.shown.is_some_and(|shown| shown[number] == white) {
                continue;
            }
            let x = CLOCK_AT.0 + number as u32 % CLOCK_COLUMNS * CELL;
            let y = CLOCK_AT.1 + number as u32 / CLOCK_COLUMNS * CELL;
            let colour = if white { 0xFFFFFF } else { 0 };
            stage.fill(colour, area(x as i16, y as i16, CELL as u16, CELL as u16))?;
        }
        self.shown = Some(cells);
        Ok(elapsed + STEP)
    }
}
