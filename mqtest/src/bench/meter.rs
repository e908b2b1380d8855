//! What a part of a run cost: time, the server's CPU, and the load's own.

use super::clock::Clock;
use super::process::Process;
use super::report::Report;

/// When the load itself used more of a core, it may have been what was measured.
const BUSY: f64 = 0.9;

/// Measures from when it was made.
#[derive(Debug)]
pub(crate) struct Meter {
    server: Process,
    clock: Clock,
    /// When it was made.
    pub(crate) at: u64,
    before: (f64, f64),
}

/// What was used since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// Seconds of time.
    pub(crate) seconds: f64,
    /// Seconds of the server's CPU.
    pub(crate) server: f64,
    /// Seconds of our own.
    pub(crate) own: f64,
}

impl Meter {
    /// Begins.
    pub(crate) fn start(server: Process, clock: Clock) -> anyhow::Result<Self> {
        let before = (server.cpu_seconds()?, Process::Own.cpu_seconds()?);
        Ok(Self { server, clock, at: clock.now(), before })
    }

    /// What was used until now.
    pub(crate) fn read(&self) -> anyhow::Result<Spent> {
        Ok(Spent {
            seconds: (self.clock.now() - self.at) as f64 / 1e9,
            server: self.server.cpu_seconds()? - self.before.0,
            own: Process::Own.cpu_seconds()? - self.before.1,
        })
    }

    /// What was used until now, of the time until `end`, when the last thing happened.
    pub(crate) fn read_until(&self, end: u64) -> anyhow::Result<Spent> {
        let seconds = end.saturating_sub(self.at) as f64 / 1e9;
        Ok(Spent { seconds, ..self.read()? })
    }
}

impl Spent {
    /// Puts the load's own part into a report.
    pub(crate) fn tell_own(&self, key: &str, report: &mut Report) {
        let cores = self.own / self.seconds;
        report.put(key, "CPU of the load itself", cores, "cores");
        if cores > BUSY {
            report.note("the load kept a core busy and may have been the limit");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_work_are_measured() {
        let clock = Clock::start();
        let meter = Meter::start(Process::Own, clock).unwrap();
        while meter.read().unwrap().own < 0.02 {}
        let spent = meter.read().unwrap();
        // Other tests run meanwhile, on other cores.
        assert!(spent.seconds > 0.0 && spent.server >= 0.02, "{spent:?}");
        let until = meter.read_until(meter.at + 2_000_000_000).unwrap();
        assert_eq!(until.seconds, 2.0);
    }

    #[test]
    fn a_load_that_may_have_been_the_limit_says_so() {
        for (own, notes) in [(0.5, 0), (1.9, 1)] {
            let mut report = Report::new("test", "c".into());
            Spent { seconds: 2.0, server: 1.0, own }.tell_own("own", &mut report);
            assert_eq!(report.get("own"), Some(own / 2.0));
            assert_eq!(report.notes().len(), notes);
        }
    }
}
