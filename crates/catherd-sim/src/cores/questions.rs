//! Questions to members, over the links to them.

use catherd::core::message::Message;
use catherd::core::time::Time;
use catherd::core::version::Incarnation;

use super::world::Me;

/// A question on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    member: Incarnation,
    deadline: Time,
    /// The link and the question's number; `None` if there is no link.
    over: Option<(u64, u64)>,
}

/// Asks a member, and does not wait.
pub(super) async fn ask(
    me: &Me,
    member: Incarnation,
    deadline: Time,
    message: impl FnOnce(u64) -> Message,
) -> Asked {
    let process = me.process;
    let over = me
        .act(|world| {
            let link = world.node(process).links.get_mut(&(member, 0))?;
            link.questions += 1;
            let (number, question) = (link.number, link.questions);
            link.open.insert(question, None);
            world.tell(process, member, &message(question));
            world.wake_at(process, deadline);
            Some((number, question))
        })
        .await;
    Asked {
        member,
        deadline,
        over,
    }
}

impl Asked {
    /// The answer; `None` if there is none in time, or the link has ended.
    pub(super) async fn answer(self, me: &Me) -> Option<Message> {
        let (link, question) = self.over?;
        me.until(|world| {
            let time = world.time(me.process);
            let links = &mut world.node(me.process).links;
            let Some(asked) = links
                .get_mut(&(self.member, 0))
                .filter(|it| it.number == link)
            else {
                return Some(None);
            };
            let is_answered = asked.open.get(&question).is_some_and(Option::is_some);
            if !is_answered && time < self.deadline {
                return None;
            }
            Some(asked.open.remove(&question).flatten())
        })
        .await
    }
}
