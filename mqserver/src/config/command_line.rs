//! The settings that the command line may make, above all others.

use super::{Admin, Config, Place, SETTINGS};
use std::net::SocketAddr;

/// The options of `mqserver run` that are settings.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CommandLine {
    /// Where clients connect; may be repeated [default: 127.0.0.1:8008]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<SocketAddr>,
    /// Where clients connect that speak TLS; may be repeated [default: nowhere]
    #[arg(long, value_name = "ADDR")]
    pub listen_tls: Vec<SocketAddr>,
    /// Where the admin page is, or off [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR|off")]
    pub admin: Option<Admin>,
    /// Serve beyond this machine even without TLS, or with open registration
    #[arg(long)]
    pub insecure: bool,
}

impl CommandLine {
    pub(super) fn apply(&self, config: &mut Config) {
        if !self.listen.is_empty() {
            config.listen.clone_from(&self.listen);
            made(config, "listen", "--listen");
        }
        if !self.listen_tls.is_empty() {
            config.listen_tls.clone_from(&self.listen_tls);
            made(config, "listen_tls", "--listen-tls");
        }
        if let Some(admin) = self.admin {
            config.admin = admin.address();
            made(config, "admin", "--admin");
        }
        if self.insecure {
            config.insecure = true;
            made(config, "insecure", "--insecure");
        }
    }
}

fn made(config: &mut Config, name: &str, option: &'static str) {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.name() == name) {
        config.made(setting, Place::Option { option });
    }
}
