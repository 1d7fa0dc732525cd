//! Which applications are served, and who holds their sessions.

use std::time::Duration;

use catherd_server::config::{Application, ContextConfig, ManagerKind};

use crate::base::Base;

const DISTRIBUTABLE: &str = "<web-app><distributable/></web-app>";
const CLUSTER: &str = "<Cluster><Valve className=\"ReplicationValve\"/></Cluster>";
const CANNOT_RUN: &str = "remove it; what can run is /examples and /bench, which are built in";

fn contexts(base: &Base) -> Vec<ContextConfig> {
    base.config().engine.hosts.remove(0).contexts
}

fn host(inside: &str) -> String {
    format!("<Host name=\"localhost\">{inside}</Host>")
}

#[test]
fn a_directory_with_web_inf_alone_is_the_application_of_its_name() {
    let base = Base::empty().with_directory("webapps/bench/WEB-INF").with(
        "webapps/examples/WEB-INF/web.xml",
        "<web-app><display-name> E </display-name></web-app>",
    );
    assert_eq!(base.lines(), Vec::<String>::new());
    let found = contexts(&base);
    let found: Vec<_> = found
        .iter()
        .map(|it| (it.path.as_str(), it.application))
        .collect();
    assert_eq!(
        found,
        [
            ("/bench", Application::Bench),
            ("/examples", Application::Examples)
        ]
    );
    assert_eq!(contexts(&base)[1].display_name.as_deref(), Some("E"));
}

#[test]
fn nothing_else_is_served_and_each_is_reported() {
    let base = Base::empty()
        .with("webapps/bench/WEB-INF/web.xml", "<web-app/>")
        .with("webapps/bench/index.html", "")
        .with_directory("webapps/examples")
        .with_directory("webapps/shop/WEB-INF")
        .with_directory("webapps/ROOT")
        .with("webapps/a.war", "")
        .with("webapps/README", "")
        .with_directory("webapps/.hidden")
        .with(
            "conf/Catalina/localhost/manager.xml",
            "<Context docBase=\"../manager\"/>",
        );
    std::os::unix::fs::symlink("/", base.path().join("webapps/root")).unwrap();
    assert_eq!(contexts(&base), []);
    let cannot = "warning: this release cannot run the application";
    assert_eq!(
        base.lines(),
        [
            format!(
                "conf/Catalina/localhost/manager.xml:1:10: {cannot} at \"/manager\"; {CANNOT_RUN}"
            ),
            format!("webapps/ROOT:1:1: {cannot} in this directory; {CANNOT_RUN}"),
            "webapps/a.war:1:1: warning: archives are not deployed in this release; remove it"
                .into(),
            format!("webapps/bench:1:1: {cannot} in this directory; {CANNOT_RUN}"),
            format!("webapps/examples:1:1: {cannot} in this directory; {CANNOT_RUN}"),
            "webapps/root:1:1: warning: a link is not followed; put a directory in its place"
                .into(),
            format!("webapps/shop:1:1: {cannot} in this directory; {CANNOT_RUN}"),
        ]
    );
}

#[test]
fn a_context_without_doc_base_asks_for_the_application() {
    for base in [
        Base::with_engine(&host("<Context path=\"/examples\"/>")),
        Base::empty().with("conf/Catalina/localhost/examples.xml", "<Context/>"),
        Base::with_engine(&host("<Context path=\"/examples\" docBase=\"examples\"/>"))
            .with_directory("webapps/examples/WEB-INF"),
    ] {
        assert_eq!(base.lines(), Vec::<String>::new());
        assert_eq!(contexts(&base)[0].application, Application::Examples);
    }
}

#[test]
fn a_context_with_another_doc_base_does_not() {
    let base = Base::with_engine(&host("<Context path=\"/examples\" docBase=\"shop\"/>"));
    assert_eq!(contexts(&base), []);
    assert_eq!(
        base.lines(),
        [format!(
            "conf/server.xml:2:50: warning: this release cannot run the application at \
             \"/examples\"; {CANNOT_RUN}"
        )]
    );
}

#[test]
fn a_second_context_at_a_path_is_an_error_at_the_later_one() {
    let base = Base::with_engine(&host(
        "<Context path=\"/bench\"/>\n<Context path=\"/bench\"/>",
    ));
    assert_eq!(
        base.lines(),
        ["conf/server.xml:3:10: error: a second Context at this path; remove one of them"]
    );
    let base = Base::with_engine(&host("<Context path=\"/bench\"/>"))
        .with("conf/Catalina/localhost/bench.xml", "\n<Context/>");
    let [line] = base.lines().try_into().unwrap();
    let line: String = line;
    assert!(
        line.starts_with(
            "conf/Catalina/localhost/bench.xml:2:1: error: a second Context at this path: the \
             first is in "
        ),
        "{line}"
    );
}

/// HOW-TO, "Quick Start": `<distributable/>` in `web.xml`, or the attribute of the `Context`.
#[test]
fn both_ways_of_being_distributable_make_a_context_replicate() {
    let in_cluster = |context: &str| format!("{CLUSTER}{}", host(context));
    for base in [
        Base::with_engine(&in_cluster("")).with("webapps/examples/WEB-INF/web.xml", DISTRIBUTABLE),
        Base::with_engine(&in_cluster(
            "<Context path=\"/examples\" distributable=\"true\"/>",
        )),
        Base::with_engine(&in_cluster("<Context path=\"/examples\"/>"))
            .with("conf/web.xml", DISTRIBUTABLE),
        Base::with_engine(&in_cluster("<Context path=\"/examples\"/>"))
            .with("conf/context.xml", "<Context distributable=\"true\"/>"),
    ] {
        assert_eq!(base.lines(), Vec::<String>::new());
        let [context] = contexts(&base).try_into().unwrap();
        let context: ContextConfig = context;
        assert!(context.distributable && context.replicated);
        assert_eq!(context.manager.kind, ManagerKind::Delta);
    }
}

/// HOW-TO, "How it Works": a context that is not distributable has a `StandardManager`.
#[test]
fn a_context_that_is_not_distributable_stays_local() {
    let base = Base::with_engine(&format!("{CLUSTER}{}", host("<Context path=\"/bench\"/>")));
    assert_eq!(base.lines(), Vec::<String>::new());
    assert!(!contexts(&base)[0].replicated);
    assert_eq!(contexts(&base)[0].manager.kind, ManagerKind::Standard);
}

#[test]
fn what_contradicts_itself_stays_local_with_a_warning() {
    let shown = "context \"/bench\" is";
    let local = "its sessions stay on this node";
    for (engine, warning) in [
        (
            host("<Context path=\"/bench\" distributable=\"true\"/>"),
            format!(
                "2:24: warning: {shown} distributable, but its host is in no Cluster: {local}; \
                     add a Cluster to the Engine"
            ),
        ),
        (
            format!(
                "{CLUSTER}\n{}",
                host(
                    "<Context path=\"/bench\" distributable=\"true\">\n\
                 <Manager className=\"StandardManager\"/></Context>"
                )
            ),
            format!(
                "4:1: warning: {shown} distributable, but with a StandardManager {local}; use \
                     DeltaManager"
            ),
        ),
        (
            format!(
                "{CLUSTER}\n{}",
                host("<Context path=\"/bench\">\n<Manager/></Context>")
            ),
            format!(
                "4:1: warning: {shown} not distributable: {local}; set distributable=\"true\" \
                     on Context"
            ),
        ),
        (
            format!(
                "<Host name=\"other\">{CLUSTER}</Host>\n{}",
                host("<Context path=\"/bench\" distributable=\"true\"/>")
            ),
            format!(
                "3:24: warning: {shown} distributable, but its host is in no Cluster: {local}; \
                     add a Cluster to the Engine"
            ),
        ),
    ] {
        let base = Base::with_engine(&engine);
        assert_eq!(base.lines(), [format!("conf/server.xml:{warning}")]);
        let hosts = base.config().engine.hosts;
        assert!(
            hosts
                .iter()
                .flat_map(|host| &host.contexts)
                .all(|context| !context.replicated)
        );
    }
}

/// HOW-TO, "Quick Start": the valve switches replication on. Here sessions are safe without it.
#[test]
fn a_missing_replication_valve_is_a_warning() {
    let base = Base::with_engine(&format!(
        "<Cluster/>{}",
        host("<Context path=\"/bench\" distributable=\"true\"/>")
    ));
    assert_eq!(
        base.lines(),
        [
            "conf/server.xml:2:1: warning: no ReplicationValve in Cluster: sessions are replicated \
          without it as well; add one, as in Tomcat"
        ]
    );
    assert!(contexts(&base)[0].replicated);
}

#[test]
fn the_nearest_word_on_the_life_of_a_session_counts() {
    let web_xml = |minutes: i32| {
        format!(
            "<web-app><session-config><session-timeout> {minutes} </session-timeout>\
                 </session-config></web-app>"
        )
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let context = |attributes: &str, inside: &str| {
        Base::with_engine(&host(&format!(
            "<Context path=\"/bench\" {attributes}>{inside}</Context>"
        )))
        .with_directory("webapps/bench/WEB-INF")
        .with("conf/web.xml", web_xml(11))
    };
    let manager = "<Manager className=\"StandardManager\" maxInactiveInterval=\"77\"/>";
    for (base, expected) in [
        (context("", ""), seconds(660)),
        (context("", manager), seconds(77)),
        (context("sessionTimeout=\"3\"", ""), seconds(180)),
        (
            context("sessionTimeout=\"3\"", "").with("webapps/bench/WEB-INF/web.xml", web_xml(2)),
            seconds(120),
        ),
        (context("sessionTimeout=\"0\"", ""), None),
        (
            context("", "").with("webapps/bench/WEB-INF/web.xml", web_xml(-1)),
            None,
        ),
        (context("", &manager.replace("77", "-1")), None),
    ] {
        assert_eq!(base.lines(), Vec::<String>::new());
        assert_eq!(contexts(&base)[0].session_timeout, expected);
    }
    let base = context("sessionTimeout=\"3\"", manager);
    assert_eq!(contexts(&base)[0].session_timeout, seconds(180));
    assert_eq!(
        base.lines(),
        [
            "conf/server.xml:2:103: warning: maxInactiveInterval has no effect on \"/bench\": \
          sessionTimeout of its Context counts; remove one of them"
        ]
    );
}

#[test]
fn the_cookie_is_as_the_context_says() {
    let base = Base::with_engine(&host(
        "<Context path=\"/bench\" sessionCookieName=\"SID\" sessionCookiePath=\"/\" \
         sessionCookieDomain=\"example.org\" useHttpOnly=\"false\" cookies=\"true\"/>",
    ));
    let cookie = contexts(&base)[0].cookie.clone();
    assert_eq!((cookie.name.as_str(), cookie.path.as_str()), ("SID", "/"));
    assert_eq!(cookie.domain.as_deref(), Some("example.org"));
    assert!(!cookie.http_only);
}

/// Files that every Tomcat has: what is the application's matter makes no noise, and an old
/// document type is skipped.
#[test]
fn an_old_web_xml_is_read_past_its_document_type() {
    let base = Base::empty().with(
        "webapps/bench/WEB-INF/web.xml",
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n\
         <!DOCTYPE web-app PUBLIC \"-//Sun Microsystems, Inc.//DTD Web Application 2.3//EN\"\n\
         \"http://java.sun.com/dtd/web-app_2_3.dtd\">\n\
         <web-app><servlet><servlet-name>x</servlet-name></servlet>\n\
         <session-config><session-timeout>x</session-timeout></session-config></web-app>",
    );
    assert_eq!(
        base.lines(),
        [
            "webapps/bench/WEB-INF/web.xml:5:17: error: session-timeout \"x\" is not a number of \
          minutes up to 5256000; change it; 0: never"
        ]
    );
}
