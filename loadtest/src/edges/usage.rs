//! CPU and memory of the programs.

use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::hub::Agent;
use crate::server::process::{Family, Usage};

/// CPU within a time, and memory since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct ProgramUsage {
    pub(super) cpu_s: f64,
    pub(super) own_bytes: u64,
    pub(super) peak_bytes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct FleetUsage {
    pub(super) elapsed_s: f64,
    coupon_admin: ProgramUsage,
    nats_server: ProgramUsage,
    /// Mean of one agent.
    agent: ProgramUsage,
    /// This program: light daemons, clicks, editors.
    generator: ProgramUsage,
}

impl FleetUsage {
    pub(super) fn rows(&self) -> [(&'static str, ProgramUsage); 4] {
        [
            ("coupon-admin", self.coupon_admin),
            ("nats-server", self.nats_server),
            ("an agent (mean)", self.agent),
            ("this program", self.generator),
        ]
    }
}

/// The usage of each program at a moment.
pub(super) struct UsageSample {
    taken: Instant,
    coupon_admin: Usage,
    nats_server: Usage,
    agents: Vec<Usage>,
    generator: Usage,
}

impl UsageSample {
    pub(super) fn take(
        coupon_admin: &Family,
        nats_server: &Family,
        agents: &[Agent],
    ) -> io::Result<UsageSample> {
        Ok(UsageSample {
            taken: Instant::now(),
            coupon_admin: coupon_admin.usage()?,
            nats_server: nats_server.usage()?,
            agents: agents
                .iter()
                .map(|agent| agent.process().usage())
                .collect::<io::Result<_>>()?,
            generator: Usage::of_process(std::process::id())?,
        })
    }

    pub(super) fn since(&self, before: &UsageSample) -> FleetUsage {
        let agents = self.agents.iter().zip(&before.agents);
        let of_agents: Vec<_> = agents.map(|(after, before)| difference(after, before)).collect();
        FleetUsage {
            elapsed_s: (self.taken - before.taken).max(Duration::from_millis(1)).as_secs_f64(),
            coupon_admin: difference(&self.coupon_admin, &before.coupon_admin),
            nats_server: difference(&self.nats_server, &before.nats_server),
            agent: mean(&of_agents),
            generator: difference(&self.generator, &before.generator),
        }
    }
}

fn difference(after: &Usage, before: &Usage) -> ProgramUsage {
    let cpu_s = after.cpu.saturating_sub(before.cpu).as_secs_f64();
    ProgramUsage { cpu_s, own_bytes: after.own_bytes, peak_bytes: after.peak_bytes }
}

fn mean(usages: &[ProgramUsage]) -> ProgramUsage {
    let count = usages.len().max(1);
    let mean =
        |bytes: fn(&ProgramUsage) -> u64| usages.iter().map(bytes).sum::<u64>() / count as u64;
    ProgramUsage {
        cpu_s: usages.iter().map(|usage| usage.cpu_s).sum::<f64>() / count as f64,
        own_bytes: mean(|usage| usage.own_bytes),
        peak_bytes: mean(|usage| usage.peak_bytes),
    }
}
