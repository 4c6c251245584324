use std::process::ExitCode;

use clap::Parser;
use coupon_admin::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match coupon_admin::cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("coupon-admin: {error:#}");
            ExitCode::FAILURE
        }
    }
}
