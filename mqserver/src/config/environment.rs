//! Settings from the environment: `MQSERVER_LIMITS_CONNECTIONS` for `connections` in `[limits]`.

use super::problem::{Place, Problem, suggest};
use super::setting::{Given, Kind, Setting};
use super::{Config, SETTINGS};
use std::ffi::OsString;

/// What our variables begin with. One that is no setting of ours is an error.
pub(super) const PREFIX: &str = "MQSERVER_";
/// The store's directory, which the command line reads.
pub const STORE: &str = "MQSERVER_STORE";

/// Makes the settings, and says what is wrong with others.
pub(super) fn apply(
    variables: impl Iterator<Item = (OsString, OsString)>,
    config: &mut Config,
) -> Vec<Problem> {
    let ours = variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX) && name != STORE);
    let mut ours: Vec<_> = ours.collect();
    ours.sort();
    let mut problems = Vec::new();
    for (variable, value) in ours {
        let place = Place::Variable { variable: variable.clone() };
        let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == variable) else {
            let suggestion = suggest(&variable, SETTINGS.iter().map(Setting::variable));
            let error = "no setting has this name".to_owned();
            problems.push(Problem { suggestion, ..Problem::new(place, error) });
            continue;
        };
        let made = match value.into_string() {
            Ok(text) => setting.set(config, given(setting, &text)),
            Err(_) => Err(format!("{} is not UTF-8", setting.name())),
        };
        match made {
            Ok(()) => config.made(setting, place),
            Err(error) => problems.push(Problem::new(place, error)),
        }
    }
    problems
}

/// What a text means as a value of the setting: what it cannot be remains a text.
fn given(setting: &Setting, text: &str) -> Given {
    let as_text = || Given::Text(text.to_owned());
    match setting.kind {
        Kind::Number { .. } => text.parse().map_or_else(|_| as_text(), Given::Number),
        Kind::Flag { .. } => text.parse().map_or_else(|_| as_text(), Given::Flag),
        Kind::Text { .. } => as_text(),
        // With commas between them.
        Kind::List { .. } => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Given::List(parts.map(str::to_owned).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;
    use std::path::PathBuf;

    fn read(variables: &[(&str, &str)]) -> (Config, Vec<String>) {
        let mut config = Config::new(PathBuf::from("store"));
        let pairs = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let problems = apply(pairs, &mut config);
        (config, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_setting_has_a_variable_of_its_own_and_takes_its_own_value_there() {
        let default = Config::new(PathBuf::from("store"));
        for setting in SETTINGS {
            let text = match setting.value(&default) {
                Value::List(all) => all.join(","),
                Value::Text(text) => text,
                other => other.to_string(),
            };
            let (config, problems) = read(&[(&setting.variable(), &text)]);
            assert_eq!(problems, [""; 0], "{}", setting.name());
            assert_eq!(setting.value(&config), setting.value(&default));
            let same = SETTINGS.iter().filter(|other| other.variable() == setting.variable());
            assert_eq!(same.count(), 1, "{}", setting.variable());
        }
    }

    #[test]
    fn what_a_variable_says_is_set() {
        let (config, problems) = read(&[
            ("MQSERVER_LISTEN", "127.0.0.1:1, [::1]:2"),
            ("MQSERVER_LISTEN_TLS", ""),
            ("MQSERVER_LIMITS_CONNECTIONS", "7"),
            ("MQSERVER_INSECURE", "true"),
            ("MQSERVER_STORE", "elsewhere"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(problems, [""; 0]);
        assert_eq!((config.listen.len(), config.listen_tls.len()), (2, 0));
        assert_eq!((config.door.connections, config.insecure), (7, true));
    }

    #[test]
    fn a_variable_that_is_wrong_is_named_with_what_it_may_be() {
        for (name, value, told) in [
            (
                "MQSERVER_LIMITS_CONECTIONS",
                "1",
                "MQSERVER_LIMITS_CONECTIONS: no setting has this name; did you mean \
                 `MQSERVER_LIMITS_CONNECTIONS`?",
            ),
            (
                "MQSERVER_LIMITS_QUEUE_MIB",
                "much",
                "MQSERVER_LIMITS_QUEUE_MIB: limits.queue_mib = \"much\" is not 1 to 1073741824 MiB",
            ),
            (
                "MQSERVER_LIMITS_PING_S",
                "0",
                "MQSERVER_LIMITS_PING_S: limits.ping_s = 0 is out of bounds: 1 to 86400 seconds",
            ),
            (
                "MQSERVER_INSECURE",
                "yes",
                "MQSERVER_INSECURE: insecure = \"yes\" is not true or false",
            ),
        ] {
            assert_eq!(read(&[(name, value)]).1, [told]);
        }
    }
}
