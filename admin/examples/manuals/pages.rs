//! Man pages and completions, made from the commands that the programs parse.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use coupon_admin::cli::Cli;
use coupond::arguments::Arguments;

/// The shells whose completions are written.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Fish, Shell::Zsh];

/// The commands of both programs.
pub(crate) fn programs() -> [Command; 2] {
    [Arguments::command(), Cli::command()]
}

/// Writes `man` and `completions` into the folder, and makes it if it is missing.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    let (manuals, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&manuals)?;
    fs::create_dir_all(&completions)?;
    for mut program in programs() {
        let name = program.get_name().to_owned();
        for shell in SHELLS {
            clap_complete::generate_to(shell, &mut program.clone(), &name, &completions)?;
        }
        // Pages for `help` and the commands below it would repeat the others.
        program = program.disable_help_subcommand(true);
        program.build();
        write_manual(&program, &manuals)?;
    }
    // `coupond-demo` runs that subcommand.
    fs::write(manuals.join("coupond-demo.1"), ".so man1/coupon-admin-demo.1\n")
}

fn write_manual(command: &Command, folder: &Path) -> io::Result<()> {
    let source = concat!("coupond ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).source(source).manual("coupond").generate_to(folder)?;
    command.get_subcommands().try_for_each(|below| write_manual(below, folder))
}
