//! The metrics for an OpenTelemetry collector, pushed as OTLP over HTTP in JSON (feature `otel`).
//!
//! It does what the variables of the OpenTelemetry specification say, and nothing without them. A
//! collector is expected nearby: TLS is not spoken. What is pushed is what `/metrics` tells; of the
//! SDK nothing is needed for that, nor would it take histograms that are made already.

use super::Metrics;
use super::family::{Family, Kind, Label, Value};
use axum::body::Body;
use axum::http::{Request, Uri, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
const SERVICE: &str = "OTEL_SERVICE_NAME";
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Counters and buckets are told from the start on.
const CUMULATIVE: u8 = 2;

/// Where the metrics go, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Export {
    to: Uri,
    every: Duration,
    service: String,
}

/// Why they did not get there. Told to the operator.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("{0} is no http:// address")]
    Address(Uri),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error(transparent)]
    Request(#[from] axum::http::Error),
    #[error("the collector answers {0}")]
    Refused(hyper::StatusCode),
    #[error("the collector does not answer in time")]
    Silent,
}

/// Pushes the metrics until it is dropped, if the environment says where to.
pub(super) async fn push(metrics: &Metrics) {
    let export = match Export::from(|name| std::env::var(name).ok()) {
        Ok(Some(export)) => export,
        Ok(None) => return,
        Err(why) => return tracing::warn!(%why, "no metrics are pushed"),
    };
    tracing::info!(to = %export.to, every = ?export.every, "metrics are pushed");
    let mut failing = false;
    let mut ticks = interval(export.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let gathered = metrics.gather(true).await;
        let families = gathered.families(&metrics.0.sources.ledger);
        let message = export.message(&families, gathered.started, SystemTime::now());
        match timeout(PATIENCE, export.send(&message)).await.unwrap_or(Err(ExportError::Silent)) {
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, to = %export.to, "metrics cannot be pushed");
            }
            Ok(()) if failing => {
                failing = false;
                tracing::info!(to = %export.to, "metrics are pushed again");
            }
            _ => {}
        }
    }
}

impl Export {
    /// What the variables say; `None` if they say nothing.
    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let base = |base: String| format!("{}/v1/metrics", base.trim_end_matches('/'));
        let Some(to) = set(METRICS_ENDPOINT).or_else(|| set(ENDPOINT).map(base)) else {
            return Ok(None);
        };
        let to: Uri = to.parse().map_err(|error| format!("{to}: {error}"))?;
        if to.scheme_str() != Some("http") || to.host().is_none() {
            return Err(ExportError::Address(to).to_string());
        }
        let millis = match set(INTERVAL) {
            None => 60_000,
            Some(text) => match text.parse() {
                Ok(millis @ 100..) => millis,
                _ => return Err(format!("{INTERVAL} = {text} is no number of milliseconds")),
            },
        };
        let service = set(SERVICE).unwrap_or_else(|| "mqserver".to_owned());
        Ok(Some(Self { to, every: Duration::from_millis(millis), service }))
    }

    async fn send(&self, message: &Json) -> Result<(), ExportError> {
        let wrong = || ExportError::Address(self.to.clone());
        let host = self.to.host().ok_or_else(wrong)?.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, self.to.port_u16().unwrap_or(80))).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let path = self.to.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::post(path)
            .header(header::HOST, self.to.authority().ok_or_else(wrong)?.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(message.to_string()))?;
        let answer = sender.send_request(request).await;
        connection.abort();
        let status = answer?.status();
        if status.is_success() { Ok(()) } else { Err(ExportError::Refused(status)) }
    }

    /// An ExportMetricsServiceRequest.
    fn message(&self, families: &[Family], started: SystemTime, now: SystemTime) -> Json {
        let (started, now) = (nanos(started), nanos(now));
        let metrics: Vec<Json> =
            families.iter().map(|family| metric(family, &started, &now)).collect();
        let version = env!("CARGO_PKG_VERSION");
        let resource =
            [attribute("service.name", &self.service), attribute("service.version", version)];
        let scope = json!({"name": "mqserver", "version": version});
        json!({"resourceMetrics": [{
            "resource": {"attributes": resource},
            "scopeMetrics": [{"scope": scope, "metrics": metrics}],
        }]})
    }
}

fn metric(family: &Family, started: &str, now: &str) -> Json {
    let Family { name, help, kind, values } = family;
    let points: Vec<Json> =
        values.iter().map(|(labels, value)| point(labels, value, started, now)).collect();
    let unit = match name {
        name if name.ends_with("_seconds") => "s",
        name if name.ends_with("_bytes") => "By",
        _ => "1",
    };
    let mut metric = json!({"name": name, "description": help, "unit": unit});
    let (kind, data) = match kind {
        Kind::Gauge => ("gauge", json!({"dataPoints": points})),
        Kind::Counter => (
            "sum",
            json!({
                "dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": true
            }),
        ),
        Kind::Histogram => {
            ("histogram", json!({"dataPoints": points, "aggregationTemporality": CUMULATIVE}))
        }
    };
    metric[kind] = data;
    metric
}

/// Whole numbers are strings, as in all JSON of protobuf.
fn point(labels: &[Label], value: &Value, started: &str, now: &str) -> Json {
    let labels: Vec<Json> = labels.iter().map(|(name, value)| attribute(name, value)).collect();
    let mut point =
        json!({"attributes": labels, "startTimeUnixNano": started, "timeUnixNano": now});
    match value {
        Value::Whole(value) => point["asInt"] = json!(value.to_string()),
        Value::Real(value) => point["asDouble"] = json!(value),
        Value::Sizes(sizes, per_unit) => {
            let (bounds, counts): (Vec<_>, Vec<_>) = sizes.buckets().unzip();
            let bounds: Vec<f64> =
                bounds.into_iter().flatten().map(|bound| bound as f64 / per_unit).collect();
            let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
            point["count"] = json!(sizes.count().to_string());
            point["sum"] = json!(sizes.sum() as f64 / per_unit);
            point["bucketCounts"] = json!(counts);
            point["explicitBounds"] = json!(bounds);
        }
    }
    point
}

fn attribute(key: &str, value: &str) -> Json {
    json!({"key": key, "value": {"stringValue": value}})
}

fn nanos(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::family::NANOS;
    use super::*;
    use mqlib::histogram::Histogram;

    fn from(set: &[(&str, &str)]) -> Result<Option<Export>, String> {
        Export::from(|name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_variables_of_the_specification_say_where_and_how_often() {
        assert_eq!(from(&[]), Ok(None));
        let export = from(&[(ENDPOINT, "http://localhost:4318/")]).unwrap().unwrap();
        assert_eq!(export.to, "http://localhost:4318/v1/metrics");
        assert_eq!((export.every.as_secs(), export.service.as_str()), (60, "mqserver"));
        let own = [
            (ENDPOINT, "http://a"),
            (METRICS_ENDPOINT, "http://b/x"),
            (INTERVAL, "500"),
            (SERVICE, "mq"),
        ];
        let export = from(&own).unwrap().unwrap();
        assert_eq!(export.to, "http://b/x");
        assert_eq!((export.every.as_millis(), export.service.as_str()), (500, "mq"));
        for wrong in [
            vec![(ENDPOINT, "https://localhost")],
            vec![(ENDPOINT, "localhost")],
            vec![(ENDPOINT, "http://localhost"), (INTERVAL, "often")],
            vec![(ENDPOINT, "http://localhost"), (INTERVAL, "0")],
        ] {
            from(&wrong).unwrap_err();
        }
    }

    #[test]
    fn each_kind_is_told_as_otlp_has_it() {
        let export = from(&[(ENDPOINT, "http://localhost")]).unwrap().unwrap();
        let mut sizes = Histogram::new(&[500_000_000]);
        for size in [1, 1_000_000_000] {
            sizes.add(size);
        }
        let families = [
            Family::by("a", "A", Kind::Counter, "of", [("x", 1)]),
            Family::real("b_seconds", "B", 0.5),
            Family::sizes("c_seconds", "C", sizes, NANOS),
        ];
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let message = export.message(&families, at(1), at(2));
        let metrics = &message["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        assert_eq!(
            metrics[0],
            json!({"name": "a", "description": "A", "unit": "1", "sum": {
                "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [{
                    "attributes": [{"key": "of", "value": {"stringValue": "x"}}],
                    "startTimeUnixNano": "1000000000", "timeUnixNano": "2000000000", "asInt": "1"
                }]
            }})
        );
        assert_eq!(metrics[1]["gauge"]["dataPoints"][0]["asDouble"], 0.5);
        assert_eq!(metrics[1]["unit"], "s");
        let point = &metrics[2]["histogram"]["dataPoints"][0];
        assert_eq!(point["bucketCounts"], json!(["1", "1"]));
        assert_eq!((&point["explicitBounds"], &point["count"]), (&json!([0.5]), &json!("2")));
    }
}
