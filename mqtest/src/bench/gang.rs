//! Many small jobs, some at a time.

use anyhow::Context;
use tokio::task::JoinSet;

/// Does `work` for 0, 1, … `count - 1`, at most `at_once` at a time, and gives the results in that
/// order. The first failure ends it all.
pub(crate) async fn gang<T, F>(
    count: u32,
    at_once: usize,
    mut work: impl FnMut(u32) -> F,
) -> anyhow::Result<Vec<T>>
where
    T: 'static,
    F: Future<Output = anyhow::Result<T>> + 'static,
{
    let mut results: Vec<Option<T>> =
        std::iter::repeat_with(|| None).take(count as usize).collect();
    let mut running = JoinSet::new();
    let mut next = 0;
    loop {
        while next < count && running.len() < at_once {
            let job = work(next);
            let index = next;
            running.spawn_local(async move { job.await.map(|result| (index, result)) });
            next += 1;
        }
        let Some(ended) = running.join_next().await else { break };
        let (index, result) = ended.context("a job broke down")??;
        results[index as usize] = Some(result);
    }
    Ok(results.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use tokio::task::LocalSet;

    #[tokio::test]
    async fn all_is_done_in_order_and_never_too_much_at_a_time() {
        let running = Rc::new(Cell::new(0));
        let local = LocalSet::new();
        let results = local.run_until(gang(20, 3, |index| {
            let running = running.clone();
            async move {
                running.set(running.get() + 1);
                assert!(running.get() <= 3);
                for _ in 0..20 - index {
                    tokio::task::yield_now().await;
                }
                running.set(running.get() - 1);
                Ok(index)
            }
        }));
        assert_eq!(results.await.unwrap(), Vec::from_iter(0..20));
    }

    #[tokio::test]
    async fn a_failure_ends_it() {
        let work = |index| async move { if index == 5 { anyhow::bail!("no") } else { Ok(()) } };
        assert!(LocalSet::new().run_until(gang(20, 3, work)).await.is_err());
    }
}
