//! The hosts of a node, and the applications on them.

use catherd::{Cluster, Context, Manager};
use tower::Layer as _;

use super::member::whole;
use crate::apps::bench::Bench;
use crate::apps::examples::Examples;
use crate::config::{
    ApplicationKind, ContextConfig, HostConfig, ManagerConfig, ManagerKind, ServerConfig, Stale,
};
use crate::engine::{Application, Host, Hosts, mount};

/// Makes every context that the configuration asks for.
///
/// # Errors
///
/// What keeps one from being made, with the remedy.
pub(super) fn build(config: &ServerConfig, cluster: &Cluster) -> Result<Hosts, String> {
    let mut hosts = Vec::new();
    for host in &config.hosts {
        // Hosts have contexts of the same path, and their sessions are not the same. What the
        // default host is called does not matter: members may call it differently.
        let prefix = if host.name == config.default_host { "" } else { &host.name };
        hosts.push(build_host(host, prefix, cluster)?);
    }
    Ok(Hosts::new(hosts, &config.default_host))
}

fn build_host(config: &HostConfig, prefix: &str, cluster: &Cluster) -> Result<Host, String> {
    let host = Host::new(&config.name);
    let mut host = config.aliases.iter().fold(host, |host, alias| host.alias(alias));
    for context in &config.contexts {
        let application = build_context(prefix, context, cluster)
            .map_err(|error| format!("Context {}: {error}", context.path))?;
        host = host.with(&context.path, application);
    }
    Ok(host)
}

fn build_context(
    prefix: &str,
    config: &ContextConfig,
    cluster: &Cluster,
) -> Result<Box<dyn Application>, catherd::ContextError> {
    let is_replicated = config.manager.kind == ManagerKind::Delta;
    let context = cluster
        .context(&config.path)
        .name(&format!("{prefix}{}", config.path))
        .manager(manager(&config.manager));
    let context = match config.max_inactive {
        Some(limit) => context.max_inactive(limit),
        None => context.never_inactive(),
    };
    let context = match &config.cookie_path {
        Some(path) => context.cookie_path(path),
        None => context,
    };
    let layer = Context::layer(&context.build()?);
    Ok(match config.application {
        ApplicationKind::Examples => {
            let examples = Examples::new(cluster.clone(), is_replicated);
            mount(layer.layer(examples.router()))
        }
        ApplicationKind::Bench => mount(layer.layer(Bench)),
    })
}

fn manager(config: &ManagerConfig) -> Manager {
    let manager = match config.kind {
        ManagerKind::Delta => Manager::delta(),
        ManagerKind::Standard => Manager::standard(),
    };
    let mut manager = manager
        .use_dirty_flag(config.use_dirty_flag)
        .max_session_bytes(whole(config.max_session_bytes))
        .access_timeout(config.access_timeout)
        .stale(match config.stale {
            Stale::Degraded => catherd::Stale::Degraded,
            Stale::Refuse => catherd::Stale::Refuse,
        })
        .max_tombstones(whole(config.max_tombstones))
        .expire_tolerance(config.expire_tolerance);
    if let Some(sessions) = config.max_active_sessions {
        manager = manager.max_active_sessions(whole(sessions));
    }
    match config.tombstone_life {
        Some(life) => manager.tombstone_life(life),
        None => manager,
    }
}
