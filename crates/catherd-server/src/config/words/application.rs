//! Hosts and their applications.

use super::{DEBUG, NAMING, NO_BACKGROUND};
use crate::config::word::{Element, idle, many, not_yet, one, refused, skipped, used};

pub(crate) static ENGINE: Element = Element {
    name: "Engine",
    classes: &["StandardEngine"],
    attributes: &[
        used(
            "name",
            "Catalina",
            "names the directory of context files below `conf`",
        ),
        used(
            "defaultHost",
            "the first `Host`",
            "the `Host` for requests that name no other",
        ),
        used(
            "jvmRoute",
            "none; required with a `Cluster`",
            "the name of this node and the suffix of its session cookies: 1 to 64 of `A-Z a-z 0-9 \
             _ -`, different on every node",
        ),
        idle("backgroundProcessorDelay", NO_BACKGROUND),
        DEBUG,
    ],
    children: &[
        many("Host"),
        one("Cluster"),
        many("Valve"),
        skipped("Realm", NO_REALM),
        skipped("Listener", "there is no Java machine to listen to"),
        skipped("Logger", "logs go to standard error"),
        skipped(
            "DefaultContext",
            "what holds for every context is in `conf/context.xml`",
        ),
    ],
};

pub(crate) static HOST: Element = Element {
    name: "Host",
    classes: &["StandardHost"],
    attributes: &[
        used(
            "name",
            "required",
            "the name that requests give in their `Host` header",
        ),
        used(
            "appBase",
            "webapps",
            "the directory of applications, below the base directory",
        ),
        idle("autoDeploy", AT_START),
        idle("liveDeploy", AT_START),
        idle("deployOnStartup", AT_START),
        idle("deployIgnore", AT_START),
        idle("deployXML", "context files are always read"),
        idle("unpackWARs", "archives are not deployed in this release"),
        idle(
            "workDir",
            "the work directory is `work` in the base directory",
        ),
        idle("xmlBase", "context files are in `conf/ENGINE/HOST`"),
        idle(
            "xmlValidation",
            "files are checked against what is known here",
        ),
        idle(
            "xmlNamespaceAware",
            "files are checked against what is known here",
        ),
        idle("errorReportValveClass", "there are no Java classes here"),
        idle("configClass", "there are no Java classes here"),
        idle("contextClass", "there are no Java classes here"),
        idle("backgroundProcessorDelay", NO_BACKGROUND),
        DEBUG,
    ],
    children: &[
        many("Context"),
        many("Alias"),
        one("Cluster"),
        many("Valve"),
        skipped("Realm", NO_REALM),
        skipped("Listener", "there is no Java machine to listen to"),
        skipped("Logger", "logs go to standard error"),
        skipped(
            "DefaultContext",
            "what holds for every context is in `conf/context.xml`",
        ),
    ],
};

pub(crate) static ALIAS: Element = Element {
    name: "Alias",
    classes: &[],
    attributes: &[],
    children: &[],
};

pub(crate) static CONTEXT: Element = Element {
    name: "Context",
    classes: &["StandardContext", "ReplicatedContext"],
    attributes: &[
        used(
            "path",
            "required in `server.xml`",
            "where the application is: empty, or with a slash before and none behind",
        ),
        used(
            "docBase",
            "none",
            "the application's directory, below `appBase`",
        ),
        used(
            "distributable",
            "false",
            "whether its sessions are replicated",
        ),
        used(
            "sessionTimeout",
            "30",
            "minutes without a request that end a session; 0: never",
        ),
        used(
            "useHttpOnly",
            "true",
            "keeps the session cookie from scripts",
        ),
        used(
            "sessionCookieName",
            "JSESSIONID",
            "the name of the session cookie",
        ),
        used(
            "sessionCookiePath",
            "the context's path",
            "where the session cookie is sent",
        ),
        used(
            "sessionCookieDomain",
            "none",
            "to which domain the session cookie is sent",
        ),
        refused(
            "cookies",
            "true",
            "a session is tracked by its cookie, and ids are never put into URLs",
        ),
        not_yet(
            "crossContext",
            "false",
            "lets other contexts dispatch to this one",
        ),
        idle(
            "reloadable",
            "applications do not change while the node runs",
        ),
        idle("override", "what is said nearest to the application counts"),
        idle("privileged", "there are no Java classes here"),
        idle("wrapperClass", "there are no Java classes here"),
        idle("unloadDelay", "there are no Java classes here"),
        idle("swallowOutput", "logs go to standard error"),
        idle("useNaming", NAMING),
        idle("allowLinking", "no files are served"),
        idle("cachingAllowed", "no files are served"),
        idle("cacheMaxSize", "no files are served"),
        idle("cacheTTL", "no files are served"),
        idle("caseSensitive", "no files are served"),
        idle("antiJARLocking", "no archives are opened"),
        idle("antiResourceLocking", "no archives are opened"),
        idle("unpackWAR", "archives are not deployed in this release"),
        idle("processTlds", "there are no Java pages here"),
        idle("tldNamespaceAware", "there are no Java pages here"),
        idle("tldValidation", "there are no Java pages here"),
        idle(
            "workDir",
            "the work directory is `work` in the base directory",
        ),
        idle("managerChecksFrequency", NO_BACKGROUND),
        idle("backgroundProcessorDelay", NO_BACKGROUND),
        idle(
            "mapSendOptions",
            "attributes of a context are not replicated",
        ),
        DEBUG,
    ],
    children: &[
        one("Manager"),
        many("Valve"),
        skipped("Loader", "there are no Java classes here"),
        skipped("Realm", NO_REALM),
        skipped("Listener", "there is no Java machine to listen to"),
        skipped("Logger", "logs go to standard error"),
        skipped("Resources", "no files are served"),
        skipped(
            "WatchedResource",
            "applications do not change while the node runs",
        ),
        skipped("Environment", NAMING),
        skipped("Resource", NAMING),
        skipped("ResourceLink", NAMING),
        skipped("ResourceParams", NAMING),
        skipped("ResourceEnvRef", NAMING),
        skipped("Ejb", NAMING),
        skipped("Transaction", NAMING),
        skipped("Parameter", "the applications here have no parameters"),
        skipped("InstanceListener", "there are no Java classes here"),
        skipped("WrapperListener", "there are no Java classes here"),
        skipped("WrapperLifecycle", "there are no Java classes here"),
        skipped("JarScanner", "there are no Java classes here"),
        skipped("CookieProcessor", "cookies are written as RFC 6265 says"),
    ],
};

const NO_REALM: &str = "no application here asks who a user is";
const AT_START: &str = "applications are looked for once, at start";
