//! Everything moves, as in a video that stands still for the last two seconds of eight: then recordings of it can be compared.

use super::{Scene, Stage, stage::area};
use std::time::Duration;

const STEP: Duration = Duration::from_micros(66_667);
const TILE: u16 = 64;
const TURN: Duration = Duration::from_secs(8);
const MOVES: Duration = Duration::from_secs(6);

pub struct Motion {
    turn: u32,
}

impl Motion {
    pub fn open(stage: &mut Stage) -> anyhow::Result<Self> {
        stage.fill(0, area(0, 0, stage.width, stage.height))?;
        Ok(Self { turn: 0 })
    }
}

impl Scene for Motion {
    fn redraw(&mut self, _stage: &mut Stage) -> anyhow::Result<()> {
        Ok(())
    }

    fn draw(&mut self, stage: &mut Stage, elapsed: Duration) -> anyhow::Result<Duration> {
        let turns = (elapsed.as_micros() / TURN.as_micros()) as u32;
        if elapsed - TURN * turns >= MOVES {
            return Ok(TURN * (turns + 1));
        }
        self.turn = (elapsed.as_micros() / STEP.as_micros()) as u32 + 1;
        for row in 0..stage.height.div_ceil(TILE) {
            for column in 0..stage.width.div_ceil(TILE) {
                let shade = (u32::from(row) * 13 + u32::from(column) * 29 + self.turn * 5) & 0xFF;
                let colour = shade << 16 | (255 - shade) << 8 | ((shade * 3) & 0xFF);
                let shift = (self.turn * 7 % u32::from(TILE)) as i16;
                stage.fill(
                    colour,
                    area((column * TILE) as i16 - shift, (row * TILE) as i16, TILE - 4, TILE - 4),
                )?;
            }
        }
        Ok(STEP * (self.turn))
    }
}
