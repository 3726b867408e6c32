//! `openapi`: the document of the web services, from their code.

use crate::output::print;

pub fn openapi() -> anyhow::Result<()> {
    print(&hindsight_web_services::openapi::document());
    Ok(())
}
