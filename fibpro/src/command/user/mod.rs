//! `fibpro user`: adds users, and changes their passwords, roles and credit.

mod password;
mod person;

use std::io::Write;
use std::path::PathBuf;

use clap::builder::StringValueParser;
use fibpro::api::userstore::{LedgerEntry, OPERATOR, User, UserStoreClient, UserStoreError};
use fibpro::endpoints::Endpoints;
use fibpro::process::print_note;
use fibpro::terminal;
use fibpro::tool::keys::KeyOptions;
use rpc_runtime::env_option::{named, variable};
use rpc_runtime::{Code, Context, Remote, RequestId, Result, Source};

use super::CommandError;
use super::call::usage;
use password::Password;

/// Add users, and change their passwords, roles and credit
///
/// The changes are those of an operator: `os:NAME` with the account of this process, and
/// `os:root(sudo=NAME)` behind `sudo`.
#[derive(Debug, clap::Args)]
pub(crate) struct UserOptions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Add(AddOptions),
    Passwd(PasswdOptions),
    Role(RoleOptions),
    Deposit(DepositOptions),
    Show(ShowOptions),
}

/// Add a user; the password is asked for, or read from standard input
#[derive(Debug, clap::Args)]
struct AddOptions {
    /// Name of the user
    name: String,

    /// Credit of the user
    #[arg(long, value_name = "CREDIT", default_value_t = 0)]
    credit: u64,

    /// Role of the user, such as `operator`; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,

    /// File with the password on its only line; `-` for standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    #[command(flatten)]
    store: StoreOptions,
}

/// Change the password of a user; it is asked for, or read from standard input
#[derive(Debug, clap::Args)]
struct PasswdOptions {
    /// Name of the user
    name: String,

    /// File with the password on its only line; `-` for standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    #[command(flatten)]
    store: StoreOptions,
}

/// Add roles to a user, and remove others
#[derive(Debug, clap::Args)]
struct RoleOptions {
    /// Name of the user
    name: String,

    /// Role to add, such as `operator`; may be repeated
    #[arg(long, value_name = "ROLE", required_unless_present = "remove")]
    add: Vec<String>,

    /// Role to remove; may be repeated
    #[arg(long, value_name = "ROLE")]
    remove: Vec<String>,

    #[command(flatten)]
    store: StoreOptions,
}

/// Add credit to a user, or take it
#[derive(Debug, clap::Args)]
struct DepositOptions {
    /// Name of the user
    name: String,

    /// Credit to add; a negative one is taken
    #[arg(value_name = "CREDIT", allow_negative_numbers = true)]
    change: i64,

    /// Key of the deposit, which happens once for it [default: a random one]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    #[command(flatten)]
    store: StoreOptions,
}

/// Show a user, and the latest changes of the credit
#[derive(Debug, clap::Args)]
struct ShowOptions {
    /// Name of the user
    name: String,

    /// Number of changes to show, up to 1000
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    store: StoreOptions,
}

/// The user store, and the identity with which it is called.
#[derive(Debug, clap::Args)]
struct StoreOptions {
    #[command(flatten)]
    endpoints: Endpoints,

    #[command(flatten)]
    keys: KeyOptions,

    /// Environment of the user store
    #[arg(long, env = variable("RPC_ENVIRONMENT"), value_name = "NAME", default_value = "prod", value_parser = named(StringValueParser::new()))]
    environment: String,
}

impl StoreOptions {
    fn client(&self) -> Result<UserStoreClient, CommandError> {
        let process = std::process::id().to_string();
        let source = Source::new("fibpro", &self.environment, &process)
            .map_err(|error| usage(format!("--environment (RPC_ENVIRONMENT): {error}")))?;
        let client = self.keys.sign(self.endpoints.client("userstore")?)?;
        Ok(UserStoreClient::with_client(client.source(source)))
    }
}

pub(crate) async fn run(options: UserOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let operator = person::current().with_role(OPERATOR);
    let context = Context::for_request(RequestId::random()).with_principal(operator)?;
    let acting = async {
        match options.action {
            Action::Add(options) => add(options, out).await,
            Action::Passwd(options) => passwd(options, out).await,
            Action::Role(options) => role(options, out).await,
            Action::Deposit(options) => deposit(options, out).await,
            Action::Show(options) => show(options, out).await,
        }
    };
    context.scope(acting).await
}

async fn add(options: AddOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let AddOptions {
        name,
        credit,
        roles,
        password_file,
        store,
    } = options;
    let store = store.client()?;
    let password = Password::new(password_file, &name).read().await?;
    let added = store.add_user(&name, password, credit, roles).await;
    let user = added.inspect_err(explain)?;
    let credit = user.credit;
    print(
        out,
        format_args!(
            "added {} with credit {credit}, {}",
            shown(&user),
            roles_of(&user)
        ),
    )
}

async fn passwd(options: PasswdOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let store = options.store.client()?;
    let password = Password::new(options.password_file, &options.name);
    let password = password.read().await?;
    let changed = store.set_password(&options.name, password).await;
    let user = changed.inspect_err(explain)?;
    print(
        out,
        format_args!("changed the password of {}", shown(&user)),
    )
}

async fn role(options: RoleOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let store = options.store.client()?;
    let changed = store.change_roles(&options.name, options.add, options.remove);
    let user = changed.await.inspect_err(explain)?;
    print(
        out,
        format_args!("{} has {}", shown(&user), roles_of(&user)),
    )
}

async fn deposit(options: DepositOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let store = options.store.client()?;
    let key = options
        .key
        .unwrap_or_else(|| RequestId::random().to_string());
    let deposited = store.deposit(&options.name, options.change, 0, &key).await;
    let changed = deposited.inspect_err(|error| {
        if !error.is_not_executed() && matches!(&**error, UserStoreError::Other(_)) {
            print_note(format_args!(
                "the credit may be changed; repeat the command with `--key {key}`, which changes it once"
            ));
        }
        explain(error);
    })?;
    let (name, credit) = (terminal::one_line(&changed.username), changed.credit);
    print(out, format_args!("{name} has credit {credit}"))
}

async fn show(options: ShowOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let store = options.store.client()?;
    let ledger = store.ledger(&options.name, options.limit).await;
    let ledger = ledger.inspect_err(explain)?;
    let user = store.get_user(&options.name).await.inspect_err(explain)?;
    let user = user.ok_or_else(|| {
        let name = terminal::one_line(&options.name);
        CommandError::Service(format!("user {name} does not exist"))
    })?;
    if options.json {
        let shown = serde_json::json!({ "user": user, "ledger": ledger });
        let text = terminal::json_pretty(&shown);
        let text = text.map_err(|error| CommandError::Output(error.into()))?;
        return print(out, format_args!("{text}"));
    }
    let (name, roles) = (shown(&user), roles_of(&user));
    print(
        out,
        format_args!("{name} has credit {} and {roles}", user.credit),
    )?;
    ledger
        .iter()
        .try_for_each(|entry| print(out, format_args!("{}", line(entry))))
}

/// Returns a line on a change of credit.
fn line(entry: &LedgerEntry) -> String {
    let LedgerEntry {
        time,
        change,
        credit,
        reason,
        ..
    } = entry;
    let mut line = format!("{time:.3}  {change:+}  {credit}  {reason}");
    for (name, value) in [
        ("key", &entry.key),
        ("actor", &entry.actor),
        ("principal", &entry.principal),
    ] {
        if let Some(value) = value {
            line.push_str(&format!("  {name}={}", terminal::one_line(value)));
        }
    }
    line
}

fn shown(user: &User) -> std::borrow::Cow<'_, str> {
    terminal::one_line(&user.username)
}

fn roles_of(user: &User) -> String {
    match &*user.roles {
        [] => "no roles".to_owned(),
        [role] => format!("the role {role}"),
        roles => format!("the roles {}", roles.join(", ")),
    }
}

fn print(out: &mut impl Write, text: std::fmt::Arguments<'_>) -> Result<(), CommandError> {
    writeln!(out, "{text}").map_err(CommandError::Output)
}

/// Prints what to do about the error of a call.
fn explain(error: &Remote<UserStoreError>) {
    match &**error {
        UserStoreError::NoSuchUser { .. } => print_note("add the user with `fibpro user add`"),
        UserStoreError::UserExists { .. } => print_note(
            "change the user with `fibpro user passwd`, `fibpro user role` or `fibpro user deposit`",
        ),
        UserStoreError::OperatorRequired => print_note(
            "an operator is sent in signed calls, or on this host: pass `--identity-key-file` with the key of the services",
        ),
        _ if error.code() == Code::PermissionDenied => print_note(
            "users are those of one environment: pass `--environment` with that of the user store",
        ),
        _ => {}
    }
}
