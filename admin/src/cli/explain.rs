//! `coupon-admin explain`: explains a visit on the terminal.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use coupon_geo::LiveDatabases;
use jiff::Timestamp;

use crate::config::Config;
use crate::explain::{Explanation, Knowledge, Moment, SimulatedVisit, explain};
use crate::{publish, store, visit_state};

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The code as typed by the visitor
    code: String,
    /// The requested offer
    #[arg(long, value_name = "OFFER")]
    oid: Option<u32>,
    /// Time of the visit: Unix seconds, or like 2026-06-15T12:00:00+02:00 [default: now]
    #[arg(long, value_name = "TIME")]
    time: Option<Moment>,
    /// Host of the tracking domain; by default the host of the code's link
    #[arg(long, value_name = "HOST", default_value = "")]
    host: String,
    /// Query of the link, such as sub1=story
    #[arg(long, value_name = "QUERY", default_value = "")]
    query: String,
    /// Address of the visitor
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// User agent of the visitor's browser
    #[arg(long, value_name = "TEXT", default_value = "")]
    user_agent: String,
    /// Accept-Language of the visitor's browser, such as de-AT,en;q=0.8
    #[arg(long, value_name = "LANGUAGES", default_value = "")]
    language: String,
    /// Print JSON, as the API does
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: &Config, args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let dir = config.data_dir.as_path();
    let visit = SimulatedVisit {
        code: args.code,
        time: args.time,
        ip: args.ip,
        user_agent: args.user_agent,
        language: args.language,
        referer: String::new(),
        headers: BTreeMap::new(),
        query: args.query,
        oid: args.oid,
        host: args.host,
    };
    let connection = store::connect_existing(dir, config.migration_copies)?;
    let reading = connection.begin_read()?;
    let base_url = visit.base_url(&reading)?;
    let index = publish::published(dir).map_err(|error| match error.is_missing() {
        true => anyhow::anyhow!(
            "nothing is published in {} yet: start coupon-admin there once",
            dir.display()
        ),
        false => error.into(),
    })?;
    let now = Timestamp::now().as_second();
    let databases = LiveDatabases::open(&config.geo.databases);
    for problem in databases.problems() {
        eprintln!("{problem}");
    }
    let state = visit_state::read(&reading, index.manifest().network_id)?;
    let databases = databases.current();
    let knowledge = Knowledge { databases: &databases, state: state.as_deref() };
    let explanation = explain(&index, knowledge, &visit, base_url.as_deref(), now);
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&explanation)?),
        false => print(&visit.code, &explanation),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(code: &str, explanation: &Explanation) {
    let time =
        Timestamp::from_second(explanation.time).map(|time| time.to_string()).unwrap_or_default();
    println!("{code} at {time}, by generation {} of the index", explanation.generation);
    for step in &explanation.steps {
        println!("  {:8} {}", step.step, step.result);
        if step.step == "rules" {
            for rule in &explanation.rules {
                println!(
                    "           offer {}, {}: {}, because {}",
                    rule.network_offer_id, rule.kind, rule.verdict, rule.because
                );
            }
        }
        if step.step == "look-up" {
            for row in &explanation.rows {
                println!(
                    "           {} coupon code {} (offer {}, partner {}, advertiser {}): {}",
                    if row.is_chosen { "*" } else { " " },
                    row.network_coupon_code_id,
                    row.network_offer_id,
                    row.network_affiliate_id,
                    row.network_advertiser_id,
                    row.explanation,
                );
            }
        }
    }
}
