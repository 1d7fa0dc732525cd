//! axum with tower-sessions, behind the three endpoints of every peer of the benchmark.
//!
//! `axum-peer memory PORT`, `axum-peer redis PORT REDIS_PORT`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use serde::Deserialize;
use tokio::net::TcpListener;
use tower_sessions::cookie::time::Duration;
use tower_sessions::session::Error as SessionError;
use tower_sessions::{Expiry, MemoryStore, Session, SessionManagerLayer, SessionStore};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};

/// Connections to Redis.
const POOL: usize = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (port, app) = match arguments[..] {
        ["memory", port] => (port, app(MemoryStore::default())),
        ["redis", port, redis] => (port, app(redis_store(redis).await?)),
        _ => return Err("memory PORT, or redis PORT REDIS_PORT".into()),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await?;
    Ok(())
}

async fn redis_store(port: &str) -> Result<RedisStore<Pool>, Box<dyn Error>> {
    let config = Config::from_url(&format!("redis://127.0.0.1:{port}"))?;
    let pool = Pool::new(config, None, None, None, POOL)?;
    pool.connect();
    pool.wait_for_connect().await?;
    Ok(RedisStore::new(pool))
}

fn app<S: SessionStore + Clone>(store: S) -> Router {
    let layer = SessionManagerLayer::new(store)
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(Duration::minutes(60)));
    Router::new()
        .route("/bench/session", get(write))
        .route("/bench/read", get(read))
        .route("/bench/plain", get(async || "hello\n"))
        .layer(layer)
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    size: usize,
}

async fn write(session: Session, asked: Query<Asked>) -> Result<String, (StatusCode, String)> {
    let size = asked.size;
    let write = async {
        let counter: u64 = session.get("counter").await?.unwrap_or(0) + 1;
        session.insert("counter", counter).await?;
        session.insert("payload", payload(counter, size)).await?;
        Ok(format!("counter={counter} size={size}\n"))
    };
    write.await.map_err(failed)
}

async fn read(session: Session) -> Result<String, (StatusCode, String)> {
    let read = async {
        let Some(counter) = session.get::<u64>("counter").await? else {
            return Ok("none\n".to_owned());
        };
        let payload: String = session.get("payload").await?.unwrap_or_default();
        Ok(format!("counter={counter} size={}\n", payload.len()))
    };
    read.await.map_err(failed)
}

fn failed(error: SessionError) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// `size` characters that differ from the last write's.
fn payload(counter: u64, size: usize) -> String {
    let letters = "abcdefghijklmnopqrstuvwxyz";
    let at = (counter % 26) as usize;
    letters[at..=at].repeat(size)
}
