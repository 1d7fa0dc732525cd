//! `Session`: what a handler calls.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catherd_core::session::{Principal, Property, Slot, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attribute::{Attribute, AttributeError, decode, encode};
use super::request::Request;
use crate::context::SessionsEnded;

/// The session of a request. Cheap to clone; all clones are the same session.
///
/// The layer puts one into the extensions of every request. Nothing is created until something is
/// set (or [`create`](Self::create) is called); what is set is visible to other requests at once,
/// and on the other members before the response leaves, in the synchronous modes.
#[derive(Clone, Debug)]
pub struct Session {
    request: Arc<Request>,
}

impl Session {
    pub(crate) fn new(request: Arc<Request>) -> Self {
        Self { request }
    }

    /// The key in 32 hexadecimal digits, without a route; `None` if there is no session. After
    /// [`cycle_id`](Self::cycle_id) it is the new one.
    pub fn id(&self) -> Option<String> {
        self.request.key().map(|key| key.to_string())
    }

    /// Whether this request made the session.
    pub fn is_new(&self) -> bool {
        self.request.is_new()
    }

    /// Whether there is a session.
    pub fn exists(&self) -> bool {
        self.request.read(|_| ()).is_some()
    }

    /// Makes sure that there is a session.
    ///
    /// # Errors
    ///
    /// The context has as many sessions as it may have, or the response has begun.
    pub fn create(&self) -> Result<(), AttributeError> {
        self.request.ensure()
    }

    /// When it was created, by the wall clock of the node that did.
    pub fn created(&self) -> Option<SystemTime> {
        let millis = self
            .request
            .read(|state| state.property(Property::Created))??;
        Some(UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).ok()?))
    }

    /// When it was last accessed, before this request on this node or by another's word; by the
    /// wall clock of this node.
    pub fn last_accessed(&self) -> Option<SystemTime> {
        let node = &self.request.context.node;
        let last = self.request.read(|state| state.last_access())?;
        node.surroundings
            .wall_clock()
            .checked_sub(node.surroundings.now().since(last))
    }

    /// How long it may be idle; `None` for ever, and without a session.
    pub fn max_inactive_interval(&self) -> Option<Duration> {
        self.request.read(|state| state.idle_limit())?
    }

    /// Sets how long it may be idle, in whole milliseconds; `None` for ever.
    ///
    /// # Errors
    ///
    /// There was no session, and none could be made.
    pub fn set_max_inactive_interval(&self, limit: Option<Duration>) -> Result<(), AttributeError> {
        self.create()?;
        let millis = limit.map_or(-1, crate::context::to_millis);
        // A session that ended meanwhile needs no limit.
        let _ = self.request.change(|state| {
            state.set_property(Property::MaxInactive, millis);
        });
        Ok(())
    }

    /// The names of all attributes, sorted.
    pub fn attribute_names(&self) -> Vec<String> {
        let names = self.request.read(|state| {
            let names = state.names();
            names.iter().map(|name| name.as_str().to_owned()).collect()
        });
        names.unwrap_or_default()
    }

    /// The value of an attribute; `None` if it is not set.
    ///
    /// # Errors
    ///
    /// The name is none, or the value is of another type.
    pub fn get<T: DeserializeOwned>(
        &self,
        name: impl Into<Attribute<T>>,
    ) -> Result<Option<T>, AttributeError> {
        let attribute = name.into();
        let slot = attribute.slot()?;
        let value = self.request.read(|state| state.value(&slot)).flatten();
        value.map(|value| decode(&attribute, &value)).transpose()
    }

    /// Sets an attribute; makes the session if there is none.
    ///
    /// # Errors
    ///
    /// The value cannot be encoded, or the session would be too large: it is as it was.
    pub fn insert<T: Serialize>(
        &self,
        name: impl Into<Attribute<T>>,
        value: &T,
    ) -> Result<(), AttributeError> {
        let attribute = name.into();
        let (slot, value) = (attribute.slot()?, encode(&attribute, value)?);
        self.put(slot, Some(value))
    }

    /// Changes an attribute by what it is: `change` gets the value, or `None`, and leaves the new
    /// one, or `None` to remove it.
    ///
    /// Exact on one node: `change` is called again if a neighbour's request got in between, and
    /// never runs under a lock. Two nodes that change one attribute at once resolve by version.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`insert`](Self::insert).
    pub fn update<T: Serialize + DeserializeOwned, R>(
        &self,
        name: impl Into<Attribute<T>>,
        mut change: impl FnMut(&mut Option<T>) -> R,
    ) -> Result<R, AttributeError> {
        let attribute = name.into();
        let slot = attribute.slot()?;
        loop {
            self.create()?;
            let before = self.request.read(|state| state.value(&slot)).flatten();
            let mut value = before
                .as_ref()
                .map(|value| decode(&attribute, value))
                .transpose()?;
            let result = change(&mut value);
            let after = value
                .as_ref()
                .map(|value| encode(&attribute, value))
                .transpose()?;
            if after == before {
                return Ok(result);
            }
            let rules = self.request.context.rules();
            let put = self.request.change(|state| {
                let unchanged = state.read(&slot) == before.as_ref().map(Value::as_bytes);
                unchanged.then(|| state.set(slot.clone(), after, &rules))
            });
            if let Some(Some(set)) = put {
                return set.map(|()| result).map_err(AttributeError::Limit);
            }
        }
    }

    /// Removes an attribute; `false` if it was not set.
    pub fn remove(&self, name: &str) -> bool {
        let Ok(slot) = Attribute::<()>::from(name.to_owned()).slot() else {
            return false;
        };
        let was_set = self.request.read(|state| state.read(&slot).is_some()) == Some(true);
        was_set && self.put(slot, None).is_ok()
    }

    /// Who is logged in; `None` for nobody.
    pub fn principal(&self) -> Option<Principal> {
        self.request.read(|state| state.principal())?
    }

    /// Says who is logged in from here on; makes the session if there is none.
    ///
    /// Call [`cycle_id`](Self::cycle_id) as well: a key from before the login may be known to
    /// somebody who gave it to this client.
    ///
    /// ```
    /// use catherd::{AttributeError, Principal, Session};
    ///
    /// fn logged_in(session: &Session) -> Result<(), AttributeError> {
    ///     session.log_in(&Principal::new("anna").role("admin").auth_type("FORM"))?;
    ///     session.cycle_id();
    ///     Ok(())
    /// }
    ///
    /// fn may_delete(session: &Session) -> bool {
    ///     session.principal().is_some_and(|principal| principal.has_role("admin"))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The principal is none that a session can keep, or the session would be too large, or there
    /// was none and none could be made.
    pub fn log_in(&self, principal: &Principal) -> Result<(), AttributeError> {
        let generation = self.request.context.generation_of(principal.user());
        let value = principal
            .clone()
            .of_generation(generation)
            .to_value()
            .map_err(AttributeError::Principal)?;
        self.put(Slot::Principal, Some(value))
    }

    /// Says that nobody is logged in any more; the session stays, with its attributes. To end it,
    /// [`invalidate`](Self::invalidate). `false` if nobody was.
    pub fn log_out(&self) -> bool {
        let slot = Slot::Principal;
        let was_set = self.request.read(|state| state.read(&slot).is_some()) == Some(true);
        was_set && self.put(slot, None).is_ok()
    }

    /// Ends all sessions of whoever is logged in, this one too, here and on every member: see
    /// [`Context::end_sessions_of`](crate::Context::end_sessions_of). `None` if nobody is.
    pub async fn log_out_everywhere(&self) -> Option<SessionsEnded> {
        let principal = self.principal()?;
        let context = Arc::clone(&self.request.context);
        Some(context.end_sessions_of(principal.user()).await)
    }

    /// Gives the session a new key when the request is complete, and ends the old one everywhere:
    /// at login, and at any change of rights. `false` if there is no session, or the response has
    /// begun.
    pub fn cycle_id(&self) -> bool {
        self.request.cycle_id()
    }

    /// Ends the session, everywhere, when the request is complete (HOW-TO, "How it Works", 7).
    /// From here on the request has no session. `false` if there was none.
    pub fn invalidate(&self) -> bool {
        self.request.invalidate()
    }

    /// Sends what has changed now, and waits as the response would: for streams that do not end.
    ///
    /// # Errors
    ///
    /// A member did not acknowledge in time; what was written is here, and repaired there later.
    pub async fn flush(&self) -> Result<Confirmed, FlushError> {
        let finished = self.request.finish();
        let channel = Arc::clone(self.request.context.node.channel());
        let mut confirmed = true;
        for receipt in finished.write.iter().chain(&finished.ends) {
            let is_confirmed = poll_fn(|cx| receipt.poll(&*channel, cx)).await;
            if is_confirmed {
                self.request.confirmed(receipt);
            }
            confirmed &= is_confirmed;
        }
        if confirmed {
            Ok(Confirmed(()))
        } else {
            Err(FlushError(()))
        }
    }

    fn put(&self, slot: Slot, value: Option<Value>) -> Result<(), AttributeError> {
        let rules = self.request.context.rules();
        // A value that no session could hold makes none.
        rules
            .check(&slot, value.as_ref())
            .map_err(AttributeError::Limit)?;
        self.create()?;
        match self.request.change(|state| state.set(slot, value, &rules)) {
            Some(set) => set.map_err(AttributeError::Limit),
            // It ended between the two steps; the write is lost with it, as a later one would be.
            None => Ok(()),
        }
    }
}

/// All who had to have acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Confirmed(());

/// A member did not acknowledge in time.
#[derive(Clone, Copy, Debug)]
pub struct FlushError(());

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "fewer members than configured hold the change; it is repaired when they answer",
        )
    }
}

impl std::error::Error for FlushError {}
