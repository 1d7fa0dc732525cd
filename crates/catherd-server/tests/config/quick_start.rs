//! The file of the HOW-TO.

use std::time::Duration;

use catherd_server::config::{ManagerKind, Mode};

use crate::base::Base;

/// `conf/server.xml` of Tomcat 5.5 after the steps of the HOW-TO, "Quick Start": the `Cluster`
/// and its `Valve` uncommented, and a `jvmRoute`.
const QUICK_START: &str = include_str!("quick-start.xml");

/// HOW-TO, "Quick Start": the one thing that this release does not do is the mode.
#[test]
fn the_file_of_the_quick_start_has_the_expected_warnings() {
    let found = Base::with_server_xml(QUICK_START).lines();
    let expected = [
        "2:3: warning: element Listener has no part here: there is no Java machine to listen to; \
         remove it",
        "3:3: warning: element Listener has no part here: there is no Java machine to listen to; \
         remove it",
        "4:3: warning: element GlobalNamingResources has no part here: there is no naming \
         service; remove it",
        "13:28: warning: attribute maxHttpHeaderSize of Connector has no meaning here: a \
         request's head may have 16 KiB and 100 lines; remove it",
        "14:16: warning: attribute maxThreads of Connector has no meaning here: requests and \
         connections are tasks, not threads; remove it",
        "14:33: warning: attribute minSpareThreads of Connector has no meaning here: requests and \
         connections are tasks, not threads; remove it",
        "14:54: warning: attribute maxSpareThreads of Connector has no meaning here: requests and \
         connections are tasks, not threads; remove it",
        "15:16: warning: attribute enableLookups of Connector has no meaning here: names of \
         clients are never looked up; remove it",
        "15:38: warning: attribute redirectPort of Connector has no meaning here: there is no \
         encrypted port to redirect to; remove it",
        "15:58: warning: attribute acceptCount of Connector has no meaning here: the operating \
         system bounds what waits to be accepted; remove it",
        "16:42: warning: attribute disableUploadTimeout of Connector has no meaning here: a body \
         may take as long as it pauses for less than 20 seconds; remove it",
        "17:5: warning: AJP/1.3 is not available in this release: port \"8009\" is not opened; \
         let the load balancer use an HTTP connector",
        "20:7: warning: element Realm has no part here: no application here asks who a user is; \
         remove it",
        "23:8: warning: attribute unpackWARs of Host has no meaning here: archives are not \
         deployed in this release; remove it",
        "23:26: warning: attribute autoDeploy of Host has no meaning here: applications are \
         looked for once, at start; remove it",
        "24:8: warning: attribute xmlValidation of Host has no meaning here: files are checked \
         against what is known here; remove it",
        "24:30: warning: attribute xmlNamespaceAware of Host has no meaning here: files are \
         checked against what is known here; remove it",
        "27:18: warning: attribute expireSessionsOnShutdown of Cluster has no effect in this \
         release; remove it",
        "28:18: warning: useDirtyFlag on Cluster counts here, and does not in Tomcat 5.5; write \
         manager.useDirtyFlag",
        "29:18: warning: attribute notifyListenersOnReplication of Cluster has no meaning here: \
         there are no Java listeners to notify; remove it",
        "38:17: warning: auto is 127.0.0.1 here: no member on another machine can reach this \
         node; name the address of an interface, or 127.0.0.1",
        "40:17: warning: attribute tcpSelectorTimeout of Receiver has no meaning here: there is \
         no selector; remove it",
        "49:13: warning: element Deployer has no part here: this release deploys nothing across \
         the cluster; remove it",
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|line| format!("conf/server.xml:{line}"))
        .collect();
    // There is no `webapps` in this base.
    let (app_base, found): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|line| line.contains("appBase"));
    assert_eq!(app_base.len(), 1, "{app_base:?}");
    assert_eq!(found, expected);
}

#[test]
fn the_file_of_the_quick_start_works() {
    let base = Base::with_server_xml(QUICK_START).with(
        "webapps/examples/WEB-INF/web.xml",
        "<web-app><distributable/></web-app>",
    );
    let config = base.config();

    let shutdown = config.shutdown.unwrap();
    assert_eq!((shutdown.port, shutdown.word.as_str()), (8005, "SHUTDOWN"));
    assert_eq!(config.connectors.len(), 1, "not the one for AJP");
    assert_eq!(config.connectors[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.engine.jvm_route.as_deref(), Some("node01"));
    assert_eq!(config.engine.default_host, "localhost");

    let cluster = config.engine.cluster.unwrap();
    assert_eq!(cluster.host.as_deref(), Some("localhost"));
    assert_eq!(cluster.membership.group.to_string(), "228.0.0.4:45564");
    assert_eq!(cluster.membership.frequency, Duration::from_millis(500));
    assert_eq!(cluster.membership.drop_time, Duration::from_secs(3));
    assert_eq!(cluster.membership.bind_address.to_string(), "127.0.0.1");
    assert_eq!(cluster.receiver.address.to_string(), "127.0.0.1");
    assert_eq!(cluster.receiver.ports, 4001..=4001);
    assert_eq!(cluster.receiver.thread_count, 6);
    assert_eq!(cluster.sender.mode, Mode::Pooled);
    assert!(cluster.sender.wait_for_ack);
    assert_eq!(cluster.sender.ack_timeout, Duration::from_secs(15));
    let filter = cluster.replication_valve.unwrap().filter.unwrap();
    assert_eq!(
        filter.patterns().count(),
        8,
        "the last is empty: {filter:?}"
    );
    assert!(filter.matches("/examples/logo.gif"));
    assert_eq!(filter.patterns().next(), Some(r".*\.gif"));

    let [context] = config.engine.hosts[0].contexts.as_slice() else {
        panic!("one context")
    };
    assert_eq!(context.path, "/examples");
    assert!(context.replicated);
    assert_eq!(context.manager.kind, ManagerKind::Delta);
    assert!(context.manager.use_dirty_flag);
}

/// The default cluster of Tomcat 9, as its own HOW-TO writes it out, on one machine.
#[test]
fn the_newer_spelling_says_the_same() {
    let base = Base::with_server_xml(
        r#"<Server><Service><Engine jvmRoute="node1"><Host name="localhost">
<Cluster className="org.apache.catalina.ha.tcp.SimpleTcpCluster" channelSendOptions="6">
  <Manager className="org.apache.catalina.ha.session.DeltaManager" maxActiveSessions="7"/>
  <Channel className="org.apache.catalina.tribes.group.GroupChannel">
    <Membership className="org.apache.catalina.tribes.membership.McastService"
      address="228.0.0.9" port="45565" frequency="100" dropTime="700" domain="east" ttl="3"/>
    <Receiver className="org.apache.catalina.tribes.transport.nio.NioReceiver"
      address="127.0.0.1" port="4100" autoBind="10" maxThreads="9"/>
    <Sender className="org.apache.catalina.tribes.transport.ReplicationTransmitter">
      <Transport className="org.apache.catalina.tribes.transport.nio.PooledParallelSender"
        timeout="2000"/>
    </Sender>
    <Interceptor className="org.apache.catalina.tribes.group.interceptors.TcpFailureDetector"/>
  </Channel>
  <Valve className="org.apache.catalina.ha.tcp.ReplicationValve"/>
  <Valve className="org.apache.catalina.ha.session.JvmRouteBinderValve" enabled="false"/>
  <ClusterListener className="org.apache.catalina.ha.session.ClusterSessionListener"/>
</Cluster></Host></Engine></Service></Server>"#,
    );
    assert_eq!(
        base.lines(),
        [
            "conf/server.xml:13:5: warning: interceptor TcpFailureDetector has no part here: links \
          need none; remove it"
        ]
    );
    let engine = base.config().engine;
    assert!(!engine.jvm_route_binder.enabled);
    let cluster = engine.cluster.unwrap();
    assert_eq!(cluster.manager.max_active_sessions, Some(7));
    assert_eq!(cluster.membership.group.to_string(), "228.0.0.9:45565");
    assert_eq!(cluster.membership.frequency, Duration::from_millis(100));
    assert_eq!(cluster.membership.drop_time, Duration::from_millis(700));
    assert_eq!(
        (cluster.membership.domain.as_str(), cluster.membership.ttl),
        ("east", 3)
    );
    assert_eq!(cluster.receiver.ports, 4100..=4109);
    assert_eq!(cluster.receiver.thread_count, 9);
    assert_eq!(
        (cluster.sender.mode, cluster.sender.wait_for_ack),
        (Mode::Synchronous, true)
    );
    assert_eq!(cluster.sender.ack_timeout, Duration::from_secs(2));
}
