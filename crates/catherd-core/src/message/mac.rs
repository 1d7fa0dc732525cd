//! The key of a cluster: who does not have it is not heard.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A secret that all members share (`key` of the `Cluster` element).
///
/// It authenticates heartbeats and hellos with HMAC-SHA-256, cut to 16 bytes. It hides nothing,
/// and what follows a hello on its connection is not covered.
#[derive(Clone)]
pub struct ClusterKey(Hmac<Sha256>);

/// Tells nothing of the key: debug output ends in logs.
impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(..)")
    }
}

impl ClusterKey {
    /// The key with these secret bytes, any number of them.
    pub fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    pub(super) fn mac(&self, payload: &[u8]) -> [u8; MAC_BYTES] {
        let full = self.0.clone().chain_update(payload).finalize().into_bytes();
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&full[..MAC_BYTES]);
        mac
    }

    pub(super) fn verifies(&self, payload: &[u8], mac: &[u8; MAC_BYTES]) -> bool {
        self.0
            .clone()
            .chain_update(payload)
            .verify_truncated_left(mac)
            .is_ok()
    }
}

/// How long a MAC is; without a key it is zeros.
pub(super) const MAC_BYTES: usize = 16;

/// Whether `mac` is that of `payload` under `key`; without a key only zeros will do, so that a
/// node without a key and one with it refuse each other.
pub(super) fn verify(key: Option<&ClusterKey>, payload: &[u8], mac: &[u8; MAC_BYTES]) -> bool {
    key.map_or(*mac == [0; MAC_BYTES], |key| key.verifies(payload, mac))
}

/// The MAC of `payload`, zeros without a key.
pub(super) fn sign(key: Option<&ClusterKey>, payload: &[u8]) -> [u8; MAC_BYTES] {
    key.map_or([0; MAC_BYTES], |key| key.mac(payload))
}
