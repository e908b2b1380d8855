//! This process, as the kernel tells of it in /proc.

use std::fs;

/// What it takes of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Process {
    /// Bytes of memory that are resident.
    pub(crate) resident: u64,
    /// Bytes of address space.
    pub(crate) virtual_memory: u64,
    /// Open files.
    pub(crate) open_files: u64,
    /// How many it may open.
    pub(crate) max_files: u64,
    /// Seconds of processors, in user and system mode.
    pub(crate) cpu_seconds: f64,
    pub(crate) threads: u64,
}

impl Process {
    /// As it is now; what the kernel does not tell is 0.
    pub(crate) fn now() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        // The directory that counts is open itself.
        let open = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let mut process = Self {
            open_files: open.saturating_sub(1),
            max_files: limit.unwrap_or(u64::MAX),
            ..Self::default()
        };
        process.read(&stat, rustix::param::page_size(), rustix::param::clock_ticks_per_second());
        process
    }

    /// Takes what proc_pid_stat(5) says.
    fn read(&mut self, stat: &str, page: usize, ticks: u64) {
        // The name in front may hold anything, a parenthesis, too.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        // The first of them is field 3.
        let numbers: Vec<u64> =
            fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let field = |number: usize| numbers.get(number - 3).copied().unwrap_or(0);
        self.cpu_seconds = (field(14) + field(15)) as f64 / ticks.max(1) as f64;
        self.threads = field(20);
        self.virtual_memory = field(23);
        self.resident = field(24) * page as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read_whatever_the_name_of_the_program() {
        let line = "42 (a ) b) S 1 1 1 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 7 0 9 8192 3 0 0";
        let mut process = Process::default();
        process.read(line, 4096, 100);
        let expected = Process {
            cpu_seconds: 2.0,
            threads: 7,
            virtual_memory: 8192,
            resident: 12_288,
            ..Process::default()
        };
        assert_eq!(process, expected);
    }

    #[test]
    fn this_process_has_memory_files_and_threads() {
        let process = Process::now();
        assert!(process.resident > 1 << 20 && process.virtual_memory >= process.resident);
        assert!(process.open_files >= 3 && process.max_files >= process.open_files);
        assert!(process.threads >= 1);
    }
}
