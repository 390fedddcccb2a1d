//! The calls of one side that wait for their responses, each known by its number. What is sent it does not know.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use tokio::sync::oneshot;

use super::errors::CallError;

/// What a call comes to.
pub(super) type Answer = Result<Vec<u8>, CallError>;

/// Those under way.
#[derive(Debug, Default)]
pub(super) struct Calls {
    waiting: HashMap<u64, oneshot::Sender<Answer>, BuildHasherDefault<OwnNumber>>,
    last_id: u64,
}

/// Numbers that this side gives, one after the other, are as good as their hashes: nobody else chooses what is in the map.
#[derive(Debug, Default)]
struct OwnNumber(u64);

impl Hasher for OwnNumber {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a number is written as one");
    }

    fn write_u64(&mut self, number: u64) {
        // The map looks at the highest bits first.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Calls {
    /// A further one: its number, and where its answer will be. Numbers begin with 1, since to some implementations 0 is none.
    pub(super) fn begin(&mut self) -> (u64, oneshot::Receiver<Answer>) {
        let (sender, answer) = oneshot::channel();
        self.last_id += 1;
        self.waiting.insert(self.last_id, sender);
        (self.last_id, answer)
    }

    /// The answer is there. A number that nobody waits for is no error: whoever did may have given up.
    pub(super) fn answer(&mut self, id: u64, answer: Answer) {
        if let Some(waiting) = self.waiting.remove(&id) {
            let _ = waiting.send(answer);
        }
    }

    /// Nobody waits for it any more.
    pub(super) fn forget(&mut self, id: u64) {
        self.waiting.remove(&id);
    }

    /// None of them will be answered.
    pub(super) fn fail_all(&mut self, why: &CallError) {
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.send(Err(why.clone()));
        }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_finds_its_call_in_any_order() {
        let mut calls = Calls::default();
        let mut begun: Vec<_> = (0..3).map(|_| calls.begin()).collect();
        assert_eq!(begun.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3]);
        for id in [3, 1] {
            calls.answer(id, Ok(vec![id as u8]));
        }
        assert_eq!(begun[0].1.try_recv(), Ok(Ok(vec![1])));
        assert_eq!(begun[2].1.try_recv(), Ok(Ok(vec![3])));
        assert!(calls.len() == 1 && begun[1].1.try_recv().is_err());
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_dropped() {
        let mut calls = Calls::default();
        let (given_up, _) = calls.begin();
        calls.forget(given_up);
        let (id, mut answer) = calls.begin();
        for unknown in [given_up, 0, 77] {
            calls.answer(unknown, Ok(b"unknown".to_vec()));
        }
        calls.answer(id, Ok(b"first".to_vec()));
        calls.answer(id, Ok(b"second".to_vec()));
        assert_eq!(answer.try_recv(), Ok(Ok(b"first".to_vec())));
        assert_eq!(calls.len(), 0);
    }

    #[test]
    fn all_that_wait_hear_of_the_end() {
        let mut calls = Calls::default();
        let (_, mut answer) = calls.begin();
        calls.fail_all(&CallError::Refused("over".to_owned()));
        assert_eq!(answer.try_recv(), Ok(Err(CallError::Refused("over".to_owned()))));
        assert_eq!(calls.len(), 0);
    }
}
