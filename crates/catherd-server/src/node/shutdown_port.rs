//! `<Server port="8005" shutdown="SHUTDOWN">`: whoever says the word on this port ends the node.
//!
//! The port is opened on 127.0.0.1 and nowhere else. It is off with `port="-1"`: everybody on the
//! machine who knows the word can end the node.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Waits until somebody says `word`.
pub(super) async fn said(listener: TcpListener, word: &str) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match timeout(PATIENCE, is_word(stream, word)).await {
                Ok(true) => return,
                Ok(false) | Err(_) => {
                    tracing::warn!("the shutdown port was told something other than its word");
                }
            },
            Err(error) => {
                tracing::warn!(%error, "the shutdown port could not accept a connection");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// How long a client may take for the word. One is heard after the other, as in Tomcat.
const PATIENCE: Duration = Duration::from_secs(2);

/// The word ends with the connection, or with a control character, such as the end of a line.
async fn is_word(mut stream: TcpStream, word: &str) -> bool {
    let mut said = Vec::with_capacity(word.len());
    loop {
        match stream.read_u8().await {
            Ok(byte) if byte >= b' ' => said.push(byte),
            Ok(_) | Err(_) => return said == word.as_bytes(),
        }
        if said.len() > word.len() {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn the_word_ends_it_and_nothing_else_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = tokio::spawn(async move { said(listener, "SHUTDOWN").await });
        for text in ["", "SHUT\n", "shutdown\n", "SHUTDOWN2\n", &"S".repeat(1000)] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // The port may have heard enough before it was told everything.
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_u8().await;
            assert!(!waiting.is_finished(), "{text}");
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"SHUTDOWN\r\n").await.unwrap();
        waiting.await.unwrap();
    }
}
