//! The hosts of a node, and the applications on them.

use catherd::{Cluster, ContextBuilder, ContextError, Manager};
use tower::Layer as _;

use super::member::whole;
use crate::apps::bench::Bench;
use crate::apps::examples::Examples;
use crate::config::{
    self, ContextConfig, CookieConfig, EngineConfig, HostConfig, ManagerConfig, ManagerKind,
    OnTimeout, Stale,
};
use crate::engine::{Application, Host, Hosts, mount};

/// Makes every context that the configuration asks for.
///
/// # Errors
///
/// What keeps one from being made, with the remedy.
pub(super) fn build(config: &EngineConfig, cluster: &Cluster) -> Result<Hosts, String> {
    let mut hosts = Vec::new();
    for host in &config.hosts {
        hosts.push(build_host(host, config, cluster)?);
    }
    Ok(Hosts::new(hosts, &config.default_host))
}

fn build_host(
    config: &HostConfig,
    engine: &EngineConfig,
    cluster: &Cluster,
) -> Result<Host, String> {
    // Hosts have contexts of the same path, and their sessions are not the same. What the default
    // host is called does not matter: members may call it differently.
    let prefix = if config.name == engine.default_host {
        ""
    } else {
        &config.name
    };
    let host = Host::new(&config.name);
    let mut host = config
        .aliases
        .iter()
        .fold(host, |host, alias| host.alias(alias));
    for context in &config.contexts {
        let builder = cluster
            .context(&context.path)
            .name(&format!("{prefix}{}", context.path))
            .rewrite_route(engine.jvm_route_binder.enabled);
        let builder = with_filter(builder, engine);
        let application = build_context(context, builder, cluster)
            .map_err(|error| format!("Context {}: {error}", context.path))?;
        host = host.with(&context.path, application);
    }
    Ok(host)
}

fn build_context(
    config: &ContextConfig,
    builder: ContextBuilder,
    cluster: &Cluster,
) -> Result<Box<dyn Application>, ContextError> {
    let ContextConfig {
        path: _,
        application,
        display_name: _,
        // What came of it is `replicated`.
        distributable: _,
        replicated,
        manager: sessions,
        session_timeout,
        cookie,
    } = config;
    let builder = with_cookie(builder, cookie).manager(manager(sessions, *replicated));
    let builder = match session_timeout {
        Some(limit) => builder.max_inactive(*limit),
        None => builder.never_inactive(),
    };
    let layer = builder.build()?.layer();
    Ok(match application {
        config::Application::Examples => {
            let examples = Examples::new(cluster.clone(), *replicated);
            mount(layer.layer(examples.router()))
        }
        config::Application::Bench => mount(layer.layer(Bench)),
    })
}

fn with_filter(builder: ContextBuilder, engine: &EngineConfig) -> ContextBuilder {
    let valve = engine
        .cluster
        .as_ref()
        .and_then(|cluster| cluster.replication_valve.as_ref());
    match valve.and_then(|valve| valve.filter.clone()) {
        Some(filter) => builder.filter(filter),
        None => builder,
    }
}

fn with_cookie(builder: ContextBuilder, config: &CookieConfig) -> ContextBuilder {
    let CookieConfig {
        name,
        path,
        domain,
        http_only,
    } = config;
    let builder = builder
        .cookie_name(name)
        .cookie_path(path)
        .cookie_http_only(*http_only);
    match domain {
        Some(domain) => builder.cookie_domain(domain),
        None => builder,
    }
}

/// Every field is named here, so that one that is new is not forgotten: what is passed over has no
/// effect in this release, which `catherd check` says.
fn manager(config: &ManagerConfig, replicated: bool) -> Manager {
    let ManagerConfig {
        kind,
        max_active_sessions,
        max_lifetime,
        use_dirty_flag,
        access_timeout,
        stale,
        expire_tolerance,
        tombstone_life,
        max_tombstones,
        max_session_bytes,
        state_transfer_timeout,
        on_state_transfer_timeout,
        expire_sessions_on_shutdown: _,
        send_cluster_domain_only: _,
    } = config;
    let manager = match kind {
        ManagerKind::Delta if replicated => Manager::delta(),
        // Without a cluster there is nobody who could hold a copy.
        ManagerKind::Delta | ManagerKind::Standard => Manager::standard(),
    };
    let mut manager = manager
        .use_dirty_flag(*use_dirty_flag)
        .max_session_bytes(whole(*max_session_bytes))
        .access_timeout(*access_timeout)
        .stale(match stale {
            Stale::Degraded => catherd::Stale::Degraded,
            Stale::Refuse => catherd::Stale::Refuse,
        })
        .max_tombstones(whole(*max_tombstones))
        .expire_tolerance(*expire_tolerance)
        .state_transfer_timeout(*state_transfer_timeout)
        .on_state_transfer_timeout(match on_state_transfer_timeout {
            OnTimeout::Start => catherd::OnTransferTimeout::Start,
            OnTimeout::StayClosed => catherd::OnTransferTimeout::StayClosed,
        });
    if let Some(sessions) = max_active_sessions {
        manager = manager.max_active_sessions(whole(*sessions));
    }
    if let Some(lifetime) = max_lifetime {
        manager = manager.max_lifetime(*lifetime);
    }
    match tombstone_life {
        Some(life) => manager.tombstone_life(*life),
        None => manager,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::path::PathBuf;
    use std::time::Duration;

    use http::{Request, header};

    use super::*;
    use crate::config::JvmRouteBinderConfig;
    use crate::engine::Engine;
    use crate::http::Body;

    /// A node with `/bench`, whose cookie is not the usual one.
    fn engine(rewrites: bool) -> Engine {
        let context = ContextConfig {
            path: "/bench".to_owned(),
            application: config::Application::Bench,
            display_name: None,
            distributable: false,
            replicated: false,
            manager: ManagerConfig::default(),
            session_timeout: Some(Duration::from_secs(60)),
            cookie: CookieConfig {
                name: "SID".to_owned(),
                path: "/".to_owned(),
                domain: Some("shop.example".to_owned()),
                http_only: false,
            },
        };
        let config = EngineConfig {
            name: "Catalina".to_owned(),
            default_host: "localhost".to_owned(),
            jvm_route: None,
            hosts: vec![HostConfig {
                name: "localhost".to_owned(),
                aliases: Vec::new(),
                app_base: PathBuf::new(),
                contexts: vec![context],
            }],
            cluster: None,
            jvm_route_binder: JvmRouteBinderConfig { enabled: rewrites },
        };
        let cluster = Cluster::builder()
            .node_name("node01")
            .start_local()
            .unwrap();
        let hosts = build(&config, &cluster).unwrap();
        Engine::new(cluster, hosts)
    }

    /// The `Set-Cookie` of the answer to a request that shows `cookie`.
    async fn set_cookie(engine: &Engine, cookie: &str) -> Option<String> {
        let request = Request::get("/bench/session?size=10")
            .header(header::HOST, "localhost")
            .header(header::COOKIE, cookie)
            .body(Body::empty())
            .unwrap();
        let response = engine
            .answer(request, IpAddr::V4(Ipv4Addr::LOCALHOST))
            .await;
        let header = response.headers().get(header::SET_COOKIE)?;
        Some(header.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn the_cookie_is_the_one_that_the_configuration_describes() {
        let engine = engine(true);
        let given = set_cookie(&engine, "").await.unwrap();
        let (pair, attributes) = given.split_once(';').unwrap();
        assert!(
            pair.starts_with("SID=") && pair.ends_with(".node01"),
            "{pair}"
        );
        assert_eq!(attributes, " Path=/; Domain=shop.example; SameSite=Lax");
        assert_eq!(set_cookie(&engine, pair).await, None, "it is known again");
    }

    #[tokio::test]
    async fn the_route_of_another_node_is_replaced_unless_the_valve_is_off() {
        for rewrites in [true, false] {
            let engine = engine(rewrites);
            let given = set_cookie(&engine, "").await.unwrap();
            let pair = given.split(';').next().unwrap();
            let from_another = pair.replace(".node01", ".node02");
            let replaced = set_cookie(&engine, &from_another).await;
            assert_eq!(replaced.is_some(), rewrites, "{replaced:?}");
        }
    }
}
