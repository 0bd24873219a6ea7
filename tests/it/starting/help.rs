use clap::{Args as _, Command, CommandFactory as _, Parser};
use rpc_runtime::ServerOptions;

/// Describes the options of this server.
const OF_THE_OPTIONS: &str = "options that every server has";

#[derive(Parser)]
struct Plain {
    #[command(flatten)]
    _server: ServerOptions,
}

/// Sells numbers.
///
/// For credits.
#[derive(Parser)]
struct Documented {
    #[command(flatten)]
    _server: ServerOptions,
}

#[derive(Parser)]
#[command(about = "sells letters")]
struct WithAbout {
    #[command(flatten)]
    _server: ServerOptions,
}

#[derive(Parser)]
enum Commands {
    /// Serves letters.
    Serve {
        #[command(flatten)]
        _server: Box<ServerOptions>,
    },
    Other(Box<Plain>),
}

fn help(mut command: Command) -> String {
    let help = command.render_long_help().to_string();
    assert!(
        !help.contains(OF_THE_OPTIONS) && !help.contains("```"),
        "{help}"
    );
    assert!(!help.contains("use clap::Parser"), "{help}");
    help
}

#[test]
fn the_help_of_a_program_is_its_own() {
    let plain = help(Plain::command());
    assert!(plain.starts_with("Usage: "), "{plain}");
    assert!(plain.contains("--listen"), "{plain}");
    let documented = help(Documented::command());
    assert!(
        documented.starts_with("Sells numbers.\n\nFor credits"),
        "{documented}"
    );
    let with_about = help(WithAbout::command());
    assert!(with_about.starts_with("sells letters\n"), "{with_about}");
    let built = ServerOptions::augment_args(Command::new("letters").about("sells more letters"));
    assert!(help(built).starts_with("sells more letters\n"));
}

#[test]
fn the_help_of_a_command_is_its_own() {
    let commands = Commands::command();
    help(commands.clone());
    let about = |name| {
        let command = commands.find_subcommand(name).unwrap();
        help(command.clone());
        command.get_about().map(ToString::to_string)
    };
    assert_eq!(about("serve").as_deref(), Some("Serves letters"));
    assert_eq!(about("other"), None);
}

#[test]
fn every_option_has_a_short_help() {
    let command = ServerOptions::augment_args(Command::new("server"));
    for argument in command.get_arguments() {
        let help = argument.get_help().map(ToString::to_string);
        assert!(help.is_some_and(|help| !help.is_empty()), "{argument}");
    }
}
