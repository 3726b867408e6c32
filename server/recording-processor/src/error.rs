//! What can go wrong, and whose fault it is.

use hindsight_link::LinkError;
use hindsight_store::StoreError;

/// Failure of the recording processor.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// Storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Configuration: this component's own identity cannot sign.
    #[error(transparent)]
    Identity(#[from] LinkError),
}
