//! `coupon-admin user`: manages users on this machine, without signing in. A running coupon-admin
//! applies changes from the next request on.

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};

use super::save;
use crate::accounts::{self, LinkToken, UserEdit};
use crate::catalog::{Role, UserStatus};
use crate::config::Config;
use crate::console;
use crate::edit::EditError;
use crate::store::rows::Query;
use crate::store::{self, ReadTx, StoreError, WriteTx};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// List the users with role, status, second factor and last sign-in
    List,
    /// Create a user, and print a one-time link for choosing a password
    ///
    /// The link is good for 24 hours and once. Send it to the user on a way that nobody else reads.
    #[command(
        after_help = "Examples:\n  coupon-admin user invite mia@example.com --name 'Mia May' --role manager --data ./data\n  coupon-admin user invite ann@example.com --role partner --affiliate 1 --data ./data"
    )]
    Invite(InviteArgs),
    /// Print a one-time link by which a user chooses a new password
    ///
    /// The present password works until the link is used; then all sessions of the user end.
    #[command(after_help = "Example:\n  coupon-admin user reset mia@example.com --data ./data")]
    Reset(UserArgs),
    /// Remove the second factor of a user who lost it, and end the user's sessions
    #[command(
        after_help = "Example:\n  coupon-admin user reset-totp mia@example.com --data ./data"
    )]
    ResetTotp(UserArgs),
    /// Disable a user immediately; the last admin cannot be disabled
    ///
    /// The user's sessions end with their next request. An admin enables the user again in the
    /// console or by PATCH /v1/networks/users/{id}.
    #[command(after_help = "Example:\n  coupon-admin user disable mia@example.com --data ./data")]
    Disable(UserArgs),
}

#[derive(Debug, Args)]
pub(super) struct InviteArgs {
    /// Name for signing in, such as an email address
    login: String,
    /// Name in lists and in the audit; the login, if left out
    #[arg(long)]
    name: Option<String>,
    /// Role of the user
    #[arg(long, value_enum)]
    role: Role,
    /// Partner of a partner's user, by network_affiliate_id
    #[arg(long, value_name = "ID")]
    affiliate: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct UserArgs {
    /// Login of the user, or network_user_id
    user: String,
}

pub(super) fn run(config: &Config, command: UserCommand) -> anyhow::Result<()> {
    let mut connection = store::connect_existing(&config.data_dir, config.migration_copies)?;
    match command {
        UserCommand::List => println!("{}", table(&*connection.begin_read()?)?),
        UserCommand::Invite(args) => {
            let edit = args.into_edit();
            let (_, link) = save(&mut connection, |tx| accounts::create(tx, &edit))?;
            print_link(config, &link);
        }
        UserCommand::Reset(UserArgs { user }) => {
            let reset = |tx: &WriteTx<'_>| accounts::reset(tx, find(tx, &user)?);
            let (_, link) = save(&mut connection, reset)?;
            print_link(config, &link);
        }
        UserCommand::ResetTotp(UserArgs { user }) => {
            save(&mut connection, |tx| accounts::reset_totp(tx, find(tx, &user)?))?;
            println!("removed the second factor of {user}");
        }
        UserCommand::Disable(UserArgs { user }) => {
            save(&mut connection, |tx| accounts::disable(tx, find(tx, &user)?))?;
            println!("disabled {user}");
        }
    }
    Ok(())
}

impl InviteArgs {
    fn into_edit(self) -> UserEdit {
        UserEdit {
            name: self.name.unwrap_or_else(|| self.login.clone()),
            login: self.login,
            role: self.role,
            network_affiliate_id: self.affiliate,
            user_status: UserStatus::Active,
        }
    }
}

/// The id of the user with this login or this id.
fn find(tx: &ReadTx<'_>, user: &str) -> Result<u32, EditError> {
    if let Some(id) = accounts::id_of_login(tx, user)? {
        return Ok(id);
    }
    user.parse().map_err(|_not_an_id| {
        let message = format!("there is no user {user}; `coupon-admin user list` shows all");
        EditError::field("user", message)
    })
}

/// Prints the address of a link; without `console.public_url`, on the first listener.
fn print_link(config: &Config, link: &LinkToken) {
    let listener = config.effective_listeners().first().map(|listener| listener.address);
    let listener = listener.unwrap_or(config.listen);
    println!("{}", console::link_address(&config.console, listener, "link", link));
}

fn table(connection: &ReadTx<'_>) -> Result<Table, StoreError> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "id",
        "login",
        "name",
        "role",
        "partner",
        "status",
        "2nd factor",
        "last sign-in",
    ]);
    for user in accounts::list(connection, &Query::default())?.rows {
        let partner = user.affiliate_id.map(|id| id.to_string()).unwrap_or_default();
        let status = match user.status {
            UserStatus::Active if !user.has_password => "invited",
            status => status.as_str(),
        };
        let second_factor = if user.has_totp { "on" } else { "off" };
        let last = match user.time_last_sign_in {
            0 => "never".to_owned(),
            seconds => jiff::Timestamp::from_second(seconds)
                .map_or_else(|_| String::new(), |time| time.to_string()),
        };
        table.add_row([
            user.id.to_string(),
            user.login,
            user.name,
            user.role.as_str().to_owned(),
            partner,
            status.to_owned(),
            second_factor.to_owned(),
            last,
        ]);
    }
    Ok(table)
}
