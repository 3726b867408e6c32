//! `recording list`, and what is said of a recording that is not there.

use crate::{commands::database, data_directory::DataDirectory, output::say};
use anyhow::{bail, ensure};
use hindsight_model::RecordingId;
use hindsight_search::recordings::{Listed, Wanted, latest};
use hindsight_store::{DirectoryObjects, ObjectKey, ObjectKind, recordings};

/// Prints a line for each.
pub async fn list(data: &DataDirectory, wanted: &Wanted, limit: u32) -> anyhow::Result<()> {
    let database = database(data).await?;
    let found = latest(&mut *database.read().await?, wanted, limit).await?;
    database.close().await;
    if found.is_empty() {
        say("no such recordings");
    }
    found.iter().for_each(|one| say(&line(one)));
    Ok(())
}

fn line(one: &Listed) -> String {
    let length = one.duration_ms.map_or_else(|| "?".to_owned(), length);
    let agents = if one.agents.is_empty() { "-".to_owned() } else { one.agents.join(",") };
    let numbers = one.numbers.as_ref();
    let numbers = numbers.map_or_else(|| "-".to_owned(), |(caller, dialled)| format!("{caller} > {dialled}"));
    let Listed { id, kind, started_at, state, .. } = one;
    format!("{id}  {kind:<6}  {started_at}  {length:>8}  {state:<9}  {agents}  {numbers}")
}

/// `1:02:03`, or `2:03` below an hour.
fn length(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Says clearly when an id is of no recording here, or of one whose files are gone.
pub async fn must_be_here(data: &DataDirectory, recording: RecordingId) -> anyhow::Result<()> {
    ensure!(data.objects().is_dir(), "{} is missing: is this the data directory?", data.objects().display());
    let objects = DirectoryObjects::open(&data.objects())?;
    if ObjectKind::ALL.into_iter().any(|kind| objects.path(ObjectKey::new(recording, kind)).is_file()) {
        return Ok(());
    }
    let database = database(data).await?;
    let known = recordings::by_id(&mut *database.read().await?, recording).await?;
    database.close().await;
    match known {
        Some(_) => bail!(
            "recording {recording} is in the database, and none of its files is in {}",
            data.objects().display()
        ),
        None => {
            bail!("no recording {recording} here; `hindsight-server recording list` shows which there are")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_told_as_people_tell_it() {
        let told = [0, 59_999, 123_000, 3_723_000].map(length);
        assert_eq!(told, ["0:00", "0:59", "2:03", "1:02:03"]);
    }
}
