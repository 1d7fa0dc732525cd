//! What can be done to the session.
//!
//! A step that fails leaves no trace: neither a value, nor a session that was made for it.

use std::time::Duration;

use catherd::{AttributeError, Session};
use serde_json::{Number, Value};

use super::problem::Problem;

/// Sets an attribute; makes the session if there is none.
pub(super) fn set(session: &Session, name: String, value: &Value) -> Result<(), Problem> {
    without_trace(session, || {
        session.insert(name, value).map_err(Problem::from)
    })
}

/// Adds 1 to a number, which is 0 if it is not set; makes the session if there is none.
pub(super) fn increment(session: &Session, name: String) -> Result<Number, Problem> {
    let said = name.clone();
    let add = move |value: &mut Option<Value>| {
        let Some(sum) = plus_one(value.as_ref()) else {
            return Err(no_number(&said));
        };
        *value = Some(Value::Number(sum.clone()));
        Ok(sum)
    };
    let updated = without_trace(session, || session.update(name, add).map_err(refused));
    updated?
}

/// Sets how many seconds the session may be idle; zero and less: for ever, as the Servlet
/// specification says. Makes the session if there is none.
pub(super) fn set_idle(session: &Session, seconds: f64) -> Result<(), Problem> {
    let limit = if seconds <= 0.0 {
        None
    } else if seconds <= IDLE_SECONDS_MAX {
        Some(Duration::from_secs_f64(seconds).max(Duration::from_millis(1)))
    } else {
        return Err(Problem::bad(format!(
            "the limit is at most {IDLE_SECONDS_MAX} seconds"
        )));
    };
    session
        .set_max_inactive_interval(limit)
        .map_err(Problem::from)
}

/// A hundred years: whoever means more means for ever, and says -1.
const IDLE_SECONDS_MAX: f64 = 100.0 * 365.0 * 86_400.0;

fn without_trace<R>(
    session: &Session,
    step: impl FnOnce() -> Result<R, Problem>,
) -> Result<R, Problem> {
    let was_there = session.exists();
    let done = step();
    if done.is_err() && !was_there {
        session.invalidate();
    }
    done
}

fn plus_one(value: Option<&Value>) -> Option<Number> {
    let number = match value {
        None => return Some(Number::from(1)),
        Some(value) => value.as_number()?,
    };
    if let Some(number) = number.as_i64() {
        return Some(match number.checked_add(1) {
            Some(sum) => Number::from(sum),
            None => Number::from(number.unsigned_abs() + 1),
        });
    }
    if let Some(number) = number.as_u64() {
        return number.checked_add(1).map(Number::from);
    }
    Number::from_f64(number.as_f64()? + 1.0)
}

fn no_number(name: &str) -> Problem {
    let text = format!("attribute `{name}` is no number that 1 can be added to");
    Problem::new(http::StatusCode::CONFLICT, text)
}

/// What is there is no JSON at all: no number either.
fn refused(error: AttributeError) -> Problem {
    match error {
        AttributeError::Decode { name, .. } => no_number(&name),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_is_added_to_numbers_alone() {
        let sum = |value: Value| plus_one(Some(&value)).map(Value::Number);
        assert_eq!(plus_one(None), Some(Number::from(1)));
        assert_eq!(sum(json!(0)), Some(json!(1)));
        assert_eq!(sum(json!(-1)), Some(json!(0)));
        assert_eq!(sum(json!(1.5)), Some(json!(2.5)));
        assert_eq!(
            sum(json!(i64::MAX)),
            Some(json!(9_223_372_036_854_775_808_u64))
        );
        assert_eq!(sum(json!(u64::MAX)), None);
        for value in [json!("1"), json!(null), json!([1]), json!(true)] {
            assert_eq!(sum(value), None);
        }
    }
}
