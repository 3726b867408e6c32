//! The scenes and the stage that they are drawn on.

mod clock;
mod motion;
mod office;
mod stage;

pub use stage::Stage;

use std::time::Duration;

/// Which scene.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Kind {
    Idle,
    Office,
    Motion,
    Clock,
}

/// Something that goes on on a stage.
pub trait Scene {
    /// Draws everything anew.
    fn redraw(&mut self, stage: &mut Stage) -> anyhow::Result<()>;

    /// Draws what has happened until `elapsed`; gives the time at which to call again.
    fn draw(&mut self, stage: &mut Stage, elapsed: Duration) -> anyhow::Result<Duration>;
}

/// Draws what has happened until `elapsed`, and shows it; gives the time at which to call again.
pub fn play(scene: &mut dyn Scene, stage: &mut Stage, elapsed: Duration) -> anyhow::Result<Duration> {
    if stage.lost_its_picture()? {
        scene.redraw(stage)?;
    }
    let next = scene.draw(stage, elapsed)?;
    stage.show()?;
    Ok(next)
}

impl Kind {
    /// Draws the first picture.
    pub fn start(self, stage: &mut Stage) -> anyhow::Result<Box<dyn Scene + Send>> {
        let office = office::Office::open(stage)?;
        Ok(match self {
            Kind::Idle => Box::new(Idle(office)),
            Kind::Office => Box::new(office),
            Kind::Motion => Box::new(motion::Motion::open(stage)?),
            Kind::Clock => Box::new(clock::Clock::over(office)),
        })
    }
}

struct Idle(office::Office);

impl Scene for Idle {
    fn redraw(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        self.0.redraw(stage)
    }

    fn draw(&mut self, _stage: &mut Stage, elapsed: Duration) -> anyhow::Result<Duration> {
        Ok(elapsed + Duration::from_millis(500))
    }
}
