//! One question to the databases for all who ask whether they are well.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// How long an answer counts, from when its question was put.
const FRESH: Duration = Duration::from_secs(1);

/// The last answer. However many ask, there is one question at a time and about one a second: each takes a place in the
/// queue of the writes, and anybody may ask.
#[derive(Debug, Default)]
pub struct Health {
    last: Mutex<Option<Answer>>,
}

#[derive(Debug)]
struct Answer {
    asked: Instant,
    answered: Instant,
    outcome: Result<(), String>,
}

impl Health {
    /// The answer of `question`, or one that another caller got a moment ago or waited for at the same time.
    pub async fn ask(&self, question: impl Future<Output = Result<(), String>>) -> Result<(), String> {
        let arrived = Instant::now();
        let mut last = self.last.lock().await;
        // An answer that came while this caller waited is news, however long it took.
        if let Some(last) = &*last
            && (last.answered >= arrived || last.asked.elapsed() < FRESH)
        {
            return last.outcome.clone();
        }
        let asked = Instant::now();
        let outcome = question.await;
        *last = Some(Answer { asked, answered: Instant::now(), outcome: outcome.clone() });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn ask(health: &Health, questions: &AtomicUsize, takes: Duration) -> Result<(), String> {
        let question = async {
            tokio::time::sleep(takes).await;
            Err(format!("answer {}", questions.fetch_add(1, Ordering::SeqCst) + 1))
        };
        health.ask(question).await
    }

    #[tokio::test]
    async fn many_who_ask_within_a_second_share_one_question() {
        let (health, questions) = (Health::default(), AtomicUsize::new(0));
        let begin = Instant::now();
        for _ in 0..50 {
            ask(&health, &questions, Duration::ZERO).await.unwrap_err();
        }
        let put = questions.load(Ordering::SeqCst);
        let most = 1 + usize::try_from(begin.elapsed().as_secs()).unwrap();
        assert!((1..=most).contains(&put), "{put} questions in {:?}", begin.elapsed());
        tokio::time::sleep(FRESH).await;
        assert_eq!(ask(&health, &questions, Duration::ZERO).await, Err(format!("answer {}", put + 1)));
    }

    #[tokio::test]
    async fn those_who_wait_for_a_slow_answer_share_it_and_the_next_one_asks_again() {
        let (health, questions) = (Health::default(), AtomicUsize::new(0));
        let slow = || ask(&health, &questions, FRESH + Duration::from_millis(100));
        let answers = tokio::join!(slow(), slow(), slow());
        let first = || Err("answer 1".to_owned());
        assert_eq!(answers, (first(), first(), first()));
        assert_eq!(ask(&health, &questions, Duration::ZERO).await, Err("answer 2".into()));
    }

    #[tokio::test]
    async fn who_goes_away_while_asking_leaves_the_question_to_the_next() {
        let (health, questions) = (Health::default(), AtomicUsize::new(0));
        let gone = ask(&health, &questions, Duration::from_secs(60));
        assert!(tokio::time::timeout(Duration::from_millis(20), gone).await.is_err());
        assert_eq!(ask(&health, &questions, Duration::ZERO).await, Err("answer 1".into()));
    }
}
