//! The hosts of a node, and the applications on them.

use catherd::{Cluster, Manager};
use tower::Layer as _;

use super::member::whole;
use crate::apps::bench::Bench;
use crate::apps::examples::Examples;
use crate::config::{
    self, ContextConfig, EngineConfig, HostConfig, ManagerConfig, ManagerKind, Stale,
};
use crate::engine::{Application, Host, Hosts, mount};

/// Makes every context that the configuration asks for.
///
/// # Errors
///
/// What keeps one from being made, with the remedy.
pub(super) fn build(config: &EngineConfig, cluster: &Cluster) -> Result<Hosts, String> {
    if !config.jvm_route_binder.enabled {
        // The route says who knows the session best; without it every request would ask.
        tracing::warn!(
            word = "enabled of JvmRouteBinderValve",
            "a word of the configuration has no effect"
        );
    }
    let mut hosts = Vec::new();
    for host in &config.hosts {
        // Hosts have contexts of the same path, and their sessions are not the same. What the
        // default host is called does not matter: members may call it differently.
        let prefix = if host.name == config.default_host {
            ""
        } else {
            &host.name
        };
        hosts.push(build_host(host, prefix, cluster)?);
    }
    Ok(Hosts::new(hosts, &config.default_host))
}

fn build_host(config: &HostConfig, prefix: &str, cluster: &Cluster) -> Result<Host, String> {
    let host = Host::new(&config.name);
    let mut host = config
        .aliases
        .iter()
        .fold(host, |host, alias| host.alias(alias));
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
    let context = cluster
        .context(&config.path)
        .name(&format!("{prefix}{}", config.path))
        .manager(manager(config))
        .cookie_path(&config.cookie.path);
    let context = match config.session_timeout {
        Some(limit) => context.max_inactive(limit),
        None => context.never_inactive(),
    };
    note_what_is_not_done(config);
    let layer = context.build()?.layer();
    Ok(match config.application {
        config::Application::Examples => {
            let examples = Examples::new(cluster.clone(), config.replicated);
            mount(layer.layer(examples.router()))
        }
        config::Application::Bench => mount(layer.layer(Bench)),
    })
}

/// The cookie of this release has one name and one form.
fn note_what_is_not_done(config: &ContextConfig) {
    let ContextConfig { path, cookie, .. } = config;
    let words = [
        (cookie.name != "JSESSIONID", "sessionCookieName"),
        (cookie.domain.is_some(), "sessionCookieDomain"),
        (!cookie.http_only, "useHttpOnly"),
    ];
    for (_, word) in words.into_iter().filter(|(is_said, _)| *is_said) {
        tracing::warn!(
            context = path,
            word,
            "a word of the configuration has no effect"
        );
    }
}

fn manager(context: &ContextConfig) -> Manager {
    let config: &ManagerConfig = &context.manager;
    let manager = match config.kind {
        ManagerKind::Delta if context.replicated => Manager::delta(),
        // Without a cluster there is nobody who could hold a copy.
        ManagerKind::Delta | ManagerKind::Standard => Manager::standard(),
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
