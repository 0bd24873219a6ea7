//! The options of every server, on the command line and in the environment.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, EnumValueParser, PathBufValueParser, StringValueParser};

use super::call::proxies::TrustedProxies;
use super::call::web_page::OwnHost;
use super::env_option::{named, variable};
use super::process::config::TlsOptions;
use super::process::flags_file::environment;
use super::process::log::LogFormat;
use super::tls_listeners::TlsListeners;
use super::{Server, Trust};
use crate::duration;
use crate::error::Result;
use crate::logs::{LogExportOptions, LogExporterBuilder};
use crate::option_name::option_name;
use crate::otel::TraceOptions;

// Not a comment here: clap would make it the description of a program that has none.
#[doc = include_str!("options.md")]
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
// Without a clap group, whose id would be the type name, since a program may use that name for its
// options.
#[group(skip)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Address to listen on for other services: `HOST:PORT` (port 0 selects a free one), `:PORT`
    /// (on all interfaces) or `unix:/PATH`; may be repeated
    #[arg(
        id = "rpc-listen",
        long = "listen",
        global = true,
        env = variable("RPC_LISTEN"),
        value_name = "ADDRESS",
        value_delimiter = ',',
        value_parser = named(StringValueParser::new())
    )]
    pub listen: Vec<String>,

    /// Address of an untrusted (edge) listener; may be repeated
    #[arg(
        id = "rpc-listen-edge",
        long = "listen-edge",
        global = true,
        env = variable("RPC_LISTEN_EDGE"),
        value_name = "ADDRESS",
        value_delimiter = ',',
        value_parser = named(StringValueParser::new())
    )]
    pub listen_edge: Vec<String>,

    /// Further host name by which callers on this host address the server, such as `pricing.test`;
    /// may be repeated
    #[arg(
        id = "rpc-host-name",
        long = "host-name",
        global = true,
        env = variable("RPC_HOST_NAME"),
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = named(host_name)
    )]
    pub host_name: Vec<String>,

    /// File mode of Unix sockets, such as 660 [default: 600]
    #[arg(id = "rpc-socket-mode", long = "socket-mode", global = true, env = variable("RPC_SOCKET_MODE"), value_name = "MODE", value_parser = named(mode))]
    pub socket_mode: Option<u32>,

    /// Environment of this process [default: prod]
    #[arg(id = "rpc-environment", long = "environment", global = true, env = variable("RPC_ENVIRONMENT"), value_name = "NAME", value_parser = named(StringValueParser::new()))]
    pub environment: Option<String>,

    /// Instance name of the server [default: its first TCP
    /// address, or the process ID]
    #[arg(id = "rpc-instance", long = "instance", global = true, env = variable("RPC_INSTANCE"), value_name = "NAME", value_parser = named(StringValueParser::new()))]
    pub instance: Option<String>,

    /// File of the identity keys; with keys, only signed calls are accepted
    #[arg(id = "rpc-identity-key-file", long = "identity-key-file", global = true, env = variable("RPC_IDENTITY_KEY_FILE"), value_name = "FILE", value_parser = named(PathBufValueParser::new()))]
    pub identity_key_file: Option<PathBuf>,

    /// Certificate of the TCP listeners, which then serve TLS: a PEM file, reloaded when it changes
    #[arg(id = "rpc-tls-cert", long = "tls-cert", global = true, env = variable("RPC_TLS_CERT"), value_name = "FILE", value_parser = named(PathBufValueParser::new()))]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate: a PEM file
    #[arg(id = "rpc-tls-key", long = "tls-key", global = true, env = variable("RPC_TLS_KEY"), value_name = "FILE", value_parser = named(PathBufValueParser::new()))]
    pub tls_key: Option<PathBuf>,

    /// Certificate authorities of client certificates, which are then required: a PEM file
    #[arg(id = "rpc-tls-client-ca", long = "tls-client-ca", global = true, env = variable("RPC_TLS_CLIENT_CA"), value_name = "FILE", value_parser = named(PathBufValueParser::new()))]
    pub tls_client_ca: Option<PathBuf>,

    /// Listeners that serve TLS with the certificate [default: all]
    #[arg(id = "rpc-tls-listeners", long = "tls-listeners", global = true, env = variable("RPC_TLS_LISTENERS"), value_name = "KIND", value_parser = named(EnumValueParser::<TlsListeners>::new()))]
    pub tls_listeners: Option<TlsListeners>,

    /// Network of proxies that state the addresses of their clients, such as `10.0.0.0/8`; may be
    /// repeated
    #[arg(
        id = "rpc-trusted-proxy",
        long = "trusted-proxy",
        global = true,
        env = variable("RPC_TRUSTED_PROXY"),
        value_name = "NETWORK",
        value_delimiter = ',',
        value_parser = named(network)
    )]
    pub trusted_proxy: Vec<String>,

    /// Format of the log on stderr [default: text]
    #[arg(id = "rpc-log-format", long = "log-format", global = true, env = variable("RPC_LOG_FORMAT"), value_name = "FORMAT", value_parser = named(EnumValueParser::<LogFormat>::new()))]
    pub log_format: Option<LogFormat>,

    /// URL of the log sink that receives the log in addition to stderr
    #[arg(id = "rpc-logsink", long = "logsink", global = true, env = variable("RPC_LOGSINK"), value_name = "URL", value_parser = named(StringValueParser::new()))]
    pub logsink: Option<String>,

    /// Events to export to the log sink, as levels by target [default: info, and warn for events of
    /// calls]
    #[arg(id = "rpc-ship-log", long = "ship-log", global = true, env = variable("RPC_SHIP_LOG"), value_name = "FILTER", value_parser = named(StringValueParser::new()))]
    pub ship_log: Option<String>,

    /// Folder for log records while the log sink is unavailable [default: a folder of this user
    /// among the temporary files]
    #[arg(id = "rpc-log-spool", long = "log-spool", global = true, env = variable("RPC_LOG_SPOOL"), value_name = "FOLDER", value_parser = named(PathBufValueParser::new()))]
    pub log_spool: Option<PathBuf>,

    /// URL of the OpenTelemetry collector that receives traces, such as `http://127.0.0.1:4318`
    #[arg(id = "rpc-trace-endpoint", long = "trace-endpoint", global = true, env = variable("RPC_TRACE_ENDPOINT"), value_name = "URL", value_parser = named(StringValueParser::new()))]
    pub trace_endpoint: Option<String>,

    /// Share of sampled traces among those that start here, from 0 to 1 [default: 1]
    #[arg(id = "rpc-trace-ratio", long = "trace-ratio", global = true, env = variable("RPC_TRACE_RATIO"), value_name = "RATIO", value_parser = named(ratio))]
    pub trace_ratio: Option<String>,

    /// Time to keep serving as not ready after a stop signal, such as `5s` [default: 500ms after
    /// SIGTERM, 0s after SIGINT]
    #[arg(id = "rpc-lame-duck", long = "lame-duck", global = true, env = variable("RPC_LAME_DUCK"), value_name = "TIME", value_parser = named(duration::parse))]
    pub lame_duck: Option<Duration>,

    /// Flag of the server, such as `log_rpc=true`; may be repeated
    #[arg(
        id = "rpc-flag",
        long = "flag",
        global = true,
        value_name = "NAME=VALUE"
    )]
    pub flag: Vec<String>,

    /// File with a line `NAME = VALUE` for each flag, reloaded when it changes
    #[arg(id = "rpc-flags-file", long = "flags-file", global = true, env = variable("RPC_FLAGS_FILE"), value_name = "FILE", value_parser = named(PathBufValueParser::new()))]
    pub flags_file: Option<PathBuf>,

    /// The variables `RPC_FLAG_…`.
    #[arg(skip = environment())]
    flag_variables: Vec<(OsString, OsString)>,

    /// Whether the options on the command line begin with `--rpc-`.
    #[arg(skip)]
    pub(super) prefixed: bool,

    /// Inject the faults that requests ask for in the header `x-rpc-fault`, for tests
    #[arg(id = "rpc-allow-faults", long = "allow-faults", global = true, env = variable("RPC_ALLOW_FAULTS"), value_parser = named(BoolishValueParser::new()))]
    pub allow_faults: bool,
}

impl Server {
    /// Applies the options of the command line and the environment, which override the program's
    /// settings.
    ///
    /// If any address is given, the addresses that the program has set before are replaced, of
    /// both kinds. Each address takes the settings of the program's listener of its kind: TLS, the
    /// demand of client certificates, [`only`](crate::ListenOptions::only) and the PROXY protocol.
    /// If the program has several listeners of the kind with different settings, the address must
    /// be that of one of them, or the start fails with `invalid_argument`. An edge address takes
    /// the settings of internal listeners if the program has no edge listener.
    pub fn options(mut self, options: impl Into<ServerOptions>) -> Self {
        let options = options.into();
        let prefixed = options.prefixed;
        self.process.prefixed_options = prefixed;
        if !(options.listen.is_empty() && options.listen_edge.is_empty()) {
            let internal = option_name!(prefixed, "listen (RPC_LISTEN)");
            let edge = option_name!(prefixed, "listen-edge (RPC_LISTEN_EDGE)");
            self.process.replace_addresses([
                (Trust::Internal, internal, options.listen),
                (Trust::Edge, edge, options.listen_edge),
            ]);
        }
        self.config.hosts.extend(options.host_name);
        if let Some(mode) = options.socket_mode {
            self.process.socket_mode = mode;
        }
        if let Some(environment) = options.environment {
            self.config.environment = environment;
            self.process.environment_option =
                Some(option_name!(prefixed, "environment (RPC_ENVIRONMENT)"));
        }
        if options.instance.is_some() {
            self.config.instance = options.instance;
            self.process.instance_option = Some(option_name!(prefixed, "instance (RPC_INSTANCE)"));
        }
        if options.identity_key_file.is_some() {
            self.process.identity_file = options.identity_key_file;
        }
        self.process.tls_options = TlsOptions {
            certificate: options.tls_cert,
            key: options.tls_key,
            client_ca: options.tls_client_ca,
            listeners: options.tls_listeners,
            prefixed,
        };
        self.config.proxies.extend(options.trusted_proxy);
        if let Some(lame_duck) = options.lame_duck {
            self.config.limits.lame_duck = lame_duck;
            self.process.lame_duck = Some(lame_duck);
        }
        self.flags_given(&options.flag, &options.flag_variables);
        if options.flags_file.is_some() {
            self.process.flags_file = options.flags_file;
            self.process.flags_file_option =
                Some(option_name!(prefixed, "flags-file (RPC_FLAGS_FILE)"));
        }
        self.config.allow_faults |= options.allow_faults;
        if let Some(format) = options.log_format {
            self.process.log_format = format;
        }
        self.process.trace_options = TraceOptions {
            endpoint_option: option_name!(prefixed, "trace-endpoint (RPC_TRACE_ENDPOINT)"),
            ratio_option: option_name!(prefixed, "trace-ratio (RPC_TRACE_RATIO)"),
            endpoint: options.trace_endpoint,
            ratio: options.trace_ratio,
        };
        self.process.log_export_options = LogExportOptions {
            prefixed,
            sink: options.logsink,
            spool: options.log_spool,
            filter: options.ship_log,
        };
        self
    }
}

impl ServerOptions {
    /// Returns the log exporter that these options describe, for a program that installs a custom
    /// subscriber or runs several servers; `None` without `--logsink`.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid URL or filter.
    pub fn log_exporter(&self) -> Result<Option<LogExporterBuilder>> {
        LogExportOptions {
            prefixed: self.prefixed,
            sink: self.logsink.clone(),
            spool: self.log_spool.clone(),
            filter: self.ship_log.clone(),
        }
        .apply(None)
    }
}

fn network(text: &str) -> std::result::Result<String, String> {
    TrustedProxies::check(text).map(|()| text.to_owned())
}

fn ratio(text: &str) -> std::result::Result<String, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(text.to_owned()),
        _ => Err("expected a number from 0 to 1, such as 0.1".to_owned()),
    }
}

fn host_name(text: &str) -> std::result::Result<String, String> {
    text.parse::<OwnHost>().map(|_| text.to_owned())
}

fn mode(text: &str) -> std::result::Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected octal digits from 0 to 777, such as 660".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    mod program {
        /// A type with the same name, as an application may define.
        #[derive(Debug, clap::Parser)]
        pub(super) struct ServerOptions {
            #[command(flatten)]
            pub(super) server: super::ServerOptions,
        }
    }

    fn parse(arguments: &[&str]) -> std::result::Result<ServerOptions, clap::Error> {
        let arguments = ["server"].iter().chain(arguments);
        program::ServerOptions::try_parse_from(arguments).map(|arguments| arguments.server)
    }

    fn listen(server: &Server) -> Vec<(&str, Trust)> {
        let listen = server.process.listen.iter();
        listen.map(|at| (at.address.as_str(), at.trust)).collect()
    }

    fn server() -> Server {
        Server::new("server")
            .listen("set:1")
            .host("set")
            .environment("set")
    }

    #[test]
    fn omitted_options_leave_the_server_unchanged() {
        let server = server().options(parse(&[]).unwrap());
        assert_eq!(listen(&server), [("set:1", Trust::Internal)]);
        assert_eq!(
            (
                server.config.environment.as_str(),
                server.process.socket_mode
            ),
            ("set", 0o600)
        );
        assert!(!server.config.allow_faults);
    }

    #[test]
    fn what_is_given_wins() {
        let options = parse(&[
            "--listen=a:1,unix:/b",
            "--listen=c:3",
            "--listen-edge=d:4",
            "--host-name=shop.test,10.1.2.4",
            "--host-name=shop",
            "--environment=dev",
            "--instance=a1",
            "--socket-mode=660",
            "--log-format=json",
            "--lame-duck=1500ms",
            "--identity-key-file=/nowhere/keys",
            "--allow-faults",
        ]);
        let server = server().options(options.unwrap());
        assert_eq!(
            listen(&server),
            [
                ("a:1", Trust::Internal),
                ("unix:/b", Trust::Internal),
                ("c:3", Trust::Internal),
                ("d:4", Trust::Edge)
            ]
        );
        let refused = server
            .process
            .identity_file
            .as_ref()
            .map(crate::IdentityKeys::from_file);
        assert!(refused.is_some_and(|keys| keys.is_err()));
        assert_eq!(
            server.config.hosts,
            ["set", "shop.test", "10.1.2.4", "shop"]
        );
        assert_eq!(server.config.environment, "dev");
        assert_eq!(server.config.instance.as_deref(), Some("a1"));
        assert_eq!(server.process.socket_mode, 0o660);
        assert_eq!(server.process.log_format, LogFormat::Json);
        assert_eq!(server.config.limits.lame_duck, Duration::from_millis(1500));
        assert!(server.config.allow_faults);
    }

    #[test]
    fn the_log_is_exported_only_if_configured() {
        assert!(parse(&[]).unwrap().log_exporter().unwrap().is_none());
        // A spool alone does not enable the export.
        let options = parse(&["--log-spool=/nowhere"]).unwrap();
        assert!(options.log_exporter().unwrap().is_none());
        let options = parse(&["--logsink=http://127.0.0.1:1", "--ship-log=warn"]).unwrap();
        assert!(options.log_exporter().unwrap().is_some());
        for (bad, option) in [
            (&["--logsink=nowhere"][..], "--logsink (RPC_LOGSINK): "),
            (&["--logsink="], "--logsink (RPC_LOGSINK): "),
            (
                &["--logsink=http://127.0.0.1:1", "--ship-log=shop=loud"],
                "--ship-log (RPC_SHIP_LOG): ",
            ),
            // Also without an export.
            (&["--ship-log=shop=loud"], "--ship-log (RPC_SHIP_LOG): "),
        ] {
            let error = parse(bad).unwrap().log_exporter().unwrap_err();
            assert_eq!(error.code(), crate::Code::InvalidArgument, "{bad:?}");
            assert!(error.message().starts_with(option), "{error}");
        }
    }

    #[test]
    fn a_filter_of_the_export_is_understood_or_refused() {
        let read = |filter: &str| {
            let option = format!("--ship-log={filter}");
            let options = parse(&["--logsink=http://127.0.0.1:1", &option]).unwrap();
            options
                .log_exporter()
                .map(|exporter| format!("{exporter:?}"))
        };
        for filter in [
            "info",
            "INFO",
            "off",
            "rpc",
            "my_crate",
            "shop::orders",
            "loud=trace",
        ] {
            assert!(read(filter).is_ok(), "{filter}");
        }
        let spaced = read(" info, ,rpc=warn,").unwrap();
        assert_eq!(spaced, read("info,rpc=warn").unwrap());
        assert!(spaced.contains(r#"target: Some("rpc")"#), "{spaced}");
        for (filter, advice) in [
            ("", "it is empty"),
            (" , ", "it is empty"),
            ("infoo", "did you mean `info`?"),
            ("warning,rpc=debug", "did you mean `warn`?"),
            (
                "info,rpc=wrn",
                "`rpc=wrn`: `wrn` is not a level; did you mean `warn`?",
            ),
            ("rpc=", "`` is not a level"),
            ("loud", "write `loud=trace`"),
            ("info;rpc=debug", "separated by commas"),
            ("rpc:debug", "expected `TARGET=LEVEL`"),
            ("=debug", "expected a level"),
            ("\u{1b}[31m=info", "\\u{1b}"),
        ] {
            let error = read(filter).unwrap_err();
            let text = error.message();
            assert!(text.starts_with("--ship-log (RPC_SHIP_LOG): "), "{text}");
            assert!(text.contains(advice), "{filter}: {text}");
            assert!(!text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn an_edge_alone_replaces_the_internal_default() {
        let server = server().options(parse(&["--listen-edge=d:4"]).unwrap());
        assert_eq!(listen(&server), [("d:4", Trust::Edge)]);
    }

    #[test]
    fn invalid_values_are_rejected() {
        for bad in [
            "--socket-mode=8",
            "--socket-mode=1777",
            "--lame-duck=5",
            "--lame-duck=-1s",
            "--lame-duck=99999999999999999999s",
            "--lame-duck=18446744073709551615m",
            "--log-format=xml",
            "--host-name=",
            "--host-name=http://a",
            "--host-name=a:80",
            "--trusted-proxy=proxy.test",
            "--trusted-proxy=10.0.0.0/33",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
