//! Connections with settings: TLS, and through a proxy. Connections without any are opened by
//! `tcp.rs`, and cost no more for those.
//!
//! | module | responsibility |
//! | --- | --- |
//! | `mod` | the settings, shared by clients with equal ones |
//! | `proxy` | the URL of a proxy, tunnels (`CONNECT`) |
//! | `connector` | opens connections, and remembers the negotiated version of HTTP |
//! | `stream` | an open connection |

mod connector;
mod proxy;
mod stream;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use ::http::header::HeaderValue;

pub(super) use self::connector::{Connector, HttpVersion, OtherVersion};
use self::proxy::Proxy;
use super::tls::{ClientTls, ClientTlsConfig};
use crate::error::Result;
use crate::sync::MutexExt as _;

/// The settings of the connections of a client, for all of its addresses.
#[derive(Clone, Default)]
pub(crate) struct ConnectOptions {
    key: SettingsKey,
    /// Kept so that the files are not read for each address.
    https: Option<ConnectSettings>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct SettingsKey {
    tls: Option<ClientTlsConfig>,
    proxy: Option<Proxy>,
}

impl ConnectOptions {
    /// Reads the files of the configuration, if there is one. Blocks.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid URL of the proxy, and as
    /// [`ClientTls::load`] does.
    pub(in crate::client) fn new(
        tls: Option<ClientTlsConfig>,
        proxy: Option<&str>,
    ) -> Result<Self> {
        let proxy = proxy.map(Proxy::parse).transpose()?;
        let has_tls = tls.is_some();
        let mut options = Self {
            key: SettingsKey { tls, proxy },
            https: None,
        };
        if has_tls {
            options.https = Some(options.settings(true)?);
        }
        Ok(options)
    }

    pub(super) fn has_proxy(&self) -> bool {
        self.key.proxy.is_some()
    }

    /// Returns the settings of connections for one scheme. Clients with equal settings share them.
    ///
    /// # Errors
    ///
    /// As [`ClientTls::load`]; `unimplemented` for `https` without the feature `tls`.
    pub(super) fn settings(&self, is_https: bool) -> Result<ConnectSettings> {
        if let Some(https) = self.https.as_ref().filter(|_| is_https) {
            return Ok(https.clone());
        }
        ConnectSettings::of(&self.key, is_https)
    }
}

/// The settings of connections, which clients with equal ones share. Cloning is cheap.
#[derive(Clone)]
pub(super) struct ConnectSettings(Arc<InUse>);

/// Exists as long as a client has the settings.
pub(super) struct InUse(Arc<Settings>);

/// The settings of connections, as their pools have them.
#[derive(Debug)]
pub(super) struct Settings {
    id: u64,
    key: SettingsKey,
    /// `None` for `http`.
    tls: Option<ClientTls>,
}

/// The settings that clients have.
static ALL: Mutex<Vec<Weak<InUse>>> = Mutex::new(Vec::new());

impl ConnectSettings {
    fn of(key: &SettingsKey, is_https: bool) -> Result<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let mut all = ALL.lock_unpoisoned();
        let mut known = all.iter().filter_map(Weak::upgrade);
        if let Some(known) = known.find(|known| known.0.is_for(key, is_https)) {
            return Ok(Self(known));
        }
        let tls = is_https.then(|| ClientTls::load(key.tls.as_ref()));
        let settings = Arc::new(InUse(Arc::new(Settings {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            key: key.clone(),
            tls: tls.transpose()?,
        })));
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&settings));
        Ok(Self(settings))
    }

    /// Returns a reference by which pools know whether a client has the settings.
    pub(super) fn in_use(&self) -> Weak<InUse> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn shared(&self) -> &Arc<Settings> {
        &self.0.0
    }

    /// Returns whether servers that ask for a certificate get one.
    pub(super) fn has_client_certificate(&self) -> bool {
        let settings = self.shared();
        let tls = settings.key.tls.as_ref().filter(|_| settings.tls.is_some());
        tls.is_some_and(ClientTlsConfig::has_client_certificate)
    }

    pub(super) fn has_proxy(&self) -> bool {
        self.shared().key.proxy.is_some()
    }

    /// Returns the credentials for the proxy that forwards plain requests, if it needs some.
    pub(super) fn forwarding_credentials(&self) -> Option<&HeaderValue> {
        let settings = self.shared();
        let proxy = settings
            .key
            .proxy
            .as_ref()
            .filter(|_| settings.tls.is_none());
        proxy?.credentials()
    }
}

impl Settings {
    fn is_for(&self, key: &SettingsKey, is_https: bool) -> bool {
        self.key == *key && self.tls.is_some() == is_https
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Returns the number of times that the TLS files have changed, and starts to read them if it
    /// is time to.
    pub(super) fn generation(&self) -> u64 {
        self.tls.as_ref().map_or(0, |tls| {
            tls.refresh_in_background();
            tls.generation()
        })
    }
}

impl fmt::Debug for ConnectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared().fmt(f)
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}
