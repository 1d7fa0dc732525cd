//! What a `Cluster` may say, and what it has to.

use std::time::Duration;

use catherd_server::config::{ManagerKind, Mode, OnTimeout, Stale};

use crate::base::Base;

#[test]
fn properties_of_the_cluster_set_the_parts_that_are_not_written() {
    let base = Base::with_engine(
        r#"<Cluster 
  managerClassName="org.apache.catalina.cluster.session.SimpleTcpReplicationManager"
  clusterName="c" clusterId="shop.1" key="${KEY}" missingFor="60" manager.maxSessionBytes="2048"
  service.mcastPort="5000" receiver.tcpListenPort="0" sender.maxQueueBytes="65536"
  sender.waitForAck="false" sender.maxQueueLength="9" valve.primaryIndicator="true"/>"#,
    );
    assert_eq!(
        base.lines(),
        [
            "conf/server.xml:6:55: warning: attribute valve.primaryIndicator of Cluster has no \
          meaning here: a session has no primary node; remove it"
        ]
    );
    let cluster = base.config().engine.cluster.unwrap();
    assert_eq!(cluster.name.as_deref(), Some("c"));
    assert_eq!(cluster.id, "shop.1");
    assert_eq!(
        cluster.key.as_ref().unwrap().as_bytes(),
        b"0123456789abcdef"
    );
    assert!(!format!("{cluster:?}").contains("0123456789abcdef"));
    assert_eq!(cluster.missing_for, Duration::from_secs(60));
    assert_eq!(cluster.manager.kind, ManagerKind::Delta);
    assert!(
        !cluster.manager.use_dirty_flag,
        "the older manager sends whole sessions"
    );
    assert_eq!(cluster.manager.max_session_bytes, 2048);
    assert_eq!(cluster.membership.group.port(), 5000);
    assert_eq!(cluster.receiver.ports, 0..=0);
    assert_eq!(cluster.sender.max_queue_bytes, 65536);
    assert_eq!(cluster.sender.max_queue_length, Some(9));
    assert_eq!(
        (cluster.sender.mode, cluster.sender.wait_for_ack),
        (Mode::Synchronous, false)
    );
    assert!(cluster.replication_valve.is_some());
}

#[test]
fn properties_of_parts_that_are_written_are_reported() {
    let base = Base::with_engine(
        "<Cluster sender.ackTimeout=\"1\" valve.filter=\"x\" listener.x=\"y\">\n<Sender/>\
         <Valve className=\"ReplicationValve\"/></Cluster>",
    );
    assert_eq!(
        base.lines(),
        [
            "conf/server.xml:2:10: warning: sender.ackTimeout has no effect, as the Cluster has a \
             Sender of its own; write it on Sender",
            "conf/server.xml:2:32: warning: valve.filter has no effect, as the Cluster has a \
             Valve of its own; write it on Valve",
            "conf/server.xml:2:49: warning: listener.x has no meaning here: there are no Java \
             listeners to notify; remove it",
        ]
    );
    let sender = base.config().engine.cluster.unwrap().sender;
    assert_eq!(sender.ack_timeout, Duration::from_secs(15));
}

#[test]
fn every_attribute_of_a_manager_that_is_read_counts() {
    let base = Base::with_engine(
        r#"<Cluster><Manager maxActiveSessions="1" maxLifetime="9" useDirtyFlag="false" accessTimeout="2"
stale="refuse" expireTolerance="3" tombstoneLife="4" maxTombstones="5" maxSessionBytes="1024"
stateTransferTimeout="-1" onStateTransferTimeout="stay-closed" expireSessionsOnShutdown="true"
sendClusterDomainOnly="false" sessionIdLength="16"/></Cluster>"#,
    );
    let manager = base.config().engine.cluster.unwrap().manager;
    assert_eq!(manager.max_active_sessions, Some(1));
    assert_eq!(manager.max_lifetime, Some(Duration::from_secs(9)));
    assert!(!manager.use_dirty_flag);
    assert_eq!(manager.access_timeout, Duration::from_millis(2));
    assert_eq!(manager.stale, Stale::Refuse);
    assert_eq!(manager.expire_tolerance, Duration::from_secs(3));
    assert_eq!(manager.tombstone_life, Some(Duration::from_secs(4)));
    assert_eq!(manager.max_tombstones, 5);
    assert_eq!(manager.max_session_bytes, 1024);
    assert_eq!(manager.state_transfer_timeout, None);
    assert_eq!(manager.on_state_transfer_timeout, OnTimeout::StayClosed);
    assert!(manager.expire_sessions_on_shutdown);
    assert!(!manager.send_cluster_domain_only);
    let warnings = base.lines();
    let expected = ["expireSessionsOnShutdown", "sendClusterDomainOnly"];
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    for (warning, name) in warnings.iter().zip(expected) {
        let text = format!("attribute {name} of Manager has no effect in this release; remove it");
        assert!(warning.ends_with(&text), "{warning}");
    }
}

#[test]
fn members_beyond_loopback_need_a_word_for_the_plain_text() {
    let element = |allow: &str| {
        Base::with_engine(&format!(
            "<Cluster {allow}><Receiver tcpListenAddress=\"10.0.0.1\"/>\n\
             <Membership mcastBindAddress=\"10.0.0.2\"/></Cluster>"
        ))
    };
    assert_eq!(
        element("").lines(),
        [
            "conf/server.xml:2:21: error: encryption between nodes is not available in this \
             release: members would talk in the clear; set allowPlaintext=\"true\" on Cluster, or \
             tcpListenAddress=\"127.0.0.1\"",
            "conf/server.xml:3:13: error: encryption between nodes is not available in this \
             release: members would talk in the clear; set allowPlaintext=\"true\" on Cluster, or \
             mcastBindAddress=\"127.0.0.1\"",
        ]
    );
    let cluster = element("allowPlaintext=\"true\"")
        .config()
        .engine
        .cluster
        .unwrap();
    assert_eq!(cluster.receiver.address.to_string(), "10.0.0.1");
    assert_eq!(cluster.membership.bind_address.to_string(), "10.0.0.2");
}

#[test]
fn heartbeats_leave_by_the_interface_that_is_listened_on() {
    for (listen, bind) in [
        ("10.0.0.1", "10.0.0.1"),
        ("127.0.0.3", "127.0.0.3"),
        ("localhost", "127.0.0.1"),
        ("::1", "127.0.0.1"),
        ("fd00::1", "0.0.0.0"),
    ] {
        let base = Base::with_engine(&format!(
            "<Cluster allowPlaintext=\"true\"><Receiver tcpListenAddress=\"{listen}\"/></Cluster>"
        ));
        let membership = base.config().engine.cluster.unwrap().membership;
        assert_eq!(membership.bind_address.to_string(), bind, "{listen}");
    }
}

#[test]
fn send_options_are_the_newer_spelling_of_the_mode() {
    for (options, wait) in [
        ("6", true),
        ("2", true),
        ("4", false),
        ("0", false),
        ("sync, use_ack", true),
    ] {
        let base = Base::with_engine(&format!("<Cluster channelSendOptions=\"{options}\"/>"));
        let sender = base.config().engine.cluster.unwrap().sender;
        assert_eq!(
            (sender.mode, sender.wait_for_ack),
            (Mode::Synchronous, wait),
            "{options}"
        );
    }
    for options in ["8", "async", "10"] {
        let base = Base::with_engine(&format!("<Cluster channelSendOptions=\"{options}\"/>"));
        let sender = base.config().engine.cluster.unwrap().sender;
        assert_eq!(
            (sender.mode, sender.wait_for_ack),
            (Mode::Asynchronous, false),
            "{options}"
        );
    }
}

#[test]
fn the_four_modes_are_read_in_any_case() {
    for (text, mode) in [
        ("pooled", Mode::Pooled),
        ("synchronous", Mode::Synchronous),
        ("asynchronous", Mode::Asynchronous),
        ("fastasyncqueue", Mode::FastAsyncQueue),
        ("FastAsyncQueue", Mode::FastAsyncQueue),
    ] {
        let base = Base::with_engine(&format!(
            "<Cluster><Sender replicationMode=\"{text}\"/></Cluster>"
        ));
        assert_eq!(base.config().engine.cluster.unwrap().sender.mode, mode);
    }
}

#[test]
fn the_pool_of_sockets_is_read_in_both_spellings() {
    for text in [
        "<Sender maxPoolSocketLimit=\"3\" keepAliveTimeout=\"2000\" autoConnect=\"true\" \
         keepAliveMaxRequestCount=\"100\"/>",
        "<Channel><Sender><Transport poolSize=\"3\" keepAliveTime=\"2000\" autoConnect=\"true\" \
         keepAliveCount=\"100\"/></Sender></Channel>",
    ] {
        let base = Base::with_engine(&format!("<Cluster>{text}</Cluster>"));
        let sender = base.config().engine.cluster.unwrap().sender;
        assert_eq!(sender.max_pool_socket_limit, 3);
        assert_eq!(sender.keep_alive_timeout, Some(Duration::from_secs(2)));
        assert_eq!(sender.keep_alive_max_request_count, Some(100));
        assert!(sender.auto_connect);
    }
}

#[test]
fn a_filter_that_is_no_regular_expression_is_an_error() {
    let base = Base::with_engine(
        "<Cluster><Valve className=\"org.apache.catalina.cluster.tcp.ReplicationValve\" \
         filter=\".*\\.gif;(\"/></Cluster>",
    );
    let lines = base.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains(": error: a pattern of the filter is no regular expression"),
        "{lines:?}"
    );
}
