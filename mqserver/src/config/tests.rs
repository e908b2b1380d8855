use super::*;
use std::time::Duration;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../mqstore.example");

fn read(text: &str) -> Result<Config, String> {
    let mut config = Config::new(PathBuf::from("store"));
    let problems = file::apply(Path::new(FILE), text, &mut config);
    if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems).to_string()) }
}

#[test]
fn settings_replace_defaults() {
    let config = read(
        "listen = [\"0.0.0.0:1\", \"[::1]:2\"]\nadmin = \"off\"\n\
         [limits]\nmax_message_mib = 2\n[spool]\nlinger_ms = 0\n[journal]\nsegments = 8",
    )
    .unwrap();
    assert_eq!((config.listen.len(), config.admin, config.limits.max_message), (2, None, 2 << 20));
    assert_eq!((config.storage.linger, config.storage.segments), (Duration::ZERO, 8));
}

#[test]
fn registration_is_open_by_default_on_the_loopback_only() {
    for (text, registration) in [
        ("", Registration::Open),
        ("listen = [\"127.0.0.1:1\", \"[::1]:2\"]", Registration::Open),
        ("listen = [\"127.0.0.1:1\", \"0.0.0.0:2\"]", Registration::Closed),
        ("listen = [\"0.0.0.0:2\"]\n[accounts]\nregistration = \"open\"", Registration::Open),
        ("[accounts]\nregistration = \"invite\"", Registration::Invite),
    ] {
        assert_eq!(read(text).unwrap().registration(), registration, "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_column_and_what_it_may_be() {
    for (text, told) in [
        (
            "[accounts]\nregistration = \"all\"",
            "2:16: accounts.registration = \"all\" is not \"open\", \"invite\" or \"closed\"",
        ),
        (
            "# a comment\n\n[limits]\n  nodes_per_user = 101",
            "4:20: limits.nodes_per_user = 101 is out of bounds: 1 to 100 nodes",
        ),
        ("[limits]\nping_s = -1", "2:10: limits.ping_s = -1 is out of bounds: 1 to 86400 seconds"),
        (
            "[limits]\nping_s = 99999999999999999999",
            "2:10: limits.ping_s = 99999999999999999999 is out of bounds: 1 to 86400 seconds",
        ),
        ("limits.ping_s = 1.5", "1:17: limits.ping_s = a number with a fraction is not 1 to 86400"),
        ("[limits]\nping_s = \"1\"", "2:10: limits.ping_s = \"1\" is not 1 to 86400 seconds"),
        (
            "[limits]\nconections = 1",
            "2:1: there is no setting `conections` in [limits]; did you mean `connections`?",
        ),
        (
            "listne = []",
            "1:1: there is no setting `listne` above all sections; did you mean `listen`?",
        ),
        (
            "queue_mib = 3",
            "1:1: there is no setting `queue_mib` above all sections; did you mean \
             `limits.queue_mib`?",
        ),
        ("zzz = 1", "1:1: there is no setting `zzz` above all sections"),
        ("[limit]\nto = 1", "1:2: there is no section [limit]; did you mean `limits`?"),
        ("limits = 1", "1:1: limits is a section: [limits]"),
        ("admin = \"here\"", "1:9: admin = \"here\" is not an address like"),
        ("listen = [\"here\"]", "1:10: listen = [\"here\"] is not a list of addresses like"),
        ("listen = [1]", "1:10: listen = a list is not a list of addresses like"),
        ("insecure = \"yes\"", "1:12: insecure = \"yes\" is not true or false"),
        ("insecure = true\nlisten = ", "2:10: "),
        ("insecure = true\ninsecure = true", "2:1: duplicate key"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(&format!("{FILE}:{told}")), "{text}\n{error}\n{told}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let error =
        read("lisen = []\n[limits]\nto = 0\nfrom = 1\n[spool]\nbacklog = true").unwrap_err();
    let places: Vec<_> = error.lines().filter_map(|line| line.split(' ').next()).collect();
    let expected = [1, 3, 4, 6].map(|line| format!("{FILE}:{line}:"));
    assert_eq!(places.len(), 4, "{error}");
    for place in expected {
        assert!(places.iter().any(|found| found.starts_with(&place)), "{place} in {error}");
    }
}

#[test]
fn the_command_line_goes_above_the_rest_and_is_named() {
    let command_line = CommandLine {
        listen: vec!["127.0.0.1:1".parse().unwrap()],
        admin: Some(Admin::Off),
        ..CommandLine::default()
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), "listen = []\ninsecure = true").unwrap();
    let config = Source::new(dir.path().to_owned(), command_line).read().unwrap();
    assert_eq!((config.listen.len(), config.admin, config.insecure), (1, None, true));
    let places = ["listen", "listen_tls", "insecure"].map(|name| {
        let setting = SETTINGS.iter().find(|setting| setting.name() == name).unwrap();
        config.place(setting).map_or("default".into(), ToString::to_string)
    });
    let line = format!("{}:2:1", dir.path().join(FILE).display());
    assert_eq!(places, ["--listen".to_owned(), "default".to_owned(), line]);
}

/// The example's text, with what is commented out (`#key = value`) or not.
fn example(all: bool) -> String {
    let text = std::fs::read_to_string(Path::new(EXAMPLE).join(FILE)).unwrap();
    let made = |line: &str| match line.strip_prefix('#') {
        Some(setting) if all && !setting.starts_with(' ') => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(made).collect()
}

/// Each setting of it: name, value, and the comment above it and its neighbours.
fn documented() -> Vec<(String, String, String)> {
    let (mut section, mut comment, mut fresh) = (String::new(), String::new(), true);
    let mut found = Vec::new();
    for line in example(true).lines() {
        if let Some(text) = line.strip_prefix('#') {
            if std::mem::replace(&mut fresh, false) {
                comment.clear();
            }
            comment.extend([text.trim(), " "]);
        } else if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((key, value)) = line.split_once(" = ") {
            found.push((format!("{section}{key}"), value.to_owned(), comment.clone()));
            fresh = true;
        }
    }
    found
}

#[test]
fn the_example_names_every_setting_with_its_default_its_unit_its_bounds_and_when_it_takes_effect() {
    let default = Config::new(PathBuf::from("store"));
    let found = documented();
    let names: Vec<_> = found.iter().map(|(name, ..)| name.clone()).collect();
    assert_eq!(names, SETTINGS.iter().map(Setting::name).collect::<Vec<_>>());
    for (setting, (name, value, comment)) in SETTINGS.iter().zip(&found) {
        assert_eq!(*value, setting.value(&default).to_string(), "{name}");
        if let Some((least, most)) = setting.bounds() {
            let bounds = format!("{least}-{most} {}", setting.unit);
            assert!(comment.contains(&bounds), "{name}: no {bounds:?} in {comment:?}");
        }
        let next = comment.contains("Next start.");
        assert_eq!(next, setting.effect == Effect::Start, "{name}: {comment:?}");
    }
}

#[test]
fn the_example_is_a_valid_configuration_with_the_defaults_even_with_all_settings_made() {
    let default = Config::new(PathBuf::from("store"));
    for all in [false, true] {
        let config = read(&example(all)).unwrap();
        for setting in SETTINGS {
            assert_eq!(setting.value(&config), setting.value(&default), "{}", setting.name());
        }
    }
}
