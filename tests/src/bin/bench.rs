//! `make bench`: figures of ours beside those of a peer, measured in turn in the same minutes on the same machine.

use anyhow::{Result, bail};
use hindsight_tests::bench;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--seal", from, to] => bench::seal_file::seal(from.as_ref(), to.as_ref()),
        ["--open", from, to] => bench::seal_file::open(from.as_ref(), to.as_ref()),
        [] => bench::run(None).await,
        [name] if bench::NAMES.contains(name) => bench::run(Some(name)).await,
        _ => bail!("usage: hindsight-bench [{}]", bench::NAMES.join(" | ")),
    }
}
