//! A node and its ports.

use super::{DEBUG, JAVA_MANAGEMENT, NAMING, NO_THREADS};
use crate::config::word::{Element, idle, many, one, refused, skipped, used};

pub(crate) static SERVER: Element = Element {
    name: "Server",
    classes: &["StandardServer"],
    attributes: &[
        used(
            "port",
            "-1",
            "port of the shutdown command, on 127.0.0.1 only; -1: none",
        ),
        used(
            "shutdown",
            "SHUTDOWN",
            "the line that ends the node when it arrives at `port`",
        ),
        DEBUG,
    ],
    children: &[
        one("Service"),
        skipped("Listener", "there is no Java machine to listen to"),
        skipped("GlobalNamingResources", NAMING),
    ],
};

pub(crate) static SERVICE: Element = Element {
    name: "Service",
    classes: &["StandardService"],
    attributes: &[used("name", "Catalina", "a label"), DEBUG],
    children: &[
        many("Connector"),
        one("Engine"),
        skipped("Executor", NO_THREADS),
        skipped("Listener", "there is no Java machine to listen to"),
    ],
};

pub(crate) static CONNECTOR: Element = Element {
    name: "Connector",
    classes: &["Connector"],
    attributes: &[
        used("port", "8080", "TCP port, 0 to 65535; 0: any free one"),
        used(
            "address",
            "127.0.0.1",
            "address to listen on; `0.0.0.0` or `::`: all",
        ),
        used(
            "protocol",
            "HTTP/1.1",
            "`HTTP/1.1` or one of Tomcat's class names for it. `AJP/1.3`: a warning, and the port \
             is not opened",
        ),
        used(
            "maxKeepAliveRequests",
            "100",
            "requests on one connection, as in Tomcat; -1: no limit, 1: one",
        ),
        used(
            "connectionTimeout",
            "20000",
            "ms to wait for a request's head; -1: no limit",
        ),
        used(
            "keepAliveTimeout",
            "as `connectionTimeout`",
            "ms to wait for the next request on a connection; -1: no limit",
        ),
        idle("maxThreads", NO_THREADS),
        idle("minSpareThreads", NO_THREADS),
        idle("maxSpareThreads", NO_THREADS),
        idle("minProcessors", NO_THREADS),
        idle("maxProcessors", NO_THREADS),
        idle("threadPriority", NO_THREADS),
        idle("strategy", NO_THREADS),
        idle("executor", NO_THREADS),
        idle(
            "acceptCount",
            "the operating system bounds what waits to be accepted",
        ),
        idle("acceptorThreadCount", NO_THREADS),
        idle("redirectPort", "there is no encrypted port to redirect to"),
        idle("enableLookups", "names of clients are never looked up"),
        idle(
            "disableUploadTimeout",
            "a body may take as long as it pauses for less than 20 seconds",
        ),
        idle(
            "connectionUploadTimeout",
            "a body may take as long as it pauses for less than 20 seconds",
        ),
        idle("connectionLinger", "closing never waits"),
        idle(
            "maxHttpHeaderSize",
            "a request's head may have 16 KiB and 100 lines",
        ),
        idle(
            "maxPostSize",
            "bodies are bounded by the application that reads them",
        ),
        idle("maxSavePostSize", "no body is kept for a login"),
        idle("bufferSize", "buffers grow with what is in them"),
        idle("socketBuffer", "buffers grow with what is in them"),
        idle("tcpNoDelay", "it is always on"),
        idle(
            "compression",
            "answers are sent as the application made them",
        ),
        idle(
            "compressableMimeType",
            "answers are sent as the application made them",
        ),
        idle(
            "compressionMinSize",
            "answers are sent as the application made them",
        ),
        idle(
            "noCompressionUserAgents",
            "answers are sent as the application made them",
        ),
        idle(
            "restrictedUserAgents",
            "every client may keep its connection",
        ),
        idle("URIEncoding", "paths are UTF-8"),
        idle("useBodyEncodingForURI", "paths are UTF-8"),
        idle("useIPVHosts", "the host is the one that the request names"),
        idle(
            "emptySessionPath",
            "the `Context` says where its cookie counts",
        ),
        idle("allowTrace", "TRACE is the application's matter"),
        idle("xpoweredBy", "no such header is sent"),
        idle("server", "no such header is sent"),
        idle("proxyName", "the application sees the request as it came"),
        idle("proxyPort", "the application sees the request as it came"),
        idle("tomcatAuthentication", "it is for AJP"),
        idle("handler.list", JAVA_MANAGEMENT),
        idle("mx.enabled", JAVA_MANAGEMENT),
        idle("mx.httpHost", JAVA_MANAGEMENT),
        idle("mx.httpPort", JAVA_MANAGEMENT),
        idle("mx.authMode", JAVA_MANAGEMENT),
        idle("mx.authUser", JAVA_MANAGEMENT),
        idle("mx.authPassword", JAVA_MANAGEMENT),
        refused("scheme", "http", NO_TLS),
        refused("secure", "false", NO_TLS),
        refused("SSLEnabled", "false", NO_TLS),
        refused("sslProtocol", "", NO_TLS),
        refused("clientAuth", "false", NO_TLS),
        refused("algorithm", "", NO_TLS),
        refused("ciphers", "", NO_TLS),
        refused("keystoreFile", "", NO_TLS),
        refused("keystorePass", "", NO_TLS),
        refused("keystoreType", "", NO_TLS),
        refused("keyAlias", "", NO_TLS),
        refused("truststoreFile", "", NO_TLS),
        refused("truststorePass", "", NO_TLS),
        refused("truststoreType", "", NO_TLS),
        DEBUG,
    ],
    children: &[],
};

const NO_TLS: &str = "encrypted connectors are not available in this release";
