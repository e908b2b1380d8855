//! The last quarter of an hour, a point every two seconds, for plots. In memory only.

use super::family::NANOS;
use super::gathered::{Gathered, posts};
use mqlib::histogram::Histogram;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// How far the points are apart.
pub(crate) const STEP: Duration = Duration::from_secs(2);
/// How many are kept: of 15 minutes.
const POINTS: usize = 450;

/// A point: how it was, and what was done in the time before it. Rates are per second, times are
/// seconds, sizes are bytes; what is not known is `null`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Point {
    /// In ISO 8601.
    time: String,
    posts: f64,
    deliveries: f64,
    redeliveries: f64,
    acks: f64,
    refusals: f64,
    links: usize,
    online: usize,
    waiting: Option<u64>,
    backlog: usize,
    ack_p50: Option<f64>,
    ack_p99: Option<f64>,
    deliver_p50: Option<f64>,
    deliver_p99: Option<f64>,
    commit_p99: Option<f64>,
    disk_free: Option<u64>,
    journal_used: u64,
}

/// The points, as `/api/v1/series` tells them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Series {
    interval_s: u64,
    points: VecDeque<Point>,
    #[serde(skip)]
    last: Option<Reading>,
}

/// What the next point is measured from.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Duration,
    posts: u64,
    delivered: u64,
    redelivered: u64,
    acked: u64,
    refused: u64,
    to_ack: Histogram,
    to_delivery: Histogram,
    commits: Histogram,
}

impl Series {
    pub(crate) fn new() -> Self {
        let points = VecDeque::with_capacity(POINTS);
        Self { interval_s: STEP.as_secs(), points, last: None }
    }

    /// Adds a point, `time` being its date. The first reading makes none.
    pub(crate) fn add(&mut self, time: String, now: &Gathered) {
        let (Some((broker, _)), Some((store, _))) = (&now.broker, &now.store) else { return };
        let totals = &broker.totals;
        let reading = Reading {
            at: now.uptime,
            posts: posts(broker),
            delivered: totals.delivered,
            redelivered: totals.redelivered,
            acked: totals.acked,
            refused: totals.refused().map(|(_, count)| count).sum(),
            to_ack: totals.to_ack,
            to_delivery: totals.to_delivery,
            commits: store.work.commits,
        };
        let Some(last) = self.last.replace(reading) else { return };
        let seconds = (reading.at.saturating_sub(last.at)).as_secs_f64().max(0.001);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let quantile = |now: &Histogram, before: &Histogram, share| {
            now.since(before).quantile(share).map(|nanos| nanos / NANOS)
        };
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(Point {
            time,
            posts: rate(reading.posts, last.posts),
            deliveries: rate(reading.delivered, last.delivered),
            redeliveries: rate(reading.redelivered, last.redelivered),
            acks: rate(reading.acked, last.acked),
            refusals: rate(reading.refused, last.refused),
            links: broker.counts.links,
            online: broker.counts.online,
            waiting: now.waiting,
            backlog: store.state.backlog,
            ack_p50: quantile(&reading.to_ack, &last.to_ack, 0.5),
            ack_p99: quantile(&reading.to_ack, &last.to_ack, 0.99),
            deliver_p50: quantile(&reading.to_delivery, &last.to_delivery, 0.5),
            deliver_p99: quantile(&reading.to_delivery, &last.to_delivery, 0.99),
            commit_p99: quantile(&reading.commits, &last.commits, 0.99),
            disk_free: now.room.map(|room| room.free),
            journal_used: store.state.journal_taken,
        });
    }

    /// As JSON, the points that are later than a date; all of them after an empty one.
    pub(crate) fn json(&self, after: &str) -> serde_json::Result<String> {
        // Dates sort as their text does.
        let points = self.points.iter().filter(|point| *point.time > *after).cloned().collect();
        serde_json::to_string(&Self { interval_s: self.interval_s, points, last: None })
    }
}
