//! Figures of this process, under the names that monitors know.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use crate::metric_set::MetricSet;

/// `process_*`: processor time, memory, descriptors, threads. A figure that the system does not
/// give is left out.
pub fn process_metrics() -> MetricSet {
    let mut metrics = MetricSet::default();
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(fields) {
        let ticks = clock_ticks_per_second() as f64;
        let seconds = (stat.user_ticks + stat.system_ticks) as f64 / ticks;
        metrics.counter_seconds("cpu_seconds", "Processor time of all threads", seconds);
        let resident = stat.resident_pages * page_size() as u64;
        metrics.gauge("resident_memory_bytes", "Memory that the process has in use", resident);
        metrics.gauge("virtual_memory_bytes", "Address space", stat.virtual_bytes);
        metrics.gauge("threads", "Threads", stat.threads);
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        // Without the one that reads the folder.
        let open = descriptors.count().saturating_sub(1);
        metrics.gauge("open_fds", "Open file descriptors", open as u64);
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX >> 1);
    metrics.gauge("max_fds", "Most file descriptors that may be open", limit);
    metrics
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    user_ticks: u64,
    system_ticks: u64,
    threads: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

/// Reads `/proc/PID/stat`. The program's name, in parentheses, may have spaces and parentheses.
fn fields(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    // The first of these is field 3 of the manual page.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    Some(Stat {
        user_ticks: field(14)?,
        system_ticks: field(15)?,
        threads: field(20)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::expose;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 99 0 0 0 12 34 0 0 20 0 5 0 100 4096 3 18446";
        let expected = Stat {
            user_ticks: 12,
            system_ticks: 34,
            threads: 5,
            virtual_bytes: 4096,
            resident_pages: 3,
        };
        assert_eq!(fields(stat), Some(expected));
        assert_eq!(fields("7 (a"), None);
    }

    #[test]
    fn this_process_has_all_figures() {
        let text = expose(vec![("process", process_metrics())], None).unwrap().text;
        for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "threads"]
        {
            assert!(text.contains(&format!("\nprocess_{name} ")), "no {name} in\n{text}");
        }
    }
}
