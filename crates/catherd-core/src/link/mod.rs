//! One connection.

/// What has been applied.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ack {
    /// Up to.
    pub up_to: u64,
    /// Behind.
    pub behind: Vec<u64>,
    /// Ended.
    pub ended: Vec<u64>,
    /// Twins.
    pub twins: Vec<u64>,
}
