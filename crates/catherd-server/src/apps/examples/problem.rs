//! What a request can be refused for. Nothing is changed then.

use axum::response::{IntoResponse, Response};
use catherd::AttributeError;
use http::StatusCode;
use serde::Serialize;

use crate::http::answer;

/// A request that was not done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn no_session() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no session")
    }
}

impl From<AttributeError> for Problem {
    fn from(error: AttributeError) -> Self {
        let status = match &error {
            AttributeError::Limit(_) => StatusCode::PAYLOAD_TOO_LARGE,
            AttributeError::Name { .. } => StatusCode::BAD_REQUEST,
            AttributeError::Decode { .. } => StatusCode::CONFLICT,
            AttributeError::TableFull => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Said {
            error: String,
        }
        answer::json(self.status, &Said { error: self.text })
    }
}
