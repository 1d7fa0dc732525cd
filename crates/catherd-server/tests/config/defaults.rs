//! What there is when nothing is said.

use std::time::Duration;

use catherd_server::config::{
    Application, ClusterConfig, ConnectorConfig, ManagerConfig, MembershipConfig, ReceiverConfig,
    SenderConfig, ServerConfig, load,
};

use crate::base::Base;

#[test]
fn an_empty_directory_is_a_valid_installation() {
    let base = Base::empty();
    let report = load(base.path());
    assert_eq!(report.diagnostics, []);
    let mut expected = ServerConfig {
        base: base.path().to_path_buf(),
        ..ServerConfig::default()
    };
    expected.engine.hosts[0].app_base = base.path().join("webapps");
    assert_eq!(report.config, Some(expected));
}

#[test]
fn an_empty_server_is_as_no_file() {
    let without = Base::empty();
    let mut expected = without.config();
    for text in ["<Server/>", "<Server><Service><Engine/></Service></Server>"] {
        let base = Base::with_server_xml(text);
        assert_eq!(base.lines(), Vec::<String>::new());
        expected.base = base.path().to_path_buf();
        expected.engine.hosts[0].app_base = base.path().join("webapps");
        assert_eq!(base.config(), expected, "{text}");
    }
}

#[test]
fn a_missing_base_directory_is_an_error() {
    let base = Base::empty();
    let missing = base.path().join("nowhere");
    let report = load(&missing);
    assert_eq!(report.config, None);
    assert_eq!(
        report.diagnostics[0].to_string(),
        format!(
            "{}:1:1: error: no such directory; make it, or name another base directory",
            missing.display()
        )
    );
}

/// HOW-TO, "Quick Start": the `Cluster` element switches clustering on; all parts have defaults.
#[test]
fn a_cluster_without_anything_inside_has_the_documented_defaults() {
    let base = Base::with_engine("<Cluster/>");
    let cluster: ClusterConfig = base.config().engine.cluster.unwrap();
    assert_eq!(base.lines(), Vec::<String>::new());
    assert_eq!(cluster.host, None);
    assert_eq!(cluster.id, "catherd");
    assert_eq!(cluster.key, None);
    assert!(!cluster.allow_plaintext);
    assert_eq!(cluster.repair_interval, Duration::from_secs(30));
    assert_eq!(cluster.missing_for, Duration::from_secs(3600));
    assert_eq!(cluster.membership, MembershipConfig::default());
    assert_eq!(cluster.receiver, ReceiverConfig::default());
    assert_eq!(cluster.sender, SenderConfig::default());
    assert_eq!(cluster.replication_valve, None);
}

#[test]
fn values_that_are_given_count() {
    let base = Base::with_server_xml(
        r#"<Server port="7005" shutdown="stop now"><Service>
<Connector address="::1" port="0" maxKeepAliveRequests="-1" connectionTimeout="5"
  protocol="org.apache.coyote.http11.Http11Protocol"/>
<Connector port="8081" connectionTimeout="-1" keepAliveTimeout="9"/>
<Engine name="E" defaultHost="WWW.example.org"><Host name="a"/><Host name="Example.org">
<Alias>www.example.org</Alias></Host></Engine></Service></Server>"#,
    );
    assert_eq!(base.lines(), Vec::<String>::new());
    let config = base.config();
    let shutdown = config.shutdown.unwrap();
    assert_eq!((shutdown.port, shutdown.word.as_str()), (7005, "stop now"));
    let [first, second] = config.connectors.as_slice() else {
        panic!("two connectors")
    };
    assert_eq!(
        *first,
        ConnectorConfig {
            address: "[::1]:0".parse().unwrap(),
            max_keep_alive_requests: None,
            connection_timeout: Some(Duration::from_millis(5)),
            keep_alive_timeout: Some(Duration::from_millis(5)),
        }
    );
    assert_eq!(second.connection_timeout, None);
    assert_eq!(second.keep_alive_timeout, Some(Duration::from_millis(9)));
    assert_eq!(config.engine.name, "E");
    assert_eq!(config.engine.default_host, "example.org");
    assert_eq!(config.engine.hosts[1].aliases, ["www.example.org"]);
}

#[test]
fn the_shutdown_port_can_be_switched_off() {
    assert_eq!(
        Base::with_server_xml(r#"<Server port="-1"/>"#)
            .config()
            .shutdown,
        None
    );
}

#[test]
fn a_context_has_the_documented_defaults() {
    let base = Base::with_engine(r#"<Host name="h"><Context path="/bench"/></Host>"#);
    let context = base.config().engine.hosts[0].contexts[0].clone();
    assert_eq!(context.application, Application::Bench);
    assert!(!context.distributable && !context.replicated);
    assert_eq!(context.manager, ManagerConfig::default());
    assert_eq!(context.session_timeout, Some(Duration::from_secs(1800)));
    assert_eq!(context.cookie.name, "JSESSIONID");
    assert_eq!(context.cookie.path, "/bench");
    assert_eq!(context.cookie.domain, None);
    assert!(context.cookie.http_only);
}
