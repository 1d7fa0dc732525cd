//! Bad input, with the exact words of the answer.

use crate::base::Base;

/// Each text is a `server.xml`, with all that has to be said about it.
const WHOLE_FILES: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "1:1: error: not well-formed XML: the document does not have a root node; mend the XML \
             here",
        ],
    ),
    (
        "<Server>\n<Service></Server>",
        &[
            "2:10: error: not well-formed XML: ill-formed document: expected `</Service>`, but \
             `</Server>` was found; mend the XML here",
        ],
    ),
    (
        "<server/>",
        &["1:1: error: element \"server\" is not Server; begin with <Server>"],
    ),
    (
        "<Server><Service><Engine><Hots/></Engine></Service></Server>",
        &["1:26: error: element \"Hots\" of Engine is unknown; did you mean Host?"],
    ),
    (
        "<Server><Engine/></Server>",
        &[
            "1:9: error: element Engine does not belong into Server; known are Service, Listener, \
             GlobalNamingResources",
        ],
    ),
    (
        "<Server><Service/>\n<Service/></Server>",
        &["2:1: error: a second Service in Server; remove one of them"],
    ),
    (
        "<Server>\n  text <Service/></Server>",
        &["2:3: error: text inside of Server; remove it or make it a comment"],
    ),
    (
        "<Server prot=\"8005\" xyz=\"\" port=\"0\"/>",
        &[
            "1:9: error: attribute \"prot\" of Server is unknown; did you mean port?",
            "1:21: error: attribute \"xyz\" of Server is unknown; remove it",
            "1:28: error: port=\"0\" is not a number from 1 to 65535, or -1; change the value",
        ],
    ),
    (
        "<Server port=\"8005\"><Service><Connector port=\"8005\"/>\n<Connector \
         port=\"99999\"/><Connector address=\"example.org\" port=\"1\"/><Connector port=\"1\" \
         protocol=\"SPDY\"/></Service></Server>",
        &[
            "1:41: error: port 8005 of this Connector is that of a shutdown port; give each a port \
             of its own",
            "2:12: error: port=\"99999\" is not a number from 0 to 65535; change the value",
            "2:37: error: address=\"example.org\" is not an IP address; change the value",
            "2:80: error: port 1 of this Connector is that of a Connector; give each a port of its \
             own",
            "2:89: error: protocol=\"SPDY\" is not HTTP/1.1 or AJP/1.3; change the value",
        ],
    ),
    (
        "<Server><Service><Connector SSLEnabled=\"true\" clientAuth=\"false\"/><Connector \
         port=\"9\" protocol=\"AJP/1.3\" prot=\"1\" maxThreads=\"2\"/></Service></Server>",
        &[
            "1:29: error: attribute SSLEnabled of Connector asks in vain: encrypted connectors are \
             not available in this release; remove it",
            "1:67: warning: AJP/1.3 is not available in this release: port \"9\" is not opened; \
             let the load balancer use an HTTP connector",
            "1:106: error: attribute \"prot\" of Connector is unknown; did you mean port?",
        ],
    ),
    (
        "<Server port=\"${PORT}\" shutdown=\"${KEY\"/>",
        &[
            "1:9: error: property \"PORT\" is unknown; set an environment variable of this name, \
             or write the value",
            "1:24: error: ${ without }; close the name of the property",
        ],
    ),
    (
        "<Server><Service><Engine><Cluster/></Engine></Service></Server>",
        &[
            "1:18: error: a node of a Cluster needs a name; set jvmRoute=\"node1\" on Engine, \
             different on every node",
        ],
    ),
    (
        "<Server><Service><Engine jvmRoute=\"a.b\" name=\"..\" \
         defaultHost=\"x\"><Host/></Engine></Service></Server>",
        &[
            "1:26: error: jvmRoute=\"a.b\" is not 1 to 64 of A-Z a-z 0-9 _ -; change the value",
            "1:41: error: name=\"..\" is not 1 to 64 of A-Z a-z 0-9 . _ -; change the value",
            "1:51: error: defaultHost \"x\" is no Host of this Engine; name one, or add it",
            "1:67: error: Host without name; set name=\"localhost\", or the name that requests ask \
             for",
        ],
    ),
    (
        "<Server className=\"org.example.MyServer\"/>",
        &[
            "1:9: error: no part of this server is a Server \"org.example.MyServer\"; known are \
             StandardServer",
        ],
    ),
];

/// The same for what is in an engine; the first line of it is line 2.
const IN_ENGINE: &[(&str, &[&str])] = &[
    (
        "<Host name=\"a\"/><Host name=\"b\"><Alias>A</Alias><Alias/></Host><Host name=\"../x\"/>",
        &[
            "2:32: error: a second Host or Alias \"a\"; remove one of them",
            "2:48: error: Alias is not the name of a host: 1 to 64 of A-Z a-z 0-9 . -; write it \
             inside: <Alias>name</Alias>",
            "2:69: error: name=\"../x\" is not the name of a host: 1 to 64 of A-Z a-z 0-9 . -; \
             change the value",
        ],
    ),
    (
        "<Host name=\"a\"><Cluster/></Host>\n<Cluster/>",
        &[
            "3:1: error: a second Cluster: this release has one for the node; remove one of them, \
             or put one into the Engine",
        ],
    ),
    (
        "<Host name=\"a\"><Context path=\"/examples/\" distributable=\"yes\" \
         cookies=\"false\"/>\n<Context/></Host>",
        &[
            "2:25: error: path=\"/examples/\" is not the path of a context, such as \"/shop\", or \
             \"\" for the root; change the value",
            "2:43: error: distributable=\"yes\" is not true or false; change the value",
            "2:63: error: attribute cookies of Context asks in vain: a session is tracked by its \
             cookie, and ids are never put into URLs; remove it",
            "3:1: error: Context without path; set path=\"/examples\", or where else it is",
        ],
    ),
    (
        "<Cluster><Membership mcastAddr=\"10.0.0.1\" address=\"228.0.0.5\" \
         mcastFrequency=\"1000\"\ndropTime=\"1999\" mcastTTL=\"256\" mcastPort=\"0\" \
         mcastSoTimeout=\"1\"/></Cluster>",
        &[
            "2:22: error: mcastAddr=\"10.0.0.1\" is not an IPv4 multicast address from 224.0.0.0 \
             to 239.255.255.255; change the value",
            "2:43: error: address says again what mcastAddr has said; remove one of them",
            "3:1: error: a member would be suspect after 1999 ms of silence and be heard every \
             1000 ms only; make mcastDropTime several times mcastFrequency",
            "3:17: error: mcastTTL=\"256\" is not a number from 0 to 255, or -1; change the value",
            "3:32: error: mcastPort=\"0\" is not a number from 1 to 65535; change the value",
            "3:46: warning: attribute mcastSoTimeout of Membership has no meaning here: no thread \
             waits for heartbeats; remove it",
        ],
    ),
    (
        "<Cluster><Receiver tcpListenAddress=\"0.0.0.0\" tcpListenPort=\"5000\" \
         tcpListenMaxPort=\"4000\"\ntcpThreadCount=\"0\" autoBind=\"2\"/></Cluster>",
        &[
            "2:20: error: tcpListenAddress=\"0.0.0.0\" is not the IP address of one interface, \
             localhost or auto; change the value",
            "2:68: error: no port is from 5000 to 4000; make tcpListenMaxPort the larger one",
            "3:1: error: tcpThreadCount=\"0\" is not a number from 1 to 1024; change the value",
            "3:20: error: tcpListenMaxPort and autoBind both say where the ports end; remove one \
             of them",
        ],
    ),
    (
        "<Cluster><Receiver tcpListenPort=\"8080\"/></Cluster>",
        &[
            "2:20: error: port 8080 of this Receiver is that of a Connector; give each a port of \
             its own",
        ],
    ),
    (
        "<Cluster channelSendOptions=\"6\" key=\"short secret\" clusterId=\"\">\n<Sender \
         replicationMode=\"synchronous\" ackTimeout=\"-1\" maxQueueBytes=\"1\" \
         maxPoolSocketLimit=\"9\"/><Sender/></Cluster>",
        &[
            "2:33: error: key has 12 bytes, and needs 16 to 256; draw one at random: openssl rand \
             -hex 32",
            "2:52: error: clusterId=\"\" is not 1 to 64 of A-Z a-z 0-9 . _ -; change the value",
            "3:9: error: replicationMode and channelSendOptions say the same thing twice; remove \
             one of them",
            "3:39: error: ackTimeout=\"-1\" is not a number from 1 to 3600000; change the value",
            "3:55: error: maxQueueBytes=\"1\" is not a number from 65536 to 1099511627776; change \
             the value",
            "3:97: error: a second Sender in Cluster; remove one of them",
        ],
    ),
    (
        "<Cluster><Sender replicationMode=\"fast\"/><Channel><Sender/>\n<Interceptor \
         className=\"EncryptInterceptor\"/><Interceptor className=\"X\"/></Channel><Membership \
         className=\"StaticMembershipService\"/></Cluster>",
        &[
            "2:18: error: replicationMode=\"fast\" is not one of synchronous, pooled, \
             asynchronous, fastasyncqueue; change the value",
            "2:51: error: a second Sender in Cluster; remove one of them",
            "3:1: error: encryption between nodes is not available in this release: \
             EncryptInterceptor would do nothing; remove it, and keep members on loopback",
            "3:46: error: no part of this server is an Interceptor \"X\"; remove it",
            "3:84: error: StaticMembershipService is not available in this release; use \
             McastService: members are found by multicast",
        ],
    ),
    (
        "<Cluster managerClassName=\"org.apache.catalina.ha.session.BackupManager\"/>",
        &[
            "2:10: error: this release has no org.apache.catalina.ha.session.BackupManager; use \
             DeltaManager, which keeps a copy on every member",
        ],
    ),
    (
        "<Cluster managerClassName=\"DeltaManager\">\n<Manager stale=\"x\" sessionIdLength=\"32\" \
         className=\"PersistentManager\"/><Valve className=\"ReplicationValve\"/><Valve \
         className=\"ReplicationValve\"/><Valve/></Cluster>",
        &[
            "3:1: error: managerClassName and Manager both say what a context gets; remove one of \
             them",
            "3:41: error: this release has no PersistentManager; use DeltaManager, whose sessions \
             outlive a node in the others' memory",
            "3:109: error: a second ReplicationValve; remove one of them",
            "3:146: error: Valve without className; say which valve is meant",
        ],
    ),
    (
        "<Cluster manager.stale=\"x\" manager.sessionIdLength=\"32\"\nreceiver.tcpThreadCont=\"1\" \
         receiver.tcpSelectorTimeout=\"1\" resever.x=\"1\"/>",
        &[
            "2:10: error: manager.stale=\"x\" is not degraded or refuse; change the value",
            "2:28: error: manager.sessionIdLength=\"32\" is not 16: a session key is 128 bits; \
             change the value",
            "3:1: error: attribute \"receiver.tcpThreadCont\" of Cluster is unknown; did you mean \
             receiver.tcpThreadCount?",
            "3:28: warning: attribute receiver.tcpSelectorTimeout of Cluster has no meaning here: \
             there is no selector; remove it",
            "3:60: error: attribute \"resever.x\" of Cluster is unknown; remove it",
        ],
    ),
    (
        "<Valve className=\"org.apache.catalina.valves.AccessLogValve\" pattern=\"common\"/><Valve \
         className=\"org.apache.catalina.valves.RemoteAddrValve\"/>\n<Valve \
         className=\"ReplicationValve\"/><Valve className=\"org.example.V\"/><Valve \
         className=\"JvmRouteBinderValve\"/><Valve className=\"JvmRouteBinderValve\"/>",
        &[
            "2:1: warning: valve AccessLogValve has no part here; remove it",
            "2:80: error: RemoteAddrValve is not available here: whom it keeps out would be let \
             in; remove it, and keep them out in front of this server",
            "3:8: error: a ReplicationValve in Engine replicates nothing; put it into the Cluster",
            "3:45: error: no part of this server is a Valve \"org.example.V\"; known are \
             ReplicationValve and JvmRouteBinderValve",
            "3:112: error: a second JvmRouteBinderValve: there is one for the node; remove one of \
             them",
        ],
    ),
];

#[test]
fn each_bad_file_is_answered_with_these_words() {
    let cases = WHOLE_FILES
        .iter()
        .map(|(text, lines)| (Base::with_server_xml(text), *lines));
    check(cases.collect());
}

#[test]
fn each_bad_engine_is_answered_with_these_words() {
    let cases = IN_ENGINE
        .iter()
        .map(|(inside, lines)| (Base::with_engine(inside), *lines));
    check(cases.collect());
}

#[test]
fn other_files_are_checked_as_well() {
    let base = Base::empty()
        .with("conf/context.xml", "<Context pathh=\"\"/>")
        .with("conf/web.xml", "<Context/>")
        .with(
            "conf/Catalina/localhost/bench.xml",
            "<Context path=\"/shop\">\n<Manager x=\"\"/></Context>",
        )
        .with("conf/Catalina/localhost/examples.xml", "<web-app/>")
        .with("conf/Catalina/localhost/a b.xml", "<Context/>");
    assert_eq!(
        base.lines(),
        [
            "conf/Catalina/localhost/a b.xml:1:1: error: the name of this file is not the path of \
             a context; rename it to something like a#b.xml",
            "conf/Catalina/localhost/bench.xml:1:10: warning: the context is at \"/bench\", as the \
             file is named; remove path",
            "conf/Catalina/localhost/bench.xml:2:1: warning: context \"/bench\" is not \
             distributable: its sessions stay on this node; set distributable=\"true\" on \
             Context",
            "conf/Catalina/localhost/bench.xml:2:10: error: attribute \"x\" of Manager is unknown; \
             remove it",
            "conf/Catalina/localhost/examples.xml:1:1: error: element \"web-app\" is not Context; \
             begin with <Context>",
            "conf/context.xml:1:10: error: attribute \"pathh\" of Context is unknown; did you mean \
             path?",
            "conf/web.xml:1:1: error: element \"Context\" is not web-app; begin with <web-app>",
        ]
    );
}

#[test]
fn an_unreadable_file_is_an_error_and_not_a_default() {
    let base = Base::empty().with_directory("conf/server.xml");
    assert_eq!(
        base.lines(),
        [
            "conf/server.xml:1:1: error: cannot be read: not a regular file; make it a readable \
             file, or remove it"
        ]
    );
    assert_eq!(base.load().config, None);
}

/// Compares all cases before it fails, since a change of words concerns many.
fn check(cases: Vec<(Base, &[&str])>) {
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    for (base, lines) in cases {
        found.extend(base.lines());
        expected.extend(lines.iter().map(|line| format!("conf/server.xml:{line}")));
    }
    assert_eq!(found.join("\n"), expected.join("\n"));
}
