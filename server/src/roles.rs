//! Where each role gets what it needs. Roles meet over sockets only, also inside one process.

use crate::{data_directory::DataDirectory, requirements::no_identity, settings::Settings, site_address};
use anyhow::Context;
use hindsight_crypto_server::CryptoClient;
use hindsight_link::Identity;
use hindsight_model::Role;
use hindsight_store::{Database, DirectoryObjects, UploadArea, upload_area};
use std::{collections::BTreeSet, sync::Arc};
use tokio_util::sync::CancellationToken;

/// What the roles of this process share. Cheap to clone.
#[derive(Clone)]
pub struct Roles(Arc<Shared>);

struct Shared {
    settings: Settings,
    data: DataDirectory,
    /// Only for the roles of the management side: the media path never opens the database.
    store: Option<Store>,
}

struct Store {
    database: Database,
    objects: DirectoryObjects,
    area: UploadArea,
}

impl Roles {
    pub async fn new(
        settings: Settings,
        data: DataDirectory,
        wanted: &BTreeSet<Role>,
    ) -> anyhow::Result<Self> {
        let stores = [Role::WebServices, Role::RecordingProcessor, Role::ReportingServer];
        let store = if stores.iter().any(|role| wanted.contains(role)) {
            let database = Database::open(&data.store()).await?;
            let (objects, area) = upload_area::open_directory(&data.objects())?;
            Some(Store { database, objects, area })
        } else {
            None
        };
        Ok(Self(Arc::new(Shared { settings, data, store })))
    }

    /// Runs one role until `shutdown`.
    pub async fn run(&self, role: Role, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Shared { settings, data, .. } = &*self.0;
        match role {
            Role::CryptoServer => {
                let (config, identity) = (settings.crypto_server.clone(), data.identity(role));
                hindsight_crypto_server::run(config, &identity, &data.crypto(), shutdown).await?;
            }
            Role::WebServices => {
                let store = self.store()?;
                hindsight_web_services::run(
                    settings.web_services.clone(),
                    store.database.clone(),
                    Arc::new(store.objects.clone()),
                    store.area.clone(),
                    self.crypto_client(role)?,
                    shutdown,
                )
                .await?;
            }
            Role::RecordingProcessor => {
                let store = self.store()?;
                hindsight_recording_processor::run(
                    self.identity(role)?,
                    store.database.clone(),
                    Arc::new(store.objects.clone()),
                    store.area.clone(),
                    self.crypto_client(role)?,
                    shutdown,
                )
                .await?;
            }
            Role::ReportingServer => {
                hindsight_reporting_server::run(self.store()?.database.clone(), shutdown).await?;
            }
            Role::MediaServer => {
                let config = settings.media_server.clone();
                let stop = shutdown.cancelled_owned();
                hindsight_media_server::run(config, self.identity(role)?, data.of_role(role), stop).await?;
            }
            Role::ResourceManager => {
                let config = settings.resource_manager.clone();
                hindsight_resource_manager::run(config, self.identity(role)?, data.of_role(role), shutdown)
                    .await?;
            }
            Role::SipServer => {
                let config = settings.sip_server.clone();
                hindsight_sip_server::run(config, self.identity(role)?, data.of_role(role), shutdown).await?;
            }
        }
        Ok(())
    }

    /// Closes what is shared.
    pub async fn close(&self) {
        if let Some(store) = &self.0.store {
            store.database.close().await;
        }
    }

    fn store(&self) -> anyhow::Result<&Store> {
        self.0.store.as_ref().context("the database is opened for roles of the management side only")
    }

    fn identity(&self, role: Role) -> anyhow::Result<Identity> {
        let Shared { settings, data, .. } = &*self.0;
        let directory = data.identity(role);
        let identity = Identity::load(&directory)?.with_context(|| no_identity(&directory))?;
        let address = site_address::of_component(settings, data, identity.address());
        Ok(identity.reaching(address))
    }

    fn crypto_client(&self, role: Role) -> anyhow::Result<CryptoClient> {
        let http = self.identity(role)?.http_client()?;
        Ok(CryptoClient::new(&self.0.settings.crypto_server_url, http))
    }
}
