//! The machine that was measured.

use super::limit;
use anyhow::Context;
use std::fmt;
use std::fs::read_to_string;
use std::path::Path;

/// What a reader of figures wants to know of it.
#[derive(Debug)]
pub(crate) struct Machine {
    cpu: String,
    memory_gib: f64,
    kernel: String,
    file_system: String,
}

impl Machine {
    /// This machine, with stores in `place`, or where temporary files are.
    pub(crate) fn look(place: Option<&Path>) -> anyhow::Result<Self> {
        let read = |path: &str| read_to_string(path).with_context(|| format!("cannot read {path}"));
        let dir = limit::scratch(place)?;
        Ok(Self {
            cpu: cpu(&read("/proc/cpuinfo")?),
            memory_gib: memory_gib(&read("/proc/meminfo")?),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system: limit::file_system(dir.path())?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, memory_gib, kernel, file_system } = self;
        write!(f, "{cpu}; {memory_gib:.1} GiB of memory; Linux {kernel}; stores on {file_system}")
    }
}

/// How many CPUs there are, and what they call themselves: some architectures say nothing.
fn cpu(cpuinfo: &str) -> String {
    let values = |field: &'static str| {
        let lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        lines.filter(move |(name, _)| name.trim() == field).map(|(_, value)| value.trim())
    };
    let model = values("model name").next().unwrap_or(std::env::consts::ARCH);
    format!("{} × {model}", values("processor").count())
}

fn memory_gib(meminfo: &str) -> f64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
    kib.unwrap_or(f64::NAN) / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpus_are_counted_and_named() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n\nprocessor\t: 1\n\
                       model name\t: Fast CPU @ 3 GHz\n";
        assert_eq!(cpu(cpuinfo), "2 × Fast CPU @ 3 GHz");
        assert_eq!(cpu("processor\t: 0\n"), format!("1 × {}", std::env::consts::ARCH));
    }

    #[test]
    fn memory_is_told_in_gib() {
        assert_eq!(memory_gib("MemTotal:        2097152 kB\nMemFree: 1 kB\n"), 2.0);
        assert!(memory_gib("").is_nan());
    }

    #[test]
    fn this_machine_has_something_of_all() {
        let machine = Machine::look(None).unwrap();
        assert!(machine.memory_gib > 0.0, "{machine}");
        assert!(!machine.kernel.is_empty() && !machine.cpu.starts_with('0'), "{machine}");
    }
}
