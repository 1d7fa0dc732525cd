//! What a client asks for next, and what it keeps of the answer: the same for every engine.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::fault::Node;
use crate::history::{Ran, Step, Subject};
use crate::plan::Load;
use crate::random::Random;
use crate::user::User;

/// A client: asks, waits for the answer, thinks, and asks again.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: usize,
    kind: Kind,
    random: Random,
    think: Duration,
    patience: Duration,
    jar: Option<Jar>,
    /// Sessions that have ended: their cookies are tried again.
    ended: Vec<Jar>,
    subjects: u64,
}

/// A session as its client has it.
#[derive(Clone, Debug)]
pub(crate) struct Jar {
    pub(crate) subject: Subject,
    /// `KEY.ROUTE`; `None` until the first answer.
    pub(crate) cookie: Option<String>,
}

#[derive(Debug)]
enum Kind {
    Alone,
    /// The first of a group begins the session of all.
    Member {
        is_first: bool,
        shared: Arc<Mutex<Option<Jar>>>,
    },
    Idler {
        limit: Duration,
        /// How often it comes back in time before it stays away.
        touches: usize,
    },
}

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) jar: Jar,
    pub(crate) steps: Vec<Step>,
    /// How long it waits for the answer.
    pub(crate) patience: Duration,
    /// Whether the session has ended, as far as the client knows.
    is_ended: bool,
}

/// What a client gets.
#[derive(Debug)]
pub(crate) enum Got {
    /// An answer: what the application did, and the cookie if one was set or taken away.
    Answer {
        ran: Option<Ran>,
        cookie: Option<Option<String>>,
    },
    /// It was not done.
    Failed,
    /// It may have been done.
    Unknown,
}

/// Where a balancer sends a request: to the node of the cookie's route, if it is thought healthy, or
/// else to any that is; `sticky` of a hundred times to the former.
pub(crate) fn balance(
    jar: &Jar,
    healthy: &[Node],
    sticky: u64,
    random: &mut Random,
) -> Option<Node> {
    if healthy.is_empty() {
        return None;
    }
    let routed = jar
        .route()
        .and_then(|route| route.strip_prefix('n')?.parse().ok());
    match routed.filter(|node| healthy.contains(node)) {
        Some(node) if random.percent(sticky) => Some(node),
        _ => Some(random.pick(healthy)),
    }
}

/// All the clients of a load.
pub(crate) fn clients(seed: u64, load: &Load) -> Vec<Client> {
    let mut kinds = Vec::new();
    kinds.extend((0..load.alone).map(|_| Kind::Alone));
    for _ in 0..load.groups {
        let shared = Arc::new(Mutex::new(None));
        kinds.extend((0..GROUP).map(|at| Kind::Member {
            is_first: at == 0,
            shared: Arc::clone(&shared),
        }));
    }
    kinds.extend((0..load.idlers).map(|_| Kind::Idler {
        limit: Duration::ZERO,
        touches: 0,
    }));
    let client = |(number, kind)| Client {
        number,
        kind,
        random: Random::derived(seed, 1000 + number as u64),
        think: load.think,
        patience: load.patience,
        jar: None,
        ended: Vec::new(),
        subjects: 0,
    };
    kinds.into_iter().enumerate().map(client).collect()
}

/// How many clients share a session.
const GROUP: usize = 3;

impl Client {
    /// What the client does next, and how long it thinks before. `None`: nothing yet.
    pub(crate) fn wish(&mut self) -> (Duration, Option<Wish>) {
        let think = u64::try_from(self.think.as_millis()).expect("it is seconds");
        let think = self.random.millis(0, think);
        if !self.ended.is_empty() && self.random.percent(5) {
            let jar = self.ended[self.random.below(self.ended.len())].clone();
            return (think, Some(self.asks(jar, Vec::new(), true)));
        }
        match &self.kind {
            Kind::Alone => (think, Some(self.wish_alone())),
            Kind::Member { is_first, shared } => {
                let (is_first, shared) = (*is_first, Arc::clone(shared));
                (think, self.wish_together(is_first, &shared))
            }
            Kind::Idler { .. } => self.wish_idle(think),
        }
    }

    /// What came of it.
    pub(crate) fn got(&mut self, wish: &Wish, got: Got) {
        if wish.is_ended {
            return;
        }
        let Got::Answer { ran, cookie } = got else {
            // Who does not know whether a session began begins another.
            if wish.jar.cookie.is_none() {
                self.jar = None;
            }
            return;
        };
        let mut jar = wish.jar.clone();
        if let Some(Some(cookie)) = &cookie {
            if jar
                .cookie
                .as_ref()
                .is_some_and(|old| key(old) != key(cookie))
            {
                self.ended.push(jar.clone());
            }
            jar.cookie = Some(cookie.clone());
        }
        let is_there = ran
            .as_ref()
            .is_some_and(|ran| ran.key.is_some() && !ran.ended);
        if is_there && jar.cookie.is_some() {
            self.jar = Some(jar.clone());
            if let Kind::Member {
                is_first: true,
                shared,
            } = &self.kind
            {
                *shared.lock() = Some(jar);
            }
            return;
        }
        if jar.cookie.is_some() {
            self.ended.push(jar.clone());
        }
        self.jar = None;
        if let Kind::Member { shared, .. } = &self.kind {
            let mut shared = shared.lock();
            if shared
                .as_ref()
                .is_some_and(|shared| shared.subject == jar.subject)
            {
                *shared = None;
            }
        }
    }

    fn asks(&mut self, jar: Jar, steps: Vec<Step>, is_ended: bool) -> Wish {
        // Some leave in the middle, and take their request with them.
        let patience = if self.random.percent(3) {
            self.random.millis(0, 30)
        } else {
            self.patience
        };
        Wish {
            jar,
            steps,
            patience,
            is_ended,
        }
    }

    fn begin(&mut self, step: impl FnOnce(Subject) -> Step) -> Wish {
        self.subjects += 1;
        let subject = Subject(self.number as u64 * 10_000 + self.subjects);
        let jar = Jar {
            subject,
            cookie: None,
        };
        let steps = vec![step(subject), Step::Write("r0".to_owned())];
        self.asks(jar, steps, false)
    }

    fn wish_alone(&mut self) -> Wish {
        let Some(jar) = self.jar.clone() else {
            return self.begin(Step::Create);
        };
        let register = format!("r{}", self.random.below(3));
        let member = format!("s{}", self.random.below(4));
        let steps = match self.random.below(100) {
            0..=29 => vec![Step::Write(register)],
            30..=49 => vec![Step::Write(register), Step::Write("r9".to_owned())],
            50..=66 => vec![Step::Append("list".to_owned())],
            67..=75 => vec![Step::Write(member)],
            76..=78 => vec![Step::Remove(member)],
            // More of them than a session may have to remember.
            79..=81 => (0..4).map(|at| Step::Remove(format!("s{at}"))).collect(),
            82..=85 => {
                let wait = Step::Wait(self.random.millis(1, 400));
                vec![Step::Write(register), wait, Step::Write("r8".to_owned())]
            }
            86..=93 => Vec::new(),
            94..=97 => self.logs_in(),
            98 => vec![Step::EndAllOf(self.any_user())],
            _ => vec![Step::Logout],
        };
        self.asks(jar, steps, false)
    }

    /// Mostly a user is named, and mostly the session gets another key.
    fn logs_in(&mut self) -> Vec<Step> {
        let user = Step::LogInAs(self.any_user());
        let again = Step::Write("user".to_owned());
        match self.random.below(10) {
            0..=2 => vec![Step::Login, again],
            3 => vec![user, again],
            _ => vec![user, Step::Login, again],
        }
    }

    fn any_user(&mut self) -> User {
        User(self.random.pick(&[0, 1, 2]))
    }

    fn wish_together(&mut self, is_first: bool, shared: &Mutex<Option<Jar>>) -> Option<Wish> {
        let current = shared.lock().clone();
        match (&self.jar, current) {
            (None, None) if is_first => return Some(self.begin(Step::Create)),
            (None, None) => return None,
            (Some(mine), Some(theirs)) if mine.subject != theirs.subject => {
                self.jar = Some(theirs);
            }
            (None, Some(theirs)) => self.jar = Some(theirs),
            (Some(_), _) => {}
        }
        let jar = self.jar.clone().expect("it was put there above");
        let mine = self.number;
        let steps = match self.random.below(100) {
            0..=39 => vec![Step::Write(format!("c{mine}"))],
            40..=54 => vec![Step::Write("common".to_owned())],
            55..=69 => vec![Step::Append(format!("l{mine}"))],
            70..=79 => vec![Step::Write(format!("s{mine}.{}", self.random.below(3)))],
            80..=84 => vec![Step::Remove(format!("s{mine}.{}", self.random.below(3)))],
            85..=97 => Vec::new(),
            98 => vec![Step::LogInAs(self.any_user())],
            _ => vec![Step::Logout],
        };
        Some(self.asks(jar, steps, false))
    }

    fn wish_idle(&mut self, think: Duration) -> (Duration, Option<Wish>) {
        let Some(jar) = self.jar.clone() else {
            let limit = self.random.millis(8_000, 30_000);
            let touches = self.random.below(6);
            self.kind = Kind::Idler { limit, touches };
            let wish = self.begin(|subject| Step::CreateIdle(subject, limit));
            return (think, Some(wish));
        };
        let Kind::Idler { limit, touches } = &mut self.kind else {
            unreachable!("only idlers come here");
        };
        let limit = *limit;
        let away = if *touches > 0 {
            *touches -= 1;
            limit * (30 + self.random.below(40) as u32) / 100
        } else {
            limit + self.random.millis(1000, 30_000)
        };
        let steps = if self.random.percent(30) {
            vec![Step::Write("r1".to_owned())]
        } else {
            Vec::new()
        };
        (away, Some(self.asks(jar, steps, false)))
    }
}

fn key(cookie: &str) -> &str {
    cookie.split('.').next().unwrap_or(cookie)
}

impl Jar {
    /// The key in the cookie.
    pub(crate) fn key(&self) -> Option<String> {
        self.cookie.as_deref().map(|cookie| key(cookie).to_owned())
    }

    /// The route in the cookie: the name of a node.
    pub(crate) fn route(&self) -> Option<&str> {
        self.cookie
            .as_deref()?
            .split_once('.')
            .map(|(_, route)| route)
    }
}
