//! What nodes exchange besides: acknowledgements, questions and answers, ages, digests.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::super::wire;
#[cfg(test)]
use super::Answer;
#[cfg(test)]
use super::fragment::defined::{from_fragment, to_fragment};
use super::fragment::{from_key, from_vector, to_key, to_vector};
use super::greeting::millis;
use super::{DecodeError, Message};
use crate::key::Key;
use crate::link::Ack;
use crate::sync::{Comparison, Stretch, Summaries, Summary};
use crate::version::Vector;

pub(super) fn to_ack(ack: &Ack) -> wire::Ack {
    wire::Ack {
        up_to: ack.up_to,
        behind: ack.behind.clone(),
        ended: ack.ended.clone(),
        twins: ack.twins.clone(),
        unheld: ack.unheld.clone(),
    }
}

pub(super) fn from_ack(ack: wire::Ack) -> Ack {
    Ack {
        up_to: ack.up_to,
        behind: ack.behind,
        ended: ack.ended,
        twins: ack.twins,
        unheld: ack.unheld,
    }
}

pub(super) fn to_fetch(
    question: u64,
    context: &str,
    wanted: &[(Key, Vector)],
    route: &str,
) -> wire::Fetch {
    let wanted = wanted
        .iter()
        .map(|(key, held)| wire::Wanted {
            key: to_key(*key),
            held: Some(to_vector(held)),
        })
        .collect();
    wire::Fetch {
        question,
        context: context.to_owned(),
        wanted,
        route: route.to_owned(),
        stretch: None,
    }
}

pub(super) fn to_fetch_all(question: u64, context: &str, stretch: &Stretch) -> wire::Fetch {
    let stretch = wire::Stretch {
        size: stretch.size,
        from: stretch.buckets.start,
        end: stretch.buckets.end,
        after: stretch.after.map(to_key).unwrap_or_default(),
        most: u32::try_from(stretch.most).unwrap_or(u32::MAX),
    };
    wire::Fetch {
        question,
        context: context.to_owned(),
        stretch: Some(stretch),
        ..wire::Fetch::default()
    }
}

pub(super) fn from_fetch(fetch: wire::Fetch) -> Result<Message, DecodeError> {
    if let Some(stretch) = fetch.stretch {
        return Ok(Message::FetchAll {
            question: fetch.question,
            context: fetch.context,
            stretch: from_stretch(&stretch)?,
        });
    }
    let wanted = fetch
        .wanted
        .iter()
        .map(|wanted| Ok((from_key(&wanted.key)?, from_vector(wanted.held.as_ref())?)))
        .collect::<Result<_, DecodeError>>()?;
    Ok(Message::Fetch {
        question: fetch.question,
        context: fetch.context,
        wanted,
        route: fetch.route,
    })
}

fn from_stretch(stretch: &wire::Stretch) -> Result<Stretch, DecodeError> {
    let after = Some(&stretch.after).filter(|after| !after.is_empty());
    let stretch = Stretch {
        size: stretch.size,
        buckets: stretch.from..stretch.end,
        after: after.map(|after| from_key(after)).transpose()?,
        most: usize::try_from(stretch.most).unwrap_or(usize::MAX),
    };
    if stretch.is_sane() {
        Ok(stretch)
    } else {
        Err(DecodeError::Malformed)
    }
}

/// What [`encode_whole`](super::encode::encode_whole) is compared with.
#[cfg(test)]
pub(super) fn to_whole(
    question: u64,
    context: &str,
    answers: &[Answer],
    (knew_route, is_cut): (bool, bool),
) -> wire::Whole {
    let answers = answers
        .iter()
        .map(|answer| wire::Answer {
            key: to_key(answer.key),
            same: answer.same,
            fragment: answer.fragment.as_ref().map(to_fragment),
            served: answer.served,
        })
        .collect();
    wire::Whole {
        question,
        context: context.to_owned(),
        answers,
        knew_route,
        is_cut,
    }
}

/// What [`decode_whole`](super::decode::decode_whole) is compared with.
#[cfg(test)]
pub(super) fn from_whole(whole: wire::Whole) -> Result<Message, DecodeError> {
    let answers = whole
        .answers
        .into_iter()
        .map(|answer| {
            let key = from_key(&answer.key)?;
            let fragment = answer.fragment.as_ref().map(from_fragment).transpose()?;
            if fragment
                .as_ref()
                .is_some_and(|fragment| fragment.key != key)
            {
                return Err(DecodeError::Malformed);
            }
            Ok(Answer {
                key,
                same: answer.same,
                fragment,
                served: answer.served,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Message::Whole {
        question: whole.question,
        context: whole.context,
        answers,
        knew_route: whole.knew_route,
        is_cut: whole.is_cut,
    })
}

pub(super) fn to_touch(context: &str, ages: &[(Key, Duration)]) -> wire::Touch {
    wire::Touch {
        context: context.to_owned(),
        keys: to_keys(ages.iter().map(|(key, _)| *key)),
        ages_ms: ages.iter().map(|(_, age)| millis(*age)).collect(),
    }
}

pub(super) fn from_touch(touch: wire::Touch) -> Result<Message, DecodeError> {
    Ok(Message::Touch {
        context: touch.context,
        ages: paired(&touch.keys, touch.ages_ms)?,
    })
}

pub(super) fn to_ages(question: u64, context: &str, ages: &[(Key, Duration)]) -> wire::Ages {
    wire::Ages {
        question,
        context: context.to_owned(),
        keys: to_keys(ages.iter().map(|(key, _)| *key)),
        ages_ms: ages.iter().map(|(_, age)| millis(*age)).collect(),
    }
}

type Ages = (u64, String, Vec<(Key, Duration)>);

pub(super) fn from_ages(ages: wire::Ages) -> Result<Ages, DecodeError> {
    let paired = paired(&ages.keys, ages.ages_ms)?;
    Ok((ages.question, ages.context, paired))
}

pub(super) fn to_keys(keys: impl ExactSizeIterator<Item = Key>) -> Bytes {
    let mut bytes = BytesMut::with_capacity(keys.len() * 16);
    for key in keys {
        bytes.put_u128(key.bits());
    }
    bytes.freeze()
}

pub(super) fn from_keys(bytes: &[u8]) -> Result<Vec<Key>, DecodeError> {
    let (keys, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(DecodeError::Malformed);
    }
    let key = |bytes: &[u8; 16]| Key::from_bits(u128::from_be_bytes(*bytes));
    Ok(keys.iter().map(key).collect())
}

/// Keys, and an age for each.
pub(super) fn paired(keys: &[u8], ages_ms: Vec<u64>) -> Result<Vec<(Key, Duration)>, DecodeError> {
    let keys = from_keys(keys)?;
    if keys.len() != ages_ms.len() {
        return Err(DecodeError::Malformed);
    }
    let ages = ages_ms.into_iter().map(Duration::from_millis);
    Ok(keys.into_iter().zip(ages).collect())
}

pub(super) fn to_buckets(question: u64, context: &str, comparison: &Comparison) -> wire::Buckets {
    wire::Buckets {
        question,
        context: context.to_owned(),
        size: comparison.size,
        from: comparison.from,
        digests: comparison.digests.clone(),
        mutual: comparison.is_mutual,
        only: comparison.only.clone(),
    }
}

pub(super) fn from_buckets(buckets: wire::Buckets) -> Result<Message, DecodeError> {
    let wire::Buckets {
        question,
        context,
        size,
        from,
        digests,
        mutual,
        only,
    } = buckets;
    let comparison = Comparison {
        size,
        from,
        digests,
        only,
        is_mutual: mutual,
    };
    if !comparison.is_sane() {
        return Err(DecodeError::Malformed);
    }
    Ok(Message::Buckets {
        question,
        context,
        comparison,
    })
}

pub(super) fn to_summaries(question: u64, context: &str, summaries: &Summaries) -> wire::Summaries {
    let mut keys = BytesMut::with_capacity(summaries.sessions.len() * 16);
    for summary in &summaries.sessions {
        keys.put_u128(summary.key.bits());
    }
    wire::Summaries {
        question,
        context: context.to_owned(),
        next: summaries.next.map_or(0, |next| next + 1),
        keys: keys.freeze(),
        digests: summaries
            .sessions
            .iter()
            .map(|summary| summary.digest)
            .collect(),
    }
}

pub(super) fn from_summaries(summaries: wire::Summaries) -> Result<Message, DecodeError> {
    let (keys, rest) = summaries.keys.as_chunks::<16>();
    if !rest.is_empty() || keys.len() != summaries.digests.len() {
        return Err(DecodeError::Malformed);
    }
    let summary = |(key, digest): (&[u8; 16], &u64)| {
        let key = Key::from_bits(u128::from_be_bytes(*key));
        if *digest == 0 {
            Err(DecodeError::Malformed)
        } else {
            Ok(Summary {
                key,
                digest: *digest,
            })
        }
    };
    let sessions = keys
        .iter()
        .zip(&summaries.digests)
        .map(summary)
        .collect::<Result<_, _>>()?;
    Ok(Message::Summaries {
        question: summaries.question,
        context: summaries.context,
        summaries: Summaries {
            next: summaries.next.checked_sub(1),
            sessions,
        },
    })
}
