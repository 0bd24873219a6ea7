//! The options of every server with a prefix, for programs with options of the same names.

use clap::builder::Str;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::ServerOptions;

/// The [`ServerOptions`] with the prefix `--rpc-`: `--rpc-listen`, `--rpc-environment`. For
/// programs with options of their own that have the same names. The environment variables are the
/// same.
///
/// ```
/// use clap::Parser;
/// use rpc_runtime::{PrefixedServerOptions, Server};
///
/// #[derive(Parser)]
/// struct Arguments {
///     /// Where the shop ships to
///     #[arg(long)]
///     environment: String,
///     #[command(flatten)]
///     server: PrefixedServerOptions,
/// }
///
/// let arguments = ["shop", "--environment", "tropics", "--rpc-environment", "dev"];
/// let arguments = Arguments::parse_from(arguments);
/// assert_eq!(arguments.environment, "tropics");
/// let server = Server::new("shop").options(arguments.server);
/// # drop(server);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrefixedServerOptions(ServerOptions);

impl From<PrefixedServerOptions> for ServerOptions {
    fn from(options: PrefixedServerOptions) -> Self {
        options.0
    }
}

impl Args for PrefixedServerOptions {
    fn augment_args(command: Command) -> Command {
        prefixed(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        prefixed(command)
    }
}

/// Adds the options. Their IDs are the prefixed names.
fn prefixed(command: Command) -> Command {
    let plain = ServerOptions::augment_args(Command::new("server"));
    let options = plain.get_arguments().map(|option| {
        let name = Str::from(option.get_id().clone());
        option.clone().long(name)
    });
    command.args(options)
}

impl FromArgMatches for PrefixedServerOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = ServerOptions::from_arg_matches(matches)?;
        options.prefixed = true;
        Ok(Self(options))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;
    use crate::server::Server;

    #[derive(Debug, clap::Parser)]
    struct Prefixed {
        /// An option of the program.
        #[arg(long)]
        environment: Option<String>,
        #[arg(long)]
        flag: bool,
        #[command(flatten)]
        server: PrefixedServerOptions,
        #[command(subcommand)]
        command: Option<Task>,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Task {
        Run {
            #[arg(long)]
            listen: Option<String>,
        },
    }

    #[derive(Debug, clap::Parser)]
    struct Plain {
        #[command(flatten)]
        server: ServerOptions,
        #[command(subcommand)]
        command: PlainTask,
    }

    #[derive(Debug, clap::Subcommand)]
    enum PlainTask {
        Run,
        Migrate {
            #[arg(long)]
            dry_run: bool,
        },
    }

    fn prefixed(arguments: &[&str]) -> Prefixed {
        let arguments = ["shop"].iter().chain(arguments);
        Prefixed::try_parse_from(arguments).unwrap()
    }

    #[test]
    fn options_of_a_program_keep_their_names() {
        Prefixed::command().debug_assert();
        let parsed = prefixed(&[
            "--environment=tropics",
            "--flag",
            "--rpc-environment=dev",
            "--rpc-listen=a:1",
            "--rpc-flag=log_rpc=true",
            "run",
            "--listen=b:2",
        ]);
        assert_eq!(parsed.environment.as_deref(), Some("tropics"));
        assert!(parsed.flag);
        let Some(Task::Run { listen }) = parsed.command else {
            panic!("no subcommand")
        };
        assert_eq!(listen.as_deref(), Some("b:2"));
        let options = ServerOptions::from(parsed.server);
        assert_eq!(options.environment.as_deref(), Some("dev"));
        assert_eq!(options.listen, ["a:1"]);
        assert_eq!(options.flag, ["log_rpc=true"]);
        // The plain names are those of the program only.
        assert!(Prefixed::try_parse_from(["shop", "--listen=a:1"]).is_err());
    }

    #[test]
    fn errors_name_the_option_with_its_prefix() {
        let parsed = prefixed(&["--rpc-environment=a b", "--rpc-listen=127.0.0.1:0"]);
        let server = Server::new("shop").options(parsed.server);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let error = runtime.unwrap().block_on(server.bind()).unwrap_err();
        let option = "--rpc-environment (RPC_ENVIRONMENT)";
        assert!(error.message().starts_with(option), "{error}");
        let parsed = prefixed(&["--rpc-logsink=nowhere"]);
        let error = ServerOptions::from(parsed.server)
            .log_exporter()
            .unwrap_err();
        assert!(
            error.message().starts_with("--rpc-logsink (RPC_LOGSINK)"),
            "{error}"
        );
    }

    #[test]
    fn options_are_accepted_after_a_subcommand() {
        Plain::command().debug_assert();
        for arguments in [
            &["shop", "--listen=a:1", "--environment=dev", "run"][..],
            &["shop", "run", "--listen=a:1", "--environment=dev"],
            &[
                "shop",
                "--listen=a:1",
                "migrate",
                "--dry-run",
                "--environment=dev",
            ],
        ] {
            let parsed = Plain::try_parse_from(arguments).unwrap();
            assert_eq!(parsed.server.listen, ["a:1"], "{arguments:?}");
            assert_eq!(parsed.server.environment.as_deref(), Some("dev"));
            let migrates = matches!(parsed.command, PlainTask::Migrate { dry_run: true });
            assert_eq!(migrates, arguments.contains(&"migrate"));
        }
        let parsed = prefixed(&["run", "--rpc-listen=a:1", "--listen=b:2"]);
        assert_eq!(ServerOptions::from(parsed.server).listen, ["a:1"]);
    }
}
