//! Starting and stopping the web services.

use crate::{
    Config, WebError, presence, router::router, server, single_sign_on::SingleSignOn, state::App, tls,
    traces::keep, uploads::expiry,
};
use hindsight_crypto_server::CryptoClient;
use hindsight_management::SiteAuthority;
use hindsight_reporting_server::Zone;
use hindsight_store::{Database, ObjectStore, UploadArea};
use hindsight_wire::Timestamp;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How often recordings that nobody replays any more are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// The web services, bound to their address.
pub struct Service {
    app: App,
    listener: TcpListener,
    tls: TlsAcceptor,
    began: Timestamp,
}

impl Service {
    /// Loads what is needed and binds the address; connections wait until [`Service::serve`].
    pub async fn bind(
        config: Config,
        database: Database,
        objects: Arc<dyn ObjectStore>,
        area: UploadArea,
        crypto: CryptoClient,
        shutdown: CancellationToken,
    ) -> Result<Self, WebError> {
        let tls = TlsAcceptor::from(Arc::new(tls::server_config(&config)?));
        let address = config.listen;
        let listener =
            TcpListener::bind(address).await.map_err(|source| WebError::Listen { address, source })?;
        let began = Timestamp::now();
        presence::begin(&database, began).await?;
        let app = App::new(config, database, objects, area, crypto, shutdown)?;
        Ok(Self { app, listener, tls, began })
    }

    /// The address bound.
    pub fn address(&self) -> Result<SocketAddr, WebError> {
        let address = self.app.config.listen;
        self.listener.local_addr().map_err(|source| WebError::Listen { address, source })
    }

    /// Serves until shutdown.
    pub async fn serve(self) -> Result<(), WebError> {
        let Self { app, listener, tls, began } = self;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "web services are up");
        }
        let background = [
            tokio::spawn(presence::run(app.database.clone(), began)),
            tokio::spawn(expiry::run(app.clone())),
            tokio::spawn(keep::run(app.clone())),
            tokio::spawn(forget_idle_keys(app.clone())),
        ];
        let (connections, shutdown) = (app.config.connections, app.shutdown.clone());
        server::serve(listener, tls, router(app.clone()), connections, shutdown).await;
        for task in background {
            task.abort();
        }
        app.open.close_all();
        presence::note(&app.database, began).await?;
        Ok(())
    }
}

/// No key outlives the last replay by much, whether or not there is another one.
async fn forget_idle_keys(app: App) {
    let tick = async || {
        tokio::time::sleep(SWEEP).await;
        Instant::now()
    };
    app.open.sweep(tick).await;
}

/// Loads what [`Service::bind`] loads of certificates, keys and single sign-on, and binds nothing.
pub fn check(config: &Config) -> Result<(), WebError> {
    tls::server_config(config)?;
    SiteAuthority::load(&config.authority)?;
    config.single_sign_on.as_ref().map(SingleSignOn::new).transpose()?;
    Zone::named(&config.time_zone)?;
    Ok(())
}

/// Runs the web services until shutdown.
pub async fn run(
    config: Config,
    database: Database,
    objects: Arc<dyn ObjectStore>,
    area: UploadArea,
    crypto: CryptoClient,
    shutdown: CancellationToken,
) -> Result<(), WebError> {
    Service::bind(config, database, objects, area, crypto, shutdown).await?.serve().await
}
